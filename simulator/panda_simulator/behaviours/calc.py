"""CALC: the sum of four positions.

Source: blocks.md 5.2.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.base import Step, signed

_MAX_SHIFT = 2


class Calc:
    """An exact sum of four signed terms, shifted right, its low 32 bits taken as signed."""

    bit_inputs: tuple[str, ...] = ()
    position_inputs: tuple[str, ...] = ("INPA", "INPB", "INPC", "INPD")

    def __init__(self) -> None:
        self._set: dict[str, int] = dict.fromkeys(
            (*self.position_inputs, "TYPEA", "TYPEB", "TYPEC", "TYPED", "SHIFT"), 0
        )

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        del tick
        now = self._set
        now.update(changes)
        total = sum(
            -now[f"INP{term}"] if now[f"TYPE{term}"] & 1 else now[f"INP{term}"] for term in "ABCD"
        )
        return {"OUT": signed(total >> min(now["SHIFT"] & 3, _MAX_SHIFT))}, None
