"""COUNTER: counts the edges of a bit up and down, between two limits.

Source: blocks.md 5.4.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.base import ANYWHERE, Interval, Step, is_edge, signed


class Counter:
    """A count that is put out as it changes, or when it is disabled (OUT_MODE)."""

    bit_inputs: tuple[str, ...] = ("ENABLE", "TRIG", "DIR")
    position_inputs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._set: dict[str, int] = dict.fromkeys(
            ("ENABLE", "TRIG", "DIR", "TRIG_EDGE", "OUT_MODE", "START", "STEP", "MAX", "MIN"), 0
        )
        self._limits: Interval = ANYWHERE
        self._new_limits: tuple[int, Interval] | None = None
        self._count = 0
        self._carry = 0
        self._wrapped = 0
        self._result = 0
        self._held = (0, 0)

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        if self._new_limits and self._new_limits[0] <= tick:
            self._limits = self._new_limits[1]
            self._new_limits = None
        now = self._set
        enable, trig = now["ENABLE"], now["TRIG"]
        now.update(changes)
        if "MAX" in changes or "MIN" in changes:
            limits = signed(now["MIN"]), signed(now["MAX"])
            self._new_limits = tick + 1, ANYWHERE if limits == (0, 0) else limits
        if now["ENABLE"] > enable:
            self._restart(now["START"])
        elif "SET" in changes:
            self._restart(changes["SET"])
        elif now["ENABLE"] < enable:
            self._stop()
        elif now["ENABLE"] and now["TRIG"] != trig:
            self._trigger(is_edge(now["TRIG_EDGE"], trig, now["TRIG"]))
        if now["OUT_MODE"] & 1:
            return {"OUT": self._held[0], "CARRY": self._held[1]}, None
        return {"OUT": self._count, "CARRY": self._carry}, None

    def _restart(self, value: int) -> None:
        self._count = signed(value)
        self._wrapped = 0

    def _stop(self) -> None:
        self._carry = 0
        # the result of the last counted edge, not the count: START and SET do not show
        self._held = self._result, self._wrapped

    def _trigger(self, counts: bool) -> None:
        self._carry = 0
        if not counts:
            return
        step = signed(self._set["STEP"]) or 1
        count = self._count - step if self._set["DIR"] else self._count + step
        low, high = self._limits
        if count > high:
            count -= high - low + 1
            self._carry = self._wrapped = 1
        elif count < low:
            count += high - low + 1
            self._carry = self._wrapped = 1
        self._count = self._result = signed(count)
