"""Position compare with PCOMP: every register is set, every end is judged.

Leftovers of an earlier user cannot change a scan, a jump of the position is an error and no
success, and a stage that never comes is reported with where it stands.

Source: flyscan.md 2.3 (16 to 20), S4; blocks.md 5.8.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from ophyd_async.core import wait_for_value
from ophyd_async.fastcs.panda import PandaBitMux, PandaPcompDirection, PcompBlock, PcompInfo
from typing_extensions import override

from panda_ophyd.errors import CompareError, FieldValueError
from panda_ophyd.flyers.block import Block, block_behind
from panda_ophyd.flyers.device import PandaFlyableLogic
from panda_ophyd.flyers.watch import PATIENCE, Moment, StalledError, until_over

START_TIMEOUT = 1.0
"""Seconds for the block to become active: it does so at once, and one poll tells."""

_INT32 = 1 << 31
_FIELDS = ("ACTIVE", "STATE", "HEALTH", "PRODUCED", "INP")
_WAIT_FALLING = "WAIT_FALLING"


@dataclass(frozen=True)
class CompareRun:
    """A compare that is set up.

    Attributes:
        info: what was asked for.
        block: of the connected box, None in mock mode.
    """

    info: PcompInfo
    block: Block | None


@dataclass
class StaticPcompFlyableLogic(PandaFlyableLogic[PcompInfo, CompareRun]):
    """Upstream's logic of this name, with its faults mended.

    Attributes:
        pcomp: ``panda.pcomp[1]``.
        inp: position to compare (``INENC1.VAL``), None to leave the input as it is.
        pre_start: counts that the stage must be before the start before it counts.
        patience: seconds without any movement after which `complete` fails; None for never.
        panda: is paused before the block is disabled; None where nobody captures.
    """

    pcomp: PcompBlock
    inp: str | None = None
    pre_start: int = 0
    patience: float | None = PATIENCE
    panda: Any = field(default=None, kw_only=True, repr=False)
    interrupted: bool = field(default=False, init=False)
    _running: bool = field(default=False, init=False, repr=False)
    _moment: Moment | None = field(default=None, init=False, repr=False)
    _wanted: int = field(default=0, init=False, repr=False)

    @override
    async def on_prepare(self, value: PcompInfo) -> CompareRun:
        check_compare(value, self.pre_start, self.pcomp.name)
        self._moment, self._wanted = None, value.number_of_pulses
        self.interrupted = self._running = False
        pcomp: Any = self.pcomp
        await pcomp.enable.set(PandaBitMux.ZERO)
        block = block_behind(self.pcomp, "enable")
        settings: dict[str, Any] = {
            "relative": "Absolute",
            "pre_start": self.pre_start,
            "start": value.start_position,
            "width": value.pulse_width,
            "step": value.rising_edge_step,
            "pulses": value.number_of_pulses,
            "dir": value.direction,
        }
        if self.inp is not None:
            settings["inp"] = self.inp
        # In mock mode there is only what upstream has annotated
        present = {name: text for name, text in settings.items() if hasattr(pcomp, name)}
        await asyncio.gather(*(getattr(pcomp, name).set(text) for name, text in present.items()))
        if block is not None:
            await _check_input(block)
        return CompareRun(value, block)

    async def _run_of(self, ctx: CompareRun | None) -> CompareRun:
        """Return the run, from the registers if a subclass written for upstream's passed none."""
        if ctx is not None:
            return ctx
        pcomp = self.pcomp
        start, width, step, pulses, direction = await asyncio.gather(
            pcomp.start.get_value(),
            pcomp.width.get_value(),
            pcomp.step.get_value(),
            pcomp.pulses.get_value(),
            pcomp.dir.get_value(),
        )
        self._wanted = pulses
        info = PcompInfo.model_construct(
            start_position=start,
            pulse_width=width,
            rising_edge_step=step,
            number_of_pulses=pulses,
            direction=direction,
        )
        return CompareRun(info, block_behind(pcomp, "enable"))

    @override
    async def on_kickoff(self, ctx: CompareRun | None) -> CompareRun:
        ctx = await self._run_of(ctx)
        self._running = True
        await self.pcomp.enable.set(PandaBitMux.ONE)
        await self._wait_active(ctx)
        return ctx

    async def _wait_active(self, ctx: CompareRun) -> None:
        try:
            await wait_for_value(self.pcomp.active, True, timeout=START_TIMEOUT)
        except TimeoutError as slow:
            raise self._error(ctx, "it did not start, though it was enabled", None) from slow

    @override
    async def on_complete(self, ctx: CompareRun | None) -> None:
        ctx = await self._run_of(ctx)
        if ctx.block is None:
            await wait_for_value(self.pcomp.active, False, timeout=None)
            return
        block = ctx.block
        patience = self.patience if ctx.info.number_of_pulses else None
        try:
            end = await until_over(lambda: _look(block, ctx.info), patience, self._note)
        except StalledError as stall:
            if self.interrupted:
                return
            what = f"nothing has moved for {stall.quiet:.1f} s, and it waits for"
            raise self._error(ctx, f"{what} {stall.moment.waits_for}", stall.moment) from None
        self._running = False
        if self.interrupted:
            return
        if not end.healthy:
            raise self._error(ctx, f"{end.health}; {_ADVICE}", end)
        if end.done < ctx.info.number_of_pulses:
            raise self._error(ctx, "it was disabled before its last pulse", end)

    def _note(self, moment: Moment) -> None:
        self._moment = moment

    @override
    def progress(self) -> tuple[int, int | None] | None:
        return None if self._moment is None else (self._moment.done, self._wanted or None)

    def _error(self, ctx: CompareRun, what: str, moment: Moment | None) -> CompareError:
        name = ctx.block.name if ctx.block else self.pcomp.name
        done = moment.done if moment else 0
        wanted = ctx.info.number_of_pulses
        return CompareError(
            f"{name}: {done} of {wanted or 'any number of'} pulses: {what}",
            block=name,
            health=moment.health if moment else "",
            produced=done,
        )

    @override
    async def on_pause(self) -> None:
        if not self._running:
            return
        self.interrupted = True
        if self.panda is not None:
            await self.panda.pause()
        await self.pcomp.enable.set(PandaBitMux.ZERO)

    @override
    async def stop(self) -> None:
        await self.pcomp.enable.set(PandaBitMux.ZERO)
        await wait_for_value(self.pcomp.active, False, timeout=START_TIMEOUT)


_ADVICE = "the position is faulty, or moves faster than one STEP a tick: check encoder and cable"


def check_compare(info: PcompInfo, pre_start: int, name: str) -> None:
    """Refuse what PCOMP cannot do.

    Raises:
        FieldValueError: the last edge is beyond 32 bits, pulses would touch, or a dead band is
            negative.

    Source: blocks.md 5.8, fault limits.
    """
    width, step, pulses = info.pulse_width, info.rising_edge_step, info.number_of_pulses
    if pulses != 1 and width >= step:
        reason = f"the next pulse begins {step} counts after it; take less"
        raise FieldValueError(f"{name} pulse_width", width, reason)
    if pre_start < 0:
        raise FieldValueError(f"{name} pre_start", pre_start, "it is 0 or more")
    down = info.direction == PandaPcompDirection.NEGATIVE
    length = max(pulses - 1, 0) * step + width
    ends = (info.start_position, info.start_position + (-length if down else length))
    for end in ends:
        if not -_INT32 <= end < _INT32:
            reason = "a position has 32 bits, and this scan would leave them: preset the encoder"
            raise FieldValueError(f"{name} position", end, reason)


async def _check_input(block: Block) -> None:
    source = (await block.read("INP"))["INP"]
    if source == "ZERO":
        raise CompareError(
            f"{block.name}: INP is connected to nothing, so no position can be compared: set"
            f" {block.name}.INP, to INENC1.VAL for example",
            block=block.name,
            health="",
            produced=0,
        )


async def _look(block: Block, info: PcompInfo) -> Moment:
    texts = await block.read(*_FIELDS)
    source = texts["INP"]
    (position,) = await block.ask([source]) if "." in source else ("",)
    produced = int(texts["PRODUCED"] or 0)
    return Moment(
        active=texts["ACTIVE"] == "1",
        health=texts["HEALTH"],
        done=produced,
        at=(produced, texts["STATE"]),
        waits_for=_wait(info, produced, texts["STATE"], source, position),
        inputs={source: position},
    )


def _wait(info: PcompInfo, produced: int, state: str, source: str, position: str) -> str:
    sign = -1 if info.direction == PandaPcompDirection.NEGATIVE else 1
    here = f"{source} is {position or 'unknown'}"
    ends = state == _WAIT_FALLING
    edge = info.start_position + sign * (
        (produced - 1) * info.rising_edge_step + info.pulse_width
        if ends
        else produced * info.rising_edge_step
    )
    past, before = ("<=", "above") if sign < 0 else (">=", "below")
    if state == "WAIT_PRE_START":
        return (
            f"{source} {before} START, {info.start_position}; {here}, which is past it already:"
            f" move {before} it before kickoff"
        )
    which = f"to end pulse {produced}" if ends else f"for pulse {produced + 1}"
    return f"{source} {past} {edge} {which}; {here}: let the stage go on past it"
