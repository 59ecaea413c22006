"""Scans longer than a table, through flyer, PCAP and file (flyscan.md S7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from ophyd_async.core import DetectorTrigger, TriggerInfo
from ophyd_async.fastcs.panda import PosOutScaleOffset
from scanspec.specs import Fly, Linspace  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.errors import SequenceError
from panda_ophyd.flyers import (
    Loads,
    ScanInfo,
    ScanSpecSeqTableFlyableLogic,
    TimeInfo,
    TimeResolvedFlyableLogic,
)
from panda_ophyd.loading import Loading, SessionTablePort
from panda_ophyd.sequences import GateGuard
from panda_simulator import Simulator

from .conftest import read

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
        closed: whether what comes is no longer of interest.
    """

    def __init__(self, simulator: Simulator, panda: Any, logic: Any) -> None:
        self.closed = False
        self.modes: list[str] = []
        self.most = 0
        self._simulator = simulator
        self._panda = panda
        self._logic = logic

    def look(self) -> None:
        if self.closed:
            return
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
            watched.closed = True
            await asyncio.gather(panda.unstage(), flyer.unstage())
            if passing is not None:
                passing.cancel()
        return read(tmp_path / "scan.h5"), watched

    return fly


async def test_every_row_of_a_stream_is_where_it_should_be(simulator, panda, fly_stepped):
    logic = ScanSpecSeqTableFlyableLogic(
        panda.seq[1], guard=GateGuard(first=True), loads=SEGMENTS, patience=None
    )
    for setting in ("CLOCK1.PERIOD.RAW=150000", "CLOCK1.WIDTH.RAW=75000", "CLOCK1.ENABLE=ONE"):
        assert simulator._server.command(setting) == "OK\n"
    await panda.seq[1].bita.set("CLOCK1.OUT")
    path = Linspace("y", 0, 1, 200) * Linspace("x", 0, 1, 10)
    info = ScanInfo(Fly(100e-6 @ path), deadtime=8e-9)
    rows, watched = await fly_stepped(logic, info, 2000, 2e-3)
    assert len(rows) == 2000
    spacing = np.array(rows.spacing()).reshape(-1)
    within = np.arange(1, 2000) % 10 != 0
    assert set(spacing[within].tolist()) == {12_500}
    assert set(spacing[~within].tolist()) == {150_000 - 9 * 12_500}
    assert rows.attributes["end_reason"] == b"Ok"
    assert watched.modes == ["INIT", "STREAMING", "STREAMING_LAST"]
    assert watched.most == 7


async def test_a_stream_that_is_starved_is_told_with_the_line_it_reached(panda, fly_stepped):
    """Time passes faster than any program writes: 70 ms in each turn."""
    logic = TimeResolvedFlyableLogic(panda.seq[1], loads=SEGMENTS)
    value = TimeInfo(differing(500))
    with pytest.raises(SequenceError, match="SEQ1: the table ran dry") as caught:
        await fly_stepped(logic, value, 500, 0.07)
    assert caught.value.health == "DMA underrun"
    assert caught.value.line is not None
    assert caught.value.line % 32 == 0
    assert caught.value.frames_done == caught.value.line


def differing(frames: int) -> list[tuple[int, float, float]]:
    """Groups of one frame, no two in a row alike."""
    return [(1, 90e-6 + 8e-9 * (k % 2), 10e-6) for k in range(frames)]


@pytest.fixture
def written(monkeypatch) -> list[int]:
    """Lines of each write to a table."""
    sizes: list[int] = []
    write = SessionTablePort.write

    async def noted(self: SessionTablePort, words: Any, **options: bool) -> None:
        sizes.append(words.size // 4)
        await write(self, words, **options)

    monkeypatch.setattr(SessionTablePort, "write", noted)
    return sizes


async def loaded(panda: Any, spec: Any, deadtime: float = 8e-9, **options: Any) -> Loading:
    """Prepare a flyer with a spec whose x is INENC1, 1 um a count; return its loading."""
    await panda.inenc[1].val_scale.set(1e-6)
    encoder = PosOutScaleOffset("INENC1.VAL", panda.inenc[1].val_scale, panda.inenc[1].val_offset)
    logic = ScanSpecSeqTableFlyableLogic(panda.seq[1], motor_pos_outs={"x": encoder}, **options)
    flyer = logic.with_device(name="flyer")
    await flyer.prepare(ScanInfo(Fly(1e-3 @ spec), deadtime=deadtime))
    assert logic.sequencer.loading is not None
    return logic.sequencer.loading


async def test_two_million_frames_in_long_rows_are_three_thousand_lines(panda, written):
    spec = Linspace("y", 0, 1, 1000) * ~Linspace("x", 0, 1, 2000)
    loading = await loaded(panda, spec)
    assert (loading.kind, loading.lines, loading.total_frames) == ("fixed", 3000, 2_000_000)
    assert written == [3000]
    assert await loading.port.mode() == "FIXED"


async def test_short_rows_are_streamed_in_tables_of_the_hardware(panda, written):
    loads = Loads(max_lines=4096, chunk_lines=4096, wanted_seconds=1e9)
    spec = Linspace("y", 0, 1, 5000) * ~Linspace("x", 0, 1, 100)
    loading = await loaded(panda, spec, loads=loads)
    assert (loading.kind, loading.lines, loading.total_frames) == ("streamed", 15_000, 500_000)
    assert written == [4096, 4096, 4096, 2712]
    assert await loading.port.mode() == "STREAMING_LAST"


async def test_a_window_of_seventy_thousand_frames_is_three_lines(panda):
    loading = await loaded(panda, Linspace("x", 0, 1, 70_000), deadtime=1e-5)
    assert (loading.kind, loading.total_frames) == ("fixed", 70_000)
    assert (await panda.seq[1].table.get_value()).repeats.tolist() == [1, 65_535, 4464]
