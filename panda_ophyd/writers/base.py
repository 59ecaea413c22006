"""What a file format must promise to receive the rows of a capture.

A writer is driven from one thread, in this order::

    create -> open -> (append -> flush)* -> close
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

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from panda_ophyd.errors import FieldValueError

CHUNK_ROWS = 16384
"""Rows of a chunk unless told otherwise: 128 KiB of float64."""

Attribute = str | float | int


@dataclass(frozen=True, slots=True)
class Dataset:
    """One growing column of the file.

    Attributes:
        name: in the file, at its root.
        dtype: of one row.
        chunk: rows per chunk, as announced in documents.
        attributes: what the column means: units, scale, offset, capture, field.
    """

    name: str
    dtype: np.dtype[Any]
    chunk: int
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the file says about itself, as attributes of these names.

    Attributes:
        complete: every row that was wanted is in the file, and all ended well.
        end_reason: the last END reason in the server's words, or why there was none.
        rows: how many were written, -1 as long as nobody counted.
        suspect_row: the first row in doubt, -1 if none is.
    """

    complete: bool
    end_reason: str
    rows: int
    suspect_row: int


DIED = Verdict(complete=False, end_reason="writing was never finished", rows=-1, suspect_row=-1)
"""The verdict in a file that nobody has closed yet."""


class Writer(ABC):
    """One file, from one thread. Single use."""

    mimetype: ClassVar[str]
    """What documents call the format."""

    suffix: ClassVar[str]
    """The customary file name ending, with its dot."""

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


def check_dataset_names(names: Collection[str]) -> None:
    """Refuse names a file cannot hold.

    Raises:
        FieldValueError: a name is empty, ``.`` or ``..``, has a ``/`` or NUL in it, or comes twice.
    """
    seen: set[str] = set()
    for name in names:
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            raise FieldValueError(
                "dataset name", name, "it must not be empty, '.' or '..', nor hold '/' or NUL"
            )
        if name in seen:
            raise FieldValueError("dataset name", name, "two captured fields have it; rename one")
        seen.add(name)
