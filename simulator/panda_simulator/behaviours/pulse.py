"""PULSE: delays and stretches pulses.

Source: blocks.md 5.9.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from panda_simulator.behaviours.base import Step, earliest, is_edge

_CAPACITY = 257
_SHORTEST = 5
_SETTINGS = frozenset(
    ("DELAY_L", "DELAY_H", "WIDTH_L", "WIDTH_H", "PULSES", "STEP_L", "STEP_H", "TRIG_EDGE")
)


class _Train(NamedTuple):
    """Pulses that one trigger makes: rises at start + k·step; all in ticks."""

    start: int
    step: int
    width: int
    end: int

    def level(self, tick: int) -> int:
        return int(self.start <= tick < self.end and self._phase(tick) < self.width)

    def next_edge(self, tick: int) -> int:
        if tick < self.start:
            return self.start
        phase = self._phase(tick)
        return tick + (self.width if phase < self.width else self.step) - phase

    def _phase(self, tick: int) -> int:
        return (tick - self.start) % self.step


class _Level(NamedTuple):
    """A level that comes out of the delay line at the tick `end`."""

    end: int
    value: int


class Pulse:
    """Pulse mode with WIDTH, delay line without."""

    bit_inputs: tuple[str, ...] = ("ENABLE", "TRIG")
    position_inputs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._set: dict[str, int] = dict.fromkeys((*self.bit_inputs, *_SETTINGS), 0)
        self._running = False
        self._queue: deque[_Train | _Level] = deque()
        self._count_at: int | None = None
        self._blocked_to = -1
        self._out = 0
        self._queued = 0
        self._dropped = 0

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        now = self._set
        trig = now["TRIG"]
        now.update(changes)
        strobe = not _SETTINGS.isdisjoint(changes)
        if strobe or not now["ENABLE"]:
            self._clear()
            wake = tick + 1 if now["ENABLE"] else None
        else:
            self._settle(tick)
            if not self._running:
                self._running = True
                self._dropped = 0
            elif is_edge(now["TRIG_EDGE"] if self._time("WIDTH") else 2, trig, now["TRIG"]):
                self._trigger(tick)
            wake = self._wake(tick)
        return {"OUT": self._out, "QUEUED": self._queued, "DROPPED": self._dropped}, wake

    def _time(self, name: str) -> int:
        ticks = (self._set[f"{name}_H"] & 0xFFFF) << 32 | self._set[f"{name}_L"]
        return ticks if name == "STEP" or not ticks else max(ticks, _SHORTEST)

    def _clear(self) -> None:
        self._running = False
        self._queue.clear()
        self._count_at = None
        self._blocked_to = -1
        self._out = self._queued = 0

    def _settle(self, tick: int) -> None:
        """Let everything come out that is due."""
        if self._count_at is not None and self._count_at <= tick:
            self._queued += 1
            self._count_at = None
        while self._queue and self._queue[0].end <= tick:
            entry = self._queue.popleft()
            self._queued -= 1
            self._out = entry.value if isinstance(entry, _Level) else 0
        if self._queue and isinstance(head := self._queue[0], _Train):
            self._out = head.level(tick)

    def _trigger(self, tick: int) -> None:
        width, delay = self._time("WIDTH"), self._time("DELAY")
        if tick <= self._blocked_to or len(self._queue) >= _CAPACITY:
            self._dropped += 1
            return
        if width:
            step = max(self._time("STEP"), width + 1)
            length = (max(self._set["PULSES"], 1) - 1) * step + width
            self._blocked_to = tick + length
            self._queue.append(_Train(tick + delay, step, width, tick + delay + length))
            if not delay:
                self._out = 1
        elif delay:
            self._queue.append(_Level(tick + delay, self._set["TRIG"]))
        else:
            self._out = self._set["TRIG"]
            return
        self._count_at = tick + 1

    def _wake(self, tick: int) -> int | None:
        if not self._queue:
            return self._count_at
        head = self._queue[0]
        due = head.end if isinstance(head, _Level) else head.next_edge(tick)
        return earliest(due, self._count_at)
