"""More plans as beamlines have them: tables by hand, floats and words for values (4.7)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
from ophyd_async.core import FlyMotorInfo, TriggerInfo
from ophyd_async.fastcs.panda import (
    PandaPcompDirection,
    PcompInfo,
    SeqTable,
    SeqTableInfo,
    SeqTrigger,
)

from .wild import LEVEL, MRES, get_encoder_counts, load

# X-ray absorption by a table: a line for each energy, up and back, and nobody waits for a prepare


def create_seqtable(positions: Any, **kwargs: Any) -> SeqTable:
    counts = [int(get_encoder_counts(position)) for position in positions]
    direction = [
        SeqTrigger.POSA_GT if current < following else SeqTrigger.POSA_LT
        for current, following in pairwise(counts)
    ]
    direction.append(direction[-1])
    table = SeqTable.empty()
    for trigger, position in zip(direction, counts, strict=True):
        table += SeqTable.row(repeats=1, trigger=trigger, position=position, **kwargs)
    return table


def add_start_end_triggers(table: SeqTable) -> None:
    columns = dict(table)
    columns["outb1"][0] = True
    for i in range(len(table) - 1):
        if table.trigger[i] != table.trigger[i + 1]:
            columns["outc1"][i] = True
            columns["outb1"][i + 1] = True
    columns["outc1"][-1] = True


def prepare_seq_table(logics: Any, panda: Any, table: SeqTable, repeats: int = 1) -> Any:
    flyer = logics.StaticSeqTableFlyableLogic(panda.seq[1]).with_device(name="table")
    info = TriggerInfo(number_of_events=len(table), trigger=LEVEL, livetime=1e-5, deadtime=1e-5)

    def inner_plan() -> Any:
        yield from bps.prepare(panda, info)
        table_info = SeqTableInfo(sequence_table=table, repeats=repeats, prescale_as_us=1)
        yield from bps.prepare(flyer, table_info, wait=True)
        yield from bps.kickoff(flyer)

    return inner_plan


def test_a_table_of_positions_up_and_back_gives_a_row_at_each(beamline, logics):
    line = beamline(1.0)  # nobody waits for the kickoff of the table, so the stage may not hurry
    line.simulator.call(line.simulator.world.connect, "x", 1, 1 / MRES)
    panda, x = line.panda, line.axes["x"].motor
    line.set(
        (panda.inenc[1].val_scale, 1), (panda.inenc[1].val_capture, "Value"),
        (panda.seq[1].posa, "INENC1.VAL"), (panda.pcap.enable, "ONE"),
        (panda.pcap.trig, "SEQ1.OUTA"), (panda.pcap.trig_edge, "Rising"), (x.velocity, 10.0),
    )  # fmt: skip
    positions = np.round(np.linspace(0.2, 1.4, 25) ** 2, 3)  # unequal steps
    table = create_seqtable([*positions, *positions[::-1]], time1=1, outa1=True, time2=1)
    add_start_end_triggers(table)
    prepare = prepare_seq_table(logics, panda, table)

    @bpp.stage_decorator([panda])
    @bpp.run_decorator()
    def plan() -> Any:
        ways = [(-0.2, 2.2), (2.2, -0.2)]
        for n, (start, end) in enumerate(ways):
            info = FlyMotorInfo(start_position=start, end_position=end, time_for_move=1.0)
            yield from bps.prepare(x, info, wait=True)
            if n == 0:
                yield from prepare()
                yield from bps.declare_stream(panda, name="primary", collect=True)
                yield from bps.kickoff(panda)
            yield from bps.kickoff(x, wait=True)
            yield from bps.collect_while_completing(
                flyers=[x], dets=[panda], stream_name="primary", flush_period=0.5
            )

    line.run(plan())
    counts = [int(get_encoder_counts(position)) for position in positions]
    rows = line.rows()["INENC1.VAL.Value"].tolist()
    assert rows[:25] == counts
    assert rows[26:] == counts[::-1][1:]
    assert line.documents[-1][1]["num_events"] == {"primary": 50}


# Crystals: settings of the beamline, encoders homed, a table by hand, everything as strings

MM_TO_ENCODER_COUNTS = 200000


def test_a_grid_of_crystals_is_armed_by_words_and_triggers_in_both_directions(beamline):
    line = beamline(20.0)
    call, world = line.simulator.call, line.simulator.world
    call(world.connect, "x", 1, MM_TO_ENCODER_COUNTS)
    panda, x = line.panda, line.axes["x"].motor
    steps, step, start = 8, 0.02, 0.1
    begin = int(start * MM_TO_ENCODER_COUNTS)
    end = int(begin + step * (steps - 1) * MM_TO_ENCODER_COUNTS)
    exposure = int(0.01 * MM_TO_ENCODER_COUNTS)
    table = SeqTable.empty()
    for trigger, position in (
        (SeqTrigger.POSA_GT, begin),
        (SeqTrigger.POSA_LT, end + exposure),
    ):
        table += SeqTable.row(trigger=SeqTrigger.BITA_1, time2=1)
        table += SeqTable.row(
            repeats=steps, trigger=trigger, position=position, time1=50, outa1=True, time2=19_950
        )

    def shutter_line(level: int) -> Any:
        async def drive() -> None:
            call(world.drive, "TTLIN", 1, level)

        yield from bps.wait_for([drive])

    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.stage(panda, group="panda-config")
        yield from load(line, "panda-gridscan")
        initial = yield from bps.rd(x.user_readback)
        yield from bps.abs_set(panda.inenc[1].setp, initial * MM_TO_ENCODER_COUNTS, wait=True)
        yield from bps.abs_set(panda.pulse[1].width, 0.001, group="panda-config")
        yield from bps.abs_set(panda.seq[1].table, table, group="panda-config")
        yield from bps.abs_set(panda.pcap.enable, "ONE", group="panda-config")
        yield from bps.wait(group="panda-config", timeout=60)
        back = yield from bps.rd(panda.seq[1].table)
        assert list(back.position) == list(table.position)
        for signal in (panda.seq[1].enable, panda.pulse[1].enable, panda.counter[1].enable):
            yield from bps.abs_set(signal, "ONE", group="arm")
        yield from bps.abs_set(panda.pcap.arm, "Arm", group="arm")
        yield from bps.wait(group="arm", timeout=60)
        assert (yield from bps.rd(panda.pcap.active))
        yield from bps.mv(x.velocity, 1.0)
        for position in (0.4, 0.0):
            yield from shutter_line(1)
            yield from bps.mv(x, position)
            yield from shutter_line(0)
        assert (yield from bps.rd(panda.counter[1].out)) == 2 * steps
        yield from bps.abs_set(panda.pcap.arm, "Disarm", group="disarm")
        for signal in (panda.counter[1].enable, panda.seq[1].enable, panda.pulse[1].enable):
            yield from bps.abs_set(signal, "ZERO", group="disarm")
        yield from bps.abs_set(panda.pcap.enable, "ZERO", group="disarm")
        yield from bps.wait(group="disarm", timeout=60)
        yield from bps.unstage(panda, wait=True)

    line.run(plan())
    assert line.exit_status == "success"
    assert line.ask("PCAP.ACTIVE?") == "OK =0\n"


# A test stand: floats for counts, a value before its units, a stream that is declared twice


def test_a_step_that_is_a_float_and_a_stream_that_is_declared_again(beamline, logics):
    line = beamline(20.0)
    panda, x = line.panda, line.axes["x"].motor
    flyer = logics.StaticPcompFlyableLogic(panda.pcomp[1]).with_device(name="flyer")

    def plan() -> Any:
        yield from bps.mv(
            panda.pcomp[1].inp, "INENC1.VAL", panda.pcap.enable, "PCOMP1.ACTIVE",
            panda.pcap.trig, "PCOMP1.OUT", panda.inenc[1].val_capture, "Value",
        )  # fmt: skip
        yield from bps.mv(panda.pcomp[1].step, 200.0)
        assert (yield from bps.rd(panda.pcomp[1].step)) == 200
        yield from bps.mv(panda.clock[1].period, 1.0)
        yield from bps.mv(panda.clock[1].period_units, "ms")
        yield from bps.mv(x, -1)
        yield from bps.open_run()
        yield from bps.stage_all(panda, flyer)
        info = PcompInfo(
            start_position=0,
            pulse_width=1,
            rising_edge_step=200,
            number_of_pulses=10,
            direction=PandaPcompDirection.POSITIVE,
        )
        yield from bps.prepare(flyer, info, wait=True)
        yield from bps.prepare(panda, TriggerInfo(number_of_events=10, trigger=LEVEL), wait=True)
        yield from bps.declare_stream(panda, name="primary", collect=True)
        yield from bps.kickoff_all(flyer, panda, wait=True)
        yield from bps.abs_set(x, 3, group="move")
        yield from bps.complete_all(flyer, panda, wait=True)
        yield from bps.declare_stream(panda, name="primary", collect=True)
        yield from bps.collect(panda, name="primary")
        yield from bps.wait("move")
        yield from bps.unstage_all(panda, flyer)
        yield from bps.close_run()

    line.run(plan())
    assert np.rint(line.rows()["INENC1.VAL.Value"] * 1000).tolist() == [200 * n for n in range(10)]
    assert line.documents[-1][1]["num_events"] == {"primary": 10}
