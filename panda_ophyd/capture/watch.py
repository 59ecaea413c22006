"""Whoever waits for rows is told when they will not come: ended early, lost, at a standstill.

While rows come nothing is asked of the box. When they stand still it is asked what it has
captured, and from that, what has come and how long it takes, one of four things is known:

* END came with too few rows (somebody disarmed it, PCAP.ENABLE fell): told at once;
* the box has ended, or has captured more than has come, and nothing moves: lost on the
  way, or the data connection is stuck;
* the box waits for triggers, longer than anybody expects: a stall, told with a report;
* the disk is at work: nothing is wrong yet.

Source: protocol.md 7.1, 8.7; pains.md 1 and 3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NoReturn, Protocol

from panda_ophyd.capture.arming import PcapState, pcap_state
from panda_ophyd.capture.result import CaptureResult
from panda_ophyd.client import PandaClient
from panda_ophyd.errors import CaptureError, StallError

PERIOD = 0.1
"""Seconds between two glances at our own counts, which cost nothing."""

QUIET = 0.5
"""Seconds without a new row after which the box is asked, and then again and again."""

SELDOM = 2.0
"""Most seconds from question to question, when it has been quiet for long."""

LOST_AFTER = 3.0
"""Seconds of standstill after which what the box has captured and we have not is given up: a
network that drops packets takes that long at worst."""


class Phase(Enum):
    """What this program means to be happening."""

    FLYING = auto()
    """An acquisition that it armed ought to run."""
    PAUSED = auto()
    """It was disarmed by this program, which will arm again."""
    STOPPED = auto()
    """It was not armed, or disarmed by this program."""
    CLOSED = auto()
    """The file is closed: what the box does from now on is no concern of ours."""


class Watched(Protocol):
    """What is to be known of a `Capture`."""

    @property
    def rows(self) -> int:
        """Rows that can be read."""
        ...

    @property
    def received(self) -> int:
        """Rows that have come."""
        ...

    @property
    def pending(self) -> bool:
        """Whether END is still to come."""
        ...

    @property
    def first_row(self) -> int:
        """Where the rows of this acquisition begin in the file."""
        ...

    @property
    def results(self) -> tuple[CaptureResult, ...]:
        """Acquisitions that have ended well."""
        ...

    @property
    def error(self) -> Exception | None:
        """The first failure."""
        ...

    def fail(self, failure: Exception) -> None:
        """Count it as failed."""
        ...


@dataclass(frozen=True, slots=True)
class Standstill:
    """What is known when nothing has come for too long.

    Attributes:
        box: what the PandA says of itself.
        quiet: seconds since the last row, or since the wait began.
        rows: rows on the disk.
        received: rows of this acquisition that have come.
        wanted: rows that are waited for, None if for ever.
    """

    box: PcapState
    quiet: float
    rows: int
    received: int
    wanted: int | None


Describe = Callable[[Standstill], Awaitable[str]]


class Watch:
    """Looks after rows that somebody waits for.

    Args:
        where: for messages, ``panda`` or a file.
        client: a control connection.
        capture: what receives the rows.
        before: rows it had received when PCAP was armed.
        wanted: rows in the file that are waited for, None if for ever.
        patience: seconds without a row until it is a stall, None for never.
        phase: what ought to be happening.
        describe: the report of a stall, in one line.
    """

    def __init__(
        self,
        where: str,
        client: PandaClient,
        capture: Watched,
        *,
        before: int,
        wanted: int | None,
        patience: float | None,
        phase: Callable[[], Phase],
        describe: Describe,
    ) -> None:
        self._where = where
        self._client = client
        self._capture = capture
        self._before = before
        self._wanted = wanted
        self._patience = patience
        self._phase = phase
        self._describe = describe

    async def run(self) -> NoReturn:
        """Wait until it is known that the rows will not come, fail the capture, and raise why.

        Raises:
            CaptureError: they were lost, or the acquisition ended too early.
            StallError: nobody knows where they are; the message is a report.
            PandaError: the capture has failed, or the box cannot be asked.
        """
        try:
            await self._look_on()
        except CaptureError as failure:
            if failure is not self._capture.error and self._phase() is not Phase.CLOSED:
                self._capture.fail(failure)
            raise

    async def _look_on(self) -> NoReturn:
        capture, clock = self._capture, asyncio.get_running_loop().time
        moved = asked = clock()
        known: tuple[int, ...] = ()
        while True:
            if capture.error is not None:
                raise capture.error
            now, phase, counts = clock(), self._phase(), self._counts
            if counts != known or phase is Phase.PAUSED or self._enough():
                known, moved = counts, now
            elif phase is Phase.CLOSED:
                if now - moved >= max(LOST_AFTER, self._patience or 0.0):
                    raise self._closed()
            elif phase is Phase.FLYING and not capture.pending and self._wanted is not None:
                raise self._ended(self._wanted)
            elif now - max(moved, asked) >= _pause(now - moved) and self._has_a_question():
                box = await pcap_state(self._client)
                if counts == self._counts:
                    await self._judge(box, clock() - moved)
                asked = clock()
            await asyncio.sleep(PERIOD)

    def check_end(self) -> None:
        """Look at an acquisition that has ended: are all rows there that were asked for?

        Raises:
            CaptureError: they are not, and nobody here has stopped it.
        """
        if self._phase() is Phase.FLYING and self._wanted is not None and not self._enough():
            failure = self._ended(self._wanted)
            self._capture.fail(failure)
            raise failure

    @property
    def _counts(self) -> tuple[int, ...]:
        return self._capture.received, self._capture.rows, len(self._capture.results)

    def _has_a_question(self) -> bool:
        return self._capture.pending or self._patience is not None

    def _enough(self) -> bool:
        return self._wanted is not None and self._capture.rows >= self._wanted

    @property
    def _here(self) -> int:
        return self._capture.received - self._before

    async def _judge(self, box: PcapState, quiet: float) -> None:
        capture = self._capture
        given_up = quiet >= min(LOST_AFTER, self._patience or LOST_AFTER)
        if given_up and capture.pending and not box.running:
            raise self._lost(
                f"the PandA says that it ended with {box.completion!r} after {box.captured} rows,"
                f" but its END did not come within {quiet:.1f} s and"
                f" {self._here} rows have; the data connection does not deliver any more",
                "END did not come",
            )
        # After END what the box counts may be somebody else's
        behind = capture.pending and box.captured > self._here
        if given_up and behind and not self._disk_is_busy():
            raise self._lost(
                f"the PandA has captured {box.captured} rows, {self._here} of them came, and none"
                f" for {quiet:.1f} s: {box.captured - self._here} were lost on the way, or the"
                f" data connection is stuck; rows from row {capture.first_row} on are in doubt",
                "rows did not come",
            )
        if self._patience is not None and quiet >= self._patience:
            standstill = Standstill(box, quiet, capture.rows, self._here, self._wanted)
            raise StallError(
                f"{self._where}: {await self._describe(standstill)}",
                reason="no rows came",
                samples_sent=None,
                samples_written=capture.rows,
                suspect_row=capture.rows,
            )

    def _disk_is_busy(self) -> bool:
        # Rows beyond a limit are received and not written
        return self._capture.received > self._capture.rows and not self._enough()

    def _ended(self, wanted: int) -> CaptureError:
        capture = self._capture
        reason = capture.results[-1].reason if capture.results else "no END"
        return CaptureError(
            f"{self._where}: the acquisition ended with {reason!r} after {capture.rows} rows"
            f" of the {wanted} that were asked for: {EARLY.get(reason, 'take the rest again')};"
            f" rows from row {capture.rows} on are missing",
            reason=reason,
            samples_sent=capture.results[-1].samples_sent if capture.results else None,
            samples_written=capture.rows,
            suspect_row=capture.rows,
        )

    def _closed(self) -> CaptureError:
        rows, wanted = self._capture.rows, self._wanted
        of = "" if wanted is None else f" of the {wanted} that were asked for"
        return CaptureError(
            f"{self._where}: the file was closed with {rows} rows{of}",
            reason="closed",
            samples_sent=None,
            samples_written=rows,
        )

    def _lost(self, what: str, reason: str) -> CaptureError:
        return CaptureError(
            f"{self._where}: {what}",
            reason=reason,
            samples_sent=None,
            samples_written=self._capture.rows,
            suspect_row=self._capture.first_row,
        )


def _pause(quiet: float) -> float:
    """Return how long to wait for the next question when it has been quiet for so long."""
    return min(max(QUIET, quiet / 3), SELDOM)


EARLY = {
    "Ok": "PCAP.ENABLE fell; let it stay high until the last trigger",
    "Disarmed": "somebody else disarmed it",
}
"""What an acquisition that nobody here has stopped was stopped by."""
