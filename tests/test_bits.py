"""What bits did since the last write."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.bits import BitRecord


def record(*replies: tuple[list[str], bool]) -> BitRecord:
    bits = BitRecord()
    bits.note(["A.OUT=0", "B.OUT=1"], write_follows=True)
    for lines, write_follows in replies:
        bits.note(lines, write_follows=write_follows)
    return bits


def test_a_bit_that_did_nothing_has_no_levels():
    assert record(([], False)).since_write("A.OUT") == []


def test_a_bit_that_rose_has_risen():
    assert record((["A.OUT=1"], False)).since_write("A.OUT") == [True]


def test_a_bit_listed_with_the_level_it_had_left_it_and_came_back():
    assert record((["A.OUT=0"], False)).since_write("A.OUT") == [True, False]


def test_a_bit_that_rose_and_was_seen_fell_later():
    assert record((["A.OUT=1"], False), (["A.OUT=0"], False)).since_write("A.OUT") == [True, False]


def test_what_a_bit_did_before_a_write_is_not_its_doing():
    assert record((["A.OUT=0"], True)).since_write("A.OUT") == []
    assert record((["A.OUT=1"], True), (["A.OUT=0"], False)).since_write("A.OUT") == [False]


def test_lines_that_are_no_levels_are_passed_over():
    assert record((["A.OUT (error)", "rubbish", "A.OUT=2"], False)).since_write("A.OUT") == []


@given(st.lists(st.tuples(st.booleans(), st.booleans())))
def test_the_last_level_is_always_that_of_the_last_listing(listings):
    bits = record()
    for level, write_follows in listings:
        bits.note([f"A.OUT={level:d}"], write_follows=write_follows)
        expected = [] if write_follows else [level]
        assert bits.since_write("A.OUT")[-1:] == expected
