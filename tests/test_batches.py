"""Buffers between two threads: samples come out as they went in, and memory is bounded."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.capture import batches as module
from panda_ophyd.capture.batches import BATCH_BYTES, IN_FLIGHT_BYTES, Batches, Stopped


def put(batches: Batches, data: bytes) -> int:
    """Put what there is room for in one go; return how much that was."""
    room = batches.room()
    size = min(len(room), len(data))
    room[:size] = data[:size]
    batches.add(size)
    return size


@given(
    st.lists(st.integers(1, 60)),
    st.integers(1, 7),
    st.integers(1, 16),
    st.integers(0, 50),
    st.lists(st.booleans(), min_size=1),
)
def test_samples_come_out_whole_in_order_and_batches_end_with_chunks(
    pieces, sample, chunk, position, early
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BATCH_BYTES", 40)
        batches = Batches(sample, chunk, position)
        source = bytes(range(256)) * 14
        at, out, row = 0, bytearray(), position
        for index, length in enumerate(pieces):
            at += put(batches, source[at : at + length])
            full = not len(batches._view[batches._filled :])
            if full or early[index % len(early)]:
                batch = batches.take()
                if batch is None:
                    assert not full
                    continue
                assert len(batch.samples) % sample == 0
                row += len(batch.samples) // sample
                if full and chunk * sample <= 40:
                    assert row % chunk == 0
                out += batch.samples
                batches.give_back(batch)
                assert batches.in_flight == at - len(out) < sample
        last = batches.take()
        out += last.samples if last else b""
    assert bytes(out) == source[: at - at % sample]


@pytest.mark.parametrize("sample", [1, 4, 60, 252, 5000])
@pytest.mark.parametrize("chunk", [1, 1000, 16384, 10**6])
def test_memory_is_bounded_whatever_the_sizes(sample, chunk):
    batches = Batches(sample, chunk, 1)
    held = []
    while batches._unmade or batches._buffer:
        room = batches.room()
        assert len(room) <= max(BATCH_BYTES, min(chunk * sample, IN_FLIGHT_BYTES // 4))
        batches.add(len(room))
        held.append(batches.take())
    assert len(held) >= 4
    assert batches.in_flight == batches.most_in_flight <= IN_FLIGHT_BYTES
    assert batches.in_flight > IN_FLIGHT_BYTES // 2
    assert sum(len(batch.buffer) for batch in held) <= IN_FLIGHT_BYTES


def full(batches: Batches) -> list:
    held = []
    while batches._unmade:
        batches.add(len(batches.room()))
        held.append(batches.take())
    return held


def test_without_a_free_buffer_one_waits_until_one_comes_back():
    batches = Batches(4, 1024, 0)
    held = full(batches)
    rooms = []
    waiting = threading.Thread(target=lambda: rooms.append(batches.room()))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    batches.give_back(held[0])
    waiting.join(20)
    assert len(rooms) == 1
    assert batches.waited > 0


def test_whoever_waits_for_a_buffer_can_be_told_that_none_will_come():
    batches = Batches(4, 1024, 0)
    full(batches)
    batches.stop()
    for _ in range(2):
        with pytest.raises(Stopped):
            batches.room()


def test_a_slow_capture_takes_one_buffer():
    batches = Batches(4, 1024, 0)
    for _ in range(100):
        put(batches, b"1234")
        batch = batches.take()
        assert batch
        batches.give_back(batch)
    assert batches._unmade == IN_FLIGHT_BYTES // BATCH_BYTES - 1
    assert batches.waited == 0
