"""The `data` block: what the IOC offered as records to choose a file, kept in this program.

Plans set ``hdf_directory``, ``hdf_file_name`` and ``capture`` as they always did;
behind them stands one `Capture`. Source: flyscan.md 4.3 to 4.6.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from pathlib import Path
from typing import Any

from ophyd_async.fastcs.panda import PandaCaptureMode
from typing_extensions import override

from panda_ophyd.capture import (
    DRAIN_TIMEOUT,
    Arming,
    Capture,
    FileOptions,
    Hdf5Writer,
    LastRows,
    Meanings,
    Phase,
    Verdict,
    chunk_rows,
    readers_counted,
    readers_now,
    stored_dtype,
)
from panda_ophyd.datasignals import DataSignals
from panda_ophyd.destination import dataset_names
from panda_ophyd.errors import (
    FieldValueError,
    PandaConnectionError,
    PandaError,
    StallError,
    WriterError,
)
from panda_ophyd.fields.codecs import bit_codec
from panda_ophyd.flight import Flight
from panda_ophyd.preflight import CHECKS
from panda_ophyd.rescue import LEFT_ARMED, disarm_afresh
from panda_ophyd.session import PandaSession
from panda_ophyd.soundings import Soundings

logger = logging.getLogger(__name__)

SOONEST_FLUSH = 0.1
"""Seconds between flushes when 0 is asked for: the server hands rows over every 0.1 s at most
(protocol.md 8.6), so flushing more often writes nothing more."""

FAILED_TIMEOUT = 3.0
"""Seconds for which nothing may come of END when the capture has failed already, or the link is
lost: rows may still be on their way, and a network that drops packets takes that long at worst."""

SET_BY_FLYERS = ("too-close", "link", "disk-speed")
"""Pre-flight checks whose outcome changes when a flyer writes its table."""

EMPTY = "not a single row came: nothing triggered PCAP while it was enabled"
"""What is said of a capture that ended well and has nothing; a plan may have meant it so."""


class DataBlockState(DataSignals):
    """The channels of the `data` block and the capture behind them.

    Args:
        session: the box.
        source: URI of the block, ``panda://host/DATA``.

    Attributes:
        arming: PCAP, as this program arms it.
        soundings: what the box is set to, asked when it matters.
        expected: rows that the next acquisition is for, None if nobody knows.
        flight: the open file, None if there is none.
        failure: has the exception of a capture that cannot succeed.
        options: how the rows of the present file are kept, or the last one's.
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
        self.flight: Flight | None = None
        self.failure: asyncio.Future[None] | None = None
        self.judged: Verdict | None = None
        self.options = FileOptions()
        self._last_rows: LastRows | None = None
        self._rescue: asyncio.Task[str] | None = None

    @property
    def readers(self) -> int:
        """How many data clients of ours the server must count before it is armed."""
        return int(self.flight is not None)

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
                stored_dtype(
                    field, option, bits=box.captures_unsigned(field), raw=self.file_raw.value
                ).name
                for field, option in names
            ],
        }

    @override
    async def _put_capture(self, value: Any) -> bool:
        wanted = bool(self._switch.decode(self._switch.encode(value)))
        if wanted and self.flight is None:
            await self._open()
        elif not wanted and self.flight is not None:
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
        first_n, last_n = self._wanted_rows()
        for counter in (self.num_captured, self.num_received):
            counter.show(0)
        self.documented = self.new_documented()
        before = await readers_now(self._session.client)
        self.failure = asyncio.get_running_loop().create_future()
        self.expected = first_n or last_n
        setup = await self.soundings.setup(path.parent, self.expected, final=False)
        self.options = options = FileOptions(
            chunk=chunk_rows(setup.rate, sample_bytes=setup.sample_bytes),
            compression=self.file_compression.value,
            raw=self.file_raw.value,
            bits=self.file_bits.value,
        )
        last_rows = LastRows(Hdf5Writer(options), last_n) if last_n else None
        names = await self.names()
        capture = Capture(
            self._session.address,
            path,
            names=names,
            flush_period=self.flush_period.value or SOONEST_FLUSH,
            limit=first_n,
            on_rows=self._flushed,
            on_received=self._received,
            on_failure=partial(self._capture_failed, self.failure),
            options=options,
            meanings=Meanings.of(self._session.box),
            writer=(lambda: last_rows) if last_rows else None,
        )
        try:
            await capture.open()
            # One more than before: it is this box's data port that we are connected to.
            await readers_counted(self._session.client, before + 1)
        except BaseException as exc:  # also where somebody does not wait any longer
            self.status.show(str(exc) or "Opening the file was given up")
            with contextlib.suppress(PandaError):
                await capture.close()
            raise
        self.live.begin(capture, names)
        self._last_rows = last_rows
        self.flight = Flight(self._session.client, self.arming, capture, self._judge)
        self.full_file_path.show(str(path))
        self.status.show("Capturing")
        self._judge()

    def _wanted_rows(self) -> tuple[int | None, int | None]:
        """Return how many of the first rows to keep, and how many of the last; None for all."""
        number, mode = self.num_capture.value, self.capture_mode.value
        if mode != PandaCaptureMode.LAST_N.value:
            return (number or None) if mode == PandaCaptureMode.FIRST_N.value else None, None
        if not number:
            reason = "with capture_mode LAST_N it says how many rows to keep"
            raise FieldValueError(f"{self._source}.NUM_CAPTURE", number, reason)
        return None, number

    def _received(self, rows: int) -> None:
        if self.flight is not None:
            self.flight.look()
        self.show_received(rows)

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
        self._session.poller.attentive = True
        if self.flight is not None:
            self.flight.accepted()

    def stopping(self) -> None:
        """Note that this program is going to disarm: what ends now ends as it should."""
        self._session.poller.attentive = False
        if self.flight is not None:
            self.flight.phase = Phase.STOPPED

    async def pause(self) -> None:
        """Disarm what is under way; the file stays open, and nobody takes the end for a fault."""
        flight = self.flight
        if flight is None or flight.phase is not Phase.FLYING:
            return
        flight.phase = Phase.PAUSED
        try:
            await self.arming.disarm()
            await flight.drained()
        except PandaError as failure:  # not raised: it would kill the RunEngine, not the plan
            flight.capture.fail(failure)

    async def resume(self) -> None:
        """Arm again into the same file, if it was paused."""
        flight = self.flight
        if flight is None or flight.phase is not Phase.PAUSED:
            return
        try:
            await self.check()
            await self.arming.arm(readers=self.readers, accepted=self.accepted)
        except PandaError as failure:
            flight.capture.fail(failure)

    async def drained(self) -> None:
        """Wait for the END of what was disarmed, and for its rows."""
        if self.flight is not None:
            await self.flight.drained()

    async def check(self, *, final: bool = False) -> None:
        """Refuse to be armed where it is known that no good rows would come.

        Args:
            final: when all flyers are prepared: only what they may have changed is looked at.

        Raises:
            PreflightError: what is wrong.
        """
        if self.flight is None:
            return  # whoever arms without a file has reasons of his own
        waived = self.waive.value.split()
        if final:
            waived += [name for name in CHECKS if name not in SET_BY_FLYERS]
        directory = Path(self.hdf_directory.value)
        setup = await self.soundings.setup(directory, self.expected, final=final)
        # As late as can be: flyers write their tables until now
        if not final and not self.flight.armed:
            self.flight.capture.describe(await self._session.snapshot())
        self.soundings.check(str(self._session.address), setup, waived)

    def link_lost(self, cause: Exception) -> None:
        """Fail what is under way; a box that we left armed is disarmed over another connection."""
        armed = self.arming.maybe_armed
        self.arming.lost()
        failure = cause
        if armed:
            told = f"{cause}; PCAP was armed, and is being disarmed over another connection"
            failure = PandaConnectionError(told)
            failure.__cause__ = cause
        self.failed(failure)
        if armed and self._rescue is None:
            rescue = self._rescued()
            self._rescue = asyncio.create_task(rescue, name=f"disarm {self._session.address}")

    async def _rescued(self) -> str:
        told = await disarm_afresh(self._session.address)
        if not told.startswith(LEFT_ARMED):
            self.arming.over()
        self.status.show(f"{self.status.value}; {told}")
        return told

    async def rescued(self) -> str:
        """Return what became of a box that was left armed, "" if none was."""
        return "" if self._rescue is None else await asyncio.shield(self._rescue)

    def _capture_failed(self, failure: asyncio.Future[None], exc: Exception) -> None:
        if failure is self.failure:  # else another file is open by now
            self.failed(exc)

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
        flight = self.flight
        if flight is None:
            return
        flight.phase = Phase.STOPPED
        try:
            hopeful = self._session.lost is None and flight.capture.error is None
            timeout = DRAIN_TIMEOUT if hopeful else FAILED_TIMEOUT
            await flight.capture.close(timeout=timeout)
        except PandaError as exc:
            self.capturing.show(False)
            self.failed(exc)
            if isinstance(exc, StallError):
                raise exc.again() from exc
            raise
        finally:
            self._judge()
            if self._last_rows and self._last_rows.pronounced:
                self.judged = self._last_rows.pronounced
                self.verdict.show(str(self.judged))
                self.num_captured.show(self.judged.rows)
            self.live.end()
            self.flight = None
            await flight.leave()
        if self._session.lost is None:  # else that is how it is doing
            self.status.show("OK")
            if self.judged and self.judged.acquisitions and not self.judged.rows:
                self.status.show(EMPTY)
                logger.warning("%s: %s", self.full_file_path.value, EMPTY)

    @override
    def adopt(self, former: DataSignals) -> None:
        super().adopt(former)
        if isinstance(former, DataBlockState):
            self.judged = former.judged

    def _judge(self) -> None:
        """Show what can be said by now of the file that is open."""
        if self.flight is not None:
            self.judged = self.flight.capture.verdict
            if str(self.judged) != self.verdict.value:
                self.verdict.show(str(self.judged))

    @override
    async def _verdict_now(self) -> str:
        self._judge()
        return self.verdict.value

    def judged_now(self) -> Verdict | None:
        """Return the verdict by now on the file that is open, or on the last one."""
        self._judge()
        return self.judged

    async def raise_failure(self) -> None:
        """Wait until the capture has failed, for ever if it does not, and raise why."""
        if self.failure is None:
            self.failure = asyncio.get_running_loop().create_future()
        await asyncio.shield(self.failure)
