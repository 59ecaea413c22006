"""The columns of a file as values in their units, whether it keeps them so or as integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from panda_ophyd.columns import standard_deviation
from panda_ophyd.writers.hdf5_compression import missing_filter

_WORD = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


def read_columns(path: Path | str) -> dict[str, NDArray[Any]]:
    """Read every captured column of a file, being written or not.

    Returns:
        Dataset name to (n,) values, n the same for all: float64 in units, uint32 or bool
        of bits, ``datetime64[ns]`` (UTC) of absolute times. What a file of integers keeps
        beside them for its own use is left out.

    Raises:
        OSError: it is no HDF5 file, or cannot be opened, or is compressed with what is not here.
        KeyError: it lacks a dataset that another one refers to.
    """
    with h5py.File(path, swmr=True) as file:
        datasets = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
        for name, item in datasets.items():
            if codec := missing_filter(item):
                raise OSError(
                    f"{path}: {name} is compressed with {codec}, which is not here: install"
                    " hdf5plugin"
                )
        rows = min((len(item) for item in datasets.values() if item.shape), default=0)
        stored = {name: item[:rows] for name, item in datasets.items() if item.shape}
        meanings = {name: dict(datasets[name].attrs.items()) for name in stored}
    return {
        name: _valued(values, meanings[name], stored)
        for name, values in stored.items()
        if not {"low", "uninvited"} & meanings[name].keys()
    }


def _valued(
    values: NDArray[Any], of: Mapping[str, Any], stored: Mapping[str, NDArray[Any]]
) -> NDArray[Any]:
    if "epoch" in of and values.dtype == np.int64:
        return values.view("datetime64[ns]")
    for name, rule in _RULES.items():
        if name in of:
            # A user's SCALE may be inf or nan: the result is then nan, not a warning
            with np.errstate(invalid="ignore", over="ignore"):
                return rule(values, of, stored)
    return values


def _deviation(
    values: NDArray[Any], of: Mapping[str, Any], stored: Mapping[str, NDArray[Any]]
) -> NDArray[np.float64]:
    squares = np.empty((len(values), 3), np.uint32)
    squares[:, 0], squares[:, 1] = values & _LOW, values >> _WORD
    squares[:, 2] = stored[of["high"]]
    return standard_deviation(stored[of["n"]], stored[of["sum"]], squares) * of["scale"]


def _mean(
    values: NDArray[Any], of: Mapping[str, Any], stored: Mapping[str, NDArray[Any]]
) -> NDArray[np.float64]:
    count = stored[of["n"]].astype(np.float64)
    count[count == 0] = np.nan
    return values * of["scale"] / count + of["offset"]


def _linear(
    values: NDArray[Any], of: Mapping[str, Any], _stored: Mapping[str, NDArray[Any]]
) -> NDArray[np.float64]:
    return values * of["scale"] + of["offset"]


_Rule = Callable[[NDArray[Any], Mapping[str, Any], Mapping[str, NDArray[Any]]], NDArray[Any]]
_RULES: Mapping[str, _Rule] = {"high": _deviation, "n": _mean, "formula": _linear}
"""By the attribute that tells which; the first that is there."""
