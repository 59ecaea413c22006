"""Plans as beamlines have them today, with nothing changed but names of ophyd-async 0.21 (4.7).

Each runs with upstream's logics and with ours, on our device.
"""

from __future__ import annotations

import math
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
from bluesky.utils import short_uid
from ophyd_async.core import FlyMotorInfo, TriggerInfo, in_micros, wait_for_value
from ophyd_async.fastcs.panda import (
    HDFPanda,
    PandaPcompDirection,
    PcompInfo,
    SeqTable,
    SeqTableInfo,
)

from .wild import LEVEL, MRES, get_encoder_counts, load

# Small angle scattering: the flyer is kicked off before the detectors, and stage is outside the run


def prepare_static_seq_table_flyer_and_detectors_with_same_trigger(
    flyer: Any, detectors: list[Any], frames: int, exposure: float, shutter: float, repeats: int
) -> Any:
    deadtime = 1e-3
    info = TriggerInfo(
        number_of_events=frames * repeats, trigger=LEVEL, deadtime=deadtime, livetime=exposure
    )
    table = (
        SeqTable.row(time1=0, time2=in_micros(shutter), outa2=True)
        + SeqTable.row(
            repeats=frames,
            time1=in_micros(exposure),
            outa1=True,
            outb1=True,
            time2=in_micros(deadtime),
            outa2=True,
        )
        + SeqTable.row(time2=in_micros(shutter))
    )
    table_info = SeqTableInfo(sequence_table=table, repeats=repeats)
    for detector in detectors:
        yield from bps.prepare(detector, info, wait=False, group="prep")
    yield from bps.prepare(flyer, table_info, wait=False, group="prep")
    yield from bps.wait(group="prep")


def fly_and_collect(stream_name: str, flyer: Any, detectors: list[Any]) -> Any:
    yield from bps.declare_stream(*detectors, name=stream_name, collect=True)
    yield from bps.kickoff(flyer, wait=True)
    for detector in detectors:
        yield from bps.kickoff(detector)
    group = short_uid(label="complete")
    yield from bps.complete(flyer, wait=False, group=group)
    for detector in detectors:
        yield from bps.complete(detector, wait=False, group=group)
    done = False
    while not done:
        try:
            yield from bps.wait(group=group, timeout=0.5)
        except TimeoutError:
            pass
        else:
            done = True
        yield from bps.collect(*detectors, return_payload=False, name=stream_name)
    yield from bps.wait(group=group)


def test_a_flyer_that_is_kicked_off_before_the_detectors_loses_no_frame(beamline, logics):
    line = beamline(1.0)
    assert isinstance(line.panda, HDFPanda)
    panda: Any = line.panda
    flyer = logics.StaticSeqTableFlyableLogic(panda.seq[1]).with_device(name="flyer")

    def plan() -> Any:
        yield from bps.mv(
            panda.pcap.enable, "SEQ1.ACTIVE", panda.pcap.gate, "SEQ1.OUTB",
            panda.pcap.trig, "SEQ1.OUTB", panda.pcap.trig_edge, "Falling",
            panda.pcap.ts_start_capture, "Value", panda.pcap.gate_duration_capture, "Value",
        )  # fmt: skip
        yield from bps.stage_all(panda, flyer)
        yield from bps.open_run()
        yield from prepare_static_seq_table_flyer_and_detectors_with_same_trigger(
            flyer, [panda], 15, 4e-3, 2e-3, 2
        )
        yield from fly_and_collect("main", flyer, [panda])
        yield from bps.close_run()
        yield from bps.unstage_all(flyer, panda)

    line.run(plan())
    rows = line.rows()
    shutter = 2 * 250_000
    periods = [625_000] * 14
    assert np.diff(rows.ticks("TS_START")).tolist() == [*periods, 625_000 + shutter, *periods]
    assert rows.ticks("GATE_DURATION").tolist() == [500_000] * 30
    assert line.documents[-1][1]["num_events"] == {"main": 30}


# X-ray absorption: sweeps there and back, one prepare of the PandA, a PCOMP prepared for each


def get_pcomp_info(start: float, stop: float, num: int) -> PcompInfo:
    width = (stop - start) / (num - 1)
    forth = get_encoder_counts(width) > 0
    return PcompInfo(
        start_position=math.floor(get_encoder_counts(start)),
        pulse_width=1,
        rising_edge_step=math.ceil(abs(get_encoder_counts(width))),
        number_of_pulses=num,
        direction=PandaPcompDirection.POSITIVE if forth else PandaPcompDirection.NEGATIVE,
    )


def fly_sweep(
    start: float, stop: float, num: int, duration: float, motor: Any, panda: Any, sweeps: int,
    runup: float, panda_pcomp: Any,
) -> Any:  # fmt: skip
    def one_sweep(start: float, stop: float) -> Any:
        towards = 1.0 if start < stop else -1.0
        motor_info = FlyMotorInfo(
            start_position=start - towards * runup,
            end_position=stop + towards * runup,
            time_for_move=num * duration,
        )
        yield from bps.prepare(motor, motor_info, wait=True)
        yield from bps.prepare(panda_pcomp, get_pcomp_info(start, stop, num), wait=True)
        yield from bps.kickoff(panda_pcomp, wait=True)
        yield from bps.kickoff(motor, wait=True)
        yield from bps.collect_while_completing(
            flyers=[motor], dets=[panda], stream_name="primary", flush_period=0.5
        )

    @bpp.run_decorator()
    @bpp.stage_decorator([panda, panda_pcomp])
    def inner_plan() -> Any:
        info = TriggerInfo(
            number_of_events=num * sweeps, trigger=LEVEL, livetime=duration, deadtime=1e-5
        )
        yield from bps.prepare(panda, info, wait=True)
        yield from bps.declare_stream(panda, name="primary", collect=True)
        yield from bps.kickoff(panda, wait=True)
        for n in range(sweeps):
            yield from one_sweep(*((start, stop) if n % 2 == 0 else (stop, start)))

    yield from inner_plan()


def sweeps_of(line: Any, num: int) -> Any:
    """Return the encoder at each row, a line for each sweep."""
    return line.rows()["INENC1.VAL.Value"].reshape(-1, num)


def test_sweeps_there_and_back_give_rows_that_go_up_and_down_in_turns(beamline, logics):
    line = beamline(20.0)
    line.simulator.call(line.simulator.world.connect, "x", 1, 1 / MRES)
    panda, x = line.panda, line.axes["x"].motor
    flyer = logics.StaticPcompFlyableLogic(panda.pcomp[1]).with_device(name="pcomp")
    line.set(
        (panda.inenc[1].val_scale, 1), (panda.inenc[1].val_capture, "Value"),
        (panda.pcomp[1].inp, "INENC1.VAL"), (panda.pcap.enable, "ONE"),
        (panda.pcap.trig, "PCOMP1.OUT"), (panda.pcap.trig_edge, "Rising"),
        (x.velocity, 10.0),
    )  # fmt: skip
    line.run(fly_sweep(0.0, 1.9, 20, 0.01, x, panda, 5, 0.2, flyer))
    rows = sweeps_of(line, 20)
    up = [-1000 * n for n in range(20)]
    assert rows.tolist() == [up, up[::-1], up, up[::-1], up]
    assert line.documents[-1][1]["num_events"] == {"primary": 100}
    assert line.exit_status == "success"


# The same with a PCOMP for each direction, which wires enable in turns


def own_compare(base: Any) -> Any:
    """Return the beamline's own subclass, which never enables its PCOMP."""

    class OwnCompare(base):
        def __init__(self, pcomp: Any, gate: Any) -> None:
            self.pcomp = pcomp
            self.gate = gate

        async def on_kickoff(self, ctx: None) -> None:
            await wait_for_value(self.pcomp.active, True, timeout=1)

        async def on_prepare(self, value: PcompInfo) -> None:
            await self.gate.force_rst.trigger()
            await self.pcomp.start.set(value.start_position)
            await self.pcomp.width.set(value.pulse_width)
            await self.pcomp.step.set(value.rising_edge_step)
            await self.pcomp.pulses.set(value.number_of_pulses)
            await self.pcomp.dir.set(value.direction)

        async def stop(self) -> None:
            pass

    return OwnCompare


def fly_sweep_both_ways(
    start: float, stop: float, num: int, duration: float, motor: Any, panda: Any, sweeps: int,
    pcomps: list[Any],
) -> Any:  # fmt: skip
    def motor_info(start: float, stop: float) -> FlyMotorInfo:
        return FlyMotorInfo(start_position=start, end_position=stop, time_for_move=num * duration)

    @bpp.run_decorator()
    @bpp.stage_decorator([panda, *pcomps])
    def inner_plan() -> Any:
        yield from bps.prepare(motor, motor_info(start, stop), wait=True)
        yield from bps.prepare(pcomps[0], get_pcomp_info(start, stop, num), wait=True)
        yield from bps.prepare(pcomps[1], get_pcomp_info(stop, start, num), wait=True)
        info = TriggerInfo(
            number_of_events=num * sweeps, trigger=LEVEL, livetime=duration, deadtime=1e-5
        )
        yield from bps.prepare(panda, info, wait=True)
        yield from bps.declare_stream(panda, name="primary", collect=True)
        yield from bps.kickoff(panda, wait=True)
        for n in range(sweeps):
            ends = (start, stop) if n % 2 == 0 else (stop, start)
            yield from bps.prepare(motor, motor_info(*ends), wait=True)
            yield from bps.kickoff(motor, wait=True)
            yield from bps.collect_while_completing(
                flyers=[motor], dets=[panda], stream_name="primary", flush_period=0.5
            )

    yield from inner_plan()


def test_compares_of_both_directions_take_turns_by_the_beamlines_own_wires(beamline, logics):
    line = beamline(20.0)
    line.simulator.call(line.simulator.world.connect, "x", 1, 1 / MRES)
    panda, x = line.panda, line.axes["x"].motor
    own = own_compare(logics.StaticPcompFlyableLogic)
    pcomps = [own(panda.pcomp[n], panda.srgate[1]).with_device(name=f"pcomp{n}") for n in (1, 2)]

    def plan() -> Any:
        yield from load(line, "pcomp_auto_reset")
        yield from bps.mv(x.velocity, 10.0)
        yield from fly_sweep_both_ways(0.0, 1.9, 20, 0.01, x, panda, 5, pcomps)

    line.run(plan())
    rows = sweeps_of(line, 20)
    up = [-1000 * n for n in range(20)]
    assert rows.tolist() == [up, up[::-1], up, up[::-1], up]
    assert line.get(panda.pcomp[1].pre_start) == 50  # the beamline's own, which nobody touched


# Tomography: the PandA comes after the detectors, is flyer and detector, and is asked at the end


def test_a_tomography_finds_the_number_of_rows_after_unstaging(beamline, logics):
    line = beamline(20.0)
    panda, x = line.panda, line.axes["x"].motor
    flyer = logics.StaticPcompFlyableLogic(panda.pcomp[1]).with_device(name="flyer")
    found = []

    def plan() -> Any:
        yield from bps.mv(
            panda.bits.a, 0, panda.bits.b, 1, panda.calc[2].inpa, "INENC1.VAL",
            panda.calc[2].out_capture, "Value", panda.calc[2].out_dataset, "Angle",
            panda.pcomp[1].inp, "INENC1.VAL", panda.pcap.enable, "BITS.OUTB",
            panda.pcap.trig, "PCOMP1.OUT", panda.pcap.trig_edge, "Rising",
            panda.pulse[1].step, 0.02, panda.pulse[1].width, 0.01, panda.pulse[1].pulses, 1,
        )  # fmt: skip
        yield from bps.mv(x, -1)
        counts = yield from bps.rd(panda.calc[2].out)
        step = 100
        info = PcompInfo(
            start_position=int(counts) + 500,
            pulse_width=10,
            rising_edge_step=step,
            number_of_pulses=25,
            direction=PandaPcompDirection.POSITIVE,
        )
        yield from bps.open_run()
        yield from bps.stage_all(panda, flyer)
        yield from bps.prepare(flyer, info, wait=True)
        yield from bps.prepare(
            panda, TriggerInfo(number_of_events=25, trigger=LEVEL, livetime=0.01), wait=True
        )
        yield from bps.kickoff_all(panda, flyer, wait=True)
        yield from bps.declare_stream(panda, name="tomo", collect=True)
        yield from bps.abs_set(x, 3, group="rotate")
        yield from bps.collect_while_completing(
            flyers=[panda], dets=[panda], flush_period=0.1, stream_name="tomo"
        )
        yield from bps.wait("rotate")
        yield from bps.unstage_all(flyer, panda)
        found.append((yield from bps.rd(panda.data.num_captured)))
        yield from bps.close_run()

    line.run(plan())
    assert found == [25]
    assert line.rows()["Angle"].tolist() == [-500 + 100 * n for n in range(25)]
    assert list(line.named("descriptor")[0]["data_keys"]) == ["Angle"]
