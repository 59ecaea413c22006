"""What an HDF5 file of ours holds beside its rows: who made it, its verdict, its NeXus side.

Attributes whose values change while readers look keep their size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import h5py
import numpy as np
from numpy.typing import NDArray

from panda_ophyd.snapshot import Snapshot
from panda_ophyd.writers.base import DIED, Dataset, Verdict, free_name
from panda_ophyd.writers.hdf5_acquisitions import REASON_BYTES, fixed, make_acquisitions
from panda_ophyd.writers.hdf5_examination import CREATOR
from panda_ophyd.writers.hdf5_snapshot import make_snapshot
from panda_ophyd.writers.nexus import DATA, ENTRY, default_plot
from panda_ophyd.writers.signature import ProcessSignature

PROBLEM_BYTES = 512
"""Room for what is wrong, in one line."""


def identify(file: h5py.File) -> None:
    """Write down who makes the file, and when."""
    process = ProcessSignature.own()
    file.attrs["NX_class"] = "NXroot"
    file.attrs["creator"] = f"{CREATOR} {version('panda-ophyd')}"
    file.attrs["file_time"] = datetime.now(UTC).isoformat(timespec="milliseconds")
    file.attrs["writer_host"] = process.host
    file.attrs["writer_pid"] = np.int64(process.pid)
    file.attrs["writer_started"] = process.started


def make_entry(
    file: h5py.File, datasets: Sequence[Dataset], snapshot: Snapshot | None
) -> h5py.Dataset:
    """Make the NeXus side of a file that has its datasets; return its table of acquisitions."""
    name = free_name(ENTRY, {dataset.name for dataset in datasets})
    file.attrs["default"] = name
    entry = file.create_group(name)
    entry.attrs["NX_class"] = "NXentry"
    entry.attrs["default"] = DATA
    if "start_time" in file.attrs:
        entry["start_time"] = file.attrs["start_time"]
    data = entry.create_group(DATA)
    plot = default_plot(datasets)
    for attribute, value in plot.attributes.items():
        data.attrs[attribute] = value
    for link, dataset in plot.links.items():
        data[link] = file[dataset]
    if snapshot is not None:
        make_snapshot(entry, snapshot)
    return make_acquisitions(entry)


def promise(file: h5py.File) -> None:
    """Make the attributes that `pronounce` will change."""
    for name, value in _said(DIED).items():
        file.attrs[name] = value


def pronounce(file: h5py.File, verdict: Verdict) -> None:
    """Write the verdict into attributes that are there."""
    for name, value in _said(verdict).items():
        file.attrs.modify(name, value)


def _said(verdict: Verdict) -> Mapping[str, NDArray[np.bytes_] | np.generic]:
    """Return a verdict as attributes whose size does not depend on what it says."""
    return {
        "complete": np.bool_(verdict.complete),
        "rows": np.int64(verdict.rows),
        "suspect_row": np.int64(verdict.suspect_row),
        "suspect_stop": np.int64(verdict.suspect_stop),
        "end_reason": fixed(verdict.end_reason, REASON_BYTES),
        "problem": fixed("; ".join(verdict.problems), PROBLEM_BYTES),
        "samples_sent": np.int64(verdict.sent),
        "samples_received": np.int64(verdict.received),
        "samples_discarded": np.int64(verdict.discarded),
        "samples_missed": np.int64(verdict.missed),
    }
