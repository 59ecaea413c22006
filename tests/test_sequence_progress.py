"""Counters of a sequencer to frames done, against playing the lines one by one."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.errors import FieldValueError
from panda_ophyd.sequences import SeqLines, SeqState, SequenceProgress, Trigger

lines_of = st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=12)


def table(lines: list[tuple[int, bool]]) -> SeqLines:
    repeats = np.array([repeats for repeats, _ in lines])
    return SeqLines.of(repeats=repeats, frames=repeats * np.array([real for _, real in lines]))


@given(lines_of, st.integers(1, 3))
def test_every_place_of_a_fixed_table_counts_the_frames_before_it(lines, repeats):
    progress = SequenceProgress(table(lines), repeats=repeats)
    done = 0
    for run in range(1, repeats + 1):
        for number, (count, real) in enumerate(lines, 1):
            for repeat in range(1, count + 1):
                for state in (SeqState.WAIT_TRIGGER, SeqState.PHASE1, SeqState.PHASE2):
                    assert progress.frames_done(run, number, repeat, state) == done
                done += real
    assert progress.total_frames == (done or None)
    last = (repeats, len(lines), lines[-1][0])
    assert progress.frames_done(*last, SeqState.WAIT_ENABLE) == done


@given(lines_of, st.lists(st.integers(0, 12), max_size=4))
def test_lines_of_a_stream_count_on_over_buffers(lines, cuts):
    whole = table(lines)
    progress = SequenceProgress()
    edges = [0, *sorted(cuts), len(whole)]
    for start, stop in pairwise(edges):
        progress.add(whole[start:stop])
    done = 0
    for number, (count, real) in enumerate(lines, 1):
        for repeat in range(1, count + 1):
            assert progress.frames_done(1, number, repeat, SeqState.PHASE1) == done
            done += real
    assert progress.frames_done(1, len(lines), lines[-1][0], SeqState.UNREADY) == done


def test_a_run_that_was_disabled_keeps_the_frames_before_it():
    progress = SequenceProgress(SeqLines.of(repeats=[10, 10], frames=[10, 10]), repeats=1)
    assert progress.frames_done(1, 2, 4, SeqState.WAIT_ENABLE) == 13


def test_nothing_is_done_before_the_first_start():
    progress = SequenceProgress(SeqLines.of(repeats=10, frames=10), repeats=1)
    assert progress.frames_done(0, 0, 0, SeqState.WAIT_ENABLE) == 0
    assert SequenceProgress().frames_done(1, 1, 1, SeqState.PHASE1) == 0


def test_what_is_waited_for_is_told_in_words():
    lines = SeqLines.of(trigger=[Trigger.BITA_1, Trigger.POSB_LT], position=[0, -950])
    progress = SequenceProgress(lines, repeats=4)
    assert progress.waits_for(1, SeqState.WAIT_TRIGGER) == "waiting for BITA=1"
    assert progress.waits_for(2, SeqState.WAIT_TRIGGER) == "waiting for POSB<=-950"
    assert progress.waits_for(2, SeqState.PHASE1) == ""
    assert progress.waits_for(3, SeqState.WAIT_TRIGGER) == ""


def test_a_line_that_starts_by_itself_waits_for_nothing_whatever_the_state_says():
    progress = SequenceProgress()
    progress.add(SeqLines.of(trigger=Trigger.IMMEDIATE, time1=5, frames=1))
    assert progress.waits_for(1, SeqState.WAIT_TRIGGER) == ""


def test_three_of_four_gates_are_15_of_20_frames():  # S9
    gated = SeqLines.of(
        repeats=[1, 4, 1], frames=[1, 4, 0],
        trigger=[Trigger.BITA_1, Trigger.IMMEDIATE, Trigger.BITA_0],
    )  # fmt: skip
    progress = SequenceProgress(gated, repeats=4)
    assert progress.frames_done(4, 1, 1, SeqState.WAIT_TRIGGER) == 15
    assert progress.total_frames == 20


def test_a_stream_of_millions_of_lines_is_forgotten_but_for_its_end():
    chunk = SeqLines.of(repeats=np.full(10_000, 2), frames=2)
    progress = SequenceProgress(remembered=40_000)
    tracemalloc.start()
    for _ in range(300):
        progress.add(SeqLines.concat([chunk]))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4_000_000
    assert progress.lines == 3_000_000
    assert progress.frames_done(1, 2_999_999, 2, SeqState.PHASE1) == 5_999_997
    assert progress.frames_done(1, 2_960_001, 1, SeqState.PHASE1) == 5_920_000
    assert progress.frames_done(1, 1, 1, SeqState.PHASE1) == 5_920_000


def test_a_fixed_table_is_never_forgotten():
    progress = SequenceProgress(repeats=2, remembered=1)
    for _ in range(5):
        progress.add(SeqLines.of(frames=1))
    assert progress.frames_done(2, 2, 1, SeqState.PHASE1) == 6


def test_a_table_that_never_ends_has_no_total():
    progress = SequenceProgress(SeqLines.of(frames=1), repeats=0)
    assert progress.total_frames is None
    assert progress.frames_done(1001, 1, 1, SeqState.PHASE1) == 1000
    with pytest.raises(FieldValueError):
        SequenceProgress(repeats=-1)
