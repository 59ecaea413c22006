"""A stretch is some ticks of a track, added up without a look at each.

Where a track moves along a straight line the sum has a closed form, so that who adds up
a moving axis pays for each sum and not for each count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

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
