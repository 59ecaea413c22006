"""QDEC: the quadrature decoder inside INENC.

Source: blocks.md 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.base import Step, signed

PHASES = {(0, 0): 0, (1, 0): 1, (1, 1): 2, (0, 1): 3}
"""Phase of the lines (A, B): one up is one count up."""

_LATENCY = 2
_STEPS = {1: 1, 3: -1}


class Qdec:
    """Counts changes of phase, two ticks later; of steps on consecutive ticks every second.

    A step raises two flags for one tick: that there is one to count, and that it goes
    down. A flag cannot be raised on the tick after it was, so the second of two steps in a
    row is lost, and the third of three can be counted the wrong way.
    """

    bit_inputs: tuple[str, ...] = ("LINKUP_INCR", "A", "B", "Z")
    position_inputs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._set: dict[str, int] = dict.fromkeys((*self.bit_inputs, "RST_ON_Z"), 0)
        self._phase = 0
        self._due: dict[int, int] = {}
        self._taken_at = self._down_at = -1
        self._count = 0
        self._homed = 0

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        now = self._set
        now.update(changes)
        phase = PHASES[now["A"], now["B"]]
        step = _STEPS.get((phase - self._phase) % 4)
        self._phase = phase
        if step:
            self._step(tick, step)
        due = self._due.pop(tick, 0)
        if not now["LINKUP_INCR"]:
            self._homed = 0
        elif now["RST_ON_Z"] & 1 and now["Z"]:
            self._count, self._homed = 0, 1
        elif "SETP" in changes:
            self._count, self._homed = signed(changes["SETP"]), 1
        else:
            self._count = signed(self._count + due)
        return {"OUT": self._count, "HOMED": self._homed}, min(self._due, default=None)

    def settled(self, a: int, b: int, z: int) -> bool:
        """Tell whether lines at these levels change nothing more."""
        held = bool(self._set["RST_ON_Z"] & 1 and z and self._count)
        return (a, b, z) == tuple(self._set[name] for name in "ABZ") and not held

    def _step(self, tick: int, step: int) -> None:
        down = step < 0 and self._down_at != tick - 1
        if down:
            self._down_at = tick
        if self._taken_at != tick - 1:
            self._taken_at = tick
            self._due[tick + _LATENCY] = -1 if down else 1
