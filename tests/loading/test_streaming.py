"""Segments go out as buffers come free, and what goes wrong is told with its place."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.errors import FieldValueError, PandaConnectionError, SequenceError
from panda_ophyd.loading import TableStatus, load
from panda_ophyd.loading.base import LONGEST_POLL, SHORTEST_POLL, poll_period
from panda_ophyd.loading.chunks import Chunk
from panda_ophyd.loading.ledger import Ledger

from .stage import FakePort, batch, batches, modes, plays

FAST = 1e6
"""A clock at which fake lines of 1000 ticks last 1 ms each."""


async def started(port: FakePort, lines, wanted_seconds: float = 0.1, **options):
    return await load(port, lines, wanted_seconds=wanted_seconds, clock=FAST, **options)


@pytest.mark.parametrize("lines", [1, 99, 100])
async def test_what_fits_is_a_fixed_table_and_may_repeat(lines):
    port = FakePort()
    loading = await load(port, batches(lines, each=7), repeats=3)
    assert (loading.kind, loading.lines, loading.total_frames) == ("fixed", lines, 3 * lines)
    await loading.feed()
    assert loading.handed_over
    assert port.log == ["clear", "<"]


async def test_one_line_more_is_a_stream_whose_end_is_said_once():
    port = FakePort(on_status=plays)
    loading = await started(port, batches(101), wanted_seconds=0.02)
    assert loading.kind == "streamed"
    await loading.feed()
    assert modes(port.log) == ["clear x1", "<< x10", "<<| x1"]
    assert (loading.lines, loading.total_frames, loading.handed_over) == (101, 101, True)


async def test_every_word_comes_once():
    port = FakePort(on_status=plays)
    loading = await started(port, batches(1234, each=77))
    await loading.feed()
    whole = [Chunk.of(each).words.sum(dtype=np.int64) for each in batches(1234, each=77)]
    assert port.check_sum == sum(whole)


@pytest.mark.parametrize("ticks", [1, 1000, 10_000_000])
async def test_one_buffer_is_left_free_however_short_or_long_lines_are(ticks):
    port = FakePort()
    loading = await started(port, batches(1000, ticks=ticks), wanted_seconds=1000, chunk_lines=10)
    assert port.most <= 7
    port.on_status = plays
    await loading.feed()
    assert port.most <= 7
    assert loading.lines == 1000


async def test_slow_lines_go_in_small_segments_with_as_much_time_as_is_wanted():
    port = FakePort()
    await started(port, batches(1000, ticks=10_000_000), wanted_seconds=15)
    assert list(port.segments) == [1, 1, 1]


async def test_the_last_segment_waits_for_a_buffer_as_all_do():
    port = FakePort()
    looks = 0

    def look(port: FakePort) -> None:
        nonlocal looks
        looks += 1
        if looks > 5:
            port.play()

    loading = await started(port, batches(140), wanted_seconds=1000, chunk_lines=20)
    assert modes(port.log) == ["clear x1", "<< x6", "<<| x1"]
    port = FakePort(on_status=look)
    loading = await started(port, batches(160), wanted_seconds=1000, chunk_lines=20)
    assert modes(port.log) == ["clear x1", "<< x7"]
    await loading.feed()
    assert looks > 5
    assert port.log[-1] == "<<|"


@pytest.mark.parametrize(
    ("health", "words"), [("DMA underrun", "ran dry"), ("Not ready for table", "could take none")]
)
async def test_a_stop_is_told_with_block_health_line_and_frames(health, words):
    port = FakePort()
    loading = await started(port, batches(1000))
    port.play(1)
    port._set(state="UNREADY", health=health, line=33, line_repeat=1)
    with pytest.raises(SequenceError, match=words) as caught:
        await loading.feed()
    error = caught.value
    assert (error.block, error.health, error.line, error.frames_done) == ("SEQ1", health, 33, 32)


async def test_a_stream_that_ran_dry_after_the_last_look_is_told_when_a_segment_is_refused():
    port = FakePort()
    loading = await started(port, batches(1000))
    write, looks = port.write, 0

    async def late(words, **options) -> None:
        port.play(8)
        port._set(state="UNREADY", health="DMA underrun", line=71, line_repeat=1)
        await write(words, **options)

    def look(port: FakePort) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            port.play(1)

    port.write, port.on_status = late, look
    with pytest.raises(SequenceError, match="ran dry") as caught:
        await loading.feed()
    error = caught.value
    assert (error.health, error.line, error.frames_done) == ("DMA underrun", 71, 70)


async def test_health_that_an_earlier_run_left_is_no_fault():
    port = FakePort()
    port._set(health="DMA underrun", repeat=1, line=33, line_repeat=1)
    loading = await started(port, batches(1000), wanted_seconds=0.2)
    await loading.check()
    port._set(state="PHASE1", health="OK", line=1)
    port.on_status = plays
    await loading.feed()
    assert loading.lines == 1000


async def test_a_sequencer_that_was_disabled_is_told_apart():
    port = FakePort()
    loading = await started(port, batches(1000))
    port.segments.clear()
    port._set(state="UNREADY", repeat=1, line=5, line_repeat=1)
    with pytest.raises(SequenceError, match="disabled"):
        await loading.feed()


async def test_a_table_that_somebody_else_wrote_is_told():
    port = FakePort()
    loading = await started(port, batches(1000))
    port._set(mode="FIXED")
    with pytest.raises(SequenceError, match="MODE is FIXED, not STREAMING"):
        await loading.feed()


async def test_a_clear_that_did_not_clear_is_told():
    port = FakePort()

    async def clear() -> None:
        port._set(mode="STREAMING_LAST")

    port.clear = clear
    with pytest.raises(SequenceError, match="STREAMING_LAST after a clear"):
        await load(port, batches(1000))


async def test_a_generator_that_raises_at_once_leaves_a_clear_table():
    def lines():
        yield batch(150)
        raise FieldValueError("x", 3, "too far")

    port = FakePort(max_lines=1000)
    with pytest.raises(FieldValueError, match="too far"):
        await started(port, lines())
    assert port.log == ["clear", "clear"]


async def test_a_generator_that_raises_later_is_told_when_its_lines_are_wanted():
    def lines():
        yield from batches(500)
        raise FieldValueError("x", 3, "too far")

    port = FakePort(on_status=plays)
    loading = await started(port, lines())
    for _ in range(2):
        with pytest.raises(FieldValueError, match="too far"):
            await loading.feed()
    await loading.abandon()
    assert port.log[-1] == "clear"
    assert "<<|" not in port.log


async def test_a_generator_that_is_slow_does_not_hide_that_the_box_ran_dry():
    go = threading.Event()

    def lines():
        yield batch(110)
        go.wait(30)
        yield batch(1)

    port = FakePort()
    try:
        loading = await started(port, lines(), wanted_seconds=0.02)
        port.play(8)
        port._set(state="UNREADY", health="DMA underrun", line=100)
        with pytest.raises(SequenceError, match="ran dry"):
            await loading.feed()
    finally:
        go.set()


async def test_a_feed_that_was_cancelled_between_writes_goes_on():
    port = FakePort()
    loading = await started(port, batches(1000))
    feeding = asyncio.create_task(loading.feed())
    await asyncio.sleep(0.03)
    feeding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await feeding
    port.on_status = plays
    await loading.feed()
    whole = [Chunk.of(each).words.sum(dtype=np.int64) for each in batches(1000)]
    assert (loading.lines, port.check_sum) == (1000, sum(whole))


async def test_a_feed_that_was_cancelled_inside_a_write_does_not():
    port = FakePort(on_status=plays)
    loading = await started(port, batches(1000))
    writing = asyncio.Event()

    async def write(words, **_) -> None:
        writing.set()
        await asyncio.Event().wait()

    port.write = write
    feeding = asyncio.create_task(loading.feed())
    await writing.wait()
    feeding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await feeding
    with pytest.raises(SequenceError, match="cancelled"):
        await loading.feed()


async def test_a_link_that_is_lost_is_told_as_such():
    port = FakePort()
    loading = await started(port, batches(1000))

    def lost(port: FakePort) -> None:
        raise PandaConnectionError("box: gone")

    port.on_status = lost
    with pytest.raises(PandaConnectionError, match="gone"):
        await loading.feed()


async def test_a_server_that_cannot_stream_is_told_how_many_lines_there_are():
    port = FakePort(streams=False)
    with pytest.raises(FieldValueError, match=r"SEQ1\.TABLE .*'1234 lines'.*holds 100.*4\.1"):
        await load(port, batches(1234))
    assert port.log == ["clear", "clear"]


async def test_a_stream_cannot_repeat():
    with pytest.raises(FieldValueError, match=r"'1234 lines'.*REPEATS=2"):
        await load(FakePort(), batches(1234), repeats=2)


async def test_no_lines_are_refused():
    with pytest.raises(FieldValueError, match="nothing to play"):
        await load(FakePort(), batches(0))


async def test_two_million_lines_pass_in_bounded_memory():
    # as many lines as the box holds are made before it is known that they are too many
    port = FakePort(max_lines=262_144, on_status=plays)
    tracemalloc.start()
    try:
        lines = batches(2_000_000, each=20_000, ticks=125_000)
        loading = await load(port, lines, wanted_seconds=1000)
        await loading.feed()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert loading.lines == 2_000_000
    assert peak < 50e6


@given(st.floats(0, 1e6))
def test_the_next_look_is_before_what_waits_is_played(queued):
    period = poll_period(queued)
    assert SHORTEST_POLL <= period <= LONGEST_POLL
    assert period <= queued / 2 or period == SHORTEST_POLL


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.data())
def test_segments_are_released_as_a_whole_from_the_front(sizes, data):
    ledger = Ledger()
    for size in sizes:
        ledger.add(Chunk.of(batch(size, ticks=10)))
    left = data.draw(st.integers(0, len(sizes)))
    ledger.release(sum(sizes[left:]))
    assert ledger.outstanding == len(sizes) - left
    assert ledger.ticks_behind == 10 * sum(sizes[left + 1 :])
    assert ledger.lines == sum(sizes)


def test_a_segment_that_is_half_counted_is_still_outstanding():
    ledger = Ledger()
    for _ in range(3):
        ledger.add(Chunk.of(batch(10)))
    ledger.release(15)
    assert ledger.outstanding == 2
    ledger.release(1)
    assert ledger.outstanding == 1


async def test_looks_beside_the_feed_do_not_free_what_is_held():
    port = FakePort(on_status=plays)
    status = port.status

    async def late() -> TableStatus:
        now = await status()
        await asyncio.sleep(0)  # an answer on its way is older than what is written meanwhile
        return now

    port.status = late
    loading = await started(port, batches(3000), wanted_seconds=1000, chunk_lines=10)
    feeding = asyncio.create_task(loading.feed())
    while not feeding.done():
        await asyncio.gather(*(loading.check() for _ in range(3)))
        await asyncio.sleep(0.002)
    await feeding
    assert port.most <= 7
    assert loading.lines == 3000
