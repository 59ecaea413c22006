"""A stretch is some ticks of a track, added up without a look at each.

Where a track moves along a straight line the sum has a closed form, so that who adds up
a moving axis pays for each sum and not for each count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from panda_simulator.behaviours.base import HIGHEST, LOWEST


class Track(Protocol):
    """A whole number that is a function of the tick."""

    def at(self, tick: int) -> int:
        """Return the value at a tick."""
        ...

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        """Return the first tick after `tick` with a value outside low … high.

        It may be an earlier tick with a value inside: ask again then. None: never, as
        things are.
        """
        ...


class Stretch(NamedTuple):
    """Sum, lowest and highest value of some ticks."""

    total: int
    lowest: int
    highest: int

    def joined(self, other: Stretch) -> Stretch:
        """Return the stretch of both."""
        return Stretch(
            self.total + other.total,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
        )


EMPTY = Stretch(0, HIGHEST, LOWEST)


def add_up(track: Track, first: int, last: int) -> Stretch:
    """Add up a track from first to the tick before last.

    A track with a method of that name and arguments, `stretch`, knows a faster way than
    from change to change.
    """
    summing: Callable[[int, int], Stretch] | None = getattr(track, "stretch", None)
    if summing is not None:
        return summing(first, last)
    total, tick = 0, first
    value = lowest = highest = track.at(first)
    while tick < last:
        value = track.at(tick)
        leaves = track.leaves(tick, value, value)
        end = last if leaves is None else min(leaves, last)
        total += value * (end - tick)
        lowest, highest = min(lowest, value), max(highest, value)
        tick = end
    return Stretch(total, lowest, highest)


class Stretches(NamedTuple):
    """Sum, lowest and highest value of many stretches."""

    totals: Sequence[int]
    lowest: NDArray[np.int64]
    highest: NDArray[np.int64]


def add_up_all(track: Track, first: NDArray[np.int64], last: NDArray[np.int64]) -> Stretches:
    """Add up stretches of a track, each from a first tick to the one before a last.

    A track with a method `add_up_all` of these arguments may know a faster way than from
    stretch to stretch; it returns None if it does not.
    """
    adding: Callable[[NDArray[np.int64], NDArray[np.int64]], Stretches | None] | None
    adding = getattr(track, "add_up_all", None)
    if adding is not None and (found := adding(first, last)) is not None:
        return found
    spans = zip(first.tolist(), last.tolist(), strict=True)
    totals, lowest, highest = zip(*(add_up(track, *span) for span in spans), strict=True)
    return Stretches(totals, np.array(lowest), np.array(highest))


def look_up(track: Track, ticks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the values of a track at some ticks.

    A track with a method `look_up` of this argument may know a faster way than from tick to
    tick; it returns None if it does not.
    """
    looking: Callable[[NDArray[np.int64]], NDArray[np.int64] | None] | None
    looking = getattr(track, "look_up", None)
    if looking is not None and (found := looking(ticks)) is not None:
        return found
    return np.fromiter(map(track.at, ticks.tolist()), np.int64, len(ticks))


def is_even(track: Track, tick: int) -> bool:
    """Tell whether a track may go on at a tick as it did before it, and not faster or slower.

    A track with a method of that name and argument, `is_even`, knows.
    """
    known: Callable[[int], bool] | None = getattr(track, "is_even", None)
    return known is None or known(tick)


def sum_of_floors(count: int, start: int, step: int, divisor: int) -> int:
    """Return the sum of (start + step·i) // divisor for i from 0 to count - 1."""
    total = 0
    while True:
        whole, step = divmod(step, divisor)
        total += whole * (count * (count - 1) // 2)
        whole, start = divmod(start, divisor)
        total += whole * count
        top = start + step * count
        if top < divisor:
            return total
        # the points below the line, counted by columns of the other axis
        count, start = divmod(top, divisor)
        step, divisor = divisor, step
