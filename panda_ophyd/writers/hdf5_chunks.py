"""Rows go to a dataset in whole chunks, past the library's own cache, where that can be done.

Handing over a chunk as it will be on the disk spares a copy, a conversion and the cache's
bookkeeping. What does not fill a chunk, or is not as the file has it, takes the ordinary way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


def cache_of(chunk_bytes: int) -> Mapping[str, Any]:
    """Return the arguments of ``create_dataset`` that keep its cache at the chunk under way.

    Left alone, HDF5 2.0 keeps the last 8 MiB of each dataset: of a file of a hundred columns
    that is most of a gigabyte, and nobody reads it through this handle. (A simulated scan of a
    million rows grew by the size of its file.)

    Args:
        chunk_bytes: size of a chunk before it is compressed.
    """
    return {"rdcc_nbytes": 2 * chunk_bytes, "rdcc_nslots": 11, "rdcc_w0": 1.0}


class GrowingDataset:
    """A dataset that rows are put behind. What it is asked for each time is looked up once.

    Args:
        dataset: one-dimensional, in chunks; nothing else changes its length.

    Attributes:
        dataset: the same.
        chunk: rows of a chunk.
        dtype: of a row.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset = dataset
        (self.chunk,) = dataset.chunks
        self.dtype: np.dtype[Any] = dataset.dtype
        self._id = dataset.id
        self._is_plain: bool = self._id.get_create_plist().get_nfilters() == 0

    def room_needed(self, rows: int, added: int) -> int:
        """Return how many bytes the file grows by at most for rows behind those there are."""
        # A chunk that is not full may be in the library's memory only
        new = -(-(rows + added) // self.chunk) - rows // self.chunk
        return new * self.chunk * self.dtype.itemsize

    def put(self, first: int, values: NDArray[Any]) -> None:
        """Add rows.

        Args:
            first: row of the first value, the present length.
            values: (n,), contiguous.

        Raises:
            OSError, RuntimeError, ValueError: whatever h5py makes of what HDF5 says; the
                dataset may be longer than before.
        """
        stop = first + len(values)
        self.cut(stop)
        begin, end = first + -first % self.chunk, stop - stop % self.chunk
        if begin >= end or not self._is_plain or values.dtype != self.dtype:
            self.dataset[first:stop] = values
            return
        if begin > first:
            self.dataset[first:begin] = values[: begin - first]
        for row in range(begin, end, self.chunk):
            at = row - first
            self._id.write_direct_chunk((row,), values[at : at + self.chunk])
        if stop > end:
            self.dataset[end:stop] = values[end - first :]

    def cut(self, rows: int) -> None:
        """Make it so long; what is beyond is gone.

        Raises:
            OSError, RuntimeError, ValueError: as `put`.
        """
        self._id.set_extent((rows,))
