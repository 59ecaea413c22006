"""Clock trains of the serial encoder protocols, and the pulses that start them.

Source: blocks.md 3.3.
"""

from __future__ import annotations

from typing import NamedTuple

_WAITING, _STARTING, _RUNNING, _RESTING = range(4)


class Pulses(NamedTuple):
    """Pulses at origin + period, origin + 2·period …, seen one tick later; none without period."""

    origin: int
    period: int

    def seen(self, tick: int) -> bool:
        """Tell whether a pulse is seen at a tick."""
        passed = tick - 1 - self.origin
        return self.period > 0 and passed > 0 and not passed % self.period

    def next_seen(self, tick: int) -> int | None:
        """Return the first tick after this at which a pulse is seen."""
        if not self.period:
            return None
        passed = max(tick - self.origin, 1)
        return self.origin + 1 + -(-passed // self.period) * self.period


class SerialClock:
    """High at rest; a start lets it run until it has counted its bits, then it rests."""

    def __init__(self, rest: int) -> None:
        """Make a clock.

        Args:
            rest: ticks after a train in which no start is seen.
        """
        self.level = 1
        self.active = False
        self._rest = rest
        self._state = _WAITING
        self.halves = Pulses(0, 0)
        self._counted = 0
        self._waits_at = 0

    @property
    def waiting(self) -> bool:
        """Whether it waits for a start."""
        return self._state == _WAITING

    def reset(self, tick: int, period: int) -> None:
        """Begin anew at a tick.

        Args:
            tick: of the reset.
            period: of the clock, in ticks; odd ones are rounded down.
        """
        self.level = 1
        self.active = False
        self._state = _WAITING
        self.halves = Pulses(tick, period // 2)
        self._counted = 0

    def step(self, tick: int, *, start: bool, counting: bool, bits: int) -> None:
        """Take one tick.

        Args:
            tick: that it is.
            start: a frame begins.
            counting: the rising edge of this tick counts.
            bits: after how many counted edges the next one is the last.
        """
        if self._state == _WAITING:
            if start:
                self._state = _STARTING
        elif self._state == _RESTING:
            if tick >= self._waits_at:
                self._state = _WAITING
        elif self.halves.seen(tick):
            self._toggle(tick, counting=counting, bits=bits)

    def _toggle(self, tick: int, *, counting: bool, bits: int) -> None:
        rises = not self.level
        self.level ^= 1
        if self._state == _STARTING:
            self._state = _RUNNING
            self._counted = 0
            return
        self.active = True
        if rises:
            if self._counted == bits:
                self._state = _RESTING
                self._waits_at = tick + self._rest
                self.active = False
            self._counted += counting

    def wake(self, tick: int, frames: Pulses) -> int | None:
        """Return the next tick at which something happens to it.

        Args:
            tick: that it is.
            frames: the pulses that start it.
        """
        if self._state == _WAITING:
            return frames.next_seen(tick)
        if self._state == _RESTING:
            return max(self._waits_at, tick + 1)
        return self.halves.next_seen(tick)
