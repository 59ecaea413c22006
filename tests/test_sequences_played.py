"""Lines against a slow version of what they mean, and against a sequencer that plays them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.sequences import (
    Frames,
    GateGuard,
    LineBuilder,
    NoGuard,
    Outputs,
    Placement,
    PositionGuard,
    PositionList,
    Rounding,
    SeqLines,
    TimeGuard,
    Timing,
    Trigger,
)

CLOCK = 125_000_000
EIGHTH = 1 / CLOCK / 8
NAMES = ("trigger", "position", "time1", "outputs1", "time2", "outputs2")
LIVE, DEAD, IDLE = 1, 2, 4


def rows(lines: SeqLines) -> list[tuple[int, ...]]:
    """Every repeat of every line, with the frames that it completes."""
    each = lines.frames // np.maximum(lines.repeats, 1)
    columns = [*(getattr(lines, name) for name in NAMES), each]
    return [tuple(map(int, row)) for row in np.repeat(np.stack(columns, 1), lines.repeats, axis=0)]


def build(builder: LineBuilder, frames: Frames, cuts: list[int]) -> SeqLines:
    edges = [0, *sorted(cut % (len(frames) + 1) for cut in cuts), len(frames)]
    parts = [builder.lines(frames[start:stop]) for start, stop in pairwise(edges)]
    return SeqLines.concat([*parts, builder.close()])


# The slow version: frame by frame, exact


def slow(  # noqa: C901, PLR0912  # the rules one after the other, as they are told
    frames, eighths, timing, inputs, guard, outputs, closing
) -> list[tuple[int, ...]]:
    live, dead, idle = (
        sum(1 << "ABCDEF".index(letter) for letter in letters)
        for letters in (outputs.live, outputs.dead, outputs.idle)
    )
    off = timing.dead
    half = off - off // 2
    played: list[tuple[int, ...]] = []
    timed = not frames.lower
    windows = 0
    elapsed = Fraction(0)
    for index, eighth in enumerate(eighths):
        opens = index == 0 or (
            bool(frames.gap[index]) and (not timed or isinstance(guard, GateGuard | TimeGuard))
        )
        trigger, position, up, axis = 0, 0, True, ""
        if opens:
            elapsed = Fraction(0)
            if not timed and (not isinstance(guard, GateGuard) or guard.compare):
                trigger, position, up, axis = slow_compare(frames, index, inputs)
            if windows:
                played += slow_end(timing, dead, idle, half, waits=not isinstance(guard, TimeGuard))
            if isinstance(guard, GateGuard):
                code = {"A": 1, "B": 3, "C": 5}[guard.bit]
                if windows or guard.first:
                    played.append((code, 0, 0, 0, 1, idle, 0))
                if trigger:
                    played.append((code + 1, 0, 0, 0, 1, idle, 0))
                else:
                    trigger = code + 1
            elif isinstance(guard, PositionGuard) and trigger and (windows or guard.first):
                margin = guard.margin_of(axis)
                far = position - margin if up else position + margin
                played.append((trigger + 1 if up else trigger - 1, far, 0, 0, 1, idle, 0))
            elif isinstance(guard, TimeGuard) and (windows or guard.first):
                played.append((0, 0, 0, 0, round(guard.seconds * CLOCK), idle, 0))
            windows += 1
        begin = floor(elapsed + Fraction(1, 2))
        ticks = Fraction(eighth, 8)
        elapsed += floor(ticks + Fraction(1, 2)) if timing.rounding is Rounding.CONSTANT else ticks
        period = floor(elapsed + Fraction(1, 2)) - begin
        extra = outputs.first and index == 0
        lit = live | (8 if extra else 0)
        last = 16 if outputs.last and index == len(eighths) - 1 else 0
        if timing.placement is Placement.END:
            played.append((trigger, position, period - off, lit | last, off, dead, 1))
        else:
            first = off // 2 if opens and timing.placement is Placement.CENTRE else off
            played.append((trigger, position, first, dead, period - off, lit | last, 1))
    gate = guard if isinstance(guard, GateGuard) and guard.last else None
    if timing.placement is Placement.CENTRE:
        played += slow_end(timing, dead, idle, half, waits=gate is not None)
    if closing or (closing is None and timing.placement is Placement.START):
        played.append((0, 0, 0, 0, 10, idle, 0))
    if gate:
        played.append(({"A": 1, "B": 3, "C": 5}[gate.bit], 0, 0, 0, 1, idle, 0))
    return played


def slow_compare(frames, index, inputs) -> tuple[int, int, bool, str]:
    best, move = "", 0.0
    for axis in inputs:
        half = round(float(frames.midpoint[axis][index] - frames.lower[axis][index]), 6)
        if abs(half) > abs(move):
            best, move = axis, half
    code = {"A": 7, "B": 9, "C": 11}[inputs[best]]
    return code + (move < 0), round(float(frames.lower[best][index])), move > 0, best


def slow_end(timing, dead, idle, half, *, waits) -> list[tuple[int, ...]]:
    if timing.placement is Placement.CENTRE:
        if waits and dead != idle:
            return [(0, 0, half, dead, 1, idle, 0)]
        return [(0, 0, 0, 0, half, dead, 0)]
    if timing.placement is Placement.END and dead == idle:
        return []
    return [(0, 0, 0, 0, 1, idle, 0)] if waits else []


guards = st.one_of(
    st.just(NoGuard()),
    st.builds(
        GateGuard,
        bit=st.sampled_from("ABC"),
        first=st.booleans(),
        compare=st.booleans(),
        last=st.booleans(),
    ),
    st.builds(
        PositionGuard,
        margin=st.one_of(st.integers(1, 99), st.just({"x": 3, "y": 8})),
        first=st.booleans(),
    ),
    st.builds(TimeGuard, seconds=st.sampled_from([8e-9, 1e-6]), first=st.booleans()),
)
all_outputs = st.builds(
    Outputs,
    live=st.just("A"),
    dead=st.sampled_from(["", "B"]),
    idle=st.sampled_from(["", "C"]),
    first=st.sampled_from(["", "D"]),
    last=st.sampled_from(["", "E"]),
)


@st.composite
def scans(draw):
    n = draw(st.integers(1, 40))
    choices = draw(st.lists(st.integers(8 * 12, 8 * 40), min_size=1, max_size=3))
    eighths = draw(st.lists(st.sampled_from(choices), min_size=n, max_size=n))
    gap = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    lower, middle, upper = {}, {}, {}
    if draw(st.booleans()):
        for axis in ("x", "y"):
            step = draw(st.lists(st.integers(1, 60), min_size=n, max_size=n))
            sign = draw(st.sampled_from([-1, 1]))
            at = draw(st.floats(-1000, 1000, width=32))
            lower[axis] = np.array([at + k for k in range(n)], np.float64)
            middle[axis] = lower[axis] + sign * np.array(step) / 4
            upper[axis] = lower[axis] + sign * np.array(step) / 2
    frames = Frames(lower, middle, upper, gap, np.array(eighths) * EIGHTH)
    return frames, eighths


cut_lists = st.lists(st.integers(0, 1000), max_size=5)
roundings = st.sampled_from([Rounding.EXACT, Rounding.CONSTANT, Rounding.AUTO])


@given(
    scans(), cut_lists, guards, all_outputs, st.sampled_from(Placement), roundings,
    st.integers(0, 10), st.sampled_from([None, False, True]),
)  # fmt: skip
def test_lines_are_those_of_the_slow_version_wherever_the_batches_are_cut(
    scan, cuts, guard, outputs, placement, rounding, dead, closing
):
    frames, eighths = scan
    timing = Timing(deadtime=dead / CLOCK, placement=placement, rounding=rounding)
    inputs = {"y": "B", "x": "A"}
    builder = LineBuilder(timing, inputs=inputs, guard=guard, outputs=outputs, closing=closing)
    lines = build(builder, frames, cuts)
    assert rows(lines) == slow(frames, eighths, timing, inputs, guard, outputs, closing)
    assert lines.repeats.min() > 0
    assert lines.frames.sum() == len(frames)


@given(scans(), cut_lists, guards, st.sampled_from(Placement))
def test_equal_neighbours_are_one_line(scan, cuts, guard, placement):
    frames, _ = scan
    builder = LineBuilder(Timing(placement=placement), inputs={"x": "A", "y": "B"}, guard=guard)
    lines = build(builder, frames, cuts)
    key = np.stack([getattr(lines, name) for name in NAMES] + [lines.frames > 0])
    assert (key[:, 1:] != key[:, :-1]).any(axis=0).all()


@given(st.lists(st.floats(1e-7, 1e-2), min_size=1, max_size=200), cut_lists)
def test_every_boundary_is_within_half_a_tick_of_its_time(durations, cuts):
    frames = Frames.timed(durations)
    lines = build(LineBuilder(Timing(rounding=Rounding.EXACT)), frames, cuts)
    ends = np.cumsum([row[2] + row[4] for row in rows(lines)])
    exact = Fraction(0)
    for end, duration in zip(ends, durations, strict=True):
        exact += Fraction(duration) * CLOCK
        assert abs(int(end) - exact) <= Fraction(1, 2) + Fraction(1, 10**6)


def test_two_million_frames_of_any_duration_end_within_half_a_tick():
    n = 2_000_000
    durations = np.random.default_rng(1).uniform(1e-6, 3e-6, n)
    builder = LineBuilder(Timing(rounding=Rounding.EXACT))
    ticks = 0
    for start in range(0, n, 50_000):
        ticks += int(
            builder.lines(Frames.timed(durations[start : start + 50_000])).line_ticks().sum()
        )
    ticks += int(builder.close().line_ticks().sum())
    exact = Fraction(sum(int(x) for x in durations * 2.0**80), 2**80) * CLOCK
    assert abs(ticks - exact) <= Fraction(1, 2) + Fraction(1, 10**4)


def test_two_million_frames_take_no_more_memory_than_twenty_thousand():
    def peak(total: int, *, vary: bool) -> int:
        builder = LineBuilder(
            Timing(), inputs={"x": "A"}, guard=PositionGuard(5), outputs=Outputs(dead="B")
        )
        where = np.arange(20_000, dtype=float)
        gap = np.arange(20_000) % 1000 == 0
        tracemalloc.start()
        for start in range(0, total, 20_000):
            duration = 1e-3 + 1e-7 * (where + start if vary else 0 * where)
            frames = Frames({"x": where}, {"x": where + 0.5}, {"x": where + 1}, gap, duration)
            builder.lines(frames)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    for vary in (False, True):
        short, long = peak(40_000, vary=vary), peak(2_000_000, vary=vary)
        assert long < short + 500_000


# A sequencer that plays, by levels: blocks.md 5.10


def play(
    lines: SeqLines, inputs: Callable[[int], dict[str, int]], start: int, until: int
) -> list[tuple[int, int, int]]:
    """Return (start, end, outputs) of every phase and every wait."""
    intervals: list[tuple[int, int, int]] = []
    tick, outputs = start, 0
    for trigger, position, time1, outputs1, time2, outputs2, _ in rows(lines):
        begun = tick
        while not met(Trigger(trigger), position, inputs(tick)):
            tick += 1
            if tick > until:
                raise AssertionError(f"waits for ever for {Trigger(trigger).condition(position)}")
        intervals.append((begun, tick, outputs))
        for time, outputs in ((time1, outputs1), (max(time2, 1), outputs2)):
            intervals.append((tick, tick + time, outputs))
            tick += time
    return intervals


def met(trigger: Trigger, position: int, levels: dict[str, int]) -> bool:
    if trigger is Trigger.IMMEDIATE:
        return True
    name = trigger.name[:4]
    if name.startswith("BIT"):
        return levels[name] == int(trigger.name[-1])
    return levels[name] >= position if trigger.name.endswith("GT") else levels[name] <= position


def high(intervals: list[tuple[int, int, int]], bit: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end, outputs in intervals:
        if outputs & bit and end > start:
            if found and found[-1][1] == start:
                found[-1] = (found[-1][0], end)
            else:
                found.append((start, end))
    return found


PERIOD, ROW, OVERRUN, RUN_UP = 40, 4, 30, 50
SPAN = PERIOD * ROW


def snake(windows: int) -> tuple[Frames, Callable[[int], dict[str, int]], list[int]]:
    """A count a tick, up and down between -RUN_UP and beyond; the ticks at which rows begin."""
    lower, step, gap = [], [], []
    for window in range(windows):
        way = 1 if window % 2 == 0 else -1
        begin = 0 if way > 0 else SPAN
        lower += [begin + way * PERIOD * k for k in range(ROW)]
        step += [way * PERIOD] * ROW
        gap += [True] + [False] * (ROW - 1)
    low = np.array(lower, float)
    steps = np.array(step, float)
    frames = Frames(
        {"x": low}, {"x": low + steps / 2}, {"x": low + steps}, np.array(gap),
        np.full(len(lower), PERIOD / CLOCK),
    )  # fmt: skip
    half_cycle = SPAN + 2 * OVERRUN

    def inputs(tick: int) -> dict[str, int]:
        along = tick - RUN_UP + OVERRUN
        if along < 0:
            return {"POSA": along - OVERRUN, "BITA": 0}
        row, phase = divmod(along, half_cycle)
        up = row % 2 == 0
        gate = OVERRUN <= phase < OVERRUN + SPAN
        return {"POSA": phase - OVERRUN if up else SPAN + OVERRUN - phase, "BITA": int(gate)}

    return frames, inputs, [RUN_UP + half_cycle * row for row in range(windows)]


@pytest.mark.parametrize(
    "guard",
    [
        GateGuard("A"),
        GateGuard("A", first=True),
        GateGuard("A", compare=True, last=True),
        PositionGuard(OVERRUN / 2),
        PositionGuard(10, first=True),
        TimeGuard(40 / CLOCK),
    ],
    ids=str,
)
@pytest.mark.parametrize("placement", Placement)
@pytest.mark.parametrize("outputs", [Outputs(), Outputs(dead="B", idle="C"), Outputs(dead="B")])
@pytest.mark.parametrize("dead", [1, 6, 7])
def test_what_is_played_is_live_when_the_frames_are(guard, placement, outputs, dead):
    frames, inputs, begins = snake(4)
    timing = Timing(deadtime=dead / CLOCK, placement=placement)
    builder = LineBuilder(timing, inputs={"x": "A"}, guard=guard, outputs=outputs)
    intervals = play(build(builder, frames, [3, 7]), inputs, 0, 10_000)
    # a gate that rises in the very tick of the crossing is a line of its own before the compare
    late = 1 if isinstance(guard, GateGuard) and guard.compare else 0
    offset = {Placement.END: 0, Placement.START: dead, Placement.CENTRE: dead // 2}[placement]
    expected = [
        (begin + PERIOD * k + offset + late, begin + PERIOD * (k + 1) + offset - dead + late)
        for begin in begins
        for k in range(ROW)
    ]
    assert high(intervals, LIVE) == expected
    total_dead = sum(end - start for start, end in high(intervals, DEAD))
    assert total_dead == (dead * ROW * 4 if outputs.dead else 0)


def test_without_a_guard_the_second_row_begins_at_once_on_the_wrong_way():
    frames, inputs, begins = snake(4)
    builder = LineBuilder(Timing(), inputs={"x": "A"})
    rows_begin = [s for s, _ in high(play(build(builder, frames, []), inputs, 0, 10_000), LIVE)]
    assert rows_begin[0] == begins[0]
    assert rows_begin[ROW] < begins[1]


def test_a_position_guard_waits_for_ever_if_the_axis_never_goes_beyond_its_margin():
    frames, inputs, _ = snake(2)
    builder = LineBuilder(Timing(), inputs={"x": "A"}, guard=PositionGuard(OVERRUN + 1))
    with pytest.raises(AssertionError, match=r"POSA>=191"):
        play(build(builder, frames, []), inputs, 0, 500)


def test_a_list_up_and_back_pulses_at_each_position_and_turns_where_the_axis_does():
    up = np.cumsum(np.arange(50) % 7 + 10) + 5
    top = int(up[-1]) + 2080
    table = PositionList(up, both_ways=True, pulse=3, margin=1000, speed=1 * CLOCK)

    def inputs(tick: int) -> dict[str, int]:
        return {"POSA": tick if tick <= top else 2 * top - tick}

    pulses = [start for start, _ in high(play(table.lines(), inputs, 0, 10_000), LIVE)]
    assert [inputs(tick)["POSA"] for tick in pulses] == [*up, *up[::-1]]
    assert pulses[50] - pulses[49] == 4160
