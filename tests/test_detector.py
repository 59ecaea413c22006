"""Fly scans through a RunEngine: documents, files, and what happens when something fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import h5py
import numpy as np
import pytest
from bluesky.run_engine import RunEngine, call_in_bluesky_event_loop
from event_model import DocumentNames, schema_validators
from ophyd_async.core import (
    AutoIncrementFilenameProvider,
    DetectorTrigger,
    StaticFilenameProvider,
    StaticPathProvider,
    TriggerInfo,
    init_devices,
    set_mock_value,
)
from ophyd_async.fastcs.panda import (
    DatasetTable,
    PandaHdf5DatasetType,
    PandaPcompDirection,
    PcompInfo,
    SeqTable,
    SeqTableInfo,
    SeqTrigger,
    StaticPcompFlyableLogic,
    StaticSeqTableFlyableLogic,
)

from panda_ophyd import CaptureError, HDFPanda, PandaError, WriterError
from panda_ophyd.detector import data_key
from panda_ophyd.writers import CHUNK_ROWS, Hdf5Writer
from panda_simulator import Simulator, serve_in_thread

EDGE = DetectorTrigger.EXTERNAL_EDGE


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


@pytest.fixture
def box(engine: RunEngine, simulated: Simulator, tmp_path: Path) -> Iterator[HDFPanda]:
    provider = StaticPathProvider(StaticFilenameProvider("scan"), tmp_path)
    with init_devices():
        panda = HDFPanda(simulated.address, provider, name="panda")
    yield panda
    with suppress(PandaError):  # a capture that was made to fail says so once more
        call_in_bluesky_event_loop(panda.disconnect())


def documents_of(engine: RunEngine, plan: Any) -> list[tuple[str, Any]]:
    documents: list[tuple[str, Any]] = []
    engine(plan, lambda name, doc: documents.append((name, doc)))
    for name, doc in documents:
        schema_validators[DocumentNames[name]].validate(doc)
    return documents


def sequence(panda: Any, events: int, live: int = 100, dead: int = 25) -> Any:
    """Wire SEQ1 to PCAP and return a plan that flies so many frames of ticks live and dead."""
    flyer = StaticSeqTableFlyableLogic(panda.seq[1]).with_device(name="sequence")
    table = SeqTable.row(
        repeats=events, trigger=SeqTrigger.IMMEDIATE, time1=live, outa1=True, time2=dead
    )
    info = SeqTableInfo(sequence_table=table, repeats=1, prescale_as_us=1)
    yield from bps.mv(
        panda.pcap.enable, "SEQ1.ACTIVE", panda.pcap.gate, "SEQ1.OUTA",
        panda.pcap.trig, "SEQ1.OUTA", panda.pcap.trig_edge, "Falling",
        panda.pcap.ts_start_capture, "Value", panda.pcap.ts_start_dataset, "start",
        panda.pcap.gate_duration_capture, "Value",
        panda.pcap.bits2_capture, "Value", panda.pcap.bits2_dataset, "bits",
    )  # fmt: skip

    @bpp.stage_decorator([panda, flyer])
    @bpp.run_decorator()
    def fly() -> Any:
        yield from bps.prepare(flyer, info, wait=True)
        yield from bps.prepare(panda, TriggerInfo(number_of_events=events, trigger=EDGE), wait=True)
        yield from bps.declare_stream(panda, name="primary", collect=True)
        yield from bps.kickoff_all(panda, flyer, wait=True)
        yield from bps.collect_while_completing(
            flyers=[flyer], dets=[panda], flush_period=0.1, stream_name="primary"
        )

    yield from fly()


def test_a_sequence_writes_one_row_a_frame_and_the_times_are_exact(engine, box, tmp_path):
    documents_of(engine, sequence(box, 10))
    with h5py.File(tmp_path / "scan.h5") as file:
        ticks = np.rint(np.asarray(file["start"]) * 125e6).astype(int)
        gates = np.rint(np.asarray(file["PCAP.GATE_DURATION.Value"]) * 125e6).astype(int)
    assert (ticks - ticks[0]).tolist() == [125 * 125 * n for n in range(10)]
    assert gates.tolist() == [12500] * 10


def test_documents_name_only_rows_on_disk_with_their_true_type(engine, box, tmp_path):
    documents = documents_of(engine, sequence(box, 10))
    (descriptor,) = [doc for name, doc in documents if name == "descriptor"]
    keys = descriptor["data_keys"]
    assert set(keys) == {"start", "bits", "panda-pcap-gate_duration-value"}
    assert keys["start"]["dtype_numpy"] == "<f8"
    assert keys["bits"]["dtype_numpy"] == "<u4"
    resources = {doc["uid"]: doc for name, doc in documents if name == "stream_resource"}
    assert {doc["data_key"] for doc in resources.values()} == set(keys)
    with h5py.File(tmp_path / "scan.h5") as file:
        for doc in resources.values():
            dataset = file[doc["parameters"]["dataset"]]
            assert dataset.chunks == tuple(doc["parameters"]["chunk_shape"]) == (CHUNK_ROWS,)
            assert dataset.dtype.str == keys[doc["data_key"]]["dtype_numpy"]
            assert doc["uri"] == f"file://localhost{tmp_path}/scan.h5"
    for uid in resources:
        indices = [
            (doc["indices"]["start"], doc["indices"]["stop"])
            for name, doc in documents
            if name == "stream_datum" and doc["stream_resource"] == uid
        ]
        assert indices[0][0] == 0
        assert indices[-1][1] == 10
        assert all(a[1] == b[0] for a, b in pairwise(indices))
    assert documents[-1][1]["num_events"] == {"primary": 10}


def test_a_sequence_shorter_than_a_poll_does_not_time_out(engine, box, tmp_path):
    documents_of(engine, sequence(box, 2, live=4, dead=1))
    with h5py.File(tmp_path / "scan.h5") as file:
        assert len(file["start"]) == 2


def test_position_compare_captures_exactly_the_compare_positions(engine, box, simulated, tmp_path):
    from panda_simulator.motor import SimMotor

    children: Any = box
    axis = simulated.world.axes["x"]
    motor = SimMotor(axis, simulated.call, name="x")
    call_in_bluesky_event_loop(motor.connect())
    flyer = StaticPcompFlyableLogic(box.pcomp[1]).with_device(name="compare")
    info = PcompInfo(
        start_position=5000,
        pulse_width=100,
        rising_edge_step=250,
        number_of_pulses=12,
        direction=PandaPcompDirection.NEGATIVE,
    )

    @bpp.stage_decorator([box, flyer])
    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.mv(
            children.pcomp[1].inp, "INENC1.VAL", children.pcap.enable, "PCOMP1.ACTIVE",
            children.pcap.trig, "PCOMP1.OUT", children.inenc[1].val_capture, "Value",
        )  # fmt: skip
        yield from bps.mv(motor.velocity, 10)
        yield from bps.mv(motor, 1.0)
        yield from bps.mv(motor.velocity, 1)
        yield from bps.prepare(flyer, info, wait=True)
        yield from bps.prepare(box, TriggerInfo(number_of_events=12, trigger=EDGE), wait=True)
        yield from bps.declare_stream(box, name="primary", collect=True)
        yield from bps.kickoff_all(box, flyer, wait=True)
        yield from bps.abs_set(motor, 0.0, group="move")
        yield from bps.collect_while_completing(
            flyers=[flyer], dets=[box], flush_period=0.1, stream_name="primary"
        )
        yield from bps.wait("move")

    documents_of(engine, plan())
    with h5py.File(tmp_path / "scan.h5") as file:
        captured = np.asarray(file["INENC1.VAL.Value"])
    assert captured.tolist() == [5000 - 250 * n for n in range(12)]


def gated_capture(panda: Any, rows: int) -> Any:
    """Wire PCAP so that nothing but a disarm ends it, and return a compare of `rows` frames."""
    flyer = StaticSeqTableFlyableLogic(panda.seq[1]).with_device(name="sequence")
    table = SeqTable.row(repeats=rows, trigger="Immediate", time1=100, outa1=True, time2=25)
    info = SeqTableInfo(sequence_table=table, repeats=1, prescale_as_us=1)
    yield from bps.mv(
        panda.pcap.enable, "ONE", panda.pcap.trig, "SEQ1.OUTA", panda.pcap.ts_trig_capture, "Value"
    )
    return flyer, info


@pytest.mark.parametrize("rows", [10, 1000])
def test_a_plan_that_waits_for_its_flyer_alone_still_documents_every_row(engine, box, rows):
    def plan() -> Any:
        flyer, info = yield from gated_capture(box, rows)

        @bpp.stage_decorator([box, flyer])
        @bpp.run_decorator()
        def fly() -> Any:
            yield from bps.prepare(flyer, info, wait=True)
            yield from bps.prepare(box, TriggerInfo(number_of_events=rows, trigger=EDGE), wait=True)
            yield from bps.declare_stream(box, name="primary", collect=True)
            yield from bps.kickoff_all(box, flyer, wait=True)
            yield from bps.collect_while_completing(
                flyers=[flyer], dets=[box], flush_period=0.05, stream_name="primary"
            )

        yield from fly()

    documents = documents_of(engine, plan())
    stops = [doc["indices"]["stop"] for name, doc in documents if name == "stream_datum"]
    assert stops[-1] == rows


def test_a_flyer_kicked_off_before_the_panda_loses_no_row(engine, box, tmp_path):
    def plan() -> Any:
        flyer, info = yield from gated_capture(box, 10)

        @bpp.stage_decorator([box, flyer])
        @bpp.run_decorator()
        def fly() -> Any:
            yield from bps.prepare(flyer, info, wait=True)
            yield from bps.prepare(box, TriggerInfo(number_of_events=10, trigger=EDGE), wait=True)
            yield from bps.declare_stream(box, name="primary", collect=True)
            yield from bps.kickoff(flyer, wait=True)
            yield from bps.sleep(0.3)  # the rows are on disk by now
            yield from bps.kickoff(box, wait=True)
            yield from bps.collect_while_completing(
                flyers=[flyer, box], dets=[box], flush_period=0.05, stream_name="primary"
            )

        yield from fly()

    documents = documents_of(engine, plan())
    stops = [doc["indices"]["stop"] for name, doc in documents if name == "stream_datum"]
    assert stops[-1] == 10
    with h5py.File(tmp_path / "scan.h5") as file:
        assert len(file["PCAP.TS_TRIG.Value"]) == 10


def test_an_acquisition_that_ended_before_kickoff_is_an_error_and_no_hang(engine, box):
    children: Any = box

    @bpp.stage_decorator([box])
    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.mv(
            children.pcap.enable, "BITS.OUTB", children.pcap.trig, "BITS.OUTA",
            children.bits.b, 1, children.pcap.ts_trig_capture, "Value",
        )  # fmt: skip
        yield from bps.prepare(box, TriggerInfo(number_of_events=3, trigger=EDGE), wait=True)
        yield from bps.declare_stream(box, name="primary", collect=True)
        yield from bps.mv(children.bits.b, 0)
        yield from bps.kickoff(box, wait=True)

    with pytest.raises(Exception) as caught:
        engine(plan())
    assert "ended before kickoff, with 0 rows of the 3" in str(caught.value.__cause__)


def test_unstaging_right_after_arming_waits_for_what_was_captured(engine, box, tmp_path):
    children: Any = box

    def plan() -> Any:
        yield from bps.mv(
            children.pcap.enable, "ONE", children.pcap.trig, "BITS.OUTA",
            children.pcap.ts_trig_capture, "Value",
        )  # fmt: skip
        yield from bps.stage(box, wait=True)
        yield from bps.prepare(box, TriggerInfo(number_of_events=9, trigger=EDGE), wait=True)
        yield from bps.mv(children.bits.a, 1)
        yield from bps.unstage(box, wait=True)

    engine(plan())
    with h5py.File(tmp_path / "scan.h5") as file:
        assert len(file["PCAP.TS_TRIG.Value"]) == 1


def test_a_step_scan_takes_a_row_at_each_trigger(engine, box, tmp_path):
    children: Any = box

    @bpp.stage_decorator([box])
    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.mv(
            children.pcap.enable, "ONE", children.pcap.trig, "BITS.OUTA",
            children.pcap.ts_trig_capture, "Value",
        )  # fmt: skip
        yield from bps.prepare(box, TriggerInfo(number_of_events=1, trigger=EDGE), wait=True)
        for _ in range(3):
            yield from bps.trigger(box, group="row")
            yield from bps.mv(children.bits.a, 1)
            yield from bps.mv(children.bits.a, 0)
            yield from bps.wait("row", timeout=5)
            yield from bps.create("primary")
            yield from bps.read(box)
            yield from bps.save()

    documents = documents_of(engine, plan())
    stops = [doc["indices"]["stop"] for name, doc in documents if name == "stream_datum"]
    assert stops == [1, 2, 3]


@pytest.mark.parametrize("per_event", [2, 5])
def test_another_number_of_collections_an_event_begins_another_file(
    engine, simulated, tmp_path, per_event
):
    provider = StaticPathProvider(AutoIncrementFilenameProvider("scan"), tmp_path)
    with init_devices():
        panda = HDFPanda(simulated.address, provider, name="panda")
    children: Any = panda

    @bpp.stage_decorator([panda])
    def plan() -> Any:
        yield from bps.mv(
            children.pcap.enable, "ONE", children.pcap.trig, "BITS.OUTA",
            children.pcap.ts_trig_capture, "Value",
        )  # fmt: skip
        for collections in (1, per_event):
            info = TriggerInfo(number_of_events=1, collections_per_event=collections, trigger=EDGE)
            yield from bps.prepare(panda, info, wait=True)

    engine(plan())
    call_in_bluesky_event_loop(panda.disconnect())


def test_an_endless_acquisition_documents_every_row(engine, box):
    def plan() -> Any:
        flyer, info = yield from gated_capture(box, 500)

        @bpp.stage_decorator([box, flyer])
        @bpp.run_decorator()
        def fly() -> Any:
            yield from bps.prepare(flyer, info, wait=True)
            yield from bps.prepare(box, TriggerInfo(number_of_events=0, trigger=EDGE), wait=True)
            yield from bps.declare_stream(box, name="primary", collect=True)
            yield from bps.kickoff_all(box, flyer, wait=True)
            yield from bps.collect_while_completing(
                flyers=[flyer], dets=[box], flush_period=0.05, stream_name="primary"
            )

        yield from fly()

    documents = documents_of(engine, plan())
    stops = [doc["indices"]["stop"] for name, doc in documents if name == "stream_datum"]
    assert stops[-1] == 500


def test_two_prepares_in_one_stage_go_on_in_one_file(engine, box, tmp_path):
    children: Any = box

    @bpp.stage_decorator([box])
    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.mv(
            children.pcap.enable, "ONE", children.pcap.trig, "BITS.OUTA",
            children.pcap.ts_trig_capture, "Value",
        )  # fmt: skip
        for _ in range(2):
            yield from bps.prepare(box, TriggerInfo(number_of_events=3, trigger=EDGE), wait=True)
            yield from bps.declare_stream(box, name="primary", collect=True)
            yield from bps.kickoff(box, wait=True)
            for _ in range(3):
                yield from bps.mv(children.bits.a, 1)
                yield from bps.mv(children.bits.a, 0)
            yield from bps.complete(box, wait=True)
            yield from bps.collect(box, name="primary", return_payload=False)

    documents = documents_of(engine, plan())
    resources = [doc for name, doc in documents if name == "stream_resource"]
    indices = [doc["indices"] for name, doc in documents if name == "stream_datum"]
    assert len(resources) == 1
    assert indices == [{"start": 0, "stop": 3}, {"start": 3, "stop": 6}]
    with h5py.File(tmp_path / "scan.h5") as file:
        assert len(file["PCAP.TS_TRIG.Value"]) == 6


def failing_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    def append(self: Hdf5Writer, columns: Any) -> None:
        raise WriterError("scan.h5", "No space left on device")

    monkeypatch.setattr(Hdf5Writer, "append", append)


def test_a_writer_that_fails_fails_complete_at_once_with_its_reason(engine, box, monkeypatch):
    failing_writer(monkeypatch)
    documents: list[Any] = []
    with pytest.raises(Exception) as caught:
        engine(sequence(box, 10), lambda name, doc: documents.append((name, doc)))
    told = f"{caught.value} {caught.value.__cause__}"
    assert "No space left on device" in told
    assert documents[-1][1]["exit_status"] == "fail"


def test_a_lost_link_fails_the_scan_at_once(engine, box, simulated):
    children: Any = box

    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.mv(
            children.pcap.enable, "ONE", children.pcap.trig, "BITS.OUTA",
            children.pcap.ts_trig_capture, "Value",
        )  # fmt: skip
        yield from bps.stage(box)
        yield from bps.prepare(box, TriggerInfo(number_of_events=3, trigger=EDGE), wait=True)
        yield from bps.declare_stream(box, name="primary", collect=True)
        yield from bps.kickoff(box, wait=True)
        yield from bps.complete(box, group="done")
        asyncio.run_coroutine_threadsafe(simulated._server.stop(), simulated._loop).result()
        yield from bps.wait("done", timeout=5)

    with pytest.raises(Exception) as caught:
        engine(plan())
    assert "127.0.0.1" in str(caught.value.__cause__ or caught.value)


def test_an_unwritable_directory_is_refused_before_arming(engine, simulated, tmp_path):
    provider = StaticPathProvider(StaticFilenameProvider("scan"), tmp_path / "not" / "there")
    with init_devices():
        panda = HDFPanda(simulated.address, provider, name="panda")
    children: Any = panda

    def plan() -> Any:
        yield from bps.mv(children.pcap.ts_trig_capture, "Value")
        yield from bps.stage(panda, wait=True)
        yield from bps.prepare(panda, TriggerInfo(number_of_events=1, trigger=EDGE), wait=True)

    with pytest.raises(Exception) as caught:
        engine(plan())
    assert "does not exist or cannot be written to" in str(caught.value.__cause__)
    call_in_bluesky_event_loop(panda.disconnect())


def test_nothing_to_capture_is_refused_with_what_to_do(engine, box):
    def plan() -> Any:
        yield from bps.stage(box, wait=True)
        yield from bps.prepare(box, TriggerInfo(number_of_events=1, trigger=EDGE), wait=True)

    with pytest.raises(Exception) as caught:
        engine(plan())
    assert "_capture" in str(caught.value.__cause__)
    engine(bps.unstage(box, wait=True))


async def test_in_mock_mode_prepare_goes_through_the_signals(path_provider, tmp_path):
    panda = HDFPanda("somewhere", path_provider, name="panda")
    await panda.connect(mock=True)
    set_mock_value(panda.data.directory_exists, True)
    set_mock_value(
        panda.data.datasets,
        DatasetTable(name=["x"], dtype=[PandaHdf5DatasetType.FLOAT_64]),
    )
    await panda.stage()
    await panda.prepare(TriggerInfo(number_of_events=4, trigger=DetectorTrigger.EXTERNAL_LEVEL))
    assert await panda.data.hdf_directory.get_value() == str(tmp_path)
    assert await panda.data.capture.get_value() is True
    assert await panda.pcap.arm.get_value() is True
    datakeys: Any = await panda.describe_collect()
    assert datakeys["x"]["shape"] == [1]
    assert datakeys["x"]["dtype_numpy"] == "<f8"
    await panda.kickoff()
    status = panda.complete()
    await asyncio.sleep(0)
    set_mock_value(panda.data.num_captured, 4)
    await status
    docs = [doc async for doc in panda.collect_asset_docs()]
    assert [name for name, _ in docs] == ["stream_resource", "stream_datum"]
    await panda.unstage()
    assert await panda.pcap.arm.get_value() is False


@pytest.mark.parametrize(
    ("dataset", "key"),
    [
        ("x", "x"),
        ("x-min", "x-min"),
        ("COUNTER1.OUT.Mean", "panda-counter-1-out-mean"),
        ("PCAP.TS_TRIG.Value", "panda-pcap-ts_trig-value"),
        ("SFP2_SYNC_IN.POS1.Value", "panda-sfp2_sync_in-pos1-value"),
        ("My.Own.Name", "My.Own.Name"),
    ],
)
def test_a_dataset_is_documented_under_its_own_name_or_its_signals(dataset, key):
    assert data_key(dataset, "panda") == key


def test_errors_of_a_capture_are_of_this_package():
    assert issubclass(WriterError, OSError)
    assert issubclass(CaptureError, Exception)
