"""SRGATE: a flip-flop that edges set and reset.

Source: blocks.md 5.12.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.base import Step, is_edge


class Srgate:
    """Reset wins over set, a forced one over an edge."""

    bit_inputs: tuple[str, ...] = ("ENABLE", "SET", "RST")
    position_inputs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._set: dict[str, int] = dict.fromkeys(
            ("ENABLE", "SET", "RST", "WHEN_DISABLED", "SET_EDGE", "RST_EDGE"), 0
        )
        self._out = 0

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        del tick
        now = self._set
        set_before, reset_before = now["SET"], now["RST"]
        now.update(changes)
        if not now["ENABLE"]:
            self._out = (0, 1, self._out, self._out)[now["WHEN_DISABLED"] & 3]
        elif "FORCE_RST" in changes:
            self._out = 0
        elif "FORCE_SET" in changes:
            self._out = 1
        elif is_edge(now["RST_EDGE"], reset_before, now["RST"]):
            self._out = 0
        elif is_edge(now["SET_EDGE"], set_before, now["SET"]):
            self._out = 1
        return {"OUT": self._out}, None
