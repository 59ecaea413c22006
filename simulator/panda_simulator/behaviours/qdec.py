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
    """Counts changes of phase, two ticks later; of steps on consecutive ticks every second."""

    bit_inputs: tuple[str, ...] = ("LINKUP_INCR", "A", "B", "Z")
    position_inputs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._set: dict[str, int] = dict.fromkeys((*self.bit_inputs, "RST_ON_Z"), 0)
        self._phase = 0
        self._due: dict[int, int] = {}
        self._reversed_at: int | None = None
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

    def _step(self, tick: int, step: int) -> None:
        # a step taken on the tick before is due on the next one
        taken_before = self._due.get(tick - 1 + _LATENCY)
        if taken_before is None:
            # Recorded from the FPGA (vectors/QDEC.jsonl, "random 1", tick 171), written
            # nowhere: a step up and a lost step down turn a third one, down, into one up.
            self._due[tick + _LATENCY] = 1 if self._reversed_at == tick - 1 else step
            self._reversed_at = None
        else:
            self._reversed_at = tick if taken_before > step else None
