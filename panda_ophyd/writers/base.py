"""What a file format must promise to receive the rows of a capture.

A writer is driven from one thread, in this order::

    create -> open -> (record | append -> flush)* -> close
    create -> close                            nothing was ever captured

and keeps these invariants, which `panda_ophyd.testing.WriterTests` checks:

1. A row that `flush` has counted is seen by a reader that opens the file afterwards,
   also if the writing process dies the next moment.
2. At every flush all datasets have equal length, also after an append that failed.
3. `close` leaves a readable file, whatever happened before.
4. The file says itself whether it is complete: it begins as not complete, and only
   `close` can change that.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from panda_ophyd.errors import FieldValueError
from panda_ophyd.snapshot import Snapshot
from panda_ophyd.verdict import AcquisitionRecord, Verdict

__all__ = [
    "CHUNK_ROWS",
    "DIED",
    "AcquisitionRecord",
    "Attribute",
    "Dataset",
    "FileOptions",
    "Role",
    "Verdict",
    "Writer",
    "check_dataset_names",
    "chunk_rows",
    "free_name",
]

CHUNK_ROWS = 16384
"""Rows of a chunk unless told otherwise: 128 KiB of float64."""

COMPRESSION = re.compile("(gzip(:[1-9])?|lzf|blosc|bitshuffle|lz4|zstd)?")
"""What `FileOptions.compression` may be."""

FEWEST_ROWS = 1024
MOST_ROWS = 65536
MOST_CHUNK_BYTES = 4 * 1024 * 1024
"""Bounds of `chunk_rows`, measured in docs/decisions/0018."""

Attribute = str | float | int | tuple[str, ...]


class Role(Enum):
    """What a dataset is for, beyond being a column."""

    SIGNAL = auto()
    """Something measured, or counted."""
    POSITION = auto()
    """Of an encoder: a possible axis of a plot."""
    STAMP = auto()
    """Seconds since the acquisition began: the best axis of a plot."""
    WORD = auto()
    """Of bits, or one of PCAP's own: seldom what one wants to look at first."""
    BIT = auto()
    TIME = auto()
    """Absolute times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    """How rows are kept; all of it is decided before the first one comes.

    Attributes:
        chunk: rows per chunk of every dataset; see `chunk_rows`.
        time: whether each row gets its absolute time, where a timestamp is captured.
        hardware_time: leave the absolute times on the PandA's hardware clock, if it has
            one, in place of the system clock: for several PandAs on one such clock.
        bits: whether captured words of bits are also unpacked, each named bit into a
            dataset of booleans under its own name.
        raw: keep the integers that the PandA sent, with scale and offset as attributes, in
            place of float64 with both applied.
        compression: empty for none, ``gzip``, ``gzip:1`` to ``gzip:9``, ``lzf``, or with
            the package hdf5plugin ``blosc``, ``bitshuffle``, ``lz4``, ``zstd``. A chunk that
            is flushed before it is full is stored anew: let `chunk` be what comes in a
            flush period, or less.
        plain: nothing but datasets at the root and attributes: no groups, no absolute
            times. For readers that take whatever is at the root for a captured column.
    """

    chunk: int = CHUNK_ROWS
    time: bool = True
    hardware_time: bool = False
    bits: bool = False
    raw: bool = False
    compression: str = ""
    plain: bool = False

    def __post_init__(self) -> None:
        if self.chunk < 1:
            raise FieldValueError("rows per chunk", self.chunk, "it is at least 1")
        if not COMPRESSION.fullmatch(self.compression):
            known = "gzip, gzip:1 to gzip:9, lzf, blosc, bitshuffle, lz4, zstd"
            raise FieldValueError("compression", self.compression, f"known are {known}")


@dataclass(frozen=True, slots=True)
class Dataset:
    """One growing column of the file.

    Attributes:
        name: in the file, at its root.
        dtype: of one row.
        chunk: rows per chunk, as announced in documents.
        attributes: what the column means: units, scale, offset, capture, field, and more.
        role: what it is for.
    """

    name: str
    dtype: np.dtype[Any]
    chunk: int
    attributes: Mapping[str, Attribute]
    role: Role = Role.SIGNAL


DIED = Verdict(complete=False, end_reason="writing was never finished", rows=-1, suspect_row=-1)
"""The verdict in a file that nobody has closed yet."""


class Writer(ABC):
    """One file, from one thread. Single use."""

    mimetype: ClassVar[str]
    """What documents call the format."""

    suffix: ClassVar[str]
    """The customary file name ending, with its dot."""

    snapshot: Snapshot | None = None
    """The box as it is; whoever has it sets it before `open`, to be kept in the file."""

    @property
    @abstractmethod
    def rows(self) -> int:
        """Rows appended so far, flushed or not."""

    @abstractmethod
    def create(self, path: Path) -> None:
        """Make the file, so that a path nobody can write to fails before anything is armed.

        Args:
            path: where; an existing file is never overwritten.

        Raises:
            WriterError: the file exists, or could not be made, and why.
        """

    @abstractmethod
    def open(self, datasets: Sequence[Dataset], attributes: Mapping[str, Attribute]) -> None:
        """Make the datasets, empty, and let readers in.

        Args:
            datasets: in the order they should have.
            attributes: of the file as a whole.

        Raises:
            FieldValueError: a dataset's name is empty, taken, or not allowed.
            WriterError: the file would not take them.
        """

    @abstractmethod
    def record(self, number: int, acquisition: AcquisitionRecord) -> None:
        """Put down what is known of an acquisition, so that readers see it.

        Args:
            number: which one, from 0; it may be there already, or is the next one.
            acquisition: what is known by now.

        Raises:
            WriterError: the file would not take it.
        """

    @abstractmethod
    def append(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Add rows: all of them to all datasets, or none.

        Args:
            columns: dataset name to (n,) array, the same n for all datasets.

        Raises:
            WriterError: columns are missing or of unequal length, or the file would not
                take them.
        """

    @abstractmethod
    def flush(self) -> int:
        """Make the appended rows visible to readers.

        Returns:
            How many rows a reader now finds, in each dataset.

        Raises:
            WriterError: the file would not take them.
        """

    @abstractmethod
    def close(self, verdict: Verdict = DIED) -> None:
        """Flush, write the verdict and let go of the file; nothing if done already.

        Raises:
            WriterError: the file would not take it.
        """


def chunk_rows(rate: float | None, *, sample_bytes: int = 60) -> int:
    """Choose how many rows a chunk has.

    About a second of rows, a power of two: a file is then written in few pieces and read
    in few, and one with few rows takes little room.

    Args:
        rate: rows per second that are expected, None if nobody knows.
        sample_bytes: of a row on the wire, as far as known.
    """
    most = max(MOST_CHUNK_BYTES // max(sample_bytes, 1), FEWEST_ROWS)
    if rate is None or not math.isfinite(rate) or rate <= 0:
        wanted = float(CHUNK_ROWS)
    else:
        wanted = min(max(rate, FEWEST_ROWS), MOST_ROWS)
    return 1 << (int(min(wanted, most)).bit_length() - 1)


def check_dataset_names(names: Collection[str]) -> None:
    """Refuse names a file cannot hold.

    Raises:
        FieldValueError: a name is empty, ``.`` or ``..``, has a ``/`` or NUL in it, is no
            text that can be written, or comes twice.
    """
    seen: set[str] = set()
    for name in names:
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            raise FieldValueError(
                "dataset name", name, "it must not be empty, '.' or '..', nor hold '/' or NUL"
            )
        try:
            name.encode()
        except UnicodeEncodeError as failure:
            raise FieldValueError(
                "dataset name", name, f"{failure.reason} in UTF-8, in which files have their names"
            ) from failure
        if name in seen:
            raise FieldValueError("dataset name", name, "two captured fields have it; rename one")
        seen.add(name)


def free_name(name: str, taken: set[str]) -> str:
    """Return the name, or the next like it that is free, and take it."""
    number, free = 0, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free
