"""A leap over many periods leaves no trace: all is as if each had been played."""

from __future__ import annotations

import contextlib
from array import array
from collections import deque
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panda_simulator.behaviours import BEHAVIOURS, Pcap
from panda_simulator.behaviours.tables import Table
from panda_simulator.clock import FOREVER
from panda_simulator.fabric import leaps
from panda_simulator.fabric.ramps import Proof, Ramp
from panda_simulator.fabric.states import State, UnknownStateError
from panda_simulator.hardware import Completion
from panda_simulator.trace import TraceBus

from .wirings import Player, Wiring

TICKS = [0x240, 0x250]
"""Capture list entries of TS_TRIG."""


@contextlib.contextmanager
def eagerness() -> Generator[None]:
    """Let short periods be leapt over even if that does not pay."""
    values = {"_SHORTEST": 16, "_LONGEST": 1024, "_GAIN": 5, "_NUMBERS": 1 << 40, "_UNEVEN": 10}
    free = dict.fromkeys(("_SHARE", "_SNAPSHOT", "_PROOF", "_GUESS"), 0)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**values, **free}.items():
            patch.setattr(leaps, name, value)
        yield


def both(make_bench, *, calls: int = 1_000) -> Generator[Any]:
    """Play the same on a box that leaps and on one that does not; compare what was captured.

    Args:
        make_bench: makes a box.
        calls: of blocks, at most, if it leaps.
    """
    sinks: list[Any] = []
    ends: list[Any] = []
    for leaping in (True, False):
        bench = make_bench(leaps=leaping)
        yield bench, sinks
        ends.append((bench.fabric.read_bits(), bench.fabric.read_positions(), bench.fabric.tick))
        if leaping:
            assert bench.fabric.calls < calls
    one, other = sinks
    assert one.data == other.data
    assert one.completion == other.completion
    np.testing.assert_equal(*ends)


def capture(bench, sinks, *entries: int | str) -> None:
    places = [bench.source(one) << 4 if isinstance(one, str) else one for one in entries]
    sinks.append(bench.sink())
    bench.fabric.arm(places, sinks[-1])


def count(bench, *, period: int = 125, **counter: int) -> None:
    """Let COUNTER1 count CLOCK1, which BITS1.OUTA starts, and PCAP capture at each."""
    bench.set("CLOCK", PERIOD=period, ENABLE="BITS1.OUTA")
    bench.set("COUNTER", ENABLE="ONE", TRIG="CLOCK1.OUT", **counter)
    bench.set("PCAP", ENABLE="ONE", GATE="ONE", TRIG="CLOCK1.OUT")


# Everything is the same


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), late=st.booleans())
def test_random_wirings_are_the_same_with_leaps_and_without(seed, late):
    leaping, playing = (Player(leaps=leaps, hardware_latency=late) for leaps in (True, False))
    with eagerness():
        for action in Wiring(seed).actions:
            assert leaping.do(action) == playing.do(action), action
    assert leaping.snapshot() == playing.snapshot()


@pytest.mark.parametrize("late", [False, True])
def test_many_random_wirings_do_leap(late):
    leapt = 0
    with eagerness():
        for seed in range(20):
            players = [Player(leaps=leaps, hardware_latency=late) for leaps in (True, False)]
            for action in Wiring(seed).actions:
                for player in players:
                    player.do(action)
            one, other = (player.bench.fabric.calls for player in players)
            leapt += one < other
    assert leapt > 5


def test_a_counted_clock_with_all_columns_is_computed(make_bench):
    for bench, sinks in both(make_bench):
        count(bench)
        position = bench.source("COUNTER1.OUT") << 4
        capture(bench, sinks, *(position | mode for mode in range(6)), *range(0x200, 0x2B0, 16))
        bench.set("BITS", A=1)
        for ticks in (1, 124, 125, 126, 99_999, 1, 400_001, 7):
            bench.run(ticks)
        bench.set("BITS", A=0)
        bench.run(1000)
        bench.fabric.disarm()
        assert len(sinks[-1].data) == 17 * 4 * (500_384 // 125 + 1)


def test_a_counter_wraps_where_it_should(make_bench):
    for bench, sinks in both(make_bench, calls=10_000):
        count(bench, MAX=700, MIN=-50 & 0xFFFFFFFF, STEP=3)
        bench.set("COUNTER", 2, ENABLE="ONE", TRIG="COUNTER1.CARRY")
        capture(bench, sinks, "COUNTER1.OUT", "COUNTER2.OUT", *TICKS)
        bench.set("BITS", A=1)
        bench.run(200_000)
        assert bench.position("COUNTER2.OUT") == 6


def test_a_table_ends_after_its_repeats(make_bench):
    for bench, sinks in both(make_bench):
        table = [1 | 1 << 20, 0, 40, 20, 2 | 2 << 20, 0, 30, 10]
        words = np.array(table, np.uint32)
        bench.fabric.write_table("SEQ", 1, words, streaming=False, last=True)
        bench.set("SEQ", REPEATS=4000, ENABLE="BITS1.OUTA")
        bench.set("COUNTER", ENABLE="SEQ1.ACTIVE", TRIG="SEQ1.OUTB")
        bench.set("PCAP", ENABLE="SEQ1.ACTIVE", GATE="SEQ1.OUTA", TRIG="SEQ1.OUTA", TRIG_EDGE=1)
        capture(bench, sinks, "COUNTER1.OUT", 0x260, *TICKS)
        bench.run(100)
        bench.set("BITS", A=1)
        bench.run(400_000)
        assert bench.get("SEQ", "TABLE_REPEAT") == 2858
        bench.run(400_000)
        assert sinks[-1].completion == Completion.OK
        assert len(sinks[-1].data) == 4 * 4 * 4000


def test_a_train_of_pulses_ends_after_its_last(make_bench):
    for bench, sinks in both(make_bench):
        bench.set("PULSE", ENABLE="ONE", TRIG="BITS1.OUTA", PULSES=5000, WIDTH_L=10, STEP_L=40)
        bench.set("PCAP", ENABLE="ONE", TRIG="PULSE1.OUT")
        capture(bench, sinks, *TICKS)
        bench.run(10)
        bench.set("BITS", A=1)
        bench.run(250_000)
        assert len(sinks[-1].data) == 2 * 4 * 5000
        bench.fabric.disarm()


def test_a_compare_of_counts_ends_after_its_pulses(make_bench):
    for bench, sinks in both(make_bench):
        count(bench)
        bench.set("PCOMP", INP="COUNTER1.OUT", START=10, STEP=4, WIDTH=2, PULSES=900)
        bench.set("PCAP", ENABLE="PCOMP1.ACTIVE", TRIG="PCOMP1.OUT")
        capture(bench, sinks, "COUNTER1.OUT", *TICKS)
        bench.set("PCOMP", ENABLE="ONE")
        bench.set("BITS", A=1)
        bench.run(125 * 4000)
        assert len(sinks[-1].data) == 3 * 4 * 900
        assert sinks[-1].completion == Completion.OK


def test_triggers_that_come_too_close_are_a_fault_at_their_tick(make_bench):
    for bench, sinks in both(make_bench):
        count(bench)
        bench.set("CLOCK", 2, PERIOD=125 * 3001 + 2, ENABLE="BITS1.OUTA")
        bench.set("LUT", FUNC=0xFFFFFF00, INPA="CLOCK1.OUT", INPB="CLOCK2.OUT", TYPEA=1, TYPEB=1)
        bench.set("PCAP", TRIG="LUT1.OUT")
        capture(bench, sinks, "COUNTER1.OUT", *TICKS)
        bench.set("BITS", A=1)
        bench.run(500_000)
        assert sinks[-1].completion == Completion.FRAMING_ERROR


def test_a_slow_chain_is_played_between_leaps_of_a_fast_one(make_bench):
    for bench, sinks in both(make_bench, calls=3_000):
        count(bench, period=20)
        bench.set("CLOCK", 2, PERIOD=30_011, ENABLE="BITS1.OUTA")
        bench.set("COUNTER", 2, ENABLE="ONE", TRIG="CLOCK2.OUT", STEP=7)
        capture(bench, sinks, "COUNTER1.OUT", "COUNTER2.OUT", *TICKS)
        bench.set("BITS", A=1)
        bench.run(300_000)


def test_sums_over_many_counts_are_leapt_over_frame_by_frame(make_bench):
    for bench, sinks in both(make_bench, calls=6_000):
        count(bench, period=50)
        bench.set("CLOCK", 2, PERIOD=1000, ENABLE="BITS1.OUTA")
        bench.set("PCAP", TRIG="CLOCK2.OUT")
        position = bench.source("COUNTER1.OUT") << 4
        capture(bench, sinks, *(position | mode for mode in range(6)), 0x260)
        bench.set("BITS", A=1)
        bench.run(1_000_000)


def test_an_axis_that_moves_unseen_does_not_matter(make_bench):
    for bench, sinks in both(make_bench, calls=2_000):
        count(bench)
        capture(bench, sinks, "COUNTER1.OUT", "INENC2.VAL", *TICKS)
        bench.set("BITS", A=1)
        bench.run(10_000)
        bench.world.axes["x"].move(0.001)
        for _ in range(10):
            bench.run(20_000)
            bench.fabric.read_bits()
            bench.fabric.read_positions()


def test_a_captured_axis_is_captured_as_it_moves(make_bench):
    for bench, sinks in both(make_bench, calls=100_000):
        count(bench)
        capture(bench, sinks, "COUNTER1.OUT", "INENC1.VAL", *TICKS)
        bench.set("BITS", A=1)
        bench.run(10_000)
        bench.world.axes["x"].move(0.001)
        bench.run(100_000)


# Whoever looks sees everything


def test_an_observer_is_told_of_every_edge(make_bench):
    edges: list[list[tuple[int, int]]] = [[], []]
    for number, leaping in enumerate((True, False)):
        bench = make_bench(leaps=leaping)
        count(bench)
        bench.set("TTLOUT", VAL="CLOCK1.OUT")
        bench.set("BITS", A=1)
        bench.run(100_000)
        told = edges[number].append
        bench.world.observe("TTLOUT", 1, lambda tick, level, told=told: told((tick, level)))
        bench.run(100_000)
    assert len(edges[0]) == 1600
    assert edges[0] == edges[1]


def test_a_probe_sees_every_call(make_bench):
    bench = make_bench()
    count(bench)
    bench.set("BITS", A=1)
    bench.run(100_000)
    seen: list[int] = []
    bench.fabric.probe("COUNTER", 1).watch(seen.append, lambda *_: None)
    bench.run(12_500)
    assert len(seen) == 200


def test_change_flags_are_set_by_leaps(bench):
    count(bench)
    bench.set("BITS", A=1)
    bench.run(100_000)
    bench.fabric.read_bits()
    bench.fabric.read_positions()
    calls = bench.fabric.calls
    bench.run(100_000)
    assert bench.fabric.calls - calls < 100
    assert bench.fabric.read_bits()[1][bench.source("CLOCK1.OUT")]
    assert bench.fabric.read_positions()[1][bench.source("COUNTER1.OUT")]


def test_it_is_known_up_to_when_nothing_has_to_be_played(bench):
    count(bench, MAX=999, MIN=0)
    assert bench.fabric._engine.leaps.proven_to is None
    bench.set("BITS", A=1)
    bench.run(20_000)
    known = bench.fabric._engine.leaps.proven_to
    calls = bench.fabric.calls
    bench.run(known - bench.fabric.tick)
    assert bench.fabric.calls - calls < 100
    assert 900 < bench.position("COUNTER1.OUT") <= 999
    bench.set("BITS", A=0)
    assert bench.fabric._engine.leaps.proven_to is None


# Bounds


def test_samples_come_in_blocks(bench):
    sizes: list[int] = []

    class Blocks:
        def started(self, start_time_ns, hardware_time_ns):
            pass

        def samples(self, data):
            sizes.append(len(data))

        def ended(self, completion):
            pass

    count(bench)
    bench.fabric.arm([bench.source("COUNTER1.OUT") << 4] * 15, Blocks())
    bench.set("BITS", A=1)
    bench.run(125 * 200_000)
    assert sum(sizes) == 200_000 * 60
    assert max(sizes) <= 2**21


def test_a_leap_without_a_tick_to_come_to_is_not_endless(bench):
    count(bench)
    bench.set("BITS", A=1)
    bench.run(10_000)
    begin = bench.fabric.tick
    bench.fabric.simulate(FOREVER)
    assert begin < bench.fabric.tick < begin + 2**45


# What a machine is


@pytest.mark.parametrize("name", sorted(BEHAVIOURS))
def test_the_state_of_every_block_is_understood(name):
    block = BEHAVIOURS[name]()
    block.update(0, {})
    state = State(block)
    state.put(state.numbers)
    assert State(block).shape == state.shape


def test_the_state_of_pcap_is_understood():
    pcap = Pcap(TraceBus())
    pcap.load([1, 2, 3, 4, 5, 0x240])
    assert State(pcap).shape


def test_numbers_are_found_and_put_wherever_they_are():
    pair = (1, [2, 3])
    root: Any = {"a": pair, "b": deque([4]), "c": None, "d": "text", "again": pair}
    state = State(root)
    assert state.numbers == [1, 2, 3, 4, 1]
    state.put([10, 20, 30, 40, 11])
    assert root["a"][0] == 10
    assert root["a"][1] == [20, 30]
    assert list(root["b"]) == [40]
    assert root["again"][0] == 11


def test_shapes_tell_what_is_not_a_number():
    assert State([1, None]).shape != State([None, 1]).shape
    assert State([True]).shape != State([1]).shape
    assert State({"a": 1}).shape != State({"b": 1}).shape
    assert State([[1], [1]]).shape != State([[1, 1], []]).shape
    same = [1]
    assert State([same, same]).shape != State([[1], [1]]).shape


def test_sets_and_long_lists_are_parts_of_a_shape():
    words: list[Any] = list(range(1000))
    state = State([words, {1, 2}])
    assert state.numbers == []
    assert State([words, {1, 3}]).shape != state.shape
    words[500] = 0
    assert State([words, {1, 2}]).shape != state.shape
    words[500] = Ramp(500, 1, Proof())
    assert State([words, {1, 2}]).numbers[500] is words[500]


def test_the_words_of_a_table_are_a_part_of_its_shape():
    table = Table(1, long_lengths=False)
    shapes: list[list[object]] = []
    for words in ([1, 2, 3], [1, 2, 3], [1, 2, 4]):
        table.write(0)
        table.catch_up(table._tick + 100)
        table.stage(array("I", words))
        table.write(len(words))
        table.catch_up(table._tick + 100)
        shapes.append(State([table._memory, table._version]).shape)
    assert shapes[0] == shapes[1] != shapes[2]
    assert State([array("I")]).shape != State([array("I")]).shape


def test_ramps_do_not_stay_in_a_set():
    members = {Ramp(3, 1, Proof())}
    State([members])
    assert [type(member) for member in members] == [int]


def test_what_is_not_understood_is_refused():
    with pytest.raises(UnknownStateError, match="iterator"):
        State([iter([1])])


def test_any_number_of_periods_without_samples_needs_no_memory(bench):
    bench.set("LUT", FUNC=0x0000FFFF, INPA="LUT1.OUT")
    bench.run(10**14)
    before = bench.bit("LUT1.OUT")
    bench.run(1)
    assert bench.bit("LUT1.OUT") != before
