"""A sequencer from its first register to its last frame: set up, started when ready, judged.

Source: flyscan.md 2.3 (16 to 19), 3.2, 3.6; blocks.md 5.10.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ophyd_async.core import wait_for_value
from ophyd_async.fastcs.panda import (
    PandaTimeUnits,
    SeqBlock,
    SeqTable,
    SeqTrigger,
)

from panda_ophyd.errors import FieldValueError, PandaError, SequenceError
from panda_ophyd.flyers.block import Block, block_behind
from panda_ophyd.flyers.drives import Drive, Loads, OneSequencer
from panda_ophyd.flyers.watch import Moment, StalledError, until_over
from panda_ophyd.loading import Loading, TableStatus
from panda_ophyd.loading.port import SessionTablePort
from panda_ophyd.sequences import SeqLines, SeqState, SequenceProgress, Trigger

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
        frames: in all, None if only the lines can tell.
        repeats: of the whole table, at least 1.
        inputs: signals of the block by Python name to what they are connected to first.
    """

    lines: Iterator[SeqLines]
    frames: int | None = None
    repeats: int = 1
    inputs: Mapping[str, str] | None = None


class Sequencer:
    """One SEQ, driven through its device's signals, watched over the wire.

    Args:
        seq: ``panda.seq[1]``, connected, or in mock mode.
        patience: seconds without any movement after which a run fails; None for never.
        drive: what starts it; its own ENABLE by default.

    Attributes:
        moment: the last look, None before the first.
        frames: of the run that is set up, None if not known.
        loading: its table, None if it was set through the signal, or in mock mode.
        block: on the wire, None in mock mode.
        begun: frames that had begun when it was interrupted, None if it was not.
        running: from its start until it was found at its end.
    """

    def __init__(self, seq: SeqBlock, patience: float | None, drive: Drive | None = None) -> None:
        self.seq = seq
        self._drive = OneSequencer(seq, Loads()) if drive is None else drive
        self.moment: Moment | None = None
        self.frames: int | None = None
        self.loading: Loading | None = None
        self.block: Block | None = None
        self.begun: int | None = None
        self._patience = patience
        self._feeding: asyncio.Task[None] | None = None
        self._stopping = False
        self.running = False
        self._progress = SequenceProgress()
        self._unit = 0.0

    @property
    def name(self) -> str:
        """For messages."""
        return self.block.name if self.block else self.seq.name or "SEQ"

    # Setting up

    async def reset(self) -> None:
        """Disable it and forget what it played; the first thing of every preparation."""
        await self._stop_feeding()
        self.moment = self.frames = self.loading = self.begun = None
        self._stopping = self.running = False
        self.block = block_behind(self.seq, "enable")
        await self._drive.reset(self.block)

    async def set_up(self, sequence: Sequence, clock: float) -> None:
        """Connect its inputs, then load what it is to play, in ticks.

        Args:
            sequence: to play.
            clock: ticks a second.

        Raises:
            SequenceError, FieldValueError: as `panda_ophyd.loading.load`.
        """
        seq: Any = self.seq
        await self._drive.connect(sequence.inputs or {})
        await seq.prescale_units.set(PandaTimeUnits.US)
        await seq.prescale.set(0)
        await seq.repeats.set(sequence.repeats)
        if self.block is None:
            await seq.table.set(as_table(SeqLines.concat(sequence.lines)))
            return
        self._progress, self._unit = SequenceProgress(), 1 / clock
        lines = tapped(sequence.lines, self._progress)
        self.loading = await self._drive.load(lines, repeats=sequence.repeats, clock=clock)
        self.frames = sequence.frames
        if self.loading.kind == "fixed":
            self._progress.repeats = sequence.repeats
            self.frames = self._progress.total_frames

    def adopt_table(self, table: SeqTable, repeats: int, unit: float) -> None:
        """Note that a table was set through the signal of the block.

        Args:
            table: each repeat of a line of it counts as a frame.
            repeats: of the table, 0 for ever.
            unit: of its times, s.
        """
        if self.block is None:
            return
        self._drive.adopt()
        self._progress, self._unit = SequenceProgress(lines_of(table), repeats=repeats), unit
        self.frames = self._progress.total_frames

    # Running

    async def start(self) -> None:
        """Enable it once it is ready, and see that it runs.

        Raises:
            SequenceError: it has no table, or does not start.
        """
        if self._drive.port is not None:
            await self._until_ready(self._drive.port)
        if self.loading is not None and not self.loading.handed_over:
            self._feeding = asyncio.create_task(self.loading.feed(), name=f"feed {self.name}")
        self.running = True
        await self._drive.enable()
        try:
            await wait_for_value(self.seq.active, True, timeout=START_TIMEOUT)
        except TimeoutError as slow:
            raise await self._error("it did not start, though it was ready and enabled") from slow

    async def _until_ready(self, port: SessionTablePort) -> None:
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                while (await port.status()).state != READY:  # noqa: ASYNC110  the box tells nobody
                    await asyncio.sleep(READY_PERIOD)
        except TimeoutError as slow:
            what = f"its table is not ready {READY_TIMEOUT:g} s after it was written"
            raise await self._error(what) from slow

    async def finish(self) -> None:
        """Wait until it has played everything, or was interrupted.

        Raises:
            SequenceError: it stopped early, was disabled, starved, or nothing moves any more.
        """
        if self._drive.port is None:
            await wait_for_value(self.seq.active, False, timeout=None)
            return
        watching = asyncio.create_task(
            until_over(self._look, self._patience, self._note), name=f"watch {self.name}"
        )
        try:
            await self._either(watching)
        except SequenceError:
            if not self._stopping:
                raise
            return  # what a stream says of being interrupted
        except StalledError as stall:
            if self._stopping:
                return
            what = f"nothing has moved for {stall.quiet:.1f} s"
            raise await self._error(what, stall.moment) from None
        finally:
            watching.cancel()
            self.running = False
        await self._judge()

    async def _either(self, watching: asyncio.Task[Moment]) -> None:
        """Wait for the end, or for feeding to fail first."""
        feeding = self._feeding
        waits: set[asyncio.Task[Any]] = {watching} | ({feeding} if feeding else set())
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if feeding is not None and feeding in done and not self._stopping:
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
        await self._drive.ended()

    def _is_complete(self, end: Moment) -> bool:
        return self.frames is None or end.done >= self.frames

    # Stopping

    async def until_waiting(self) -> None:
        """Return when no frame is under way: it waits for a window, or is over."""
        while (status := await self._status()).active and status.state != WAITING:  # noqa: ASYNC110
            await asyncio.sleep(READY_PERIOD)

    async def interrupt(self) -> None:
        """Stop now, on purpose: `finish` returns, and what was complete is complete."""
        self._stopping = True
        if self.running and self._drive.port is not None:
            self.begun = await self._frames_begun()
        await self._drive.disable()
        await self._stop_feeding()

    async def _frames_begun(self) -> int | None:
        try:
            status = await self._status()
        except SequenceError as fault:  # which is no reason not to stop
            return fault.frames_done
        return self._frames_done(status) + (status.active and status.state != WAITING)

    async def stop(self) -> None:
        """Disable it, and drop a stream that it has not played.

        Raises:
            TimeoutError: it stays active.
        """
        await self.interrupt()
        await self._drive.until_idle(START_TIMEOUT)
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

    async def _status(self) -> TableStatus:
        if self._drive.port is None:
            raise RuntimeError("a sequencer in mock mode has nothing to look at")
        return await (self._drive.port.status() if self.loading is None else self.loading.check())

    async def _look(self) -> Moment:
        status = await self._status()
        done = self._frames_done(status)
        waits_for, inputs = await self._waits_for(status)
        return Moment(
            active=not self._is_over(status),
            health=status.health,
            done=done,
            at=(status.place, status.state),
            due=self._due(status),
            waits_for=waits_for,
            inputs=inputs,
            levels="waiting for BIT" in waits_for,
        )

    def _frames_done(self, status: TableStatus) -> int:
        return self._progress.frames_done(*self._place(status), SeqState[status.state])

    def _place(self, status: TableStatus) -> tuple[int, int, int]:
        return status.place if self.loading is None else self.loading.place(status)

    def _is_over(self, status: TableStatus) -> bool:
        return not status.active if self.loading is None else self.loading.is_over(status)

    def _due(self, status: TableStatus) -> float:
        """Return what one repeat of the present line takes, s."""
        line = self._progress.line(self._place(status)[1])
        if line is None or status.state == WAITING:
            return 0.0
        repeats = max(int(line.repeats[0]), 1)
        return int(line.line_ticks()[0]) / repeats * self._unit

    async def _waits_for(self, status: TableStatus) -> tuple[str, dict[str, str]]:
        """Return what it waits for in words, and what that depends on with its present value."""
        words = self._progress.waits_for(self._place(status)[1], SeqState[status.state])
        names = _INPUT.findall(words)
        if not names or self.block is None:
            # State and line may be of two ticks: then the line is one that waits for nothing
            return "", {}
        (name,) = names
        source = (await self.block.read(name))[name]
        if "." not in source:
            return f"{words}, but {name} is {source}: connect it", {}
        (value,) = await self.block.ask([source])
        return f"{words} ({name} is {source}, at {value})", {source: value}

    async def _error(self, what: str, moment: Moment | None = None) -> SequenceError:
        status = await self._status()
        of = "" if self.frames is None else f" of {self.frames}"
        done = self._frames_done(status)
        waits = moment.waits_for if moment else ""
        reason = f"{done}{of} frames: {what}{f', {waits}' if waits else ''}"
        return SequenceError(self.name, reason, health=status.health, line=status.line)


_INPUT = re.compile(r"(?:BIT|POS)[ABC]")

_REASONS = {
    "DMA underrun": "the table ran dry: lines came later than they were played",
    "Not ready for table": "somebody wrote its table while it ran",
}


def tapped(lines: Iterator[SeqLines], progress: SequenceProgress) -> Iterator[SeqLines]:
    """Yield batches of lines and remember them."""
    for batch in lines:
        progress.add(batch)
        yield batch


def as_table(lines: SeqLines) -> SeqTable:
    """Return lines as the framework's table, however many there are."""
    columns: dict[str, Any] = dict(lines.columns())
    columns["trigger"] = [SeqTrigger(Trigger(code).label) for code in lines.trigger.tolist()]
    # not validated: upstream's class knows only the 4096 lines of old firmware
    return SeqTable.model_construct(**columns)


def lines_of(table: SeqTable) -> SeqLines:
    """Return a table of the framework as lines; each repeat of a line counts as a frame.

    Raises:
        FieldValueError: a trigger has no name, or a number does not fit.
    """
    codes = {trigger.label: trigger for trigger in Trigger}
    outputs = [
        sum(np.asarray(getattr(table, f"out{letter}{phase}"), np.int64) << bit
            for bit, letter in enumerate("abcdef"))
        for phase in (1, 2)
    ]  # fmt: skip
    try:
        trigger = [int(codes[getattr(item, "value", item)]) for item in table.trigger]
    except KeyError as unknown:
        reason = f"it is one of {', '.join(codes)}"
        raise FieldValueError("trigger", unknown.args[0], reason) from None
    return SeqLines.of(
        repeats=table.repeats,
        trigger=trigger,
        position=table.position,
        time1=table.time1,
        outputs1=outputs[0],
        time2=table.time2,
        outputs2=outputs[1],
        frames=table.repeats,
    )
