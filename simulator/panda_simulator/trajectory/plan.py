"""From window to window: run-down, turnaround, run-up, all axes together; limits are looked at.

All axes that move in a window speed up in the same time, as slow as the weakest of them, so
that they are on their line before it begins. What lies between is a move from rest to rest.

Source: flyscan.md 1.5, 1.13, 3.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from panda_simulator.motion import ONE, Piece, moving, to_fixed, to_float, whole_ticks
from panda_simulator.trajectory.course import AxisCourse, Course, course_of, towards_zero
from panda_simulator.trajectory.windows import AnyWindow

_FLOATS = 1e-9
"""Part of a velocity by which one that was computed with floats may be above the largest."""

_FAR = ONE << 1023
"""Position of a limit that is infinite."""


@dataclass(frozen=True)
class Drive:
    """What an axis can do, in its units and seconds.

    Attributes:
        velocity: between windows, at most, unless it is faster in one of both.
        acceleration: of ramps.
        limits: lowest and highest position.
        max_velocity: that it can have in a window; None for any.
    """

    velocity: float
    acceleration: float
    limits: tuple[float, float]
    max_velocity: float | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """What is between two windows, in ticks.

    Attributes:
        ticks: from the end of one to the start of the next.
        run_down: until axes that moved in the window stand.
        blind: by axis, until it stands where its run-up begins: from then on it goes only the
            way that it has in the next window. The whole gap for an axis that stands in it.
    """

    ticks: int
    run_down: int
    blind: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Leg:
    """A window with what comes after it, in ticks since the path begins.

    Attributes:
        begin: where its pieces begin.
        window: first tick of the window, and the one after its last.
        end: where the next leg begins.
        pieces: of each axis; if the leg is the last one, they end at rest.
        gap: after it; None after the last window.
    """

    begin: int
    window: tuple[int, int]
    end: int
    pieces: Mapping[str, Sequence[Piece]]
    gap: Gap | None


@dataclass(slots=True)
class _Axis:
    velocity: int
    acceleration: int
    low: int
    high: int
    fastest: float | None


@dataclass(slots=True)
class _Ramp:
    """From rest to a window, or from it to rest, of one axis; in ticks, settling included."""

    ticks: int
    rest: int
    bend: int


@dataclass
class _Passage:
    """A window with its ramps."""

    course: Course
    ramp_in: int
    ramp_out: int
    into: dict[str, _Ramp] = field(default_factory=dict)
    out_of: dict[str, _Ramp] = field(default_factory=dict)


def _limit(position: float) -> int:
    """Return a limit times 2**112; one that is infinite is beyond everything that moves."""
    if math.isinf(position):
        return _FAR if position > 0 else -_FAR
    return to_fixed(position)


class Planner:
    """Plans paths for some axes."""

    def __init__(
        self,
        drives: Mapping[str, Drive],
        frequency: int,
        *,
        settle: float = 0.0,
        turnaround: float = 1e-5,
    ) -> None:
        """Take note of what axes can do.

        Args:
            drives: by axis.
            frequency: ticks in a second.
            settle: seconds at the velocity of a window before and after it.
            turnaround: seconds between two windows, at least; a gate needs a level of 10 µs.

        Raises:
            ValueError: a velocity or acceleration is not positive, or a time is negative.
        """
        self._frequency = frequency
        if not (settle >= 0 and turnaround >= 0):
            raise ValueError(f"settle {settle} and turnaround {turnaround} cannot be negative")
        self._settle = round(settle * frequency)
        self._turnaround = max(round(turnaround * frequency), 1)
        self._axes: dict[str, _Axis] = {}
        for name, drive in drives.items():
            if not (math.inf > drive.velocity > 0 and math.inf > drive.acceleration > 0):
                raise ValueError(
                    f"axis {name}: velocity {drive.velocity} and acceleration"
                    f" {drive.acceleration} have to be positive and finite"
                )
            fastest = drive.max_velocity
            self._axes[name] = _Axis(
                max(to_fixed(drive.velocity) // frequency, 1),
                max(to_fixed(drive.acceleration) // frequency**2, 1),
                _limit(drive.limits[0]),
                _limit(drive.limits[1]),
                None if fastest is None else fastest * (1 + _FLOATS),
            )

    def start(self, window: AnyWindow) -> dict[str, int]:
        """Return where axes stand before the run-up of a first window, times 2**112.

        Raises:
            TypeError, ValueError: as for `legs`.
        """
        passage = self._passage(window, 0)
        return {name: passage.into[name].rest for name in self._axes}

    def legs(self, windows: Iterable[AnyWindow]) -> Iterator[Leg]:
        """Yield the legs of a path, each when the window after it is known.

        Raises:
            TypeError: a window is none.
            ValueError: a window is malformed (`course_of`), an axis would be outside of its
                limits or faster than it can be; says in which window.
        """
        tick = begin = 0
        pieces: dict[str, list[Piece]] = {name: [] for name in self._axes}
        before: _Passage | None = None
        for index, window in enumerate(windows):
            passage = self._passage(window, index)
            if before is None:
                tick = self._run_up(passage, 0, pieces)
            else:
                first, tick = tick, tick + before.course.ticks
                end, gap = self._between(before, passage, tick, pieces)
                yield Leg(begin, (first, tick), end, pieces, gap)
                begin = tick = end
                pieces = {name: [] for name in self._axes}
            self._through(passage, tick, pieces)
            before = passage
        if before is not None:
            first, tick = tick, tick + before.course.ticks
            end = self._run_down(before, tick, pieces)
            yield Leg(begin, (first, tick), end, pieces, None)

    def _passage(self, window: AnyWindow, index: int) -> _Passage:
        course = course_of(window, index, self._axes, self._frequency)
        for name, axis in self._axes.items():
            if axis.fastest is not None:
                self._check_speed(index, name, course, axis.fastest)
        passage = _Passage(
            course,
            self._ramp_ticks({name: one.speed_in for name, one in course.axes.items()}),
            self._ramp_ticks({name: one.speed_out for name, one in course.axes.items()}),
        )
        for name, one in course.axes.items():
            passage.into[name] = self._ramp(one.start, -one.speed_in, passage.ramp_in)
            passage.out_of[name] = self._ramp(one.end, one.speed_out, passage.ramp_out)
            self._check_places(index, name, passage)
        return passage

    def _check_places(self, index: int, name: str, passage: _Passage) -> None:
        course, axis = passage.course.axes[name], self._axes[name]
        # no piece turns around, so that its ends are as far as it goes; and what lies between
        # two windows goes from the rest after one to that before the other
        places = [piece.start for piece in course.pieces]
        places += [course.end, passage.into[name].rest, passage.out_of[name].rest]
        for place in (min(places), max(places)):
            if not axis.low <= place <= axis.high:
                low, high = to_float(axis.low), to_float(axis.high)
                raise ValueError(
                    f"window {index} with its run-up and run-down needs axis {name} at"
                    f" {to_float(place):.9g}, outside {low:g} … {high:g}: accelerate faster, go"
                    " slower or scan less"
                )

    def _check_speed(self, index: int, name: str, course: Course, fastest: float) -> None:
        pieces = course.axes[name].pieces
        ends = [*(piece.tick for piece in pieces[1:]), course.ticks]
        speed = max(
            max(abs(piece.speed), abs(piece.speed_at(end)))
            for piece, end in zip(pieces, ends, strict=True)
        )
        velocity = to_float(speed * self._frequency)
        if velocity > fastest:
            raise ValueError(
                f"window {index} moves axis {name} at {velocity:.6g} a second, which is above its"
                f" {fastest:.6g}: make it longer"
            )

    def _ramp_ticks(self, speeds: Mapping[str, int]) -> int:
        return max(
            (
                whole_ticks(abs(speed), self._axes[name].acceleration)
                for name, speed in speeds.items()
                if speed
            ),
            default=0,
        )

    def _ramp(self, place: int, speed: int, ticks: int) -> _Ramp:
        """Return the ramp from a place to rest, at a speed away from the window."""
        if not speed:
            return _Ramp(0, place, 0)
        bend = towards_zero(speed, 2 * ticks)
        return _Ramp(ticks + self._settle, place + speed * self._settle + bend * ticks**2, bend)

    def _run_up(self, passage: _Passage, tick: int, pieces: dict[str, list[Piece]]) -> int:
        """Add the run-up of all axes; return where the window begins."""
        length = max(ramp.ticks for ramp in passage.into.values())
        for name, ramp in passage.into.items():
            self._into(passage.course.axes[name], ramp, tick, tick + length, pieces[name])
        return tick + length

    def _into(
        self, course: AxisCourse, ramp: _Ramp, tick: int, window: int, pieces: list[Piece]
    ) -> None:
        """Add rest from a tick on, and the run-up to a window."""
        begin = window - ramp.ticks
        if tick < begin:
            pieces.append(Piece(tick, ramp.rest, 0, 0))
        if ramp.ticks:
            pieces.append(Piece(begin, ramp.rest, 0, -ramp.bend))
            if self._settle:
                speed, at = course.speed_in, window - self._settle
                pieces.append(Piece(at, course.start - speed * self._settle, speed, 0))

    def _out_of(self, course: AxisCourse, ramp: _Ramp, tick: int, pieces: list[Piece]) -> None:
        """Add the run-down from the end of a window; the axis is not at rest yet by a hair."""
        if not ramp.ticks:
            return
        speed, place = course.speed_out, course.end
        if self._settle:
            pieces.append(Piece(tick, place, speed, 0))
        pieces.append(
            Piece(
                tick + self._settle,
                place + speed * self._settle,
                2 * ramp.bend * (ramp.ticks - self._settle),
                -ramp.bend,
            )
        )

    @staticmethod
    def _through(passage: _Passage, tick: int, pieces: dict[str, list[Piece]]) -> None:
        for name, course in passage.course.axes.items():
            pieces[name].extend(
                Piece(tick + at, start, speed, bend) for at, start, speed, bend in course.pieces
            )

    def _between(
        self, before: _Passage, after: _Passage, tick: int, pieces: dict[str, list[Piece]]
    ) -> tuple[int, Gap]:
        """Add what is between two windows; return where the next one begins."""
        middles: dict[str, list[Piece]] = {}
        length = self._turnaround
        for name, axis in self._axes.items():
            out, into = before.out_of[name], after.into[name]
            speeds = before.course.axes[name].speed_out, after.course.axes[name].speed_in
            middles[name] = moving(
                tick + out.ticks,
                out.rest,
                into.rest,
                max(axis.velocity, *map(abs, speeds)),
                axis.acceleration,
            )
            length = max(length, middles[name][-1].tick - tick + into.ticks)
        end = tick + length
        for name, middle in middles.items():
            out, into = before.out_of[name], after.into[name]
            self._out_of(before.course.axes[name], out, tick, pieces[name])
            pieces[name].extend(middle[:-1])
            self._into(after.course.axes[name], into, middle[-1].tick, end, pieces[name])
        blind = {name: length - after.into[name].ticks for name in self._axes}
        run_down = max(ramp.ticks for ramp in before.out_of.values())
        return end, Gap(length, run_down, blind)

    def _run_down(self, passage: _Passage, tick: int, pieces: dict[str, list[Piece]]) -> int:
        """Add what comes after the last window; return where all axes stand."""
        end = tick + max(1, *(ramp.ticks for ramp in passage.out_of.values()))
        for name, ramp in passage.out_of.items():
            self._out_of(passage.course.axes[name], ramp, tick, pieces[name])
            pieces[name].append(Piece(tick + ramp.ticks, ramp.rest, 0, 0))
        return end
