"""A scan whose every frame is a line of its own streams at a kilohertz without running dry."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

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


def memory(what: str) -> float:
    """Return what this process, the simulator in it included, has or had in memory, MB."""
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if what in one)
    return int(line.split()[1]) * 1024 / 1e6


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


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
    forget_peak()
    before, begun = memory("VmRSS"), time.monotonic()
    rows = await fly(logic, info, frames)
    grown, took = memory("VmHWM") - before, time.monotonic() - begun
    print(f"{frames} rows, at most {grown:.1f} MB more than {before:.1f} MB, {took:.0f} s")  # noqa: T201
    assert len(rows) == frames
    if frames > 1_000_000:
        assert grown < 50
    assert rows.ticks("TS_START")[-1] in (
        int(125_000.5 * (frames - 1)), int(125_000.5 * (frames - 1)) + 1
    )  # fmt: skip
    assert set(rows.spacing()) == {125_000, 125_001}
    assert rows.attributes["end_reason"] == b"Ok"
    assert await panda.seq[1].health.get_value() == "OK"
    assert await panda.seq[1].table_line.get_value() == frames
