"""Scans longer than a table, through flyer, PCAP and file (flyscan.md S7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from ophyd_async.core import DetectorTrigger, StaticPathProvider, TriggerInfo
from scanspec.specs import Concat, ConstantDuration, Fly, Linspace  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd import HDFPanda, PandaError
from panda_ophyd.errors import SequenceError
from panda_ophyd.flyers import Loads, ScanInfo, ScanSpecSeqTableFlyableLogic, scans
from panda_ophyd.loading import SessionTablePort, StreamedTable
from panda_ophyd.scanframes import AxisScale
from panda_ophyd.sequences import LineBuilder, NoGuard, PositionGuard, TimeGuard, Timing

from .conftest import read, set_all
from panda_simulator import Simulator

SEGMENTS = Loads(max_lines=32, chunk_lines=32, wanted_seconds=1e9)
"""Streams in segments of 32 lines, as many as may be out."""


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(speed="stepped") as simulator:
        yield simulator


class Watched:
    """Lets stepped time pass, and notes what the box says of its table.

    Attributes:
        modes: of the table, each time it was another.
        most: segments that were out, at most.
    """

    def __init__(self, simulator: Simulator, panda: Any, logic: Any) -> None:
        self.modes: list[str] = []
        self.most = 0
        self._simulator = simulator
        self._panda = panda
        self._logic = logic

    def look(self) -> None:
        mode = self._simulator._server.command("SEQ1.TABLE.MODE?").removeprefix("OK =").strip()
        if self.modes[-1:] != [mode]:
            self.modes.append(mode)
        queued = self._simulator._server.command("SEQ1.TABLE.QUEUED_LINES?")
        self.most = max(self.most, -(-int(queued.removeprefix("OK =")) // 32))

    async def step(self, seconds: float) -> None:
        """Let time pass in steps, while the rest of the program has its turn."""
        while True:
            self.look()
            await self._simulator.run_for(seconds)
            await asyncio.sleep(0.01)


@pytest.fixture
def fly_stepped(simulator, panda, tmp_path):
    """Fly a logic in stepped time, and return what is in the file and what was watched."""

    async def fly(logic: Any, value: Any, rows: int, step: float):
        flyer = logic.with_device(name="flyer")
        watched = Watched(simulator, panda, logic)
        watched.look()
        await asyncio.gather(panda.stage(), flyer.stage())
        passing: asyncio.Task[None] | None = None
        try:
            await flyer.prepare(value)
            passing = asyncio.create_task(watched.step(step))
            await panda.prepare(
                TriggerInfo(number_of_events=rows, trigger=DetectorTrigger.EXTERNAL_LEVEL)
            )
            await panda.kickoff()
            await flyer.kickoff()
            await flyer.complete()
            watched.look()
            await panda.complete()
        finally:
            await asyncio.gather(panda.unstage(), flyer.unstage())
            if passing is not None:
                passing.cancel()
        return read(tmp_path / "scan.h5"), watched

    return fly


def windows_of_ten() -> Any:
    """200 windows of 10 frames; positions are of no consequence without an encoder."""
    path = Linspace("y", 0, 1, 200) * Linspace("x", 0, 1, 10)
    return Fly(100e-6 @ path)


async def test_a_stream_of_short_segments_has_every_row_where_it_should_be(panda, fly_stepped):
    logic = ScanSpecSeqTableFlyableLogic(
        panda.seq[1], guard=TimeGuard(50e-6), loads=SEGMENTS, patience=None
    )
    info = ScanInfo(windows_of_ten(), deadtime=8e-9)
    rows, watched = await fly_stepped(logic, info, 2000, 2e-3)
    assert len(rows) == 2000
    spacing = np.array(rows.spacing()).reshape(-1)
    within = np.arange(1, 2000) % 10 != 0
    assert set(spacing[within].tolist()) == {12_500}
    assert set(spacing[~within].tolist()) == {12_500 + 6_250}
    assert rows.attributes["end_reason"] == b"Ok"
    assert watched.modes == ["INIT", "STREAMING", "STREAMING_LAST"]
    assert watched.most == 7


async def test_a_stream_that_is_starved_is_told_with_the_line_it_reached(panda, fly_stepped):
    """Time passes faster than any program writes: 70 ms in each turn."""
    logic = ScanSpecSeqTableFlyableLogic(panda.seq[1], guard=NoGuard(), loads=SEGMENTS)
    value = ScanInfo(alternating(2000), deadtime=8e-9)
    with pytest.raises(SequenceError, match="SEQ1: the table ran dry") as caught:
        await fly_stepped(logic, value, 2000, 0.07)
    assert caught.value.health == "DMA underrun"
    assert caught.value.line is not None
    assert caught.value.line % 32 == 0
    assert caught.value.frames_done == caught.value.line


def alternating(frames: int) -> Any:
    """Frames of which no two in a row are alike."""
    return Concat(ConstantDuration(100e-6), ConstantDuration(101e-6)) * (frames // 2)
