"""A motion controller that goes through the windows by itself, with a gate or without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted
from ophyd_async.core import init_devices
from scanspec.specs import Fly, Linspace  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.plans import Sequencing, fly_spec
from panda_simulator.motor import SimTrajectory


def controller(line: Any, **options: Any) -> Any:
    world = line.simulator.world
    with init_devices():
        device = SimTrajectory(world, line.simulator.call, name="controller", **options)
    return device  # noqa: RET504  init_devices connects it


def snake() -> Any:
    return Fly(0.02 @ (Linspace("y", 0, 1, 6) * ~Linspace("x", 1, 2, 10)))


def wanted() -> Any:
    return np.tile([*np.linspace(1, 2, 10), *np.linspace(2, 1, 10)], 3)


@pytest.mark.parametrize("guard", ["position", "gate"])
def test_a_snake_is_flown_in_free_time(beamline, guard):
    line = beamline("free")
    how = Sequencing(gate="TTLIN1.VAL")
    motion = controller(line, gate="TTLIN1")
    line.run(
        fly_spec(
            line.panda, snake(), line.axes, motion=motion, guard=guard, sequencing=how,
            deadtime=1e-4,
        )
    )  # fmt: skip
    assert line.exit_status == "success"
    assert abs(line.rows()["x"] - wanted()).max() <= 0.00125
    y = np.rint(line.rows()["y"] * 1000).reshape(6, 10)
    assert (np.ptp(y, axis=1) == 0).all()


def test_a_flight_with_a_controller_is_paused_and_goes_on(beamline):
    line = beamline(0.5)
    motion = controller(line)
    line.pause_after(23)
    with pytest.raises(RunEngineInterrupted):
        line.run(fly_spec(line.panda, snake(), line.axes, motion=motion, deadtime=1e-4))
    assert not any(line.simulator.call(axis.moving) for axis in line.simulator.world.axes.values())
    line.engine.resume()
    rows = line.rows()
    assert abs(rows["x"] - wanted()).max() <= 0.00125
    assert set(rows.ticks("GATE_DURATION").tolist()) == {2_487_500}


def test_a_flight_with_a_controller_that_is_given_up_brakes_it(beamline):
    line = beamline(0.5)
    motion = controller(line)
    line.pause_after(23)
    with pytest.raises(RunEngineInterrupted):
        line.run(fly_spec(line.panda, snake(), line.axes, motion=motion, deadtime=1e-4))
    line.engine.abort()
    assert not any(line.simulator.call(axis.moving) for axis in line.simulator.world.axes.values())
    assert line.exit_status == "abort"
    assert len(line.rows()) == line.get(line.panda.data.num_captured)
