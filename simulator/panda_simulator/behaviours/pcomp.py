"""PCOMP: pulses at positions.

One transition per tick, decided by the state before the tick and the inputs at it.

Source: blocks.md 5.8.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.base import (
    ANYWHERE,
    HIGHEST,
    LOWEST,
    Interval,
    Outputs,
    Step,
    signed,
)

WAIT_ENABLE, WAIT_DIR, WAIT_PRE_START, WAIT_RISING, WAIT_FALLING = range(5)
_EITHER = 2
_JUMPED, _NO_DIRECTION = 1, 2


class Pcomp:
    """Position compare: START, then WIDTH on and STEP from rise to rise."""

    bit_inputs: tuple[str, ...] = ("ENABLE",)
    position_inputs: tuple[str, ...] = ("INP",)

    def __init__(self) -> None:
        self._set: dict[str, int] = dict.fromkeys(("ENABLE", "INP", "PULSES", "RELATIVE", "DIR"), 0)
        self._positions: dict[str, int] = dict.fromkeys(("PRE_START", "START", "WIDTH", "STEP"), 0)
        self._state = WAIT_ENABLE
        self._direction = 1
        self._origin = 0
        self._last = 0
        self._next = 0
        self._outputs: Outputs = {"ACTIVE": 0, "OUT": 0, "HEALTH": 0, "PRODUCED": 0, "STATE": 0}
        self._transitions = {
            WAIT_DIR: self._wait_direction,
            WAIT_PRE_START: self._wait_pre_start,
            WAIT_RISING: self._wait_rising,
            WAIT_FALLING: self._wait_falling,
        }

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        now = self._set
        enabled, state = now["ENABLE"], self._state
        for name, value in changes.items():
            if name in self._positions:
                self._positions[name] = signed(value)
            else:
                now[name] = value
        if now["ENABLE"] < enabled:
            self._outputs["OUT"] = 0
            self._stop()
        elif state != WAIT_ENABLE:
            self._transitions[state](self._place())
        elif now["ENABLE"] > enabled:
            self._start()
        self._outputs["STATE"] = self._state
        return self._outputs, tick + 1 if self._state != state and self._goes_on() else None

    def _goes_on(self) -> bool:
        """Tell whether the next transition is due with the position as it is."""
        low, high = self._quiet_places()
        return not low <= self._place() <= high

    def quiet(self, name: str) -> Interval:
        """Return positions among which nothing happens (Watcher.quiet)."""
        del name
        low, high = self._quiet_places()
        # An origin shifts the places; those that would wrap are given up, not wrapped.
        shift = self._origin if self._set["RELATIVE"] & 1 else 0
        return (
            max(low + shift, LOWEST) if low > LOWEST else LOWEST,
            min(high + shift, HIGHEST) if high < HIGHEST else HIGHEST,
        )

    def _quiet_places(self) -> Interval:
        if self._state == WAIT_ENABLE:
            return ANYWHERE
        if self._state == WAIT_DIR:
            start = self._positions["START"]
            if self._set["RELATIVE"] & 1:
                threshold = signed(start + self._positions["PRE_START"])
                return 1 - threshold, threshold - 1
            return start, start
        if self._state == WAIT_PRE_START:
            limit = self._pre_start_limit()
            return (limit, HIGHEST) if self._direction > 0 else (LOWEST, limit)
        if self._next >= self._last:
            return LOWEST, self._next - 1
        return self._next + 1, HIGHEST

    def _place(self) -> int:
        """Return the position, from the rising ENABLE on if relative."""
        if self._set["RELATIVE"] & 1:
            return signed(self._set["INP"] - self._origin)
        return self._set["INP"]

    def _start_place(self) -> int:
        start = self._positions["START"]
        return signed(-start) if self._set["RELATIVE"] & 1 and self._direction < 0 else start

    def _pre_start_limit(self) -> int:
        return signed(self._start_place() - self._direction * self._positions["PRE_START"])

    def _start(self) -> None:
        self._outputs.update(ACTIVE=1, HEALTH=0, PRODUCED=0)
        self._origin = self._set["INP"]
        if self._set["DIR"] >= _EITHER:
            self._state = WAIT_DIR
            return
        self._direction = -1 if self._set["DIR"] else 1
        at_once = not self._positions["START"] and not self._positions["PRE_START"]
        if self._set["RELATIVE"] & 1 and at_once:
            self._rise(0, self._direction * self._positions["WIDTH"])
        else:
            self._state = WAIT_PRE_START

    def _stop(self, health: int = 0) -> None:
        self._state = WAIT_ENABLE
        self._outputs["ACTIVE"] = 0
        if health:
            self._outputs["HEALTH"] = health

    def _rise(self, last: int, following: int) -> None:
        self._outputs["OUT"] = 1
        self._outputs["PRODUCED"] = (self._outputs["PRODUCED"] + 1) & 0xFFFFFFFF
        self._last, self._next = signed(last), signed(following)
        self._state = WAIT_FALLING

    def _wait_direction(self, place: int) -> None:
        start, pre_start = self._positions["START"], self._positions["PRE_START"]
        if not self._set["RELATIVE"] & 1:
            if place != start:
                self._direction = 1 if place < start else -1
                self._state = WAIT_PRE_START
            return
        threshold = signed(start + pre_start)
        if threshold <= 0:
            self._stop(_NO_DIRECTION)
        elif abs(place) >= threshold:
            self._direction = 1 if (place > 0) == (pre_start <= 0) else -1
            if pre_start > 0:
                self._state = WAIT_PRE_START
            else:
                d = self._direction
                self._rise(d * start, d * (start + self._positions["WIDTH"]))

    def _wait_pre_start(self, place: int) -> None:
        limit = self._pre_start_limit()
        if place < limit if self._direction > 0 else place > limit:
            start = self._start_place()
            self._last, self._next = signed(start - self._direction), start
            self._state = WAIT_RISING

    def _wait_rising(self, place: int) -> None:
        if not self._reached(place):
            return
        if self._jumped(place):
            self._stop(_JUMPED)
        else:
            self._rise(self._next, self._next + self._direction * self._positions["WIDTH"])

    def _wait_falling(self, place: int) -> None:
        if not self._reached(place):
            return
        self._outputs["OUT"] = 0
        if self._outputs["PRODUCED"] == self._set["PULSES"]:
            self._stop()
        elif self._jumped(place):
            self._stop(_JUMPED)
        else:
            following = signed(self._last + self._direction * self._positions["STEP"])
            self._last, self._next = self._next, following
            self._state = WAIT_RISING

    def _reached(self, place: int) -> bool:
        return place >= self._next if self._next >= self._last else place <= self._next

    def _jumped(self, place: int) -> bool:
        far = signed(self._last + self._direction * self._positions["STEP"])
        return self._last <= self._next <= far <= place or self._last >= self._next >= far >= place
