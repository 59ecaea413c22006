"""Encoder inputs make VAL of counts as the box does; encoder outputs make lines of positions."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, pairwise
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panda_simulator.behaviours import Behaviour, Inenc, Mark, Outenc
from panda_simulator.encoders import Encoder, Indexed
from panda_simulator.motion import ONE, Motion, moving
from panda_simulator.world import Axis

Script: TypeAlias = dict[int, dict[str, int]]


class Ramp:
    """One count up every ten ticks."""

    def at(self, tick: int) -> int:
        return tick // 10

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        if not low <= self.at(tick + 1) <= high:
            return tick + 1
        return 10 * (high + 1)


LEAD = 9
"""Ticks from a line at the connector to VAL: filter 4, decoder 2, registers 3."""


def play(block: Behaviour, script: Script, last: int) -> list[tuple[int, dict[str, int]]]:
    """Call a block at the ticks of a script and at those it asks for; return what it put out."""
    seen: list[tuple[int, dict[str, int]]] = []
    due: int | None = 0
    ticks = sorted({0, *script})
    while due is not None and due <= last:
        outputs, wake = block.update(due, script.get(due, {}))
        assert wake is None or wake > due
        seen.append((due, dict(outputs)))
        place = bisect_right(ticks, due)
        due = min((tick for tick in (*ticks[place : place + 1], wake) if tick), default=None)
    return seen


def connected(**registers: int) -> Inenc:
    inenc = Inenc()
    inenc.connect(Ramp())
    play(inenc, {0: registers}, 20)
    return inenc


@pytest.mark.parametrize(
    ("registers", "expected"),
    [
        ({}, 0xABC),
        ({"BITS": 12, "LSB_DISCARD": 4}, 0xAB),
        ({"BITS": 12, "MSB_DISCARD": 4}, 0xBC),
        ({"BITS": 12, "ENCODING": 2}, 0xABC - 0x1000),
        ({"BITS": 12, "ENCODING": 2, "MSB_DISCARD": 1, "LSB_DISCARD": 4}, 0x2B),
        ({"BITS": 4, "MSB_DISCARD": 3, "LSB_DISCARD": 3}, 0),
        ({"PROTOCOL": 3}, 0),
    ],
)
def test_a_count_becomes_val_as_its_registers_say(registers, expected):
    assert connected(**registers).at(0xABC * 10) == expected


@pytest.mark.parametrize(
    ("connection", "protocol", "health", "conn"),
    [
        (True, 0, 0, 1), (False, 0, 1, 0), (False, 1, 2, 0), (True, 1, 2, 0), (True, 2, 2, 0),
        (True, 3, 5, 0),
    ],
)  # fmt: skip
def test_health_says_what_is_wrong_with_the_encoder(connection, protocol, health, conn):
    """A serial encoder that gets no clock does not answer."""
    inenc = Inenc()
    if connection:
        inenc.connect(Ramp())
    outputs = play(inenc, {0: {"PROTOCOL": protocol}}, 9)[-1][1]
    assert (outputs["HEALTH"], outputs["CONN"]) == (health, conn)
    assert outputs["HOMED"] == int(protocol != 0)


def test_val_follows_the_lines_five_ticks_later():
    inenc = connected()
    inenc.listened = True
    lines = [(tick, inenc.lines(tick)) for tick in range(100, 200)]
    edges = [b for (_, a), b in pairwise(lines) if a != b[1]]
    assert [tick for tick, _ in edges][:3] == [105, 115, 125]
    assert [inenc.at(105 + later) for later in (4, 5, 14, 15)] == [10, 11, 11, 12]


def test_setting_the_count_shows_two_ticks_later():
    inenc = connected()
    seen = play(inenc, {101: {"SETP": 1000}}, 115)
    assert [inenc.at(tick) for tick in (99, 100, 102, 103, 109, 110)] == [
        9, 10, 10, 1000, 1000, 1001,
    ]  # fmt: skip
    assert [outputs["HOMED"] for tick, outputs in seen if tick in (101, 102)] == [0, 1]
    assert inenc.leaves(103, 1000, 1004) == 150
    assert inenc.leaves(100, 0, 2000) == 103


def test_an_axis_holds_the_count_at_zero_on_its_index():
    inenc = Inenc()
    inenc.connect(Indexed(Ramp(), Mark(40)))
    seen = play(inenc, {5: {"RST_ON_Z": 1}}, 500)
    assert [inenc.at(tick) for tick in (397, 398, 400, 409, 410)] == [39, 0, 0, 0, 1]
    assert inenc.at(500) == 10
    assert seen[-1][1]["HOMED"] == 1


SERIAL = {"BITS": 20, "CLK_PERIOD": 100, "FRAME_PERIOD": 10_000, "ENCODING": 2}


@pytest.mark.parametrize("protocol", [1, 2])
def test_a_serial_value_is_what_the_encoder_had_as_the_frame_began(protocol):
    inenc = Inenc()
    inenc.connect(Ramp())
    seen = play(inenc, {0: {"PROTOCOL": protocol, **SERIAL}}, 60_000)
    assert (seen[-1][1]["HEALTH"], seen[-1][1]["CONN"]) == (0, 1)
    shown = [inenc.at(tick) for tick in range(60_000, 100_000)]
    changes = [n for n, (a, b) in enumerate(pairwise(shown)) if a != b]
    assert [b - a for a, b in pairwise(changes)] == [10_000] * 3
    assert inenc.at(70_000) - inenc.at(60_000) == 1000
    assert 0 <= 60_000 // 10 - inenc.at(60_000) <= 2000


def test_frames_cost_nothing_once_they_are_all_alike():
    inenc = Inenc()
    inenc.connect(Ramp())
    seen = play(inenc, {0: {"PROTOCOL": 1, **SERIAL, "BITS": 28}}, 100_000_000)
    assert len(seen) < 1000
    assert 0 <= 10_000_000 - inenc.at(100_000_000) <= 2000


class Steps:
    """A position that moves by steps, at least some ticks apart."""

    def __init__(self, steps: list[tuple[int, int]]) -> None:
        self.ticks = list(accumulate(distance for distance, _ in steps))
        self.counts = [0, *accumulate(step for _, step in steps)]

    def at(self, tick: int) -> int:
        return self.counts[bisect_right(self.ticks, tick)]

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        later = (change for change in self.ticks if change > tick)
        return next((change for change in later if not low <= self.at(change) <= high), None)


STEPS = st.lists(st.tuples(st.integers(3, 40), st.sampled_from([-1, 1])), max_size=20).map(
    lambda steps: Steps([(30, 0), *steps])
)
CHANGES = st.dictionaries(
    st.integers(20, 300),
    st.sampled_from([
        {"SETP": 1000}, {"SETP": 2**32 - 5, "RST_ON_Z": 1}, {"RST_ON_Z": 1}, {"RST_ON_Z": 0},
        {"LSB_DISCARD": 1}, {"MSB_DISCARD": 29}, {"LSB_DISCARD": 0},
    ]),
    max_size=6,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(track=STEPS, changes=CHANGES, index=st.integers(-3, 3), every=st.sampled_from([0, 2, 4]))
def test_an_axis_is_counted_as_its_lines_would_be(track, changes, index, every):
    mark = Mark(index, every)
    axis, cabled = Inenc(), Inenc()
    axis.connect(Indexed(track, mark))
    axis.listened = True
    cabled.cable()
    lines: Script = {}
    for tick in range(400):
        count = track.at(tick + LEAD)
        a, b = ((0, 0), (1, 0), (1, 1), (0, 1))[count & 3]
        lines[tick] = {"PIN_A": a, "PIN_B": b, "PIN_Z": int(mark.high(count))}
        lines[tick].update(changes.get(tick, {}))
    seen = dict(play(cabled, lines, 399)), dict(play(axis, changes, 399))
    values = [], []
    for now, block in enumerate((cabled, axis)):
        fresh = Inenc()
        fresh.cable() if now == 0 else fresh.connect(Indexed(track, mark))
        values[now].extend(_values(fresh, lines if now == 0 else changes, 400))
        assert block.at(399) == values[now][-1]
    assert values[0] == values[1]
    known: list[dict[str, int]] = [{}, {}]
    for tick in range(400):
        for side, outputs in enumerate(seen):
            known[side].update(outputs.get(tick, {}))
        both = [{name: one.get(name, 0) for name in ("A", "B", "Z", "HOMED")} for one in known]
        assert tick < LEAD or both[0] == both[1], tick


def _values(inenc: Inenc, script: Script, ticks: int) -> list[int]:
    """Return VAL at every tick, seen as the ticks pass."""
    values: list[int] = []
    for tick in range(ticks):
        inenc.update(tick, script.get(tick, {}))
        values.append(inenc.at(tick))
    return values


SETTINGS = st.fixed_dictionaries({
    "PROTOCOL": st.sampled_from([1, 2]), "BITS": st.integers(1, 12), "ENCODING": st.integers(0, 3),
    "CLK_PERIOD": st.integers(24, 60), "FRAME_PERIOD": st.integers(1500, 9000),
})  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(
    registers=SETTINGS,
    motion=st.lists(st.tuples(st.integers(1, 3000), st.integers(-9, 9)), max_size=20).map(Steps),
    changes=st.dictionaries(
        st.integers(100, 30_000),
        st.sampled_from([
            {"LSB_DISCARD": 1}, {"CLK_SRC": 1}, {"CLK_SRC": 0}, {"BITS": 9}, {"ENCODING": 1},
            {"PROTOCOL": 1}, {"PROTOCOL": 2}, {"CLK": 1}, {"CLK": 0},
        ]),
        max_size=3,
    ),
    looks=st.lists(st.integers(0, 30_000), max_size=3),
)  # fmt: skip
def test_the_formula_of_frames_is_what_playing_them_gives(registers, motion, changes, looks):
    script: Script = {1: registers, **changes}
    formula, played = Inenc(), Inenc()
    for inenc in (formula, played):
        inenc.connect(motion)
    played.listened = True
    sides: list[list[tuple[int, int, int, tuple[int, int, int]]]] = [[], []]
    wakes: list[int | None] = [0, 0]
    for tick in sorted({*range(0, 40_000, 101), *script, *looks}):
        for side, inenc in enumerate((formula, played)):
            _catch_up(inenc, script, wakes, side, tick)
            look = inenc.lines(tick) if tick in looks else (0, 0, 0)
            health = inenc.update(tick, {})[0]["HEALTH"] if tick in looks else 0
            sides[side].append((tick, inenc.at(tick), health, look))
    assert sides[0] == sides[1]


def _catch_up(inenc: Inenc, script: Script, wakes: list[int | None], side: int, tick: int) -> None:
    while (due := wakes[side]) is not None and due < tick:
        _, wakes[side] = inenc.update(due, {})
    if tick in script or wakes[side] == tick:
        _, wakes[side] = inenc.update(tick, script.get(tick, {}))


def test_a_word_without_its_low_bits_leaves_later():
    inenc = connected(LSB_DISCARD=3)
    assert inenc.leaves(20, 0, 0) == 80


def test_quadrature_outputs_follow_the_position_at_their_period():
    outenc = Outenc()
    outenc.update(1, {"QPERIOD": 3})
    outenc.update(3, {"ENABLE": 1})
    outputs, wake = outenc.update(6, {"VAL": 2})
    seen: list[tuple[int, int, int]] = []
    while wake is not None:
        tick = wake
        outputs, wake = outenc.update(tick, {})
        seen.append((tick, outputs["PIN_A"], outputs["PIN_B"]))
    assert seen[-1][1:] == (1, 1)
    assert outputs["QSTATE"] == 1


def test_a_reset_of_a_running_generator_does_not_move_the_lines():
    outenc = Outenc()
    outenc.update(1, {"ENABLE": 1, "VAL": 50})
    outputs, wake = outenc.update(5, {"BITS": 3})
    assert (outputs["QSTATE"], wake) == (0, 6)
    outputs, _ = outenc.update(6, {})
    assert (outputs["QSTATE"], outputs["PIN_A"]) == (1, 0)


@pytest.mark.parametrize(
    ("protocol", "pins", "health"),
    [(1, (1, 0, 1), 0), (2, (1, 0, 1), 1), (3, (1, 0, 1), 2), (4, (1, 0, 1), 0),
     (5, (0, 0, 1), 0)],
)  # fmt: skip
def test_other_protocols_pass_lines_through_or_say_why_not(protocol, pins, health):
    """A serial encoder's data line is high at rest; the direction of pins is on Z."""
    outenc = Outenc()
    script = {1: {"PROTOCOL": protocol, "ENABLE": 1, "A": 1, "Z": 1, "DATA": 0}}
    outputs = play(outenc, script, 40)[-1][1]
    assert tuple(outputs[f"PIN_{name}"] for name in "ABZ") == pins
    assert outputs["HEALTH"] == health


def test_a_slow_axis_never_counts_back_and_forth():
    axis = Axis("x")
    axis.motion = Motion()
    axis.motion.replace(0, moving(0, 0, ONE // 1000, ONE >> 45, ONE >> 75))
    encoder = Encoder(axis.motion, 10_000)
    first = encoder.leaves(0, 0, 0)
    assert first is not None
    assert {encoder.at(tick) for tick in range(first - 200, first)} == {0}
    assert {encoder.at(tick) for tick in range(first, first + 200)} == {1}
