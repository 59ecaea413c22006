"""Compression by name: what HDF5 brings along, and what the package hdf5plugin adds.

Bytes are shuffled first, so that those that change least lie side by side; some filters
do that themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import h5py

from panda_ophyd.errors import FieldValueError

_PACKAGE = "hdf5plugin"
"""Who imports it has its filters in the whole process."""

_PLUGINS: Mapping[str, Callable[[Any], Mapping[str, object]]] = {
    "blosc": lambda plugin: dict(plugin.Blosc2()),
    "bitshuffle": lambda plugin: dict(plugin.Bitshuffle()),
    "lz4": lambda plugin: {**plugin.LZ4(), "shuffle": True},
    "zstd": lambda plugin: {**plugin.Zstd(), "shuffle": True},
}


def filters(compression: str) -> Mapping[str, Any]:
    """Return the arguments of ``create_dataset``.

    Args:
        compression: as in `FileOptions`.

    Raises:
        FieldValueError: a package is missing.
    """
    if not compression:
        return {}
    name, _, level = compression.partition(":")
    if name == "gzip":
        options = {"compression_opts": int(level)} if level else {}
        return {"compression": "gzip", "shuffle": True, **options}
    if name == "lzf":
        return {"compression": "lzf", "shuffle": True}
    try:
        plugin = import_module(_PACKAGE)
    except ImportError as missing:
        why = "it needs the package hdf5plugin, here and wherever the file is read"
        raise FieldValueError("compression", compression, why) from missing
    return _PLUGINS[name](plugin)


def missing_filter(dataset: h5py.Dataset) -> str:
    """Return the filter that a dataset cannot be read without and that is not there, or "".

    HDF5 would say that a directory does not exist. Whose package is there has it put to use
    first, so that a file is read by whoever could write it.
    """
    plan = dataset.id.get_create_plist()
    wanted = [plan.get_filter(place) for place in range(plan.get_nfilters())]
    if all(h5py.h5z.filter_avail(number) for number, *_ in wanted):
        return ""
    with contextlib.suppress(ImportError):
        import_module(_PACKAGE)
    for number, _, _, name in wanted:
        if not h5py.h5z.filter_avail(number):
            return f"{name.decode(errors='replace').partition(';')[0]} ({number})"
    return ""
