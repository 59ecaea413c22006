"""One open file and the acquisitions it gets: armed, watched, waited for, and ours or not."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable

from panda_ophyd.capture import (
    LOST_AFTER,
    Arming,
    Capture,
    Describe,
    Phase,
    Standstill,
    Watch,
    pcap_state,
)
from panda_ophyd.client import PandaClient
from panda_ophyd.errors import CaptureError, PandaError

HANDOVER = 0.15
"""Seconds after a trigger by which its row has left the hardware: it waits 0.1 s for more of
them (protocol.md 8.6, 9)."""

SETTLE_TIMEOUT = 2.0
"""Seconds to wait for rows that the box has captured to be flushed, before going on with
those that are; the next time may find them."""


class Flight:
    """What happens to the file that is open.

    Args:
        client: a control connection.
        arming: PCAP, as this program arms it.
        capture: the file, open.
        on_end: called when an acquisition has ended well.

    Attributes:
        capture: the file.
        phase: what ought to be happening.
    """

    def __init__(
        self,
        client: PandaClient,
        arming: Arming,
        capture: Capture,
        on_end: Callable[[], object],
    ) -> None:
        self.capture = capture
        self.phase = Phase.STOPPED
        self._client = client
        self._arming = arming
        self._on_end = on_end
        self._arms = 0
        self._before = 0
        self._following = asyncio.create_task(self._follow(), name=f"follow {capture.path}")
        self._watching: asyncio.Task[None] | None = None

    async def leave(self) -> None:
        """Stop looking on; who waits still is told in time."""
        self.phase = Phase.CLOSED
        attendants = [task for task in (self._following, self._watching) if task is not None]
        for task in attendants:
            task.cancel()
        await asyncio.gather(*attendants, return_exceptions=True)

    def accepted(self) -> None:
        """Note that PCAP was armed: the open file will get an acquisition."""
        self._arms += 1
        self._before = self.capture.received
        self.phase = Phase.FLYING
        self.capture.expect()
        # Also while nobody waits, so that a plan learns of lost rows when it collects
        watch = self.watch(str(self.capture.path), None, None, _no_report)
        if self._watching is not None:
            self._watching.cancel()
        self._watching = asyncio.create_task(_until_lost(watch), name="watch rows")

    async def drained(self) -> None:
        """Wait for the END of what was disarmed; whether it came is for closing to tell."""
        capture = self.capture
        while capture.pending and not capture.error:
            before = capture.received, capture.rows
            await capture.settled(sys.maxsize, timeout=LOST_AFTER)
            if before == (capture.received, capture.rows):
                return

    @property
    def armed(self) -> bool:
        """Whether PCAP was armed for this file at all."""
        return self._arms > 0

    @property
    def untouched(self) -> bool:
        """Whether the acquisition under way has given no row yet."""
        return self.phase is Phase.FLYING and self.capture.received == self._before

    async def _follow(self) -> None:
        """Note the end of each acquisition, and whether it was one of ours."""
        capture = self.capture
        for number in range(1, 1 << 62):
            try:
                result = await capture.wait_ended()
            except PandaError:
                return  # told by the capture itself
            self._arming.over()
            self._on_end()
            if self._arms and number > self._arms and not capture.error:
                self._refuse(result.first_row, result.samples_sent)

    def look(self) -> None:
        """Note that rows have come, and refuse those of an acquisition that is not ours."""
        capture = self.capture
        # Before ARM was answered its rows may be here
        if 0 < self._arms < capture.begun and not self._arming.is_busy and not capture.error:
            begins = capture.begins
            if begins is not None:  # else it is over, and told of by `_follow`
                self._refuse(begins, None)

    def _refuse(self, first_row: int, sent: int | None) -> None:
        self.capture.fail(
            CaptureError(
                f"{self.capture.path}: somebody else has armed PCAP: rows from row {first_row} on"
                " are of an acquisition that is not ours",
                reason="armed by somebody else",
                samples_sent=sent,
                samples_written=self.capture.rows,
                suspect_row=first_row,
            )
        )

    def watch(
        self, where: str, wanted: int | None, patience: float | None, describe: Describe
    ) -> Watch:
        """Return what looks after rows that somebody waits for.

        Args:
            where: for messages.
            wanted: rows since the file was opened, None if for ever.
            patience: seconds without a row until it is a stall, None for never.
            describe: the report of a stall.
        """
        return Watch(
            where,
            self._client,
            self.capture,
            before=self._before,
            wanted=wanted,
            patience=patience,
            phase=lambda: self.phase,
            describe=describe,
        )

    async def settle(self, enough: int) -> None:
        """Wait until what the box has captured by now is on the disk.

        Args:
            enough: rows since the file was opened after which nobody waits for more.

        Raises:
            PandaError: the capture has failed, and why.
        """
        capture = self.capture
        for pause in (0.0, HANDOVER):
            if capture.rows >= enough or capture.error or not capture.pending:
                break
            await asyncio.sleep(pause)
            captured = int(await self._client.query("*PCAP.CAPTURED"))
            ended = await self._client.query("*PCAP.COMPLETION") != "Busy"
            goal = enough if ended else min(capture.first_row + captured, enough)
            await capture.settled(goal, timeout=SETTLE_TIMEOUT)
        if capture.error:
            raise capture.error

    async def confirm(self) -> None:
        """Wait until every row the box has captured is here, or more of them keep coming.

        Raises:
            PandaError: some are lost, or the capture has failed otherwise.
        """
        capture, before = self.capture, -1
        while capture.pending and not capture.error:
            box = await pcap_state(self._client)
            here = capture.received - self._before
            if box.running and (box.captured <= here or before not in (-1, box.captured)):
                break
            before = box.captured
            await asyncio.sleep(HANDOVER)  # the watch ends this when rows are lost
        if capture.error:
            raise capture.error


async def _no_report(_: Standstill) -> str:
    return "no row comes"


async def _until_lost(watch: Watch) -> None:
    # What it finds has failed the capture, and is told by that
    with contextlib.suppress(PandaError):
        await watch.run()
