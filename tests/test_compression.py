"""Codecs that HDF5 does not bring along: written, read by others, and where the package is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from panda_ophyd.check import State, check_file
from panda_ophyd.verdict import AcquisitionRecord, judge
from panda_ophyd.writers import Dataset, FileOptions, Hdf5Writer, read_columns

CHUNK = 1024
ROWS = 3 * CHUNK + 100
CODECS = {"blosc": 32026, "bitshuffle": 32008, "lz4": 32004, "zstd": 32015}
"""With the numbers under which they are registered with the HDF Group."""
NOBODYS = 401
"""Of a filter for tests, which no package has."""


def values(start: int, stop: int) -> dict[str, np.ndarray]:
    rows = np.arange(start, stop)
    return {"x": rows / 7, "word": rows.astype(np.uint32), "bit": rows % 3 == 0}


def closed(writer: Hdf5Writer) -> None:
    record = AcquisitionRecord(first_row=0, rows=ROWS, received=ROWS, sent=ROWS, end_reason="Ok")
    writer.record(0, record)
    writer.close(judge([record], {"x": ROWS}))


def elsewhere(code: str, path: Path) -> str:
    """Run code in a process that has imported nothing yet."""
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=False, timeout=30
    ).stdout


@pytest.mark.parametrize("codec", CODECS)
def test_a_codec_of_the_package_keeps_every_row(tmp_path, codec):
    pytest.importorskip("hdf5plugin")
    path = tmp_path / "scan.h5"
    writer = Hdf5Writer(FileOptions(chunk=CHUNK, compression=codec))
    writer.create(path)
    kinds = {name: column.dtype for name, column in values(0, 1).items()}
    writer.open([Dataset(name, kind, CHUNK, {}) for name, kind in kinds.items()], {})
    # a chunk filled in pieces, whole chunks at once, and one that stays unfinished
    for start, stop in ((0, 1000), (1000, CHUNK), (CHUNK, 3 * CHUNK), (3 * CHUNK, ROWS)):
        writer.append(values(start, stop))
        assert writer.flush() == stop
    look = "import sys, hdf5plugin, h5py; print(h5py.File(sys.argv[1], swmr=True)['x'][-1])"
    assert float(elsewhere(look, path)) == (ROWS - 1) / 7
    closed(writer)
    for name, column in read_columns(path).items():
        np.testing.assert_array_equal(column, values(0, ROWS)[name])
    with h5py.File(path) as file:
        plan = file["x"].id.get_create_plist()
        numbers = [plan.get_filter(place)[0] for place in range(plan.get_nfilters())]
        assert CODECS[codec] in numbers
        assert file["x"].id.get_storage_size() < ROWS * 8 / 2
    # whoever has the package need not know that it has to be imported
    judged = "import sys; from panda_ophyd.cli import app; app(['check', sys.argv[1]])"
    assert f"good, {ROWS} rows in 3 datasets" in elsewhere(judged, path)
    read = "import sys; from panda_ophyd.writers import read_columns as r; print(r(sys.argv[1]))"
    assert "'word': array([" in elsewhere(read, path)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A whole file of ours, compressed with what nobody has."""
    path = tmp_path / "scan.h5"
    writer = Hdf5Writer(FileOptions(chunk=CHUNK))
    writer.create(path)
    kinds = {name: column.dtype for name, column in values(0, 1).items()}
    writer.open([Dataset(name, kind, CHUNK, {}) for name, kind in kinds.items()], {})
    writer.append(values(0, ROWS))
    closed(writer)
    with h5py.File(path, "r+") as file:
        data = file["x"][:].tobytes()
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((CHUNK,))
        plan.set_filter(NOBODYS, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((ROWS,), (h5py.h5s.UNLIMITED,))
        del file["x"]
        made = h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F64LE, space, plan)
        for first in range(0, ROWS, CHUNK):
            chunk = data[8 * first : 8 * (first + CHUNK)]
            made.write_direct_chunk((first,), chunk.ljust(8 * CHUNK, b"\0"), 0)
    return path


def test_a_file_that_cannot_be_read_here_is_not_called_bad(foreign):
    report = check_file(foreign)
    assert report.state is State.UNKNOWN
    (problem,) = report.problems
    assert problem.startswith("x is compressed with ")
    assert f"({NOBODYS}), which is not here: install hdf5plugin" in problem
    # that the rows are there, as far as it goes, can be said
    assert check_file(foreign, thorough=False).state is State.GOOD


def test_what_is_wrong_all_the_same_is_told(foreign):
    with h5py.File(foreign, "r+") as file:
        file["word"].resize((ROWS - 1,))
    report = check_file(foreign)
    assert report.state is State.BAD
    assert any(f"word has {ROWS - 1} rows" in problem for problem in report.problems)


def test_reading_says_what_is_lacking(foreign):
    with pytest.raises(OSError, match=rf"x is compressed with .*\({NOBODYS}\).*hdf5plugin"):
        read_columns(foreign)
