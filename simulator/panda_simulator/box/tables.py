"""A table is replaced as a whole at the end of its body, or fed to the hardware in segments.

Source: protocol.md 5, 10.2, 10.3.
"""

from __future__ import annotations

import base64
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from panda_simulator.box.errors import CommandError
from panda_simulator.box.field import Attribute, FieldClass, Place, TableWriter
from panda_simulator.box.files import LineReader
from panda_simulator.box.rows import Rows
from panda_simulator.box.stamps import Group
from panda_simulator.box.subtypes import Labels
from panda_simulator.box.text import Cursor

_LINE_BYTES = 48
_LINE_DIGITS = 64
_WORD_MASK = 0xFFFFFFFF
_PAGE_WORDS = 1024
_SUBTYPES = ("uint", "int", "enum")
_ALPHABET = re.compile(r"[A-Za-z0-9+/]*")
_PLAIN = re.compile(r"(?:(?:0|[1-9]\d{0,9})(?: |$))+(?<! )", re.ASCII)
"""Decimal numbers below 10^10, each but the last with one blank behind it."""


class Mode(Enum):
    """What was last written to a table."""

    INIT = auto()
    FIXED = auto()
    STREAMING = auto()
    STREAMING_LAST = auto()


@dataclass(slots=True)
class Subfield:
    """Some bits of a row."""

    left: int
    right: int
    name: str
    subtype: str
    labels: Labels | None = None
    description: str | None = None


class Contents:
    """One instance of a table."""

    def __init__(self) -> None:
        self.words: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self.mode = Mode.INIT
        self.locked = False


class Body:
    """The words of a table write, until its body is complete."""

    def __init__(self, table: TableField, number: int, *, streaming: bool, last: bool) -> None:
        self._table = table
        self._number = number
        self._streaming = streaming
        self._last = last
        self._words = array("I")
        self._taken = table.kept(number) if streaming else 0

    @property
    def room(self) -> int:
        """Words that may still come."""
        return self._table.capacity - self._taken - len(self._words)

    def append(self, words: Iterable[int]) -> None:
        """Add words of one line."""
        self._words.extend(words)

    def close(self, *, complete: bool) -> None:
        """Release the table, and if the body is sound load it."""
        self._table.contents[self._number].locked = False
        if complete:
            words = np.array(self._words, np.uint32)
            self._table.load(self._number, words, streaming=self._streaming, last=self._last)


class NumberBody(Body):
    """Numbers separated by blanks."""

    def line(self, text: str) -> None:
        """Take one line of numbers."""
        if _PLAIN.fullmatch(text):
            self._take_plain(text)
            return
        cursor = self._table.place.wiring.cursor(text)
        words = list[int]()
        while cursor.peek():
            if len(words) >= self.room:
                raise CommandError("Too many points for table")
            words.append(cursor.unsigned())
        self.append(words)

    def _take_plain(self, text: str) -> None:
        """Take what tables of a million words are made of, without looking at each character."""
        words = [int(word) & _WORD_MASK for word in text.split(" ")]
        if len(words) > self.room:
            raise CommandError("Too many points for table")
        self.append(words)


class Base64Body(Body):
    """Lines of base64, each a whole number of words."""

    def line(self, text: str) -> None:
        """Take one line of base64."""
        digits = text
        if len(text) % 4 == 0:
            digits = text[:-2] + text[-2:].removesuffix("=").removesuffix("=")
        whole, left = divmod(len(digits), 4)
        size = 3 * whole + max(0, left - 1)
        if size > 4 * self.room:
            raise CommandError("Input string too long for output buffer")
        if left == 1 or not _ALPHABET.fullmatch(digits):
            raise CommandError("Malformed base64 string")
        if size % 4:
            raise CommandError("Invalid data length")
        data = base64.b64decode(digits + "=" * (-len(digits) % 4))
        self.append(np.frombuffer(data, "<u4").tolist())


class TableField(FieldClass):
    """``table [row_words]``."""

    group = Group.TABLE

    def __init__(self, place: Place, cursor: Cursor) -> None:
        super().__init__(place, "table")
        self._row_words = 1
        if cursor.peek() == " ":
            cursor.blanks()
            self._row_words = cursor.unsigned()
            if self._row_words == 0:
                raise CommandError("invalid table row size")
        self.capacity = 0
        self._modes = place.wiring.features.streamed_tables
        self._streams = False
        self._subfields: dict[str, Subfield] = {}
        self._used = set[int]()
        self.contents = [Contents() for _ in range(place.count)]

    @override
    def value(self, number: int) -> Rows:
        words = self.contents[number].words
        return Rows(len(words), lambda first, last: [*map(str, words[first:last].tolist())])

    @override
    def open_table(self, number: int, *, streaming: bool, last: bool, binary: bool) -> TableWriter:
        contents = self.contents[number]
        if contents.locked:
            raise CommandError("Table currently being written")
        contents.locked = True
        body = Base64Body if binary else NumberBody
        return body(self, number, streaming=streaming, last=last)

    def load(self, number: int, words: NDArray[np.uint32], *, streaming: bool, last: bool) -> None:
        """Put a complete body in force."""
        if len(words) % self._row_words:
            raise CommandError("Table write is not a whole number of rows")
        contents = self.contents[number]
        if not self._modes:
            contents.words = np.concatenate((contents.words, words)) if streaming else words
            self._send(number, contents.words, streaming=False, last=True)
            self.touch(number)
            return
        before = contents.mode
        contents.mode = self._next_mode(before, bool(len(words)), streaming=streaming, last=last)
        clears = not len(words) or before is Mode.FIXED
        try:
            if clears:
                self._send(number, words[:0], streaming=False, last=True)
            if len(words):
                self._send(number, words, streaming=streaming, last=last)
        except OSError as error:
            raise CommandError(
                f"Unexpected error at hardware.c: ({error.errno}) {error.strerror}"
            ) from error
        finally:
            contents.words = words if contents.mode is Mode.FIXED else words[:0]
            self.touch(number)

    def kept(self, number: int) -> int:
        """Return the words that a write with ``<<`` leaves, before streaming came: all."""
        return 0 if self._modes else len(self.contents[number].words)

    def _send(self, number: int, words: NDArray[np.uint32], *, streaming: bool, last: bool) -> None:
        self.place.wiring.hardware.write_table(
            self.place.block, number + 1, words, streaming=streaming, last=last
        )

    def _next_mode(self, mode: Mode, has_data: bool, *, streaming: bool, last: bool) -> Mode:
        if streaming and not self._streams:
            raise CommandError("Table do not support streaming mode")
        if not has_data:
            if streaming:
                raise CommandError("Streaming table must have data")
            return Mode.INIT
        if mode is Mode.STREAMING_LAST:
            raise CommandError("Last streaming table was sent")
        if not streaming:
            if mode is Mode.STREAMING:
                raise CommandError("Table is in streaming mode")
            return Mode.FIXED
        # a fixed table followed by a last segment is not called the last one
        return Mode.STREAMING_LAST if last and mode is not Mode.FIXED else Mode.STREAMING

    @override
    def attributes(self) -> list[Attribute]:
        features = self.place.wiring.features
        attributes = [
            Attribute("LENGTH", "Number of entries in table", self._length),
            Attribute(
                "MAX_LENGTH", "Maximum number of entries in table", lambda _: str(self.capacity)
            ),
            Attribute("FIELDS", "List of sub-fields for this table", lambda _: self._fields()),
            Attribute("B", "Table in base-64 representation", self._base64),
        ]
        row_words = Attribute(
            "ROW_WORDS", "Number of words per table row", lambda _: str(self._row_words)
        )
        queued = Attribute("QUEUED_LINES", "Number of lines scheduled", self._queued, polled=True)
        mode = Attribute("MODE", "Current table mode", lambda n: self.contents[n].mode.name)
        return (
            attributes
            + [row_words] * features.row_words
            + [queued, mode] * features.streamed_tables
        )

    def _length(self, number: int) -> str:
        return str(len(self.contents[number].words))

    def _fields(self) -> list[str]:
        return [f"{f.left}:{f.right} {f.name} {f.subtype}" for f in self._subfields.values()]

    def _base64(self, number: int) -> Rows:
        data = self.contents[number].words.astype("<u4").tobytes()

        def write(first: int, last: int) -> list[str]:
            text = base64.b64encode(data[first * _LINE_BYTES : last * _LINE_BYTES]).decode("ascii")
            starts = range(0, len(text), _LINE_DIGITS)
            return [text[start : start + _LINE_DIGITS] for start in starts]

        return Rows(-(-len(data) // _LINE_BYTES), write)

    def _queued(self, number: int) -> str:
        if not self._streams:
            return "0"
        words = self.place.wiring.hardware.queued_words(self.place.block, number + 1)
        return str(words // self._row_words)

    @override
    def assign(self, cursor: Cursor) -> None:
        if cursor.take("short"):
            cursor.blanks()
            self.capacity = cursor.unsigned()
            registers = 3
        elif cursor.take("long"):
            cursor.blanks()
            cursor.expect("2")
            cursor.expect("^")
            self.capacity = _PAGE_WORDS << min(cursor.unsigned(), 20)
            # base and length, and in front of them, since there is streaming, the buffers
            self._streams = True
            registers = 2
            if len(cursor.text[cursor.at :].split()) > registers:
                cursor.blanks()
                cursor.unsigned()
        else:
            raise CommandError("table type not recognised")
        for _ in range(registers):
            cursor.blanks()
            self.place.wiring.claim_register(self.place.block, cursor.unsigned())

    @override
    def line_reader(self) -> LineReader | None:
        return self._read_subfield

    def _read_subfield(self, cursor: Cursor) -> LineReader | None:
        left = cursor.unsigned()
        cursor.expect(":")
        right = cursor.unsigned()
        cursor.blanks()
        name = cursor.name()
        subtype = "uint"
        if cursor.peek() == " ":
            cursor.blanks()
            subtype = cursor.letters()
        if subtype not in _SUBTYPES:
            raise CommandError("invalid table field subtype")
        if not right <= left < 32 * self._row_words:
            raise CommandError("bits are in the wrong order or outside the row")
        bits = set(range(right, left + 1))
        if bits & self._used:
            raise CommandError(f"bit {min(bits & self._used)} belongs to another field")
        if name in self._subfields:
            raise CommandError("duplicate table field")
        self._used |= bits
        labels = Labels() if subtype == "enum" else None
        self._subfields[name] = Subfield(left, right, name, subtype, labels)
        return labels.read_line if labels else None

    @override
    def description_reader(self) -> LineReader | None:
        return self._read_description

    def _read_description(self, cursor: Cursor) -> LineReader | None:
        name = cursor.name()
        subfield = self._subfields.get(name)
        if subfield is None:
            raise CommandError(f"no sub-field {name} in the table")
        if subfield.description is not None:
            raise CommandError("description already set")
        cursor.blanks()
        subfield.description = cursor.utf8()
        return None

    @override
    def check_subfield(self, name: str) -> None:
        self._subfield(name)

    @override
    def subfield_labels(self, name: str) -> Sequence[str]:
        labels = self._subfield(name).labels
        if labels is None:
            raise CommandError("Table sub-field is not an enumeration")
        return labels.listed()

    @override
    def subfield_description(self, name: str) -> str:
        description = self._subfield(name).description
        if description is None:
            raise CommandError("No description for table sub-field")
        return description

    def _subfield(self, name: str) -> Subfield:
        try:
            return self._subfields[name]
        except KeyError:
            raise CommandError("Table sub-field not found") from None
