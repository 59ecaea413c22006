"""Scans in time: every tick is where it was asked for (flyscan.md S1, S2, S3, S9)."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from ophyd_async.fastcs.panda import SeqTable
from scanspec.specs import ConstantDuration  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.errors import SequenceError
from panda_ophyd.flyers import (
    ScanInfo,
    ScanSpecSeqTableFlyableLogic,
    SeqTableInfo,
    StaticSeqTableFlyableLogic,
    TimeInfo,
    TimeResolvedFlyableLogic,
)
from panda_ophyd.loading import TableStatus
from panda_ophyd.sequences import GateGuard


async def test_constant_frames_begin_every_period_and_are_live_as_long_as_asked(panda, fly):
    logic = TimeResolvedFlyableLogic(panda.seq[1])
    rows = await fly(logic, TimeInfo([(10, 0.8e-3, 0.2e-3)]), 10)
    assert rows.ticks("TS_START") == [k * 125_000 for k in range(10)]
    live = np.subtract(rows.ticks("TS_END"), rows.ticks("TS_START"))
    assert live.tolist() == [100_000] * 10
    assert rows.ticks("GATE_DURATION") == [100_000] * 10
    assert rows.ticks("TS_TRIG") == rows.ticks("TS_END")
    assert rows.attributes["end_reason"] == b"Ok"


async def test_durations_may_differ(panda, fly):
    groups = [(3, 0.9e-3, 0.1e-3), (2, 1.9e-3, 0.1e-3), (4, 0.4e-3, 0.1e-3)]
    rows = await fly(TimeResolvedFlyableLogic(panda.seq[1]), TimeInfo(groups), 9)
    assert [tick / 125_000 for tick in rows.ticks("TS_START")] == [0, 1, 2, 3, 5, 7, 7.5, 8, 8.5]
    assert rows.ticks("GATE_DURATION") == [112_500] * 3 + [237_500] * 2 + [50_000] * 4
    table = await panda.seq[1].table.get_value()
    assert table.repeats.tolist() == [3, 2, 4]


async def test_a_period_that_is_no_whole_number_of_ticks_loses_none(panda, fly):
    logic = ScanSpecSeqTableFlyableLogic(panda.seq[1])
    rows = await fly(logic, ScanInfo(ConstantDuration(3.3e-6) * 1000, deadtime=8e-9), 1000)
    assert rows.ticks("TS_START")[999] in (412_087, 412_088)
    assert set(rows.spacing()) == {412, 413}


async def test_frames_of_a_microsecond_are_all_there(panda, fly):
    logic = TimeResolvedFlyableLogic(panda.seq[1])
    rows = await fly(logic, TimeInfo([(1000, 0.992e-6, 8e-9)]), 1000)
    assert rows.ticks("GATE_DURATION") == [124] * 1000
    assert rows.spacing() == [125] * 999


async def test_a_scan_of_ten_microseconds_is_seen_to_have_run(panda, fly):
    rows = await fly(TimeResolvedFlyableLogic(panda.seq[1]), TimeInfo([(1, 9e-6, 1e-6)]), 1)
    assert len(rows) == 1


async def test_each_of_some_durations_without_axes_is_a_frame(panda, fly):
    logic = ScanSpecSeqTableFlyableLogic(panda.seq[1])
    rows = await fly(logic, ScanInfo(5 * ConstantDuration(1e-3), deadtime=1e-4), 5)
    assert rows.spacing() == [125_000] * 4


async def test_passes_are_repeated(panda, fly):
    logic = TimeResolvedFlyableLogic(panda.seq[1])
    rows = await fly(logic, TimeInfo([(2, 1e-3, 1e-3), (1, 2e-3, 1e-3)], repeats=3), 9)
    assert rows.ticks("GATE_DURATION") == [125_000, 125_000, 250_000] * 3
    assert (await panda.seq[1].table_repeat.get_value()) == 3


async def test_a_scan_goes_on_in_the_middle_of_a_pass(panda, fly):
    logic = TimeResolvedFlyableLogic(panda.seq[1])
    value = TimeInfo([(2, 1e-3, 1e-3), (1, 2e-3, 1e-3)], repeats=3, start=4)
    rows = await fly(logic, value, 5)
    assert rows.ticks("GATE_DURATION") == [125_000, 250_000, 125_000, 125_000, 250_000]


async def gates(panda: Any, number: int) -> None:
    for _ in range(number):
        await panda.bits.a.set(1)
        while await panda.seq[1].table_line.get_value() < 3:  # noqa: ASYNC110  it falls
            await asyncio.sleep(0)
        await panda.bits.a.set(0)


async def test_each_opening_of_a_gate_gives_a_burst(panda, fly):
    await panda.seq[1].bita.set("BITS.OUTA")
    logic = TimeResolvedFlyableLogic(panda.seq[1], guard=GateGuard(last=True))
    value = TimeInfo([(5, 0.9e-3, 0.1e-3)], repeats=4)
    rows = await fly(logic, value, 20, meanwhile=gates(panda, 4))
    spacing = np.array(rows.spacing())
    within = np.ones(19, bool)
    within[[4, 9, 14]] = False
    assert set(spacing[within]) == {125_000}
    assert await panda.seq[1].table_repeat.get_value() == 4


async def test_gates_that_do_not_come_are_told_with_what_is_waited_for(panda, fly):
    await panda.seq[1].bita.set("BITS.OUTA")
    logic = TimeResolvedFlyableLogic(panda.seq[1], guard=GateGuard(last=True), patience=0.5)
    value = TimeInfo([(5, 0.9e-3, 0.1e-3)], repeats=4)
    words = (
        r"SEQ1: 15 of 20 frames: nothing has moved for .*,"
        r" waiting for BITA=1 \(BITA is BITS.OUTA, at 0\)"
    )
    with pytest.raises(SequenceError, match=words):
        await fly(logic, value, 20, meanwhile=gates(panda, 3))


async def test_a_table_is_played_as_it_is_given(panda, fly):
    table = SeqTable.row(repeats=3, time1=10, outa1=True, time2=5)
    table += SeqTable.row(repeats=2, time1=20, outa1=True, outb1=True, time2=20)
    logic = StaticSeqTableFlyableLogic(panda.seq[1])
    rows = await fly(logic, SeqTableInfo(sequence_table=table, repeats=2), 10)
    assert rows.ticks("GATE_DURATION") == ([1250] * 3 + [2500] * 2) * 2


async def test_a_state_that_does_not_go_with_the_line_is_no_error(panda):
    """They are read one after the other while the block goes on."""
    logic = TimeResolvedFlyableLogic(panda.seq[1])
    await logic.on_prepare(TimeInfo([(5, 1e-3, 1e-3)]))
    status = TableStatus("WAIT_TRIGGER", "OK", repeat=1, line=1, line_repeat=1)
    assert await logic.sequencer._waits_for(status) == ("", {})


async def test_a_sequencer_that_somebody_disables_is_no_success(simulator, panda, fly):
    async def disable() -> None:
        assert simulator._server.command("SEQ1.ENABLE=ZERO") == "OK\n"

    await panda.seq[1].bita.set("BITS.OUTA")
    logic = TimeResolvedFlyableLogic(panda.seq[1], guard=GateGuard())
    with pytest.raises(SequenceError, match="0 of 5 frames: it was disabled before its end"):
        await fly(logic, TimeInfo([(5, 1e-3, 1e-3)]), 5, meanwhile=disable())
