"""Frames to lines by the numbers of flyscan.md 6, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scanspec.core import Path  # pyright: ignore[reportMissingTypeStubs]
from scanspec.specs import Concat, ConstantDuration, Fly, Linspace, Product, Spiral, Static  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.errors import FieldValueError
from panda_ophyd.regions import Circle
from panda_ophyd.scanframes import AxisScale, batches
from panda_ophyd.sequences import (
    Frames,
    GateGuard,
    LineBuilder,
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

MS, US = 1e-3, 1e-6
SCALES = {"x": AxisScale(0.001), "y": AxisScale(0.001)}


def timed(durations, deadtime, **options) -> SeqLines:
    builder = LineBuilder(Timing(deadtime=deadtime, **options))
    return SeqLines.concat([builder.lines(Frames.timed(durations)), builder.close()])


def scanned(spec, *, scales=SCALES, inputs=None, deadtime=50 * US, region=None, **options):
    builder = LineBuilder(
        Timing(deadtime=deadtime), inputs={"x": "A"} if inputs is None else inputs, **options
    )
    parts = [builder.lines(frames) for frames in batches(spec, scales, size=17, region=region)]
    return SeqLines.concat([*parts, builder.close()])


def starts(lines: SeqLines) -> list[tuple[str, int]]:
    return [
        (Trigger(trigger).label[:6], int(position))
        for trigger, position in zip(lines.trigger, lines.position, strict=True)
        if trigger != Trigger.IMMEDIATE
    ]


SLIDE = Fly(0.4 @ (Linspace("y", 2.1, 3.8, 12) * ~Linspace("x", 0.5, 1.5, 10)))


def test_equal_frames_are_one_line():  # S1
    lines = timed([1 * MS] * 10, 0.2 * MS)
    assert lines == SeqLines.of(repeats=10, time1=100_000, outputs1=1, time2=25_000, frames=10)


def test_durations_that_vary_are_runs():  # S2
    lines = timed([1 * MS] * 3 + [2 * MS] * 2 + [0.5 * MS] * 4, 0.1 * MS)
    assert lines.repeats.tolist() == [3, 2, 4]
    assert lines.time1.tolist() == [112_500, 237_500, 50_000]
    assert lines.line_ticks().sum() == 1_125_000


def test_half_ticks_alternate():  # S3
    lines = timed([3.3 * US] * 1000, 8e-9, rounding=Rounding.EXACT)
    ticks = np.repeat(lines.time1 + lines.time2, lines.repeats)
    assert set(ticks.tolist()) == {412, 413}
    assert ticks[:999].sum() in {412_087, 412_088}


def test_short_frames_are_played():  # S3
    lines = timed([1 * US] * 1000, 8e-9)
    assert (lines.time1.tolist(), lines.time2.tolist()) == ([124], [1])


@pytest.mark.parametrize(("sign", "start"), [(1, (">=", 950)), (-1, ("<=", -950))])
def test_a_line_begins_at_its_lower_bound_whatever_the_sign(sign, start):  # S5
    spec = Fly(0.01 @ Linspace("x", 1.0, 2.0, 11))
    lines = scanned(spec, scales={"x": AxisScale(sign * 0.001)})
    assert lines.repeats.tolist() == [1, 10]
    assert starts(lines) == [(f"POSA{start[0]}", start[1])]
    assert (lines.time1 + lines.time2).tolist() == [1_250_000] * 2


def test_the_slide_begins_its_rows_from_both_sides():  # S6
    lines = scanned(SLIDE, inputs={"x": "A", "y": "B"})
    assert starts(lines) == [("POSA>=", 444), ("POSA<=", 1556)] * 6
    assert lines.frames.sum() == 120


def test_a_position_guard_is_on_the_far_side():
    lines = scanned(SLIDE, guard=PositionGuard(30))
    assert starts(lines)[:5] == [
        ("POSA>=", 444), ("POSA>=", 1586), ("POSA<=", 1556), ("POSA<=", 414), ("POSA>=", 444)
    ]  # fmt: skip


def test_a_circle_takes_44_frames_in_six_windows():  # S6
    circle = Circle("x", "y", 1.0, 2.8, 0.5)
    lines = scanned(SLIDE, region=circle)
    expected = [667, 1444, 556, 1444, 556, 1333]
    assert starts(lines) == [
        ("POSA>=" if row % 2 == 0 else "POSA<=", at) for row, at in enumerate(expected)
    ]
    assert lines.frames.reshape(6, 2).sum(axis=1).tolist() == [6, 8, 8, 8, 8, 6]
    rows = np.concatenate([f.midpoint["y"][f.gap] for f in batches(SLIDE, {}, region=circle)])
    expected = [2.409091, 2.563636, 2.718182, 2.872727, 3.027273, 3.181818]
    assert rows == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("rows", "points", "lines"), [(1000, 2000, 3000), (5000, 100, 15_000)])
def test_a_snake_takes_three_lines_a_row(rows, points, lines):  # S7
    spec = Fly(1 * MS @ (Linspace("y", 0, 1, rows) * ~Linspace("x", 0, 1, points)))
    builder = LineBuilder(Timing(), inputs={"x": "A"}, guard=PositionGuard(5), closing=True)
    parts = [builder.lines(f) for f in batches(spec, {"x": AxisScale(1e-6)})]
    made = SeqLines.concat([*parts, builder.close()])
    assert len(made) == lines
    assert made.frames.sum() == rows * points


def test_a_long_window_is_split_where_repeats_end():  # S7
    spec = Fly(1 * MS @ Linspace("x", 0, 1, 70_000))
    assert scanned(spec, scales={"x": AxisScale(1e-6)}).repeats.tolist() == [1, 65_535, 4464]


def test_exactly_full_runs_leave_no_line_that_never_ends():
    assert timed([1 * MS] * 131_070, 0).repeats.tolist() == [65_535, 65_535]


def test_the_last_frame_of_a_full_run_is_marked():
    builder = LineBuilder(Timing(), outputs=Outputs(last="C"))
    lines = SeqLines.concat([builder.lines(Frames.timed([1 * MS] * 65_535)), builder.close()])
    assert lines.repeats.tolist() == [65_534, 1]
    assert lines.outputs1.tolist() == [1, 5]


def test_gated_bursts_can_be_repeated():  # S9
    builder = LineBuilder(Timing(deadtime=0.1 * MS), guard=GateGuard("A", last=True))
    lines = SeqLines.concat([builder.lines(Frames.timed([1 * MS] * 5)), builder.close()])
    assert lines.repeats.tolist() == [1, 4, 1]
    assert lines.trigger.tolist() == [Trigger.BITA_1, Trigger.IMMEDIATE, Trigger.BITA_0]
    assert lines.frames.tolist() == [1, 4, 0]


def test_frames_before_the_first_gap_are_not_lost():  # extra (a), 2.2 #3
    halves = Concat(Linspace.bounded("x", 1, 2, 2), Linspace.bounded("x", 0, 1, 2))
    lines = scanned(Fly(0.1 @ halves))
    assert lines.frames.sum() == 4
    assert starts(lines) == [("POSA>=", 1000), ("POSA>=", 0)]


@pytest.mark.parametrize("spec", [5 * ConstantDuration(0.1), ConstantDuration(0.1) * 5])
def test_a_spec_of_time_alone_is_one_window(spec):  # extra (b), 2.2 #4
    assert scanned(spec).repeats.tolist() == [5]


def test_a_closed_product_without_gaps_is_one_window():  # 2.2 #4
    spec = Fly(0.1 @ Product(2, ~Linspace("x", 0, 1, 3), gap=False))
    lines = scanned(spec)
    assert lines.repeats.tolist() == [1, 5]


def test_durations_of_parts_are_their_own():  # 2.2 #2
    spec = Concat(Fly(0.1 @ Linspace("x", 0, 1, 3)), Fly(0.5 @ Linspace("x", 5, 6, 2)))
    lines = scanned(spec)
    assert (
        np.repeat(lines.time1 + lines.time2, lines.repeats).tolist()
        == [12_500_000] * 3 + [62_500_000] * 2
    )


def test_the_axis_that_moves_is_compared_not_the_last():  # 2.2 #5
    spec = Fly(0.1 @ Linspace("x", 0, 1, 3).zip(Static("y", 2)))
    assert starts(scanned(spec, inputs={"y": "B", "x": "A"})) == [("POSA>=", -250)]


def test_a_spiral_compares_on_the_axis_with_most_counts():  # 2.2 #5
    spec = Fly(0.1 @ Spiral("x", 0, 10, 0.5, "y", 0, 10))
    first = Path(spec.calculate()).consume(1)
    moves = {axis: first.midpoints[axis][0] - first.lower[axis][0] for axis in "xy"}
    most = max(moves, key=lambda axis: abs(moves[axis]))
    (start,) = starts(scanned(spec, inputs={"x": "A", "y": "B"}))
    assert start[0] == f"POS{'AB'['xy'.index(most)]}{'>=' if moves[most] > 0 else '<='}"
    assert start[1] == round(first.lower[most][0] * 1000)


def test_of_equal_axes_the_first_input_is_compared():
    spec = Fly(0.1 @ Linspace("x", 0, 1, 3).zip(Linspace("y", 1, 0, 3)))
    assert starts(scanned(spec, inputs={"y": "B", "x": "A"})) == [("POSB<=", 1250)]
    assert starts(scanned(spec, inputs={"x": "A", "y": "B"})) == [("POSA>=", -250)]


@pytest.mark.parametrize(
    ("duration", "deadtime", "phases"),
    [
        (0.3, 0.1, (25_000_000, 12_500_000)),
        (0.1, 8e-9, (12_499_999, 1)),
        (1 * US, 0, (124, 1)),
    ],
)
def test_no_tick_is_cut_off(duration, deadtime, phases):  # 2.2 #7
    lines = timed([duration], deadtime)
    assert (int(lines.time1[0]), int(lines.time2[0])) == phases


def test_a_frame_of_hours_is_held_exactly():
    lines = timed([7200.0, 7200.0], 1 * MS)
    assert lines.line_ticks().sum() == 2 * 7200 * 125_000_000
    assert lines.frames.sum() == 2
    assert lines.frames[-1] == 1
    assert set(lines.outputs2[:-1][lines.frames[:-1] == 0].tolist()) == {1}
    assert lines.repeats.min() > 0


def test_a_long_frame_waits_once():
    builder = LineBuilder(Timing(), guard=GateGuard("B"))
    lines = SeqLines.concat([builder.lines(Frames.timed([100.0])), builder.close()])
    assert lines.trigger.tolist() == [Trigger.BITB_1] + [Trigger.IMMEDIATE] * (len(lines) - 1)
    assert lines.line_ticks().sum() == 100 * 125_000_000


def test_auto_keeps_equal_frames_equal_only_while_the_drift_is_small():
    for window, count in ((200, 1), (300, 300)):
        lines = timed([3.3 * US] * window, 8e-9, longest_window=window)
        assert len(lines) == count


def test_constant_periods_drift_by_what_they_say():
    timing = Timing(rounding=Rounding.CONSTANT)
    assert abs(timing.drift(3.3 * US)) == pytest.approx(0.5 / 412.5)
    assert timed([3.3 * US] * 10, 0, rounding=Rounding.CONSTANT).repeats.tolist() == [10]


def test_words_are_those_of_the_block():
    lines = SeqLines.of(
        repeats=0x1234, trigger=Trigger.POSC_LT, position=-2, time1=3, outputs1=0b100001,
        time2=2**32 - 1, outputs2=0b010010,
    )  # fmt: skip
    expected = [0x1234 | 12 << 16 | 0b100001 << 20 | 0b010010 << 26, 2**32 - 2, 3, 2**32 - 1]
    assert lines.words().tolist() == expected
    columns = lines.columns()
    assert [name for name in columns if name.startswith("out") and columns[name][0]] == [
        "outa1", "outf1", "outb2", "oute2"
    ]  # fmt: skip


def test_a_line_plays_its_repeats_and_no_phase_2_takes_a_tick():
    lines = SeqLines.of(repeats=[1, 65_535], time1=[0, 2**32 - 1], time2=[0, 2**32 - 1])
    assert lines.line_ticks(10).tolist() == [10, 65_535 * (2**33 - 2) * 10]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("repeats", [0, 65_536]), ("repeats", [0, -1]), ("trigger", [0, 13]),
        ("position", [0, 2**31]), ("position", [0, -(2**31) - 1]), ("time1", [0, 2**32]),
        ("time2", [0, -1]), ("outputs1", [0, 64]), ("outputs2", np.array([0, 64], np.uint8)),
        ("time1", [0, 1.5]), ("time1", [0, float("nan")]), ("frames", [0, 2**32]),
    ],
)  # fmt: skip
def test_no_column_is_wider_than_the_box_has_it(column, values):
    with pytest.raises(FieldValueError, match=f"line 1 column {column} cannot be") as refusal:
        SeqLines.of(**{column: values})
    assert refusal.value.value == pytest.approx(values[1], nan_ok=True)


def one(lower=0.0, middle=5.0, duration=1.0):
    return Frames(
        {"x": np.array([lower])}, {"x": np.array([middle])}, {"x": np.array([9.0])},
        np.array([True]), np.array([duration]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (one(duration=float("nan")), "frame 7 duration cannot be nan"),
        (one(duration=float("inf")), "frame 7 duration cannot be inf"),
        (one(duration=0.0), "frame 7 duration cannot be 0.0"),
        (one(duration=1e-8), "1 ticks, but a frame takes 2 at least"),
        (one(duration=4e-8), "5 ticks leave no tick live beside a dead time of 5 ticks"),
        (one(duration=1e12), "above 13 days"),
        (one(lower=float("nan")), "frame 7 lower of x cannot be nan"),
        (one(lower=1e10, middle=1e10 + 5), "frame 7 start of x cannot be 10000000000.0"),
        (one(lower=-(2**31), middle=0), "frame 7 guard position cannot be -2147483649"),
        (one(middle=0.0), "all axes stand still where a window begins"),
    ],
)
def test_what_cannot_be_played_is_refused_with_its_frame(frames, message):
    builder = LineBuilder(
        Timing(deadtime=4e-8), inputs={"x": "A"}, guard=PositionGuard(1, first=True), first_frame=7
    )
    with pytest.raises(FieldValueError) as refusal:
        builder.lines(frames)
    assert message in str(refusal.value)


def test_an_axis_that_moves_without_input_is_named():
    with pytest.raises(FieldValueError, match="x moves at frame 0"):
        LineBuilder(Timing(), inputs={"y": "A"}).lines(one())


def test_with_a_gate_nothing_needs_to_move():
    lines = LineBuilder(Timing(), guard=GateGuard("C")).lines(one(middle=0.0))
    assert len(lines) == 0


@pytest.mark.parametrize(
    "refused",
    [
        lambda: LineBuilder(Timing(), inputs={"x": "A", "y": "A"}),
        lambda: LineBuilder(Timing(), inputs={"x": "D"}),
        lambda: LineBuilder(Timing(), inputs={"x": "A"}, guard=PositionGuard({"y": 3})),
        lambda: Timing(deadtime=-1),
        lambda: Timing(clock=0),
        lambda: GateGuard("D"),
        lambda: PositionGuard(0.5),
        lambda: TimeGuard(0),
        lambda: Outputs(live="G"),
        lambda: Outputs(live="A", dead="A"),
    ],
)
def test_options_that_mean_nothing_are_refused(refused):
    with pytest.raises(FieldValueError):
        refused()


def test_the_live_output_falls_before_the_end_where_frames_end_live():
    lines = timed([1 * MS] * 3, 0.1 * MS, placement=Placement.START)
    assert lines.outputs2.tolist() == [1, 0]
    assert lines.frames.tolist() == [3, 0]


def test_centred_frames_compress():
    lines = timed([1 * MS] * 1000, 0.1 * MS, placement=Placement.CENTRE)
    assert lines.repeats.tolist() == [1, 999, 1]
    assert lines.line_ticks().sum() == 1000 * 125_000


def test_positions_up_and_back_have_a_guard_at_the_turn():  # extra (h)
    lines = PositionList([10, 25, 27], both_ways=True, margin=4, pulse=125).lines()
    assert starts(lines) == [
        ("POSA>=", 10), ("POSA>=", 25), ("POSA>=", 27), ("POSA>=", 31),
        ("POSA<=", 27), ("POSA<=", 25), ("POSA<=", 10),
    ]  # fmt: skip
    assert lines.frames.tolist() == [1, 1, 1, 0, 1, 1, 1]
    assert lines.time1.tolist() == [125, 125, 125, 0, 125, 125, 125]


def test_positions_that_are_repeated_begin_with_a_guard():
    lines = PositionList([27, 25], repeats=5, outputs=Outputs(first="B", last="C")).lines()
    assert starts(lines) == [("POSA>=", 28), ("POSA<=", 27), ("POSA<=", 25)]
    assert lines.outputs1.tolist() == [0, 3, 5]


def test_positions_in_any_order_turn_where_the_order_does():
    lines = PositionList([1, 5, 5, 2, 8]).lines()
    assert starts(lines) == [
        ("POSA>=", 1), ("POSA>=", 5), ("POSA>=", 6), ("POSA<=", 5), ("POSA<=", 2),
        ("POSA<=", 7), ("POSA>=", 8),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positions": []}, "give a list"),
        ({"positions": [5]}, "say which"),
        ({"positions": [5, 5]}, "say which"),
        ({"positions": [1, 5, 5, 5]}, "three in a row"),
        ({"positions": [1, 2**31]}, "position 1"),
        ({"positions": [1, float("nan")]}, "position 1"),
        ({"positions": [0, 100, 110], "pulse": 125, "speed": 1e7}, "position 2 cannot be 110"),
        ({"positions": [0, 1], "pulse": 0}, "pulse"),
        ({"positions": [0, 1], "position_input": "D"}, "position input"),
    ],
)
def test_positions_that_cannot_be_played_are_refused(options, message):
    with pytest.raises(FieldValueError, match=message):
        PositionList(**options)


def test_positions_are_just_far_enough():
    # 126 ticks are a pulse of 125 and a tick; 127 leave one to fall in
    PositionList([0, 127], pulse=125, speed=125e6)
    with pytest.raises(FieldValueError, match="126 ticks after 0"):
        PositionList([0, 126], pulse=125, speed=125e6)
