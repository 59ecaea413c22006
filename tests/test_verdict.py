from __future__ import annotations

from dataclasses import replace

import pytest

from panda_ophyd.verdict import NO_END, AcquisitionRecord, Span, judge

GOOD = AcquisitionRecord(first_row=0, rows=5, received=5, sent=5, end_reason="Ok")
NEXT = replace(GOOD, first_row=5, end_reason="Disarmed")
LENGTHS = {"a": 10, "b": 10}


def test_all_counts_equal_and_good_reasons_are_a_complete_capture():
    verdict = judge([GOOD, NEXT], LENGTHS)
    assert verdict.complete
    assert verdict.problems == ()
    assert (verdict.rows, verdict.sent, verdict.received, verdict.missed) == (10, 10, 10, 0)
    assert (verdict.suspect_row, verdict.suspect_stop) == (-1, -1)
    assert str(verdict) == "complete: 10 rows of 2 acquisitions, ended Disarmed"


def test_rows_left_away_on_purpose_are_not_lacking():
    limited = replace(NEXT, rows=3, discarded=2)
    verdict = judge([GOOD, limited], {"a": 8})
    assert verdict.complete
    assert "8 rows of 2 acquisitions, 2 left away as asked" in str(verdict)


def test_an_acquisition_without_samples_is_a_good_one():
    empty = AcquisitionRecord(first_row=0, sent=0, end_reason="Ok")
    assert judge([empty], {"a": 0}).complete


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ({"missed": 3}, "3 samples missed before it"),
        ({"end_reason": "Data overrun"}, "ended with 'Data overrun'"),
        ({"sent": 6}, "6 samples sent but 5 received"),
        ({"sent": 4}, "4 samples sent but 5 received"),
        ({"received": 6, "sent": 6}, "6 samples to keep but 5 rows"),
        ({"discarded": 1}, "4 samples to keep but 5 rows"),
        ({"sent": None, "end_reason": NO_END}, "no END came after 5 samples"),
        ({"first_row": 6}, "begins at row 6, not at 5"),
    ],
)
def test_each_thing_that_can_be_wrong_is_named(bad, problem):
    verdict = judge([GOOD, replace(NEXT, **bad)], LENGTHS)
    assert not verdict.complete
    assert f"acquisition 2: {problem}" in verdict.problems
    assert str(verdict).startswith("NOT complete: 10 rows of 2 acquisitions")
    assert problem in str(verdict)
    assert "\n" not in str(verdict)


def test_rows_that_no_acquisition_accounts_for_are_told():
    assert "5 rows accounted for but 10 in the file" in judge([GOOD], LENGTHS).problems
    assert "5 rows accounted for but 4 in the file" in judge([GOOD], {"a": 4}).problems


def test_datasets_of_unequal_length_are_told():
    verdict = judge([GOOD], {"a": 5, "b": 4, "c": 5})
    assert "b has 4 rows but a has 5" in verdict.problems
    assert verdict.rows == 4


def test_a_capture_without_acquisition_is_not_complete():
    verdict = judge([], {})
    assert not verdict.complete
    assert verdict.end_reason == "no acquisition"


def test_a_failure_counts_whatever_the_counts_say():
    verdict = judge([GOOD], {"a": 5}, "file.h5: the disk is full", reason="disk")
    assert not verdict.complete
    assert verdict.end_reason == "disk"
    assert verdict.problems == ("file.h5: the disk is full",)
    assert judge([GOOD], {"a": 5}, "gone").end_reason == "gone"


def test_rows_in_doubt_are_a_range():
    bad = replace(NEXT, end_reason="Data overrun", suspect=Span(8, 10))
    verdict = judge([GOOD, bad], LENGTHS)
    assert (verdict.suspect_row, verdict.suspect_stop) == (8, 10)
    assert "those from 8 to 9 in doubt" in str(verdict)
    worse = judge([replace(GOOD, missed=1, suspect=Span(0, 5)), bad], LENGTHS)
    assert (worse.suspect_row, worse.suspect_stop) == (0, 10)


def test_many_problems_are_still_one_line():
    records = [replace(GOOD, first_row=5 * n, missed=1) for n in range(20)]
    text = str(judge(records, {"a": 100}))
    assert "and 17 more" in text
