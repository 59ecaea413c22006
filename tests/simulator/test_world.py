"""Axes move exactly, encoders count them, and every crossing is computed, not polled."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panda_simulator.clock import SteppedClock
from panda_simulator.encoders import Coarse, Encoder, Noisy
from panda_simulator.motion import ONE, Motion, moving, stopping, to_fixed, to_float
from panda_simulator.world import Axis, World

from .conftest import Bench

SECOND = 125_000_000


def fast_axis(position: float = 0.0, velocity: float = 1.0, acceleration: float = 10.0) -> Axis:
    axis = Axis("x", position, velocity, acceleration)
    axis.attach(lambda: 1, lambda: 0, SECOND)
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
    axis.attach(lambda: 2 * SECOND, lambda: 2 * SECOND, SECOND)
    assert axis.stop() == pytest.approx(3 * SECOND, abs=2)
    assert axis.position(5 * SECOND) == pytest.approx(2.0, abs=1e-6)
    axis.move(50.0)
    assert axis.position(2 * SECOND) == pytest.approx(1.5, abs=1e-6)
    assert axis.position(axis.motion.end()) == 50.0


def test_a_target_outside_the_limits_is_refused():
    with pytest.raises(ValueError, match="axis x: target 2000"):
        fast_axis().move(2000.0)


@pytest.mark.parametrize("position", [2000.0, -1000.1, 1e300, math.inf, math.nan])
def test_a_position_outside_the_limits_is_no_place_to_be(position):
    axis = fast_axis()
    with pytest.raises(ValueError, match=r"axis x: position .* is outside"):
        axis.place(position)
    assert axis.position() == 0.0


@pytest.mark.parametrize(
    ("velocity", "acceleration"),
    [(0.0, 1.0), (1.0, -1.0), (math.nan, 1.0), (1.0, math.inf)],
)
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
    encoder = Encoder(axis.motion, gain, offset)
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
    assert Encoder(axis.motion, 10_000).at(0) == 3
    assert Encoder(axis.motion, -10_000).at(0) == -3
    assert Encoder(axis.motion, 10_000, offset=-7).at(0) == -4


def test_an_encoder_needs_counts():
    with pytest.raises(ValueError, match="counts_per_unit"):
        Encoder(fast_axis().motion, 0.0)


def test_the_standard_world_has_four_axes_on_the_encoder_inputs():
    world = World(SteppedClock())
    for position, axis in enumerate(world.axes.values(), start=1):
        axis.place(position)
    counts = {number: track.at(100) for number, track in world.encoders.items()}
    assert counts == {1: 10_000, 2: 20_000, 3: 30_000, 4: 40_000}
    assert list(world.axes) == ["x", "y", "z", "a"]
    assert not world.axes["x"].moving()


def test_axes_that_cannot_all_move_stay_where_they_are():
    world = World(SteppedClock())
    with pytest.raises(ValueError, match="axis y: target"):
        world.move({"x": 1.0, "y": 1e9})
    assert not world.axes["x"].moving(10)


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


def tracks(axis):
    counts = Encoder(axis.motion, 10_000)
    return {
        "coarse": Coarse(counts, 5),
        "noisy": Noisy(counts, 3, period=7, seed=1),
        "both": Noisy(Coarse(counts, 4), 2, period=50, seed=2),
    }


@pytest.mark.parametrize("kind", ["coarse", "noisy", "both"])
@given(st.integers(0, 3000), st.integers(-3, 40), st.integers(0, 12))
def test_coarse_and_noisy_encoders_leave_an_interval_at_the_tick_they_say(kind, tick, low, width):
    axis = fast_axis()
    axis.move(0.003)
    track = tracks(axis)[kind]
    high = low + width
    said = tick
    while said is not None and said < tick + 400:
        inside = [low <= track.at(t) <= high for t in range(said + 1, said + 400)]
        before, said = said, track.leaves(said, low, high)
        until = len(inside) if said is None else min(said - before - 1, len(inside))
        assert all(inside[:until])
        if said is not None and not low <= track.at(said) <= high:
            break


def test_noise_is_bounded_repeats_with_its_seed_and_differs_with_another():
    counts = Encoder(fast_axis(position=1.0).motion, 10_000)
    noisy, same, other = (Noisy(counts, 3, period=10, seed=seed) for seed in (4, 4, 5))
    ticks = range(0, 5000, 10)
    deviations = {noisy.at(tick) - 10_000 for tick in ticks}
    assert deviations == set(range(-3, 4))
    assert [noisy.at(tick) for tick in ticks] == [same.at(tick) for tick in ticks]
    assert [noisy.at(tick) for tick in ticks] != [other.at(tick) for tick in ticks]
    assert noisy.at(100) == noisy.at(109)


@pytest.mark.parametrize("make", [lambda c: Coarse(c, 0), lambda c: Noisy(c, -1)])
def test_an_encoder_that_cannot_be_says_why(make):
    with pytest.raises(ValueError, match="of an encoder is"):
        make(Encoder(fast_axis().motion, 10))


def test_a_cable_brings_an_output_to_an_input_a_tick_later(bench):
    bench.world.cable("TTLOUT2", "TTLIN5")
    bench.set("TTLOUT", 2, VAL="BITS1.OUTA")
    bench.set("BITS", A=1)
    bench.run(1)
    assert not bench.bit("TTLIN5.VAL")
    bench.run(1)
    assert bench.bit("TTLIN5.VAL")
    assert bench.world.level("TTLIN", 5) == 1


def test_an_input_follows_the_cable_that_was_laid_last(bench):
    bench.world.cable("TTLOUT1", "TTLIN5")
    bench.world.cable("TTLOUT2", "TTLIN5")
    bench.set("TTLOUT", 1, VAL="BITS1.OUTA")
    bench.set("TTLOUT", 2, VAL="BITS1.OUTB")
    bench.set("BITS", A=1)
    bench.run(5)
    assert not bench.bit("TTLIN5.VAL")
    bench.set("BITS", B=1)
    bench.run(5)
    assert bench.bit("TTLIN5.VAL")


def test_what_the_box_has_no_connector_for_is_refused(bench):
    world = bench.world
    for attempt, reason in (
        (lambda: world.observe("TTLOUT", 99, print), "no output TTLOUT99"),
        (lambda: world.cable("TTLOUT99", "TTLIN1"), "no output TTLOUT99"),
        (lambda: world.cable("PULSE1", "TTLIN1"), "no output PULSE1"),
        (lambda: world.cable("TTLOUT1", "TTLIN99"), "no input TTLIN99"),
        (lambda: world.drive("TTLIN", 1, 2), "the level on TTLIN1 is 0 or 1, not 2"),
    ):
        with pytest.raises(ValueError, match=reason):
            attempt()


def test_a_box_is_not_surrounded_by_what_it_has_no_output_for():
    world = World(SteppedClock())
    world.observe("TTLOUT", 99, print)
    with pytest.raises(ValueError, match="no output TTLOUT99"):
        world.attach(Bench().fabric)


@pytest.mark.parametrize(("gain", "offset"), [(math.nan, 0.0), (math.inf, 0.0), (1.0, math.inf)])
def test_an_encoder_that_is_not_finite_is_refused(gain, offset):
    with pytest.raises(ValueError, match="both have to be finite"):
        Encoder(fast_axis().motion, gain, offset)


def test_a_name_that_is_no_connector_is_refused():
    with pytest.raises(ValueError, match="'TTLIN' is no connector"):
        World(SteppedClock()).cable("TTLOUT1", "TTLIN")


def test_an_encoder_can_be_plugged_in_while_the_box_runs(bench):
    bench.world.axes["x"].place(1.0)
    bench.run(5)
    assert bench.position("INENC1.VAL") == 10_000
    bench.world.connect("x", 1, -500, resolution=100)
    bench.run(5)
    assert bench.position("INENC1.VAL") == -500
    bench.finish_move(1.1)
    assert bench.position("INENC1.VAL") == -600
