"""An acquisition delivers exactly what was triggered, and says how it ended."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from panda_simulator.hardware import Completion


@pytest.mark.parametrize("direction", [1, -1])
def test_exactly_the_compare_positions_are_captured(bench, direction):
    sink = bench.compare(
        [0x00, 0x240, 0x250],
        START=100 * direction & 0xFFFFFFFF,
        STEP=50,
        WIDTH=10,
        PULSES=20,
        DIR=int(direction < 0),
    )
    bench.finish_move(0.2 * direction)
    assert sink.completion == Completion.OK
    assert [row[0] for row in sink.rows(3)] == [
        direction * position for position in range(100, 1051, 50)
    ]
    assert sink.calls[0] == "started"
    assert sink.calls[-1] == "ended"
    assert bench.get("PCOMP", "PRODUCED") == 20


def test_the_cost_of_a_compare_is_its_pulses_not_its_counts(bench):
    bench.compare([0x00], START=100, STEP=10_000, WIDTH=10, PULSES=10)
    calls = bench.fabric.calls
    bench.finish_move(11.0)
    assert bench.get("PCOMP", "PRODUCED") == 10
    assert bench.fabric.calls - calls < 200


def test_sums_over_a_gate_are_those_of_every_tick(bench):
    # Sum low and high, Min, Max, gate duration of x between the pulses
    sink = bench.compare([0x02, 0x03, 0x04, 0x05, 0x260], START=100, STEP=100, WIDTH=1, PULSES=5)
    bench.world.axes["x"].acceleration = 1e6
    bench.finish_move(0.1)
    rows = sink.rows(5)
    assert [(low, high) for _, _, low, high, _ in rows[1:]] == [
        # PCAP sees the next position one hop before it sees its pulse
        (100 * k, 100 * k + 100)
        for k in range(1, 5)
    ]
    for k, row in enumerate(rows[1:], 1):
        total = (row[1] << 32) + (row[0] & 0xFFFFFFFF)
        assert total / row[4] == pytest.approx(100 * k + 49.5, abs=0.01)


def test_a_jump_over_the_step_ends_with_a_fault_and_the_rows_so_far(bench):
    sink = bench.compare([0x00], START=100, STEP=50, WIDTH=10, PULSES=20)
    bench.finish_move(0.0275)
    bench.world.axes["x"].place(0.05)
    bench.run(100)
    assert bench.get("PCOMP", "HEALTH") == 1
    assert sink.rows(1) == [[100], [150], [200], [250]]
    assert sink.completion == Completion.OK


def test_disarming_ends_an_acquisition_once(bench):
    bench.set("PCAP", ENABLE="ONE")
    sink = bench.sink()
    bench.fabric.arm([0x00], sink)
    with pytest.raises(RuntimeError, match="disarm"):
        bench.fabric.arm([0x00], bench.sink())
    bench.fabric.disarm()
    bench.fabric.disarm()
    assert sink.calls == ["started", "ended"]
    assert sink.completion == Completion.DISARMED
    again = bench.sink()
    bench.fabric.arm([0x00], again)
    assert bench.get("PCAP", "ACTIVE") == 1


def test_triggers_too_close_end_with_a_framing_error(bench):
    bench.set("CLOCK", PERIOD=2)
    bench.set("PCAP", ENABLE="CLOCK1.OUT", TRIG="CLOCK1.OUT")
    bench.set("PCAP", ENABLE="ONE")
    sink = bench.sink()
    bench.fabric.arm([0x00, 0x10, 0x20, 0x240], sink)
    bench.set("CLOCK", ENABLE="ONE")
    bench.run(50)
    assert sink.completion == Completion.FRAMING_ERROR
    assert bench.get("PCAP", "HEALTH") == 1


def test_a_counted_clock_makes_a_compare_of_counts(bench):
    bench.set("CLOCK", PERIOD=125)
    bench.set("COUNTER", ENABLE="ONE", TRIG="CLOCK1.OUT")
    bench.set("PCOMP", INP="COUNTER1.OUT", START=100, STEP=50, WIDTH=10, PULSES=20)
    bench.set("PCAP", ENABLE="PCOMP1.ACTIVE", TRIG="PCOMP1.OUT")
    sink = bench.sink()
    bench.fabric.arm([bench.source("COUNTER1.OUT") << 4, 0x240], sink)
    bench.set("PCOMP", ENABLE="ONE")
    bench.set("CLOCK", ENABLE="ONE")
    bench.run(1100 * 125)
    rows = sink.rows(2)
    assert [row[0] for row in rows] == list(range(100, 1051, 50))
    assert {b[1] - a[1] for a, b in pairwise(rows)} == {6250}


def test_frames_that_start_at_a_position_average_what_the_encoder_did(bench):
    live, dead = 1_243_750, 6_250
    gate, at_least = 1 << 20, 7 << 16
    table = np.array(
        [[1 | at_least | gate, 950, live, dead], [10 | gate, 0, live, dead]], np.uint32
    )
    bench.set("SEQ", REPEATS=1, POSA="INENC1.VAL", ENABLE="BITS1.OUTA")
    bench.fabric.write_table("SEQ", 1, table.ravel(), streaming=False, last=True)
    bench.set("PCAP", ENABLE="SEQ1.ACTIVE", GATE="SEQ1.OUTA", TRIG="SEQ1.OUTA", TRIG_EDGE=1)
    sink = bench.sink()
    # Min, Max, Value, sum, gate duration of x, start of the gate
    bench.fabric.arm([0x04, 0x05, 0x00, 0x02, 0x03, 0x260, 0x200], sink)
    bench.run(100)
    bench.set("BITS", A=1)
    calls = bench.fabric.calls
    bench.world.axes["x"].acceleration = 100.0
    bench.finish_move(0.3)
    rows = sink.rows(7)
    assert len(rows) == 11
    assert [row[0] for row in rows] == [950 + 100 * k for k in range(11)]
    assert [row[1] for row in rows] == [1049 + 100 * k for k in range(11)]
    assert [row[2] for row in rows] == [1049 + 100 * k for k in range(11)]
    assert {row[5] for row in rows} == {live}
    assert {b[6] - a[6] for a, b in pairwise(rows)} == {live + dead}
    for k, row in enumerate(rows):
        mean = ((row[4] << 32) + (row[3] & 0xFFFFFFFF)) / live
        assert mean == pytest.approx(999.2512562814 + 100 * k, abs=0.01)
    assert bench.fabric.calls - calls < 2000


def test_bits_are_captured_as_they_are_at_the_trigger(bench):
    bench.set("PCAP", ENABLE="ONE", TRIG="BITS1.OUTD")
    sink = bench.sink()
    bench.fabric.arm([0x270, 0x280], sink)
    bench.finish_move(0.0002)
    bench.set("BITS", C=1)
    bench.set("BITS", D=1)
    bench.run(50)
    (row,) = sink.rows(2)
    levels = [row[index // 32] >> index % 32 & 1 for index in range(64)]
    names = ("INENC1.A", "INENC1.B", "INENC2.A", "PCAP1.ACTIVE", "BITS1.OUTC", "BITS1.OUTD")
    assert [levels[bench.source(name)] for name in names] == [1, 1, 0, 1, 1, 1]
