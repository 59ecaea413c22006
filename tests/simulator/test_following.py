"""Axes follow a path in the box's own time: every count and edge, however time passes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import count as count_up
from typing import Any

import numpy as np
import pytest

from panda_simulator import following as following_module
from panda_simulator.clock import FreeRunningClock, RealTimeClock
from panda_simulator.motion import ONE
from panda_simulator.trajectory import Curve, Drive, Planner, Window
from panda_simulator.world import World

from .courses import Expected, count, raster, slanted, snake
from .rehearsal import TICKS
from .test_leaps import both

POSA_UP, POSA_DOWN = 7, 8
GATE = "TTLIN1"


def planner(expected: Expected, axes: str, **options: Any) -> Planner:
    drive = Drive(expected.velocity, expected.acceleration, (-1000.0, 1000.0))
    return Planner(dict.fromkeys(axes, drive), TICKS, **options)


def windows(expected: Expected) -> list[Window]:
    return [Window.of(expected.duration, **window) for window in expected.windows]


def axes_of(expected: Expected) -> str:
    return "".join(expected.windows[0])


def follow(world: World, expected: Expected, gate: str | None = GATE) -> Any:
    """Put axes where the path begins and let them go."""
    plan = planner(expected, axes_of(expected))
    path = windows(expected)
    for name, place in plan.start(path[0]).items():
        world.axes[name].acceleration = expected.acceleration
        world.axes[name].place(place / ONE)
    return world.follow(plan.legs(path), gate)


@pytest.fixture(params=[1, 32])
def parts(request, monkeypatch) -> int:
    """Let a path be cut into parts of so many legs."""
    monkeypatch.setattr(following_module, "_LEGS", request.param)
    return request.param


PATHS = [
    Expected(snake(5, step=0.0), 0.5, 2.0, 20.0),
    Expected(raster(4), 0.5, 4.0, 20.0),
    Expected(slanted(4), 0.5, 2.0, 20.0),
]


@pytest.mark.parametrize("expected", PATHS)
def test_the_encoders_count_what_newton_says(make_bench, parts, expected):
    bench = make_bench()
    path = follow(bench.world, expected)
    numbers = {name: bench.world.axes[name] for name in axes_of(expected)}
    places = sorted(np.random.default_rng(parts).integers(0, expected.end, 200).tolist())
    for tick in [*places, expected.end, expected.end + 1000]:
        bench.fabric.run_until(path.begin + tick)
        for number, name in enumerate(numbers, 1):
            expected_count = count(expected.position(name, min(tick, expected.end)))
            assert bench.world.encoders[number].at(path.begin + tick) == expected_count
    assert path.over
    assert path.end == path.begin + expected.end
    assert not any(axis.moving() for axis in numbers.values())


@pytest.mark.parametrize("expected", PATHS)
def test_the_gate_is_high_in_windows_to_the_tick(make_bench, parts, expected):
    bench = make_bench()
    bench.set("PCAP", ENABLE="ONE", TRIG="TTLIN1.VAL", TRIG_EDGE=2)
    sink = bench.sink()
    bench.fabric.arm([0x240], sink)
    started = bench.fabric.tick
    path = follow(bench.world, expected)
    bench.run(expected.end + 1000)
    bench.fabric.disarm()
    ticks = [row[0] for row in sink.rows(1)]
    length = round(expected.duration * TICKS)
    edges = [edge for begin in expected.begins for edge in (begin, begin + length)]
    # from the connector to TTLIN, from there to PCAP
    delays = {np.uint32(tick) - np.uint32(path.begin - started + edge)
              for tick, edge in zip(ticks, edges, strict=True)}  # fmt: skip
    assert len(ticks) == 2 * len(expected.windows)
    assert len(delays) == 1
    assert 0 <= delays.pop() <= 3


def lines(expected: Expected, frames: int) -> np.ndarray:
    """Return lines of SEQ: each window waits for its start on axis x, then frames of one length."""
    period = round(expected.duration * TICKS) // frames
    words: list[int] = []
    for number in range(len(expected.windows)):
        line = expected.line("x", number)
        up = line.end > line.start
        away = POSA_DOWN if up else POSA_UP
        start = count(line.start)
        there = POSA_UP if up else POSA_DOWN
        words += [1 | away << 16, start + (-50 if up else 50) & 0xFFFFFFFF, 1, 1]
        words += [1 | there << 16 | 1 << 20, start & 0xFFFFFFFF, period // 2, period - period // 2]
        words += [frames - 1 | 1 << 20, 0, period // 2, period - period // 2]
    return np.array(words, np.uint32)


def fly(bench: Any, sink: Any, expected: Expected, frames: int) -> None:
    """Wire SEQ to the encoders of a path and PCAP to SEQ, arm and enable."""
    bench.set("SEQ", POSA="INENC1.VAL", REPEATS=1, ENABLE="BITS1.OUTA")
    bench.fabric.write_table("SEQ", 1, lines(expected, frames), streaming=False, last=True)
    bench.set("PCAP", ENABLE="ONE", GATE="SEQ1.OUTA", TRIG="SEQ1.OUTA", TRIG_EDGE=1)
    places = [bench.source(f"INENC{number}.VAL") << 4 for number in (1, 2, 3)]
    bench.fabric.arm([*(place | mode for place in places for mode in (0, 2, 4, 5)), 0x240], sink)
    bench.run(100_000)
    bench.set("BITS", A=1)


def early(expected: Expected, number: int) -> int:
    """Return at which tick of a window the count is that of its start: it is half a count wide."""
    line = expected.line("x", number)
    up, start = line.end > line.start, count(line.start)
    before, there = -20_000, 0
    while there - before > 1:
        tick = (before + there) // 2
        now = count(expected.position("x", line.begin + tick))
        if now >= start if up else now <= start:
            there = tick
        else:
            before = tick
    return there


@pytest.mark.parametrize("expected", PATHS)
def test_every_row_of_a_scan_is_the_same_with_leaps_and_without(make_bench, parts, expected):
    frames = 500
    calls: list[int] = []
    for bench, sinks in both(make_bench, calls=100_000):
        sinks.append(bench.sink())
        fly(bench, sinks[-1], expected, frames)
        follow(bench.world, expected)
        bench.run(expected.end + 10_000)
        bench.fabric.disarm()
        rows = sinks[-1].rows(13)
        assert len(rows) == frames * len(expected.windows)
        firsts = [early(expected, number) for number in range(len(expected.windows))]
        since = rows[0][12] - expected.begins[0] - firsts[0]
        for index, row in enumerate(rows):
            number, frame = divmod(index, frames)
            line = expected.line("x", number)
            frames_before = frame * line.ticks // frames
            assert row[12] - since == line.begin + firsts[number] + frames_before, index
        calls.append(bench.fabric.calls)
    assert calls[0] < calls[1]


def test_sums_over_many_parts_are_whole(make_bench, parts):
    """PCAP adds up all the time and is triggered once, after the path."""
    expected = Expected(snake(6, step=0.0), 0.5, 2.0, 20.0)
    sums: list[int] = []
    for pieces in (1_000_000, expected.end):
        bench = make_bench()
        bench.set("PCAP", ENABLE="ONE", GATE="ONE", TRIG="BITS1.OUTA")
        sink = bench.sink()
        place = bench.source("INENC1.VAL") << 4
        bench.fabric.arm([place | 2, place | 3, place | 4, place | 5], sink)
        path = follow(bench.world, expected)
        end = path.begin + expected.end + 1000
        while bench.fabric.tick < end:
            bench.fabric.run_until(min(bench.fabric.tick + pieces, end))
        bench.set("BITS", A=1)
        bench.run(10)
        bench.fabric.disarm()
        low, high, least, most = sink.rows(4)[0]
        sums.append((low & 0xFFFFFFFF) + (high << 32))
        assert (least, most) == (-1000, 11000)
    assert sums[0] == sums[1]
    # a snake about 0.5 mm: the ways of both directions add up to it, but for the halves of counts
    length = expected.end + 1000
    assert abs(sums[0] / length - 5000) < 10


def test_who_waits_for_a_position_many_parts_ahead_sees_it_at_its_tick(make_bench, parts):
    """SEQ waits for y alone, which comes there in the turnaround before the last window."""
    expected = Expected(snake(40), 0.5, 2.0, 20.0)
    bench = make_bench()
    there = count(expected.line("y", 39).start) - 2500
    line = [1 | 9 << 16 | 1 << 20, there, 10, 10]
    bench.set("SEQ", POSB="INENC2.VAL", REPEATS=1, ENABLE="BITS1.OUTA")
    bench.fabric.write_table("SEQ", 1, np.array(line, np.uint32), streaming=False, last=True)
    bench.set("PCAP", ENABLE="ONE", TRIG="SEQ1.OUTA")
    sink = bench.sink()
    bench.fabric.arm([bench.source("INENC2.VAL") << 4], sink)
    bench.run(100_000)
    bench.set("BITS", A=1)
    path = follow(bench.world, expected, None)
    bench.fabric.run_until(path.begin + expected.begins[39])
    bench.fabric.disarm()
    assert sink.rows(1) == [[there]]


def test_a_run_is_the_same_however_time_is_cut(make_bench):
    expected = Expected(slanted(3), 0.5, 2.0, 20.0)
    found: list[Any] = []
    for seed in (None, 1, 2):
        bench = make_bench()
        sink = bench.sink()
        fly(bench, sink, expected, 50)
        path = follow(bench.world, expected)
        cuts = [] if seed is None else np.random.default_rng(seed).integers(0, expected.end, 300)
        for tick in sorted(map(int, cuts)):
            bench.fabric.run_until(max(path.begin + tick, bench.fabric.tick))
            assert path.windows(bench.fabric.tick) >= 0
        bench.fabric.run_until(path.begin + expected.end + 1000)
        bench.fabric.disarm()
        found.append((sink.data, path.end))
    assert found[0] == found[1] == found[2]


# Stop


@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.59, 0.61, 0.7, 0.75, 1.0, 2.0])
def test_a_stop_brakes_all_axes_and_lowers_the_gate(make_bench, parts, seconds):
    bench = make_bench()
    expected = Expected(slanted(4), 0.5, 2.0, 20.0)
    path = follow(bench.world, expected)
    bench.fabric.run_until(path.begin + round(seconds * TICKS))
    axes = [bench.world.axes[name] for name in "xy"]
    before = [axis.motion.at(bench.fabric.tick) for axis in axes]
    speeds = [axis.motion.speed_at(bench.fabric.tick) for axis in axes]
    end = path.stop()
    done = path.windows(bench.fabric.tick)
    assert done == sum(
        path.begin + begin + round(0.5 * TICKS) <= bench.fabric.tick for begin in expected.begins
    )
    # v²/2a, and no more
    for axis, place, speed in zip(axes, before, speeds, strict=True):
        velocity = speed / ONE * TICKS
        way = (axis.motion.at(end) - place) / ONE
        assert way == pytest.approx(velocity * abs(velocity) / 40, abs=1e-6)
    bench.fabric.run_until(end)
    assert path.over
    assert path.stopped
    assert bench.world.level("TTLIN", 1) == 0
    assert not bench.bit("TTLIN1.VAL")
    stand = [axis.position() for axis in axes]
    bench.run(TICKS * 3)
    assert [axis.position() for axis in axes] == stand
    assert bench.world.level("TTLIN", 1) == 0
    assert path.windows(bench.fabric.tick) == done
    assert path.stop() == end


def test_an_axis_that_is_told_otherwise_ends_the_path_for_all(make_bench, parts):
    bench = make_bench()
    path = follow(bench.world, Expected(slanted(4), 0.5, 2.0, 20.0))
    bench.fabric.run_until(path.begin + TICKS // 2)
    bench.world.axes["x"].move(20.0)
    bench.run(TICKS)
    assert path.over
    assert path.stopped
    assert not bench.world.axes["y"].moving()
    assert bench.world.axes["x"].moving()
    assert bench.world.level("TTLIN", 1) == 0


def test_an_axis_that_has_arrived_may_be_moved(make_bench):
    bench = make_bench()
    expected = Expected(snake(2), 0.5, 2.0, 20.0)
    path = follow(bench.world, expected)
    bench.run(expected.end + 10)
    bench.world.axes["x"].move(0.0)
    bench.run(TICKS)
    assert path.over
    assert not path.stopped
    assert bench.world.axes["x"].position() == 0.0


def test_whoever_waits_is_told_when_all_stand(make_bench):
    bench = make_bench()
    expected = Expected(snake(2), 0.5, 2.0, 20.0)
    path = follow(bench.world, expected)
    told: list[int] = []
    path.when_over(lambda: told.append(bench.fabric.tick))
    bench.run(expected.end - 100)
    assert told == []
    bench.run(200)
    assert told == [path.end]
    path.when_over(lambda: told.append(0))
    assert told == [path.end, 0]


# What goes wrong


def test_windows_that_fail_on_the_way_let_axes_brake(make_bench):
    bench = make_bench()

    def failing() -> Iterator[Window]:
        for number in range(100):
            yield Window.of(0.5, x=(0, 1) if number % 2 == 0 else (1, 0))
        raise OSError("no more windows")

    expected = Expected([{"x": (0.0, 1.0)}], 0.5, 2.0, 20.0)
    plan = planner(expected, "x")
    bench.world.axes["x"].place(-0.1)
    path = bench.world.follow(plan.legs(failing()), GATE)
    bench.run(TICKS * 80)
    assert path.over
    assert isinstance(path.error, OSError)
    assert not bench.world.axes["x"].moving()


def test_a_path_without_legs_moves_nothing(bench):
    with pytest.raises(ValueError, match="no legs"):
        bench.world.follow([])


def test_a_gate_that_the_box_has_not_is_refused(bench):
    expected = Expected(snake(1), 0.5, 2.0, 20.0)
    with pytest.raises(ValueError, match="no input TTLIN9"):
        follow(bench.world, expected, "TTLIN9")
    bench.run(1)
    assert not bench.world.axes["x"].moving()


# Long paths


def endless(seconds: float = 0.1) -> Iterator[Window]:
    for number in count_up():
        yield Window.of(seconds, x=(0, 0.1) if number % 2 == 0 else (0.1, 0))


def test_a_path_without_end_takes_no_more_memory_as_time_passes(make_bench):
    bench = make_bench()
    expected = Expected([{"x": (0.0, 0.1)}], 0.1, 2.0, 20.0)
    plan = planner(expected, "x")
    bench.world.axes["x"].place(plan.start(next(endless()))["x"] / ONE)
    path = bench.world.follow(plan.legs(endless()), GATE)
    sizes: list[int] = []
    tracemalloc.start()
    try:
        for _ in range(4):
            bench.run(100 * TICKS)
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert path.windows(bench.fabric.tick) > 1500
    assert sizes[-1] - sizes[0] < 50_000
    assert len(bench.world.axes["x"].motion.pieces) < 1000


@pytest.mark.parametrize("held", [False, True])
def test_time_that_runs_freely_never_overtakes_a_path(make_bench, held):
    clock = FreeRunningClock()
    bench = make_bench(clock)
    expected = Expected(snake(200, step=0.0), 0.5, 2.0, 20.0)
    sink = bench.sink()
    fly(bench, sink, expected, 5)
    path = follow(bench.world, expected)
    turns = count_up()
    if held:
        clock.held = lambda: next(turns) % 3 > 0
    for _ in range(10_000):
        if path.over:
            break
        bench.fabric.simulate(clock.horizon())
    assert path.end == path.begin + expected.end
    bench.fabric.disarm()
    assert len(sink.rows(13)) == 5 * 200


def test_a_curve_is_followed_to_the_count(make_bench, parts):
    bench = make_bench()
    angle = np.linspace(0, 6 * np.pi, 400)
    radius = np.linspace(1, 2, 400)
    times = np.linspace(0, 3.0, 400)
    curve = Curve(times, {"x": radius * np.cos(angle), "y": radius * np.sin(angle)})
    drive = Drive(50.0, 500.0, (-50.0, 50.0))
    plan = Planner({"x": drive, "y": drive}, TICKS)
    for name, place in plan.start(curve).items():
        bench.world.axes[name].place(place / ONE)
    path = bench.world.follow(plan.legs([curve, curve]), GATE)
    first = next(plan.legs([curve])).window[0]
    for time, x, y in zip(times, *curve.positions.values(), strict=True):
        tick = path.begin + first + round(time * TICKS)
        bench.fabric.run_until(tick)
        for number, place in ((1, x), (2, y)):
            assert abs(bench.world.encoders[number].at(tick) - place * 10_000) <= 0.5 + 1e-6
    bench.run(10 * TICKS)
    assert path.over
    assert path.windows(bench.fabric.tick) == 2


# Without a box


def test_a_world_without_a_box_follows_as_well():
    now = [0.0]
    world = World(RealTimeClock(seconds=lambda: now[0]))
    expected = Expected(snake(100, step=0.0), 0.5, 2.0, 20.0)
    path = follow(world, expected)
    for _ in range(1000):
        now[0] += 0.1
        tick = world.present() - path.begin
        place = expected.position("x", min(tick, expected.end))
        assert world.axes["x"].position(path.begin + tick) == pytest.approx(float(place), abs=1e-9)
    assert path.over
