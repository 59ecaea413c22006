"""Lines are cut by count and by time; none is lost, doubled or moved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.loading.chunks import Chunk, Cutter

from .stage import Batch, batch, batches

SIZES = st.lists(st.integers(0, 12), max_size=12)


def numbered(sizes: list[int]) -> list[Batch]:
    """Batches in which no two lines take the same time."""
    starts = np.cumsum([0, *sizes])
    return [
        Batch(np.arange(start, start + size) + 2, np.ones(size, np.int64))
        for start, size in zip(starts, sizes, strict=False)
    ]


@given(SIZES, st.integers(1, 15), st.none() | st.integers(1, 100))
def test_chunks_are_the_lines_in_their_order(sizes, lines, ticks):
    cutter = Cutter(iter(numbered(sizes)))
    chunks: list[Chunk] = []
    last = False
    while not last:
        chunk, last = cutter.next(lines, ticks)
        chunks.append(chunk)
        assert cutter.taken == sum(map(len, chunks))
    whole = Chunk.joined([Chunk.of(each) for each in numbered(sizes)])
    joined = Chunk.joined(chunks)
    assert joined.words.tolist() == whole.words.tolist()
    assert joined.ticks.tolist() == whole.ticks.tolist()
    assert joined.frames.tolist() == whole.frames.tolist()
    assert all(0 < len(chunk) <= lines for chunk in chunks) or not sum(sizes)


@given(SIZES.filter(any), st.integers(1, 100))
def test_a_chunk_ends_with_the_line_that_reaches_its_time(sizes, ticks):
    cutter = Cutter(iter(numbered(sizes)))
    last = False
    while not last:
        chunk, last = cutter.next(1000, ticks)
        assert chunk.total_ticks - chunk.ticks[-1] < ticks
        assert last or chunk.total_ticks >= ticks


def test_a_chunk_is_the_last_one_only_if_empty_batches_are_all_that_follows():
    cutter = Cutter(iter([batch(2), batch(0), batch(3), batch(0)]))
    assert [cutter.next(2)[1], cutter.next(3)[1]] == [False, True]


def test_what_is_given_back_comes_again():
    cutter = Cutter(batches(10, each=4))
    chunk, _ = cutter.next(7)
    cutter.give_back(chunk.part(5, 7))
    assert cutter.taken == 5
    rest, last = cutter.next(100)
    assert (len(rest), last) == (5, True)


def test_no_more_is_taken_from_the_generator_than_is_asked_for():
    made: list[int] = []

    def lines():
        for number in range(100):
            made.append(number)
            yield batch(10)

    cutter = Cutter(lines())
    cutter.next(25)
    assert len(made) == 3


def test_lines_that_contradict_themselves_are_refused():
    wrong = Batch(np.ones(3, np.int64), np.ones(2, np.int64))
    with pytest.raises(ValueError, match="3 lines have"):
        Cutter(iter([wrong])).next(10)
