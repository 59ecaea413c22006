"""SimTrajectory flies axes through windows as a motion controller does, and stops when told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from panda_simulator import SimTrajectory, Simulator, serve_in_thread
from panda_simulator.clock import RealTimeClock
from panda_simulator.motion import ONE
from panda_simulator.trajectory import Curve, Drive, Planner, Window
from panda_simulator.world import World


@pytest.fixture(params=["here", "thread"])
async def simulator(request) -> AsyncIterator[Simulator]:
    """A box whose time runs freely, in this event loop or in another thread."""
    if request.param == "here":
        async with Simulator(speed="free") as simulator:
            yield simulator
    else:
        with serve_in_thread(speed="free") as simulator:
            yield simulator


@pytest.fixture
async def slow() -> World:
    """A world without a box, whose time can be met half-way."""
    return World(RealTimeClock(speed=2.0))


async def make(simulator: Simulator, **options: Any) -> SimTrajectory:
    controller = SimTrajectory(simulator.world, simulator.call, name="pmac", **options)
    await controller.connect(mock=False)
    return controller


def rows(number: int) -> list[Window]:
    return [
        Window.of(0.5, x=(0, 0.5) if row % 2 == 0 else (0.5, 0), y=(row / 10, row / 10))
        for row in range(number)
    ]


async def fly(controller: SimTrajectory, windows: Any) -> list[tuple[Any, Any]]:
    """Prepare, kick off and complete; return the progress that was told."""
    await controller.prepare(windows)
    await controller.kickoff()
    told: list[tuple[Any, Any]] = []

    def tell(current: Any = None, target: Any = None, **_: Any) -> None:
        told.append((current, target))

    status = controller.complete()
    status.watch(tell)  # pyright: ignore[reportArgumentType]  it takes all that is given
    await status
    return told


async def test_axes_are_flown_to_the_end_of_the_last_run_down(simulator):
    controller = await make(simulator)
    told = await fly(controller, rows(4))
    axes = simulator.world.axes
    # 1 mm/s at 10 mm/s²: 0.05 mm after the last window, which goes down
    assert simulator.call(axes["x"].position) == pytest.approx(-0.05, abs=1e-9)
    assert simulator.call(axes["y"].position) == pytest.approx(0.3, abs=1e-12)
    assert told[-1] == (4, 4)
    assert [current for current, _ in told] == sorted(current for current, _ in told)
    assert await controller.windows_done.get_value() == 4


async def test_prepare_goes_to_the_start_of_the_run_up_and_no_further(simulator):
    controller = await make(simulator)
    await controller.prepare(rows(2))
    axes = simulator.world.axes
    assert simulator.call(axes["x"].position) == pytest.approx(-0.05, abs=1e-9)
    assert not simulator.call(axes["x"].moving)


async def test_a_run_may_follow_another(simulator):
    controller = await make(simulator)
    for _ in range(2):
        assert (await fly(controller, rows(2)))[-1] == (2, 2)


@pytest.mark.parametrize("kind", ["list", "iterator", "function", "alike"])
async def test_windows_come_as_a_list_an_iterator_or_a_function(simulator, kind):
    alike = [
        SimpleNamespace(
            moves={"x": SimpleNamespace(start=0.0, end=0.5, duration=0.5)}, duration=0.5, first=0
        )
    ]
    given = {
        "list": rows(3), "iterator": iter(rows(3)), "function": lambda: iter(rows(3)),
        "alike": alike * 3,
    }[kind]  # fmt: skip
    controller = await make(simulator)
    assert (await fly(controller, given))[-1] == (3, 3)


async def test_names_of_a_scan_are_those_of_axes_of_the_world(simulator):
    controller = await make(simulator, axes={"sample_x": "z"})
    await fly(controller, [Window.of(0.5, sample_x=(0, 0.5))])
    assert simulator.call(simulator.world.axes["z"].position) == pytest.approx(0.55, abs=1e-9)


async def test_a_spiral_is_flown(simulator):
    angle = np.linspace(0.1, 4 * np.pi, 200)
    curve = Curve(
        np.linspace(0, 10.0, 200),
        {"x": angle * np.cos(angle) / 20, "y": angle * np.sin(angle) / 20},
    )
    controller = await make(simulator)
    assert (await fly(controller, [curve]))[-1] == (1, 1)


async def test_turnarounds_are_told_before(simulator):
    controller = await make(simulator)
    windows = rows(3)
    turns = list(controller.turnarounds(windows))
    # 0.1 s down and up; y goes 0.1 mm in a triangle of 0.2 s meanwhile
    assert [turn.duration for turn in turns] == [pytest.approx(0.2, abs=1e-7)] * 2
    assert turns[0].run_down == pytest.approx(0.1)
    assert turns[0].blind["x"] == pytest.approx(0.1, abs=1e-7)
    assert turns[0].blind["y"] == turns[0].duration


async def test_the_gate_is_seen_by_the_box(simulator):
    controller = await make(simulator, gate="TTLIN3")
    edges: list[tuple[int, int]] = []

    def wire() -> None:
        # TTLIN3.VAL is bit 2
        simulator.hardware.write_register("TTLOUT", 1, "VAL", 2)
        simulator.world.observe("TTLOUT", 1, lambda tick, level: edges.append((tick, level)))

    simulator.call(wire)
    await fly(controller, rows(3))
    assert [level for _, level in edges] == [1, 0] * 3
    ticks = [tick for tick, _ in edges]
    assert [end - begin for begin, end in zip(ticks[::2], ticks[1::2], strict=True)] == [
        62_500_000
    ] * 3


async def test_a_box_that_is_switched_off_and_on_does_not_lose_axes_on_their_way():
    async with Simulator(speed="stepped") as simulator:
        world = simulator.world
        planner = Planner({"x": Drive(1.0, 10.0, (-10.0, 10.0))}, world.frequency)
        windows = [Window.of(0.5, x=(0, 0.5) if row % 2 == 0 else (0.5, 0)) for row in range(200)]
        world.axes["x"].place(planner.start(windows[0])["x"] / ONE)
        legs = list(planner.legs(windows))
        path = world.follow(legs, "TTLIN1")
        await simulator.run_for(20.0)
        await simulator.reboot()
        await simulator.run_until(path.begin + legs[-1].end + 10)
        assert path.over
        assert not path.stopped
        assert path.windows(simulator.tick) == 200
        assert world.level("TTLIN", 1) == 0


# Refusals: nothing moves


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([], "pmac has no windows"),
        ([Window.of(0.5, x=(0, 0.5)), Window.of(0.5, x=(0, 5000))], "window 1 .* outside"),
        ([Window.of(0.5, q=(0, 1))], "window 0 moves 'q'"),
        ([Window.of(0.5, x=(0, 0.5)), Window.of(0.5, y=(0, 0.5))], "window 1 moves 'y'"),
    ],
)
async def test_a_path_is_refused_as_a_whole_before_anything_moves(simulator, windows, message):
    controller = await make(simulator)
    with pytest.raises(ValueError, match=message):
        await controller.prepare(windows)
    axes = simulator.world.axes.values()
    assert [simulator.call(axis.position) for axis in axes] == [0.0] * 4
    with pytest.raises(RuntimeError, match="cannot kick off pmac: prepare it first"):
        await controller.kickoff()


async def test_a_velocity_above_that_of_an_axis_is_refused(simulator):
    controller = await make(simulator, max_velocity={"x": 0.9})
    with pytest.raises(ValueError, match="window 0 moves axis x at 1 a second"):
        await controller.prepare(rows(1))


async def test_an_axis_that_is_not_there_is_refused(simulator):
    with pytest.raises(ValueError, match="no axis 'q': axes are x, y, z, a"):
        SimTrajectory(simulator.world, axes=["q"])


async def test_complete_needs_a_kickoff(simulator):
    controller = await make(simulator)
    with pytest.raises(RuntimeError, match="cannot complete pmac: kick it off first"):
        controller.complete()


async def test_an_axis_that_has_moved_since_is_not_flown(simulator):
    controller = await make(simulator)
    await controller.prepare(rows(1))
    simulator.call(simulator.world.axes["x"].place, 0.2)
    with pytest.raises(RuntimeError, match="an axis has moved since it was prepared"):
        await controller.kickoff()


async def test_windows_that_differ_the_second_time_are_an_error(simulator):
    calls: list[int] = []

    def changing() -> Iterator[Window]:
        calls.append(1)
        yield from rows(200)
        # the first time is for the axes, the second for the limits, the third is flown
        if len(calls) > 2:
            yield Window.of(0.5, x=(0, 5000), y=(0, 0))

    controller = await make(simulator)
    await controller.prepare(changing)
    await controller.kickoff()
    with pytest.raises(RuntimeError, match=r"pmac braked in window \d+ of 200.* outside"):
        await controller.complete()


# Stop and pause, of a run whose time passes like real time


async def flying(world: World) -> tuple[SimTrajectory, Any]:
    controller = SimTrajectory(world, name="pmac")
    await controller.connect(mock=False)
    await controller.prepare(rows(50))
    await controller.kickoff()
    status = controller.complete()
    under_way = asyncio.Event()

    def look(current: Any = None, **_: Any) -> None:
        if current >= 1:
            under_way.set()

    status.watch(look)  # pyright: ignore[reportArgumentType]  it takes all that is given
    await under_way.wait()
    return controller, status


async def test_a_stop_as_something_went_wrong_fails_the_run(slow):
    controller, status = await flying(slow)
    await controller.stop(success=False)
    with pytest.raises(RuntimeError, match=r"pmac was stopped in window \d+ of 50"):
        await status
    assert not any(axis.moving() for axis in slow.axes.values())


@pytest.mark.parametrize("how", ["stop", "pause"])
async def test_after_a_pause_the_windows_that_are_left_are_flown(slow, how):
    controller, status = await flying(slow)
    await getattr(controller, how)()
    await status
    done = await controller.windows_done.get_value()
    assert 1 <= done < 50
    await controller.resume()
    assert not any(axis.moving() for axis in slow.axes.values())
    assert (await fly(controller, rows(50)[done : done + 1]))[-1] == (1, 1)


async def test_a_motor_that_is_stopped_first_may_be_part_of_a_pause(slow):
    controller, status = await flying(slow)
    slow.axes["x"].stop()
    await asyncio.sleep(0.1)
    await controller.pause()
    await status


async def test_an_axis_that_somebody_else_stops_fails_the_run(slow):
    _, status = await flying(slow)
    slow.axes["x"].stop()
    with pytest.raises(RuntimeError, match="somebody else has moved or stopped one of its axes"):
        await status


async def test_what_flies_cannot_be_prepared(slow):
    controller, status = await flying(slow)
    with pytest.raises(RuntimeError, match="cannot prepare pmac: it flies"):
        await controller.prepare(rows(1))
    await controller.stop()
    await status


async def test_a_stop_on_the_way_to_the_start_fails_prepare(slow):
    controller = SimTrajectory(slow, name="pmac")
    await controller.connect(mock=False)
    status = controller.prepare([Window.of(0.5, x=(20, 20.5))])
    while not slow.axes["x"].moving():  # noqa: ASYNC110  it is a world, not a task
        await asyncio.sleep(0.01)
    await controller.stop()
    with pytest.raises(RuntimeError, match="stopped on its way to the start"):
        await status
    assert slow.axes["x"].position() < 1


async def test_a_stop_of_what_stands_does_nothing(slow):
    controller = SimTrajectory(slow, name="pmac")
    await controller.connect(mock=False)
    await controller.stop()
    await controller.stop(success=False)
    assert not any(axis.moving() for axis in slow.axes.values())
