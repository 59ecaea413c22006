from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from panda_ophyd.errors import WriterError
from panda_ophyd.testing import DATASETS, Contents, Reader, WriterTests, rows
from panda_ophyd.writers import (
    CHUNK_ROWS,
    WRITERS,
    Dataset,
    Hdf5Writer,
    chunk_rows,
    hdf5,
    hdf5_locking,
    read_snapshot,
)
from panda_ophyd.writers.hdf5 import RESERVE_BYTES
from panda_ophyd.writers.hdf5_acquisitions import read_acquisitions

READER = """
import json, sys, h5py
with h5py.File(sys.argv[1], swmr=True) as file:
    print("open", flush=True)
    for line in sys.stdin:
        datasets = {k: v for k, v in file.items() if isinstance(v, h5py.Dataset)}
        for dataset in datasets.values():
            dataset.refresh()
        print(json.dumps({name: len(dataset) for name, dataset in datasets.items()}), flush=True)
"""

LOCKED = """
import fcntl, os, pathlib, sys
from panda_ophyd.errors import WriterError
from panda_ophyd.writers import Hdf5Writer
from panda_ophyd.writers.hdf5_locking import make_file
make_file.__kwdefaults__["patience"] = 0.05
opened = pathlib.Path.open
def open_and_look(path, mode="r", *arguments, **options):
    file = opened(path, mode, *arguments, **options)
    if mode == "xb":
        fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_SH)
    return file
pathlib.Path.open = open_and_look
try:
    Hdf5Writer().create(pathlib.Path(sys.argv[1]))
except WriterError as failure:
    print(failure)
"""


class ProcessReader(Reader):
    """Another process, because h5py shares what one process has open of the same file."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(  # noqa: S603 -- our own words
            [sys.executable, "-c", READER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.answer() == "open\n"

    def answer(self):
        assert self.process.stdout
        return self.process.stdout.readline()

    def lengths(self):
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.answer())

    def close(self):
        self.process.communicate(timeout=20)


@contextlib.contextmanager
def full_disk(path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def plain(attributes):
    def value_of(value):
        if isinstance(value, np.ndarray) and value.ndim:
            return tuple(value_of(item) for item in value)
        value = value.item() if hasattr(value, "item") else value
        return value.decode() if isinstance(value, bytes) else value

    return {name: value_of(value) for name, value in attributes}


class TestHdf5Writer(WriterTests):
    def make_writer(self):
        return Hdf5Writer()

    def start_reader(self, path):
        return ProcessReader(path)

    def read_back(self, path):
        with h5py.File(path, swmr=True) as file:
            datasets = {k: v for k, v in file.items() if isinstance(v, h5py.Dataset)}
            return Contents(
                columns={name: dataset[:] for name, dataset in datasets.items()},
                attributes=plain(file.attrs.items()),
                column_attributes={n: plain(d.attrs.items()) for n, d in datasets.items()},
                chunks={name: dataset.chunks[0] for name, dataset in datasets.items()},
                acquisitions=read_acquisitions(file["entry/acquisitions"])
                if "entry" in file
                else (),
                snapshot=read_snapshot(path),
            )

    def test_a_closed_file_needs_no_special_mode(self, tmp_path):
        writer, path = self.opened(tmp_path)
        writer.append(rows(0, 3))
        writer.close()
        with h5py.File(path) as file:
            assert file["bits µ"].shape == (3,)
            assert file["bits µ"].maxshape == (None,)

    def test_a_full_disk_is_a_writer_error_and_keeps_the_rows_before(self, tmp_path):
        writer, path = self.filled(tmp_path)
        with full_disk(path), pytest.raises(WriterError, match=r"full\.h5: .*too large") as caught:
            self.overfill(writer)
        assert caught.value.path == path
        writer.close()
        self.begins(path)

    def test_a_disk_that_is_still_full_at_close_is_a_writer_error(self, tmp_path):
        writer, path = self.filled(tmp_path)
        with full_disk(path):
            with pytest.raises(WriterError):
                self.overfill(writer)
            with pytest.raises(WriterError, match=r"full\.h5: cannot be closed: .*too large"):
                writer.close()
            writer.close()
            Hdf5Writer()._close_leftovers()
            assert Hdf5Writer._unclosed
        self.begins(path)
        # The next writer closes the file, now that there is room again
        Hdf5Writer().create(tmp_path / "next.h5")
        assert not Hdf5Writer._unclosed
        with h5py.File(path):
            pass

    def test_a_disk_that_would_run_full_is_not_begun_upon(self, tmp_path, monkeypatch):
        writer, path = self.filled(tmp_path)
        needed = CHUNK_ROWS * (8 + 4) + RESERVE_BYTES
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed - 1))
        with pytest.raises(WriterError, match=rf"rows {CHUNK_ROWS} to {CHUNK_ROWS}: .*make room"):
            writer.append(rows(CHUNK_ROWS, CHUNK_ROWS + 1))
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed))
        writer.append(rows(CHUNK_ROWS, CHUNK_ROWS + 1))
        writer.close()
        self.begins(path)

    def test_a_disk_that_is_gone_is_a_writer_error(self, tmp_path):
        writer, path = self.filled(tmp_path)
        path.rename(tmp_path.parent / "elsewhere.h5")
        tmp_path.rmdir()
        with pytest.raises(WriterError, match=r"full\.h5: .* was removed or moved while it was"):
            writer.append(rows(0, 1))
        with pytest.raises(WriterError, match=r"full\.h5: .* was removed or moved .*No such file"):
            writer.close()

    def filled(self, directory):
        writer, path = Hdf5Writer(), directory / "full.h5"
        writer.create(path)
        writer.open([Dataset(d.name, d.dtype, CHUNK_ROWS, {}) for d in DATASETS], {})
        writer.append(rows(0, CHUNK_ROWS))
        assert writer.flush() == CHUNK_ROWS
        return writer, path

    def overfill(self, writer):
        for start in range(CHUNK_ROWS, 200 * CHUNK_ROWS, CHUNK_ROWS):
            writer.append(rows(start, start + CHUNK_ROWS))
            writer.flush()

    def begins(self, path):
        with h5py.File(path, swmr=True) as file:
            for name, values in rows(0, CHUNK_ROWS).items():
                np.testing.assert_array_equal(file[name][:CHUNK_ROWS], values)

    def test_a_failed_append_can_be_undone(self, tmp_path):
        writer, path = self.opened(tmp_path)
        writer.append(rows(0, 2))
        hopeless = {"COUNTER1.OUT.Mean": np.zeros(3), "bits µ": np.array(["a", "b", "c"])}
        with pytest.raises(WriterError, match=r"scan\.h5: cannot take rows 2 to 4: "):
            writer.append(hopeless)
        writer.append(rows(2, 3))
        writer.close()
        self.holds(path, 3)

    def test_anything_else_that_cannot_be_made_is_a_writer_error_too(self, tmp_path):
        with pytest.raises(WriterError, match="File name too long; choose another place"):
            Hdf5Writer().create(tmp_path / ("x" * 300))


@contextlib.contextmanager
def locked_by_a_reader(monkeypatch):
    """Whoever creates a file finds it locked at once, by somebody who looks at new files."""
    opened = Path.open
    held = []

    def open_and_look(path, mode="r", *arguments, **options):
        file = opened(path, mode, *arguments, **options)
        if mode == "xb":
            held.append(os.open(path, os.O_RDONLY))
            fcntl.flock(held[-1], fcntl.LOCK_SH)
        return file

    monkeypatch.setattr(Path, "open", open_and_look)
    try:
        yield held
    finally:
        monkeypatch.undo()
        for descriptor in held:
            os.close(descriptor)


class TestLocks:
    def test_a_file_that_a_reader_keeps_locked_is_written_without_a_lock(
        self, tmp_path, monkeypatch, caplog
    ):
        monkeypatch.setattr(hdf5_locking, "PERIOD", 0.001)
        monkeypatch.setattr(hdf5_locking.make_file, "__kwdefaults__", {"patience": 0.01})
        with locked_by_a_reader(monkeypatch):
            writer = Hdf5Writer()
            writer.create(tmp_path / "scan.h5")
            writer.open(DATASETS, {})
            writer.append(rows(0, 3))
            writer.close()
        assert "another program holds one" in caplog.text
        with h5py.File(tmp_path / "scan.h5") as file:
            assert len(file["bits µ"]) == 3

    def test_a_lock_that_passes_is_waited_for(self, tmp_path, monkeypatch, caplog):
        with locked_by_a_reader(monkeypatch) as held:
            waits = []

            def let_go(seconds):
                waits.append(seconds)
                fcntl.flock(held[0], fcntl.LOCK_UN)

            monkeypatch.setattr(hdf5_locking.time, "sleep", let_go)
            writer = Hdf5Writer()
            writer.create(tmp_path / "scan.h5")
            writer.close()
        assert len(waits) == 1
        assert not caplog.text

    def test_a_lock_that_counts_is_an_error_that_says_what_to_do(self, tmp_path):
        # the environment is read once, when HDF5 is loaded
        told = subprocess.run(  # noqa: S603 -- our own words
            [sys.executable, "-c", LOCKED, str(tmp_path / "scan.h5")],
            env={**os.environ, "HDF5_USE_FILE_LOCKING": "TRUE"},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "scan.h5: cannot be made an HDF5 file: another program keeps it" in told.stdout
        assert "HDF5_USE_FILE_LOCKING" in told.stdout
        assert not (tmp_path / "scan.h5").exists()

    def test_a_name_is_free_again_after_a_file_that_could_not_be_made(self, tmp_path, monkeypatch):
        def fail(path, *_):
            raise OSError("no such luck")

        monkeypatch.setattr(hdf5, "make_file", fail)
        with pytest.raises(WriterError, match="no such luck"):
            Hdf5Writer().create(tmp_path / "scan.h5")
        assert not (tmp_path / "scan.h5").exists()


@pytest.mark.parametrize(
    ("rate", "sample_bytes", "rows"),
    [
        (None, 60, 16384),
        (0.0, 60, 16384),
        (-1.0, 60, 16384),
        (float("nan"), 60, 16384),
        (float("inf"), 60, 16384),
        (0.1, 60, 1024),
        (1024.0, 60, 1024),
        (10_000.0, 60, 8192),
        (1e6, 60, 65536),
        (1e9, 252, 16384),
        (1e9, 10**9, 1024),
        (1e9, 0, 65536),
    ],
)
def test_a_chunk_is_about_a_second_of_rows(rate, sample_bytes, rows):
    assert chunk_rows(rate, sample_bytes=sample_bytes) == rows


def test_a_writer_is_found_by_the_mimetype_it_announces():
    assert WRITERS["application/x-hdf5"] is Hdf5Writer
    assert all(writer.mimetype == mimetype for mimetype, writer in WRITERS.items())
