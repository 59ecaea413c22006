"""A million points in three dimensions, through a plan, in bounded memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scanspec.specs import Fly, Linspace  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.plans import fly_spec
from panda_simulator import SimTrajectory


def resident(what: str = "VmRSS") -> float:
    """Return what this process, the simulator in it included, has in memory, MB."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if what in line)
    return int(line.split()[1]) * 1024 / 1e6


def cube(layers: int, rows: int, columns: int) -> Any:
    path = Linspace("z", 0, 1, layers) * ~Linspace("y", 0, 1, rows) * ~Linspace("x", 0, 1, columns)
    return Fly(1e-3 @ path)


@pytest.mark.parametrize(
    "side",
    [
        pytest.param(10, id="thousand"),
        pytest.param(100, id="million", marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
def test_a_cube_is_flown_with_every_row_in_bounded_memory(beamline, side):
    line = beamline("free")
    motion = SimTrajectory(line.simulator.world, line.simulator.call, name="pmac")
    spec = cube(side, side, side)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident()
    begun = time.monotonic()
    line.run(fly_spec(line.panda, spec, line.axes, motion=motion, deadtime=1e-5, capture=("Mean",)))
    grown, took = resident("VmHWM") - before, time.monotonic() - begun
    print(f"{side**3} rows, at most {grown:.1f} MB more than {before:.1f} MB, {took:.0f} s")  # noqa: T201
    assert line.exit_status == "success"
    rows = line.rows()
    assert len(rows) == side**3
    within = np.arange(1, side**3) % side != 0
    assert set(np.diff(rows.ticks("TS_START"))[within].tolist()) == {125_000}
    x = rows["x"].reshape(-1, side)
    steps = np.linspace(0, 1, side)
    assert abs(x[::2] - steps).max() < 2e-3
    assert abs(x[1::2] - steps[::-1]).max() < 2e-3
    if side == 100:
        assert grown < 50
