"""What axes on a path should do, in closed form and in fractions, of numbers of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from .rehearsal import COUNTS, TICKS, Trapezoid


def exact(number: float | str) -> Fraction:
    return Fraction(str(number))


@dataclass(frozen=True)
class Line:
    """One axis in one window of an expected path.

    Attributes:
        begin: tick at which the window begins.
        ticks: of the window.
        start, end: in mm.
    """

    begin: int
    ticks: int
    start: Fraction
    end: Fraction

    def position(self, tick: int) -> Fraction:
        return self.start + (self.end - self.start) * (tick - self.begin) / self.ticks


def count(position: Fraction) -> int:
    """Return what a standard encoder counts, halves rounded up."""
    return math.floor(position * COUNTS + Fraction(1, 2))


@dataclass(frozen=True)
class Expected:
    """A path of straight windows of one duration, of axes that accelerate in whole ticks.

    Attributes:
        windows: positions of each axis at both ends, by window.
        duration: of each window, in seconds.
        velocity: between windows, at most.
        acceleration: of all axes.
        least: ticks between windows, at least.
    """

    windows: Sequence[dict[str, tuple[float, float]]]
    duration: float
    velocity: float
    acceleration: float
    least: int = 1250

    def _speed(self, number: int, axis: str) -> Fraction:
        start, end = map(exact, self.windows[number][axis])
        return (end - start) / exact(self.duration)

    def ramp(self, number: int) -> int:
        """Return the ticks of run-up and run-down."""
        fastest = max(abs(self._speed(number, axis)) for axis in self.windows[number])
        ticks = fastest / exact(self.acceleration) * TICKS
        assert ticks.denominator == 1
        return int(ticks)

    def run_up(self, number: int, axis: str) -> Fraction:
        """Return how far the axis runs up before a window, or runs down after it."""
        return self._speed(number, axis) * self.ramp(number) / TICKS / 2

    def turn(self, number: int, axis: str) -> Trapezoid | None:
        """Return the move from the end of a run-down to the next run-up, from tick 0."""
        here, there = self.windows[number], self.windows[number + 1]
        start = exact(here[axis][1]) + self.run_up(number, axis)
        target = exact(there[axis][0]) - self.run_up(number + 1, axis)
        if start == target:
            return None
        speeds = [abs(self._speed(index, axis)) for index in (number, number + 1)]
        velocity = max(exact(self.velocity), *speeds)
        return Trapezoid(0, start, target, velocity, exact(self.acceleration))

    def gap(self, number: int) -> int:
        """Return the ticks from the end of a window to the start of the next."""
        needs = [self.least]
        for axis in self.windows[number]:
            turn = self.turn(number, axis)
            needs.append(
                (self.ramp(number) if self._speed(number, axis) else 0)
                + (turn.end if turn else 0)
                + (self.ramp(number + 1) if self._speed(number + 1, axis) else 0)
            )
        return max(needs)

    @cached_property
    def begins(self) -> list[int]:
        """Return the ticks at which windows begin, after that at which the path does."""
        ticks = round(self.duration * TICKS)
        begins = [self.ramp(0)]
        for number in range(len(self.windows) - 1):
            begins.append(begins[-1] + ticks + self.gap(number))
        return begins

    @property
    def end(self) -> int:
        """The tick at which all stand, after that at which the path begins."""
        last = len(self.windows) - 1
        return self.begins[-1] + round(self.duration * TICKS) + self.ramp(last)

    def line(self, axis: str, number: int) -> Line:
        """Return what an axis does in a window."""
        ticks = round(self.duration * TICKS)
        return Line(self.begins[number], ticks, *map(exact, self.windows[number][axis]))

    def position(self, axis: str, tick: int) -> Fraction:
        """Return where an axis is at any tick of the path."""
        ticks = round(self.duration * TICKS)
        begins = self.begins
        number = max(sum(begin <= tick for begin in begins) - 1, 0)
        line = self.line(axis, number)
        speed, ramp = self._speed(number, axis) / TICKS, self.ramp(number)
        before, after = line.begin - tick, tick - line.begin - ticks
        if before > 0:
            return line.start - speed * _ramped(before, ramp)
        if after <= 0:
            return line.position(tick)
        if speed and after <= ramp:
            return line.end + speed * _ramped(after, ramp)
        if number + 1 < len(self.windows):
            return self._between(number, axis, after - ramp if speed else after, after)
        return line.end + self.run_up(number, axis)

    def _between(self, number: int, axis: str, turning: int, after: int) -> Fraction:
        """Return where an axis is after a run-down, so many ticks after it and the window."""
        then, ramp = self._speed(number + 1, axis) / TICKS, self.ramp(number + 1)
        left = self.gap(number) - after
        if then and left < ramp:
            return exact(self.windows[number + 1][axis][0]) - then * _ramped(left, ramp)
        turn = self.turn(number, axis)
        if turn is not None:
            return turn.position(turning)
        return exact(self.windows[number][axis][1]) + self.run_up(number, axis)


def _ramped(ticks: int, ramp: int) -> Fraction:
    """Return the ticks at full speed that come to the way of a ramp's fast end."""
    return ticks - Fraction(ticks * ticks, 2 * ramp)


def snake(rows: int, step: float = 0.5) -> list[dict[str, tuple[float, float]]]:
    """Return windows of x to and fro, y a step further each time, z at rest."""
    return [
        {
            "x": (0.0, 1.0) if row % 2 == 0 else (1.0, 0.0),
            "y": (row * step, row * step),
            "z": (0.25, 0.25),
        }
        for row in range(rows)
    ]


def raster(rows: int, step: float = 1.0) -> list[dict[str, tuple[float, float]]]:
    """Return windows of x that begin at the same place, y a step further each time."""
    return [{"x": (0.0, 1.0), "y": (row * step, row * step)} for row in range(rows)]


def slanted(rows: int) -> list[dict[str, tuple[float, float]]]:
    """Return windows in which two axes move, at different speeds and ways."""
    return [
        {"x": (0.0, 1.0), "y": (row * 0.5, row * 0.5 - 0.25)} if row % 2 == 0
        else {"x": (1.5, -0.5), "y": (row * 0.5, row * 0.5 + 0.25)}
        for row in range(rows)
    ]  # fmt: skip
