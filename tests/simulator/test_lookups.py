"""What is looked up when samples leave is what PCAP would have found at the trigger."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from panda_simulator.behaviours import look_up
from panda_simulator.behaviours.stretches import add_up, add_up_all
from panda_simulator.encoders import Coarse, Encoder, Noisy
from panda_simulator.motion import Motion, moving, to_fixed

from .conftest import Bench
from .test_leaps import eagerness

MODES = range(6)
TICKS = st.integers(1, 300) | st.integers(300, 30_000)
CHANGES = st.one_of(
    st.tuples(st.just("move"), st.integers(-40, 40)),
    st.tuples(st.just("stop"), st.just(0)),
    st.tuples(st.just("home"), st.integers(-5, 5) | st.just(2**31 - 20)),
)
PROTOCOL = st.tuples(st.just("protocol"), st.integers(0, 1))
PLUG = st.tuples(st.just("plug"), st.integers(1, 3))
LISTEN = st.tuples(st.just("listen"), st.integers(0, 1))
SHIFT = st.tuples(st.just("shift"), st.integers(0, 8))
READ = st.tuples(st.just("read"), st.just(0))
GATES = st.tuples(st.integers(20, 700), st.integers(0, 500))


def _wire(gate: tuple[int, int], *, leaps: bool = True, **pcap: int) -> Bench:
    bench = Bench(leaps=leaps)
    bench.world.axes["x"].velocity = 50.0
    bench.world.axes["x"].acceleration = 50_000.0
    bench.set("CLOCK", PERIOD=250, ENABLE="ONE")
    bench.set("CLOCK", 2, PERIOD=gate[0], WIDTH=gate[1], ENABLE="ONE")
    bench.set("PCAP", ENABLE="ONE", TRIG="CLOCK1.OUT", GATE="CLOCK2.OUT", **pcap)
    return bench


def _do(bench: Bench, what: str, how: int) -> None:
    axis = bench.world.axes["x"]
    actions: dict[str, Any] = {
        "move": lambda: axis.move(how / 1000),
        "stop": axis.stop,
        "home": lambda: bench.set("INENC", SETP=how),
        "protocol": lambda: bench.set("INENC", PROTOCOL=how),
        "plug": lambda: bench.world.connect("x", 1, how * 5000.0),
        "listen": lambda: bench.set("LUT", INPA="INENC1.A" if how else "INENC1.B"),
        "shift": lambda: bench.set("PCAP", SHIFT_SUM=how),
        "read": bench.fabric.read_bits,
    }
    actions[what]()


def _captured(bench: Bench, entries: list[int], changes: list[Any]) -> list[list[int]]:
    sink = bench.sink()
    bench.fabric.arm(entries, sink)
    for ticks, change in changes:
        bench.run(ticks)
        _do(bench, *change)
    bench.run(30_000)
    bench.fabric.disarm()
    return sink.rows(len(entries))


@settings(max_examples=40, deadline=None)
@given(gate=GATES, changes=st.lists(st.tuples(TICKS, CHANGES), min_size=1, max_size=6))
def test_an_encoder_is_captured_as_what_follows_it_a_tick_later(gate, changes):
    encoder, follower = (_wire(gate, TRIG_DELAY=late, GATE_DELAY=late) for late in (0, 1))
    for bench in (encoder, follower):
        bench.set("CALC", INPA="INENC1.VAL")
    one, other = encoder.source("INENC1.VAL") << 4, encoder.source("CALC1.OUT") << 4
    rows = _captured(encoder, [one | mode for mode in MODES], changes)
    later = _captured(follower, [other | mode for mode in MODES], changes)
    assert rows[1 : len(later)] == later[1:]
    assert len(later) > 100


ANY = st.one_of(CHANGES, PROTOCOL, PLUG, LISTEN, SHIFT, READ)


@settings(max_examples=60, deadline=None)
@given(gate=GATES, changes=st.lists(st.tuples(TICKS, ANY), min_size=1, max_size=8))
def test_all_columns_are_the_same_with_leaps_and_without(gate, changes):
    place = Bench.source("INENC1.VAL") << 4
    still = Bench.source("INENC2.VAL") << 4
    entries = [*(place | mode for mode in MODES), still | 2, *range(0x200, 0x2B0, 16)]
    with eagerness():
        leaping, played = (
            _captured(_wire(gate, leaps=leaps), entries, changes) for leaps in (True, False)
        )
    assert leaping == played


def test_a_trigger_that_repeats_over_a_moving_axis_is_not_played():
    calls: list[int] = []
    place = Bench.source("INENC1.VAL") << 4
    for leaps in (True, False):
        bench = _wire((250, 200), leaps=leaps)
        changes = [(1000, ("move", 200)), (500_000, ("read", 0))]
        calls.append(len(_captured(bench, [place | mode for mode in MODES], changes)))
        calls.append(bench.fabric.calls)
    assert calls[0] == calls[2]
    assert calls[1] < calls[3] / 5


@settings(max_examples=60, deadline=None)
@given(
    target=st.floats(-3, 3),
    counts=st.sampled_from([-9000.0, 0.3, 10_000.0, 123_456.7]),
    kind=st.sampled_from(["plain", "coarse", "noisy"]),
    first=st.lists(st.integers(0, 200_000), min_size=1, max_size=9),
    length=st.integers(1, 9_000),
)
def test_many_ticks_are_looked_up_as_one_by_one(target, counts, kind, first, length):
    motion = Motion(to_fixed(0.1))
    motion.replace(50, moving(50, to_fixed(0.1), to_fixed(target), to_fixed(3e-5), 10**27))
    track: Any = Encoder(motion, counts, 0.25)
    track = {"plain": track, "coarse": Coarse(track, 7), "noisy": Noisy(track, 3)}[kind]
    begin = np.array(first)
    ends = begin + length
    assert look_up(track, begin).tolist() == [track.at(tick) for tick in first]
    totals, lowest, highest = add_up_all(track, begin, ends)
    found = [add_up(track, tick, tick + length) for tick in first]
    assert [*zip(totals, lowest.tolist(), highest.tolist(), strict=True)] == found


SCANS = st.fixed_dictionaries(
    {
        "STEP": st.sampled_from([4, 10, 50, 70]),
        "WIDTH": st.integers(1, 3),
        "START": st.integers(0, 60),
        "PULSES": st.sampled_from([0, 0, 700]),
        "DIR": st.integers(0, 2),
        "RELATIVE": st.integers(0, 1),
    }
)
VELOCITIES = st.sampled_from([1.0, 5.0, 20.0, 50.0, 12.5, 3.3, 31.25]) | st.floats(0.5, 60.0)


def _scan(scan: dict[str, int], velocity: float, target: float, counts: float, *, leaps: bool):
    bench = Bench(leaps=leaps)
    axis = bench.world.axes["x"]
    axis.velocity = velocity
    axis.acceleration = 2_000 * velocity
    bench.world.connect("x", 1, counts)
    bench.set("COUNTER", ENABLE="ONE", TRIG="PCOMP1.OUT")
    place = bench.source("INENC1.VAL") << 4
    entries = [*(place | mode for mode in MODES), bench.source("COUNTER1.OUT") << 4]
    sink = bench.compare([*entries, *range(0x200, 0x280, 16)], **scan)
    bench.run(1_000)
    axis.move(target)
    bench.run(6_000_000)
    axis.stop()
    bench.run(100_000)
    outputs = {
        (key, name): value
        for key in (("PCOMP", 1), ("COUNTER", 1), ("PCAP", 1))
        for name, value in bench.fabric._engine.wiring.instances[key].outputs.items()
    }
    positions = [values.tolist() for values in bench.fabric.read_positions()]
    return sink.data, sink.completion, outputs, positions, bench.fabric.calls


@settings(max_examples=25, deadline=None)
@given(
    scan=SCANS,
    velocity=VELOCITIES,
    target=st.sampled_from([10.0, -10.0, 0.7]),
    counts=st.sampled_from([10_000.0, -2_000.0, 1234.5]),
)
def test_position_compares_of_a_moving_axis_are_the_same_with_leaps(scan, velocity, target, counts):
    played = _scan(scan, velocity, target, counts, leaps=False)
    with eagerness():
        assert _scan(scan, velocity, target, counts, leaps=True)[:-1] == played[:-1]


def test_a_position_compare_at_a_round_speed_is_not_played():
    scan = {"STEP": 50, "WIDTH": 20, "START": 100, "PULSES": 0}
    leapt = _scan(scan, 50.0, 100.0, 10_000.0, leaps=True)
    played = _scan(scan, 50.0, 100.0, 10_000.0, leaps=False)
    assert leapt[:-1] == played[:-1]
    assert leapt[-1] < played[-1] / 3


@settings(max_examples=150, deadline=None)
@given(
    target=st.floats(-1, 1),
    speed=st.sampled_from([1e-7, 1e-6, 3e-5, 1e-3]),
    acceleration=st.floats(1e-14, 1e-9),
    counts=st.sampled_from([-123_456.7, 1000.0, 1e6]),
    offset=st.sampled_from([0.0, 0.25, 0.5, 1e9]),
    where=st.tuples(st.floats(0, 1), st.integers(0, 20_000)),
)
def test_an_axis_that_speeds_up_passes_counts_when_each_is_crossed(
    target, speed, acceleration, counts, offset, where
):
    motion = Motion(0)
    pieces = moving(50, 0, to_fixed(target), to_fixed(speed), max(to_fixed(acceleration), 1))
    motion.replace(50, pieces)
    encoder = Encoder(motion, counts, offset)
    for piece, begin, end in motion.parts(50, motion.end()):
        first = begin + int(where[0] * (end - 1 - begin))
        last = min(end - 1, first + where[1])
        totals, lowest, highest = add_up_all(encoder, np.array([first]), np.array([last + 1]))
        ends = encoder.at(first), encoder.at(last)
        assert (lowest[0], highest[0]) == (min(ends), max(ends))
        total, tick = 0, first
        while tick <= last:
            count = encoder.at(tick)
            leaves = encoder.leaves(tick, count, count) or last + 1
            total += count * (min(leaves, last + 1) - tick)
            tick = leaves
        assert totals[0] == total == encoder.stretch(first, last + 1).total
        assert piece.tick <= first
