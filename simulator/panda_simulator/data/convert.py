"""Samples as the hardware delivers them become what a client asked for.

Source: protocol.md 8.5, 8.6, appendix C.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from panda_simulator.box.capture import CapturedColumn, CapturePlan, ColumnGroup
from panda_simulator.box.text import format_real
from panda_simulator.data.options import Process

_BASE64_CHARACTERS: Final = 76
_HEX_PREFIX: Final = b" 0x"
_HEX_DIGITS: Final = 8
_LIMIT32: Final = 1 << 32
_MASK64: Final = (1 << 64) - 1
_MASK96: Final = (1 << 96) - 1
_RAW_DTYPES = {
    ColumnGroup.UNSCALED: "<u4",
    ColumnGroup.SCALED32: "<i4",
    ColumnGroup.SCALED64: "<i8",
    ColumnGroup.AVERAGED: "<i8",
    ColumnGroup.STD_DEV: "V20",
}
_DTYPES = {
    Process.RAW: _RAW_DTYPES,
    Process.UNSCALED: {**_RAW_DTYPES, ColumnGroup.AVERAGED: "<i4"},
    Process.SCALED: {**dict.fromkeys(ColumnGroup, "<f8"), ColumnGroup.UNSCALED: "<u4"},
}


def sample_dtype(plan: CapturePlan, process: Process) -> np.dtype[np.void]:
    """Return what one sample is in a binary format, packed."""
    dtypes = _DTYPES[process]
    columns = [dtypes[c.group] for c in plan.columns for _ in range(1 + c.with_mean_column)]
    if process is Process.RAW:
        hidden = [plan.hidden_count] if plan.hidden_count else []
        columns = [dtypes[c.group] for c in [*hidden, *plan.columns]]
    return np.dtype([(f"f{number}", dtype) for number, dtype in enumerate(columns)])


def sample_bytes(plan: CapturePlan, process: Process) -> int:
    """Return the length of one sample in a binary format."""
    return sample_dtype(plan, process).itemsize


def convert(plan: CapturePlan, process: Process, samples: bytes) -> bytes:
    """Process whole samples.

    Args:
        plan: columns and their scaling.
        process: RAW returns the samples as they are.
        samples: little-endian 32-bit words in the order of the capture list.

    Returns:
        Packed little-endian samples of `sample_bytes` each.
    """
    if process is Process.RAW:
        return samples
    words = np.frombuffer(samples, "<u4").reshape(-1, len(plan.entries))
    if process is Process.SCALED:
        return _scale(plan, words)
    # a column of n numbers is n rows of bytes
    parts = [
        np.ascontiguousarray(values).view(np.uint8).reshape(len(words), -1)
        for values in _integer_columns(plan, words)
    ]
    return np.hstack(parts).tobytes() if parts else b""


def _scale(plan: CapturePlan, words: NDArray[np.uint32]) -> bytes:
    rows = np.empty(len(words), sample_dtype(plan, Process.SCALED))
    with np.errstate(all="ignore"):
        for name, values in zip(rows.dtype.names or (), _scaled_columns(plan, words), strict=True):
            rows[name] = values
    return rows.tobytes()


def _split(
    plan: CapturePlan, words: NDArray[np.uint32]
) -> Iterator[tuple[CapturedColumn, NDArray[np.uint32]]]:
    at = len(plan.hidden_count.entries) if plan.hidden_count else 0
    for column in plan.columns:
        yield column, words[:, at : at + len(column.entries)]
        at += len(column.entries)


def _counts(plan: CapturePlan, words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    if plan.count_word is None:
        return np.ones(len(words), np.uint32)
    counts = words[:, plan.count_word]
    return counts if plan.features.empty_mean else np.maximum(counts, 1)


def _scaled_columns(plan: CapturePlan, words: NDArray[np.uint32]) -> Iterator[NDArray[np.generic]]:
    counts = _counts(plan, words)
    for column, mine in _split(plan, words):
        if column.group is ColumnGroup.UNSCALED:
            yield mine[:, 0]
        elif column.group is ColumnGroup.SCALED32:
            yield _scaled(column, mine[:, 0].view("<i4"))
        elif column.group is ColumnGroup.SCALED64:
            yield _scaled(column, _int64(mine))
        else:
            yield from _averages(column, mine, counts)


def _integer_columns(plan: CapturePlan, words: NDArray[np.uint32]) -> Iterator[NDArray[np.generic]]:
    counts = _counts(plan, words).astype(np.int64)
    for column, mine in _split(plan, words):
        if column.group is ColumnGroup.AVERAGED:
            quotients, rests = np.divmod(_int64(mine), counts)
            # towards zero, as C divides; the low 32 bits of it
            quotients[(quotients < 0) & (rests != 0)] += 1
            yield quotients.astype("<u4")
        else:
            yield mine


def _int64(words: NDArray[np.uint32]) -> NDArray[np.int64]:
    return np.ascontiguousarray(words[:, :2]).view("<i8")[:, 0]


def _scaled(column: CapturedColumn, values: NDArray[np.signedinteger]) -> NDArray[np.float64]:
    return column.scale * values.astype(np.float64) + column.offset


def _averages(
    column: CapturedColumn, words: NDArray[np.uint32], counts: NDArray[np.uint32]
) -> list[NDArray[np.generic]]:
    sums = _int64(words)
    columns = list[NDArray[np.generic]]()
    if column.group is ColumnGroup.AVERAGED or column.with_mean:
        mean = column.scale * sums.astype(np.float64) / counts.astype(np.float64) + column.offset
        columns.append(np.where(counts == 0, np.nan, mean).astype("<f8"))
    if column.group is ColumnGroup.STD_DEV:
        deviations = [
            column.scale * standard_deviation(count, total, low | middle << 32 | high << 64)
            for count, total, (low, middle, high) in zip(
                counts.tolist(), sums.tolist(), words[:, 2:].tolist(), strict=True
            )
        ]
        columns.append(np.array(deviations, "<f8"))
    return columns


def standard_deviation(count: int, total: int, squares: int) -> float:
    """Return the deviation of a population from exact sums.

    Args:
        count: how many values, unsigned 32 bits.
        total: their sum, signed 64 bits.
        squares: the sum of their squares, unsigned 96 bits.
    """
    if not count:
        return math.nan
    quotient, remainder = divmod(abs(total), count)
    if quotient >= _LIMIT32:
        return math.nan
    rest = (squares - (abs(total) + remainder & _MASK64) * quotient) & _MASK96
    # one word after the other, as the double takes them
    value = float(rest >> 64)
    value = value * _LIMIT32 + float(rest >> 32 & 0xFFFFFFFF)
    value = value * _LIMIT32 + float(rest & 0xFFFFFFFF)
    value -= float(remainder * remainder) / count
    return math.nan if value < 0 else math.sqrt(value / count)


def to_ascii(plan: CapturePlan, process: Process, data: bytes) -> bytes:
    """Write converted samples as lines of numbers."""
    if process is Process.RAW and plan.features.raw_text_words:
        return _hexadecimal(np.frombuffer(data, "<u4").reshape(-1, len(plan.entries)))
    rows = np.frombuffer(data, sample_dtype(plan, process))
    names = rows.dtype.names or ()
    reals = [name for name in names if rows.dtype[name].kind == "f"]
    if any(np.any(np.isnan(rows[name]) & np.signbit(rows[name])) for name in reals):
        # Python does not write the sign of a NaN
        numbers = "".join(" %s" if name in reals else " %d" for name in names)
        lines = [numbers % _texts(row) for row in rows.tolist()]
    else:
        numbers = "".join(" %.10g" if name in reals else " %d" for name in names)
        lines = [numbers % row for row in rows.tolist()]
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def _hexadecimal(words: NDArray[np.uint32]) -> bytes:
    """Write rows of words as lines of `` 0x%08x``."""
    rows, columns = words.shape
    digits = np.frombuffer(words.astype(">u4").tobytes().hex().encode("ascii"), np.uint8)
    cells = np.empty((rows, columns, len(_HEX_PREFIX) + _HEX_DIGITS), np.uint8)
    cells[:, :, : len(_HEX_PREFIX)] = np.frombuffer(_HEX_PREFIX, np.uint8)
    cells[:, :, len(_HEX_PREFIX) :] = digits.reshape(rows, columns, _HEX_DIGITS)
    ends = np.full((rows, 1), ord("\n"), np.uint8)
    return np.hstack((cells.reshape(rows, -1), ends)).tobytes()


def _texts(row: tuple[float, ...]) -> tuple[int | str, ...]:
    return tuple(value if isinstance(value, int) else format_real(value) for value in row)


def to_base64(data: bytes) -> bytes:
    """Write bytes as lines of base64, each with a NUL before its end."""
    text = np.frombuffer(base64.b64encode(data), np.uint8)
    whole = len(text) - len(text) % _BASE64_CHARACTERS
    lines = np.empty((whole // _BASE64_CHARACTERS, _BASE64_CHARACTERS + 3), np.uint8)
    lines[:, 0] = ord(" ")
    lines[:, 1:-2] = text[:whole].reshape(-1, _BASE64_CHARACTERS)
    lines[:, -2:] = 0, ord("\n")
    rest = text[whole:].tobytes()
    return lines.tobytes() + (b" " + rest + b"\0\n" if rest else b"")
