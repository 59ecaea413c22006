"""LUT: any logic function of five bits, or of their edges.

Source: blocks.md 5.7.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.base import Step

_INPUTS = "ABCDE"


class Lut:
    """Looks up a 32-bit truth table; an edge input is 1 on the tick of its edge alone."""

    bit_inputs: tuple[str, ...] = ("INPA", "INPB", "INPC", "INPD", "INPE")
    position_inputs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._set = {"FUNC": 0}
        self._types = dict.fromkeys(_INPUTS, 0)
        self._levels = dict.fromkeys(_INPUTS, 0)

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        self._set["FUNC"] = changes.get("FUNC", self._set["FUNC"])
        index = 0
        pulses = False
        for letter in _INPUTS:
            kind = self._types[letter] = changes.get(f"TYPE{letter}", self._types[letter]) & 3
            before = self._levels[letter]
            now = self._levels[letter] = changes.get(f"INP{letter}", before)
            if kind == 0:
                value = now
            else:
                # types 1, 2, 3: bit 0 selects rising, bit 1 falling edges
                value = int(now != before and bool(kind & (1 if now else 2)))
                pulses = pulses or bool(value)
            index = index << 1 | value
        return {"OUT": self._set["FUNC"] >> index & 1}, tick + 1 if pulses else None
