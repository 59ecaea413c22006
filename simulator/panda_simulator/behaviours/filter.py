"""FILTER: difference or mean of a position.

Source: blocks.md 5.6.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.base import Outputs, Step, earliest, signed

_DIVISION = 35
_FALL_TO_READY = 2
_FAULT_DELAY = 2
_OVERFLOW, _RETRIGGERED = 1, 2
_SUM_LIMIT = 1 << 62


def _mean(total: int, count: int) -> int:
    """Divide towards zero; -1 for a mean of nothing."""
    if count <= 0:
        return -1
    return total // count if total >= 0 else -(-total // count)


class Filter:
    """Mean since the rising ENABLE, or difference since the trigger before."""

    bit_inputs: tuple[str, ...] = ("ENABLE", "TRIG")
    position_inputs: tuple[str, ...] = ("INP",)

    def __init__(self) -> None:
        self._set: dict[str, int] = {"ENABLE": 0, "TRIG": 0, "INP": 0, "MODE": 0}
        self._outputs: Outputs = {"OUT": 0, "READY": 0, "HEALTH": 0}
        self._reference = 0
        self._summing = False
        self._sum = 0
        self._count = 0
        self._summed_to = 0
        self._triggered = 0
        self._result: int | None = None
        self._ready_at: int | None = None
        self._unready_at: int | None = None
        self._fault_at: int | None = None
        self._faulty = False

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        now = self._set
        enable, trig, position = now["ENABLE"], now["TRIG"], now["INP"]
        self._accumulate(tick)
        now.update(changes)
        rising, trigger = now["ENABLE"] > enable, now["TRIG"] > trig
        if now["MODE"] & 1:
            self._settle(tick)
            if trigger and enable:
                self._begin_division(tick)
            elif self._result is not None and now["TRIG"] < trig:
                self._end_trigger(tick, position)
            if rising:
                self._enable_average(tick)
        else:
            self._difference(tick, rising, trigger)
        if now["ENABLE"] < enable:
            self._accumulate(tick + 1)
            self._summing = False
        wakes = (self._ready_at, self._unready_at, self._fault_at, self._overflow_at(tick))
        return self._outputs, earliest(*wakes)

    def _difference(self, tick: int, rising: bool, trigger: bool) -> None:
        # a division that was under way when MODE changed is forgotten
        self._result = self._ready_at = self._fault_at = None
        if rising:
            self._outputs["HEALTH"] = 0
            self._reference = self._set["INP"]
            self._unready_at = tick + 1
            return
        if trigger:
            self._outputs["OUT"] = signed(self._set["INP"] - self._reference)
            self._reference = self._set["INP"]
            self._unready_at = tick + 1
        elif self._unready_at is not None and self._unready_at <= tick:
            self._unready_at = None
        self._outputs["READY"] = int(trigger)

    def _accumulate(self, tick: int) -> None:
        """Add the input as it is to the sum, once for each tick up to the one before `tick`."""
        if self._summing and tick - 1 > self._summed_to:
            ticks = tick - 1 - self._summed_to
            self._sum += self._set["INP"] * ticks
            self._count += ticks
            self._summed_to = tick - 1

    def _enable_average(self, tick: int) -> None:
        self._outputs["HEALTH"] = 0
        self._faulty = self._result is not None
        self._fault_at = tick + 1 if self._faulty else None
        self._result = self._ready_at = None
        self._summing = True
        self._sum = self._count = 0
        self._summed_to = tick

    def _begin_division(self, tick: int) -> None:
        if self._result is not None:
            self._fault_at = tick + _FAULT_DELAY
            if tick < self._triggered + _DIVISION - 1:
                self._result = self._ready_at = None
            self._faulty = True
            return
        if self._faulty:
            return
        self._triggered = tick
        self._result = _mean(self._sum, self._count)

    def _end_trigger(self, tick: int, position: int) -> None:
        # Hardware takes the sum anew at every tick with TRIG high, so the last one counts:
        # the tick before this, whose own position is not in the sum yet.
        if self._summing:
            self._result = _mean(self._sum - position, self._count - 1)
        self._ready_at = max(self._triggered + _DIVISION, tick + _FALL_TO_READY)

    def _settle(self, tick: int) -> None:
        if self._unready_at is not None and self._unready_at <= tick:
            self._outputs["READY"] = 0
            self._unready_at = None
        if self._ready_at is not None and self._ready_at <= tick and self._result is not None:
            self._outputs.update(OUT=signed(self._result), READY=1)
            self._ready_at = self._result = None
            self._unready_at = None if self._faulty else tick + 1
        if self._fault_at is not None and self._fault_at <= tick:
            self._outputs["HEALTH"] = _RETRIGGERED
            self._fault_at = None
        if abs(self._sum) > _SUM_LIMIT and not self._outputs["HEALTH"]:
            self._outputs["HEALTH"] = _OVERFLOW

    def _overflow_at(self, tick: int) -> int | None:
        """Return when the sum passes its limit if the input stays as it is."""
        step = self._set["INP"]
        if not self._summing or not step or abs(self._sum) > _SUM_LIMIT:
            return None
        room = _SUM_LIMIT - self._sum if step > 0 else _SUM_LIMIT + self._sum
        return max(self._summed_to + room // abs(step) + 2, tick + 1)
