"""What a NeXus reader finds, by the rules of the NeXus manual for finding plottable data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from panda_ophyd.snapshot import Snapshot
from panda_ophyd.writers import Dataset, FileOptions, Hdf5Writer, Role, read_snapshot

DATASETS = (
    Dataset("PCAP.BITS0.Value", np.dtype(np.uint32), 8, {}, Role.WORD),
    Dataset("entry", np.dtype(float), 8, {"units": "V"}, Role.SIGNAL),
    Dataset("x", np.dtype(float), 8, {"units": "mm"}, Role.POSITION),
    Dataset("t", np.dtype(float), 8, {"units": "s"}, Role.STAMP),
    Dataset("absolute_time", np.dtype(np.int64), 8, {}, Role.TIME),
)
START = "2026-11-22T08:08:30.727790791Z"


def written(path, *, options=None, datasets=DATASETS, **attributes):
    writer = Hdf5Writer(options or FileOptions())
    writer.snapshot = Snapshot({"idn": "me"}, 1.5, {"A.B": "c"})
    writer.create(path)
    writer.open(datasets, attributes)
    writer.append({d.name: np.arange(3).astype(d.dtype) for d in datasets})
    writer.close()
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scan.h5"


def opened(path) -> Any:
    return h5py.File(path)


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def plotted(file):
    """Follow ``default`` from the root as the manual says, and return signal and axes."""
    group = file
    for kind in ("NXroot", "NXentry", "NXdata"):
        assert text(group.attrs["NX_class"]) == kind
        if "default" in group.attrs:
            group = group[text(group.attrs["default"])]
    axes = [text(axis) for axis in group.attrs["axes"]]
    for axis in axes:
        assert group.attrs[f"{axis}_indices"] == 0
    signal = group[text(group.attrs["signal"])]
    return signal, [group[axis] for axis in axes], group


def test_the_default_plot_is_found_from_the_root(path):
    with opened(written(path)) as file:
        signal, axes, group = plotted(file)
        assert signal == file["entry"]
        assert axes == [file["t"]]
        assert len(signal) == len(axes[0]) == 3
        assert [text(name) for name in group.attrs["auxiliary_signals"]] == ["x"]
        assert group.attrs["absolute_time_indices"] == 0
        for name in group:
            assert len(group[name]) == 3


def test_nothing_is_in_the_file_twice(path):
    with opened(written(path)) as file:
        _, _, group = plotted(file)
        assert group["PCAP_BITS0_Value"] == file["PCAP.BITS0.Value"]
        assert set(group) == {"PCAP_BITS0_Value", "entry", "x", "t", "absolute_time"}


def test_a_dataset_may_have_the_name_of_the_entry(path):
    with opened(written(path)) as file:
        assert isinstance(file["entry"], h5py.Dataset)
        assert text(file.attrs["default"]) == "entry_1"
    snapshot = read_snapshot(path)
    assert snapshot is not None
    assert snapshot.settings == {"A.B": "c"}


def test_the_entry_has_the_time_of_the_start_where_it_is_known(path, tmp_path):
    with opened(written(path, start_time=START)) as file:
        assert text(file["entry_1/start_time"][()]) == START
    with opened(written(tmp_path / "old.h5")) as file:
        assert "start_time" not in file["entry_1"]


def test_a_plain_file_has_datasets_only(path):
    with opened(written(path, options=FileOptions(plain=True))) as file:
        assert set(file) == {d.name for d in DATASETS}
        assert "default" not in file.attrs
    assert read_snapshot(path) is None


def test_what_the_manual_says_of_files_is_all_there_is(path):
    manual = (Path(__file__).parents[1] / "docs" / "files.md").read_text(encoding="utf-8")
    with opened(written(path, start_time=START)) as file:
        words = {*file.attrs, *file["entry_1"], *file["entry_1/acquisitions"].dtype.names}
        words -= {"NX_class", "default"}
    assert {word for word in words if word not in manual} == set()


def test_a_reader_that_knows_no_compound_finds_columns_of_equal_length(path):
    with opened(written(path)) as file:
        columns = [item for item in file.values() if isinstance(item, h5py.Dataset)]
        assert {item.shape for item in columns} == {(3,)}
