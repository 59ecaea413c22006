"""Sample bytes in, named columns in engineering units out; whole arrays at a time, no state.

A raw sample is a packed record of 32, 64 and 96-bit integers. Each captured quantity
becomes one column: the header's scale and offset applied, means divided by the gated
sample count of their own row, standard deviations computed from sum and sum of squares
as the server itself would. Asking for raw data and scaling here spares the PandA's slow
processor and halves the traffic.

Some columns are sent that nobody asked for: the sample count that means are divided by,
and the mean that a standard deviation needs. The header does not tell those from the same
quantities captured on purpose, so whoever knows says so (``captured``). If nobody does,
all that the header lists is kept: a superfluous dataset loses nobody's data.

Source: protocol.md 8.4, 8.5, 11.3 (b) and appendix C.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from panda_ophyd.data import CapturedField, CaptureStart
from panda_ophyd.errors import ProtocolError
from panda_ophyd.linear import LinearColumn, LinearColumns, Matrix

Records = NDArray[np.void]
Values = NDArray[np.float64] | NDArray[np.uint32]
_Rule = Callable[[Records, NDArray[np.uint32], Values], None]

_FLOAT64 = np.dtype(np.float64)
_UINT32 = np.dtype(np.uint32)

_WIRE_TYPES = {
    "uint32": "<u4",
    "int32": "<i4",
    "int64": "<i8",
    "int96": "(3,)<u4",  # numpy has no such type: low, middle and high word
    "double": "<f8",
}
BLOCK_ROWS = 8192
"""Rows decoded at a time, so that they stay in a processor's cache for all columns."""

_COUNT_FIELDS = ("GATE_DURATION", "SAMPLES")
"""The gated sample count in today's and in old designs."""
_COUNT_SIZE = 4
_AVERAGED = ("Mean", "StdDev")
_WORD = np.uint64(32)
_LOW_WORD = np.uint64(0xFFFFFFFF)
_SIGN_BIT = np.uint64(63)
_NO_COUNT = np.zeros(0, np.uint32)


@dataclass(frozen=True, slots=True)
class Column:
    """One captured quantity as it leaves the decoder.

    Attributes:
        name: ``FIELD.CAPTURE``, as in ``COUNTER1.OUT.Mean``.
        field: the field on the wire, ``COUNTER1.OUT``.
        capture: the capture option, ``Mean``.
        dtype: float64 for a scaled quantity, uint32 for bits.
        scale: what one count is worth, in ``units``; already applied.
        offset: added after scaling, in ``units``; already applied. 0 for a StdDev.
        units: the user's text, empty if never set.
        scaled: False for bits, which have no scale.
    """

    name: str
    field: str
    capture: str
    dtype: np.dtype[Any]
    scale: float
    offset: float
    units: str
    scaled: bool


@dataclass(frozen=True, slots=True)
class Arrays:
    """Memory for the columns of so many rows, to be used again; of `ColumnDecoder.arrays`.

    Attributes:
        columns: column name to its array, in header order.
        linear: those of the linear columns are its rows.
    """

    columns: Mapping[str, Values]
    linear: Matrix


class ColumnDecoder:
    """Decode the frames of one acquisition.

    Args:
        start: the acquisition's header.
        captured: the (field, capture) pairs that were captured on purpose, as in
            ``*CAPTURE?``. A column the server adds on its own account is left out
            unless it is among them. None: nobody knows, see the module's rule.

    Raises:
        ProtocolError: the header's columns do not add up to its ``sample_bytes``, or one
            of them has an unknown type, no count to divide by, or another's name, or there
            are none.

    Attributes:
        columns: in header order.
        sample_bytes: of one sample.
        record: of one sample, packed; its fields are as they come, before scaling.
        keys: of each column, the field of the record that it is made from.
    """

    def __init__(
        self, start: CaptureStart, captured: Collection[tuple[str, str]] | None = None
    ) -> None:
        raw = _is_raw(start)
        fields = list(start.fields)
        layout = _layout(fields, start.sample_bytes, raw=raw)
        self.record = np.dtype(layout)
        self.sample_bytes: int = self.record.itemsize
        self._count: str | None = None
        hidden: set[int] = set()
        if raw and any(field.capture in _AVERAGED for field in fields):
            hidden = _hidden(fields, captured)
            # The unlisted count of old servers is the first record field too
            self._count = _count_name(fields, unlisted=len(layout) > len(fields))
        rules: dict[str, _Rule | LinearColumn] = {}
        columns: list[Column] = []
        keys: list[str] = []
        for index, field in enumerate(fields):
            if index in hidden:
                continue
            column = _column(field)
            if column.name in rules:
                raise ProtocolError(f"capture header lists {column.name} twice")
            columns.append(column)
            keys.append(str(index))
            rules[column.name] = _rule(fields, index, raw=raw)
        if not columns:
            raise ProtocolError("capture header lists no columns")
        self.columns: tuple[Column, ...] = tuple(columns)
        self.keys: tuple[str, ...] = tuple(keys)
        linear = {name: rule for name, rule in rules.items() if isinstance(rule, LinearColumn)}
        self._rules = {
            name: rule for name, rule in rules.items() if not isinstance(rule, LinearColumn)
        }
        self._linear_rows = {name: row for row, name in enumerate(linear)}
        self._linear = LinearColumns(self.record, list(linear.values()))

    def arrays(self, rows: int) -> Arrays:
        """Make memory for so many rows: fresh memory costs more than decoding."""
        linear = np.empty((len(self._linear), rows))
        own = self._linear_rows
        columns = {
            c.name: linear[own[c.name]] if c.name in own else np.empty(rows, c.dtype)
            for c in self.columns
        }
        return Arrays(columns, linear)

    def decode(self, payload: bytes | memoryview, out: Arrays | None = None) -> dict[str, Values]:
        """Return the columns of whole samples, in header order.

        Args:
            payload: n samples of ``sample_bytes`` bytes, little-endian, packed.
            out: where they go, `arrays` of this decoder, or of one of the same columns, for n
                rows or more.

        Returns:
            Column name to (n,) float64, or (n,) uint32 for bits: own memory unless `out` is
            given; nothing refers to the payload. Mean and StdDev of a row without gated
            samples are NaN.

        Raises:
            ProtocolError: the payload is not a whole number of samples.
        """
        if len(payload) % self.sample_bytes:
            raise ProtocolError(
                f"{len(payload)} bytes of data are no whole number of "
                f"{self.sample_bytes}-byte samples"
            )
        records: Records = np.frombuffer(payload, self.record)
        rows = len(records)
        out = out or self.arrays(rows)
        columns = {name: values[:rows] for name, values in out.columns.items()}
        work = [(rule, columns[name]) for name, rule in self._rules.items()]
        # A user's SCALE may be inf or nan: the result is then nan, not a warning
        with np.errstate(invalid="ignore", over="ignore"):
            for first in range(0, rows, BLOCK_ROWS):
                block = slice(first, min(first + BLOCK_ROWS, rows))
                part = records[block]
                count = _NO_COUNT if self._count is None else _unsigned(part[self._count])
                self._linear.compute(part, count, out.linear[:, block])
                for rule, values in work:
                    rule(part, count, values[block])
        return columns


def standard_deviation(
    count: NDArray[np.uint32], total: NDArray[np.int64], squares: NDArray[np.uint32]
) -> NDArray[np.float64]:
    """Return the population standard deviation of each row, in counts.

    The difference of two huge numbers is taken in 96-bit integers, as 64 + 32 bits, so
    no digit is lost however far from zero the position is.

    Args:
        count: (n,) number of values.
        total: (n,) their sum.
        squares: (n, 3) their sum of squares, low word first.

    Returns:
        (n,) float64; NaN if the count is 0 or the sums contradict each other.

    Source: protocol.md appendix C.
    """
    n = np.maximum(count, np.uint32(1)).astype(np.uint64)
    magnitude = np.abs(total).view(np.uint64)
    quotient = magnitude // n
    remainder = magnitude - quotient * n
    impossible = (count == 0) | ((quotient >> _WORD) != 0)

    factor = magnitude + remainder
    low = (factor & _LOW_WORD) * quotient
    high = (factor >> _WORD) * quotient + (low >> _WORD)
    words = squares.astype(np.uint64)
    low_word = words[:, 0] - (low & _LOW_WORD)
    top = (words[:, 1] | (words[:, 2] << _WORD)) - high - (low_word >> _SIGN_BIT)
    impossible |= (top >> _SIGN_BIT) != 0

    # Two roundings, not one, because that is what the server's own conversion does
    numerator = top.astype(np.float64) * 2.0**32 + (low_word & _LOW_WORD).astype(np.float64)
    numerator -= (remainder * remainder).astype(np.float64) / n.astype(np.float64)
    impossible |= numerator < 0
    numerator[impossible] = np.nan
    return np.sqrt(numerator / n.astype(np.float64))


def _is_raw(start: CaptureStart) -> bool:
    if start.process not in ("Raw", "Scaled"):
        raise ProtocolError(f"capture header has unknown process {start.process!r}")
    return start.process == "Raw"


def _layout(
    fields: list[CapturedField], sample_bytes: int | None, *, raw: bool
) -> list[tuple[str, str]]:
    """Return the record's fields, named by column number, the unlisted count first."""
    layout: list[tuple[str, str]] = []
    for index, field in enumerate(fields):
        wire_type = _WIRE_TYPES.get(field.type)
        if wire_type is None:
            raise ProtocolError(f"capture header gives {field.name} unknown type {field.type!r}")
        layout.append((str(index), wire_type))
    size = np.dtype(layout).itemsize
    if raw and sample_bytes is not None and sample_bytes - size == _COUNT_SIZE:
        return [("count", "<u4"), *layout]
    if sample_bytes not in (size, None):
        raise ProtocolError(
            f"capture header says {sample_bytes} bytes per sample, but its fields need {size}"
        )
    if not size:
        raise ProtocolError("capture header has no fields")
    return layout


def _is_count(field: CapturedField) -> bool:
    return field.capture == "Value" and field.name.rpartition(".")[2] in _COUNT_FIELDS


def _count_name(fields: list[CapturedField], *, unlisted: bool) -> str:
    if unlisted:
        return "count"
    for index, field in enumerate(fields):
        if _is_count(field):
            return str(index)
    raise ProtocolError("capture header has a Mean or StdDev but no sample count to divide by")


def _hidden(fields: list[CapturedField], captured: Collection[tuple[str, str]] | None) -> set[int]:
    """Return which columns of raw data with averages the server sends unasked."""
    uninvited: set[int] = set()
    counts = [index for index, field in enumerate(fields) if _is_count(field)]
    if len(counts) > 1:  # a bug of server 3.0: hidden and asked for
        uninvited.add(counts.pop(0))
    if captured is None:
        return uninvited
    deviating = {field.name for field in fields if field.capture == "StdDev"}
    means = [i for i, f in enumerate(fields) if f.capture == "Mean" and f.name in deviating]
    for index in (*counts, *means):
        if (fields[index].name, fields[index].capture) not in captured:
            uninvited.add(index)
    return uninvited


def _column(field: CapturedField) -> Column:
    return Column(
        name=f"{field.name}.{field.capture}",
        field=field.name,
        capture=field.capture,
        dtype=_UINT32 if _is_unscaled(field) else _FLOAT64,
        scale=field.scale,
        offset=0.0 if field.capture == "StdDev" else field.offset,
        units=field.units,
        scaled=field.scaled,
    )


def _is_unscaled(field: CapturedField) -> bool:
    return field.type == "uint32" and not field.scaled


def _rule(fields: list[CapturedField], index: int, *, raw: bool) -> _Rule | LinearColumn:
    """Choose how a column is computed; every branch is one row of protocol.md 8.5."""
    field = fields[index]
    key = str(index)
    if _is_unscaled(field):
        return partial(_as_is, key)
    if not raw:
        return partial(_as_is, key)
    if field.capture == "Mean":
        return LinearColumn(key, field.scale, field.offset, averaged=True)
    if field.capture == "StdDev":
        before = fields[index - 1] if index else None
        if (
            field.type != "int96"
            or before is None
            or (before.name, before.type)
            != (
                field.name,
                "int64",
            )
        ):
            raise ProtocolError(f"capture header has no sum in front of {field.name} StdDev")
        return partial(_deviation, str(index - 1), key, field.scale)
    if field.type == "int96":
        raise ProtocolError(f"capture header gives {field.name} {field.capture} type 'int96'")
    scale, offset = (field.scale, field.offset) if field.scaled else (1.0, 0.0)
    if field.type != "double":
        return LinearColumn(key, scale, offset)
    return partial(_linear, key, scale, offset)


def _unsigned(count: NDArray[Any]) -> NDArray[np.uint32]:
    """Return the gated sample count as it is, whatever sign the header gives it."""
    if count.dtype.itemsize == _UINT32.itemsize:
        return count.view(np.uint32)
    return count.astype(np.uint32)


def _as_is(key: str, records: Records, _count: NDArray[np.uint32], out: Values) -> None:
    np.copyto(out, records[key])


def _linear(
    key: str, scale: float, offset: float, records: Records, _count: NDArray[np.uint32], out: Values
) -> None:
    if scale == 1:
        np.copyto(out, records[key])
    else:
        np.multiply(records[key], scale, out=out)
    if offset or not scale > 0:  # a negative zero is kept as it came
        np.add(out, offset, out=out)


def _deviation(
    total: str,
    squares: str,
    scale: float,
    records: Records,
    count: NDArray[np.uint32],
    out: Values,
) -> None:
    values = standard_deviation(count, records[total].astype(np.int64), records[squares])
    np.multiply(values, scale, out=out)
