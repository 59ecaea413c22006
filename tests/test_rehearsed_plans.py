"""Plans as a user rehearses them: a simulated stage, a simulated PandA, the driver, a RunEngine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Literal

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import h5py
import numpy as np
import pytest
from bluesky.run_engine import RunEngine, call_in_bluesky_event_loop
from bluesky.utils import FailedStatus
from ophyd_async.core import (
    DetectorTrigger,
    FlyMotorInfo,
    StaticFilenameProvider,
    StaticPathProvider,
    TriggerInfo,
    init_devices,
)
from ophyd_async.fastcs.panda import PandaPcompDirection, PcompInfo, StaticPcompFlyableLogic

from panda_ophyd import HDFPanda, PandaError
from panda_simulator import Simulator, serve_in_thread
from panda_simulator.motor import SimMotor

Speed = float | Literal["free"]
Beamline = Callable[[Speed], tuple[Simulator, Any, SimMotor]]

COUNTS = 10_000
"""Counts in a millimetre."""


@pytest.fixture(scope="module")
def engine() -> Iterator[RunEngine]:
    engine = RunEngine()
    yield engine
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    engine._th.join()
    engine.loop.close()


@pytest.fixture
def beamline(engine: RunEngine, tmp_path: Path) -> Iterator[Beamline]:
    """Make a simulator at a speed, a connected PandA, and a motor that its INENC1 follows."""
    with ExitStack() as stack:

        def make(speed: Speed) -> tuple[Simulator, Any, SimMotor]:
            simulator = stack.enter_context(serve_in_thread(speed=speed))
            provider = StaticPathProvider(StaticFilenameProvider("scan"), tmp_path)
            with init_devices():
                panda = HDFPanda(simulator.address, provider, name="panda")
                x = SimMotor(simulator.world.axes["x"], simulator.call, name="x")

            def disconnect() -> None:
                with suppress(PandaError):
                    call_in_bluesky_event_loop(panda.disconnect())

            stack.callback(disconnect)
            return simulator, panda, x

        yield make


def documents_of(engine: RunEngine, plan: Any) -> list[tuple[str, Any]]:
    documents: list[tuple[str, Any]] = []
    engine(plan, lambda name, doc: documents.append((name, doc)))
    return documents


@pytest.mark.parametrize("speed", [50.0, "free"])
def test_a_step_scan_reads_the_encoder_where_the_stage_stands(engine, beamline, speed):
    _, panda, x = beamline(speed)
    documents = documents_of(engine, bp.scan([panda.inenc[1].val], x, -1, 1, 9))
    events = [doc["data"] for name, doc in documents if name == "event"]
    targets = np.linspace(-1, 1, 9).tolist()
    assert [event["x"] for event in events] == targets
    assert [event["panda-inenc-1-val"] for event in events] == [
        round(target * COUNTS) for target in targets
    ]


@pytest.mark.parametrize("speed", [20.0, "free"])
@pytest.mark.parametrize("forth", [True, False])
def test_a_flown_motor_passes_every_compare_position_at_its_speed(
    engine, beamline, tmp_path, speed, forth
):
    _, panda, x = beamline(speed)
    points, step, velocity = 40, 0.05, 2.0
    first, last = (1.0, 2.95) if forth else (2.95, 1.0)
    # half a step before the first compare position, and behind the last
    room = step / 2 if forth else -step / 2
    flown = FlyMotorInfo(
        start_position=first - room,
        end_position=last + room,
        time_for_move=points * step / velocity,
    )
    compare = StaticPcompFlyableLogic(panda.pcomp[1]).with_device(name="compare")
    info = PcompInfo(
        start_position=round(first * COUNTS),
        pulse_width=100,
        rising_edge_step=round(step * COUNTS),
        number_of_pulses=points,
        direction=PandaPcompDirection.POSITIVE if forth else PandaPcompDirection.NEGATIVE,
    )

    @bpp.stage_decorator([panda, compare, x])
    @bpp.run_decorator()
    def fly() -> Any:
        yield from bps.mv(
            panda.pcomp[1].inp, "INENC1.VAL", panda.pcap.enable, "PCOMP1.ACTIVE",
            panda.pcap.trig, "PCOMP1.OUT", panda.pcap.ts_trig_capture, "Value",
            panda.inenc[1].val_capture, "Value",
        )  # fmt: skip
        yield from bps.mv(x.acceleration_time, 0.2, x.velocity, 10.0)
        yield from bps.prepare(x, flown, wait=True)
        yield from bps.prepare(compare, info, wait=True)
        yield from bps.prepare(
            panda,
            TriggerInfo(number_of_events=points, trigger=DetectorTrigger.EXTERNAL_EDGE),
            wait=True,
        )
        yield from bps.declare_stream(panda, name="primary", collect=True)
        yield from bps.kickoff_all(panda, compare, wait=True)
        yield from bps.kickoff(x, wait=True)
        yield from bps.collect_while_completing(
            flyers=[x, compare, panda], dets=[panda], flush_period=0.1, stream_name="primary"
        )

    documents = documents_of(engine, fly())
    assert documents[-1][1]["exit_status"] == "success"
    with h5py.File(tmp_path / "scan.h5") as file:
        counts = np.asarray(file["INENC1.VAL.Value"])
        ticks = np.rint(np.asarray(file["PCAP.TS_TRIG.Value"]) * 125e6).astype(int)
    way = np.arange(points) * round(step * COUNTS)
    assert counts.tolist() == (info.start_position + (way if forth else -way)).tolist()
    # at the speed of the run all the way, the ramps being outside: to a tick
    expected = round(step / velocity * 125e6)
    assert np.abs(np.diff(ticks) - expected).max() <= 1
    # and it came to rest with its run-down behind it
    assert call_in_bluesky_event_loop(x.user_readback.get_value()) == pytest.approx(
        last + room + (velocity * 0.2 / 2 if forth else -velocity * 0.2 / 2)
    )


def test_a_stopped_motor_fails_the_plan_that_waits_for_it(engine, beamline):
    simulator, _, x = beamline(1.0)

    def plan() -> Any:
        yield from bps.abs_set(x, 500.0, group="move")
        yield from bps.sleep(0.1)
        yield from bps.stop(x)
        yield from bps.wait("move")

    with pytest.raises(FailedStatus):
        engine(plan())
    assert not simulator.call(simulator.world.axes["x"].moving)
    assert 0 < simulator.call(simulator.world.axes["x"].position) < 10


def test_a_run_that_takes_longer_than_its_timeout_fails(engine, beamline):
    _, _, x = beamline(1.0)
    info = FlyMotorInfo(start_position=0.5, end_position=90.0, time_for_move=80.0, timeout=0.2)

    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.mv(x.velocity, 100.0)
        yield from bps.prepare(x, info, wait=True)
        yield from bps.kickoff(x, wait=True)
        yield from bps.complete(x, wait=True)

    with pytest.raises(FailedStatus):
        engine(plan())
    engine(bps.stop(x))
    position = call_in_bluesky_event_loop(x.user_readback.get_value())
    assert 0.4 < position < 50


def test_two_motors_moved_together_by_a_plan_arrive_together(engine, beamline):
    simulator, _, x = beamline("free")
    with init_devices():
        y = SimMotor(simulator.world.axes["y"], simulator.call, name="y")
    documents = documents_of(engine, bp.grid_scan([], x, 0, 1, 3, y, 0, 2, 2, snake_axes=True))
    events = [doc["data"] for name, doc in documents if name == "event"]
    assert [(event["x"], event["y"]) for event in events] == [
        (0, 0), (0, 2), (0.5, 2), (0.5, 0), (1, 0), (1, 2),
    ]  # fmt: skip
