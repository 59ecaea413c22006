"""How an axis is flown through windows: ramps outside, limits, straight lines only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.encoders import (
    AxisMove,
    Encoder,
    MotorFacts,
    acceleration_time,
    check_move,
    motion_windows,
)
from panda_ophyd.errors import FieldValueError


def test_ramps_lie_outside_of_the_window():
    move = AxisMove(1.0, 3.0, 2.0)
    assert (move.velocity, move.run_up_start(0.5), move.run_down_end(0.5)) == (1.0, 0.75, 3.25)


def test_time_to_settle_is_flown_at_full_velocity():
    move = AxisMove(3.0, 1.0, 2.0)
    assert (move.run_up_start(0.5, settle=0.25), move.run_down_end(0.5, 0.25)) == (3.5, 0.5)


@given(
    start=st.floats(-1e3, 1e3), way=st.floats(-1e3, 1e3), time=st.floats(1e-3, 1e3),
    ramp=st.floats(0, 10),
)  # fmt: skip
def test_ramps_are_those_of_the_framework(start, way, time, ramp):
    move = AxisMove(start, start + way, time)
    info = move.fly_info()
    assert move.run_up_start(ramp) == pytest.approx(info.ramp_up_start_pos(ramp), abs=1e-9)
    assert move.run_down_end(ramp) == pytest.approx(info.ramp_down_end_pos(ramp), abs=1e-9)


def test_a_guard_asks_for_half_the_run_up():
    move = AxisMove(1.0, 3.0, 2.0)
    assert move.guard_margin(Encoder("INENC1.VAL", -1e-3), 0.5) == 125
    assert move.guard_margin(Encoder("INENC1.VAL", 1e-3), 0.0) == 1


def test_an_acceleration_takes_its_time():
    assert acceleration_time(-4.0, 8.0) == 0.5
    with pytest.raises(FieldValueError, match="above 0"):
        acceleration_time(1.0, 0.0)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (MotorFacts(low=0.8), "run-up of x cannot be 0.75"),
        (MotorFacts(high=3.2), "run-down of x cannot be 3.25"),
        (MotorFacts(max_velocity=0.9), "velocity of x"),
    ],
)
def test_a_window_that_a_motor_cannot_do_is_refused(facts, message):
    with pytest.raises(FieldValueError, match=message):
        check_move("x", AxisMove(1.0, 3.0, 2.0), facts, 0.5)


def test_a_motor_without_limits_does_anything():
    check_move("x", AxisMove(-1e6, 1e6, 2.0), MotorFacts(), 0.5)


def snake():
    edges = np.linspace(0, 1, 5)
    lower = np.concatenate([edges[:-1], edges[:0:-1]])
    upper = np.concatenate([edges[1:], edges[-2::-1]])
    y = np.repeat([0.0, 1.0], 4)
    gap = np.array([True, False, False, False] * 2)
    return {"x": lower, "y": y}, {"x": upper, "y": y}, gap


def test_windows_of_a_snake_go_there_and_back():
    lower, upper, gap = snake()
    there, back = motion_windows(lower, upper, np.full(8, 0.1), gap)
    assert (there.moves["x"].start, there.moves["x"].end) == (0, 1)
    assert (back.moves["x"].start, back.moves["x"].end) == (1, 0)
    assert (back.first, back.frames, back.moves["y"].speed) == (4, 4, 0)
    assert back.duration == pytest.approx(0.4)


def test_the_first_frame_begins_a_window_whatever_it_says():
    lower, upper, gap = snake()
    gap[0] = False
    assert [window.first for window in motion_windows(lower, upper, np.ones(8), gap)] == [0, 4]


def test_a_speed_that_changes_in_a_window_is_refused_with_the_frame():
    lower, upper, gap = snake()
    duration = np.full(8, 0.1)
    duration[6] = 0.2
    with pytest.raises(FieldValueError, match=r"motion of x.*frame 4"):
        list(motion_windows(lower, upper, duration, gap))


@pytest.mark.parametrize("duration", [0.0, -1.0, float("nan")])
def test_a_window_takes_some_time(duration):
    with pytest.raises(FieldValueError, match="duration"):
        AxisMove(0, 1, duration)
