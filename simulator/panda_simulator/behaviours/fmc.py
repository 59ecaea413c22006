"""FMC_24V_IN and FMC_24V_OUT: eight connectors of 24 V each, in one block.

The card is there and healthy. Outputs are off until both their power and their drivers
are switched on, as on the card.
"""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import override

from panda_simulator.behaviours.base import Step
from panda_simulator.behaviours.ports import LEVEL, InputPort, OutputPort

_CHANNELS = range(1, 9)
_LEVELS = tuple(f"{LEVEL}{channel}" for channel in _CHANNELS)
_PRESENT = 1
_NO_FAULT = 3
"""Two alarms that are low when there is one: under-voltage, and temperature."""


class Fmc24vIn(InputPort):
    """VAL1 … VAL8 are the levels of the connectors, at the tick at which they are driven."""

    levels: tuple[str, ...] = _LEVELS
    bit_inputs: tuple[str, ...] = _LEVELS

    @override
    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        del tick
        levels = {
            f"VAL{channel}": changes[name]
            for channel, name in zip(_CHANNELS, _LEVELS, strict=True)
            if name in changes
        }
        return {"FMC_PRSNT": _PRESENT, "FAULT": _NO_FAULT, **levels}, None


class Fmc24vOut(OutputPort):
    """The connectors have the levels of VAL1 … VAL8 while PWR_ON and EN are set."""

    levels: tuple[str, ...] = _LEVELS
    bit_inputs: tuple[str, ...] = tuple(f"VAL{channel}" for channel in _CHANNELS)

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    @override
    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        del tick
        self._known.update(changes)
        on = bool(self._known.get("PWR_ON") and self._known.get("EN"))
        driven = (int(on and bool(self._known.get(name))) for name in self.bit_inputs)
        return {"FMC_PRSNT": _PRESENT, **dict(zip(_LEVELS, driven, strict=True))}, None
