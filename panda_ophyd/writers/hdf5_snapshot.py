"""A snapshot of the box as an HDF5 group: a group for each block, its values attributes of it.

A click on ``SEQ1`` then shows all there is to know of it, and a file of a thousand
settings grows by 0.2 MB. Datasets in place of attributes would be twice as slow to make
and twice as large; texts without a fixed size three times as slow; and h5py's usual
interface five times as slow as its low-level one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from panda_ophyd.snapshot import Snapshot
from panda_ophyd.writers.nexus import ENTRY

SNAPSHOT = "panda"
_COLLECTION = "NXcollection"
_COLUMNS = ".columns"
_LOST = "surrogateescape"
"""The server's texts may be cut in the middle of a character; they come back as they were."""


def make_snapshot(entry: h5py.Group, shot: Snapshot) -> None:
    """Write a snapshot into a new group."""
    texts = _Texts()
    box = texts.collection(entry, SNAPSHOT)
    taken = datetime.fromtimestamp(shot.taken, UTC).isoformat(timespec="microseconds")
    texts.put(box, {**shot.identity, "taken": taken})
    box.attrs["taken_at"] = shot.taken
    settings = _blocks(texts.collection(box, "settings"), shot.settings, texts)
    _blocks(texts.collection(box, "readings"), shot.readings, texts)
    texts.put(texts.collection(box, "metadata"), shot.metadata)
    texts.put(texts.collection(box, "failed"), shot.failed)
    for target in shot.tables:
        block, _, name = target.partition(".")
        if block not in settings:
            settings[block] = texts.collection(box["settings"], block)
        _make_table(settings[block], name, shot, target)


def read_snapshot(path: Path) -> Snapshot | None:
    """Return the box that a file describes, but for the layouts of its tables.

    Returns:
        What was written, to the byte; None if the file describes none.

    Raises:
        OSError: it is no HDF5 file, or cannot be opened.
    """
    with h5py.File(path, swmr=True) as file:
        where = f"{file.attrs.get('default', ENTRY)}/{SNAPSHOT}"
        return _read(file[where]) if where in file else None


def _read(box: Any) -> Snapshot:
    identity = _texts(box)
    taken = float(identity.pop("taken_at", "nan"))
    identity.pop("taken", None)
    settings: dict[str, str] = {}
    readings: dict[str, str] = {}
    tables: dict[str, bytes] = {}
    for into, group in ((settings, box["settings"]), (readings, box["readings"])):
        for block, values in group.items():
            into |= {f"{block}.{name}": text for name, text in _texts(values).items()}
    for block, values in box["settings"].items():
        for name, table in values.items():
            if not name.endswith(_COLUMNS):
                tables[f"{block}.{name}"] = table[()].astype("<u4").tobytes()
    return Snapshot(
        identity,
        taken,
        settings,
        readings,
        tables,
        _texts(box["metadata"]),
        _texts(box["failed"]),
    )


class _Texts:
    """Attributes of text, whose types and shapes are made once."""

    def __init__(self) -> None:
        self._scalar = h5py.h5s.create(h5py.h5s.SCALAR)
        self._types: dict[int, Any] = {}

    def collection(self, parent: Any, name: str) -> h5py.Group:
        """Make a group."""
        made = h5py.Group(h5py.h5g.create(parent.id, name.encode()))
        self.put(made, {"NX_class": _COLLECTION})
        return made

    def put(self, group: h5py.Group, texts: Mapping[str, str]) -> None:
        for name, text in texts.items():
            data = text.encode(errors=_LOST)
            kind = self._type(max(len(data), 1))
            made = h5py.h5a.create(group.id, name.encode(), kind, self._scalar)
            made.write(np.array(data, f"S{max(len(data), 1)}"), kind)

    def _type(self, size: int) -> Any:
        kind = self._types.get(size)
        if kind is None:
            kind = self._types[size] = h5py.h5t.C_S1.copy()
            kind.set_size(size)
            kind.set_cset(h5py.h5t.CSET_UTF8)
            kind.set_strpad(h5py.h5t.STR_NULLPAD)
        return kind


def _texts(group: h5py.Group) -> dict[str, str]:
    return {
        name: value.decode(errors=_LOST) if isinstance(value, bytes) else str(value)
        for name, value in group.attrs.items()
        if name != "NX_class"
    }


def _blocks(group: h5py.Group, values: Mapping[str, str], texts: _Texts) -> dict[str, h5py.Group]:
    by_block: dict[str, dict[str, str]] = {}
    for target, text in values.items():
        block, _, name = target.partition(".")
        by_block.setdefault(block, {})[name or block] = text
    made: dict[str, h5py.Group] = {}
    for block, fields in by_block.items():
        made[block] = texts.collection(group, block)
        texts.put(made[block], fields)
    return made


def _make_table(block: h5py.Group, name: str, shot: Snapshot, target: str) -> None:
    words = shot.words(target)
    layout = shot.layouts.get(target)
    columns = shot.columns(target)
    shape = (-1, layout.row_words) if layout and columns else (-1,)
    block.create_dataset(name, data=words.reshape(shape))
    if columns and len(words):
        block.create_dataset(f"{name}{_COLUMNS}", data=_compound(columns))


def _compound(columns: Mapping[str, Any]) -> NDArray[np.void]:
    """Return columns as rows that a viewer shows as a table."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, values in columns.items():
        if isinstance(values, list):  # labels
            arrays[name] = np.array([str(label).encode() for label in cast("list[str]", values)])
        else:
            arrays[name] = np.asarray(values)
    length = len(next(iter(arrays.values())))
    rows = np.zeros(length, [(name, values.dtype) for name, values in arrays.items()])
    for name, values in arrays.items():
        rows[name] = values
    return rows
