"""Wrong cases of upstream's logics beside ours, as they run: the same box, the same scan.

Numbers in brackets in names are the rows of flyscan.md 2.2 and 2.3.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from bluesky.protocols import Pausable
from ophyd_async.fastcs.panda import (
    PandaPcompDirection,
    PcompInfo,
    PosOutScaleOffset,
    ScanSpecInfo,
    SeqTable,
    SeqTableInfo,
)
from ophyd_async.fastcs.panda import ScanSpecSeqTableFlyableLogic as UpstreamScan
from ophyd_async.fastcs.panda import StaticPcompFlyableLogic as UpstreamPcomp
from ophyd_async.fastcs.panda import StaticSeqTableFlyableLogic as UpstreamTable
from scanspec.specs import Fly, Line  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.errors import CompareError, SequenceError
from panda_ophyd.flyers import (
    ScanSpecSeqTableFlyableLogic,
    StaticPcompFlyableLogic,
    StaticSeqTableFlyableLogic,
)

from .conftest import set_all

PATIENCE = 0.5


@pytest.fixture
async def counted(panda) -> PosOutScaleOffset:
    """Return an encoder, x in mm, that counts one µm a µs once the soft bit B is set."""
    await set_all(
        panda,
        (panda.clock[1].period_units, "us"), (panda.clock[1].period, 1),
        (panda.clock[1].enable, "BITS.OUTB"), (panda.counter[1].enable, "ONE"),
        (panda.counter[1].trig, "CLOCK1.OUT"), (panda.counter[1].out_scale, 1e-3),
        (panda.counter[1].out_capture, "Min Max"), (panda.pcomp[1].inp, "COUNTER1.OUT"),
    )  # fmt: skip
    counter = panda.counter[1]
    return PosOutScaleOffset("COUNTER1.OUT", counter.out_scale, counter.out_offset)


def line(duration: float = 1e-4) -> Any:
    """Eleven frames of 0.1 mm from 0.95 mm on, as fast as the encoder counts."""
    return Fly(duration @ Line("x", 1, 2, 11))


async def starts(panda: Any) -> None:
    """Open the gate before the stage moves: time flies between two writes."""
    await panda.bits.a.set(1)
    await panda.bits.b.set(1)


async def test_row_12_upstream_waits_for_ever_for_a_gate_that_is_not_there_and_ours_does_without(
    panda, fly, counted
):
    info = ScanSpecInfo(spec=line(), deadtime=1e-5)
    theirs = UpstreamScan(panda.seq[1], {"x": counted})  # pyright: ignore[reportArgumentType]
    await theirs.on_prepare(info)
    await theirs.on_kickoff(None)
    await starts(panda)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(theirs.on_complete(None), 1)
    assert await panda.seq[1].table_line.get_value() == 2  # BITA=1, and BITA is ZERO
    await theirs.stop()
    await set_all(panda, (panda.bits.b, 0), (panda.counter[1].enable, "ZERO"))
    await panda.counter[1].enable.set("ONE")
    mine = ScanSpecSeqTableFlyableLogic(panda.seq[1], {"x": counted}, patience=PATIENCE)
    rows = await fly(mine, info, 11, meanwhile=starts(panda))
    assert len(rows) == 11


@pytest.mark.parametrize(
    ("logic", "late"), [(UpstreamScan, (4, 5)), (ScanSpecSeqTableFlyableLogic, (0,))]
)
async def test_row_13_upstream_starts_a_window_late_and_ours_at_its_position(
    panda, fly, counted, logic, late
):
    # five counts a µs, which is what upstream's line of a compare takes
    await set_all(panda, (panda.seq[1].bita, "BITS.OUTA"), (panda.clock[1].period, 0.2))
    info = ScanSpecInfo(spec=line(2e-5), deadtime=2e-6)
    rows = await fly(logic(panda.seq[1], {"x": counted}), info, 11, meanwhile=starts(panda))
    begins = np.rint(rows.columns["COUNTER1.OUT.Min"] * 1000).astype(int).tolist()
    assert begins[0] - 950 in late
    assert np.diff(begins).tolist() == [100] * 10


@pytest.mark.parametrize("logic", [UpstreamTable, StaticSeqTableFlyableLogic])
async def test_row_16_a_sequence_of_ten_microseconds_is_seen_by_either_logic_on_our_device(
    panda, fly, logic
):
    """Upstream's wait for ACTIVE fails on a device that polls; ours tells of pulses too."""
    table = SeqTable.row(repeats=1, time1=9, outa1=True, time2=1)
    rows = await fly(logic(panda.seq[1]), SeqTableInfo(sequence_table=table, repeats=1), 1)
    assert len(rows) == 1


async def test_row_18_upstream_waits_for_ever_for_an_encoder_and_ours_tells_what_it_waits_for(
    panda, counted
):
    info = ScanSpecInfo(spec=line(), deadtime=1e-5)
    await set_all(panda, (panda.seq[1].bita, "BITS.OUTA"))
    theirs = UpstreamScan(panda.seq[1], {"x": counted})  # pyright: ignore[reportArgumentType]
    await theirs.on_prepare(info)
    await theirs.on_kickoff(None)
    await panda.bits.a.set(1)  # the gate opens, but the stage stands
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(theirs.on_complete(None), 1)
    await theirs.stop()
    mine = ScanSpecSeqTableFlyableLogic(panda.seq[1], {"x": counted}, patience=PATIENCE)
    await mine.on_prepare(info)
    await mine.on_kickoff(None)
    words = r"SEQ1: 0 of 11 frames: nothing has moved for .* waiting for POSA>=950"
    with pytest.raises(SequenceError, match=words):
        await mine.on_complete(None)
    await mine.stop()


def compare(pulses: int = 20) -> PcompInfo:
    return PcompInfo(
        start_position=100,
        rising_edge_step=50,
        pulse_width=10,
        number_of_pulses=pulses,
        direction=PandaPcompDirection.POSITIVE,
    )


async def fly_compare(panda: Any, logic: Any, value: PcompInfo) -> None:
    """Fly a compare from the position the counter starts at, to the block's end."""
    ctx = await logic.on_kickoff(await logic.on_prepare(value))
    await panda.bits.b.set(1)
    try:
        await asyncio.wait_for(logic.on_complete(ctx), 3)
    finally:
        await logic.stop()


@pytest.mark.parametrize(
    ("logic", "verdict"),
    [
        (UpstreamPcomp, nullcontext()),
        (
            StaticPcompFlyableLogic,
            pytest.raises(CompareError, match="4 of 20 pulses: Position jumped by more than STEP"),
        ),
    ],
)
async def test_row_19_upstream_calls_a_jump_of_the_position_a_success_and_ours_an_error(
    panda, counted, logic, verdict
):
    # 20 µs after the fourth pulse the position is 200 further: the second counter starts there
    await set_all(
        panda,
        (panda.div[1].enable, "ONE"), (panda.div[1].inp, "PCOMP1.OUT"), (panda.div[1].divisor, 4),
        (panda.pulse[1].enable, "ONE"), (panda.pulse[1].trig, "DIV1.OUTD"),
        (panda.pulse[1].delay_units, "us"), (panda.pulse[1].delay, 20),
        (panda.pulse[1].width_units, "s"), (panda.pulse[1].width, 1),
        (panda.counter[2].start, 200), (panda.counter[2].enable, "PULSE1.OUT"),
        (panda.calc[1].inpa, "COUNTER1.OUT"), (panda.calc[1].inpb, "COUNTER2.OUT"),
        (panda.pcomp[1].inp, "CALC1.OUT"),
    )  # fmt: skip
    with verdict:
        await fly_compare(panda, logic(panda.pcomp[1]), compare())
    assert await panda.pcomp[1].produced.get_value() == 4


async def test_row_20_upstream_never_fires_with_a_leftover_pre_start_and_ours_does(panda, counted):
    await panda.pcomp[1].pre_start.set(200)
    with pytest.raises(TimeoutError):
        await fly_compare(panda, UpstreamPcomp(panda.pcomp[1]), compare())
    assert await panda.pcomp[1].produced.get_value() == 0
    await set_all(panda, (panda.bits.b, 0), (panda.counter[1].enable, "ZERO"))
    await panda.counter[1].enable.set("ONE")
    await panda.pcomp[1].pre_start.set(200)
    await fly_compare(panda, StaticPcompFlyableLogic(panda.pcomp[1]), compare())
    assert await panda.pcomp[1].produced.get_value() == 20


@pytest.mark.parametrize(("logic", "first"), [(UpstreamPcomp, 150), (StaticPcompFlyableLogic, 100)])
async def test_row_20_a_leftover_relative_moves_upstreams_pulses_and_not_ours(
    panda, fly, counted, logic, first
):
    await set_all(
        panda,
        (panda.pcomp[1].relative, "Relative"), (panda.counter[1].enable, "ZERO"),
        (panda.counter[1].start, 50), (panda.counter[1].enable, "ONE"),
        (panda.counter[1].out_capture, "Value"), (panda.pcap.enable, "PCOMP1.ACTIVE"),
        (panda.pcap.gate, "ONE"), (panda.pcap.trig, "PCOMP1.OUT"),
        (panda.pcap.trig_edge, "Rising"),
    )  # fmt: skip
    rows = await fly(logic(panda.pcomp[1]), compare(), 20, meanwhile=starts(panda))
    counts = np.rint(rows.columns["COUNTER1.OUT.Value"] * 1000).astype(int).tolist()
    assert counts == [*range(first, first + 1000, 50)]


async def test_row_21_upstreams_flyers_cannot_be_paused_and_ours_can(panda):
    theirs = UpstreamTable(panda.seq[1]).with_device(name="theirs")
    ours = StaticSeqTableFlyableLogic(panda.seq[1]).with_device(name="ours")
    assert not isinstance(theirs, Pausable)
    assert isinstance(ours, Pausable)


class OwnCompare(StaticPcompFlyableLogic):
    """As a beamline has it for upstream's logic: all methods its own, and no state passed on."""

    def __init__(self, pcomp: Any) -> None:
        self.pcomp = pcomp

    async def on_prepare(self, value: PcompInfo) -> Any:
        await set_all(
            self.pcomp,
            (self.pcomp.enable, "ZERO"),
            (self.pcomp.start, value.start_position), (self.pcomp.width, value.pulse_width),
            (self.pcomp.step, value.rising_edge_step),
            (self.pcomp.pulses, value.number_of_pulses), (self.pcomp.dir, value.direction),
        )  # fmt: skip

    async def on_kickoff(self, ctx: Any) -> Any:
        await set_all(self.pcomp, (self.pcomp.enable, "ONE"))


async def test_a_subclass_that_was_written_for_upstreams_compare_is_judged_all_the_same(
    panda, counted
):
    logic = OwnCompare(panda.pcomp[1])
    await fly_compare(panda, logic, compare())
    assert logic.progress() == (20, 20)
    await set_all(panda, (panda.bits.b, 0), (panda.pcomp[1].pre_start, 200))
    logic.patience = PATIENCE
    with pytest.raises(CompareError, match="0 of 20 pulses: nothing has moved"):
        await fly_compare_standing(logic, compare())


async def fly_compare_standing(logic: Any, value: PcompInfo) -> None:
    ctx = await logic.on_kickoff(await logic.on_prepare(value))
    try:
        await asyncio.wait_for(logic.on_complete(ctx), 5)
    finally:
        await logic.stop()


class OwnTable(StaticSeqTableFlyableLogic):
    """As a beamline has it for upstream's logic, with an ``__init__`` of its own."""

    def __init__(self, seq: Any) -> None:
        self.seq = seq


async def test_a_subclass_that_was_written_for_upstreams_table_logic_runs(panda, fly):
    table = SeqTable.row(repeats=3, time1=9, outa1=True, time2=1)
    rows = await fly(OwnTable(panda.seq[1]), SeqTableInfo(sequence_table=table, repeats=1), 3)
    assert len(rows) == 3
