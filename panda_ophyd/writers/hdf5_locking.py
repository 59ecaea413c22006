"""A new file is made whoever looks at it meanwhile, and wherever it is.

HDF5 locks what it writes. Some shared file systems know no locks, which is ignored here.
On others a viewer or a watcher of the directory may have locked the file in the moment
between its creation and ours opening it: that passes, and if it does not, the lock is done
without. The file was created by us and by nobody else, so there is no other writer to be
kept away, and readers are told by the file itself that it is being written.

``HDF5_USE_FILE_LOCKING`` in the environment goes before all of this, as HDF5 has it.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Literal

import h5py

PATIENCE = 1.0
"""Seconds for a reader's lock to pass: nothing in an empty file keeps a reader."""

PERIOD = 0.02
"""Seconds between two attempts."""

PAGE_BYTES = 4096
"""Chunks begin where pages of memory do: then the system writes them a quarter faster."""

ALIGNED_BYTES = 65536
"""What is at least so big begins at a page; with smaller things too much would be wasted.
Whole chunks that are multiples of this begin at multiples of it, which wastes nothing: Linux
keeps so many pages as one then, and takes chunks and syncs them a quarter faster again."""

_log = logging.getLogger(__name__)


def make_file(path: Path, chunk_bytes: int = 0, *, patience: float = PATIENCE) -> h5py.File:
    """Open a file for writing that is there, empty, and ours.

    Args:
        path: of the file.
        chunk_bytes: of most chunks there will be, 0 if their sizes differ.
        patience: how long a lock of somebody else may last, s.

    Raises:
        BlockingIOError: it is locked, and the environment says that locks count.
        OSError, RuntimeError: HDF5 cannot make it.
    """
    deadline = time.monotonic() + patience
    whole = chunk_bytes > 0 and chunk_bytes % ALIGNED_BYTES == 0
    interval = ALIGNED_BYTES if whole else PAGE_BYTES
    while True:
        try:
            return _made(path, "best-effort", interval)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                _log.warning("%s: made without a lock, because another program holds one", path)
                return _made(path, False, interval)
        time.sleep(PERIOD)


def _made(path: Path, locking: Literal["best-effort", False], interval: int) -> h5py.File:
    return h5py.File(
        path,
        "w",
        libver="latest",
        locking=locking,
        alignment_threshold=ALIGNED_BYTES,
        alignment_interval=interval,
    )
