"""Every way an acquisition ends: what both ports say of it, and PCAP's own health."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_simulator import Simulator
from panda_simulator.behaviours import OVERFLOW, Backlog, backlog
from panda_simulator.behaviours.backlog import DEPTH

from .rehearsal import Rehearsal, rehearsed
from .sockets import Peer, peer
from .test_leaps import TICKS as TIME
from .test_leaps import both, capture

CLOCKED = (
    "CLOCK1.ENABLE=PCAP.ACTIVE",
    "PCAP.ENABLE=BITS.OUTA",
    "PCAP.TRIG=CLOCK1.OUT",
    "PCAP.TS_TRIG.CAPTURE=Value",
)
FREQUENCY = 125_000_000


async def ended(box: Rehearsal, end: str, health: str = "OK") -> list[int]:
    """Read an acquisition that has ended, and ask how; return when its triggers were."""
    got = await box.acquired()
    count, _, reason = end.partition(" ")
    assert got.end == f"END {end}"
    assert len(got["PCAP.TS_TRIG"]) == int(count)
    assert await box.value("*PCAP.COMPLETION") == reason
    assert await box.value("*PCAP.CAPTURED") == count
    assert await box.value("*PCAP.STATUS") == "Idle 1 0"
    assert await box.value("PCAP.ACTIVE") == "0"
    assert await box.value("PCAP.HEALTH") == health
    return got["PCAP.TS_TRIG"]


async def begin(box: Rehearsal) -> None:
    await box.arm()
    assert await box.value("*PCAP.COMPLETION") == "Busy"
    await box.set("BITS.A=1")


async def test_enable_falls_or_a_client_disarms():
    async with rehearsed(*CLOCKED, "CLOCK1.PERIOD.RAW=1000") as box:
        await begin(box)
        await box.run(10_500)
        await box.set("BITS.A=0")
        await box.run(10)
        assert len(await ended(box, "11 Ok")) == 11
        await begin(box)
        await box.run(5_500)
        await box.set("*PCAP.DISARM=")
        await ended(box, "6 Disarmed")


async def test_what_was_armed_and_never_enabled_ends_as_disarmed_without_a_sample():
    async with rehearsed(*CLOCKED, "CLOCK1.PERIOD.RAW=1000") as box:
        await box.arm()
        await box.run(10_000)
        assert await box.value("*PCAP.COMPLETION") == "Busy"
        assert await box.value("PCAP.ACTIVE") == "1"
        await box.set("*PCAP.DISARM=")
        assert await box.value("*PCAP.COMPLETION") == "Disarmed"
        assert await box.value("*PCAP.CAPTURED") == "0"
        got = await box.acquired()
        assert (got.end, got["PCAP.TS_TRIG"]) == ("END 0 Disarmed", [])
        assert await box.value("PCAP.HEALTH") == "OK"


async def test_triggers_too_close_end_it_and_the_next_arm_clears_the_health():
    async with rehearsed(*CLOCKED, "CLOCK1.PERIOD.RAW=4") as box:
        await box.set(*(f"PCAP.{name}.CAPTURE=Value" for name in ("TS_START", "TS_END")))
        await begin(box)
        await box.run(100)
        # six words need six ticks, and the fault comes before the last one of the first sample
        await ended(box, "0 Framing error", "Capture events too close together")
        await box.set("CLOCK1.PERIOD.RAW=6")
        await box.arm()
        assert await box.value("PCAP.HEALTH") == "OK"
        await box.run(604)
        await box.set("*PCAP.DISARM=")
        got = await box.acquired()
        assert got.end.endswith(" Disarmed")
        assert len(got["PCAP.TS_TRIG"]) > 90


def overflows_after(words: int, period: int, rate: float) -> int:
    """Return how many samples are out as a FIFO is full, tick by tick."""
    level, tick, takes = 0.0, 0, rate / 4 / FREQUENCY
    while True:
        level += tick % period < words
        if level > DEPTH + takes:
            return tick // period
        level = max(level - takes, 0)
        tick += 1


@pytest.mark.parametrize("rate", [62.5, 125, 187.5])
async def test_more_than_the_memory_takes_is_an_overflow_of_samples(rate):
    """Two words in four ticks are 250 MB/s."""
    async with rehearsed(*CLOCKED, "CLOCK1.PERIOD.RAW=4", dma_rate=rate) as box:
        await begin(box)
        await box.run(50_000)
        count = overflows_after(2, 4, rate * 1e6)
        times = await ended(box, f"{count} DMA data error", "Samples overflow")
        assert times[1:] == [times[1] + 4 * k for k in range(count - 1)]
        assert await box.ask("*CHANGES.READ?") != ""
        # and it can be armed again
        await box.set("CLOCK1.PERIOD.RAW=1000", "BITS.A=0")
        await begin(box)
        assert await box.value("PCAP.HEALTH") == "OK"
        await box.run(2_500)
        await box.set("BITS.A=0")
        await box.run(10)
        await ended(box, "3 Ok")


async def test_what_the_memory_takes_is_no_overflow_however_long_it_lasts():
    async with rehearsed(*CLOCKED, "CLOCK1.PERIOD.RAW=4", dma_rate=250) as box:
        await begin(box)
        await box.run(1_000_000)
        await box.set("BITS.A=0")
        await box.run(10)
        got = await box.acquired()
        assert got.end == f"END {len(got['PCAP.TS_TRIG'])} Ok"
        assert len(got["PCAP.TS_TRIG"]) > 249_990


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_memory_that_takes_nothing_is_none(rate):
    with pytest.raises(ValueError, match="dma_rate is"):
        Simulator(dma_rate=rate)


@pytest.mark.parametrize(
    ("reason", "text", "health"),
    [
        ("driver-data-overrun", "Driver data overrun", "OK"),
        ("dma-data-error", "DMA data error", "Samples overflow"),
        ("framing-error", "Framing error", "Capture events too close together"),
        ("disarmed", "Disarmed", "OK"),
        ("ok", "Ok", "OK"),
    ],
)
async def test_an_end_on_request_is_that_of_the_hardware_with_its_health(reason, text, health):
    async with rehearsed(*CLOCKED, "CLOCK1.PERIOD.RAW=1000") as box:
        fault = box.simulator.faults.inject("end-reason", reason=reason, sample=7)
        await begin(box)
        await box.run(20_000)
        await fault.happened()
        await asyncio.sleep(0)
        await ended(box, f"7 {text}", health)
        await box.set("*PCAP.DISARM=")
        assert await box.value("PCAP.HEALTH") == health
        await box.arm()
        assert await box.value("PCAP.HEALTH") == "OK"
        await box.set("*PCAP.DISARM=")
        await ended(box, "0 Disarmed")


async def test_a_client_that_does_not_read_is_overrun_while_the_others_and_the_box_go_on():
    settings = [f"INENC{n}.VAL.CAPTURE=Min Max Mean" for n in range(1, 4)]
    async with rehearsed(*CLOCKED, *settings, "CLOCK1.PERIOD.RAW=125") as box:
        async with peer(box.simulator.data_port) as reader:
            reader.tell("XML FRAMED RAW\n")
            assert await reader.line() == "OK\n"
            while await box.value("*PCAP.STATUS") != "Idle 2 0":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await begin(box)
            received = asyncio.create_task(last(reader))
            for _ in range(250):
                await box.run(375_000)
            assert await box.value("*PCAP.COMPLETION") == "Busy"
            await box.set("BITS.A=0")
            await box.run(100)
            assert await box.value("*PCAP.COMPLETION") == "Ok"
            count = int(await box.value("*PCAP.CAPTURED"))
            assert await received == f"END {count} Ok\n".encode()
            slow = await box.acquired()
        sent, reason = slow.end.removeprefix("END ").split(" ", 1)
        assert reason == "Data overrun"
        assert 0 < int(sent) == len(slow["PCAP.TS_TRIG"]) < count
        # it has the next one
        await begin(box)
        await box.run(1_300)
        await box.set("BITS.A=0")
        await box.run(100)
        assert (await box.acquired()).end.endswith(" Ok")


async def last(reader: Peer) -> bytes:
    """Take a good acquisition as it comes; return its last line."""
    end = b""
    while not end.endswith(b" Ok\n"):
        async with asyncio.timeout(10):
            end = (end + await reader.reader.read(1 << 20))[-100:]
    return end[end.rindex(b"END") :]


@given(
    samples=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 12)), min_size=1, max_size=200),
    rate=st.integers(1, 9),
    depth=st.integers(0, 40),
)
def test_a_backlog_is_what_adding_and_taking_tick_by_tick_makes(samples, rate, depth):
    """In a clock of 1 Hz a word is 4, and a rate what is taken of it in a tick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backlog, "DEPTH", depth)
        fifo = Backlog(rate, 1)
        level = tick = 0
        for gap, words in samples:
            for _ in range(gap):
                level = max(level - rate, 0)
            tick += gap
            full = None
            for word in range(words):
                level = max(level + 4 - rate, 0)
                if level > 4 * depth and full is None:
                    full = tick + word
            assert fifo.add(tick, words) == full
            if full is not None:
                break
            tick += words


def test_an_overflow_comes_at_the_same_tick_with_leaps_and_without(make_bench):
    for bench, sinks in both(partial(make_bench, memory_rate=62_000_000), calls=4_000):
        bench.set("CLOCK", PERIOD=16, ENABLE="ONE")
        bench.set("PCAP", ENABLE="ONE", TRIG="CLOCK1.OUT")
        capture(bench, sinks, *TIME)
        bench.run(2_000_000)
        assert bench.get("PCAP", "HEALTH") == OVERFLOW
