"""HDF5 that can be read while it grows: one 1-D dataset per column, single writer, many readers.

In SWMR mode HDF5 can extend datasets and change attributes that exist, but not make new
ones. What is known when an acquisition starts is therefore written before the mode is
switched on, and the verdict is there from then on too, saying that nothing is complete.
`close` changes its values in place, which uses the same mechanism as a growing dataset.
Closing the file and opening it again to add attributes would be less robust: for a moment
no reader could open it, readers that have it open may be confused, and dying in that
moment leaves a file that needs repair. Values changed in place must keep their size, so
``end_reason`` is a string of fixed length (h5py returns it as bytes).

A full disk must not reach HDF5: after a file or dataset that could not be written is
closed, the library crashes the process sooner or later (seen with HDF5 2.0). So there is
room for what is to be written, or nothing is written; and if that failed to foresee it (a
quota), the file is left open until it can be flushed. Readers do not mind: what was
flushed before is readable in SWMR mode.

Source: HDF5 documentation, "Single Writer Multiple Reader".
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import struct
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import h5py
from numpy.typing import NDArray
from typing_extensions import override

from panda_ophyd.errors import WriterError
from panda_ophyd.writers.base import (
    DIED,
    AcquisitionRecord,
    Attribute,
    Dataset,
    FileOptions,
    Verdict,
    Writer,
    check_dataset_names,
)
from panda_ophyd.writers.hdf5_acquisitions import put_acquisition
from panda_ophyd.writers.hdf5_chunks import GrowingDataset, cache_of
from panda_ophyd.writers.hdf5_compression import filters
from panda_ophyd.writers.hdf5_entry import identify, make_entry, promise, pronounce
from panda_ophyd.writers.hdf5_locking import make_file

RESERVE_BYTES = 32 * 1024 * 1024
"""Disk space left alone: chunk indexes, attributes, and other writers between two looks."""

_LENGTH_AT = 28
"""Where the superblock of versions 2 and 3 says how long the file is."""

_WIDEST = 8
"""Bytes of a row of most datasets."""

_LONGEST = 1 << 50
"""Bytes of a file beyond which its length is nonsense."""

_FAILURES = (OSError, RuntimeError, ValueError, TypeError, KeyError)
"""What h5py makes of HDF5's error classes."""

_ADVICE: dict[type[OSError], str] = {
    FileExistsError: "exists already and is never overwritten; choose another name",
    FileNotFoundError: "its directory does not exist; create it first",
    NotADirectoryError: "its directory is a file; choose another place",
    PermissionError: "this process may not write there; choose another place",
}

_LOCKED = (
    "another program keeps it locked, a viewer perhaps; close that, or unset"
    " HDF5_USE_FILE_LOCKING for this program, or set it to FALSE"
)


class Hdf5Writer(Writer):
    """Write one HDF5 file; read it meanwhile with ``h5py.File(path, swmr=True)``.

    Args:
        options: how the rows are kept.

    Raises:
        FieldValueError: the compression needs a package that is not there.
    """

    mimetype: ClassVar[str] = "application/x-hdf5"
    suffix: ClassVar[str] = ".h5"

    _unclosed: ClassVar[list[tuple[h5py.File, list[h5py.Dataset]]]] = []
    """Files that could not be flushed: neither closed nor left to the garbage collector."""

    def __init__(self, options: FileOptions = FileOptions()) -> None:  # noqa: B008  frozen
        self._options = options
        self._filters = filters(options.compression)
        self._path = Path()
        self._file: h5py.File | None = None
        self._datasets: dict[str, GrowingDataset] = {}
        self._identity = (0, 0)
        self._rows = 0
        self._acquisitions: h5py.Dataset | None = None

    @property
    @override
    def rows(self) -> int:
        return self._rows

    @override
    def create(self, path: Path) -> None:
        if self._path != Path():
            raise WriterError(path, f"this writer has already written {self._path}")
        try:
            with path.open("xb") as made:
                self._identity = _identity(os.fstat(made.fileno()))
        except OSError as failure:
            advice = _ADVICE.get(type(failure), f"{failure.strerror}; choose another place")
            raise WriterError(path, advice) from failure
        except ValueError as failure:  # NUL, or half of a character
            raise WriterError(path, f"no file can have that name: {failure}") from failure
        self._path = path
        self._close_leftovers()
        try:
            with self._blamed("cannot be made an HDF5 file"):
                self._file = make_file(path, 0 if self._filters else self._options.chunk * _WIDEST)
        finally:
            if self._file is None:  # nothing of ours is in it, so the name is free again
                path.unlink(missing_ok=True)

    @override
    def open(self, datasets: Sequence[Dataset], attributes: Mapping[str, Attribute]) -> None:
        check_dataset_names([dataset.name for dataset in datasets])
        file = self._opened()
        with self._blamed("cannot take the datasets"):
            for name, value in attributes.items():
                file.attrs[name] = value
            identify(file)
            promise(file)
            for dataset in datasets:
                made = file.create_dataset(
                    dataset.name,
                    shape=(0,),
                    maxshape=(None,),
                    chunks=(dataset.chunk,),
                    dtype=dataset.dtype,
                    **cache_of(dataset.chunk * dataset.dtype.itemsize),
                    **self._filters,
                )
                for name, value in dataset.attributes.items():
                    made.attrs[name] = value
                self._datasets[dataset.name] = GrowingDataset(made)
            if not self._options.plain:
                self._acquisitions = make_entry(file, datasets, self.snapshot)
            file.swmr_mode = True

    @override
    def record(self, number: int, acquisition: AcquisitionRecord) -> None:
        self._opened()
        if not self._datasets:
            raise WriterError(self._path, "has no datasets yet")
        if self._acquisitions is None:  # not asked for
            return
        with self._blamed(f"cannot take what is known of acquisition {number + 1}"):
            put_acquisition(self._acquisitions, number, acquisition)
            self._acquisitions.flush()

    @override
    def append(self, columns: Mapping[str, NDArray[Any]]) -> None:
        self._opened()
        added = self._common_length(columns)
        rows = self._rows + added
        self._check_place()
        self._check_room(rows)
        try:
            with self._blamed(f"cannot take rows {self._rows} to {rows - 1}"):
                for name, dataset in self._datasets.items():
                    dataset.put(self._rows, columns[name])
        except WriterError:
            self._undo_append()
            raise
        self._rows = rows

    @override
    def flush(self) -> int:
        file = self._opened()
        with self._blamed(f"cannot be flushed at row {self._rows}"):
            file.flush()
        return self._rows

    @override
    def close(self, verdict: Verdict = DIED) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        datasets, self._datasets = [made.dataset for made in self._datasets.values()], {}
        if self._acquisitions is not None:
            datasets.append(self._acquisitions)
        with self._blamed("cannot be closed"):
            try:
                file.flush()
            except _FAILURES:
                _leave_alone(file, datasets, True)
                self._lengthen()
                self._unclosed.append((file, datasets))
                raise
            try:
                # The rows are on the disk before the verdict that vouches for them
                os.fsync(file.id.get_vfd_handle())
                if datasets:
                    pronounce(file, verdict)
            finally:
                file.close()
        self._check_place()

    def _close_leftovers(self) -> None:
        leftovers = self._unclosed[:]
        self._unclosed.clear()
        for file, datasets in leftovers:
            try:
                file.flush()
            except _FAILURES:
                self._unclosed.append((file, datasets))
            else:
                _leave_alone(file, datasets, False)
                file.close()

    def _lengthen(self) -> None:
        """Have a file that could not be written to its end be as long as it says it is.

        HDF5 opens no file that is shorter; what is missing was never flushed, and a hole
        needs no room. It is tried: a limit to the length of files leaves no way.
        """
        with contextlib.suppress(OSError), self._path.open("r+b") as made:
            made.seek(_LENGTH_AT)
            (length,) = struct.unpack("<Q", made.read(8))
            if os.fstat(made.fileno()).st_size < length < _LONGEST:
                os.truncate(made.fileno(), length)

    def _check_place(self) -> None:
        """Refuse to write into nowhere: a file that was removed takes all and keeps nothing."""
        try:
            present = _identity(self._path.stat())
        except OSError as failure:
            raise WriterError(
                self._path,
                f"it, its directory or its disk was removed or moved while it was written, with"
                f" {self._rows} rows: {failure.strerror}",
            ) from failure
        if present != self._identity:
            raise WriterError(
                self._path,
                f"it was replaced by another file while it was written, with {self._rows} rows",
            )

    def _check_room(self, rows: int) -> None:
        """Refuse what would fill the disk."""
        added = rows - self._rows
        needed = sum(d.room_needed(self._rows, added) for d in self._datasets.values())
        try:
            free = shutil.disk_usage(self._path.parent).free
        except OSError as failure:
            raise WriterError(self._path, f"its disk is gone: {failure.strerror}") from failure
        if free < needed + RESERVE_BYTES:
            raise WriterError(
                self._path,
                f"cannot take rows {self._rows} to {rows - 1}: they need {needed} bytes, but only"
                f" {free} are left on the disk and {RESERVE_BYTES} are kept free; make room",
            )

    def _common_length(self, columns: Mapping[str, NDArray[Any]]) -> int:
        lengths = {name: len(values) for name, values in columns.items()}
        if lengths.keys() != self._datasets.keys():
            odd = sorted(lengths.keys() ^ self._datasets.keys())
            raise WriterError(self._path, f"columns and datasets differ by {', '.join(odd)}")
        if len(set(lengths.values())) > 1:
            raise WriterError(self._path, f"columns have unequal lengths: {lengths}")
        return next(iter(lengths.values()), 0)

    def _undo_append(self) -> None:
        for dataset in self._datasets.values():
            # The first failure is the one that matters; this one only leaves its trace
            with contextlib.suppress(*_FAILURES):
                dataset.cut(self._rows)

    def _opened(self) -> h5py.File:
        if self._file is None:
            raise WriterError(self._path, "is not open")
        return self._file

    @contextlib.contextmanager
    def _blamed(self, what: str) -> Generator[None]:
        """Turn whatever h5py raises into a `WriterError` that names the file."""
        try:
            yield
        except BlockingIOError as failure:
            raise WriterError(self._path, f"{what}: {_LOCKED}") from failure
        except _FAILURES as failure:
            raise WriterError(self._path, f"{what}: {_cause(failure)}") from failure


def _leave_alone(file: h5py.File, datasets: Sequence[h5py.Dataset], locked: bool) -> None:
    """Have nothing of a file closed with its Python objects, also at the end of the program."""
    for thing in (file, *datasets):
        thing.id.locked = locked


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _cause(failure: BaseException) -> str:
    text = " ".join(str(failure).split())
    # Of a system call that failed HDF5 tells all, addresses included
    if said := re.search(r"error message = '([^']+)'", text):
        return said[1]
    return text or type(failure).__name__
