"""Where rows go: one class per file format, found by mimetype; nothing else knows the formats."""

from __future__ import annotations

from collections.abc import Mapping

from panda_ophyd.writers.base import (
    CHUNK_ROWS,
    DIED,
    AcquisitionRecord,
    Attribute,
    Dataset,
    FileOptions,
    Role,
    Verdict,
    Writer,
    check_dataset_names,
    chunk_rows,
    free_name,
)
from panda_ophyd.writers.evidence import Evidence, Hand, Maker, Unreadable
from panda_ophyd.writers.hdf5 import Hdf5Writer
from panda_ophyd.writers.hdf5_examination import examine
from panda_ophyd.writers.hdf5_reading import read_columns
from panda_ophyd.writers.hdf5_snapshot import read_snapshot

WRITERS: Mapping[str, type[Writer]] = {Hdf5Writer.mimetype: Hdf5Writer}
"""Mimetype as announced in documents to the class that writes it."""

__all__ = [
    "CHUNK_ROWS",
    "DIED",
    "WRITERS",
    "AcquisitionRecord",
    "Attribute",
    "Dataset",
    "Evidence",
    "FileOptions",
    "Hand",
    "Hdf5Writer",
    "Maker",
    "Role",
    "Unreadable",
    "Verdict",
    "Writer",
    "check_dataset_names",
    "chunk_rows",
    "examine",
    "free_name",
    "read_columns",
    "read_snapshot",
]
