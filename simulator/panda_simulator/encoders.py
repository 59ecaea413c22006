"""Encoders: from the position of an axis to counts, exact, coarse or noisy.

Each is a function of the tick (a `Track`), so it costs nothing while nobody looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from panda_simulator.behaviours import (
    EMPTY,
    Mark,
    Stretch,
    Stretches,
    Track,
    add_up,
    add_up_all,
    is_even,
    look_up,
    sum_of_floors,
)
from panda_simulator.clock import TICKS_PER_SECOND
from panda_simulator.motion import ONE, Motion, Piece, to_fixed, to_float

_FRACTION = 32
_SHIFT = 112 + _FRACTION
_HALF = (ONE << _FRACTION - 1) + (1 << _SHIFT - 32)
"""Half a count, with what the roundings of a motion may lack to one."""
_PATIENCE = 64
_MANY = 1 << 17
"""Counts that are looked at together."""

_LONG = 1 << 31
"""Ticks that can be multiplied with counts."""

_MASK64 = (1 << 64) - 1


class Encoder:
    """Counts round(position · counts_per_unit + offset) of a motion, halves rounded up."""

    def __init__(self, motion: Motion, counts_per_unit: float, offset: float = 0.0) -> None:
        """Measure a motion.

        Args:
            motion: of an axis.
            counts_per_unit: negative if it counts the other way; not 0.
            offset: in counts.

        Raises:
            ValueError: counts_per_unit is too small, or a number is not finite.
        """
        if not (math.isfinite(counts_per_unit) and math.isfinite(offset)):
            raise ValueError(
                f"an encoder counts {counts_per_unit} per unit from {offset} on:"
                " both have to be finite"
            )
        self._motion = motion
        self._gain = round(counts_per_unit * (1 << _FRACTION))
        if not self._gain:
            raise ValueError(f"an encoder needs counts: counts_per_unit is {counts_per_unit}")
        self._offset = (to_fixed(offset) << _FRACTION) + _HALF
        self._pieces: list[Piece] = motion.pieces
        self._scaled = motion.scaled(self._gain, self._offset)
        self._first, self._last, self._piece = self._scaled.span(0)

    def position(self, count: int) -> float:
        """Return the position, in units, at which it counts so much."""
        middle = (count << _SHIFT) + _HALF - self._offset
        return to_float(middle // self._gain)

    def _counts(self) -> Motion:
        """Return the motion in counts, times two to the 144."""
        if self._motion.pieces is not self._pieces:
            self._pieces = self._motion.pieces
            self._scaled = self._motion.scaled(self._gain, self._offset)
            self._first, self._last = 1, 0
        return self._scaled

    def _piece_at(self, tick: int) -> Piece:
        """Return the piece of a tick, which is mostly that of the tick asked for before."""
        if self._motion.pieces is not self._pieces or not self._first <= tick <= self._last:
            self._first, self._last, self._piece = self._counts().span(tick)
        return self._piece

    def at(self, tick: int) -> int:
        """Return the count at a tick (Track.at)."""
        begin, start, speed, bend = self._piece_at(tick)
        t = tick - begin
        return start + (speed + bend * t) * t >> _SHIFT

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        """Return when the count leaves an interval (Track.leaves)."""
        begin, start, speed, bend = self._piece_at(tick + 1)
        if speed and not bend:
            if not low <= start + speed * (tick + 1 - begin) >> _SHIFT <= high:
                return tick + 1
            level = high + 1 << _SHIFT if speed > 0 else (low << _SHIFT) - 1
            crossing = begin - (start - level) // speed
            if crossing <= self._last:
                return crossing
        return self._counts().leaves(tick, low << _SHIFT, (high + 1 << _SHIFT) - 1)

    def stretch(self, first: int, last: int) -> Stretch:
        """Add up some ticks (stretches.add_up)."""
        whole = EMPTY
        for piece, begin, end in self._counts().parts(first, last):
            # a piece never turns around
            lowest, highest = sorted((piece.at(begin) >> _SHIFT, piece.at(end - 1) >> _SHIFT))
            whole = whole.joined(Stretch(self._total(piece, begin, end), lowest, highest))
        return whole

    def is_even(self, tick: int) -> bool:
        """Tell whether the axis neither speeds up nor brakes (stretches.is_even)."""
        return not self._piece_at(tick).bend

    def look_up(self, ticks: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return the counts at some ticks (stretches.look_up)."""
        first = int(ticks.min())
        begin, start, speed, bend = self._piece_at(first)
        if ticks.max() > self._last:
            return None
        # numbers of any size, one by one, but without a call for each
        t = (ticks - begin).astype(object)
        return (start + (speed + bend * t) * t >> _SHIFT).astype(np.int64)

    def add_up_all(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> Stretches | None:
        """Add up stretches (stretches.add_up_all)."""
        piece = self._piece_at(int(first.min()))
        begin, start, speed, bend = piece
        if last.max() - 1 > self._last:
            return None
        if bend:
            return _add_up_bend(piece, first, last)
        spans = zip(first.tolist(), last.tolist(), strict=True)
        totals = [
            sum_of_floors(end - tick, start + speed * (tick - begin), speed, 1 << _SHIFT)
            for tick, end in spans
        ]
        ends = look_up(self, first), look_up(self, last - 1)
        return Stretches(totals, np.minimum(*ends), np.maximum(*ends))

    def _total(self, piece: Piece, begin: int, end: int) -> int:
        if not piece.bend:
            return sum_of_floors(end - begin, piece.at(begin), piece.speed, 1 << _SHIFT)
        middle = (begin + end) // 2
        if abs(piece.at(begin) - piece.at(end)) >> _SHIFT > _MANY and begin < middle:
            return self._total(piece, begin, middle) + self._total(piece, middle, end)
        count = piece.at(begin) >> _SHIFT
        changes = piece.passings(begin, end - 1, 1 << _SHIFT)
        gained = int((end - changes).sum())
        rising = piece.at(end - 1) >> _SHIFT >= count
        return count * (end - begin) + (gained if rising else -gained)


def _add_up_bend(
    piece: Piece, first: NDArray[np.int64], last: NDArray[np.int64]
) -> Stretches | None:
    """Add up stretches of a piece that bends, by its counts; None if they are too many."""
    begin, end = int(first.min()), int(last.max()) - 1
    count, after = piece.at(begin) >> _SHIFT, piece.at(end) >> _SHIFT
    if abs(after - count) > _MANY or end - begin > _LONG:
        return None
    sign = 1 if after >= count else -1
    changes = piece.passings(begin, end, 1 << _SHIFT) - begin
    first, last = first - begin, last - begin
    sums = np.concatenate((np.zeros(1, np.int64), np.cumsum(changes)))
    earlier = np.searchsorted(changes, first, "right")
    all_ = np.searchsorted(changes, last - 1, "right")
    counts = count + sign * earlier
    gained = (all_ - earlier) * last - (sums[all_] - sums[earlier])
    totals = counts * (last - first) + sign * gained
    ends = counts, count + sign * all_
    return Stretches(totals.tolist(), np.minimum(*ends), np.maximum(*ends))


@dataclass(frozen=True, slots=True)
class Coarse:
    """An encoder that counts in steps: the next multiple of the resolution that is not above.

    Attributes:
        track: what it measures, in counts.
        resolution: counts of a step, 1 or more.
    """

    track: Track
    resolution: int

    def __post_init__(self) -> None:
        if self.resolution < 1:
            raise ValueError(f"the resolution of an encoder is {self.resolution}; it is 1 or more")

    def at(self, tick: int) -> int:
        """Return the count at a tick (Track.at)."""
        return self.track.at(tick) // self.resolution * self.resolution

    def is_even(self, tick: int) -> bool:
        """Tell what the encoder tells (stretches.is_even)."""
        return is_even(self.track, tick)

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        """Return when the count leaves an interval (Track.leaves)."""
        step = self.resolution
        lowest, highest = -(-low // step), high // step
        return self.track.leaves(tick, lowest * step, highest * step + step - 1)


@dataclass(frozen=True, slots=True)
class Noisy:
    """An encoder with noise: a new deviation at every period, the same for the same seed.

    Attributes:
        track: what it measures, in counts.
        amplitude: largest deviation in counts, either way; all are equally likely.
        period: ticks for which a deviation lasts.
        seed: of the deviations.
    """

    track: Track
    amplitude: int
    period: int = TICKS_PER_SECOND // 1_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.amplitude < 0 or self.period < 1:
            raise ValueError(
                f"the noise of an encoder is {self.amplitude} counts for {self.period} ticks;"
                " it is not negative, and lasts a tick or more"
            )

    def deviation(self, tick: int) -> int:
        """Return by how much the count is off at a tick."""
        return _scramble(tick // self.period, self.seed) % (2 * self.amplitude + 1) - self.amplitude

    def at(self, tick: int) -> int:
        """Return the count at a tick (Track.at)."""
        return self.track.at(tick) + self.deviation(tick)

    def is_even(self, tick: int) -> bool:
        """Tell that it never goes on as it did (stretches.is_even)."""
        del tick
        return not self.amplitude

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        """Return when the count leaves an interval (Track.leaves)."""
        inner_low, inner_high = low + self.amplitude, high - self.amplitude
        first = tick + 1
        if inner_low <= self.track.at(first) <= inner_high:
            # no deviation matters before the count itself comes near the bounds
            near = self.track.leaves(first, inner_low, inner_high)
            if near is None:
                return None
            first = near
        for _ in range(_PATIENCE):
            end = first - first % self.period + self.period
            off = self.deviation(first)
            if not low <= self.track.at(first) + off <= high:
                return first
            left = self.track.leaves(first, low - off, high - off)
            if left is not None and left < end:
                return left
            first = end
        return first


@dataclass(frozen=True, slots=True)
class Indexed:
    """An encoder with an index: line Z is high at some counts.

    Attributes:
        track: what it measures, in counts.
        mark: where Z is high.
    """

    track: Track
    mark: Mark

    def __post_init__(self) -> None:
        if self.mark.every < 0 or self.mark.every == 1:
            raise ValueError(
                f"the index of an encoder comes every {self.mark.every} counts;"
                " that is 2 or more, or 0 for one index only"
            )

    def at(self, tick: int) -> int:
        """Return the count at a tick (Track.at)."""
        return self.track.at(tick)

    def is_even(self, tick: int) -> bool:
        """Tell what the encoder tells (stretches.is_even)."""
        return is_even(self.track, tick)

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        """Return when the count leaves an interval (Track.leaves)."""
        return self.track.leaves(tick, low, high)

    def stretch(self, first: int, last: int) -> Stretch:
        """Add up some ticks (stretches.add_up)."""
        return add_up(self.track, first, last)

    def look_up(self, ticks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the counts at some ticks (stretches.look_up)."""
        return look_up(self.track, ticks)

    def add_up_all(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> Stretches:
        """Add up stretches (stretches.add_up_all)."""
        return add_up_all(self.track, first, last)


def _scramble(number: int, seed: int) -> int:
    """Return 64 bits that look random, the same for the same numbers (splitmix64)."""
    z = (number + 1) * 0x9E3779B97F4A7C15 + seed * 0xD1B54A32D192ED03 & _MASK64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK64
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK64
    return z ^ z >> 31
