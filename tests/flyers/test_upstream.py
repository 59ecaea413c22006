"""Wrong cases of upstream's ScanSpec logic beside ours: the same spec, what each programs.

Each test pins what upstream really does, so that a change of upstream is noticed, then shows
what ours does with the same spec. Numbers in brackets are the rows of flyscan.md 2.2.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from itertools import groupby
from typing import Any, NamedTuple

import pytest
from ophyd_async.core import Table, init_devices, soft_signal_rw
from ophyd_async.fastcs.panda import PosOutScaleOffset, ScanSpecInfo, SeqTable
from ophyd_async.fastcs.panda import ScanSpecSeqTableFlyableLogic as UpstreamLogic
from pydantic import ValidationError
from scanspec.specs import (  # pyright: ignore[reportMissingTypeStubs]
    Concat,
    ConstantDuration,
    Fly,
    Line,
    Linspace,
    Product,
    Spec,
    Spiral,
    Static,
)

from panda_ophyd import FieldValueError, HDFPanda
from panda_ophyd.flyers import ScanInfo, ScanSpecSeqTableFlyableLogic
from panda_ophyd.sequences import Placement

US, TICK = 125, 8e-9
SCALE = 0.001
"""Of the encoders of x and y."""


class Row(NamedTuple):
    """What of a line of a table differs between the two: units are µs upstream, ticks ours."""

    repeats: int
    trigger: str
    position: int
    time1: int
    time2: int


def lines_of(table: SeqTable) -> list[Row]:
    columns = zip(
        table.repeats, table.trigger, table.position, table.time1, table.time2, strict=True
    )
    return [
        Row(int(n), getattr(trigger, "value", trigger), int(at), int(time1), int(time2))
        for n, trigger, at, time1, time2 in columns
    ]


GATE = [Row(1, "BITA=0", 0, 0, 0), Row(1, "BITA=1", 0, 0, 0)]
"""What upstream begins every window with."""


@pytest.fixture
async def upstream(path_provider) -> Any:
    """Prepare upstream's logic on a mock PandA, of which x has an encoder; return its lines."""
    async with init_devices(mock=True):
        panda: Any = HDFPanda("nowhere", path_provider)
    seq = panda.seq[1]

    async def program(spec: Spec[Any], deadtime: float, scale: float = SCALE) -> list[Row]:
        encoder = PosOutScaleOffset(
            "INENC1.VAL", soft_signal_rw(float, scale), soft_signal_rw(float, 0.0)
        )
        logic = UpstreamLogic(seq, {"x": encoder})  # pyright: ignore[reportArgumentType]
        await logic.on_prepare(ScanSpecInfo(spec=spec, deadtime=deadtime))
        assert await seq.prescale_units.get_value() == "us"
        assert await seq.prescale.get_value() == 1
        return lines_of(await seq.table.get_value())

    program.seq = seq  # pyright: ignore[reportFunctionMemberAccess]
    return program


@pytest.fixture
async def ours(panda) -> Any:
    """Prepare our logic on the simulator, of which x and y have encoders; read its lines back."""
    encoders = {"x": PosOutScaleOffset.from_inenc(panda, 1)}
    encoders["y"] = PosOutScaleOffset.from_inenc(panda, 2)

    async def program(
        spec: Spec[Any], deadtime: float, scale: float = SCALE, **options: Any
    ) -> list[Row]:
        for encoder in encoders.values():
            await encoder.scale.set(scale)
        logic = ScanSpecSeqTableFlyableLogic(panda.seq[1], encoders)
        plain = ScanSpecInfo(spec=spec, deadtime=deadtime)
        await logic.on_prepare(ScanInfo(spec, deadtime, **options) if options else plain)
        assert await panda.seq[1].prescale.get_value() == 0
        return lines_of(await panda.seq[1].table.get_value())

    return program


def x_line(duration: float, start: float = 1.0, stop: float = 2.0, frames: int = 3) -> Fly[str]:
    """Its frames are half a unit long, so that it starts a quarter before its first midpoint."""
    return Fly(duration @ Line("x", start, stop, frames))


async def peak_memory(prepare: Any) -> int:
    tracemalloc.start()
    try:
        await prepare
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_row_1_upstream_takes_memory_for_every_frame_and_ours_does_not(upstream, ours):
    def grid(rows: int) -> Fly[str]:
        return Fly(1e-3 @ (Line("y", 0, 1, rows) * Line("x", 0, 1, 20_000)))

    await upstream(grid(1), 1e-4)  # what is allocated once only
    await ours(grid(1), 1e-4)
    theirs = [await peak_memory(upstream(grid(rows), 1e-4)) for rows in (4, 32)]
    mine = [await peak_memory(ours(grid(rows), 1e-4)) for rows in (4, 32)]
    assert theirs[1] > 6 * theirs[0]
    assert mine[1] < 1.5 * mine[0]


async def test_row_2_upstream_runs_all_frames_as_long_as_the_first_and_ours_as_asked(
    upstream, ours
):
    spec = Fly(Concat(0.1 @ Line("x", 0, 1, 2), 0.5 @ Line("x", 2, 3, 2)))
    assert await upstream(spec, 0.01) == [
        *GATE,
        Row(1, "POSA>=POSITION", -500, 0, 0),
        Row(4, "Immediate", 0, 90_000, 10_000),
    ]
    assert await ours(spec, 0.01) == [
        Row(1, "POSA>=POSITION", -500, 90_000 * US, 10_000 * US),
        Row(1, "Immediate", 0, 90_000 * US, 10_000 * US),
        Row(2, "Immediate", 0, 490_000 * US, 10_000 * US),
    ]


async def test_row_3_upstream_drops_frames_before_the_first_gap_and_ours_takes_all_four(
    upstream, ours
):
    spec = Fly(0.1 @ Concat(Linspace.bounded("x", 1, 2, 2), Linspace.bounded("x", 0, 1, 2)))
    theirs = await upstream(spec, 0.01)
    assert theirs == [
        *GATE,
        Row(1, "POSA>=POSITION", 0, 0, 0),
        Row(2, "Immediate", 0, 90_000, 10_000),
    ]
    times = (90_000 * US, 10_000 * US)
    assert await ours(spec, 0.01) == [
        Row(1, "POSA>=POSITION", 1000, *times),
        Row(1, "Immediate", 0, *times),
        Row(1, "POSA<=POSITION", -1, 0, 1),
        Row(1, "POSA>=POSITION", 0, *times),
        Row(1, "Immediate", 0, *times),
    ]


async def test_row_4_upstream_fails_without_a_gap_and_ours_makes_one_window(upstream, ours):
    spec = Fly(0.1 @ Product(2, ~Line("x", 0, 1, 3), gap=False))
    with pytest.raises(ValueError, match=r"zip\(\) argument 2 is longer than argument 1"):
        await upstream(spec, 0.01)
    assert await ours(spec, 0.01) == [
        Row(1, "POSA>=POSITION", -250, 90_000 * US, 10_000 * US),
        Row(5, "Immediate", 0, 90_000 * US, 10_000 * US),
    ]


@pytest.mark.parametrize("spec", [ConstantDuration(0.1) * 5, 5 * ConstantDuration(0.1)])
async def test_row_4_upstream_fails_without_axes_and_ours_makes_five_frames(upstream, ours, spec):
    with pytest.raises(IndexError, match="list index out of range"):
        await upstream(spec, 0.01)
    assert await ours(spec, 0.01) == [Row(5, "Immediate", 0, 90_000 * US, 10_000 * US)]


async def test_row_5_upstream_compares_nothing_if_the_last_axis_stands_and_ours_the_one_that_moves(
    upstream, ours, panda
):
    spec = Fly(0.1 @ Line("x", 0, 1, 3).zip(Static("y", 2.0)))
    assert await upstream(spec, 0.01) == [*GATE, Row(3, "Immediate", 0, 90_000, 10_000)]
    assert await upstream.seq.posa.get_value() == "ZERO"
    assert (await ours(spec, 0.01))[0].trigger == "POSB>=POSITION"
    assert await panda.seq[1].posb.get_value() == "INENC1.VAL"


async def test_row_5_upstream_compares_a_spiral_on_its_last_axis_and_ours_on_the_one_that_leads(
    upstream, ours, panda
):
    spec = Fly(0.01 @ Spiral("x", 0, 10, 1, "y", 0, 10))
    encoder_less = await upstream(spec, 0.001)
    # x is the last of the two axes, and goes from 0.0 to 0.236 while y goes to -0.320
    assert encoder_less[2] == Row(1, "POSA>=POSITION", 0, 0, 0)
    assert (await ours(spec, 0.001))[0][:3] == (1, "POSB<=POSITION", 0)
    assert await panda.seq[1].posb.get_value() == "INENC2.VAL"


@pytest.mark.parametrize(
    ("start", "theirs", "mine"), [(1.55555, 1555, 1556), (-1.5559, -1555, -1556)]
)
async def test_row_6_upstream_truncates_positions_and_ours_rounds_to_the_nearest(
    upstream, ours, start, theirs, mine
):
    spec = Fly(0.1 @ Linspace.bounded("x", start, 2.5, 3))
    assert (await upstream(spec, 0.01))[2] == Row(1, "POSA>=POSITION", theirs, 0, 0)
    assert (await ours(spec, 0.01))[0].position == mine


async def test_row_7_upstream_loses_a_microsecond_to_truncation_and_ours_not_a_tick(upstream, ours):
    assert (await upstream(x_line(0.3), 0.1))[-1] == Row(3, "Immediate", 0, 199_999, 100_000)
    times = (200_000 * US, 100_000 * US)
    assert await ours(x_line(0.3), 0.1) == [
        Row(1, "POSA>=POSITION", 750, *times),
        Row(2, "Immediate", 0, *times),
    ]


async def test_row_7_upstream_has_no_dead_time_below_a_microsecond_and_ours_has_a_tick(
    upstream, ours
):
    # time2 of 0 plays as one µs, so that each of upstream's frames is 1 µs longer than it says
    assert (await upstream(x_line(0.1), TICK))[-1] == Row(3, "Immediate", 0, 99_999, 0)
    first, rest, closing = await ours(x_line(0.1), TICK)
    assert (first[3:], rest[3:]) == ((12_499_999, 1), (12_499_999, 1))
    assert (closing.trigger, closing.time1) == ("Immediate", 0)


async def test_row_7_upstream_has_no_pulses_of_a_microsecond_and_ours_has(upstream, ours):
    assert (await upstream(x_line(1e-6), TICK))[-1] == Row(3, "Immediate", 0, 0, 0)
    first, rest, _ = await ours(x_line(1e-6), TICK)
    assert first == Row(1, "POSA>=POSITION", 750, 124, 1)
    assert rest == Row(2, "Immediate", 0, 124, 1)


async def test_row_8_upstream_tells_of_a_negative_uint_where_the_dead_time_is_too_long_and_ours_why(
    upstream, ours
):
    with pytest.raises(ValidationError, match=r"time1: Cannot cast \[-100000\] to uint32"):
        await upstream(x_line(0.1), 0.2)
    words = "frame 0 duration cannot be 0.1: .* beside a dead time of 25000000 ticks"
    with pytest.raises(FieldValueError, match=words):
        await ours(x_line(0.1), 0.2)


async def test_row_8_upstream_overflows_after_4294_s_and_ours_goes_on(upstream, ours):
    with pytest.raises(ValidationError, match=r"time1: Cannot cast \[4999800000\] to uint32"):
        await upstream(x_line(5000), 0.2)
    lines = await ours(x_line(5000), 0.2)
    ticks = sum(line.repeats * (line.time1 + line.time2) for line in lines)
    assert ticks == 3 * 5000 * 125_000_000


async def test_row_9_upstream_fails_above_65535_frames_a_window_and_ours_splits_them(
    upstream, ours
):
    spec = x_line(1e-3, frames=70_000)
    with pytest.raises(ValidationError, match=r"repeats: Cannot cast \[np.int64\(70000\)\]"):
        await upstream(spec, 1e-4)
    assert [line.repeats for line in await ours(spec, 1e-4)] == [1, 65_535, 4464]


async def test_row_10_upstream_has_1024_windows_at_most_and_ours_what_the_box_takes(upstream, ours):
    def grid(windows: int) -> Fly[str]:
        return Fly(1e-3 @ (Line("y", 0, 1, windows) * Line("x", 1, 2, 3)))

    assert len(await upstream(grid(1024), 1e-4)) == 4096
    with pytest.raises(ValidationError, match="Length 4097 is too long"):
        await upstream(grid(1025), 1e-4)
    # two lines a window, and a guard between windows
    assert len(await ours(grid(1025), 1e-4)) == 1025 * 3 - 1
    assert len(await ours(grid(2000), 1e-4)) == 2000 * 3 - 1


async def test_row_11_upstream_copies_all_lines_for_each_new_one_and_ours_does_not(
    upstream, ours, monkeypatch
):
    copied = [0]
    add = Table.__add__

    def counted(self: Any, other: Any) -> Any:
        copied[0] += len(self)
        return add(self, other)

    monkeypatch.setattr(Table, "__add__", counted)

    async def copies(program: Any, windows: int) -> int:
        copied[0] = 0
        await program(Fly(1e-3 @ (Line("y", 0, 1, windows) * Line("x", 1, 2, 3))), 1e-4)
        return copied[0]

    assert [await copies(upstream, windows) for windows in (10, 20)] == [780, 3160]
    assert await copies(ours, 20) == 0


@pytest.mark.parametrize(
    ("placement", "phases"),
    [
        (Placement.END, [(80_000 * US, True), (20_000 * US, False)]),
        (Placement.START, [(20_000 * US, False), (80_000 * US, True)]),
        (Placement.CENTRE, [(10_000 * US, False), (80_000 * US, True), (10_000 * US, False)]),
    ],
)
async def test_row_14_upstream_is_live_first_and_ours_where_it_is_asked_to(
    upstream, ours, panda, placement, phases
):
    assert (await upstream(x_line(0.1), 0.02))[-1][3:] == (80_000, 20_000)
    await ours(x_line(0.1), 0.02, placement=placement)
    played = live_phases(await panda.seq[1].table.get_value())
    assert played[: -1 if placement is Placement.START else None] == joined(phases * 3)


def live_phases(table: SeqTable) -> list[tuple[int, bool]]:
    """Return for how many ticks OUTA is high and low in turns, repeats played out."""
    lines = zip(table.repeats, table.time1, table.outa1, table.time2, table.outa2, strict=True)
    return joined(
        (int(ticks), bool(live))
        for repeats, time1, live1, time2, live2 in lines
        for _ in range(repeats)
        for ticks, live in ((time1, live1), (time2, live2))
        if ticks
    )


def joined(phases: Iterable[tuple[int, bool]]) -> list[tuple[int, bool]]:
    """Join neighbours of the same level."""
    return [
        (sum(ticks for ticks, _ in group), live)
        for live, group in groupby(phases, key=lambda phase: phase[1])
    ]


async def test_row_15_upstream_tells_of_a_cast_where_a_position_has_no_32_bits_and_ours_the_axis(
    upstream, ours
):
    spec = x_line(0.1, 1e6, 2e6)
    with pytest.raises(ValidationError, match=r"position: Cannot cast \[7500+\] to int32"):
        await upstream(spec, 0.01, scale=1e-5)
    words = "frame 0 start of x cannot be 75000000000.0: .* 32 bits: look at the scale and offset"
    with pytest.raises(FieldValueError, match=words):
        await ours(spec, 0.01, scale=1e-5)
