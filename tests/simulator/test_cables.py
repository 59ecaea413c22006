"""A cable from an encoder output to an encoder input has the lines of every protocol."""

from __future__ import annotations

from itertools import pairwise

import pytest

from panda_simulator.clock import SteppedClock
from panda_simulator.world import World

SETTINGS = {"BITS": 24, "ENCODING": 2}
FRAME = 20_000


def cabled(bench, protocol: int, **output: int):
    """Let INENC2 read what OUTENC1 makes of axis x."""
    bench.world.cable("OUTENC1", "INENC2")
    bench.set("INENC", 2, PROTOCOL=protocol, **SETTINGS, CLK_PERIOD=125, FRAME_PERIOD=FRAME)
    bench.set("OUTENC", **{"PROTOCOL": protocol, **SETTINGS, **output}, QPERIOD=10)
    bench.set("OUTENC", VAL="INENC1.VAL", ENABLE="ONE")
    bench.run(4 * FRAME)
    return bench


def passed(bench, protocol: int):
    """Let the lines of OUTENC1 follow TTLIN1, 2 and 3 on their way to INENC2."""
    bench.world.cable("OUTENC1", "INENC2")
    bench.set("OUTENC", PROTOCOL=protocol, A="TTLIN1.VAL", B="TTLIN2.VAL", Z="TTLIN3.VAL")
    bench.set("OUTENC", DATA="TTLIN1.VAL")
    bench.run(50)
    return bench


@pytest.mark.parametrize(("protocol", "homed"), [(0, 0), (1, 1), (2, 1)])
def test_the_input_has_what_the_output_follows(bench, protocol, homed):
    cabled(bench, protocol)
    assert [bench.get("INENC", name, 2) for name in ("CONN", "HEALTH", "HOMED")] == [1, 0, homed]
    assert bench.get("OUTENC", "HEALTH") == 0
    bench.world.axes["x"].place(-0.0123)
    bench.run(2 * FRAME)
    assert bench.position("INENC2.VAL") == bench.position("INENC1.VAL") == -123


@pytest.mark.parametrize(
    ("protocol", "output", "health"),
    [
        (1, {"PROTOCOL": 0}, 2), (2, {"PROTOCOL": 0}, 2), (2, {"BITS": 20}, 3),
        (2, {"GENERATOR_ERROR": 1}, 4), (3, {}, 5),
    ],
)  # fmt: skip
def test_the_input_says_what_is_wrong_with_the_answer(bench, protocol, output, health):
    bench.world.axes["x"].place(1.0)
    cabled(bench, protocol, **output)
    assert bench.get("INENC", "HEALTH", 2) == health
    assert bench.get("INENC", "CONN", 2) == 0
    assert bench.position("INENC2.VAL") in ({0} if health != 3 else {0, 10_000 >> 4})


def test_an_error_bit_comes_and_goes(bench):
    cabled(bench, 2)
    bench.world.axes["x"].place(1.0)
    bench.set("OUTENC", GENERATOR_ERROR=1)
    bench.run(2 * FRAME)
    assert (bench.get("INENC", "HEALTH", 2), bench.position("INENC2.VAL")) == (4, 0)
    bench.set("OUTENC", GENERATOR_ERROR=0)
    bench.run(2 * FRAME)
    assert (bench.get("INENC", "HEALTH", 2), bench.position("INENC2.VAL")) == (0, 10_000)


def test_an_output_whose_clock_stops_says_so(bench):
    cabled(bench, 2)
    assert bench.get("OUTENC", "HEALTH") == 0
    bench.set("INENC", 2, FRAME_PERIOD=FRAME)  # begins anew, in the middle of a frame perhaps
    bench.run(FRAME + 2000)
    bench.set("INENC", 2, FRAME_PERIOD=0)
    bench.run(6000)
    assert bench.get("OUTENC", "HEALTH") == 1


def test_the_clock_of_the_input_is_a_bit_of_the_output(bench):
    cabled(bench, 1)
    bench.set("COUNTER", ENABLE="ONE", TRIG="OUTENC1.CLK", TRIG_EDGE=1, OUT_MODE=0)
    bench.run(3 * FRAME)
    assert bench.position("COUNTER1.OUT") == 3 * (SETTINGS["BITS"] + 1)


def test_lines_passed_through_are_filtered_and_counted(bench):
    """Hop, cable, four ticks of filter; VAL five ticks later."""
    passed(bench, 4)
    bench.world.drive("TTLIN", 1, 1)
    bench.run(5)
    assert (bench.bit("INENC2.A"), bench.bit("INENC2.DATA")) == (False, False)
    bench.run(1)
    assert (bench.bit("INENC2.A"), bench.bit("INENC2.DATA")) == (True, True)
    bench.run(4)
    assert bench.position("INENC2.VAL") == 0
    bench.run(1)
    assert bench.position("INENC2.VAL") == 1
    bench.world.drive("TTLIN", 2, 1)
    bench.run(2)
    bench.world.drive("TTLIN", 2, 0)  # two ticks are too short
    bench.run(30)
    assert bench.position("INENC2.VAL") == 1


@pytest.mark.parametrize("ticks", [2, 3, 4])
def test_a_level_is_believed_after_three_samples(bench, ticks):
    passed(bench, 4)
    start = bench.fabric.tick + 1
    bench.world.drive("TTLIN", 1, 1, start)
    bench.world.drive("TTLIN", 1, 0, start + ticks)
    seen = []
    for _ in range(30):
        bench.run(1)
        seen.append(bench.bit("INENC2.A"))
    assert sum(seen) == (ticks if ticks >= 3 else 0)


def test_line_z_holds_the_count_at_zero(bench):
    passed(bench, 4)
    bench.world.drive("TTLIN", 1, 1)
    bench.run(30)
    assert bench.position("INENC2.VAL") == 1
    bench.set("INENC", 2, RST_ON_Z=1)
    bench.world.drive("TTLIN", 3, 1)
    bench.run(30)
    assert (bench.position("INENC2.VAL"), bench.get("INENC", "HOMED", 2)) == (0, 1)
    bench.world.drive("TTLIN", 2, 1)
    bench.run(30)
    assert bench.position("INENC2.VAL") == 0
    bench.world.drive("TTLIN", 3, 0)
    bench.run(30)
    bench.world.drive("TTLIN", 1, 0)
    bench.run(30)
    assert bench.position("INENC2.VAL") == 1


def test_data_passed_through_are_the_data_line_of_a_serial_input(bench):
    passed(bench, 5)
    bench.set("INENC", 2, PROTOCOL=1)
    bench.run(20)
    assert not bench.bit("INENC2.DATA")
    bench.world.drive("TTLIN", 1, 1)
    bench.run(20)
    assert bench.bit("INENC2.DATA")


def test_a_capture_of_a_cabled_input_is_exact(bench):
    cabled(bench, 0)
    bench.set("PCAP", ENABLE="ONE", GATE="ONE", TRIG="CLOCK1.OUT")
    place = bench.source("INENC2.VAL") << 4
    sink = bench.sink()
    bench.fabric.arm([576, place, place | 2, place | 4, place | 5], sink)
    armed = bench.fabric.tick
    bench.set("CLOCK", PERIOD=1000, ENABLE="ONE")
    bench.world.axes["x"].acceleration = 1e7
    bench.world.axes["x"].velocity = 50
    bench.world.axes["x"].move(0.02)
    values = {}
    for _ in range(20_000):
        values[bench.fabric.tick] = bench.position("INENC2.VAL")
        bench.run(1)
    bench.fabric.disarm()
    rows = sink.rows(5)
    assert len(rows) > 15
    for (start, *_), (trigger, value, total, low, high) in pairwise(rows[1:]):
        # what PCAP sees is a tick old
        seen = [values[armed + tick - 1] for tick in range(start, trigger)]
        assert (total, low, high) == (sum(seen), min(seen), max(seen))
        assert value == values[armed + trigger - 1]
    assert rows[-1][1] > 10


def test_an_axis_takes_the_place_of_a_cable_and_a_cable_that_of_an_axis(bench):
    cabled(bench, 0)
    bench.world.connect("y", 2, 10_000)
    bench.world.axes["y"].place(0.5)
    bench.world.axes["x"].place(0.1)
    bench.run(50_000)
    assert bench.position("INENC2.VAL") == 5000
    bench.world.cable("OUTENC1", "INENC2")
    bench.world.axes["y"].place(0.7)
    bench.run(100)
    assert bench.position("INENC2.VAL") in (0, 1, -1)


def test_a_cable_may_be_laid_before_there_is_a_box(make_bench):
    world = World(SteppedClock())
    world.cable("OUTENC2", "INENC1")
    assert 1 not in world.encoders
    assert world.encoder_cables == {1: 2}


@pytest.mark.parametrize(
    ("output", "target"), [("OUTENC1", "TTLIN1"), ("TTLOUT1", "INENC1"), ("OUTENC9", "INENC1")]
)
def test_a_cable_that_does_not_fit_is_refused(bench, output, target):
    with pytest.raises(ValueError, match=f"{output}"):
        bench.world.cable(output, target)
    assert bench.world.encoder_cables == {}
