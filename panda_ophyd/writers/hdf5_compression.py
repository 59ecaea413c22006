"""Compression by name: what HDF5 brings along, and what the package hdf5plugin adds.

Bytes are shuffled first, so that those that change least lie side by side; some filters
do that themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from panda_ophyd.errors import FieldValueError

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
        plugin = import_module("hdf5plugin")
    except ImportError as missing:
        why = "it needs the package hdf5plugin, here and wherever the file is read"
        raise FieldValueError("compression", compression, why) from missing
    return _PLUGINS[name](plugin)
