"""The columns of a sample, foretold from what is captured, and their values.

Source: protocol.md 8.5, 8.6, appendix C.
"""

from __future__ import annotations

import base64
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from .survey import Survey
from .wire import Column

SIZES = {"int32": 4, "uint32": 4, "int64": 8, "int96": 12, "double": 8}
WORDS = {"Value": 1, "Diff": 1, "Min": 1, "Max": 1, "Sum": 2, "Mean": 2, "StdDev": 5}
_CODES = {"int32": "<i4", "uint32": "<u4", "int64": "<i8", "int96": "V12", "double": "<f8"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One captured field."""

    name: str
    kind: str
    options: tuple[str, ...]


def wanted(box: Survey, captured: dict[str, str]) -> list[Wanted]:
    """What is captured, in capture order, from the text of each CAPTURE."""
    kinds = {t: field.info for field in box.fields for t in field.instances}
    return [
        Wanted(name, kinds[name], tuple(captured[name].split()))
        for name in box.captured
        if captured.get(name, "No") not in {"No", ""}
    ]


def sample_words(fields: Sequence[Wanted]) -> int:
    """Words that the hardware sends for a sample."""
    words = 0
    for field in fields:
        options = set(field.options)
        if "StdDev" in options:
            options -= {"Mean"}
        words += 2 if field.kind == "ext_out timestamp" else sum(WORDS[o] for o in options)
    return words + has_hidden(fields)


def averages(field: Wanted) -> bool:
    return bool({"Mean", "StdDev"} & set(field.options))


def has_hidden(fields: Sequence[Wanted]) -> bool:
    counted = any(field.kind == "ext_out samples" for field in fields)
    return not counted and any(averages(field) for field in fields)


def foretold(box: Survey, fields: Sequence[Wanted], *, raw: bool) -> list[tuple[str, str, str]]:
    """Name, type and capture of every column in the order of the data."""
    scaled, long = ("int32", "int64") if raw else ("double", "double")
    columns: list[tuple[str, str, str]] = []
    if raw and has_hidden(fields):
        columns.append((box.of("ext_out samples")[0].instances[0], "int32", "Value"))
    columns += [(f.name, "uint32", "Value") for f in fields if f.kind == "ext_out bits"]
    columns += [
        (field.name, scaled, option)
        for field in fields
        if field.kind in {"pos_out", "ext_out samples"}
        for option in ("Value", "Diff", "Min", "Max")
        if option in field.options
    ]
    for field in fields:
        if field.kind == "ext_out timestamp":
            columns.append((field.name, long, "Value"))
        elif "Sum" in field.options:
            columns.append((field.name, long, "Sum"))
    plain = [f for f in fields if "Mean" in f.options and "StdDev" not in f.options]
    columns += [(field.name, long, "Mean") for field in plain]
    for field in fields:
        if "StdDev" in field.options:
            if raw or "Mean" in field.options:
                columns.append((field.name, long, "Mean"))
            columns.append((field.name, "int96" if raw else "double", "StdDev"))
    return columns


def row_type(columns: Sequence[Column]) -> np.dtype[np.void]:
    """The packed record of one sample."""
    return np.dtype([(f"{c.name} {c.capture}", _CODES[c.type]) for c in columns])


def rows(columns: Sequence[Column], data: bytes) -> NDArray[np.void]:
    dtype = row_type(columns)
    assert len(data) % dtype.itemsize == 0, "no whole number of samples"
    return np.frombuffer(data, dtype)


def from_text(columns: Sequence[Column], lines: Sequence[bytes], *, raw: bool) -> bytes:
    """Samples of ASCII data; reals have ten digits."""
    data = b""
    for line in lines:
        words = line.decode().split(" ")[1:]
        if raw:
            assert all(re.fullmatch("0x[0-9a-f]{8}", word) for word in words), line
            data += struct.pack(f"<{len(words)}I", *(int(word, 16) for word in words))
            continue
        assert len(words) == len(columns), line
        for column, word in zip(columns, words, strict=True):
            if column.type == "uint32":
                data += struct.pack("<I", int(word))
            else:
                assert word in {"nan", "-nan"} or f"{float(word):.10g}" == word, line
                data += struct.pack("<d", float(word))
    return data


def from_base64(lines: Sequence[bytes]) -> bytes:
    """Samples of BASE64 data: each line has a NUL at its end, and is decoded alone."""
    data = b""
    for line in lines:
        assert line[-1:] == b"\0", line
        text = line[1:-1]
        assert len(text) <= 76
        data += base64.b64decode(text, validate=True)
    return data


def scaled_values(
    box: Survey,
    raw: NDArray[np.void],
    column: tuple[str, str, str],
    factors: dict[str, tuple[float, float]],
) -> list[float]:
    """What a SCALED column must hold, from RAW samples."""
    name, kind, capture = column
    if kind == "uint32":
        return [float(value) for value in raw[f"{name} {capture}"]]
    scale, offset = factors[name]
    counter = f"{box.of('ext_out samples')[0].instances[0]} Value"
    if capture not in {"Mean", "StdDev"}:
        return [scale * int(value) + offset for value in raw[f"{name} {capture}"]]
    result: list[float] = []
    for row in raw:
        count, total = int(row[counter]) % 2**32, int(row[f"{name} Mean"])
        if count == 0:
            result.append(math.nan)
        elif capture == "Mean":
            result.append(scale * total / count + offset)
        else:
            squares = int.from_bytes(row[f"{name} StdDev"].tobytes(), "little")
            result.append(scale * deviation(count, total, squares))
    return result


def deviation(count: int, total: int, squares: int) -> float:
    """Standard deviation of the population, exactly."""
    variance = Fraction(squares, count) - Fraction(total, count) ** 2
    if variance < 0 or abs(total) // count >= 2**32:
        return math.nan
    return math.sqrt(variance)
