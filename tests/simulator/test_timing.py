"""A wired box played from a script does at every tick what its blocks are specified to do."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panda_simulator import Simulator
from panda_simulator.box import CommandError
from panda_simulator.builtin import box_directory
from panda_simulator.record import record
from panda_simulator.timing import (
    Recording,
    ScriptError,
    SteppedBox,
    TableWrite,
    diagram_of,
    parse_script,
    play,
    read_script,
)
from panda_simulator.timing.times import format_ticks, parse_ticks

from .test_record import Asked
from .timing_examples import EXAMPLES, EXPECTED_EDGES, EXPECTED_ROWS, MORE


def played(text: str):
    return play(parse_script(text))


def recorded(*signals: str) -> tuple[SteppedBox, Recording]:
    bench = SteppedBox()
    return bench, Recording(bench.box, bench.world, signals)


# The worked examples of the specification, a bus hop after the connector


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_does_what_the_specification_says(name):
    diagram = play(read_script(EXAMPLES[name]))
    for signal, expected in EXPECTED_EDGES[name].items():
        assert diagram.edges(signal).pairs() == expected, signal
    rows = EXPECTED_ROWS.get(name)
    if rows is not None:
        assert diagram.samples is not None
        assert [(sample.tick, sample.values) for sample in diagram.samples.samples] == rows


@pytest.mark.parametrize("name", MORE)
def test_a_block_in_the_wired_box_does_what_it_does_alone(name):
    text, expected = MORE[name]
    diagram = played(text)
    assert {signal: diagram.edges(signal).pairs() for signal in expected} == expected


def test_pcomp_on_an_axis_fires_where_the_encoder_is():
    diagram = play(read_script(EXAMPLES["pcomp-axis"]))
    counts, out = diagram.edges("INENC1.VAL"), diagram.edges("PCOMP1.OUT")
    # the block sees a count one hop after the encoder has it
    assert [counts.at(tick - 1) for tick in out.rises()] == [0, 50, 100, 150]
    assert [counts.at(tick - 1) for tick in out.falls()] == [20, 70, 120, 170]
    assert [counts.at(tick - 2) for tick in out.ticks] == [-1, 19, 49, 69, 99, 119, 149, 169]
    assert diagram.samples is not None
    assert [sample.tick for sample in diagram.samples.samples] == (out.falls() + 1).tolist()
    assert [sample.values and sample.values[:3] for sample in diagram.samples.samples] == [
        ("0.002", "0", "0.002"),
        ("0.007", "0.005", "0.007"),
        ("0.012", "0.01", "0.012"),
        None,  # the last falling edge comes together with that of ENABLE
    ]


def test_a_script_played_twice_gives_the_same():
    path = EXAMPLES["pcomp-axis"]
    first, second = play(read_script(path)), play(read_script(path))
    assert [lane.edges.pairs() for lane in first.signals] == [
        lane.edges.pairs() for lane in second.signals
    ]
    assert first.samples == second.samples
    assert (first.marks, first.remarks) == (second.marks, second.remarks)


# Recording


def test_edges_hold_ticks_and_values_as_arrays():
    bench, recording = recorded("TTLIN1.VAL", "PULSE1.OUT")
    bench.set("PULSE1.WIDTH.RAW", "6")
    bench.set("PULSE1.ENABLE", "ONE")
    bench.set("PULSE1.TRIG", "TTLIN1.VAL")
    bench.run(10)
    rise = bench.tick + 1
    bench.world.drive("TTLIN", 1, 1)
    bench.run(100)
    assert recording["TTLIN1.VAL"].pairs() == [(rise, 1)]
    out = recording["PULSE1.OUT"]
    assert (out.ticks.dtype, out.values.dtype) == (np.int64, np.int64)
    assert out.ticks.tolist() == [rise + 1, rise + 7]
    assert out.values.tolist() == [1, 0]
    assert (out.rises().tolist(), out.falls().tolist()) == ([rise + 1], [rise + 7])
    out = out.since(rise)
    assert (out.initial, out.pairs()) == (0, [(1, 1), (7, 0)])
    assert [out.at(tick) for tick in (-9, 0, 1, 6, 7)] == [0, 0, 1, 1, 0]
    assert (out.window(2, 5).initial, out.window(2, 7).pairs()) == (1, [(7, 0)])
    assert (out.since(1).initial, out.since(1).pairs()) == (0, [(0, 1), (6, 0)])


def test_a_recording_can_begin_and_go_on_at_any_time():
    bench = SteppedBox()
    bench.set("BITS.A", "1")
    bench.set("COUNTER1.ENABLE", "ONE")
    bench.set("COUNTER1.TRIG", "TTLIN1.VAL")
    bench.set("COUNTER1.START", "-5")
    bench.run(50)
    recording = Recording(bench.box, bench.world, ["BITS.OUTA", "COUNTER1.OUT", "COUNTER1.START"])
    begun = bench.tick
    assert recording["BITS.OUTA"].initial == 1
    assert recording["COUNTER1.START"].initial == -5
    bench.world.drive("TTLIN", 1, 1)
    bench.run(10)
    assert recording["COUNTER1.OUT"].pairs() == [(begun + 2, 1)]
    recording.add("TTLIN1.VAL")
    fall = bench.tick + 1
    bench.world.drive("TTLIN", 1, 0)
    assert recording["TTLIN1.VAL"].pairs() == [(fall, 0)]


def test_a_moving_encoder_is_recorded_count_by_count_and_seen_a_hop_later():
    bench, recording = recorded("INENC1.VAL", "PCOMP1.INP", "INENC1.A", "axis x")
    bench.set("PCOMP1.INP", "INENC1.VAL")
    bench.world.axes["x"].acceleration = 1e6
    end = bench.world.axes["x"].move(0.01)
    bench.run_until(end + 10)
    counts = recording["INENC1.VAL"]
    assert counts.values.tolist() == list(range(1, 101))
    track = bench.world.encoders[1]
    ticks = counts.ticks.tolist()
    assert [track.at(tick) for tick in ticks] == list(range(1, 101))
    assert [track.at(tick - 1) for tick in ticks] == list(range(100))
    assert recording["PCOMP1.INP"].ticks.tolist() == [tick + 1 for tick in ticks]
    lines = recording["INENC1.A"].ticks.tolist()
    # VAL is five ticks behind the lines
    assert lines == [tick - 5 for tick, count in counts.pairs() if count % 2]
    axis = recording["axis x"]
    assert axis.values.dtype == np.float64
    assert axis.at(end) == pytest.approx(0.01)


def test_an_input_is_followed_through_changes_of_its_source():
    bench, recording = recorded("CALC1.INPA", "CALC1.OUT")
    expected = list[tuple[int, int]]()

    def expect(value: int, later: int) -> None:
        expected.append((bench.tick + later, value))

    bench.set("COUNTER1.SET", "7")
    expect(7, 2)
    bench.set("CALC1.INPA", "COUNTER1.OUT")
    bench.run(10)
    bench.world.axes["x"].place(0.0005)
    bench.run(10)
    expect(5, 2)
    bench.set("CALC1.INPA", "INENC1.VAL")
    bench.run(10)
    expect(9, 2)
    bench.world.axes["x"].place(0.0009)
    bench.run(10)
    expect(100, 4)  # two registers between the count and VAL
    bench.set("INENC1.SETP", "100")
    bench.run(10)
    expect(0, 2)
    bench.set("CALC1.INPA", "ZERO")
    bench.run(10)
    bench.world.axes["x"].place(0)
    bench.run(10)
    assert recording["CALC1.INPA"].pairs() == expected
    assert recording["CALC1.OUT"].pairs() == expected


def test_settings_and_status_are_signals_in_the_words_of_the_box():
    bench, recording = recorded(
        "PCOMP1.STATE", "PULSE1.WIDTH", "CLOCK1.PERIOD", "PCOMP1.DIR", "COUNTER1.MIN", "BITS.A"
    )
    bench.set("PCOMP1.ENABLE", "ONE")
    enabled = bench.tick
    bench.set("PULSE1.WIDTH", "40")
    bench.set("CLOCK1.PERIOD.RAW", "125")
    bench.set("PCOMP1.DIR", "Either")
    bench.set("COUNTER1.MIN", "-3")
    bench.set("BITS.A", "1")
    texts = {name: edges.text(edges.at(bench.tick)) for name, edges in recording.edges().items()}
    assert texts == {
        "PCOMP1.STATE": "WAIT_PRE_START",
        "PULSE1.WIDTH": "40 s",
        "CLOCK1.PERIOD": "1 µs",
        "PCOMP1.DIR": "Either",
        "COUNTER1.MIN": "-3",
        "BITS.A": "1",
    }
    assert recording["PULSE1.WIDTH"].values.tolist()[-1] == 5_000_000_000
    assert recording["PCOMP1.STATE"].becomes("WAIT_PRE_START").tolist() == [enabled + 1]


def test_what_is_no_signal_is_refused_in_the_words_of_the_server():
    bench, recording = recorded()
    for name, message in {
        "PULSE1.TEA": "No such field",
        "TEAPOT1.OUT": "No such block",
        "PULSE9.OUT": "Invalid block number",
        "PULSE.OUT": "Missing block number",
        "SEQ1.TABLE": "A table field has no value that could be shown",
        "PULSE1.DELAY.RAW": "Only fields and SCALED of a pos_out can be shown",
    }.items():
        with pytest.raises(CommandError, match=message):
            recording.add(name)
    with pytest.raises(KeyError):
        recording.add("axis q")
    echo = Simulator(hardware="echo")
    with pytest.raises(TypeError, match="no blocks that tick"):
        Recording(echo.box, echo.world, [])
    assert recording.edges() == {}
    assert bench.get("PULSE1.TRIG") == "ZERO"


def test_a_served_box_is_recorded_as_well():
    simulator = Simulator()
    recording = Recording(simulator.box, simulator.world, ["TTLIN3.VAL"])
    simulator.world.drive("TTLIN", 3, 1)
    assert recording["TTLIN3.VAL"].values.tolist() == [1]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 9),
            st.sampled_from(["TTLIN1", "TTLIN2", "x", "INPA", "SRC"]),
            st.integers(0, 5),
        ),
        max_size=25,
    )
)
def test_a_recording_agrees_with_looking_at_every_tick(steps):
    names = ["PULSE1.OUT", "COUNTER1.OUT", "CALC1.OUT", "INENC1.VAL", "TTLIN1.VAL"]
    bench, recording = recorded(*names, "CALC1.INPA")
    for name, value in {
        "PULSE1.ENABLE": "ONE",
        "PULSE1.TRIG": "TTLIN1.VAL",
        "PULSE1.WIDTH.RAW": "5",
        "PULSE1.DELAY.RAW": "6",
        "COUNTER1.ENABLE": "ONE",
        "COUNTER1.TRIG": "PULSE1.OUT",
        "COUNTER1.DIR": "TTLIN2.VAL",
        "CALC1.INPB": "COUNTER1.OUT",
    }.items():
        bench.set(name, value)
    sources = ["INENC1.VAL", "COUNTER1.OUT", "ZERO", "CALC1.OUT", "INENC2.VAL", "CALC2.OUT"]
    looked: dict[str, list[int]] = {name: [] for name in names}
    ticks = list[int]()

    def look() -> None:
        ticks.append(bench.tick)
        for name in names:
            looked[name].append(int(str(bench.get(name))))

    for wait, what, value in steps:
        if what.startswith("TTLIN"):
            bench.world.drive("TTLIN", int(what[-1]), value & 1)
        elif what == "x":
            bench.world.axes["x"].place(value / 10_000)
        else:
            bench.set("CALC1.INPA", sources[value])
        look()
        for _ in range(wait):
            bench.run_until(bench.tick + 1)
            look()
    for name in names:
        edges = recording[name]
        assert [edges.at(tick) for tick in ticks] == looked[name], name


def test_no_edge_is_missing_from_a_long_run_that_repeats_itself():
    bench, recording = recorded("CLOCK1.OUT", "COUNTER1.OUT")
    bench.set("CLOCK1.PERIOD", "1e-6")
    bench.set("COUNTER1.TRIG", "CLOCK1.OUT")
    bench.set("COUNTER1.ENABLE", "ONE")
    bench.set("CLOCK1.ENABLE", "ONE")
    start = bench.tick + 2
    bench.run(125 * 10_000)
    rises = recording["CLOCK1.OUT"].rises()
    assert rises.tolist() == list(range(start, start + 125 * 10_000 - 1, 125))
    assert recording["COUNTER1.OUT"].values.tolist() == list(range(1, 10_001))


def test_very_many_changes_of_a_position_are_thinned_and_say_so(monkeypatch):
    monkeypatch.setattr("panda_simulator.timing.tracks.LIMIT", 50)
    bench, recording = recorded("INENC1.VAL")
    bench.world.axes["x"].acceleration = 1e6
    end = bench.world.axes["x"].move(1)
    bench.run_until(end)
    edges = recording["INENC1.VAL"]
    assert not edges.exact
    assert 1000 < len(edges.ticks) < 4000
    assert edges.at(end) == 10_000


# The stepped box


def test_a_stepped_box_answers_as_a_served_one():
    bench = SteppedBox()
    assert bench.get("PULSE1.DELAY.UNITS") == "s"
    assert bench.get("*BITS")[0] == "TTLIN1.VAL"
    bench.write_table("PGEN1.TABLE", [1, 2, 3])
    assert bench.get("PGEN1.TABLE") == ["1", "2", "3"]
    with pytest.raises(CommandError, match="No such field"):
        bench.set("PULSE1.TEA", "1")
    with pytest.raises(CommandError, match="Invalid bit value"):
        bench.set("BITS.A", "2")
    with pytest.raises(ValueError, match="more than one line"):
        bench.set("*METADATA.DESIGN", "a\n*PCAP.ARM=")
    with pytest.raises(CommandError, match="Line too long"):
        bench.set("*METADATA.DESIGN", "a" * 2000)


def test_each_acquisition_gives_its_rows_with_scaled_columns():
    bench = SteppedBox()
    for name, value in {
        "PCAP.ENABLE": "ONE",
        "PCAP.TRIG": "TTLIN1.VAL",
        "COUNTER1.OUT.CAPTURE": "Value",
        "COUNTER1.OUT.SCALE": "0.5",
        "PCAP.BITS0.CAPTURE": "Value",
        "*PCAP.ARM": "",
    }.items():
        bench.set(name, value)
    assert bench.rows()[0].values.shape == (0, 2)
    for number in range(3):
        bench.set("COUNTER1.SET", str(number))
        bench.world.drive("TTLIN", 1, 1)
        bench.run_until(bench.tick + 20)
        bench.world.drive("TTLIN", 1, 0)
        bench.run_until(bench.tick + 20)
    bench.set("*PCAP.DISARM")
    first = bench.rows()[0]
    assert first.columns == ("PCAP.BITS0 Value", "COUNTER1.OUT Value")
    assert first.values[:, 1].tolist() == [0, 0.5, 1]
    assert (first.values[:, 0].astype(int) & 1).tolist() == [1, 1, 1]
    bench.set("*PCAP.ARM")
    bench.set("*PCAP.DISARM")
    assert [len(rows.values) for rows in bench.rows()] == [3, 0]


# Scripts


def test_set_takes_everything_a_client_can_write():
    diagram = played(
        """
box: pandabox-no-fmc
set:
  PULSE1.DELAY.UNITS: us
  PULSE1.DELAY: 1e-1
  PULSE1.ENABLE: ONE
  PULSE1.TRIG: TTLIN1.VAL
  PULSE1.TRIG.DELAY: 3
  OUTENC1.GENERATOR_ERROR: No
  "*METADATA.DESIGN": a design
  SEQ1.TABLE: [0x00100001, 0, 3, 4]
  PCAP: arm
  TTLIN2.VAL: 1
  INENC2.VAL: -7
  axis z: place at 0.5
  PCAP.TS_TRIG.CAPTURE: Value
until: 20
show: [PULSE1.TRIG, PULSE1.OUT, TTLIN2.VAL, INENC2.VAL, INENC3.VAL, SEQ1.STATE, PULSE1.DELAY]
stimuli:
- at: 2
  TTLIN1.VAL: pulse 1
""".replace("  PCAP: arm\n", "")
    )
    assert diagram.edges("PULSE1.TRIG").pairs() == [(6, 1), (7, 0)]
    assert diagram.edges("PULSE1.OUT").pairs() == [(19, 1), (20, 0)]
    initial = {name: diagram.edges(name).initial for name in ("TTLIN2.VAL", "INENC2.VAL")}
    assert initial == {"TTLIN2.VAL": 1, "INENC2.VAL": -7}
    assert diagram.edges("INENC3.VAL").initial == 5000
    assert diagram.edges("SEQ1.STATE").text(1) == "WAIT_ENABLE"
    assert diagram.edges("SEQ1.STATE").initial == 1
    assert diagram.edges("PULSE1.DELAY").initial == 13


def test_levels_of_several_inputs_change_at_the_same_tick_and_writes_one_after_the_other():
    diagram = played("""
show: [TTLIN1.VAL, TTLIN2.VAL, BITS.OUTA, BITS.OUTB, INENC1.VAL, INENC2.VAL]
until: 20
stimuli:
- {at: 5, BITS.A: 1, TTLIN1.VAL: 1, BITS.B: 1, TTLIN2.VAL: 1, INENC1.VAL: 3, INENC2.VAL: 4}
""")
    assert {lane.edges.name: lane.edges.pairs() for lane in diagram.signals} == {
        "TTLIN1.VAL": [(5, 1)],
        "TTLIN2.VAL": [(5, 1)],
        "BITS.OUTA": [(5, 1)],
        "BITS.OUTB": [(6, 1)],
        "INENC1.VAL": [(5, 3)],
        "INENC2.VAL": [(5, 4)],
    }
    assert [mark.tick for mark in diagram.marks] == [5, 5, 5, 5, 5, 6]


def test_a_stimulus_repeats_as_often_as_told_or_until_the_end():
    diagram = played("""
show: [TTLIN1.VAL, TTLIN2.VAL, BITS.OUTA]
until: 1us
stimuli:
- {at: 0, every: 80ns, times: 2, TTLIN1.VAL: pulse 16ns}
- {at: 4, every: 50, TTLIN2.VAL: pulse 1}
- {at: 3, every: 5, times: 3, BITS.A: 1}
- {at: 5, every: 5, times: 3, BITS.A: 0}
""")
    assert diagram.edges("TTLIN1.VAL").pairs() == [(0, 1), (2, 0), (10, 1), (12, 0)]
    assert diagram.edges("TTLIN2.VAL").rises().tolist() == [4, 54, 104]
    assert diagram.edges("BITS.OUTA").rises().tolist() == [3, 8, 13]
    texts = [mark.text for mark in diagram.marks if mark.signal == "TTLIN1.VAL"]
    assert texts == ["TTLIN1.VAL = pulse 16ns (every 80 ns, 2 times)", "TTLIN1.VAL = pulse 16ns"]


def test_axes_have_the_encoder_the_speed_and_the_limits_given():
    diagram = played("""
axes:
  x: {velocity: 100, acceleration: 1e9, counts_per_unit: -1000, offset: 5}
  theta: {encoder: 4, position: 10, limits: [0, 20]}
stimuli:
- {at: 0, axis x: move to 0.1}
- {at: 10, axis theta: move to 9 at 1000/s}
- {at: 1ms, axis theta: stop}
show: [INENC1.VAL, INENC4.VAL, axis theta]
until: 2ms
""")
    assert diagram.edges("INENC1.VAL").initial == 5
    assert diagram.edges("INENC1.VAL").values.tolist()[-1] == -95
    assert diagram.edges("INENC4.VAL").initial == 100_000
    assert diagram.edges("axis theta").initial == 10


def test_a_cable_brings_an_output_back_a_tick_later():
    diagram = played("""
cables: [TTLOUT1 to TTLIN2]
set: {TTLOUT1.VAL: TTLIN1.VAL}
stimuli:
- {at: 5, TTLIN1.VAL: pulse 3}
show: [TTLOUT1.VAL, TTLIN2.VAL]
until: 20
""")
    assert diagram.edges("TTLOUT1.VAL").pairs() == [(6, 1), (9, 0)]
    assert diagram.edges("TTLIN2.VAL").pairs() == [(7, 1), (10, 0)]


def test_a_coarse_or_noisy_encoder_is_recorded_as_it_reads():
    diagram = played("""
axes:
  x: {resolution: 5, acceleration: 1e6}
  y: {noise: 2, seed: 7}
stimuli:
- {at: 0, axis x: move to 0.003}
show: [INENC1.VAL, INENC2.VAL]
until: 5ms
""")
    assert diagram.edges("INENC1.VAL").values.tolist() == [5, 10, 15, 20, 25, 30]
    noise = diagram.edges("INENC2.VAL")
    assert set(noise.values.tolist()) == {-2, -1, 0, 1, 2}


def test_connectors_of_one_block_with_many_are_driven_by_its_own_names():
    diagram = played("""
box: pandabox-fmc-24vio
stimuli:
- {at: 5, FMC_24V_IN.VAL3: pulse 2, LVDSIN2.VAL: 1}
show: [FMC_24V_IN.VAL3, FMC_24V_IN.VAL4, LVDSIN2.VAL]
until: 20
""")
    edges = [lane.edges.pairs() for lane in diagram.signals]
    assert edges == [[(5, 1), (7, 0)], [], [(5, 1)]]


def test_streamed_tables_are_written_as_on_the_wire():
    diagram = played("""
set:
  SEQ1.TABLE<<: [{REPEATS: 1, TIME2: 6, OUTA2: 1}]
  SEQ1.TABLE<<|: [{REPEATS: 2, TIME1: 2, OUTB1: 1, TIME2: 3}]
stimuli:
- {at: 4, SEQ1.ENABLE: ONE}
show: [SEQ1.OUTA, SEQ1.OUTB, SEQ1.STATE]
until: 30
""")
    assert diagram.edges("SEQ1.OUTA").pairs() == [(5, 1), (11, 0)]
    assert diagram.edges("SEQ1.OUTB").pairs() == [(11, 1), (13, 0), (16, 1), (18, 0)]
    assert diagram.edges("SEQ1.STATE").pairs()[-1] == (21, 0)


def test_a_lane_says_what_its_input_is_connected_to_and_shows_scaled_values():
    diagram = played("""
set:
  PULSE1.TRIG: TTLIN1.VAL
  PULSE1.TRIG.DELAY: 2
  INENC1.VAL.SCALE: 0.5
  INENC1.VAL.OFFSET: 1
  INENC1.VAL: 3
show:
- PULSE1.TRIG
- PULSE1.OUT: gate
- {signal: INENC1.VAL.SCALED, label: energy, style: line}
- CALC1.INPA
- PULSE2.ENABLE
stimuli:
- {at: 1, PULSE2.ENABLE: ONE}
- {at: 3, PULSE2.ENABLE: ZERO}
- {at: 4, PULSE2.ENABLE: ONE}
until: 5
""")
    captions = [(lane.label, lane.caption) for lane in diagram.signals]
    assert captions == [
        ("PULSE1.TRIG", "← TTLIN1.VAL +2"),
        ("gate", "PULSE1.OUT"),
        ("energy", "INENC1.VAL.SCALED"),
        ("CALC1.INPA", "← ZERO"),
        ("PULSE2.ENABLE", "← ZERO, ONE"),
    ]
    scaled = diagram.edges("INENC1.VAL.SCALED")
    assert scaled.text(scaled.initial) == "2.5"


def test_notes_find_their_edges_and_measure():
    diagram = played("""
set: {PCAP.TS_TRIG.CAPTURE: Value, PCAP.ENABLE: ONE, PCAP.TRIG: TTLIN1.VAL, PCOMP1.DIR: Either}
stimuli:
- {at: 1, PCAP: arm}
- {at: 10, every: 10, times: 3, TTLIN1.VAL: pulse 4}
- {at: 12, PCOMP1.ENABLE: ONE}
show: [TTLIN1.VAL, PCOMP1.STATE, samples]
until: 60
notes:
- {from: TTLIN1.VAL rise, to: TTLIN1.VAL rise 3, text: span}
- {from: TTLIN1.VAL fall 2, to: 16ns}
- {at: samples capture 2, text: second}
- {at: PCOMP1.STATE = WAIT_DIR, text: waits, on: TTLIN1.VAL}
- {at: TTLIN1.VAL change 4, text: fourth}
""")
    assert [(remark.text, remark.tick, remark.end) for remark in diagram.remarks] == [
        ("span 20 ticks (160 ns)", 10, 30),
        ("-22 ticks (-176 ns)", 24, 2),
        ("second", 21, None),
        ("waits", 13, None),
        ("fourth", 24, None),
    ]


def test_samples_show_the_columns_wanted_and_which_captures_were_lost():
    script = """
set: {PCAP.ENABLE: TTLIN2.VAL, PCAP.TRIG: TTLIN1.VAL, PCAP.TS_TRIG.CAPTURE: Value,
      INENC1.VAL.CAPTURE: Value, INENC1.VAL: 9}
stimuli:
- {at: 0, PCAP: arm, TTLIN2.VAL: pulse 40}
- {at: 10, every: 14, times: 3, TTLIN1.VAL: pulse 1}
show: [samples: [COLUMNS]]
until: 60
"""
    samples = played(script.replace("COLUMNS", "INENC1.VAL Value")).samples
    assert samples is not None
    assert samples.columns == ("INENC1.VAL Value",)
    assert [(s.tick, s.values) for s in samples.samples] == [(11, ("9",)), (25, ("9",)), (39, None)]
    with pytest.raises(ScriptError, match="no column 'TEA', but INENC1"):
        played(script.replace("COLUMNS", "TEA"))


GOOD = "show: [PULSE1.OUT]\nuntil: 50\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the script is empty"),
        ("- a\n- b\n", "line 1: a script is a mapping: lines like `show: [PULSE1.OUT]`"),
        ("show: [PULSE1.OUT\nuntil: 5\n", "line 2: not YAML: expected ',' or ']', but got ':'"),
        (GOOD + "set:\n  *PCAP.ARM: 1\n",
         "line 4: not YAML: expected alphabetic or numeric character, but found '.'; a name that"),
        (GOOD + "title: *a\n", "line 3: not YAML: found undefined alias"),
        (GOOD + "a: \x00\n", "line 1: not YAML: unacceptable character"),
        ("until: 5\n", "line 1: there is no 'show': the script has to say it"),
        ("show: [a]\n", "line 1: there is no 'until': the script has to say it"),
        (GOOD + "stimulus: []\n",
         "line 3: script: unknown key 'stimulus'; did you mean 'stimuli'?"),
        (GOOD + "until: 7\n", "line 3: until is there twice, first in line 2"),
        ("show: [PULSE1.OUT]\nuntil: soon\n",
         "line 2: until: 'soon' is no time: write ticks, as 12, or a unit, as 1.5us"),
        ("show: [PULSE1.OUT]\nuntil: 5 weeks\n", "line 2: until: '5 weeks': there is no unit"),
        ("show: [PULSE1.OUT]\nuntil: 1.5\n",
         "line 2: until: '1.5' is no whole number of ticks"),
        ("show: [PULSE1.OUT]\nuntil: -5\n", "line 2: until: '-5' is negative or too long"),
        ("show: []\nuntil: 5\n", "line 1: show: nothing is shown"),
        ("show: PULSE1.OUT\nuntil: 5\n", "line 1: show: a list expected, each item after a dash"),
        (GOOD + "set: [1]\n", "line 3: set: lines like `NAME: VALUE` expected"),
        (GOOD + "set:\n  ? [a, b]\n  : 1\n", "line 4: a key has to be a plain text"),
        (GOOD + "title: [a]\n", "line 3: title: one value expected"),
        (GOOD + "box: teapot\n", "line 3: box: no built-in box 'teapot': choose one of"),
        (GOOD + "box_file: nowhere.json\n", "line 3: box_file: nowhere.json: No such file"),
        (GOOD + "box: a\nbox_file: b\n",
         "line 1: a script has one box: box and box_file are given"),
        (GOOD + "config_dir: nowhere\n", "line 3: config_dir: nowhere/config"),
        ("show:\n- PULSE1.OUT\n- PULSE1.TEA\nuntil: 5\n",
         "line 3: show: PULSE1.TEA: No such field"),
        ("show: [axis q]\nuntil: 5\n",
         "line 1: show: axis q: there is no such axis, but x, y, z, a"),
        ("show: [{signal: PULSE1.OUT, styl: bus}]\nuntil: 5\n",
         "line 1: show: unknown key 'styl'; did you mean 'style'?"),
        ("show: [{signal: PULSE1.OUT, style: neon}]\nuntil: 5\n",
         "line 1: style: 'neon' is none of auto, bus, line"),
        ("show: [{a: b, c: d}]\nuntil: 5\n", "line 1: show: a name, or `NAME: label`"),
        (GOOD + "set:\n  PULSE1.WIDTH: wide\n", "line 4: PULSE1.WIDTH: Number missing"),
        (GOOD + "set:\n  PULSE9.WIDTH: 1\n", "line 4: PULSE9.WIDTH: Invalid block number"),
        (GOOD + "set:\n  PULSE1.TRIG: TEA\n", "line 4: PULSE1.TRIG: Invalid bit bus selection"),
        (GOOD + "set:\n  PULSE1.OUT: 1\n", "line 4: PULSE1.OUT: Field not writeable"),
        (GOOD + "set:\n  PULSE1.WIDTH: |\n   1\n   2\n",
         "line 4: PULSE1.WIDTH: PULSE1.WIDTH is given more than one line"),
        (GOOD + "set:\n  PULSE1.WIDTH: {a: 1}\n", "line 4: PULSE1.WIDTH: one value expected"),
        (GOOD + "set:\n  PULSE1.WIDTH: [1]\n", "line 4: PULSE1.WIDTH: "),
        (GOOD + "set:\n  TTLIN1.VAL: high\n",
         "line 4: TTLIN1.VAL: 'high' is no level: 0, 1 or `pulse WIDTH` expected"),
        (GOOD + "set:\n  TTLIN1.VAL: pulse fat\n", "line 4: TTLIN1.VAL: 'fat' is no time"),
        (GOOD + "set:\n  PCAP: start\n", "line 4: PCAP: 'start' is neither arm nor disarm"),
        (GOOD + "set:\n  PCAP: arm\n", "line 4: PCAP: Nothing configured for capture"),
        (GOOD + "set:\n  axis q: stop\n",
         "line 4: axis q: there is no such axis, but x, y, z, a"),
        (GOOD + "set:\n  axis x: fly\n",
         "line 4: axis x: 'fly': `move to 1.5 at 2/s`, `place at 1.5` or `stop` expected"),
        (GOOD + "set:\n  axis x: move to 5000\n",
         "line 4: axis x: axis x: target 5000.0 is outside"),
        (GOOD + "set:\n  axis x: place at home\n", "line 4: axis x: could not convert"),
        (GOOD + "axes:\n  q: {velocity: 3}\n",
         "line 4: axis q: there is no 'encoder', the number of its INENC"),
        (GOOD + "axes:\n  x: {speed: 3}\n", "line 4: axis x: unknown key 'speed'"),
        (GOOD + "axes:\n  x: {velocity: fast}\n", "line 4: velocity: 'fast' is no number"),
        (GOOD + "axes:\n  x: {limits: [1]}\n", "line 4: limits: two numbers expected"),
        (GOOD + "axes:\n  x: {counts_per_unit: 0}\n", "line 4: an encoder needs counts"),
        (GOOD + "axes: {x: {noise: 3}}\nset:\n  INENC1.VAL: 5\n",
         "line 5: INENC1.VAL: the encoder on INENC1 is not exact"),
        (GOOD + "axes: {q: {encoder: 1}}\nset:\n  axis x: stop\n",
         "line 5: axis x: there is no such axis, but y, z, a, q"),
        (GOOD + "set:\n  INENC1.VAL: far\n", "line 4: INENC1.VAL: 'far' is no count"),
        (GOOD + "set:\n  INENC7.VAL: 1\n", "line 4: INENC7.VAL: no axis has its encoder on INENC7"),
        (GOOD + "cables: [TTLOUT1]\n",
         "line 3: cable: 'TTLOUT1': `TTLOUT1 to TTLIN2` expected"),
        (GOOD + "cables: [TTLOUT1 to b]\n",
         "line 3: cable: 'b' is no connector: name it like TTLIN3"),
        (GOOD + "cables: [TTLOUT1 to TTLIN2, TTLOUT99 to TTLIN2]\n",
         "line 3: cable: this box has no output TTLOUT99"),
        (GOOD + "stimuli:\n- {at: 3, TTLIN1.VAL: 1}\n- {at: 3, TTLIN1.VAL: 0}\n",
         "line 5: TTLIN1.VAL: tick 3 is taken: line 4 drives it until tick 4"),
        (GOOD + "stimuli:\n- {at: 3, every: 4, TTLIN1.VAL: pulse 5}\n",
         "line 4: TTLIN1.VAL: tick 7 is taken: line 4 drives it until tick 8"),
        (GOOD + "cables: [TTLOUT1 to TTLIN99]\n",
         "line 3: cable: this box has no input TTLIN99"),
        (GOOD + "set:\n  SEQ1.TABLE: [{TIM1: 5}]\n",
         "line 4: SEQ1.TABLE: unknown key 'TIM1'; did you mean 'TIME1'?"),
        (GOOD + "set:\n  SEQ1.TABLE: [{TRIGGER: Never}]\n",
         "line 4: TRIGGER: 'Never' is none of Immediate, BITA=0"),
        (GOOD + "set:\n  SEQ1.TABLE:\n  - {REPEATS: 65536}\n",
         "line 5: REPEATS: 65536 is outside 0 … 65535"),
        (GOOD + "set:\n  SEQ1.TABLE: [{POSITION: far}]\n",
         "line 4: POSITION: 'far' is no number"),
        (GOOD + "set:\n  SEQ1.TABLE: [a]\n", "line 4: 'a' is neither a row nor a word"),
        (GOOD + "set:\n  SEQ1.TABLE: [1, 2]\n",
         "line 4: SEQ1.TABLE: Table write is not a whole number of rows"),
        (GOOD + "set:\n  SEQ1.TABLE<: 1\n", "line 4: SEQ1.TABLE: a list of rows expected"),
        (GOOD + "stimuli:\n- {BITS.A: 1}\n", "line 4: stimulus: there is no 'at': it says when"),
        (GOOD + "stimuli:\n- {at: 5}\n", "line 4: stimulus: nothing happens in it"),
        (GOOD + "stimuli:\n- BITS.A\n", "line 4: stimulus: lines like `NAME: VALUE` expected"),
        (GOOD + "stimuli:\n- {at: 5, times: 3, BITS.A: 1}\n",
         "line 4: times: a number above 0, together with 'every'"),
        (GOOD + "stimuli:\n- {at: 5, every: 2, times: many, BITS.A: 1}\n",
         "line 4: times: 'many' is no number"),
        (GOOD + "stimuli:\n- {at: 5, every: 2, times: 9999999, BITS.A: 1}\n",
         "line 4: times: 1000000 is the most"),
        (GOOD + "stimuli:\n- {at: 5, every: 0, BITS.A: 1}\n",
         "line 4: every: has to be one tick at least"),
        (GOOD + "stimuli:\n- {at: 1s, BITS.A: 1}\n",
         "line 4: stimulus: tick 125000000 is after the end, tick 50"),
        (GOOD + "stimuli:\n- {at: 5, BITS.A: 1, BITS.B: 1}\n- {at: 6, BITS.C: 1}\n",
         "line 5: BITS.C: tick 6 is taken: what is written in and above line 4 lasts until "),
        (GOOD + "notes:\n- {at: 5}\n", "line 4: note: there is no 'text'"),
        (GOOD + "notes:\n- {text: a}\n", "line 4: note: 'at', or both 'from' and 'to' expected"),
        (GOOD + "notes:\n- {at: noon, text: a}\n",
         "line 4: note: 'noon' is neither a time nor an edge, as `PULSE1.OUT rise 2`"),
        (GOOD + "notes:\n- {at: 51, text: a}\n",
         "line 4: note: tick 51 is after the end, tick 50"),
        (GOOD + "notes:\n- {at: 5, text: a, on: PULSE2.OUT}\n",
         "line 4: note: PULSE2.OUT is not shown"),
        (GOOD + "notes:\n- {at: PULSE2.OUT rise, text: a}\n",
         "line 4: note: PULSE2.OUT is not shown"),
        (GOOD + "notes:\n- {at: PULSE1.OUT rise 2, text: a}\n",
         "line 4: note: PULSE1.OUT has no rise number 2, but 0 until tick 50"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_script_is_one_line_with_its_place(text, message):
    with pytest.raises(ScriptError) as caught:
        played(text)
    assert str(caught.value).startswith(f"script, {message}")
    assert "\n" not in str(caught.value)


def test_a_script_that_goes_round_in_circles_is_refused():
    with pytest.raises(ScriptError, match="nested too deeply"):
        parse_script("show: &a [*a]\nuntil: 5\n")


def test_a_file_of_other_bytes_is_refused_with_its_line(tmp_path):
    path = tmp_path / "script.yaml"
    path.write_bytes(b"title: a\n# \xff\n")
    with pytest.raises(ScriptError, match="line 2: this is no UTF-8 text"):
        read_script(path)


def test_another_box_is_found_beside_the_script(tmp_path):
    shutil.copytree(box_directory("pandabox-no-fmc"), tmp_path / "mine")
    path = tmp_path / "script.yaml"
    path.write_text("config_dir: mine\nshow: [BITS.OUTA]\nuntil: 9\nstimuli: [{at: 4, BITS.A: 1}]")
    assert play(read_script(path)).edges("BITS.OUTA").pairs() == [(4, 1)]


def test_a_recorded_box_brings_its_wiring(tmp_path):
    wired = SteppedBox()
    for name, value in {
        "PULSE1.ENABLE": "ONE",
        "PULSE1.TRIG": "TTLIN1.VAL",
        "PULSE1.WIDTH.RAW": "9",
    }.items():
        wired.set(name, value)
    (tmp_path / "mine.json").write_text(record(Asked(wired.box)).file.dumps())
    path = tmp_path / "script.yaml"
    path.write_text(
        "box_file: mine.json\nshow: [PULSE1.TRIG, PULSE1.OUT]\nuntil: 20\n"
        "stimuli: [{at: 4, TTLIN1.VAL: pulse 1}]\n"
    )
    diagram = play(read_script(path))
    assert diagram.signals[0].caption == "← TTLIN1.VAL"
    assert diagram.edges("PULSE1.OUT").pairs() == [(5, 1), (14, 0)]


@pytest.mark.parametrize(
    ("text", "ticks"),
    [("0", 0), ("12", 12), ("12 ticks", 12), ("8ns", 1), ("1us", 125), ("1.5 µs", 188),
     ("2ms", 250_000), ("1s", 125_000_000), ("1e-3 min", 7_500_000), ("11ns", 1), ("13ns", 2)],
)  # fmt: skip
def test_times_are_ticks_or_have_a_unit(text, ticks):
    assert parse_ticks(text) == ticks


@given(st.integers(1, 10**15))
def test_a_time_shown_is_the_time_meant(ticks):
    shown = parse_ticks(format_ticks(ticks))
    assert abs(shown - ticks) <= max(1, ticks * 1e-5)


def test_a_recording_becomes_a_diagram_without_a_script():
    bench, recording = recorded("BITS.OUTA")
    zero = bench.tick
    bench.run(9)
    bench.set("BITS.A", "1")
    bench.run(20)
    diagram = diagram_of(recording, zero, zero + 30, title="A bit")
    assert (diagram.first, diagram.last) == (0, 30)
    assert diagram.edges("BITS.OUTA").pairs() == [(10, 1)]
    later = diagram_of(recording, zero + 9, zero + 30, zero=zero)
    assert (later.first, later.edges("BITS.OUTA").pairs()) == (9, [(10, 1)])
    with pytest.raises(KeyError):
        diagram.edges("BITS.OUTB")
    with pytest.raises(ValueError, match="nothing to draw from tick 40 to tick 30"):
        diagram.window(40)


def test_what_changes_too_often_to_be_drawn_is_refused_before_memory_is_full(monkeypatch):
    monkeypatch.setattr("panda_simulator.timing.recorder.MOST_EDGES", 10)
    box = SteppedBox()
    box.set("CLOCK1.PERIOD.RAW", "2")
    _ = Recording(box.box, box.world, ["CLOCK1.OUT"])
    box.set("CLOCK1.ENABLE", "ONE")
    with pytest.raises(ValueError, match="a signal has more than 10 edges until tick"):
        box.run(20)


def test_two_pulses_that_touch_are_one():
    diagram = played("""
stimuli:
- {at: 3, TTLIN1.VAL: pulse 2}
- {at: 5, TTLIN1.VAL: pulse 2}
show: [TTLIN1.VAL]
until: 20
""")
    assert diagram.edges("TTLIN1.VAL").pairs() == [(3, 1), (7, 0)]


async def test_a_recording_tells_of_writes_to_tables_and_the_box_takes_them():
    async with Simulator(speed="stepped") as simulator:
        recording = Recording(simulator.box, simulator.world, ())
        recording.watch_tables()
        for command in ("SEQ1.TABLE<\n1\n0\n3\n2\n", "SEQ2.TABLE<\n", "SEQ2.TABLE<<\n1\n0\n3\n2\n"):
            assert simulator._server.command(command) == "OK\n"
        assert recording.tables == [
            TableWrite("SEQ", 1, 4, streaming=False),
            TableWrite("SEQ", 2, 0, streaming=False),
            TableWrite("SEQ", 2, 4, streaming=True),
        ]
        assert simulator._server.command("SEQ1.TABLE.LENGTH?") == "OK =4\n"
