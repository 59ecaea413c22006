"""Pause and resume: disarmed and armed again into the same file, with indices that go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import h5py
import numpy as np
import pytest
from bluesky.protocols import Pausable
from bluesky.run_engine import RunEngine, call_in_bluesky_event_loop
from bluesky.utils import RunEngineInterrupted
from ophyd_async.core import (
    DetectorTrigger,
    StaticFilenameProvider,
    StaticPathProvider,
    TriggerInfo,
    init_devices,
)

from panda_ophyd import CaptureError, HDFPanda, PandaError
from panda_simulator import Simulator, serve_in_thread

EDGE = DetectorTrigger.EXTERNAL_EDGE


@pytest.fixture
async def flying(panda: HDFPanda) -> Any:
    children: Any = panda
    await children.pcap.enable.set("ONE")
    await children.pcap.trig.set("BITS.OUTA")
    await children.pcap.ts_trig_capture.set("Value")
    await children.counter[1].enable.set("ONE")
    await children.counter[1].trig.set("BITS.OUTA")
    await children.counter[1].out_capture.set("Value")
    await panda.stage()
    await panda.prepare(TriggerInfo(number_of_events=6, trigger=EDGE, exposure_timeout=1.5))
    await panda.kickoff()
    yield children
    with suppress(PandaError):
        await panda.unstage()


async def rows(panda: Any, number: int) -> None:
    for _ in range(number):
        await panda.bits.a.set(1)
        await panda.bits.a.set(0)


async def test_rows_of_a_pause_are_not_there_and_the_wait_goes_on(simulator, flying, tmp_path):
    done = flying.complete()
    await rows(flying, 2)
    await flying.pause()
    assert simulator._server.command("*PCAP.COMPLETION?") == "OK =Disarmed\n"
    await rows(flying, 3)
    await asyncio.sleep(2)  # longer than a row may take
    assert not done.done
    await flying.resume()
    await rows(flying, 4)
    await asyncio.wait_for(done, 5)
    await flying.unstage()
    with h5py.File(tmp_path / "scan.h5") as file:
        assert len(file["PCAP.TS_TRIG.Value"]) == 6
        assert np.diff(file["COUNTER1.OUT.Value"][:]).tolist() == [1, 4, 1, 1, 1]
        assert file.attrs["complete"]
    assert len(flying.verdict.acquisitions) == 2


async def test_pausing_what_does_not_fly_does_nothing(simulator, panda):
    device: Any = panda
    assert isinstance(device, Pausable)
    await HDFPanda.pause(panda)
    await HDFPanda.resume(panda)
    assert simulator._server.command("*PCAP.COMPLETION?") == "OK =Ok\n"


async def test_pausing_twice_is_pausing_once(flying):
    done = flying.complete()
    await flying.pause()
    await flying.pause()
    await flying.resume()
    await flying.resume()
    await rows(flying, 6)
    await asyncio.wait_for(done, 5)


async def test_unstaging_a_paused_scan_keeps_its_rows(flying, tmp_path):
    await rows(flying, 2)
    await flying.pause()
    await flying.unstage()
    with h5py.File(tmp_path / "scan.h5") as file:
        assert len(file["PCAP.TS_TRIG.Value"]) == 2
        assert file.attrs["complete"]


async def test_a_scan_that_cannot_be_resumed_fails_the_status_that_waits(simulator, flying):
    done = flying.complete()
    await flying.pause()
    simulator.faults.inject("refuse-arm", times=0)
    await flying.resume()
    with pytest.raises(CaptureError, match="will not arm"):
        await asyncio.wait_for(done, 5)


async def test_a_row_lost_after_a_pause_is_told(simulator, flying, monkeypatch):
    monkeypatch.setattr("panda_ophyd.capture.watch.LOST_AFTER", 0.8)
    done = flying.complete()
    await rows(flying, 2)
    await flying.pause()
    await flying.resume()
    simulator.faults.inject("drop-rows", sample=1, count=1)
    await rows(flying, 4)
    with pytest.raises(CaptureError, match=r"captured 4 rows, 3 of them came.*from row 2 on"):
        await asyncio.wait_for(done, 5)


@pytest.fixture(scope="module")
def engine() -> Iterator[RunEngine]:
    engine = RunEngine()
    yield engine
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    engine._th.join()
    engine.loop.close()


@pytest.fixture
def simulated() -> Iterator[Simulator]:
    with serve_in_thread() as simulator:
        yield simulator


def test_the_run_engine_pauses_and_resumes_a_scan(engine, simulated, tmp_path: Path):
    provider = StaticPathProvider(StaticFilenameProvider("scan"), tmp_path)
    with init_devices():
        panda = HDFPanda(simulated.address, provider, name="panda")
    children: Any = panda

    def take(number: int) -> Any:
        for _ in range(number):
            yield from bps.mv(children.bits.a, 1)
            yield from bps.mv(children.bits.a, 0)

    @bpp.stage_decorator([panda])
    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.mv(
            children.pcap.enable, "ONE", children.pcap.trig, "BITS.OUTA",
            children.pcap.ts_trig_capture, "Value",
        )  # fmt: skip
        yield from bps.prepare(panda, TriggerInfo(number_of_events=5, trigger=EDGE), wait=True)
        yield from bps.declare_stream(panda, name="primary", collect=True)
        yield from bps.kickoff(panda, wait=True)
        yield from bps.complete(panda, group="done")
        yield from take(2)
        yield from bps.checkpoint()
        yield from bps.pause()
        yield from take(3)
        yield from bps.wait("done")
        yield from bps.collect(panda, name="primary", return_payload=False)

    documents: list[tuple[str, Any]] = []
    with pytest.raises(RunEngineInterrupted):
        engine(plan(), lambda name, doc: documents.append((name, doc)))
    assert simulated.call(simulated._server.command, "*PCAP.COMPLETION?") == "OK =Disarmed\n"
    engine.resume()
    stops = [doc["indices"]["stop"] for name, doc in documents if name == "stream_datum"]
    assert stops[-1] == 5
    assert len([name for name, _ in documents if name == "stream_resource"]) == 1
    with h5py.File(tmp_path / "scan.h5") as file:
        assert len(file["PCAP.TS_TRIG.Value"]) == 5
    call_in_bluesky_event_loop(panda.disconnect())
