"""CLOCK: a periodic pulse, everything taken over with one tick of delay.

Source: blocks.md 5.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from panda_simulator.behaviours.base import MASK, Step


class _Train(NamedTuple):
    """High at start … start+high-1, then again every period; all in ticks."""

    start: int
    period: int
    high: int

    def level(self, tick: int) -> int:
        return int((tick - self.start) % self.period < self.high)

    def next_edge(self, tick: int) -> int:
        phase = (tick - self.start) % self.period
        return tick + (self.high if phase < self.high else self.period) - phase


def _train(start: int, period: int, width: int) -> _Train | None:
    """Return the clock of two settings, None when they mean off."""
    if period == 0 and width == 0:
        return None
    if period <= width:
        period = width + 1 & MASK
        return _Train(start, period, width) if period else None
    if width:
        return _Train(start, period, width)
    return _Train(start, max(period, 2), max(period // 2, 1))


class Clock:
    """A clock that restarts with every strobe of its settings."""

    bit_inputs: tuple[str, ...] = ("ENABLE",)
    position_inputs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._set: dict[str, int] = {"ENABLE": 0, "PERIOD": 0, "WIDTH": 0}
        self._train: _Train | None = None
        self._next: tuple[int, _Train | None] | None = None

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        if self._next and self._next[0] <= tick:
            self._train = self._next[1]
            self._next = None
        now = self._set
        before = now["ENABLE"]
        now.update(changes)
        strobe = "PERIOD" in changes or "WIDTH" in changes
        if now["ENABLE"] != before or (strobe and now["ENABLE"]):
            train = _train(tick + 1, now["PERIOD"], now["WIDTH"]) if now["ENABLE"] else None
            self._next = tick + 1, train
        level = self._train.level(tick) if self._train else 0
        if self._next:
            return {"OUT": level}, tick + 1
        return {"OUT": level}, self._train.next_edge(tick) if self._train else None
