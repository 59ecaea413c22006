"""Flyers that play a table: what all of them do, and the one whose table is given.

Source: flyscan.md 2.1, 2.3, 3.6.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from ophyd_async.fastcs.panda import PandaTimeUnits, SeqBlock, SeqTableInfo
from typing_extensions import override

from panda_ophyd.flyers.block import block_behind
from panda_ophyd.flyers.device import PandaFlyableLogic
from panda_ophyd.flyers.drives import Drive, Loads, OneSequencer, TwoByTurns
from panda_ophyd.flyers.sequencer import Sequence, Sequencer
from panda_ophyd.flyers.watch import PATIENCE
from panda_ophyd.loading import SessionTablePort, TurnWiring
from panda_ophyd.loading.chunks import Cutter
from panda_ophyd.sequences import CLOCK

PrepareT = TypeVar("PrepareT")

US = 1e-6
"""Seconds."""


@dataclass
class SequenceFlyableLogic(PandaFlyableLogic[PrepareT, None]):
    """A flyer that plays what `play` makes of what it is prepared with.

    Attributes:
        seq: ``panda.seq[1]``.
        patience: seconds without any movement after which `complete` fails; None for never.
        panda: is paused before the sequencer is disabled, so that a frame under way leaves no
            short row; None where nobody captures.
        speed: how many times faster than ours the time of the box passes; for simulators.
        turns: two sequencers that take turns, the first of which is `seq`, wired so, for scans
            of any length on a server that cannot stream; None: only `seq`, by its ENABLE.
        loads: how lines are cut when they do not all fit.
        interrupted: whether the last run was paused before its end.
    """

    seq: SeqBlock
    patience: float | None = field(default=PATIENCE, kw_only=True)
    panda: Any = field(default=None, kw_only=True, repr=False)
    speed: float = field(default=1.0, kw_only=True)
    turns: TurnWiring | None = field(default=None, kw_only=True)
    loads: Loads = field(default_factory=Loads, kw_only=True)
    interrupted: bool = field(default=False, init=False)

    @cached_property
    def sequencer(self) -> Sequencer:
        """What drives it; made late, for subclasses whose ``__init__`` is their own."""
        return Sequencer(self.seq, self.patience, self._drive())

    def _drive(self) -> Drive:
        loads = getattr(self, "loads", None) or Loads()  # which a subclass may not have set
        if self.turns is None:
            return OneSequencer(self.seq, loads)
        return TwoByTurns(self.seq, self.turns, loads)

    @abstractmethod
    async def play(self, value: PrepareT, clock: float) -> Sequence:
        """Return what is to be played.

        Args:
            value: what the flyer is prepared with.
            clock: ticks a second.
        """

    async def is_too_long(self, value: PrepareT) -> bool:
        """Return whether a scan does not fit the table of a box that cannot stream either.

        Such a scan needs `turns`. Lines are counted up to what fits, none is written.

        Raises:
            FieldValueError: there is no such scan.
            PandaError: the box cannot be asked.
        """
        block = block_behind(self.seq, "enable")
        if block is None:
            return False
        port = SessionTablePort(block.session, f"{block.name}.TABLE")
        self.loads.lower(port)
        if await port.supports_streaming():
            return False
        sequence = await self.play(value, block.session.box.clock_frequency)
        held = await asyncio.to_thread(Cutter(sequence.lines).fill, port.max_lines + 1)
        return held > port.max_lines

    @override
    async def on_prepare(self, value: PrepareT) -> None:
        self.interrupted = False
        await self.sequencer.reset()
        block = self.sequencer.block
        clock = CLOCK if block is None else block.session.box.clock_frequency
        await self.sequencer.set_up(await self.play(value, clock), clock * self.speed)

    @override
    async def on_kickoff(self, ctx: None) -> None:
        await self.sequencer.start()

    @override
    async def on_complete(self, ctx: None) -> None:
        await self.sequencer.finish()

    @override
    def progress(self) -> tuple[int, int | None] | None:
        moment = self.sequencer.moment
        return None if moment is None else (moment.done, self.sequencer.frames)

    @override
    async def on_pause(self) -> None:
        """Stop, so that `complete` returns; whoever prepares again goes on where rows end."""
        if not self.sequencer.running:
            return
        self.interrupted = True
        if self.panda is not None:
            await self.panda.pause()
        await self.sequencer.interrupt()

    @property
    @override
    def frames_begun(self) -> int | None:
        return self.sequencer.begun

    async def finish_window(self) -> None:
        """Pause when the window under way is over, so that no frame of it is cut.

        Raises:
            PandaError: it cannot be asked.
        """
        if self.sequencer.running:
            await self.sequencer.until_waiting()
        if self.panda is not None:
            await self.panda.pause()

    @override
    async def stop(self) -> None:
        await self.sequencer.stop()


@dataclass
class StaticSeqTableFlyableLogic(SequenceFlyableLogic[SeqTableInfo]):
    """Upstream's logic of this name: plays a table as it is given, with its faults mended."""

    @override
    async def on_prepare(self, value: SeqTableInfo) -> None:
        self.interrupted = False
        await self.sequencer.reset()
        # Units before value, or the PandA scales the value there is
        await self.seq.prescale_units.set(PandaTimeUnits.US)
        await asyncio.gather(
            self.seq.prescale.set(value.prescale_as_us),
            self.seq.repeats.set(value.repeats),
            self.seq.table.set(value.sequence_table),
        )
        self.sequencer.adopt_table(
            value.sequence_table, value.repeats, value.prescale_as_us * US or 1 / CLOCK
        )

    @override
    async def play(self, value: SeqTableInfo, clock: float) -> Sequence:
        raise NotImplementedError("a table is set as it is given")
