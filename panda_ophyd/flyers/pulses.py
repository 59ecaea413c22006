"""A PULSE that makes a frame of each external trigger: enabled to fly, and asked for what it lost.

Source: flyscan.md 5; blocks.md 5.9.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ophyd_async.fastcs.panda import PandaBitMux, PandaTimeUnits, PulseBlock
from typing_extensions import override

from panda_ophyd.errors import FieldValueError
from panda_ophyd.flyers.device import PandaFlyableLogic

SHORTEST = 5 * 8e-9
"""Seconds of the shortest width or delay that the block makes."""


@dataclass(frozen=True)
class PulseInfo:
    """What is made of each trigger.

    Attributes:
        width: seconds a frame is live.
        delay: seconds from the trigger to its beginning.
    """

    width: float
    delay: float = 0.0


@dataclass
class PulseFlyableLogic(PandaFlyableLogic[PulseInfo, None]):
    """A frame for each trigger, for as long as anybody wants rows.

    Attributes:
        pulse: ``panda.pulse[1]``.
        panda: is paused before the block is disabled.
    """

    pulse: PulseBlock
    panda: Any = field(default=None, kw_only=True, repr=False)
    interrupted: bool = field(default=False, init=False)
    _running: bool = field(default=False, init=False, repr=False)

    @override
    async def on_prepare(self, value: PulseInfo) -> None:
        for name, seconds in (("width", value.width), ("delay", value.delay)):
            if seconds < 0 or (0 < seconds < SHORTEST) or (name == "width" and not seconds):
                reason = f"the block makes no time shorter than {SHORTEST:g} s"
                raise FieldValueError(f"{self.pulse.name} {name}", seconds, reason)
        self.interrupted = self._running = False
        pulse: Any = self.pulse
        await pulse.enable.set(PandaBitMux.ZERO)
        times = {"width": value.width, "delay": value.delay, "step": 0.0}
        for name, seconds in times.items():  # units before the value, which they would scale
            units = getattr(pulse, f"{name}_units", None)
            if units is not None:
                await units.set(PandaTimeUnits.S)
            await getattr(pulse, name).set(seconds)
        await pulse.pulses.set(1)

    @override
    async def on_kickoff(self, ctx: None) -> None:
        self._running = True
        await self.pulse.enable.set(PandaBitMux.ONE)

    @override
    async def on_complete(self, ctx: None) -> None:
        """Return at once: how many triggers there are is for others to say."""

    @override
    async def on_pause(self) -> None:
        if not self._running:
            return
        self.interrupted = True
        if self.panda is not None:
            await self.panda.pause()
        await self.pulse.enable.set(PandaBitMux.ZERO)

    @override
    async def stop(self) -> None:
        self._running = False
        await self.pulse.enable.set(PandaBitMux.ZERO)
