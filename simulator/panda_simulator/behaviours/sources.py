"""What an encoder input has read, as a function of the tick: a number, a count or serial words.

Nothing here is stepped: who wants a value at a tick, or the tick of the next change, asks.

Source: blocks.md 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from panda_simulator.behaviours.base import HIGHEST, LOWEST, MASK, signed
from panda_simulator.behaviours.reading import Reading
from panda_simulator.behaviours.serial_clock import Pulses
from panda_simulator.behaviours.shifter import widened
from panda_simulator.behaviours.stretches import (
    EMPTY,
    Stretch,
    Stretches,
    Track,
    add_up,
    add_up_all,
    look_up,
)

_PATIENCE = 64
_SIGN = 1 << 31


@dataclass(frozen=True, slots=True)
class Fixed:
    """A number."""

    value: int

    def at(self, tick: int) -> int:
        """Return the number."""
        del tick
        return self.value

    def next_change(self, tick: int) -> int | None:
        """Return None: it stays."""
        del tick

    def later(self) -> Fixed:
        """Return itself: a register makes no difference."""
        return self


@dataclass(frozen=True, slots=True)
class Counted:
    """The count of a track some ticks ago, plus an offset."""

    track: Track
    lag: int
    offset: int

    def at(self, tick: int) -> int:
        """Return the count."""
        return self.track.at(tick - self.lag) + self.offset

    def next_change(self, tick: int) -> int | None:
        """Return a later tick up to which it stays."""
        seen = tick - self.lag
        count = self.track.at(seen)
        change = self.track.leaves(seen, count, count)
        return None if change is None else change + self.lag

    def later(self) -> Counted:
        """Return the same behind one more register."""
        return replace(self, lag=self.lag + 1)


@dataclass(frozen=True, slots=True)
class Frames:
    """The word of the last of the frames that a master reads without end.

    Attributes:
        track: that the encoder measures.
        first: tick at which the pulse of the first frame is seen.
        distance: ticks from one frame's pulse to the next.
        halves: half periods of the clock; with one of them the clock first falls.
        latched: ticks from there until the encoder takes its position.
        shown: ticks from there until VAL is that.
        bits: of the word.
        before: word until then.
    """

    track: Track
    first: int
    distance: int
    halves: Pulses
    latched: int
    shown: int
    bits: int
    before: int

    def fall(self, number: int) -> int:
        """Return the tick at which the clock first falls in a frame."""
        tick = self.halves.next_seen(self.pulse(number))
        return self.first if tick is None else tick

    def number(self, tick: int) -> int:
        """Return which frame is shown at a tick; negative: none yet."""
        number = (tick - 1 - self.shown - self.first) // self.distance
        return number if self.fall(number) + self.shown <= tick else number - 1

    def pulse(self, number: int) -> int:
        """Return the tick at which the pulse of a frame is seen."""
        return self.first + number * self.distance

    def begun(self, tick: int) -> int:
        """Return which frame's pulse was the last to be seen at a tick."""
        return (tick - self.first) // self.distance

    def at(self, tick: int) -> int:
        """Return the word."""
        number = self.number(tick)
        if number < 0:
            return self.before
        return widened(self.track.at(self.fall(number) + self.latched), self.bits)

    def next_change(self, tick: int) -> int | None:
        """Return a later tick up to which it stays."""
        number = self.number(tick)
        if number < 0:
            return self.fall(0) + self.shown
        latched = self.fall(number) + self.latched
        count = self.track.at(latched)
        change = self.track.leaves(latched, count, count)
        if change is None:
            return None
        # no frame that begins before this one can have latched the change
        begun = (change - self.latched - self.halves.period - self.first) // self.distance
        number = max(number + 1, begun)
        while self.fall(number) + self.latched < change:
            number += 1
        return self.fall(number) + self.shown


Source: TypeAlias = Fixed | Counted | Frames
"""A raw word, of which the low 32 bits count; it stays as it is until `next_change` at least."""


@dataclass(frozen=True, slots=True)
class Value:
    """VAL from one tick on: a word and how it is read."""

    since: int
    source: Source
    reading: Reading

    def at(self, tick: int) -> int:
        """Return VAL."""
        source, reading = self.source, self.reading
        if isinstance(source, Counted) and reading.plain:
            return signed(source.track.at(tick - source.lag) + source.offset)
        return reading.value(source.at(tick))

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        """Return when VAL leaves an interval (Track.leaves)."""
        source = self.source
        if isinstance(source, Counted) and self.reading.plain:
            seen, offset = tick - source.lag, source.offset
            left = source.track.leaves(seen, low - offset, high - offset)
            return None if left is None else left + source.lag
        for _ in range(_PATIENCE):
            change = source.next_change(tick)
            if change is None:
                return None
            tick = change
            if not low <= self.at(tick) <= high:
                break
        return tick

    def look_up(self, ticks: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return VAL at some ticks (stretches.look_up)."""
        source = self.source
        if not isinstance(source, Counted) or not self.reading.plain or ticks.min() < self.since:
            return None
        counts = look_up(source.track, ticks - source.lag) + source.offset
        return (counts + _SIGN & MASK) - _SIGN

    def add_up_all(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> Stretches | None:
        """Add up stretches of VAL (stretches.add_up_all)."""
        source = self.source
        if not isinstance(source, Counted) or not self.reading.plain or first.min() < self.since:
            return None
        found = add_up_all(source.track, first - source.lag, last - source.lag)
        totals, lowest, highest = found
        offset = source.offset
        if lowest.min() + offset < LOWEST or highest.max() + offset > HIGHEST:
            return None
        ticks = (last - first).tolist()
        totals = [total + offset * count for total, count in zip(totals, ticks, strict=True)]
        return Stretches(totals, lowest + offset, highest + offset)

    def stretch(self, first: int, last: int) -> Stretch:
        """Add up VAL from first to the tick before last."""
        source = self.source
        if isinstance(source, Counted) and self.reading.plain:
            total, lowest, highest = add_up(source.track, first - source.lag, last - source.lag)
            lowest, highest = lowest + source.offset, highest + source.offset
            if lowest >= LOWEST and highest <= HIGHEST:
                return Stretch(total + (last - first) * source.offset, lowest, highest)
        whole = EMPTY
        while first < last:
            value = self.at(first)
            change = source.next_change(first)
            end = last if change is None else min(change, last)
            whole = whole.joined(Stretch(value * (end - first), value, value))
            first = end
        return whole
