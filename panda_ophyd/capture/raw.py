"""Samples kept as the PandA counted them: integers, and how to make values of them.

For whoever wants to calibrate later, or to lose nothing to rounding: 32-bit columns also
take half the space. What a value needs beside its own integers is kept too, asked for or
not: the sample count that a mean is divided by, and the sum that a standard deviation
needs. All datasets stay one-dimensional, so the 96 bits of a sum of squares are two of
them: the lower 64 bits under the name itself, and the upper 32.

Source: protocol.md 8.5 and appendix C.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from panda_ophyd.columns import Column, ColumnDecoder
from panda_ophyd.data import CapturedField, CaptureStart
from panda_ophyd.writers import Attribute, free_name

COUNT_FIELDS = ("GATE_DURATION", "SAMPLES")
"""The gated sample count in today's and in old designs."""

UNLISTED_COUNT = "PCAP.SAMPLES"
"""Where servers before 2.1 send it without saying so."""

HIGH = ".high"
"""Behind the name of a sum of squares: its upper 32 bits."""

_STAMPS = ("TS_TRIG", "TS_START", "TS_END")
_SQUARES = np.dtype([("low", "<u8"), ("high", "<u4")])
_WIDE = ("Sum", "Mean")


@dataclass(frozen=True, slots=True)
class RawColumn:
    """One dataset of integers.

    Attributes:
        name: of the dataset.
        column: what was captured.
        path: of the integers in the record.
        dtype: of them.
        attributes: how to make values of them.
    """

    name: str
    column: Column
    path: tuple[str, ...]
    dtype: np.dtype[Any]
    attributes: dict[str, Attribute]


def stored_dtype(field: str, capture: str, *, bits: bool, raw: bool) -> np.dtype[Any]:
    """Return of which type a column will be in a file, before there is a header.

    Args:
        field: on the wire, ``PCAP.TS_TRIG``.
        capture: its option, ``Value``.
        bits: whether it has no scale, `BoxInfo.captures_unsigned`.
        raw: as in `FileOptions`.
    """
    part = field.rpartition(".")[2]
    if bits or (raw and part in COUNT_FIELDS):
        return np.dtype(np.uint32)
    if not raw:
        return np.dtype(np.float64)
    if capture == "StdDev":
        return np.dtype(np.uint64)
    return np.dtype(np.int64 if capture in _WIDE or part in _STAMPS else np.int32)


def raw_record(decoder: ColumnDecoder) -> np.dtype[Any]:
    """Return the record of a sample with whole integers wherever there are some."""
    of = decoder.record
    kinds = [(name, of[name]) for name in of.names or ()]
    return np.dtype([(name, _SQUARES if kind.shape else kind) for name, kind in kinds])


def raw_columns(
    decoder: ColumnDecoder, start: CaptureStart, name_of: Callable[[Column], str]
) -> list[RawColumn]:
    """Return the datasets of integers, those that others need among them.

    Args:
        decoder: of the acquisition.
        start: its header, of raw data.
        name_of: the name of a column's dataset.
    """
    return _Layout(decoder, start, name_of).columns


class _Layout:
    def __init__(
        self, decoder: ColumnDecoder, start: CaptureStart, name_of: Callable[[Column], str]
    ) -> None:
        self.columns: list[RawColumn] = []
        self._fields = start.fields
        self._keys = decoder.keys
        self._wanted = {
            int(key): (column, name_of(column))
            for key, column in zip(decoder.keys, decoder.columns, strict=True)
        }
        self._taken = {name for _, name in self._wanted.values()}
        self._extra: dict[str, str] = {}
        self._unlisted = decoder.record if "count" in (decoder.record.names or ()) else None
        for index, (column, name) in self._wanted.items():
            self._add(index, column, name)

    def _add(self, index: int, column: Column, name: str) -> None:
        if column.capture == "StdDev":
            self._add_squares(index, column, name)
            return
        attributes: dict[str, Attribute] = {}
        if column.capture == "Mean":
            attributes["formula"] = "scale * raw / n + offset"
            attributes["n"] = self._count()
        elif column.scaled:
            attributes["formula"] = "scale * raw + offset"
            attributes["scale_factor"] = column.scale  # what xarray and others go by
            attributes["add_offset"] = column.offset
        kind = _kind(self._fields[index], column)
        self.columns.append(RawColumn(name, column, (str(index),), kind, attributes))

    def _add_squares(self, index: int, column: Column, name: str) -> None:
        high = free_name(f"{name}{HIGH}", self._taken)
        attributes: dict[str, Attribute] = {
            "formula": "scale * sqrt((raw + high * 2**64) / n - (sum / n)**2)",
            "n": self._count(),
            "sum": self._sum(index - 1),
            "high": high,
        }
        low_path, high_path = (str(index), "low"), (str(index), "high")
        self.columns += [
            RawColumn(name, column, low_path, np.dtype(np.uint64), attributes),
            RawColumn(high, column, high_path, np.dtype(np.uint32), {"low": name}),
        ]

    def _count(self) -> str:
        """Return the dataset of the sample count, made if nobody asked for it."""
        if self._unlisted is not None:
            unlisted = CapturedField(UNLISTED_COUNT, "uint32", "Value", 1.0, 0.0, "", scaled=False)
            return self._made("count", unlisted)
        counts = [i for i, field in enumerate(self._fields) if is_count(field)]
        known = next((self._wanted[i][1] for i in counts if i in self._wanted), None)
        return known or self._made(str(counts[0]), self._fields[counts[0]])

    def _sum(self, index: int) -> str:
        if index in self._wanted:
            return self._wanted[index][1]
        return self._made(str(index), self._fields[index])

    def _made(self, key: str, field: CapturedField) -> str:
        """Return the dataset of a column that nobody asked for, made once."""
        if key not in self._extra:
            column = Column(
                f"{field.name}.{field.capture}",
                field.name,
                field.capture,
                np.dtype(np.float64),
                field.scale,
                field.offset,
                field.units,
                field.scaled,
            )
            name = self._extra[key] = free_name(column.name, self._taken)
            attributes: dict[str, Attribute] = {"uninvited": "needed for what was asked for"}
            kind = _kind(field, column)
            self.columns.append(RawColumn(name, column, (key,), kind, attributes))
        return self._extra[key]


def is_count(field: CapturedField) -> bool:
    """Tell whether a field is the gated sample count."""
    return field.capture == "Value" and field.name.rpartition(".")[2] in COUNT_FIELDS


def _kind(field: CapturedField, column: Column) -> np.dtype[Any]:
    # The count is sent as signed, and is not
    if is_count(field):
        return np.dtype(np.uint32)
    kinds = {"uint32": np.uint32, "int32": np.int32, "int64": np.int64}
    return np.dtype(kinds.get(field.type, column.dtype))


def integers(records: NDArray[np.void], column: RawColumn) -> NDArray[Any]:
    """Return the (n,) integers of a column; own memory, contiguous."""
    values: Any = records
    for part in column.path:
        values = values[part]
    return values.astype(column.dtype, casting="unsafe")
