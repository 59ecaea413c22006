"""BITS: four constants.

Source: blocks.md 5.1.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.base import Step


class Bits:
    """OUTx is the lowest bit of x, from the tick of the write on."""

    bit_inputs: tuple[str, ...] = ()
    position_inputs: tuple[str, ...] = ()

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        del tick
        return {f"OUT{name}": value & 1 for name, value in changes.items() if name in "ABCD"}, None
