"""The driver on simulated servers of every age: connecting, reading, flying, tables."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import h5py
import numpy as np
import pytest
from bluesky.run_engine import RunEngine, call_in_bluesky_event_loop
from ophyd_async.core import (
    DetectorTrigger,
    Device,
    SignalR,
    StaticFilenameProvider,
    StaticPathProvider,
    TriggerInfo,
    init_devices,
)
from ophyd_async.fastcs.panda import SeqTable, SeqTrigger

from panda_ophyd import CommandError, HDFPanda, PandaClient, introspect
from panda_simulator import Simulator, serve_in_thread

VERSIONS = ("2.0", "2.1", "3.0a2", "3.0", "4.0")
TICK = 8e-9
EVENTS = 10
GATE = 12500
"""Ticks of a frame of 100 us."""


@pytest.fixture(params=VERSIONS)
def version(request) -> str:
    return request.param


@pytest.fixture
def simulated(version: str) -> Iterator[Simulator]:
    with serve_in_thread(server_version=version) as simulator:
        yield simulator


def below(device: Device) -> list[Device]:
    return [d for _, child in device.children() for d in (child, *below(child))]


async def test_everything_that_can_be_read_reads(simulated, version, path_provider, caplog):
    panda = HDFPanda(simulated.address, path_provider, name="panda")
    await panda.connect()
    readable = [child for child in below(panda) if isinstance(child, SignalR)]
    assert len(readable) > 1000
    await asyncio.gather(*(signal.read() for signal in readable))
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    await panda.disconnect()


async def test_what_a_server_lacks_is_found_out_without_comparing_versions(simulated, version):
    async with PandaClient(simulated.address) as client:
        box = await introspect(client)
        assert client.round_trips <= 6
    assert box.sw_version == version
    assert not box.streams_tables
    assert box.combines_captures == (version not in ("2.0", "2.1"))
    assert box.times_samples == (version in ("3.0", "4.0"))
    assert len(box.bits) == 105
    assert "Min Max Mean" in box.capture_choices


async def test_a_table_reads_back_as_written(simulated, path_provider):
    panda: Any = HDFPanda(simulated.address, path_provider, name="panda")
    await panda.connect()
    table = SeqTable.row(repeats=3, trigger=SeqTrigger.BITA_1, position=-5, time1=9, outb2=True)
    for written in (table, table + table, table):
        await panda.seq[1].table.set(written)
        read = await panda.seq[1].table.get_value()
        for name in ("repeats", "trigger", "position", "time1", "outa1", "outb2"):
            assert list(getattr(read, name)) == list(getattr(written, name))
    await panda.disconnect()


async def test_a_capture_that_the_server_does_not_know_is_refused_by_it(simulated, version):
    async with PandaClient(simulated.address) as client:
        if version in ("2.0", "2.1"):
            with pytest.raises(CommandError, match="Invalid capture option"):
                await client.assign("COUNTER1.OUT.CAPTURE", "Value Mean")
        else:
            await client.assign("COUNTER1.OUT.CAPTURE", "Value Mean")


def fly(panda: Any, *, captures_count: bool) -> Any:
    """Count the ticks of ten frames, and average a counter over each."""
    table = SeqTable.row(
        repeats=EVENTS, trigger=SeqTrigger.IMMEDIATE, time1=100, outa1=True, time2=25
    )
    yield from bps.mv(
        panda.pcap.enable, "SEQ1.ACTIVE", panda.pcap.gate, "SEQ1.OUTA",
        panda.pcap.trig, "SEQ1.OUTA", panda.pcap.trig_edge, "Falling",
        panda.pcap.ts_start_capture, "Value", panda.pcap.bits2_capture, "Value",
        panda.pcap.gate_duration_capture, "Value" if captures_count else "No",
        panda.counter[1].enable, "ONE", panda.counter[1].trig, "SEQ1.OUTA",
        panda.counter[1].out_capture, "Min Max Mean",
        panda.counter[1].out_scale, 2.0, panda.counter[1].out_offset, 1.0,
        panda.seq[1].table, table, panda.seq[1].prescale_units, "us",
        panda.seq[1].prescale, 1.0, panda.seq[1].repeats, 1,
    )  # fmt: skip
    info = TriggerInfo(number_of_events=EVENTS, trigger=DetectorTrigger.EXTERNAL_EDGE)

    @bpp.stage_decorator([panda])
    @bpp.run_decorator()
    def run() -> Any:
        yield from bps.prepare(panda, info, wait=True)
        yield from bps.declare_stream(panda, name="primary", collect=True)
        yield from bps.kickoff(panda, wait=True)
        yield from bps.mv(panda.seq[1].enable, "ONE")
        yield from bps.collect_while_completing(
            flyers=[], dets=[panda], flush_period=0.1, stream_name="primary"
        )
        yield from bps.mv(panda.seq[1].enable, "ZERO")

    yield from run()


@pytest.fixture(scope="module")
def engine() -> Iterator[RunEngine]:
    engine = RunEngine()
    yield engine
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    engine._th.join()
    engine.loop.close()


@pytest.mark.parametrize("captures_count", [False, True], ids=["hidden count", "captured count"])
def test_a_fly_scan_is_documented_and_stored_with_the_right_types_and_values(
    engine: RunEngine, simulated: Simulator, version: str, tmp_path: Path, captures_count: bool
) -> None:
    provider = StaticPathProvider(StaticFilenameProvider("scan"), tmp_path)
    with init_devices():
        panda = HDFPanda(simulated.address, provider, name="panda")
    documents: list[tuple[str, Any]] = []
    plan = fly(panda, captures_count=captures_count)
    engine(plan, lambda name, doc: documents.append((name, doc)))
    call_in_bluesky_event_loop(panda.disconnect())
    (descriptor,) = [doc for name, doc in documents if name == "descriptor"]
    resources = [doc for name, doc in documents if name == "stream_resource"]
    with h5py.File(tmp_path / "scan.h5") as file:
        data = {n: item[:] for n, item in file.items() if isinstance(item, h5py.Dataset)}
    assert ("absolute_time" in data) is (version in {"3.0", "4.0"})
    data.pop("absolute_time", None)
    assert len(resources) == len(data) == 5 + captures_count
    for doc in resources:
        stored = data[doc["parameters"]["dataset"].lstrip("/")]
        assert stored.dtype.str == descriptor["data_keys"][doc["data_key"]]["dtype_numpy"]
        assert stored.shape == (EVENTS,)
    level = 2.0 * np.arange(EVENTS + 1) + 1
    # the counter is a tick late: the first tick of a gate sees the level before
    mean = 2.0 * (np.arange(EVENTS) * GATE + GATE - 1) / GATE + 1
    assert data["COUNTER1.OUT.Min"].tolist() == level[:-1].tolist()
    assert data["COUNTER1.OUT.Max"].tolist() == level[1:].tolist()
    assert data["COUNTER1.OUT.Mean"].tolist() == mean.tolist()
    if captures_count:
        ticks = data["PCAP.GATE_DURATION.Value"]
        seconds = version in ("3.0", "4.0")
        assert np.rint(ticks / TICK if seconds else ticks).tolist() == [GATE] * EVENTS
