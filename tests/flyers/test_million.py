"""A scan whose every frame is a line of its own streams at a kilohertz without running dry."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from scanspec.specs import ConstantDuration  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.flyers import Loads, ScanInfo, ScanSpecSeqTableFlyableLogic
from panda_ophyd.sequences import Rounding
from panda_simulator import Simulator

SPEED = 10
"""Times that the box is faster than a real one, and the kilohertz with it."""

PERIOD = 125_000.5 / 125e6
"""Seconds: half a tick more than a millisecond, so that no two frames in a row are alike."""


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(speed=SPEED) as simulator:
        yield simulator


def resident() -> float:
    """Return what this process, the simulator in it included, has in memory, MB."""
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in one)
    return int(line.split()[1]) * 1024 / 1e6


class Scale:
    """Weighs the process while rows come, at every twentieth of them."""

    def __init__(self, panda: Any, frames: int) -> None:
        self.weights: list[float] = []
        self._signal = panda.data.num_captured
        self._every = frames // 20
        self._signal.subscribe(self._look)

    def _look(self, reading: Any) -> None:
        rows = reading[self._signal.name]["value"]
        while rows >= self._every * (len(self.weights) + 1):
            self.weights.append(resident())

    def stop(self) -> None:
        self._signal.clear_sub(self._look)


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(20_000, id="short"),
        pytest.param(2_000_000, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
async def test_frames_that_all_differ_are_streamed_and_every_one_has_a_row(panda, fly, frames):
    loads = Loads(max_lines=8192)
    logic = ScanSpecSeqTableFlyableLogic(panda.seq[1], speed=SPEED, loads=loads)
    info = ScanInfo(ConstantDuration(PERIOD) * frames, deadtime=1e-5, rounding=Rounding.EXACT)
    scale, begun = Scale(panda, frames), time.monotonic()
    rows = await fly(logic, info, frames)
    scale.stop()
    took, weights = time.monotonic() - begun, scale.weights
    print(f"{frames} rows in {took:.0f} s, MB in memory: {[round(one) for one in weights]}")  # noqa: T201
    assert len(rows) == frames
    assert len(weights) == 20
    if frames > 1_000_000:  # once every buffer has been used, nothing grows with the scan
        assert max(weights) - weights[0] < 50
    assert rows.ticks("TS_START")[-1] in (
        int(125_000.5 * (frames - 1)), int(125_000.5 * (frames - 1)) + 1
    )  # fmt: skip
    assert set(rows.spacing()) == {125_000, 125_001}
    assert rows.attributes["end_reason"] == b"Ok"
    assert await panda.seq[1].health.get_value() == "OK"
    assert await panda.seq[1].table_line.get_value() == frames
