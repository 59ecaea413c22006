"""A sequencer from its first register to its last frame: set up, started when ready, judged at its end.

Source: flyscan.md 2.3 (16 to 19), 3.2, 3.6; blocks.md 5.10.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ophyd_async.core import wait_for_value
from ophyd_async.fastcs.panda import PandaBitMux, PandaTimeUnits, SeqBlock

from panda_ophyd.errors import PandaError, SequenceError
from panda_ophyd.flyers.block import Block, block_behind
from panda_ophyd.flyers.watch import Moment, StalledError, until_over
from panda_ophyd.loading import Loading, SessionTablePort, TableStatus, load
from panda_ophyd.sequences import SeqLines, Trigger

READY_TIMEOUT = 5.0
"""Seconds for a table to be loaded: the box takes microseconds, a busy one some more."""

START_TIMEOUT = 1.0
"""Seconds for the block to be seen active once it is enabled."""

READY_PERIOD = 0.01

READY = "WAIT_ENABLE"
WAITING = "WAIT_TRIGGER"


@dataclass(frozen=True)
class Sequence:
    """What a sequencer is to play.

    Attributes:
        lines: batches of lines in ticks; a generator is asked as late as can be.
        repeats: of the whole table, at least 1.
        inputs: signals of the block by Python name to what they are connected to first.
    """

    lines: Iterator[SeqLines]
    repeats: int = 1
    inputs: Mapping[str, str] | None = None


class Sequencer:
    """One SEQ, driven through its device's signals, watched over the wire.

    Args:
        seq: ``panda.seq[1]``, connected, or in mock mode.
        patience: seconds without any movement after which a run fails; None for never.

    Attributes:
        moment: the last look, None before the first.
        frames: of the run that is set up, None if not known.
        loading: its table, None if it was set through the signal, or in mock mode.
    """

    def __init__(self, seq: SeqBlock, patience: float | None) -> None:
        self.seq = seq
        self.moment: Moment | None = None
        self.frames: int | None = None
        self.loading: Loading | None = None
        self.block: Block | None = None
        self._patience = patience
        self._port: SessionTablePort | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def name(self) -> str:
        """For messages."""
        return self.block.name if self.block else self.seq.name or "SEQ"

    # Setting up

    async def reset(self) -> None:
        """Disable it and forget what it played; the first thing of every preparation."""
        await self._stop_feeding()
        self.moment = self.frames = self.loading = None
        self._stopping = False
        self.block = block_behind(self.seq, "enable")
        self._port = None
        await self.seq.enable.set(PandaBitMux.ZERO)

    async def set_up(self, sequence: Sequence, clock: float) -> None:
        """Connect its inputs, then load what it is to play, in ticks.

        Raises:
            SequenceError, FieldValueError: as `panda_ophyd.loading.load`.
        """
        seq: Any = self.seq
        for name, source in (sequence.inputs or {}).items():
            await getattr(seq, name).set(source)
        await seq.prescale_units.set(PandaTimeUnits.US)
        await seq.prescale.set(0)
        await seq.repeats.set(sequence.repeats)
        if self.block is None:
            await seq.table.set(as_table(SeqLines.concat(list(sequence.lines))))
            return
        self._port = SessionTablePort(self.block.session, f"{self.block.name}.TABLE")
        self.loading = await load(
            self._port, sequence.lines, repeats=sequence.repeats, clock=clock
        )
        if self.loading.handed_over:
            self.frames = self.loading.total_frames

    def adopt_table(self, lines: SeqLines, repeats: int) -> None:
        """Note that a table was set through the signal of the block.

        Args:
            lines: what it plays, for knowing how far it is.
            repeats: of the table, 0 for ever.
        """
        if self.block is None:
            return
        self._port = SessionTablePort(self.block.session, f"{self.block.name}.TABLE")
        self.frames = int(lines.frames.sum()) * repeats or None

    # Running

    async def start(self, enable: Callable[[], Any] | None = None) -> None:
        """Enable it once it is ready, and see that it runs.

        Raises:
            SequenceError: it has no table, or does not start.
        """
        if self._port is not None:
            await self._until_ready(self._port)
        if self.loading is not None and not self.loading.handed_over:
            self._feeding = asyncio.create_task(self.loading.feed(), name=f"feed {self.name}")
        await self.seq.enable.set(PandaBitMux.ONE)
        try:
            await wait_for_value(self.seq.active, True, timeout=START_TIMEOUT)
        except TimeoutError as slow:
            raise await self._error("it did not start, though it was ready and enabled") from slow

    async def _until_ready(self, port: SessionTablePort) -> None:
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                while (await port.status()).state != READY:
                    await asyncio.sleep(READY_PERIOD)
        except TimeoutError as slow:
            what = f"its table is not ready {READY_TIMEOUT:g} s after it was written"
            raise await self._error(what) from slow

    async def finish(self, *, patience: float | None = None) -> None:
        """Wait until it has played everything.

        Args:
            patience: in place of that of the sequencer.

        Raises:
            SequenceError: it stopped early, was disabled, starved, or nothing moves any more.
        """
        if self._port is None:
            await wait_for_value(self.seq.active, False, timeout=None)
            return
        watching = asyncio.create_task(
            until_over(self._look, patience or self._patience, self._note), name=f"watch {self.name}"
        )
        try:
            await self._either(watching)
        except StalledError as stall:
            if self._stopping:
                return
            text = f"nothing has moved for {stall.quiet:.1f} s"
            raise await self._error(f"{text}, {stall.moment.waits_for}") from None
        finally:
            watching.cancel()
        await self._judge()

    async def _either(self, watching: asyncio.Task[Moment]) -> None:
        """Wait for the end, or for feeding to fail first."""
        feeding = self._feeding
        waits: set[asyncio.Task[Any]] = {watching} | ({feeding} if feeding else set())
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if feeding in done and feeding is not None and watching not in done:
            if not self._stopping:
                feeding.result()
        await watching

    async def _judge(self) -> None:
        """Tell an end from one that came too early."""
        end = self.moment
        if self._stopping or end is None:
            return
        await self._stop_feeding(raises=True)
        if not end.healthy:
            raise await self._error(_REASONS.get(end.health, "it stopped"))
        if self.loading is not None and not self.loading.handed_over:
            raise await self._error("it was disabled while lines were still to come")
        if not self._is_complete(end):
            raise await self._error("it was disabled before its end")

    def _is_complete(self, end: Moment) -> bool:
        return self.frames is None or end.done >= self.frames

    # Stopping

    async def interrupt(self) -> None:
        """Stop now, on purpose: `finish` returns, and what was complete is complete."""
        self._stopping = True
        await self.seq.enable.set(PandaBitMux.ZERO)
        await self._stop_feeding()

    async def stop(self) -> None:
        """Disable it, and drop a stream that it has not played.

        Raises:
            TimeoutError: it stays active.
        """
        await self.interrupt()
        await wait_for_value(self.seq.active, False, timeout=START_TIMEOUT)
        if self.loading is not None and self.loading.kind != "fixed":
            await self.loading.abandon()
            self.loading = None

    async def _stop_feeding(self, *, raises: bool = False) -> None:
        feeding, self._feeding = self._feeding, None
        if feeding is None:
            return
        if raises and feeding.done():
            feeding.result()
        feeding.cancel()
        with contextlib.suppress(asyncio.CancelledError, PandaError):
            await feeding

    # Looking

    def _note(self, moment: Moment) -> None:
        self.moment = moment

    async def _look(self) -> Moment:
        if self._port is None or self.block is None:
            raise RuntimeError("a sequencer in mock mode has nothing to look at")
        loading = self.loading
        status = await (self._port.status() if loading is None else loading.check())
        done = self._frames_done(status)
        waits_for, inputs = "", dict[str, str]()
        if status.state == WAITING:
            waits_for, inputs = await self._waits_for(self.block, status)
        frames = "" if self.frames is None else f" of {self.frames}"
        return Moment(
            active=status.active,
            health=status.health,
            done=done,
            at=(status.place, status.state),
            due=self._due(status),
            waits_for=f"{done}{frames} frames, {waits_for or f'it is in {status.state}'}",
            inputs=inputs,
        )
