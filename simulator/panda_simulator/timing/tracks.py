"""What moves by itself is not called tick by tick; its changes are computed, before they are lost.

An encoder input is a function of the tick that holds until the encoder or the block's
settings change, so each of its probes works the past off when the block is called.
"""

from __future__ import annotations

from panda_simulator.behaviours import Track
from panda_simulator.motion import to_float
from panda_simulator.world import Axis

LIMIT = 200_000
"""Changes of one position that are kept exactly; then only some are taken."""

_SAMPLES = 2_000
_AXIS_SAMPLES = 240


class TrackHistory:
    """All changes of one track from a tick on."""

    def __init__(self, track: Track, tick: int) -> None:
        self.initial = track.at(tick)
        self.ticks: list[int] = []
        self.values: list[int] = []
        self.exact = True
        self._track = track
        self._done = tick
        self._value = self.initial

    def follow(self, last: int) -> None:
        """Work off the time up to a tick."""
        while self.exact and self._done < last:
            tick = self._track.leaves(self._done, self._value, self._value)
            if tick is None or tick > last:
                break
            self._take(tick)
            self._done = tick
            self.exact = len(self.ticks) < LIMIT
        if not self.exact and self._done < last:
            step = max((last - self._done) // _SAMPLES, 1)
            for tick in range(self._done + step, last + 1, step):
                self._take(tick)
        self._done = max(self._done, last)

    def _take(self, tick: int) -> None:
        value = self._track.at(tick)
        if value != self._value:
            self._value = value
            self.ticks.append(tick)
            self.values.append(value)


class AxisHistory:
    """Where an axis was, at ticks close enough to draw it."""

    def __init__(self, axis: Axis, tick: int) -> None:
        self.initial = axis.position(tick)
        self.ticks: list[int] = []
        self.values: list[float] = []
        self._axis = axis
        self._done = tick
        axis.subscribe(lambda changed: self.follow(changed - 1))

    def follow(self, last: int) -> None:
        """Work off the time up to a tick."""
        if last <= self._done:
            return
        motion = self._axis.motion
        step = max((last - self._done) // _AXIS_SAMPLES, 1)
        ticks = {
            *range(self._done + step, last, step),
            min(max(motion.end(), self._done), last),
            last,
        }
        for tick in sorted(ticks):
            position = to_float(motion.at(tick))
            if position != (self.values[-1] if self.values else self.initial):
                self.ticks.append(tick)
                self.values.append(position)
        self._done = last
