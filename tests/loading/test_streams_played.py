"""Streams that a simulated box really plays: to the end, dry, or as many as two million lines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from panda_ophyd.errors import SequenceError
from panda_ophyd.loading import SessionTablePort, StreamedTable, load
from panda_ophyd.session import PandaSession
from panda_simulator import Simulator

from .boxes import connected
from .stage import batch, batches

TICKS = 125_000_000


class CountingPort(SessionTablePort):
    """A real table that notes how many segments the box had at most.

    Attributes:
        most: outstanding segments, counted by what the box says is queued.
    """

    most = 0

    def __init__(self, session: PandaSession, lines: int, segment: int) -> None:
        super().__init__(session, "SEQ1.TABLE")
        self.max_lines = lines
        self._segment = segment

    async def write(self, words, *, append: bool = False, last: bool = False) -> None:
        await super().write(words, append=append, last=last)
        self.most = max(self.most, -(-await self.queued_lines() // self._segment))


@contextlib.asynccontextmanager
async def boxed(**options) -> AsyncGenerator[tuple[Simulator, PandaSession]]:
    async with Simulator(speed="stepped", **options) as simulator, connected(simulator) as session:
        yield simulator, session


async def enable(simulator: Simulator, session: PandaSession) -> None:
    await simulator.run_for(1e-3)
    assert await session.client.query("SEQ1.STATE") == "WAIT_ENABLE"
    await session.client.assign("SEQ1.ENABLE", "ONE")


async def feed(simulator: Simulator, loading, seconds: float) -> None:
    """Let time pass in steps, in each of which the loading can look."""
    feeding = asyncio.create_task(loading.feed())
    while not feeding.done():
        await simulator.run_for(seconds)
        await asyncio.sleep(0.02)
    await feeding


async def test_every_line_is_played_with_seven_segments_out_at_most():
    async with boxed() as (simulator, session):
        port = CountingPort(session, lines=100, segment=50)
        loading = await load(
            port, batches(2000, ticks=TICKS // 1000), chunk_lines=50, wanted_seconds=1000
        )
        assert isinstance(loading, StreamedTable)
        assert (loading.lines, loading.outstanding) == (350, 7)
        await enable(simulator, session)
        await feed(simulator, loading, 0.045)
        assert port.most == 7
        await simulator.run_for(1)
        status = await loading.check()
        assert (status.state, status.line, status.health) == ("UNREADY", 2000, "OK")
        assert loading.frames_done(status) == loading.total_frames == 2000


async def test_a_stream_that_is_starved_ends_with_the_line_it_reached():
    async with boxed() as (simulator, session):
        port = CountingPort(session, lines=100, segment=50)
        loading = await load(
            port, batches(2000, ticks=TICKS // 1000), chunk_lines=50, wanted_seconds=0.1
        )
        sent = loading.lines
        await enable(simulator, session)
        await simulator.run_for(10)
        with pytest.raises(SequenceError, match="SEQ1: the table ran dry") as caught:
            await loading.feed()
        error = caught.value
        assert (error.health, error.line) == ("DMA underrun", sent)
        # what it left does not trouble the next one
        await session.client.assign("SEQ1.ENABLE", "ZERO")
        await loading.abandon()
        again = await load(
            port, batches(200, ticks=TICKS // 1000), chunk_lines=50, wanted_seconds=0.1
        )
        assert (await again.check()).health == "DMA underrun"
        await enable(simulator, session)
        await feed(simulator, again, 0.01)
        await simulator.run_for(1)
        status = await again.check()
        assert (status.health, again.frames_done(status)) == ("OK", 200)


async def test_a_stream_that_is_disabled_is_told_apart_from_one_that_starved():
    async with boxed() as (simulator, session):
        port = CountingPort(session, lines=100, segment=50)
        loading = await load(
            port, batches(2000, ticks=TICKS // 1000), chunk_lines=50, wanted_seconds=0.1
        )
        await enable(simulator, session)
        await simulator.run_for(0.0205)
        await session.client.assign("SEQ1.ENABLE", "ZERO")
        await simulator.run_for(0.01)
        with pytest.raises(SequenceError, match="disabled") as caught:
            await loading.feed()
        assert (caught.value.line, caught.value.frames_done) == (21, 20)


async def test_a_table_that_is_written_while_it_runs_stops_it_with_its_own_words():
    async with boxed() as (simulator, session):
        port = SessionTablePort(session, "SEQ1.TABLE")
        port.max_lines = 100
        loading = await load(port, batches(110, ticks=TICKS), wanted_seconds=1000)
        assert loading.handed_over
        await enable(simulator, session)
        await simulator.run_for(3.5)
        await loading.abandon()
        await simulator.run_for(3)
        with pytest.raises(SequenceError, match="ran dry") as caught:
            await loading.check()
        assert caught.value.frames_done is not None
        assert caught.value.frames_done >= 3


async def test_a_fixed_table_that_fails_is_told_when_it_is_looked_at():
    async with boxed() as (simulator, session):
        port = SessionTablePort(session, "SEQ1.TABLE")
        loading = await load(port, batches(10, ticks=TICKS), repeats=3)
        assert loading.frames_done(await loading.check()) == 0
        await session.client.assign("SEQ1.REPEATS", "3")
        await enable(simulator, session)
        await simulator.run_for(12.5)
        assert loading.frames_done(await loading.check()) == 12
        await session.client.assign_table("SEQ1.TABLE", ())
        await simulator.run_for(5)
        with pytest.raises(SequenceError, match="ran dry") as caught:
            await loading.check()
        assert (caught.value.health, caught.value.frames_done) == ("DMA underrun", 12)


async def test_a_fixed_table_is_done_with_the_frames_of_all_its_runs():
    async with boxed() as (simulator, session):
        loading = await load(
            SessionTablePort(session, "SEQ1.TABLE"), iter([batch(5, 100, repeats=7)]), repeats=3
        )
        await session.client.assign("SEQ1.REPEATS", "3")
        await enable(simulator, session)
        await simulator.run_for(0.1)
        assert loading.frames_done(await loading.check()) == loading.total_frames == 105


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_two_million_lines_at_a_kilohertz_pass_in_bounded_memory():
    """Half an hour of the box, in steps; the simulator's own memory counts too."""

    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

    async with boxed() as (simulator, session):
        port = SessionTablePort(session, "SEQ1.TABLE")
        before = resident()
        lines = batches(2_000_000, each=20_000, ticks=TICKS // 1000)
        loading = await load(port, lines, wanted_seconds=60)
        await enable(simulator, session)
        feeding = asyncio.create_task(loading.feed())
        most = 0.0
        while not feeding.done():
            await simulator.run_for(5)
            await asyncio.sleep(0.05)
            most = max(most, resident() - before)
        await feeding
        await simulator.run_for(100)
        status = await loading.check()
        print(f"grew by {most:.1f} MB")  # noqa: T201
    assert (status.health, loading.frames_done(status)) == ("OK", 2_000_000)
    assert most < 50
