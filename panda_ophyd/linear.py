"""Integers times a scale plus an offset: all such columns of some rows together.

Columns of one type that lie side by side in a sample are taken out of it in one go, and
all are scaled in one go, while they are in a processor's cache. One by one the same costs
twice the time: most columns are alike, and there are many.

Source: protocol.md 8.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinearColumn:
    """One of them.

    Attributes:
        key: field of the record, of integers.
        scale: of the integer.
        offset: added at last.
        averaged: whether the scaled value is divided by the count of its own row.
    """

    key: str
    scale: float
    offset: float
    averaged: bool = False


class LinearColumns:
    """Records in, a row of values for each column out.

    Args:
        record: packed.
        columns: in the order of the record.
    """

    def __init__(self, record: np.dtype[Any], columns: Sequence[LinearColumn]) -> None:
        self._runs = [
            slice(first, last)
            for first, last in pairwise([*_starts(record, columns), len(columns)])
        ]
        offsets = _offsets(record)
        names = [str(number) for number in range(len(self._runs))]
        keys = [columns[run.start].key for run in self._runs]
        self._view = np.dtype(
            {
                "names": names,
                "formats": [
                    (record[key], (run.stop - run.start,))
                    for key, run in zip(keys, self._runs, strict=True)
                ],
                "offsets": [offsets[key] for key in keys],
                "itemsize": record.itemsize,
            }
        )
        self._scales = np.array([column.scale for column in columns]).reshape(-1, 1)
        self._offsets = np.array([column.offset for column in columns]).reshape(-1, 1)
        self._means = [row for row, column in enumerate(columns) if column.averaged]

    def __len__(self) -> int:
        """How many columns there are."""
        return len(self._scales)

    def compute(self, records: NDArray[np.void], count: NDArray[np.uint32], out: Matrix) -> None:
        """Put the values of some rows; they should be few enough for a cache.

        Args:
            records: (n,).
            count: (n,) of each row; looked at only if a column is averaged.
            out: (columns, n); NaN for an average of nothing.
        """
        if not len(self):
            return
        # Left to right, as the server does: scaling after a division rounds differently.
        # A scale of 1 and an offset of 0 change nothing, for integers have no negative zero
        parts = records.view(self._view)
        for name, run in zip(self._view.names or (), self._runs, strict=True):
            np.copyto(out[run], parts[name].T)
        np.multiply(out, self._scales, out=out)
        if self._means:
            divisor = count.astype(np.float64)
            if not divisor.min() > 0:  # cheaper than to ask the counts, which lie apart
                divisor[divisor == 0] = np.nan
            for row in self._means:
                np.divide(out[row], divisor, out=out[row])
        np.add(out, self._offsets, out=out)


def _starts(record: np.dtype[Any], columns: Sequence[LinearColumn]) -> list[int]:
    """Return which columns are not the next of the same type in the record."""
    offsets = _offsets(record)
    starts: list[int] = []
    end, kind = -1, None
    for row, column in enumerate(columns):
        if (offsets[column.key], record[column.key]) != (end, kind):
            starts.append(row)
        kind = record[column.key]
        end = offsets[column.key] + kind.itemsize
    return starts


def _offsets(record: np.dtype[Any]) -> dict[str, int]:
    return {name: place[1] for name, place in (record.fields or {}).items()}
