"""The course of axes through one window, in ticks and fixed point: exact at every tick.

Straight lines have the position start + way·t/ticks at tick t, cut off at 2**-112 units a tick;
curves are parabolas between points. Source: flyscan.md 1.13.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from panda_simulator.motion import Piece, to_fixed
from panda_simulator.trajectory.windows import Numbers, SampledWindow, StraightWindow

_LEAST_POINTS = 2


@dataclass(frozen=True, slots=True)
class AxisCourse:
    """One axis in a window; positions times 2**112, speeds per tick likewise.

    Attributes:
        start, end: positions at both ends.
        speed_in, speed_out: there.
        pieces: in ticks since the window begins.
    """

    start: int
    end: int
    speed_in: int
    speed_out: int
    pieces: Sequence[Piece]


@dataclass(frozen=True, slots=True)
class Course:
    """All axes in a window.

    Attributes:
        ticks: how long it takes.
        axes: by name.
    """

    ticks: int
    axes: Mapping[str, AxisCourse]


def course_of(window: object, index: int, axes: Collection[str], frequency: int) -> Course:
    """Plan one window.

    Args:
        window: straight lines or points (`windows.AnyWindow`).
        index: of it, for messages.
        axes: that there are; all of them have to be in it.
        frequency: ticks in a second.

    Raises:
        TypeError: it is no window.
        ValueError: an axis is unknown or missing, a number is not finite, or times do not rise
            by a tick at least.
    """
    place = f"window {index}"
    if isinstance(window, StraightWindow):
        _check_names(place, window.moves, axes)
        ticks = _ticks(place, window.duration, frequency)
        return Course(
            ticks,
            {
                name: _straight(place, name, move.start, move.end, ticks)
                for name, move in window.moves.items()
            },
        )
    if isinstance(window, SampledWindow):
        return _sampled(place, window, axes, frequency)
    raise TypeError(
        f"{place} is {window!r}: it needs `moves` and `duration`, or `times` and `positions`"
    )


def _check_names(place: str, given: Collection[str], axes: Collection[str]) -> None:
    unknown = [name for name in given if name not in axes]
    missing = [name for name in axes if name not in given]
    if unknown:
        raise ValueError(f"{place} moves {unknown[0]!r}: axes are {', '.join(axes)}")
    if missing:
        raise ValueError(
            f"{place} does not say where {missing[0]!r} is; one that stands starts where it ends"
        )


def _fixed(place: str, name: str, number: float) -> int:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{place}: {name} is to be at {value}, which is no position")
    return to_fixed(value)


def _ticks(place: str, seconds: float, frequency: int) -> int:
    seconds = float(seconds)
    if not (math.isfinite(seconds) and round(seconds * frequency) > 0):
        raise ValueError(f"{place} takes {seconds} s: it has to be a tick at least, and finite")
    return round(seconds * frequency)


def towards_zero(number: int, divisor: int) -> int:
    """Divide by a positive number, never beyond the true quotient.

    So a position made of such a speed never passes the one that comes after it.
    """
    return number // divisor if number >= 0 else -(-number // divisor)


def _straight(place: str, name: str, start: float, end: float, ticks: int) -> AxisCourse:
    first, last = _fixed(place, name, start), _fixed(place, name, end)
    speed = towards_zero(last - first, ticks)
    return AxisCourse(first, last, speed, speed, (Piece(0, first, speed, 0),))


def _sampled(place: str, window: SampledWindow, axes: Collection[str], frequency: int) -> Course:
    _check_names(place, window.positions, axes)
    times = [float(time) for time in window.times]
    if len(times) < _LEAST_POINTS or times[0] != 0 or not all(map(math.isfinite, times)):
        raise ValueError(f"{place} needs two points at least, the first one at time 0")
    ticks = [round(time * frequency) for time in times]
    for number, (before, after) in enumerate(pairwise(ticks), 1):
        if after <= before:
            raise ValueError(
                f"{place}: point {number} is at {times[number]} s, less than a tick after the one"
                f" before, at {times[number - 1]} s"
            )
    velocities: Mapping[str, Numbers] = getattr(window, "velocities", None) or {}
    linear: bool = getattr(window, "linear", False)
    courses: dict[str, AxisCourse] = {}
    for name, given in window.positions.items():
        points = [_fixed(place, name, position) for position in given]
        own: Any = velocities.get(name)
        if len(points) != len(ticks) or (own is not None and len(own) != len(ticks)):
            raise ValueError(f"{place}: {name} needs {len(ticks)} numbers, one for each time")
        if linear:
            courses[name] = _lines(ticks, points)
            continue
        if own is None:
            speeds = _speeds(ticks, points)
        else:
            speeds = [_fixed(place, name, speed) // frequency for speed in own]
        courses[name] = _parabolas(ticks, points, speeds)
    return Course(ticks[-1], courses)


def _lines(ticks: Sequence[int], points: Sequence[int]) -> AxisCourse:
    pieces = [
        Piece(tick, point, towards_zero(points[number + 1] - point, ticks[number + 1] - tick), 0)
        for number, (tick, point) in enumerate(zip(ticks[:-1], points[:-1], strict=True))
    ]
    return AxisCourse(points[0], points[-1], pieces[0].speed, pieces[-1].speed, pieces)


def _speeds(ticks: Sequence[int], points: Sequence[int]) -> list[int]:
    """Return at each point the speed of the parabola through it and its neighbours."""
    if len(ticks) == _LEAST_POINTS:
        return [towards_zero(points[1] - points[0], ticks[1] - ticks[0])] * 2
    last = len(ticks) - 1
    speeds: list[int] = []
    for number, tick in enumerate(ticks):
        middle = min(max(number, 1), last - 1)
        a, b, c = ticks[middle - 1 : middle + 2]
        before = (points[middle] - points[middle - 1]) // (b - a)
        after = (points[middle + 1] - points[middle]) // (c - b)
        # slope at the middle of the first chord, and from there as the chords differ
        speeds.append(before + (after - before) * (2 * tick - a - b) // (c - a))
    return speeds


def _parabolas(ticks: Sequence[int], points: Sequence[int], speeds: Sequence[int]) -> AxisCourse:
    pieces: list[Piece] = []
    for number, tick in enumerate(ticks[:-1]):
        span = ticks[number + 1] - tick
        _join(
            pieces, tick, span, points[number], points[number + 1],
            speeds[number], speeds[number + 1],
        )  # fmt: skip
    return AxisCourse(points[0], points[-1], speeds[0], speeds[-1], pieces)


def _join(
    pieces: list[Piece], tick: int, span: int, start: int, end: int, first: int, last: int
) -> None:
    """Add parabolas from point to point with the speed at both ends, which need two of them."""
    half = span // 2
    if not half:
        _monotone(pieces, Piece(tick, start, end - start, 0), span)
        return
    rest = span - half
    # way = half·(first + middle)/2 + rest·(middle + last)/2
    middle = (2 * (end - start) - half * first - rest * last) // span
    up = Piece(tick, start, first, towards_zero(middle - first, 2 * half))
    _monotone(pieces, up, half)
    # the second half ends exactly on the point
    begin = up.at(tick + half)
    bend = towards_zero(last - middle, 2 * rest)
    speed = towards_zero(end - begin - bend * rest * rest, rest)
    _monotone(pieces, Piece(tick + half, begin, speed, bend), rest)


def _monotone(pieces: list[Piece], piece: Piece, span: int) -> None:
    """Add a piece, in two where it turns around."""
    pieces.append(piece)
    speed, bend = piece.speed, piece.bend
    if not bend or (speed < 0) == (bend < 0) or not speed:
        return
    # the first tick at which it has turned
    turn = -(-abs(speed) // (2 * abs(bend)))
    if 0 < turn < span:
        tick = piece.tick + turn
        pieces.append(Piece(tick, piece.at(tick), piece.speed_at(tick), bend))
