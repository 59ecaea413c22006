from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.rowtime import NO_TIME, RowClock, Ticks, parse_utc, preferred_stamp

START = "2026-11-22T08:08:30.727790791Z"
START_NS = 1795334910_727790791
TICK = 8e-9


def ticks(*values):
    return np.array(values, np.int64)


def clock(seconds=TICK, **options):
    return RowClock(Ticks(seconds), **options)


class TestParsing:
    def test_a_time_of_the_server_is_exact_to_the_nanosecond(self):
        assert parse_utc(START) == START_NS
        assert parse_utc("1970-01-01T00:00:00.000000001Z") == 1

    def test_servers_before_3_1_write_milliseconds(self):
        assert parse_utc("2026-11-22T08:08:30.727Z") == 1795334910_727000000
        assert parse_utc("2026-11-22T08:08:30Z") == 1795334910_000000000

    @given(st.integers(0, 7_000_000_000), st.integers(0, 999_999_999))
    def test_it_agrees_with_the_calendar(self, seconds, ns):
        text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        assert parse_utc(f"{text}.{ns:09d}Z") == seconds * 10**9 + ns

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "now",
            START[:-1],
            f"{START}\n",
            f" {START}",
            "2026-13-22T08:08:30Z",
            "2026-11-22T25:08:30Z",
            "2026-11-22T08:08:30.7277907911Z",
            "9999-11-22T08:08:30Z",
            "1969-12-31T23:59:59Z",
            "2026-11-22T08:08:30+01:00",
            "٢٠٢٦-11-22T08:08:30Z",
        ],
    )
    def test_what_is_no_time_is_none_and_never_an_error(self, text):
        assert parse_utc(text) is None

    @given(st.text())
    def test_whatever_a_peer_says_is_survived(self, text):
        parse_utc(text)


class TestTicks:
    @given(st.lists(st.integers(0, 2**53), min_size=1))
    def test_of_8_ns_are_exact(self, values):
        assert Ticks(TICK).nanoseconds(ticks(*values)).tolist() == [8 * v for v in values]

    @given(
        st.sampled_from([122_880_000, 100_000_000, 125_000_000, 1, 3, 999_999_937]),
        st.integers(0, 2**53),
    )
    def test_of_any_whole_frequency_are_rounded_once(self, hertz, value):
        seconds = float(f"{1 / hertz:.12g}")  # as a header has it
        if value // hertz > 8_000_000_000:
            return
        (found,) = Ticks(seconds).nanoseconds(ticks(value)).tolist()
        assert found == (value * 10**9 + hertz // 2) // hertz

    def test_of_another_length_are_as_good_as_float64(self):
        found = Ticks(1.23456e-7).nanoseconds(ticks(0, 1, 10**9)).tolist()
        assert found == [0, 123, 123_456_000_000]

    @pytest.mark.parametrize("seconds", [0.0, -8e-9, float("nan"), float("inf"), float("-inf")])
    def test_of_no_length_are_told(self, seconds):
        assert not Ticks(seconds).meaningful
        assert Ticks(TICK).meaningful


def test_the_trigger_is_preferred_because_every_row_has_one():
    fields = ["PCAP.TS_END", "PCAP.TS_START", "PCAP.TS_TRIG", "INENC1.VAL"]
    assert preferred_stamp(fields) == "PCAP.TS_TRIG"
    assert preferred_stamp(fields[:2]) == "PCAP.TS_START"
    assert preferred_stamp(fields[:1]) == "PCAP.TS_END"
    assert preferred_stamp(["PCAP1.TS_TRIG"]) == "PCAP1.TS_TRIG"
    assert preferred_stamp(["INENC1.VAL", "TS_TRIG.OUT"]) is None


class TestRows:
    def test_are_the_start_plus_their_ticks(self):
        rows = clock()
        assert rows.begin(START, None, 0.0).note == "start_time"
        times = rows.times(ticks(0, 1, 10**12))
        assert times.dtype == np.int64
        assert times.tolist() == [START_NS, START_NS + 8, START_NS + 8 * 10**12]
        assert str(times[1:2].view("datetime64[ns]")[0]) == "2026-11-22T08:08:30.727790799"

    @given(
        st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2**50)),
        st.sampled_from([8e-9, 1e-9, 4e-9, 1 / 124_999_999, 1.23456e-7]),
        st.sampled_from([START, None]),
    )
    def test_are_the_same_wherever_they_go(self, values, tick, start):
        # Out of a sample they come unaligned, and apart
        record = np.dtype([("a", "<i4"), ("ticks", "<i8")])
        samples = np.zeros(len(values), record)
        samples["ticks"] = values
        found = []
        for stamps, out in (
            (ticks(*values), None),
            (samples["ticks"], np.empty(len(values), np.int64)),
        ):
            rows = RowClock(Ticks(tick))
            rows.begin(start, None, 0.0)
            times = rows.times(stamps, out)
            assert out is None or times is out
            again = rows.begin(START, None, 1.0)  # behind the last row, which it remembers
            found.append((times.tolist(), again))
        assert found[0] == found[1]
        assert samples["ticks"].tolist() == values

    def test_a_hardware_clock_is_brought_to_the_system_clock(self):
        offset = -99_999_998_123_456_789
        rows = clock()
        assert rows.begin(START, offset, 0.0).note == "start_time + hw_time_offset_ns"
        assert rows.times(ticks(2)).tolist() == [START_NS + offset + 16]

    def test_unless_it_is_asked_for(self):
        rows = clock(hardware=True)
        assert rows.begin(START, -(10**9), 0.0).note == "start_time"
        assert rows.times(ticks(2)).tolist() == [START_NS + 16]

    def test_a_row_without_a_stamp_has_no_time(self):
        rows = clock()
        rows.begin(START, None, 0.0)
        times = rows.times(ticks(1, -1, 2))
        assert times.tolist() == [START_NS + 8, NO_TIME, START_NS + 16]
        assert np.isnat(times.view("datetime64[ns]")).tolist() == [False, True, False]
        assert rows.times(ticks(-1, -1)).tolist() == [NO_TIME, NO_TIME]
        assert rows.times(ticks()).tolist() == []

    @given(st.lists(st.integers(-(2**63), 2**63 - 1)))
    def test_no_stamp_whatever_gives_a_time_before_the_start(self, values):
        rows = clock()
        rows.begin(START, None, 0.0)
        for value, time in zip(values, rows.times(ticks(*values)).tolist(), strict=True):
            assert time == (START_NS + 8 * value if 0 <= value < 2**55 else NO_TIME) or (
                value >= 2**55 and time in {NO_TIME, START_NS + 8 * value}
            )

    @pytest.mark.parametrize(
        ("start", "offset", "why"),
        [
            (None, None, "says no start_time"),
            ("yesterday", None, "'yesterday' is no time"),
            (START, -(2**62), "since 1970"),
            (START, 2**63, "since 1970"),
        ],
    )
    def test_without_a_start_there_are_none_and_why(self, start, offset, why):
        rows = clock()
        begun = rows.begin(start, offset, 0.0)
        assert begun.ns is None
        assert begun.note.startswith("none: ")
        assert why in begun.note
        assert rows.times(ticks(1, 2)).tolist() == [NO_TIME, NO_TIME]


class TestSeveralAcquisitions:
    LATER = "2026-11-22T08:08:40.727790791Z"

    def test_each_counts_from_its_own_start(self):
        rows = clock()
        rows.begin(START, None, 0.0)
        rows.times(ticks(5))
        assert rows.begin(self.LATER, None, 10.0).shift_ns == 0
        assert rows.times(ticks(5)).tolist() == [START_NS + 10**10 + 40]

    def test_a_clock_that_was_set_back_does_not_turn_time_back_and_says_so(self):
        rows = clock()
        rows.begin(self.LATER, None, 100.0)
        first = rows.times(ticks(0, 125_000_000))  # 1 s
        begun = rows.begin(START, None, 103.0)  # 3 s later, its clock says 10 s earlier
        assert begun.shift_ns == 13 * 10**9
        assert "13000000000 ns" in begun.note
        second = rows.times(ticks(0, 1))
        assert second[0] == first[0] + 3 * 10**9
        # what the PandA said can be had back
        assert second.tolist() == [START_NS + begun.shift_ns, START_NS + begun.shift_ns + 8]

    def test_all_that_follow_keep_their_distance(self):
        rows = clock()
        rows.begin(self.LATER, None, 100.0)
        rows.times(ticks(0))
        rows.begin(START, None, 103.0)
        second = rows.times(ticks(0))
        third = rows.begin("2026-11-22T08:08:32.727790791Z", None, 105.0)
        assert third.shift_ns == 13 * 10**9
        assert (rows.times(ticks(0)) - second).tolist() == [2 * 10**9]

    def test_quartz_that_runs_ahead_costs_the_least_that_keeps_rows_in_order(self):
        rows = clock()
        rows.begin(START, None, 0.0)
        last = rows.times(ticks(125_000_000 * 10 + 125_000))  # 10.001 s by its own ticks
        begun = rows.begin(self.LATER, None, 10.0)
        assert begun.shift_ns == 10**6 + 1
        assert rows.times(ticks(0)).tolist() == [last[0] + 1]

    def test_rows_without_a_stamp_hold_nobody_up(self):
        rows = clock()
        rows.begin(self.LATER, None, 0.0)
        rows.times(ticks(-1))
        assert rows.begin(START, None, 1.0).shift_ns == 0

    @given(
        st.lists(
            st.tuples(st.integers(0, 10**6), st.lists(st.integers(-1, 10**6), max_size=3)),
            max_size=5,
        )
    )
    def test_whatever_the_clock_does_rows_of_a_later_acquisition_are_later(self, acquisitions):
        rows = clock(1e-9)
        latest = -1
        for number, (start, stamps) in enumerate(acquisitions):
            rows.begin(f"2026-11-22T08:08:30.{start:09d}Z", None, number * 1e-4)
            times = [t for t in rows.times(ticks(*sorted(stamps))).tolist() if t != NO_TIME]
            assert times == sorted(times)
            if times:
                assert times[0] > latest
                latest = times[-1]
