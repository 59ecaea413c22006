"""SimMotor moves an axis, reports progress and stops, from wherever it is called."""

from __future__ import annotations

import asyncio

import pytest
from ophyd_async.core import FlyMotorInfo

from panda_simulator.clock import RealTimeClock
from panda_simulator.motor import SimMotor
from panda_simulator.world import World


@pytest.fixture
async def motor():
    world = World(RealTimeClock(speed=20.0))
    motor = SimMotor(world.axes["x"], name="x")
    await motor.connect()
    await motor.velocity.set(2.0)
    return motor


async def test_a_move_ends_on_the_target_and_reports_progress(motor):
    positions: list[float] = []
    status = motor.set(1.5)
    status.watch(lambda current, **_: positions.append(current))
    await status
    reading = await motor.read()
    assert reading["x"]["value"] == 1.5
    assert (await motor.locate())["setpoint"] == 1.5
    assert positions == sorted(positions)
    assert positions[-1] == 1.5


async def test_a_target_outside_the_limits_is_refused_and_nothing_moves(motor):
    with pytest.raises(ValueError, match="cannot move axis x to 1001"):
        await motor.set(1001)
    assert (await motor.read())["x"]["value"] == 0.0


async def test_a_stopped_move_fails_and_the_readback_is_where_it_stands(motor):
    status = motor.set(900.0)
    moving = asyncio.Event()
    status.watch(lambda **_: moving.set())
    await moving.wait()
    await motor.stop()
    with pytest.raises(RuntimeError, match="stopped"):
        await status
    assert (await motor.read())["x"]["value"] == motor._axis.position()


async def test_functions_are_called_through_the_simulator(motor):
    called: list[str] = []

    def call(function, *arguments):
        called.append(getattr(function, "__name__", "?"))
        return function(*arguments)

    await SimMotor(motor._axis, call, name="other").set(0.01)
    assert {"moving", "position", "_start"} <= set(called)


async def test_a_fly_runs_from_run_up_to_run_down(motor):
    await motor.acceleration_time.set(0.2)
    await motor.prepare(FlyMotorInfo(start_position=1.0, end_position=3.0, time_for_move=1.0))
    assert (await motor.read())["x"]["value"] == pytest.approx(0.8)
    await motor.kickoff()
    await motor.complete()
    assert (await motor.read())["x"]["value"] == pytest.approx(3.2)


async def test_a_run_without_preparation_says_what_to_do(motor):
    with pytest.raises(RuntimeError, match="prepare it first"):
        await motor.kickoff()
    with pytest.raises(RuntimeError, match="kick it off first"):
        motor.complete()


async def test_a_run_whose_overrun_is_outside_the_limits_is_refused_before_it_begins(motor):
    info = FlyMotorInfo(start_position=990.0, end_position=1000.0, time_for_move=5.0)
    with pytest.raises(ValueError, match=r"cannot move axis x to 1000\.1"):
        await motor.prepare(info)
    assert (await motor.read())["x"]["value"] == 0.0


async def test_an_acceleration_in_no_time_takes_a_tick(motor):
    await motor.acceleration_time.set(0.0)
    await motor.set(0.5)
    assert (await motor.read())["x"]["value"] == 0.5
