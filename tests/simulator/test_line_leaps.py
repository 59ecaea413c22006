"""Lines that wait for positions at even distances are computed, as if each had been played."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panda_simulator.behaviours.tables import words_at
from panda_simulator.fabric.ramps import NO_LIMIT, Proof, Ramp, parts
from panda_simulator.hardware import Completion

from .conftest import BIT, POSITION
from .test_leaps import TICKS, both, capture, eagerness
from .wirings import Action, Player

COUNTS = 10_000
"""Of an encoder, for each mm."""

TICKS_PER_SECOND = 125_000_000
AT_LEAST, AT_MOST = 7, 8
_MASK = 0xFFFFFFFF
_ENCODER = POSITION["INENC", 1, "VAL"]
_ALL_TIMES = range(0x200, 0x2B0, 16)


def line(
    at: int,
    *,
    trigger: int = AT_LEAST,
    repeats: int = 1,
    outputs: int = 1,
    one: int = 20,
    two: int = 20,
) -> list[int]:
    return [repeats | trigger << 16 | outputs << 20, at & _MASK, one, two]


def speed(counts: int, ticks: int) -> float:
    """Return mm/s at which an axis takes so many ticks for so many counts."""
    return counts / COUNTS / ticks * TICKS_PER_SECOND


# A table of many lines is computed


def scan(bench, table: list[int], counts: int, ticks: int, *, back: bool = False) -> None:
    """Wire a table to axis x, let it load and begin, and let the axis set off."""
    bench.fabric.write_table("SEQ", 1, np.array(table, np.uint32), streaming=False, last=True)
    bench.set("SEQ", POSA="INENC1.VAL", ENABLE="BITS1.OUTA")
    bench.set("COUNTER", ENABLE="SEQ1.ACTIVE", TRIG="SEQ1.OUTA")
    bench.set("PCAP", ENABLE="SEQ1.ACTIVE", GATE="SEQ1.OUTB", TRIG="SEQ1.OUTA")
    bench.run(len(table) * 2)
    axis = bench.world.axes["x"]
    axis.velocity, axis.acceleration = speed(counts, ticks), 1e6
    bench.set("BITS", A=1)
    axis.move(-50 if back else 50)


COLUMNS = ["COUNTER1.OUT", "INENC1.VAL", *TICKS]


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("ticks", [1000, 1001, 2502])
def test_lines_at_even_distances_are_computed(make_bench, ticks, back):
    sign = -1 if back else 1
    trigger = AT_MOST if back else AT_LEAST
    table: list[int] = []
    for number in range(3000):
        table += line(sign * (500 + 40 * number), trigger=trigger, outputs=1 | 2 << 6)
    for bench, sinks in both(make_bench, calls=8_000):
        bench.set("SEQ", REPEATS=1)
        scan(bench, table, 40, ticks, back=back)
        capture(bench, sinks, *COLUMNS)
        bench.run(3000 * ticks + 10**6)
        assert bench.get("SEQ", "TABLE_REPEAT") == 1
        assert sinks[-1].completion == Completion.OK
        assert [row[1] for row in sinks[-1].rows(4)] == [
            sign * (500 + 40 * number) for number in range(3000)
        ]


def test_lines_across_zero_are_computed(make_bench):
    """A position is a word without a sign, which jumps where it passes 0."""
    table: list[int] = []
    for number in range(2000):
        table += line(40 * (number - 900))
    for bench, sinks in both(make_bench, calls=8_000):
        bench.world.axes["x"].place(-4.0)
        bench.set("SEQ", REPEATS=1)
        scan(bench, table, 40, 1000)
        capture(bench, sinks, *COLUMNS)
        bench.run(2_500_000)
        assert [row[1] for row in sinks[-1].rows(4)] == [40 * (n - 900) for n in range(2000)]


def test_a_line_that_is_another_is_played_at_its_place(make_bench):
    """The last bit of one position, and of one phase, in the middle of all others."""
    table: list[int] = []
    for number in range(2000):
        odd = number == 1207
        table += line(500 + 40 * number + odd, one=21 if number == 1500 else 20)
    for bench, sinks in both(make_bench, calls=10_000):
        bench.set("SEQ", REPEATS=1)
        scan(bench, table, 40, 1000)
        capture(bench, sinks, *COLUMNS)
        with eagerness():  # leap to the very last line that is like those before
            bench.run(2_500_000)
        rows = sinks[-1].rows(4)
        assert [row[1] for row in rows] == [500 + 40 * n + (n == 1207) for n in range(2000)]


# Whatever the table, the axis and the wiring


class Scan:
    """Makes the actions of a random scan with a table of positions."""

    def __init__(self, seed: int) -> None:
        self._random = draw = random.Random(seed)
        self._sign = draw.choice([1, -1])
        self._step, self._ticks = draw.choice([1, 2, 10, 40]), draw.choice([60, 100, 100, 125])
        self.actions = [*self._wire(), *self._arm(), *self._play()]

    def _runs(self) -> Iterator[list[int]]:
        """Yield lines: runs at even distances, and now and then one that fits to nothing."""
        draw = self._random
        at = self._sign * draw.choice([20] * 8 + [-200, 2**31 - 300, -(2**31) + 1])
        for _ in range(draw.randint(1, 4)):
            sign = self._sign * draw.choice([1] * 9 + [-1])
            back, step = sign < 0, sign * self._step * draw.choice([1, 1, 1, 2])
            lines = [self._kind(back) for _ in range(draw.choice([1, 1, 2, 3]))]
            for number in range(draw.choice([3, 60, 200, 400])):
                yield line(at, **lines[number % len(lines)])
                at += step
            if draw.random() < 0.4:
                yield line(at + draw.randint(-3, 3), **self._kind(back))
            if draw.random() < 0.3:
                at += draw.choice([-50, 3, 50])

    def _kind(self, back: bool) -> dict[str, int]:
        draw = self._random
        usual = AT_MOST if back else AT_LEAST
        return {
            "trigger": draw.choice([usual] * 90 + [0, 1, 2, AT_LEAST, AT_MOST, 9, 10]),
            "repeats": draw.choice([1] * 20 + [0, 2, 3]),
            "outputs": draw.choice([1, 1 | 2 << 6, 3, 3 | 1 << 6, draw.getrandbits(12)]),
            "one": draw.choice([0, 1, 10, 20]),
            "two": draw.choice([0, 1, 10, 20]),
        }

    def _table(self) -> Action:
        return ("table", "SEQ", 1, [word for words in self._runs() for word in words])

    def _wire(self) -> Iterator[Action]:
        draw, bits = self._random, BIT
        out_a, out_b = (bits["SEQ", 1, name] for name in ("OUTA", "OUTB"))
        one, off = BIT["BITS", 1, "OUTA"], BIT["BITS", 1, "OUTB"]
        settings = [
            ("SEQ", 1, {"POSA": _ENCODER, "POSB": draw.choice([_ENCODER, _ENCODER + 1]),
                        "REPEATS": draw.choice([0, 1, 2]), "PRESCALE": draw.choice([0, 0, 1, 2]),
                        "BITA": off, "ENABLE": one}),
            ("COUNTER", 1, {"ENABLE": one, "TRIG": out_a, "STEP": draw.choice([1, -7 & _MASK])}),
            ("COUNTER", 2, {"ENABLE": bits["SEQ", 1, "ACTIVE"], "TRIG": out_b,
                            "DIR": out_a, "MAX": draw.choice([0, 50]), "TRIG_EDGE": 2}),
            ("PULSE", 1, {"ENABLE": one, "TRIG": bits["SEQ", 1, "OUTC"], "DELAY_L": 7,
                          "WIDTH_L": 5}),
            ("DIV", 1, {"ENABLE": one, "INP": out_a, "DIVISOR": draw.choice([2, 3])}),
            ("PCAP", 1, {"ENABLE": one, "TRIG_EDGE": draw.randint(0, 2),
                         "TRIG": draw.choice([out_a, out_a, bits["PULSE", 1, "OUT"],
                                              bits["DIV", 1, "OUTN"]]),
                         "GATE": draw.choice([out_b, out_a, one])}),
        ]  # fmt: skip
        yield self._table()
        for block, number, registers in settings:
            for item in registers.items():
                yield ("set", block, number, *item)
        yield ("run", 8_000)

    def _arm(self) -> Iterator[Action]:
        draw = self._random
        places = [_ENCODER, POSITION["COUNTER", 1, "OUT"], POSITION["COUNTER", 2, "OUT"]]
        entries = [draw.choice(places) << 4 | draw.randint(0, 5) for _ in range(draw.randint(1, 4))]
        yield ("arm", [*entries, *draw.sample(_ALL_TIMES, 4)])
        yield ("set", "BITS", 1, "A", 1)

    def _play(self) -> Iterator[Action]:
        draw = self._random
        yield self._move()
        for _ in range(draw.randint(2, 5)):
            yield ("run", draw.choice([draw.randint(1, 300), draw.randint(1, 16_000)]))
            level = draw.randint(0, 1)
            again = [("set", "BITS", 1, "A", 0), ("run", draw.choice([1, 99, 8_000])),
                     ("set", "BITS", 1, "A", 1)]  # fmt: skip
            yield from draw.choice([
                [("read",)], [("read",)], [("read",)], [], [self._move()], [self._table(), *again],
                [("stop", "x"), ("run", draw.randint(1, 1000)), self._move()],
                [("set", "BITS", 1, "B", level)],
                again,
                [("set", "SEQ", 1, "PRESCALE", draw.randint(0, 3))], [("disarm",)],
                [("set", "INENC", 1, "SETP", draw.choice([0, 2**31 - 100]))],
            ])  # fmt: skip
        yield ("run", 12_000)

    def _move(self) -> Action:
        draw = self._random
        velocity = speed(self._step, self._ticks) * draw.choice([1, 1, 1, 1, 1, 0.5, 1.03])
        return ("fly", "x", self._sign * draw.choice([5.0] * 7 + [-5.0]), velocity)


class Flyer(Player):
    """A player whose axes fly and stop."""

    def do(self, action: Action):
        if action[0] == "fly":
            _, name, target, velocity = action
            axis = self.bench.world.axes[name]
            axis.velocity, axis.acceleration = velocity, velocity * 1_000_000
            axis.move(target)
        elif action[0] == "stop":
            self.bench.world.axes[action[1]].stop()
        return super().do(action)


def calls_of(seed: int, *, late: bool) -> tuple[int, int]:
    """Play a scan with leaps and without, compare all there is, and return the calls of each."""
    leaping, playing = (Flyer(leaps=leaps, hardware_latency=late) for leaps in (True, False))
    with eagerness():
        for action in Scan(seed).actions:
            assert leaping.do(action) == playing.do(action), action
    assert leaping.snapshot() == playing.snapshot()
    return leaping.bench.fabric.calls, playing.bench.fabric.calls


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), late=st.booleans())
def test_random_scans_are_the_same_with_leaps_and_without(seed, late):
    calls_of(seed, late=late)


def test_many_random_scans_do_leap():
    pairs = [calls_of(seed, late=False) for seed in range(24)]
    assert sum(one < 0.9 * other for one, other in pairs) > 4


# The words at a place that grows


@settings(deadline=None)
@given(
    words=st.lists(st.integers(0, 3) | st.sampled_from([_MASK, 2**31]), max_size=12)
    | st.builds(
        lambda first, step, count: [first + step * n for n in range(count)],
        st.integers(0, 9), st.integers(0, 9), st.integers(0, 40),
    ),
    base=st.integers(0, 14),
    slope=st.integers(-3, 5).filter(bool),
    count=st.integers(1, 4),
    limit=st.sampled_from([0, 1, 3, NO_LIMIT]),
)  # fmt: skip
def test_words_at_a_ramp_hold_as_long_as_the_proof_says(words, base, slope, count, limit):
    memory = array("I", words)
    proof = Proof()
    proof.until(limit)
    place: Any = Ramp(base, slope, proof)
    found = words_at(memory, place, count)
    assert 0 <= proof.last <= limit
    assert proof.last <= len(words)
    for period in range(proof.last + 1):
        now = [start + period * step for start, step in map(parts, found)]
        assert now == words_at(memory, base + period * slope, count)


def test_words_at_a_ramp_hold_to_the_last_that_fits():
    proof = Proof()
    memory = array("I", [0, 5, 1, 5, 2, 5, 3, 5, 5, 5])
    place: Any = Ramp(0, 2, proof)
    assert [parts(word) for word in words_at(memory, place, 2)] == [(0, 1), (5, 0)]
    assert proof.last == 3
