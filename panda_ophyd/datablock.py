"""The `data` block: what the IOC offered as records to choose a file, kept in this program.

Plans set ``hdf_directory``, ``hdf_file_name`` and ``capture`` as they always did;
behind them stands one `Capture`. Source: flyscan.md 4.3 to 4.6.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from pathlib import Path
from typing import Any

from ophyd_async.fastcs.panda import PandaCaptureMode, PandaHdf5DatasetType
from typing_extensions import override

from panda_ophyd.capture import (
    LOST_AFTER,
    Arming,
    Capture,
    Describe,
    Phase,
    Standstill,
    Verdict,
    Watch,
    pcap_state,
    readers_counted,
    readers_now,
)
from panda_ophyd.datasignals import DataSignals
from panda_ophyd.destination import dataset_names
from panda_ophyd.errors import CaptureError, PandaError, StallError, WriterError
from panda_ophyd.fields.codecs import bit_codec
from panda_ophyd.preflight import CHECKS
from panda_ophyd.session import PandaSession
from panda_ophyd.soundings import Soundings

logger = logging.getLogger(__name__)

SOONEST_FLUSH = 0.1
"""Seconds between flushes when 0 is asked for: the server hands rows over every 0.1 s at most
(protocol.md 8.6), so flushing more often writes nothing more."""

HANDOVER = 0.15
"""Seconds after a trigger by which its row has left the hardware: it waits 0.1 s for more of
them (protocol.md 8.6, 9)."""

SETTLE_TIMEOUT = 2.0
"""Seconds to wait for rows that the box has captured to be flushed, before going on with
those that are; the next time may find them."""

SET_BY_FLYERS = ("too-close", "link", "disk-speed")
"""Pre-flight checks whose outcome changes when a flyer writes its table."""


class DataBlockState(DataSignals):
    """The channels of the `data` block and the capture behind them.

    Args:
        session: the box.
        source: URI of the block, ``panda://host/DATA``.

    Attributes:
        arming: PCAP, as this program arms it.
        soundings: what the box is set to, asked when it matters.
        expected: rows that the next acquisition is for, None if nobody knows.
        capture: the open file, None if there is none.
        failure: has the exception of a capture that cannot succeed.
        phase: what ought to be happening.
        judged: the verdict on the present file or the last one, None if there was none.
    """

    def __init__(self, session: PandaSession, source: str) -> None:
        super().__init__(source)
        self._session = session
        self._switch = bit_codec(f"{source}.CAPTURE")
        self._held = False
        self.arming = Arming(session.client)
        self.soundings = Soundings(session.client, session.poller, session.box.clock_frequency)
        self.expected: int | None = None
        self.capture: Capture | None = None
        self.failure: asyncio.Future[None] | None = None
        self.phase = Phase.STOPPED
        self.judged: Verdict | None = None
        self._arms = 0
        self._before = 0
        self._attendants: list[asyncio.Task[None]] = []

    @property
    def readers(self) -> int:
        """How many data clients of ours the server must count before it is armed."""
        return int(self.capture is not None)

    async def _captured(self) -> list[tuple[str, tuple[str, ...]]]:
        """Ask what is set to be captured: fields with their options in the server's order."""
        lines = await self._session.lines_of("*CAPTURE")
        fields = [line.split(" ") for line in lines]
        return [(name, tuple(options)) for name, *options in fields]

    async def names(self) -> dict[tuple[str, str], str]:
        """Return the dataset of every (field, capture option) that is set to be captured."""
        names: dict[tuple[str, str], str] = {}
        for field, options in await self._captured():
            chosen = self.dataset_channels.get(field)
            names |= dataset_names(field, options, chosen.value if chosen else "")
        return names

    @override
    async def _datasets_now(self) -> dict[str, list[str]]:
        names = await self.names()
        box = self._session.box
        return {
            "name": list(names.values()),
            "dtype": [
                PandaHdf5DatasetType.UINT_32.value
                if box.captures_unsigned(field)
                else PandaHdf5DatasetType.FLOAT_64.value
                for field, _ in names
            ],
        }

    @override
    async def _put_capture(self, value: Any) -> bool:
        wanted = bool(self._switch.decode(self._switch.encode(value)))
        if wanted and self.capture is None:
            await self._open()
        elif not wanted and self.capture is not None:
            await self.close()
        return wanted

    async def _open(self) -> None:
        directory, file_name = self.hdf_directory.value, self.hdf_file_name.value
        if not directory or not file_name:
            raise WriterError(
                Path(directory or ".") / file_name,
                "set hdf_directory and hdf_file_name before capture",
            )
        path = Path(directory) / file_name
        first_n = self.capture_mode.value == PandaCaptureMode.FIRST_N.value
        for counter in (self.num_captured, self.num_received, self.documented):
            counter.show(0)
        before = await readers_now(self._session.client)
        self.failure = asyncio.get_running_loop().create_future()
        self.expected = (self.num_capture.value or None) if first_n else None
        names = await self.names()
        capture = Capture(
            self._session.address,
            path,
            names=names,
            flush_period=self.flush_period.value or SOONEST_FLUSH,
            limit=(self.num_capture.value or None) if first_n else None,
            on_rows=self._flushed,
            on_received=self.show_received,
            on_failure=self.failed,
        )
        try:
            await capture.open()
            # One more than before: it is this box's data port that we are connected to.
            await readers_counted(self._session.client, before + 1)
        except PandaError as exc:
            self.status.show(str(exc))
            await capture.close()
            raise
        self.capture = capture
        self.live.begin(capture, names)
        self._arms = self._before = 0
        self._attendants = [asyncio.create_task(self._follow(capture), name=f"follow {path}")]
        self.full_file_path.show(str(path))
        self.status.show("Capturing")
        self._judge()

    def _flushed(self, rows: int) -> None:
        self.num_captured.show(rows)
        self.live.news()
        if not self._held:
            self.documented.show(rows)

    def hold(self) -> None:
        """Show documents no more rows than now, until `release`."""
        self._held = True

    def release(self) -> None:
        """Let documents have every row that is flushed."""
        self._held = False
        self.documented.show(self.num_captured.value)

    # Arming

    def accepted(self) -> None:
        """Note that PCAP was armed: the open file will get an acquisition."""
        capture = self.capture
        if capture is None:
            return
        self._arms += 1
        self._before = capture.received
        self.phase = Phase.FLYING
        capture.expect()
        # Also while nobody waits, so that a plan learns of lost rows when it collects
        watch = self.watch(str(capture.path), None, None, _no_report)
        self._attendants.append(asyncio.create_task(_until_lost(watch), name="watch rows"))

    def stopping(self) -> None:
        """Note that this program is going to disarm: what ends now ends as it should."""
        self.phase = Phase.STOPPED

    async def check(self, *, final: bool = False) -> None:
        """Refuse to be armed where it is known that no good rows would come.

        Args:
            final: when all flyers are prepared: only what they may have changed is looked at.

        Raises:
            PreflightError: what is wrong.
        """
        if self.capture is None:
            return  # whoever arms without a file has reasons of his own
        waived = self.waive.value.split()
        if final:
            waived += [name for name in CHECKS if name not in SET_BY_FLYERS]
        await self.soundings.check(
            str(self._session.address),
            Path(self.hdf_directory.value),
            rows=self.expected,
            waived=waived,
            final=final,
        )

    async def drained(self) -> None:
        """Wait for the END of what was disarmed; whether it came is for closing to tell."""
        capture = self.capture
        while capture is not None and capture.pending and not capture.error:
            before = capture.received, capture.rows
            await capture.settled(sys.maxsize, timeout=LOST_AFTER)
            if before == (capture.received, capture.rows):
                return

    @property
    def untouched(self) -> bool:
        """Whether the acquisition under way has given no row yet."""
        capture, flying = self.capture, self.phase is Phase.FLYING
        return flying and capture is not None and capture.received == self._before

    async def _follow(self, capture: Capture) -> None:
        """Note the end of each acquisition, and whether it was one of ours."""
        for number in range(1, 1 << 62):
            try:
                result = await capture.wait_ended()
            except PandaError:
                return  # told by the capture itself
            self.arming.over()
            self._judge()
            if self._arms and number > self._arms:
                capture.fail(
                    CaptureError(
                        f"{capture.path}: somebody else has armed PCAP: rows from row"
                        f" {result.first_row} on are of an acquisition that is not ours",
                        reason="armed by somebody else",
                        samples_sent=result.samples_sent,
                        samples_written=capture.rows,
                        suspect_row=result.first_row,
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

        Raises:
            CaptureError: no file is open, so no row will ever come.
        """
        if self.capture is None:
            raise CaptureError(
                f"{where}: no file is open, so no row will come; prepare again",
                reason="not capturing",
                samples_sent=None,
                samples_written=self.num_captured.value,
            )
        return Watch(
            where,
            self._session.client,
            self.capture,
            before=self._before,
            wanted=wanted,
            patience=patience,
            phase=lambda: self.phase,
            describe=describe,
        )

    # Waiting

    async def settle(self, enough: int) -> None:
        """Wait until what the box has captured by now is on the disk.

        Args:
            enough: rows since the file was opened after which nobody waits for more.

        Raises:
            PandaError: the capture has failed, and why.
        """
        capture = self.capture
        if capture is None:
            return
        for pause in (0.0, HANDOVER):
            if capture.rows >= enough or capture.error or not capture.pending:
                break
            await asyncio.sleep(pause)
            captured = int(await self._session.client.query("*PCAP.CAPTURED"))
            ended = await self._session.client.query("*PCAP.COMPLETION") != "Busy"
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
        while capture is not None and capture.pending and not capture.error:
            box = await pcap_state(self._session.client)
            here = capture.received - self._before
            if box.running and (box.captured <= here or before not in (-1, box.captured)):
                break
            before = box.captured
            await asyncio.sleep(HANDOVER)  # the watch ends this when rows are lost
        if capture is not None and capture.error:
            raise capture.error

    def failed(self, exc: Exception) -> None:
        """Note why the capture under way cannot succeed; whoever waits for it is told."""
        self.status.show(str(exc))
        self._judge()
        if self.failure is not None and not self.failure.done():
            self.failure.set_exception(exc)
            self.failure.exception()  # it is raised by whoever waits; nobody has to

    async def close(self) -> None:
        """Let the capture drain to the disk and close the file; nothing to do if none is open.

        Raises:
            PandaError: not every row that was sent is on the disk, and why.
        """
        capture = self.capture
        attendants, self._attendants = self._attendants, []
        self.phase = Phase.STOPPED
        if capture is None:
            return
        try:
            await capture.close()
        except PandaError as exc:
            self.capturing.show(False)
            self.failed(exc)
            if isinstance(exc, StallError):
                raise exc.again() from exc
            raise
        finally:
            self._judge()
            self.live.end()
            self.capture = None
            for task in attendants:
                task.cancel()
            await asyncio.gather(*attendants, return_exceptions=True)
        failure = self.failure.exception() if self.failure and self.failure.done() else None
        if failure is not None:
            raise failure
        self.status.show("OK")

    def _judge(self) -> None:
        """Show what can be said by now of the file that is open."""
        if self.capture is not None:
            self.judged = self.capture.verdict
            self.verdict.show(str(self.judged))

    async def raise_failure(self) -> None:
        """Wait until the capture has failed, for ever if it does not, and raise why."""
        if self.failure is None:
            self.failure = asyncio.get_running_loop().create_future()
        await asyncio.shield(self.failure)


async def _no_report(_: Standstill) -> str:
    return "no row comes"


async def _until_lost(watch: Watch) -> None:
    # What it finds has failed the capture, and is told by that
    with contextlib.suppress(PandaError):
        await watch.run()
