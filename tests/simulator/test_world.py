"""Axes move exactly, encoders count them, and every crossing is computed, not polled."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panda_simulator.clock import SteppedClock
from panda_simulator.motion import ONE, Motion, moving, stopping, to_fixed, to_float
from panda_simulator.world import Axis, Encoder, World

SECOND = 125_000_000


def fast_axis(position: float = 0.0, velocity: float = 1.0, acceleration: float = 10.0) -> Axis:
    axis = Axis("x", position, velocity, acceleration)
    axis.attach(lambda: 1, lambda: 0)
    return axis


def test_a_long_move_is_a_trapezoid():
    axis = fast_axis(velocity=2.0, acceleration=10.0)
    end = axis.move(3.0)
    assert end == pytest.approx(1 + 1.7 * SECOND, abs=2)
    assert axis.position(1 + SECOND // 10) == pytest.approx(0.05)
    assert axis.position(1 + SECOND // 5) == pytest.approx(0.2)
    assert axis.position(1 + SECOND) == pytest.approx(1.8)
    assert axis.position(end) == 3.0
    assert axis.moving(end - 1)
    assert not axis.moving(end)


def test_a_short_move_is_a_triangle():
    axis = fast_axis(position=1.0, velocity=100.0, acceleration=1.0)
    end = axis.move(0.0)
    assert end == pytest.approx(2 * SECOND, abs=3)
    assert axis.position(SECOND) == pytest.approx(0.5, abs=1e-6)
    assert axis.position(end) == 0.0


def test_a_stopped_axis_brakes_and_a_new_move_starts_from_rest():
    axis = fast_axis(velocity=1.0, acceleration=1.0)
    axis.move(100.0)
    axis.attach(lambda: 2 * SECOND, lambda: 2 * SECOND)
    assert axis.stop() == pytest.approx(3 * SECOND, abs=2)
    assert axis.position(5 * SECOND) == pytest.approx(2.0, abs=1e-6)
    axis.move(50.0)
    assert axis.position(2 * SECOND) == pytest.approx(1.5, abs=1e-6)
    assert axis.position(axis.motion.end()) == 50.0


def test_a_target_outside_the_limits_is_refused():
    with pytest.raises(ValueError, match="axis x: target 2000"):
        fast_axis().move(2000.0)


@pytest.mark.parametrize(("velocity", "acceleration"), [(0.0, 1.0), (1.0, -1.0)])
def test_an_axis_that_cannot_move_says_why(velocity, acceleration):
    with pytest.raises(ValueError, match="have to be positive"):
        fast_axis(velocity=velocity, acceleration=acceleration).move(1.0)


@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(-1000, 1000),
    target=st.integers(-1000, 1000),
    speed=st.integers(1, ONE),
    acceleration=st.integers(1, ONE),
    tick=st.integers(0, 50),
    low=st.integers(-1000, 1000),
    width=st.integers(0, 500),
)
def test_the_computed_crossing_is_the_first_tick_outside(
    start, target, speed, acceleration, tick, low, width
):
    motion = Motion(start * ONE)
    motion.replace(10, moving(10, start * ONE, target * ONE, speed + ONE, acceleration + ONE // 9))
    bounds = low * ONE, (low + width) * ONE
    last = max(motion.end(), tick) + 5
    outside = (t for t in range(tick + 1, last) if not bounds[0] <= motion.at(t) <= bounds[1])
    assert motion.leaves(tick, *bounds) == next(outside, None)


@settings(max_examples=60, deadline=None)
@given(
    target=st.floats(-50, 50),
    velocity=st.floats(0.001, 100),
    gain=st.sampled_from([10_000.0, -10_000.0, 1.0, -3.7, 123456.789]),
    offset=st.floats(-1000, 1000),
    low=st.integers(-20_000, 20_000),
    width=st.integers(0, 1000),
)
def test_an_encoder_leaves_an_interval_at_the_tick_it_says(
    target, velocity, gain, offset, low, width
):
    axis = fast_axis(velocity=velocity)
    encoder = Encoder(axis, gain, offset)
    axis.move(target)
    leaves = encoder.leaves(0, low, low + width)
    if leaves is None:
        assert low <= encoder.at(axis.motion.end()) <= low + width
    else:
        assert not low <= encoder.at(leaves) <= low + width
        assert leaves == 1 or low <= encoder.at(leaves - 1) <= low + width


@settings(max_examples=60, deadline=None)
@given(st.floats(-1000, 1000, allow_nan=False))
def test_fixed_positions_are_exact(position):
    assert to_float(to_fixed(position)) == pytest.approx(position, abs=1e-30)


def test_an_axis_at_rest_needs_no_stopping():
    assert stopping(5, Motion(3), 7) == []


def test_encoders_round_and_count_in_their_direction():
    axis = fast_axis(position=0.00026)
    assert Encoder(axis, 10_000).at(0) == 3
    assert Encoder(axis, -10_000).at(0) == -3
    assert Encoder(axis, 10_000, offset=-7).at(0) == -4


def test_an_encoder_needs_counts():
    with pytest.raises(ValueError, match="counts_per_unit"):
        Encoder(fast_axis(), 0.0)


def test_the_standard_world_has_four_axes_on_the_encoder_inputs():
    world = World(SteppedClock())
    assert {number: encoder.axis.name for number, encoder in world.encoders.items()} == {
        1: "x",
        2: "y",
        3: "z",
        4: "a",
    }
    assert not world.axes["x"].moving()


def test_levels_are_kept_and_observed_without_a_box():
    world = World(SteppedClock())
    seen: list[tuple[int, int]] = []
    world.observe("TTLOUT", 3, lambda tick, level: seen.append((tick, level)))
    world.drive("TTLIN", 1, 1)
    world.output_changed("TTLOUT", 3, 5, 1)
    assert (world.level("TTLIN", 1), world.level("TTLOUT", 3), world.level("LVDSIN", 1)) == (
        1,
        1,
        0,
    )
    assert seen == [(5, 1)]
    world.axes["x"].move(1.0)
    world.axes["x"].place(2.0)
    assert world.axes["x"].position() == 2.0
