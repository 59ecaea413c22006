"""Tables pass between 32-bit words, named columns and base64 lines here, whole arrays at a time.

A row is `row_words` words; a column is a range of bits over the concatenated words of
its row, bit 0 the least significant bit of the first word. Pure numpy: 262144 lines of
a SEQ table take milliseconds each way.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from panda_ophyd.errors import FieldValueError, ProtocolError

WORD_BITS = 32
MAX_COLUMN_BITS = 64
MAX_ROW_WORDS = 1024
"""A bound on what a peer can make us build; the widest row of current designs has 4."""
LINE_BYTES = 48
"""Data bytes in one base64 line, 64 characters: what the server itself writes."""

Words: TypeAlias = NDArray[np.uint32]

_FIELD_LINE = re.compile(r"(\d{1,6}):(\d{1,6}) (\w{1,99})(?: (\w+))?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+")
_SUBTYPES = ("uint", "int", "enum")


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column: bits `left` down to `right` of a row, and what they mean.

    Attributes:
        name: as on the wire, upper case.
        left: highest bit.
        right: lowest bit.
        subtype: ``uint``, ``int`` (two's complement of that width) or ``enum``.
        labels: of an enum, in the order of their codes 0, 1, 2, ...

    Source: protocol.md 5.1.
    """

    name: str
    left: int
    right: int
    subtype: str
    labels: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The name under which the column appears in Python: lower case."""
        return self.name.lower()

    @property
    def width(self) -> int:
        """Width in bits."""
        return self.left - self.right + 1

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest value (of an enum: code) that the bits can hold."""
        if self.subtype == "int":
            return -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        return 0, (1 << self.width) - 1

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Type of the unpacked column, None for a list of labels.

        A single unsigned bit is bool, wider unsigned the smallest unsigned type that
        holds it, signed int32 or int64.
        """
        if self.subtype == "enum":
            return None
        if self.subtype == "int":
            return np.dtype(np.int32 if self.width <= WORD_BITS else np.int64)
        for bits, kind in ((1, np.bool_), (8, np.uint8), (16, np.uint16), (32, np.uint32)):
            if self.width <= bits:
                return np.dtype(kind)
        return np.dtype(np.uint64)


@dataclass(frozen=True, slots=True)
class TableLayout:
    """How the words of a table divide into columns.

    Attributes:
        row_words: 32-bit words in a row.
        columns: in the order of the box's configuration, which is not bit order.
        max_words: how many words the table holds, None if the server did not say.
    """

    row_words: int
    columns: tuple[TableColumn, ...]
    max_words: int | None = None

    @property
    def max_rows(self) -> int | None:
        """How many rows the table holds, None if the server did not say."""
        return None if self.max_words is None else self.max_words // self.row_words

    def unpack(self, words: Words) -> dict[str, Any]:
        """Return the columns of a table by lower-case name, in configuration order.

        Args:
            words: ``(n * row_words,)`` uint32.

        Returns:
            For each column ``(n,)`` of its `TableColumn.dtype`; for an enum a list of n
            labels, in which a code without label is its decimal number (``"13"``).

        Raises:
            ProtocolError: the words are not a whole number of rows.
        """
        if words.size % self.row_words:
            msg = f"A table of {words.size} words is not a whole number of rows of {self.row_words}"
            raise ProtocolError(msg)
        rows = words.reshape(-1, self.row_words)
        return {column.key: _unpack_column(column, rows) for column in self.columns}

    def pack(self, columns: Mapping[str, ArrayLike | Sequence[object]], target: str) -> Words:
        """Return the words of a table; a column that is not given is all zeros.

        Args:
            columns: equally long one-dimensional columns by lower-case name: numbers
                (integral floats too), for an enum labels, their numbers as text
                (``"13"``), enum members, or numbers.
            target: the table on the wire, for error messages: ``SEQ1.TABLE``.

        Returns:
            ``(n * row_words,)`` uint32.

        Raises:
            FieldValueError: a value does not fit its bits, a label or a column is unknown,
                the lengths differ, or there are more rows than the table holds.
        """
        known = {column.key: column for column in self.columns}
        for key in columns:
            if key not in known:
                reason = f"it has no such column, only {', '.join(known)}"
                raise FieldValueError(target, key, reason)
        codes = {
            key: _codes(known[key], values, f"{target}[].{known[key].name}")
            for key, values in columns.items()
        }
        rows = np.zeros((self._length(codes, target), self.row_words), dtype=np.uint32)
        for key, values in codes.items():
            _pack_column(known[key], values, rows)
        return rows.reshape(-1)

    def _length(self, codes: Mapping[str, NDArray[np.uint64]], target: str) -> int:
        lengths = {key: len(values) for key, values in codes.items()}
        if len(set(lengths.values())) > 1:
            raise FieldValueError(target, lengths, "its columns must be equally long")
        length = next(iter(lengths.values()), 0)
        if self.max_rows is not None and length > self.max_rows:
            reason = f"it holds {self.max_rows} rows; send the rest as further segments"
            raise FieldValueError(target, f"{length} rows", reason)
        return length


def parse_fields(
    lines: Sequence[str],
    row_words: int,
    labels: Mapping[str, tuple[str, ...]],
    *,
    max_words: int | None = None,
) -> TableLayout:
    """Read the layout of a table from the reply to its ``FIELDS`` query.

    A table that declares no columns gets one column for each word, ``WORD0``, ``WORD1``...

    Args:
        lines: ``LEFT:RIGHT NAME SUBTYPE``.
        row_words: words in a row.
        labels: of each enum column, by its name on the wire.
        max_words: how many words the table holds.

    Raises:
        ProtocolError: a line has another form, bits outside the row, or an unknown subtype.

    Source: protocol.md 5.1.
    """
    if not 1 <= row_words <= MAX_ROW_WORDS:
        msg = f"A table row of {row_words} words"
        raise ProtocolError(msg)
    if not lines:
        lines = [
            f"{WORD_BITS * word + WORD_BITS - 1}:{WORD_BITS * word} WORD{word} uint"
            for word in range(row_words)
        ]
    columns = tuple(_parse_line(line, row_words, labels) for line in lines)
    return TableLayout(row_words, columns, max_words)


def _parse_line(line: str, row_words: int, labels: Mapping[str, tuple[str, ...]]) -> TableColumn:
    match = _FIELD_LINE.fullmatch(line)
    if match is None:
        raise ProtocolError("No table column", line.encode(errors="surrogateescape"))
    left, right, name, subtype = int(match[1]), int(match[2]), match[3], match[4] or "uint"
    wide = left - right + 1
    if (
        subtype not in _SUBTYPES
        or not 1 <= wide <= MAX_COLUMN_BITS
        or left >= WORD_BITS * row_words
    ):
        msg = f"A table column that rows of {row_words} words cannot have"
        raise ProtocolError(msg, line.encode())
    return TableColumn(name, left, right, subtype, labels.get(name, ()))


def to_base64_lines(words: Words) -> tuple[str, ...]:
    """Return the body of a base64 table write: lines of 64 characters, the last may be shorter.

    Args:
        words: ``(n,)`` uint32, sent little-endian.

    Source: protocol.md 5.1, 5.2.
    """
    text = base64.b64encode(words.astype("<u4").tobytes()).decode("ascii")
    step = LINE_BYTES // 3 * 4
    return tuple(text[start : start + step] for start in range(0, len(text), step))


def from_base64_lines(lines: Iterable[str]) -> Words:
    """Return the ``(n,)`` uint32 words of the reply to a table's ``B`` query.

    Each line is decoded on its own, padded or not, as the server does with ours.

    Raises:
        ProtocolError: a line is not base64 or not whole words.

    Source: protocol.md 5.1, 5.2.
    """
    lines = tuple(lines)
    # one call for the lot where the joined lines mean the same as each line: none padded
    # but the last
    joined = "".join(lines)
    whole = "=" not in joined.rstrip("=") and all(len(line) % 16 == 0 for line in lines[:-1])
    pieces = [joined] if whole else lines
    data = b"".join(_decode_base64(piece) for piece in pieces)
    return np.frombuffer(data, dtype="<u4").astype(np.uint32)


def _decode_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        near = text[:64].encode(errors="surrogateescape")
        msg = f"A table line that is not base64 ({error})"
        raise ProtocolError(msg, near) from error
    if len(data) % 4:
        msg = f"A base64 table line of {len(data)} bytes, which is not whole words"
        raise ProtocolError(msg, text[:64].encode())
    return data


def _unpack_column(column: TableColumn, rows: Words) -> NDArray[Any] | list[str]:
    codes = np.zeros(len(rows), dtype=np.uint64)
    for word, shift, bits, below in _pieces(column):
        part = (rows[:, word] >> np.uint32(shift)) & np.uint32((1 << bits) - 1)
        codes |= part.astype(np.uint64) << np.uint64(below)
    dtype = column.dtype
    if dtype is None:
        return _label_codes(column.labels, codes)
    if column.subtype == "int":
        spare = MAX_COLUMN_BITS - column.width
        signed = (codes << np.uint64(spare)).view(np.int64) >> np.int64(spare)
        return signed.astype(dtype)
    return codes.astype(dtype)


def _label_codes(labels: tuple[str, ...], codes: NDArray[np.uint64]) -> list[str]:
    if codes.size == 0:
        return []
    if codes.max() < len(labels):
        return np.array(labels, dtype=object)[codes].tolist()
    return [labels[code] if code < len(labels) else str(code) for code in codes.tolist()]


def _pack_column(column: TableColumn, codes: NDArray[np.uint64], rows: Words) -> None:
    for word, shift, bits, below in _pieces(column):
        part = (codes >> np.uint64(below)) & np.uint64((1 << bits) - 1)
        rows[:, word] |= part.astype(np.uint32) << np.uint32(shift)


def _pieces(column: TableColumn) -> Iterable[tuple[int, int, int, int]]:
    """Divide a column at word boundaries: (word, shift in the word, bits, bits already below)."""
    bit = column.right
    while bit <= column.left:
        word, shift = divmod(bit, WORD_BITS)
        bits = min(WORD_BITS - shift, column.left - bit + 1)
        yield word, shift, bits, bit - column.right
        bit += bits


def _codes(column: TableColumn, values: object, field: str) -> NDArray[np.uint64]:
    """Return a column as the unsigned bit patterns of its width."""
    if column.subtype == "enum":
        values = _enum_codes(column, values, field)
    numbers = np.asarray(values)
    if numbers.ndim != 1:
        raise FieldValueError(field, values, "a column has one dimension")
    if numbers.size == 0:
        return np.zeros(0, dtype=np.uint64)
    if numbers.dtype.kind not in "biuf":
        numbers = np.asarray([_integer(value, field) for value in numbers.tolist()])
    numbers = _integers(numbers, field)
    low, high = column.limits
    wrong = (numbers < low) | (numbers > high)
    if wrong.any():
        row = int(wrong.argmax())
        reason = f"row {row} does not fit {column.width} bits, {low} to {high}"
        raise FieldValueError(field, numbers[row].item(), reason)
    return numbers.astype(np.int64 if column.subtype == "int" else np.uint64).view(np.uint64)


def _integers(numbers: NDArray[Any], field: str) -> NDArray[Any]:
    if numbers.dtype.kind == "b":
        return numbers.astype(np.uint8)
    if numbers.dtype.kind == "f":
        wrong = ~np.isfinite(numbers) | (np.trunc(numbers) != numbers) | (abs(numbers) >= 2.0**63)
        if wrong.any():
            row = int(wrong.argmax())
            raise FieldValueError(field, numbers[row].item(), f"row {row} is no whole number")
        return numbers.astype(np.int64)
    return numbers


def _integer(value: object, field: str) -> int:
    """Read one value of a column that is not plain numbers: text from a settings file, say."""
    value = value.value if isinstance(value, Enum) else value
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int):
        raise FieldValueError(field, value, "it takes whole numbers")
    if not -(1 << 63) <= value < 1 << 63:
        raise FieldValueError(field, value, "it is too large for any table")
    return value


def _enum_codes(column: TableColumn, values: Any, field: str) -> NDArray[Any]:
    if not isinstance(values, (list, tuple)):
        values = np.asarray(values)
        if values.dtype.kind in "biuf":
            return values
        values = values.tolist()
    items = cast("Sequence[Any]", values)
    known: dict[object, int] = {label: code for code, label in enumerate(column.labels)}
    try:
        codes = [known[item] for item in items]
    except (KeyError, TypeError):
        codes = [_enum_code(known, item, field) for item in items]
    return np.asarray(codes, dtype=np.int64)


def _enum_code(known: Mapping[object, int], item: Any, field: str) -> int:
    item = item.value if isinstance(item, Enum) else item
    item = cast("Any", item).item() if isinstance(item, np.generic) else item
    if isinstance(item, str) and item in known:
        return known[item]
    if isinstance(item, str) and not item.isdecimal():
        reason = f"it takes {', '.join(map(repr, known))}"
        raise FieldValueError(field, item, reason)
    return _integer(item, field)
