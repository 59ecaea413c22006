"""Paths are planned exactly: at every tick the position is that of the closed form."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panda_simulator.motion import ONE, Motion
from panda_simulator.trajectory import Curve, Drive, Leg, Planner, Window, course_of

from .courses import Expected, count, raster, slanted, snake
from .rehearsal import TICKS

LIMITS = (-1000.0, 1000.0)
PLACES = st.integers(-5000, 5000).map(lambda number: number / 1024)


def planner(axes: str = "x", velocity: float = 2.0, acceleration: float = 20.0, **options):
    drive = Drive(velocity, acceleration, options.pop("limits", LIMITS), options.pop("most", None))
    return Planner(dict.fromkeys(axes, drive), TICKS, **options)


def windows_of(expected: Expected) -> list[Window]:
    return [Window.of(expected.duration, **window) for window in expected.windows]


def motion_of(legs: list[Leg], axis: str) -> Motion:
    motion = Motion()
    motion.replace(0, [piece for leg in legs for piece in leg.pieces[axis]])
    return motion


def counted(position: int) -> int:
    """Count as an encoder does, with what the roundings of a motion may lack to a half."""
    return (position * 10_000 + ONE // 2 + (ONE >> 32)) // ONE


PATHS = [
    Expected(snake(4), 0.5, 2.0, 20.0),
    Expected(snake(3, step=0.0), 0.5, 2.0, 20.0),
    Expected(snake(3, step=5.0), 0.5, 2.0, 20.0),
    Expected(raster(4), 0.5, 2.0, 20.0),
    Expected(raster(3), 0.5, 4.0, 20.0),
    Expected(slanted(4), 0.5, 2.0, 20.0),
]


@pytest.mark.parametrize("expected", PATHS)
def test_a_path_is_where_newton_has_it_at_every_tick(expected):
    axes = "".join(expected.windows[0])
    plan = planner(axes, expected.velocity, expected.acceleration)
    legs = list(plan.legs(windows_of(expected)))
    assert [leg.window[0] for leg in legs] == expected.begins
    assert legs[-1].end == expected.end
    ticks = {0, expected.end, expected.end + 1000}
    for begin in expected.begins:
        ticks |= {begin + off for off in (-1, 0, 1, 62_499_999, 62_500_000, 62_500_001)}
    ticks |= set(np.random.default_rng(1).integers(0, expected.end, 300).tolist())
    for axis in axes:
        motion = motion_of(legs, axis)
        for tick in ticks:
            end = min(tick, expected.end)
            assert counted(motion.at(tick)) == count(expected.position(axis, end)), (axis, tick)


@pytest.mark.parametrize("expected", PATHS)
def test_axes_stand_before_the_first_run_up_where_the_plan_says(expected):
    axes = "".join(expected.windows[0])
    plan = planner(axes, expected.velocity, expected.acceleration)
    start = plan.start(windows_of(expected)[0])
    legs = list(plan.legs(windows_of(expected)))
    assert start == {axis: motion_of(legs, axis).at(0) for axis in axes}


@settings(max_examples=60, deadline=None)
@given(
    ends=st.lists(st.tuples(*[st.tuples(PLACES, PLACES)] * 2), min_size=1, max_size=5),
    duration=st.floats(1e-2, 2.0),
    settle=st.sampled_from([0.0, 1e-8, 0.01]),
)
def test_any_path_is_without_a_jump_and_no_piece_turns_around(ends, duration, settle):
    windows = [Window.of(duration, x=x, y=y) for x, y in ends]
    plan = planner("xy", 3.0, 50.0, settle=settle, limits=(-math.inf, math.inf))
    legs = list(plan.legs(windows))
    for before, after in pairwise(legs):
        assert before.end == after.begin == after.window[0]
    for axis in "xy":
        pieces = [piece for leg in legs for piece in leg.pieces[axis]]
        for piece, following in pairwise(pieces):
            assert following.tick > piece.tick
            # what roundings of speeds and bends, 2**-112 units, come to
            assert abs(piece.at(following.tick) - following.start) < ONE >> 45
            first, last = piece.speed_at(piece.tick), piece.speed_at(following.tick - 1)
            assert first * last >= 0 or abs(min(first, last, key=abs)) < 1 << 40
        assert pieces[-1].speed == pieces[-1].bend == 0
    for leg, (x, _) in zip(legs, ends, strict=True):
        motion = motion_of(legs, "x")
        first, last = leg.window
        assert motion.at(first) == Fraction(x[0]) * ONE
        assert abs(motion.at(last) - Fraction(x[1]) * ONE) < 1 << 62


@settings(max_examples=40, deadline=None)
@given(number=st.integers(1, 6), velocity=st.floats(0.1, 5), acceleration=st.floats(1, 100))
def test_no_axis_is_faster_or_accelerates_faster_than_it_can(number, velocity, acceleration):
    plan = planner("xy", velocity, acceleration)
    # windows slower than the axes
    windows = [
        Window.of(1.0, x=(0, velocity / 2), y=(row, row + velocity / 3)) for row in range(number)
    ]
    for leg in plan.legs(windows):
        for axis in "xy":
            for piece in leg.pieces[axis]:
                assert abs(piece.speed) <= velocity / TICKS * ONE * (1 + 1e-9)
                assert abs(2 * piece.bend) <= acceleration / TICKS**2 * ONE * (1 + 1e-6)


# Gaps


def test_an_axis_is_blind_until_its_run_up_begins():
    expected = Expected(raster(2), 0.5, 4.0, 20.0)
    legs = list(planner("xy", 4.0, 20.0).legs(windows_of(expected)))
    gap = legs[0].gap
    assert gap is not None
    assert gap.ticks == expected.gap(0)
    assert gap.run_down == expected.ramp(0)
    assert gap.blind == {"x": gap.ticks - expected.ramp(1), "y": gap.ticks}
    motion = motion_of(legs, "x")
    end = legs[0].window[1]
    turned = [motion.speed_at(end + tick) for tick in (gap.blind["x"] - 1000, gap.blind["x"] + 1)]
    assert turned[0] <= 0 < turned[1]
    assert legs[-1].gap is None


def test_windows_that_touch_still_have_a_gap_for_the_gate():
    windows = [Window.of(0.1, x=(0, 0))] * 3
    gaps = [leg.gap for leg in planner(turnaround=2e-5).legs(windows)]
    assert [gap.ticks for gap in gaps if gap] == [2500, 2500]


def test_a_settling_time_is_flown_at_the_velocity_of_the_window():
    plan = planner(settle=0.01)
    window = Window.of(0.5, x=(0, 1))
    (leg,) = plan.legs([window])
    motion = motion_of([leg], "x")
    first, last = leg.window
    for tick in (first - 1_250_000, first, last, last + 1_249_999):
        assert motion.speed_at(tick) == 2 * ONE // TICKS
    assert motion.speed_at(first - 1_250_001) < 2 * ONE // TICKS
    assert counted(motion.at(first - 1_250_000)) == -200
    assert counted(plan.start(window)["x"]) == -1200


# Curves


def circle(number: int, seconds: float = 1.0) -> Curve:
    angle = np.linspace(0, 2 * np.pi, number)
    times = np.linspace(0, seconds, number)
    return Curve(times, {"x": np.cos(angle), "y": np.sin(angle)})


@pytest.mark.parametrize("linear", [False, True])
def test_a_curve_passes_every_point_at_its_tick(linear):
    points = circle(101)
    curve = Curve(points.times, points.positions, linear=linear)
    (leg,) = planner("xy", 20.0, 500.0).legs([curve])
    for axis in "xy":
        motion = motion_of([leg], axis)
        for time, position in zip(curve.times, curve.positions[axis], strict=True):
            at = motion.at(leg.window[0] + round(time * TICKS))
            assert abs(at - Fraction(float(position)) * ONE) < 1 << 62


def test_a_smooth_curve_keeps_its_speed_from_piece_to_piece_and_near_the_circle():
    curve = circle(201)
    (leg,) = planner("xy", 20.0, 500.0).legs([curve])
    x, y = motion_of([leg], "x"), motion_of([leg], "y")
    begin, end = leg.window
    for tick in range(begin, end, 333_333):
        assert math.hypot(x.at(tick) / ONE, y.at(tick) / ONE) == pytest.approx(1, abs=2e-4)
    for motion in (x, y):
        for piece, following in pairwise(motion.pieces):
            change = abs(piece.speed_at(following.tick) - following.speed) / ONE * TICKS
            assert change < 1e-6, (piece, following)


@settings(max_examples=60, deadline=None)
@given(
    positions=st.lists(st.floats(-3, 3), min_size=2, max_size=8),
    steps=st.lists(st.integers(1, 50), min_size=7, max_size=7),
    given_speeds=st.booleans(),
    linear=st.booleans(),
)
def test_pieces_of_any_curve_go_one_way_at_every_tick(positions, steps, given_speeds, linear):
    ticks = np.concatenate([[0], np.cumsum(steps[: len(positions) - 1])])
    speeds = {"x": [position * 1e6 for position in reversed(positions)]} if given_speeds else None
    curve = Curve((ticks / TICKS).tolist(), {"x": positions}, speeds, linear)
    course = course_of(curve, 0, "x", TICKS)
    pieces = course.axes["x"].pieces
    ends = [*(piece.tick for piece in pieces[1:]), course.ticks]
    for piece, end in zip(pieces, ends, strict=True):
        places = [piece.at(tick) for tick in range(piece.tick, end)]
        assert places in (sorted(places), sorted(places, reverse=True))


def test_velocities_of_points_are_met():
    times = [0.0, 0.5, 1.5]
    curve = Curve(times, {"x": [0.0, 1.0, 1.0]}, {"x": [2.0, 2.0, -2.0]})
    course = course_of(curve, 0, "x", TICKS)
    motion = Motion()
    motion.replace(0, list(course.axes["x"].pieces))
    assert motion.speed_at(0) == 2 * ONE // TICKS
    assert motion.speed_at(62_500_000) / ONE * TICKS == pytest.approx(2, abs=1e-9)
    assert course.axes["x"].speed_out / ONE * TICKS == pytest.approx(-2, abs=1e-9)
    assert motion.at(62_500_000) == ONE


def test_two_points_are_a_straight_line():
    straight = course_of(Window.of(0.3, x=(0.1, 0.7)), 0, "x", TICKS)
    sampled = course_of(Curve([0, 0.3], {"x": [0.1, 0.7]}), 0, "x", TICKS)
    one, other = Motion(), Motion()
    one.replace(0, list(straight.axes["x"].pieces))
    other.replace(0, list(sampled.axes["x"].pieces))
    for tick in range(0, 37_500_000, 999_983):
        assert abs(one.at(tick) - other.at(tick)) < 1 << 62


# What cannot be


def test_anything_that_looks_like_a_window_is_one():
    move = SimpleNamespace(start=0.0, end=1.0, duration=0.5)
    window: Any = SimpleNamespace(moves={"x": move}, duration=0.5, first=0, frames=5)
    assert list(planner().legs([window])) == list(planner().legs([Window.of(0.5, x=(0, 1))]))


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (Window.of(0.5, x=(0, 1), q=(0, 1)), "window 1 moves 'q': axes are x"),
        (Window({}, 0.5), "window 1 does not say where 'x' is"),
        (Window.of(0.5, x=(0, math.nan)), "window 1: x is to be at nan"),
        (Window.of(0.0, x=(0, 1)), "window 1 takes 0.0 s"),
        (Window.of(math.inf, x=(0, 1)), "window 1 takes inf s"),
        (Window.of(0.5, x=(0, 999.95)), r"window 1 .* needs axis x at -99990.*, outside"),
        (Window.of(0.5, x=(-1000, -999)), r"needs axis x at -1000\.1, outside -1000 … 1000"),
        (Curve([0.0], {"x": [0.0]}), "window 1 needs two points"),
        (Curve([0.1, 0.2], {"x": [0.0, 1.0]}), "window 1 needs two points"),
        (Curve([0.0, 1e-9], {"x": [0.0, 1.0]}), "point 1 is at 1e-09 s, less than a tick"),
        (Curve([0.0, 1.0], {"x": [0.0, 1.0, 2.0]}), "x needs 2 numbers"),
    ],
)
def test_a_window_that_cannot_be_is_refused_by_number(window, message):
    with pytest.raises(ValueError, match=message):
        list(planner().legs([Window.of(0.5, x=(0, 1)), window]))


def test_what_is_no_window_is_refused():
    with pytest.raises(TypeError, match="window 0 is 3"):
        list(planner().legs([3]))  # pyright: ignore[reportArgumentType]


def test_a_curve_that_swings_beyond_a_limit_between_its_points_is_refused():
    curve = Curve([0.0, 1.0, 2.0], {"x": [0.0, 0.9, 0.0]}, {"x": [6.0, 0.0, -6.0]})
    with pytest.raises(ValueError, match="needs axis x at 1"):
        list(planner(limits=(-50.0, 1.0)).legs([curve]))


def test_a_window_that_is_too_fast_is_refused_and_one_at_the_limit_is_not():
    plan = planner(most=2.0)
    assert len(list(plan.legs([Window.of(0.1, x=(0, 0.2))]))) == 1
    with pytest.raises(ValueError, match=r"window 0 moves axis x at 2\.1 a second"):
        list(plan.legs([Window.of(0.1, x=(0, 0.21))]))


@pytest.mark.parametrize("numbers", [(0.0, 1.0), (1.0, -1.0), (math.inf, 1.0)])
def test_a_drive_that_cannot_move_is_refused(numbers):
    with pytest.raises(ValueError, match="have to be positive and finite"):
        planner("x", *numbers)


def test_no_windows_are_no_legs():
    assert list(planner().legs([])) == []
