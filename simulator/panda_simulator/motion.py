"""A position is pieces of exact parabolas over the tick, so that every crossing can be computed.

Positions are whole numbers of 2**-112 units (a unit is what the axis counts in, mm say):
with floats a slow position would flicker between two counts for some ticks, and a
crossing found by a formula would disagree with the position at that tick.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ONE = 1 << 112
"""One unit of position."""

_KEPT = 16
_DOUBT = 1e-14
"""Relative error of what is computed with floats, at most."""

_ENDLESS = 1 << 62

_MEANT = 45
"""Bits that a number has been given with."""


def to_fixed(position: float) -> int:
    """Convert a position in units, exactly."""
    numerator, denominator = position.as_integer_ratio()
    return numerator * ONE // denominator


def to_float(position: int) -> float:
    """Convert a position to units."""
    return position / ONE


class Piece(NamedTuple):
    """Position start + speed·t + bend·t² for t ticks since `tick`; it never turns around."""

    tick: int
    start: int
    speed: int
    bend: int

    def at(self, tick: int) -> int:
        """Return the position at a tick."""
        t = tick - self.tick
        return self.start + (self.speed + self.bend * t) * t

    def speed_at(self, tick: int) -> int:
        """Return the speed at a tick, per tick."""
        return self.speed + 2 * self.bend * (tick - self.tick)

    def crossing(self, level: int, first: int, last: int) -> int:
        """Return the first tick in first … last at which the piece has come to a level.

        The caller knows that it has come there at `last`, and not before `first`.
        """
        t = self._estimate(level)
        guess = min(max(first, self.tick + t), last)
        if not self.bend and self.speed:
            return guess
        rising = self.at(last) >= level
        return self._settle(level, rising=rising, low=first, high=last, guess=guess)

    def passings(self, first: int, last: int, unit: int) -> NDArray[np.int64]:
        """Return the ticks after `first`, up to `last`, at which position // unit changes.

        One change of 1 each, in order: a tick with several of them comes so often. Floats
        find all of them at once, and those that are too near to a tick are found exactly.
        """
        before, after = self.at(first) // unit, self.at(last) // unit
        if before == after:
            return np.zeros(0, np.int64)
        rising = after > before
        bounds = np.arange(before + 1, after + 1) if rising else np.arange(before, after, -1)
        whole, rest = divmod(self.start, unit)
        way = (bounds - whole) - rest / unit
        speed, bend = self.speed / unit, self.bend / unit
        then = np.sqrt(np.maximum(speed * speed + 4.0 * bend * way, 0.0))
        sum_of_speeds = speed + (then if rising else -then)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = 2.0 * way / sum_of_speeds
            unsure = _DOUBT * np.abs(t) + _DOUBT * (np.abs(way) + 1.0) / then
            sure = np.abs(t - np.rint(t)) > unsure
        ticks = np.where(sure, np.ceil(np.where(sure, t, 0.0)), 0.0).astype(np.int64) + self.tick
        for number in np.flatnonzero(~sure).tolist():
            level = int(bounds[number]) * unit - (not rising)
            ticks[number] = self.crossing(level, first + 1, last)
        return ticks

    def _estimate(self, level: int) -> int:
        """Return the time after which it comes to a level, exactly unless it bends."""
        distance = level - self.start
        if not self.bend:
            return -(-distance // self.speed) if self.speed else 0
        speed, bend = float(self.speed), float(self.bend)
        root = math.sqrt(max(0.0, speed * speed + 4.0 * bend * float(distance)))
        below = speed + math.copysign(root, distance)
        return int(2.0 * float(distance) / below) if below else 0

    def _settle(self, level: int, *, rising: bool, low: int, high: int, guess: int) -> int:
        """Find the exact tick by growing steps around a guess, then by halving."""

        def there(tick: int) -> bool:
            position = self.at(tick)
            return position >= level if rising else position <= level

        step = 1
        if there(guess):
            high = guess
            while high - step >= low and there(high - step):
                high -= step
                step *= 2
            low = max(low, high - step + 1)
        else:
            low = guess + 1
            while low + step <= high and not there(low + step - 1):
                low += step
                step *= 2
            high = min(high, low + step)
        while low < high:
            middle = (low + high) // 2
            if there(middle):
                high = middle
            else:
                low = middle + 1
        return low


class Motion:
    """Pieces one after the other; the last one goes on for ever."""

    def __init__(self, position: int = 0) -> None:
        self.pieces: list[Piece] = [Piece(0, position, 0, 0)]
        """All of them; another list whenever they change."""
        self._ticks = [0]
        self._changes = [0]
        """Ticks from which on it went on differently, the last of them."""

    def at(self, tick: int) -> int:
        """Return the position at a tick."""
        begin, start, speed, bend = self.pieces[max(bisect_right(self._ticks, tick) - 1, 0)]
        t = tick - begin
        return start + (speed + bend * t) * t

    def parts(self, first: int, last: int) -> Iterator[tuple[Piece, int, int]]:
        """Yield the pieces between two ticks, each with its first tick and the one after its last.

        Args:
            first: tick.
            last: the tick after the last.
        """
        number = max(bisect_right(self._ticks, first) - 1, 0)
        while first < last:
            end = last
            if number + 1 < len(self._ticks):
                end = min(self._ticks[number + 1], last)
            yield self.pieces[number], first, end
            first = end
            number += 1

    def span(self, tick: int) -> tuple[int, int, Piece]:
        """Return the piece of a tick, with its first and its last tick."""
        number = max(bisect_right(self._ticks, tick) - 1, 0)
        last = self._ticks[number + 1] - 1 if number + 1 < len(self._ticks) else _ENDLESS
        return self._ticks[number] if number else -_ENDLESS, last, self.pieces[number]

    def scaled(self, gain: int, offset: int) -> Motion:
        """Return gain times the position plus an offset, as things are."""
        scaled = Motion()
        scaled.pieces = [
            Piece(tick, start * gain + offset, speed * gain, bend * gain)
            for tick, start, speed, bend in self.pieces
        ]
        scaled._ticks = self._ticks
        return scaled

    def speed_at(self, tick: int) -> int:
        """Return the speed at a tick, per tick."""
        return self._piece(tick).speed_at(tick)

    def end(self) -> int:
        """Return the tick from which on nothing moves."""
        return self._ticks[-1]

    def replace(self, tick: int, pieces: list[Piece]) -> None:
        """Go on differently from a tick on; the past stays as it was.

        Only the last pieces are kept, and those since the change before: nobody asks for older
        positions, as whoever adds up the past does so at each change.
        """
        current = max(bisect_right(self._ticks, tick - 1), 1)
        self._go_on(tick, current, pieces)

    def extend(self, pieces: list[Piece]) -> None:
        """Go on from the tick at which all would end; nothing before it changes.

        Time has come to what the extension before had added, or is told of that tick.

        Args:
            pieces: the first begins at `end`, the last one is at rest.
        """
        self._go_on(self._ticks[-1], len(self.pieces) - 1, pieces)

    def _go_on(self, tick: int, current: int, pieces: list[Piece]) -> None:
        since = max((change for change in self._changes if change <= tick), default=0)
        needed = min(bisect_right(self._ticks, since) - 1, current)
        self.pieces = [*self.pieces[max(needed - _KEPT, 0) : current], *pieces]
        self._ticks = [piece.tick for piece in self.pieces]
        self._changes = [since, tick]

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        """Return the first tick after `tick` at which the position is outside low … high."""
        number = bisect_right(self._ticks, tick + 1) - 1
        first = tick + 1
        for index in range(max(number, 0), len(self.pieces)):
            piece = self.pieces[index]
            end = self._ticks[index + 1] - 1 if index + 1 < len(self.pieces) else first
            position = piece.at(end)
            if not low <= position <= high:
                start = piece.at(first)
                if not low <= start <= high:
                    return first
                level = high + 1 if position > high else low - 1
                return piece.crossing(level, first, end)
            if not low <= piece.at(first) <= high:
                return first
            first = end + 1
        return None

    def _piece(self, tick: int) -> Piece:
        return self.pieces[max(bisect_right(self._ticks, tick) - 1, 0)]


def stopping(tick: int, motion: Motion, acceleration: int) -> list[Piece]:
    """Plan to stand still as soon as possible.

    Args:
        tick: at which it begins.
        motion: what it does then.
        acceleration: units per tick², times two to the 112.

    Returns:
        Pieces; none if it stands already, otherwise the last one is at rest.
    """
    start, speed = motion.at(tick), motion.speed_at(tick)
    if not speed:
        return []
    ticks = max(1, round(abs(speed) / max(acceleration, 1)))
    bend = -(speed // (2 * ticks))
    brake = Piece(tick, start, speed, bend)
    return [brake, Piece(tick + ticks, brake.at(tick + ticks), 0, 0)]


def whole_ticks(way: int, speed: int) -> int:
    """Return the ticks that a way takes: the next whole number, unless it is one already.

    Numbers that were floats, or divided by a number of ticks, are not quite what was meant.
    """
    return max(1, -(-(way - (way >> _MEANT)) // speed))


def moving(tick: int, start: int, target: int, speed: int, acceleration: int) -> list[Piece]:
    """Plan to go from rest to rest along a trapezoid, or a triangle if it is short.

    Args:
        tick: at which it begins.
        start: position then.
        target: position at the end, met exactly.
        speed: at most, units per tick, times two to the 112.
        acceleration: units per tick², times two to the 112.

    Returns:
        Pieces, the last one at rest on the target; durations are whole ticks and the
        speed is what they need.
    """
    distance = abs(target - start)
    if not distance:
        return [Piece(tick, target, 0, 0)]
    acceleration = max(acceleration, 1)
    ramp = whole_ticks(speed, acceleration)
    cruise = whole_ticks(distance, speed) - ramp
    if cruise <= 0:
        ramp = math.isqrt(whole_ticks(distance, acceleration) - 1) + 1
        cruise = 0
    sign = 1 if target > start else -1
    bend = sign * max(distance // (2 * ramp * (ramp + cruise)), 1)
    top = 2 * bend * ramp
    up = Piece(tick, start, 0, bend)
    along = Piece(tick + ramp, up.at(tick + ramp), top, 0)
    down_tick = tick + ramp + cruise
    down = Piece(down_tick, along.at(down_tick), top, -bend)
    rest = Piece(down_tick + ramp, target, 0, 0)
    return [up, down, rest] if not cruise else [up, along, down, rest]
