"""Numbers of a rehearsal from the times of its triggers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.rehearsal import Rehearsal, TableUse
from panda_ophyd.rehearsal.observing import loads_of
from panda_ophyd.rehearsal.report import overrun_row, peak_rate
from panda_simulator.timing import TableWrite

steps = st.lists(st.integers(0, 50), min_size=1, max_size=60)


def times_of(steps: list[int]) -> np.ndarray:
    return np.cumsum(steps) / 1000


@given(steps, st.integers(1, 40))
def test_a_row_overruns_when_what_waits_is_more_than_the_memory(steps, size):
    times, waiting, last, expected = times_of(steps), 0.0, None, None
    for index, now in enumerate(times):
        waiting = max(waiting - 1000 * (0.0 if last is None else now - last), 0.0) + size
        last = now
        if waiting > 100.5 and expected is None:
            expected = index
    assert overrun_row(times, size, drain=1000, ring=100.5) == expected


def test_no_rows_overrun_nothing():
    assert overrun_row(np.zeros(0), 8) is None
    assert overrun_row(np.zeros(5), 0) is None


@given(st.lists(st.integers(1, 50), min_size=30, max_size=60))
def test_the_peak_is_that_of_the_fullest_window(steps):
    times = times_of(steps)
    if times[-1] - times[0] <= 0.1:
        return
    ticks = np.rint(times * 1000).astype(int)
    most = max(sum(1 for other in ticks if now - 100 < other <= now) for now in ticks)
    mean = 8 * (len(ticks) - 1) / (times[-1] - times[0])
    # a time at the very edge of a window may be on either side of it
    assert mean <= peak_rate(times, 8)
    assert abs(peak_rate(times, 8) - max(most * 8 / 0.1, mean)) <= 8 / 0.1 + 1e-6


def test_segments_of_a_stream_are_one_load_until_the_table_is_cleared():
    def segment(words: int, number: int = 1) -> TableWrite:
        return TableWrite("SEQ", number, words, streaming=True)

    clear = TableWrite("SEQ", 1, 0, streaming=False)
    fixed = TableWrite("SEQ", 1, 12, streaming=False)
    written = [clear, segment(40), segment(8, 2), segment(4), clear, segment(16), fixed, fixed]
    loads = loads_of(written)
    assert [load for load in loads["SEQ", 1] if load[0]] == [
        (44, True), (16, True), (12, False), (12, False),
    ]  # fmt: skip
    assert loads["SEQ", 2] == [(8, True)]


def test_a_burst_is_a_peak_above_the_mean():
    times = np.concatenate((np.arange(100) / 1000, [10.0]))
    found = Rehearsal(ok=True, source="box", trigger_times=times, bytes_per_row=12)
    assert found.peak_rate == pytest.approx(12_000)
    assert found.rate == pytest.approx(12 * 100 / 10)


def test_a_report_tells_of_tables_health_and_what_is_wrong():
    text = str(
        Rehearsal(
            ok=False,
            source="box",
            problems=tuple(f"problem {n}" for n in range(8)),
            tables=(TableUse("SEQ1.TABLE", 9000, 4096, streamed=True),),
            health={"PCAP": "OK", "SEQ1": "DMA_underrun", "SFP": "Link down"},
            health_before={"SFP": "Link down"},
            dropped={"PULSE1": 3},
        )
    )
    for words in ("would NOT go well", "problem 5", "and 2 more", "9000 lines streamed",
                  "SEQ1 DMA_underrun", "dropped 3 triggers"):  # fmt: skip
        assert words in text
    assert "problem 6" not in text
    assert "Link down" not in text
