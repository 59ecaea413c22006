"""The ring: late readers, slow readers, and when it is idle."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from panda_simulator.data.ring import Reader, Ring, State


def drain(reader: Reader) -> list[bytes]:
    blocks = []
    while not reader.exhausted and (block := reader.take()) is not None and not reader.overrun:
        blocks.append(block)
    return blocks


def test_a_reader_that_is_there_gets_everything_and_the_ring_goes_idle_after_it():
    ring = Ring()
    reader = Reader(ring)
    assert not reader.ready
    ring.start()
    assert (ring.state, ring.readers, ring.active) == (State.ACTIVE, 1, 1)
    assert not reader.ready
    ring.write(b"")
    assert reader.ready
    assert reader.open() == 0
    ring.write(b"ab")
    ring.finish()
    assert ring.state is State.CLEARING
    assert drain(reader) == [b"", b"ab"]
    assert reader.exhausted
    reader.close()
    assert (ring.state, ring.readers, ring.active) == (State.IDLE, 1, 0)
    ring.start()
    ring.write(b"c")
    assert reader.ready
    assert reader.open() == 0


def test_a_reader_that_comes_while_the_ring_clears_gets_all_of_it():
    ring = Ring()
    first = Reader(ring)
    ring.start()
    ring.write(b"ab")
    ring.finish()
    late = Reader(ring)
    assert (ring.readers, ring.active) == (2, 2)
    assert late.ready
    assert late.open() == 0
    first.leave()
    assert ring.state is State.CLEARING
    assert drain(late) == [b"ab"]
    late.close()
    assert ring.state is State.IDLE
    assert not late.ready


@pytest.mark.parametrize(
    ("blocks", "missed"), [(1, 0), (94, 0), (95, 0), (96, 3), (200, 315), (300, 615)]
)
def test_a_late_reader_starts_95_blocks_back(blocks, missed):
    ring = Ring()
    ring.start()
    for _ in range(blocks):
        ring.write(b"xyz")
    reader = Reader(ring)
    assert reader.open() == missed
    ring.finish()
    assert 3 * len(drain(reader)) == 3 * blocks - missed


def test_a_reader_128_blocks_behind_is_overrun_and_waits_for_the_next_acquisition():
    ring = Ring()
    reader = Reader(ring)
    ring.start()
    ring.write(b"0")
    reader.open()
    assert reader.take() == b"0"
    for number in range(127):
        ring.write(bytes([number]))
        assert reader.overrun == (number == 126)
    reader.close()
    assert (ring.state, ring.readers, ring.active) == (State.ACTIVE, 1, 0)
    assert not reader.ready
    ring.finish()
    ring.start()
    ring.write(b"")
    assert reader.ready


def test_a_block_that_is_gone_is_not_delivered():
    ring = Ring()
    reader = Reader(ring)
    ring.start()
    ring.write(b"0")
    reader.open()
    for _ in range(200):
        ring.write(b"x")
    assert reader.take() == b""
    assert reader.overrun


def test_who_leaves_between_acquisitions_is_not_counted_twice():
    ring = Ring()
    reader = Reader(ring)
    ring.start()
    ring.write(b"")
    reader.open()
    reader.close()
    reader.leave()
    assert (ring.readers, ring.active) == (0, 0)
    ring.finish()
    assert ring.state is State.IDLE


class Counts(RuleBasedStateMachine):
    """Readers come, take and go while the writer writes."""

    def __init__(self) -> None:
        super().__init__()
        self.ring = Ring(blocks=8, margin=2)
        self.waiting: list[Reader] = []
        self.taking: list[Reader] = []

    @precondition(lambda self: self.ring.state is State.IDLE)
    @rule()
    def start(self) -> None:
        self.ring.start()

    @precondition(lambda self: self.ring.state is State.ACTIVE)
    @rule(count=st.integers(1, 10))
    def write(self, count) -> None:
        for _ in range(count):
            self.ring.write(b"x")

    @precondition(lambda self: self.ring.state is State.ACTIVE)
    @rule()
    def finish(self) -> None:
        self.ring.finish()

    @rule()
    def join(self) -> None:
        self.waiting.append(Reader(self.ring))

    @precondition(lambda self: self.waiting)
    @rule()
    def leave(self) -> None:
        self.waiting.pop(0).leave()

    @rule()
    def open(self) -> None:
        for reader in [reader for reader in self.waiting if reader.ready]:
            reader.open()
            self.waiting.remove(reader)
            self.taking.append(reader)

    @precondition(lambda self: self.taking)
    @rule()
    def take(self) -> None:
        reader = self.taking.pop(0)
        if reader.exhausted or (reader.take() is not None and reader.overrun):
            reader.close()
            self.waiting.append(reader)
        else:
            self.taking.append(reader)

    @invariant()
    def counts_are_those_of_the_readers(self) -> None:
        assert self.ring.readers == len(self.waiting) + len(self.taking)
        assert len(self.taking) <= self.ring.active <= self.ring.readers
        assert self.ring.state is not State.CLEARING or self.ring.active


TestCounts = Counts.TestCase
