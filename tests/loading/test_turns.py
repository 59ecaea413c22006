"""Two sequencers of a server that cannot stream play lines by turns, exact to the tick."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from itertools import pairwise

import pytest

from panda_ophyd.errors import CommandError, FieldValueError, SequenceError
from panda_ophyd.loading import (
    DoubleBuffered,
    SessionTablePort,
    SessionTurns,
    TurnWiring,
    apply_wiring,
    load,
)
from panda_ophyd.session import PandaSession
from panda_simulator import Simulator

from .boxes import connected
from .stage import batch, batches

PERIOD = 1250
LINES = 50
"""Of a table here, so that there are many hand-overs."""

HAND_OVERS = [pytest.param(False, 2, id="documented"), pytest.param(True, 6, id="hardware")]


@dataclass
class Box:
    """A box of server 3.0 whose time is stepped, wired for turns, armed."""

    simulator: Simulator
    session: PandaSession
    turns: SessionTurns
    data: asyncio.StreamReader

    async def load(self, lines, **options) -> DoubleBuffered:
        port = self.turns.ports[0]
        loading = await load(port, lines, turns=self.turns, least_seconds=0.001, **options)
        assert isinstance(loading, DoubleBuffered)
        return loading

    async def start(self) -> None:
        await self.run(10 * PERIOD)
        await self.session.client.assign("SRGATE1.FORCE_SET")

    async def run(self, ticks: float) -> None:
        await self.simulator.run_until(self.simulator.tick + round(ticks))

    async def feed(self, loading: DoubleBuffered, step: float = LINES * PERIOD / 5) -> None:
        """Let time pass in steps, in each of which the loading can look."""
        feeding = asyncio.create_task(loading.feed())
        while not feeding.done():
            await self.run(step)
            await asyncio.sleep(0.015)
        await feeding

    async def stamps(self) -> list[int]:
        """Disarm, and return when triggers came, in ticks."""
        await self.session.client.assign("*PCAP.DISARM")
        await self.data.readuntil(b"</header>\n\n")
        times: list[int] = []
        while await self.data.readexactly(4) == b"BIN ":
            (length,) = struct.unpack("<I", await self.data.readexactly(4))
            rows = await self.data.readexactly(length - 8)
            times += struct.unpack(f"<{len(rows) // 8}q", rows)
        return times


@contextlib.asynccontextmanager
async def box_of(
    wiring: TurnWiring, lines: int = LINES, *, latency: bool = False
) -> AsyncGenerator[Box]:
    async with (
        Simulator(speed="stepped", server_version="3.0", hardware_latency=latency) as simulator,
        connected(simulator) as session,
    ):
        await apply_wiring(session, wiring.settings())
        turns = SessionTurns(session, wiring)
        for port in turns.ports:
            port.max_lines = lines
        capture = {
            "PCAP.ENABLE": "ONE",
            "PCAP.TRIG": f"{wiring.outputs['A']}.OUT",
            "PCAP.GATE": "ONE",
            "PCAP.TS_TRIG.CAPTURE": "Value",
        }
        await apply_wiring(session, capture)
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.data_port)
        writer.write(b"XML FRAMED RAW\n")
        assert await reader.readline() == b"OK\n"
        await session.client.assign("*PCAP.ARM")
        try:
            yield Box(simulator, session, turns, reader)
        finally:
            writer.close()


@pytest.mark.parametrize(("latency", "ticks"), HAND_OVERS)
async def test_a_hand_over_takes_twice_what_a_signal_takes_between_blocks(latency, ticks):
    """Measured: with nothing taken off, each table begins so much later than it should."""
    async with box_of(TurnWiring(hand_over=0), latency=latency) as box:
        # the second sees the start only after it sees the first one active
        await box.session.client.assign("LUT2.INPA.DELAY", "20")
        box.turns.check = _nothing
        loading = await box.load(batches(4 * LINES, ticks=PERIOD))
        await box.start()
        await box.feed(loading)
        await box.run(2 * LINES * PERIOD)
        steps = Counter(b - a for a, b in pairwise(await box.stamps()))
    assert steps == {PERIOD: 4 * LINES - 4, PERIOD + ticks: 3}


async def _nothing() -> None:
    return


@pytest.mark.parametrize(("latency", "ticks"), HAND_OVERS)
async def test_frames_are_spaced_to_the_tick_over_every_hand_over(latency, ticks):
    async with box_of(TurnWiring(hand_over=ticks), latency=latency) as box:
        loading = await box.load(batches(1000, each=70, ticks=PERIOD))
        assert (loading.kind, loading.lines) == ("double-buffered", 2 * LINES)
        await box.start()
        await box.feed(loading)
        await box.run(2 * LINES * PERIOD)
        status = await loading.check()
        stamps = await box.stamps()
    assert len(stamps) == 1000
    assert Counter(b - a for a, b in pairwise(stamps)) == {PERIOD: 999}
    assert (status.active, status.line, loading.frames_done(status)) == (False, 1000, 1000)


async def test_a_line_of_many_repeats_is_split_where_tables_end():
    async with box_of(TurnWiring(hand_over=2), lines=10) as box:
        lines = iter([batch(7, PERIOD, repeats=9) for _ in range(10)])
        loading = await box.load(lines)
        await box.start()
        await box.feed(loading, step=9 * PERIOD)
        await box.run(200 * PERIOD)
        stamps = await box.stamps()
        status = await loading.check()
        assert loading.frames_done(status) == loading.total_frames == 630
        # of 70 lines that were given, the last one was not split
        assert status.line > 70
        assert loading.place(status) == (1, 70, 9)
    assert Counter(b - a for a, b in pairwise(stamps)) == {PERIOD: 629}


async def test_progress_is_counted_over_all_tables():
    async with box_of(TurnWiring(hand_over=2)) as box:
        loading = await box.load(batches(1000, ticks=PERIOD))
        before = await loading.check()
        assert (before.line, loading.frames_done(before)) == (0, 0)
        await box.start()
        begun = box.simulator.tick
        feeding = asyncio.create_task(box.feed(loading))
        done: list[int | None] = []
        lines: list[int] = []
        while not feeding.done():
            await asyncio.sleep(0.01)
            played = (box.simulator.tick - begun) // PERIOD
            status = await loading.check()
            begins = (box.simulator.tick - begun) // PERIOD + 1
            done.append(loading.frames_done(status))
            lines.append(status.line)
            # a look that meets a hand-over tells what the one before told
            assert min(played, loading.lines) - LINES / 2 <= status.line <= begins
        await feeding
    assert lines == sorted(lines)
    assert done == [max(line - 1, 0) for line in lines]
    assert len(set(lines)) > 10


async def test_an_end_that_nobody_saw_is_known_afterwards():
    """The first table is done and the second has gone on long before anybody looks."""
    async with box_of(TurnWiring(hand_over=2)) as box:
        loading = await box.load(batches(1000, ticks=PERIOD))
        await box.start()
        await box.run(1.5 * LINES * PERIOD)
        await box.feed(loading)
        await box.run(2 * LINES * PERIOD)
        stamps = await box.stamps()
    assert Counter(b - a for a, b in pairwise(stamps)) == {PERIOD: 999}


async def test_lines_that_come_late_are_an_error_and_no_table_is_played_twice():
    async with box_of(TurnWiring(hand_over=2)) as box:
        loading = await box.load(batches(1000, ticks=PERIOD))
        await box.start()
        await box.run(5 * LINES * PERIOD)
        with pytest.raises(SequenceError, match="SEQ1: its lines came later") as caught:
            await loading.feed()
        assert len(await box.stamps()) == 2 * LINES
    assert (caught.value.line, caught.value.frames_done) == (2 * LINES, 2 * LINES)


async def test_a_stop_in_the_middle_is_told_with_its_place():
    async with box_of(TurnWiring(hand_over=2)) as box:
        loading = await box.load(batches(1000, ticks=PERIOD))
        await box.start()
        await box.run((LINES + 10.3) * PERIOD)
        await loading.check()
        await box.session.client.assign("SRGATE1.FORCE_RST")
        await box.run(100)
        with pytest.raises(SequenceError, match="SEQ2: it was disabled") as caught:
            await loading.feed()
    assert (caught.value.line, caught.value.frames_done) == (LINES + 11, LINES + 10)


async def test_a_fault_is_told_with_the_health_of_its_block():
    async with box_of(TurnWiring(hand_over=2)) as box:
        loading = await box.load(batches(1000, ticks=PERIOD))
        await box.start()
        await box.run(10.3 * PERIOD)
        await box.session.client.assign_table("SEQ1.TABLE", ())
        await box.run(5 * PERIOD)
        with pytest.raises(SequenceError, match="SEQ1: the table ran dry") as caught:
            await loading.feed()
    assert caught.value.health == "DMA underrun"


async def test_a_feed_that_was_cancelled_goes_on():
    async with box_of(TurnWiring(hand_over=2)) as box:
        loading = await box.load(batches(1000, ticks=PERIOD))
        await box.start()
        feeding = asyncio.create_task(loading.feed())
        await asyncio.sleep(0.03)
        feeding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await feeding
        await box.feed(loading)
        await box.run(2 * LINES * PERIOD)
        assert Counter(b - a for a, b in pairwise(await box.stamps())) == {PERIOD: 999}


async def test_what_is_abandoned_does_not_start():
    async with box_of(TurnWiring(hand_over=2)) as box:
        loading = await box.load(batches(1000, ticks=PERIOD))
        await loading.abandon()
        assert (await box.turns.gates()).waiting == (False, False)
        for port in box.turns.ports:
            assert (await port.status()).queued == 0
            assert await box.session.client.query(f"{port.target}.LENGTH") == "0"
        await box.start()
        await box.run(10 * LINES * PERIOD)
        statuses = [await port.status() for port in box.turns.ports]
        assert not any(status.active or status.line for status in statuses)


async def test_wiring_that_was_changed_is_told_before_anything_is_loaded():
    async with box_of(TurnWiring(hand_over=2)) as box:
        await box.session.client.assign("LUT2.FUNC", "A")
        with pytest.raises(FieldValueError, match=r"LUT2\.FUNC is A and not A&B&~C"):
            await box.load(batches(1000, ticks=PERIOD))


async def test_lines_are_not_loaded_into_what_runs():
    async with box_of(TurnWiring(hand_over=2)) as box:
        await box.start()
        with pytest.raises(FieldValueError, match="run gate is set"):
            await box.load(batches(1000, ticks=PERIOD))


async def test_inputs_are_wired_alike_and_a_wrong_one_is_refused():
    wiring = TurnWiring(inputs={"POSA": "INENC1.VAL", "BITA": "TTLIN1.VAL"})
    assert wiring.settings()["SEQ1.POSA"] == wiring.settings()["SEQ2.POSA"] == "INENC1.VAL"
    async with box_of(wiring) as box:
        assert await box.session.client.query("SEQ2.BITA") == "TTLIN1.VAL"
        with pytest.raises(CommandError, match=r"SEQ1\.POSA=NOPE"):
            await apply_wiring(box.session, TurnWiring(inputs={"POSA": "NOPE"}).settings())


async def test_one_sequencer_alone_is_told_how_many_lines_are_too_many():
    async with Simulator(server_version="3.0") as simulator, connected(simulator) as session:
        port = SessionTablePort(session, "SEQ1.TABLE")
        port.max_lines = 4096
        with pytest.raises(FieldValueError, match=r"'5000 lines'.*holds 4096.*cannot stream"):
            await load(port, batches(5000))


async def test_times_in_other_units_than_ticks_are_refused():
    async with box_of(TurnWiring()) as box:
        with pytest.raises(FieldValueError, match="PRESCALE of 1 tick"):
            await box.load(batches(1000), prescale=125)


async def test_lines_that_wait_for_a_trigger_go_on_in_the_other_sequencer():
    """A table whose lines wait takes longer than its lines; the next begins when it is done."""
    wiring = TurnWiring(hand_over=2, inputs={"BITA": "BITS.OUTA"})
    async with box_of(wiring, lines=5) as box:
        lines = [batch(1, PERIOD, trigger=2), batch(1, PERIOD, trigger=1)]

        def gated():
            for _ in range(10):
                yield from lines

        loading = await box.load(gated())
        await box.start()
        await box.run(PERIOD)
        feeding = asyncio.create_task(loading.feed())
        ticks: list[int] = []
        for number in range(20):
            await box.session.client.assign("BITS.A", "10"[number % 2])
            ticks.append(box.simulator.tick)
            await box.run(3 * PERIOD)
            await asyncio.sleep(0.03)
        await feeding
        stamps = await box.stamps()
    # each write takes a tick of its own, those of tables too
    assert len({stamp - tick for stamp, tick in zip(stamps, ticks, strict=True)}) == 1
