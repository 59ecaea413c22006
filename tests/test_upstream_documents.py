"""Documents of our detector beside those of upstream's, both in mock mode: the same plan (4.6)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import pytest
from bluesky.run_engine import RunEngine
from bluesky.utils import FailedStatus
from ophyd_async.core import (
    DetectorTrigger,
    SoftSignalBackend,
    StaticFilenameProvider,
    StaticPathProvider,
    TriggerInfo,
    callback_on_mock_put,
    init_devices,
    set_mock_value,
)
from ophyd_async.epics.core import _pvi_connector
from ophyd_async.fastcs.panda import DatasetTable, PandaHdf5DatasetType
from ophyd_async.fastcs.panda import HDFPanda as UpstreamPanda

from panda_ophyd import HDFPanda

EVENTS = 10
DATASETS = DatasetTable(
    name=["x", "x-min", "bits"],
    dtype=[
        PandaHdf5DatasetType.FLOAT_64,
        PandaHdf5DatasetType.FLOAT_64,
        PandaHdf5DatasetType.UINT_32,
    ],
)
OF_A_RUN = {"uid", "time", "run_start", "descriptor", "stream_resource", "scan_id", "timestamps"}
"""What no two runs have in common."""


@pytest.fixture(scope="module")
def engine() -> Iterator[RunEngine]:
    engine = RunEngine()
    yield engine
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    engine._th.join()
    engine.loop.close()


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> type[UpstreamPanda]:
    """Upstream's class where p4p is not installed: nothing of PVA is used in mock mode."""
    monkeypatch.setattr(_pvi_connector, "PvaSignalBackend", SoftSignalBackend)
    return UpstreamPanda


def run(engine: RunEngine, made: type[Any], directory: Path, batch: int = 1) -> Any:
    """Fly a mock PandA, of which rows come in two parts; return all documents."""
    provider = StaticPathProvider(StaticFilenameProvider("scan"), directory)
    with init_devices(mock=True):
        panda = made("nowhere", provider, name="panda")
    set_mock_value(panda.data.directory_exists, True)
    set_mock_value(panda.data.datasets, DATASETS)
    callback_on_mock_put(
        panda.pcap.arm, lambda value, **_: set_mock_value(panda.pcap.active, bool(value))
    )
    documents: list[tuple[str, Any]] = []
    info = TriggerInfo(
        number_of_events=EVENTS,
        collections_per_event=batch,
        trigger=DetectorTrigger.EXTERNAL_LEVEL,
        livetime=0.1,
        deadtime=1e-3,
    )

    @bpp.stage_decorator([panda])
    @bpp.run_decorator()
    def fly() -> Any:
        yield from bps.prepare(panda, info, wait=True)
        yield from bps.declare_stream(panda, name="primary", collect=True)
        yield from bps.kickoff(panda, wait=True)
        yield from bps.complete(panda, group="complete")
        for events in (4, EVENTS):
            set_mock_value(panda.data.num_captured, events * batch)
            yield from bps.collect(panda, name="primary")
        yield from bps.wait("complete")

    engine(fly(), lambda name, doc: documents.append((name, doc)))
    return documents


def stripped(value: Any, *names: str) -> Any:
    """Return a document without what no two runs have in common."""
    if isinstance(value, dict):
        left = OF_A_RUN | set(names)
        return {key: stripped(item, *names) for key, item in value.items() if key not in left}
    return value


@pytest.mark.parametrize("batch", [1, 5])
def test_documents_are_upstreams_but_for_the_true_type_of_bits(engine, upstream, tmp_path, batch):
    theirs = run(engine, upstream, tmp_path, batch)
    ours = run(engine, HDFPanda, tmp_path, batch)
    assert [name for name, _ in ours] == [name for name, _ in theirs]
    for (name, mine), (_, other) in zip(ours, theirs, strict=True):
        assert stripped(mine, "dtype_numpy") == stripped(other, "dtype_numpy"), name
    types = [
        {key: item["dtype_numpy"] for key, item in doc["data_keys"].items()}
        for documents in (theirs, ours)
        for name, doc in documents
        if name == "descriptor"
    ]
    assert types == [
        {"x": "<f8", "x-min": "<f8", "bits": "<f8"},
        {"x": "<f8", "x-min": "<f8", "bits": "<u4"},
    ]


def test_documents_are_linked_as_upstreams(engine, upstream, tmp_path):
    linked = []
    for made in (upstream, HDFPanda):
        documents = run(engine, made, tmp_path)
        resources = {doc["uid"]: doc for name, doc in documents if name == "stream_resource"}
        (start,) = [doc for name, doc in documents if name == "start"]
        (descriptor,) = [doc for name, doc in documents if name == "descriptor"]
        assert {doc["run_start"] for doc in resources.values()} == {start["uid"]}
        linked.append(
            [
                (
                    resources[doc["stream_resource"]]["data_key"],
                    doc["uid"].removeprefix(doc["stream_resource"]),
                    doc["descriptor"] == descriptor["uid"],
                )
                for name, doc in documents
                if name == "stream_datum"
            ]
        )
    assert linked[0] == linked[1]
    assert {good for _, _, good in linked[0]} == {True}


def test_documents_are_those_of_the_specification(engine, tmp_path):
    """What upstream gives, written out (flyscan.md 4.6), so that both cannot change unseen."""
    documents = run(engine, HDFPanda, tmp_path)
    uri = f"file://localhost{tmp_path}/scan.h5"
    (descriptor,) = [doc for name, doc in documents if name == "descriptor"]
    assert descriptor["data_keys"]["x"] == {
        "source": uri,
        "shape": [1],
        "dtype": "number",
        "dtype_numpy": "<f8",
        "external": "STREAM:",
        "object_name": "panda",
    }
    assert descriptor["configuration"] == {"panda": {"data": {}, "timestamps": {}, "data_keys": {}}}
    assert descriptor["hints"] == {"panda": {"fields": []}}
    resources = [doc for name, doc in documents if name == "stream_resource"]
    assert stripped(resources[0]) == {
        "data_key": "x",
        "mimetype": "application/x-hdf5",
        "uri": uri,
        "parameters": {"chunk_shape": (1024,), "dataset": "/x"},
    }
    assert [doc["data_key"] for doc in resources] == ["x", "x-min", "bits"]
    data = [stripped(doc) for name, doc in documents if name == "stream_datum"]
    assert data[0] == {"indices": {"start": 0, "stop": 4}, "seq_nums": {"start": 1, "stop": 5}}
    assert data[3] == {"indices": {"start": 4, "stop": 10}, "seq_nums": {"start": 5, "stop": 11}}
    assert documents[-1][1]["num_events"] == {"primary": 10}
    assert not [name for name, _ in documents if name == "event"]


@pytest.mark.parametrize("made", ["upstream", "ours"])
def test_row_22_upstream_takes_levels_only_and_ours_edges_too(engine, upstream, tmp_path, made):
    provider = StaticPathProvider(StaticFilenameProvider("scan"), tmp_path)
    with init_devices(mock=True):
        panda = (upstream if made == "upstream" else HDFPanda)("nowhere", provider, name="panda")
    set_mock_value(panda.data.directory_exists, True)
    set_mock_value(panda.data.datasets, DATASETS)
    info = TriggerInfo(number_of_events=1, trigger=DetectorTrigger.EXTERNAL_EDGE, livetime=0.1)

    @bpp.stage_decorator([panda])  # which waits until it is unstaged, as the RunEngine does not
    def plan() -> Any:
        yield from bps.prepare(panda, info, wait=True)

    if made == "ours":
        engine(plan())
        return
    with pytest.raises(FailedStatus) as told:
        engine(plan())
    assert "not supported by 'panda', supported types are: [EXTERNAL_LEVEL]" in str(told.value)
