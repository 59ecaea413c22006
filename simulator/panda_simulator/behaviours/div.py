"""DIV: every n-th pulse to one output, the others to the other.

Source: blocks.md 5.5.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.base import Step


class Div:
    """A pulse divider; disabled, or its settings written, it is reset."""

    bit_inputs: tuple[str, ...] = ("ENABLE", "INP")
    position_inputs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._set: dict[str, int] = {"ENABLE": 0, "INP": 0, "DIVISOR": 0, "FIRST_PULSE": 0}
        self._count = 0
        self._pulse = ""

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        del tick
        now = self._set
        before = now["INP"]
        now.update(changes)
        last = max(now["DIVISOR"], 1) - 1
        if not now["ENABLE"] or "DIVISOR" in changes or "FIRST_PULSE" in changes:
            self._count = last if now["FIRST_PULSE"] & 1 else 0
            self._pulse = ""
        elif now["INP"] > before:
            self._pulse = "OUTD" if self._count == last else "OUTN"
            self._count = 0 if self._count == last else self._count + 1
        elif not now["INP"]:
            self._pulse = ""
        return {
            "OUTD": int(self._pulse == "OUTD"),
            "OUTN": int(self._pulse == "OUTN"),
            "COUNT": self._count,
        }, None
