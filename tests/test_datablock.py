"""The `data` block: names of datasets, directories, and the signals in front of a capture."""

from __future__ import annotations

import asyncio
from typing import Any

import h5py
import pytest
from ophyd_async.fastcs.panda import PandaCaptureMode

from panda_ophyd import (
    Capture,
    FieldValueError,
    PandaConnectionError,
    PandaError,
    WriterError,
    datablock,
)
from panda_ophyd.destination import dataset_names, make_directory


@pytest.mark.parametrize(
    ("options", "chosen", "names"),
    [
        (["Value"], "", ["A.B.Value"]),
        (["Min", "Max"], "", ["A.B.Min", "A.B.Max"]),
        (["Value"], "x", ["x"]),
        (["Min", "Max", "Mean"], "x", ["x-min", "x-max", "x"]),
        (["Min", "Max"], "x", ["x-min", "x-max"]),
        (["Mean", "StdDev"], "x", ["x-mean", "x"]),
    ],
)
def test_datasets_are_named_as_the_ioc_names_them(options, chosen, names):
    assert list(dataset_names("A.B", options, chosen).values()) == names


def test_no_directory_is_made_unless_asked(tmp_path):
    make_directory(tmp_path / "a", 0)
    assert not (tmp_path / "a").exists()


def test_no_more_levels_are_made_than_allowed(tmp_path):
    with pytest.raises(WriterError, match="2 levels of it do not exist and only 1"):
        make_directory(tmp_path / "a" / "b", -1)
    make_directory(tmp_path / "a" / "b", -2)
    assert (tmp_path / "a" / "b").is_dir()


async def test_datasets_lists_all_that_is_set_to_be_captured(panda):
    children: Any = panda
    await children.inenc[1].val_capture.set("Min Max Mean")
    await children.inenc[1].val_dataset.set("x")
    await children.pcap.bits0_capture.set("Value")
    await children.pcap.ts_trig_capture.set("Value")
    table = await panda.data.datasets.get_value()
    assert dict(zip(table.name, (str(dtype.value) for dtype in table.dtype), strict=True)) == {
        "x-min": "float64",
        "x-max": "float64",
        "x": "float64",
        "PCAP.TS_TRIG.Value": "float64",
        "PCAP.BITS0.Value": "uint32",
    }


async def capture_rows(panda: Any, rows: int) -> None:
    await panda.pcap.enable.set("ONE")
    await panda.pcap.trig.set("BITS.OUTA")
    await panda.pcap.ts_trig_capture.set("Value")
    await panda.data.capture.set(True)
    await panda.pcap.arm.set(True)
    for _ in range(rows):
        await panda.bits.a.set(1)
        await panda.bits.a.set(0)
    await panda.pcap.arm.set(False)
    await panda.data.capture.set(False)


async def test_capturing_by_hand_writes_the_file_and_counts_its_rows(panda, tmp_path):
    await panda.data.hdf_directory.set(str(tmp_path))
    await panda.data.hdf_file_name.set("by-hand.h5")
    assert await panda.data.directory_exists.get_value() is True
    await panda.data.capture_mode.set(PandaCaptureMode.FOREVER)
    await capture_rows(panda, 5)
    assert await panda.data.num_captured.get_value() == 5
    children: Any = panda
    assert await children.data.hdf_full_file_path.get_value() == str(tmp_path / "by-hand.h5")
    assert await children.data.num_received.get_value() == 5
    assert await children.data.status.get_value() == "OK"
    with h5py.File(tmp_path / "by-hand.h5") as file:
        assert len(file["PCAP.TS_TRIG.Value"]) == 5


async def test_first_n_keeps_the_first_rows(panda, tmp_path):
    await panda.data.hdf_directory.set(str(tmp_path))
    await panda.data.hdf_file_name.set("first.h5")
    await panda.data.capture_mode.set(PandaCaptureMode.FIRST_N)
    await panda.data.num_capture.set(3)
    await capture_rows(panda, 5)
    with h5py.File(tmp_path / "first.h5") as file:
        assert len(file["PCAP.TS_TRIG.Value"]) == 3


async def test_a_capture_without_a_file_name_is_refused(panda):
    with pytest.raises(WriterError, match="hdf_file_name"):
        await panda.data.capture.set(True)


async def test_a_file_that_exists_is_not_written_over(panda, tmp_path):
    (tmp_path / "old.h5").write_bytes(b"precious")
    await panda.data.hdf_directory.set(str(tmp_path))
    await panda.data.hdf_file_name.set("old.h5")
    with pytest.raises(WriterError, match=r"old\.h5"):
        await panda.data.capture.set(True)
    assert (tmp_path / "old.h5").read_bytes() == b"precious"


async def test_a_file_name_with_a_directory_is_refused(panda):
    with pytest.raises(FieldValueError, match="HDF_FILE_NAME"):
        await panda.data.hdf_file_name.set("a/b.h5")


@pytest.mark.parametrize("signal", ["num_capture", "flush_period"])
async def test_a_negative_number_is_refused(panda, signal):
    with pytest.raises(FieldValueError):
        await getattr(panda.data, signal).set(-1)


async def test_rows_cannot_be_set(panda):
    with pytest.raises(AttributeError):
        panda.data.num_captured.set(3)


@pytest.mark.parametrize("keep", [1, 3, 5, 8])
async def test_last_n_keeps_the_last_rows_of_all_arms(panda, tmp_path, keep):
    children: Any = panda
    await panda.data.hdf_directory.set(str(tmp_path))
    await panda.data.hdf_file_name.set("last.h5")
    await panda.data.capture_mode.set(PandaCaptureMode.LAST_N)
    await panda.data.num_capture.set(keep)
    await children.counter[1].enable.set("ONE")
    await children.counter[1].trig.set("BITS.OUTA")
    await children.counter[1].out_capture.set("Value")
    await panda.pcap.enable.set("ONE")
    await panda.pcap.trig.set("BITS.OUTA")
    await children.pcap.trig_edge.set("Falling")
    await panda.data.capture.set(True)
    for rows in (2, 4):
        await panda.pcap.arm.set(True)
        for _ in range(rows):
            await panda.bits.a.set(1)
            await panda.bits.a.set(0)
        await panda.pcap.arm.set(False)
    assert await panda.data.num_captured.get_value() == 6
    await panda.data.capture.set(False)
    kept = min(keep, 6)
    with h5py.File(tmp_path / "last.h5") as file:
        assert file["COUNTER1.OUT.Value"][:].tolist() == list(range(7 - kept, 7))
        assert file.attrs["complete"]
    assert await panda.data.num_captured.get_value() == kept
    assert (await children.data.verdict.get_value()).startswith(f"complete: {kept} row")
    assert [path.name for path in tmp_path.iterdir()] == ["last.h5"]


async def test_last_n_needs_to_know_how_many(panda, tmp_path):
    await panda.data.hdf_directory.set(str(tmp_path))
    await panda.data.hdf_file_name.set("last.h5")
    await panda.data.capture_mode.set(PandaCaptureMode.LAST_N)
    with pytest.raises(FieldValueError, match="NUM_CAPTURE"):
        await panda.data.capture.set(True)


async def test_rows_are_kept_as_the_signals_say(panda, tmp_path):
    children: Any = panda
    await panda.data.hdf_directory.set(str(tmp_path))
    await panda.data.hdf_file_name.set("raw.h5")
    await children.data.file_raw.set(True)
    await children.data.file_compression.set("gzip")
    await children.data.file_bits.set(1)
    await children.pcap.bits0_capture.set("Value")
    await children.inenc[1].val_capture.set("Value")
    with pytest.raises(FieldValueError, match="known are gzip"):
        await children.data.file_compression.set("gzap")
    await capture_rows(panda, 3)
    table = await panda.data.datasets.get_value()
    told = dict(zip(table.name, (str(getattr(d, "value", d)) for d in table.dtype), strict=True))
    with h5py.File(tmp_path / "raw.h5") as file:
        assert {name: file[name].dtype.name for name in told} == told
        assert told["INENC1.VAL.Value"] == "int32"
        assert told["PCAP.TS_TRIG.Value"] == "int64"
        assert file["INENC1.VAL.Value"].compression == "gzip"
        assert file["TTLIN1.VAL"].dtype == bool


async def test_a_capture_without_a_row_is_warned_of(panda, tmp_path, caplog):
    await panda.pcap.enable.set("ONE")
    await panda.pcap.trig.set("TTLIN1.VAL")
    await panda.pcap.ts_trig_capture.set("Value")
    await panda.data.hdf_directory.set(str(tmp_path))
    await panda.data.hdf_file_name.set("empty.h5")
    await panda.data.capture.set(True)
    await panda.pcap.arm.set(True)
    await panda.pcap.arm.set(False)
    await panda.data.capture.set(False)
    assert "not a single row came" in await panda.data.status.get_value()
    assert "empty.h5: not a single row came: nothing triggered PCAP" in caplog.text


async def ready(panda: Any, tmp_path, name: str) -> Any:
    """Have PCAP triggered by hand, and the name of a file set."""
    await panda.data.hdf_directory.set(str(tmp_path))
    await panda.data.hdf_file_name.set(name)
    await panda.pcap.enable.set("ONE")
    await panda.pcap.trig.set("BITS.OUTA")
    await panda.pcap.ts_trig_capture.set("Value")
    return panda


async def test_the_verdict_on_a_file_that_is_open_counts_the_rows_it_has(panda, tmp_path, until):
    children = await ready(panda, tmp_path, "rows.h5")
    assert children.verdict is None
    await children.data.capture.set(True)
    await children.pcap.arm.set(True)
    for level in (1, 0) * 5:
        await children.bits.a.set(level)
    await until(lambda: children.verdict.rows == 5)
    verdict: Any = panda.verdict
    (record,) = verdict.acquisitions
    assert (record.rows, record.received, record.sent) == (5, 5, None)
    assert verdict.suspect_row == -1
    said = await children.data.verdict.get_value()
    assert said == "NOT complete: 5 rows of 1 acquisition; no END came after 5 samples"
    await children.pcap.arm.set(False)
    said = await children.data.verdict.get_value()
    assert said == "complete: 5 rows of 1 acquisition, ended Disarmed"
    await children.data.capture.set(False)
    assert await children.data.verdict.get_value() == said


@pytest.mark.parametrize("signal", ["hdf_file_name", "hdf_directory"])
@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
async def test_a_name_that_no_file_can_have_is_refused(panda, signal, name):
    with pytest.raises(FieldValueError, match=signal.upper()):
        await getattr(panda.data, signal).set(name)


async def test_a_dataset_name_that_no_file_can_hold_is_refused_before_arming(panda, tmp_path):
    children = await ready(panda, tmp_path, "names.h5")
    await children.pcap.ts_trig_dataset.set("\ud800")
    with pytest.raises(FieldValueError, match=r"dataset name.*surrogates not allowed"):
        await children.data.capture.set(True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["open", "readers_counted"])
async def test_opening_that_is_given_up_leaves_nothing_behind(
    panda, simulator, tmp_path, monkeypatch, until, step
):
    children = await ready(panda, tmp_path, "rows.h5")
    reached, gate = asyncio.Event(), asyncio.Event()
    original = getattr(Capture, step, None) or getattr(datablock, step)

    async def held(*args: Any, **kwargs: Any) -> None:
        await original(*args, **kwargs)
        reached.set()
        await gate.wait()

    monkeypatch.setattr(Capture if step == "open" else datablock, step, held)
    opening = asyncio.create_task(children._panda_connector.data.capturing.put(True))
    await reached.wait()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    monkeypatch.undo()
    await until(lambda: simulator._server.command("*PCAP.STATUS?").startswith("OK =Idle 0"))
    await until(lambda: not list(tmp_path.iterdir()))
    await children.data.capture.set(True)  # the name is free
    await children.data.capture.set(False)


@pytest.mark.parametrize("failure", ["link", "capture"])
async def test_what_has_failed_is_not_waited_for_as_long_as_what_goes_well(
    panda, tmp_path, monkeypatch, failure
):
    monkeypatch.setattr(datablock, "FAILED_TIMEOUT", 0.2)
    # not the eight seconds that END may take when it is known to come
    monkeypatch.setattr(datablock, "DRAIN_TIMEOUT", 60.0)
    monkeypatch.setattr(datablock, "disarm_afresh", stays_away)
    children = await ready(panda, tmp_path, "rows.h5")
    await children.data.capture.set(True)
    await children.pcap.arm.set(True)
    if failure == "link":
        children._panda_connector.session._fail(PandaConnectionError("the cable is pulled"))
    else:
        children._panda_connector.data.flight.capture.fail(WriterError("disk", "no room"))
    with pytest.raises(PandaError, match=r"END did not come.* 0\.2 s|no room"):
        await asyncio.wait_for(children._panda_connector.data.close(), 5)


async def stays_away(*_: object) -> str:
    return "PCAP may still be armed"
