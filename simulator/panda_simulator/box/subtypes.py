"""A subtype turns the text of a value into a 32-bit register and back.

Source: protocol.md 4.2 to 4.4, 10.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from typing_extensions import override

from panda_simulator.box.errors import CommandError
from panda_simulator.box.field import Attribute, Place
from panda_simulator.box.files import LineReader
from panda_simulator.box.lut import parse_lut
from panda_simulator.box.text import (
    WORD_MASK,
    Cursor,
    format_real,
    one_result,
    round_half_away,
    to_signed,
)

_LOWEST = -(1 << 31)
_HIGHEST = (1 << 31) - 1


class Register(Protocol):
    """The register under a subtype; each class has its own ways with it."""

    place: Place

    def load(self, number: int) -> int:
        """Read the raw value."""
        ...

    def store(self, number: int, value: int) -> None:
        """Write the raw value."""
        ...

    def touch(self, number: int) -> None:
        """Mark the value as changed."""
        ...


class Subtype:
    """An unsigned number, and what all subtypes have in common."""

    name = "uint"

    def __init__(self, register: Register, cursor: Cursor) -> None:
        """Take the details from the rest of the class line."""
        self.register = register
        self.configure(cursor)

    def configure(self, cursor: Cursor) -> None:
        """Take the details of the subtype from the class line."""

    def parse(self, number: int, cursor: Cursor) -> int:
        """Read a value; the caller refuses leftovers."""
        raise NotImplementedError

    def format(self, number: int, value: int) -> str:
        """Write a value."""
        raise NotImplementedError

    def attributes(self) -> list[Attribute]:
        """List the attributes of the subtype."""
        return []

    def labels(self) -> Sequence[str]:
        """List the values, if the subtype has labels."""
        raise CommandError("Field is not an enumeration")

    def line_reader(self) -> LineReader | None:
        """Return what reads the lines below the field."""
        return None

    def raw_attribute(self, description: str, *, signed: bool) -> Attribute:
        """Return a RAW attribute in decimal that can be written."""

        def get(number: int) -> str:
            value = self.register.load(number)
            return str(to_signed(value) if signed else value)

        def put(number: int, text: str) -> None:
            cursor = self.register.place.wiring.cursor(text)
            value = cursor.signed() & WORD_MASK if signed else cursor.unsigned()
            cursor.end()
            self.register.store(number, value)

        return Attribute("RAW", description, get, put)


def _has_detail(cursor: Cursor) -> bool:
    """Tell whether the line goes on with something other than a default value."""
    return cursor.peek() == " " and not cursor.text[cursor.at :].lstrip(" \t").startswith("=")


class Unsigned(Subtype):
    """``uint [max]``."""

    maximum = WORD_MASK

    @override
    def configure(self, cursor: Cursor) -> None:
        if _has_detail(cursor):
            self.maximum = cursor.unsigned()

    @override
    def parse(self, number: int, cursor: Cursor) -> int:
        value = cursor.unsigned()
        if value > self.maximum:
            raise CommandError("Number out of range")
        return value

    @override
    def format(self, number: int, value: int) -> str:
        return str(value)

    @override
    def attributes(self) -> list[Attribute]:
        return [Attribute("MAX", "Maximum valid value for this field", lambda _: str(self.maximum))]


class Signed(Subtype):
    """``int``."""

    name = "int"

    @override
    def parse(self, number: int, cursor: Cursor) -> int:
        return cursor.signed() & WORD_MASK

    @override
    def format(self, number: int, value: int) -> str:
        return str(to_signed(value))


class Scalar(Subtype):
    """``scalar scale [offset [units]]``."""

    name = "scalar"

    @override
    def configure(self, cursor: Cursor) -> None:
        cursor.expect(" ")
        self.scale = cursor.real()
        self.offset = 0.0
        self.units = ""
        if cursor.take(" "):
            self.offset = cursor.real()
            if cursor.take(" "):
                self.units = cursor.utf8()

    @override
    def parse(self, number: int, cursor: Cursor) -> int:
        value = _divide(cursor.real() - self.offset, self.scale)
        # the comparison is false for a NaN, which must be refused as well
        if not _LOWEST - 0.5 < value < _HIGHEST + 0.5:
            raise CommandError("Value out of range")
        return round_half_away(value) & WORD_MASK

    @override
    def format(self, number: int, value: int) -> str:
        signed = self.register.place.wiring.features.signed_scalars
        return format_real(self.scale * (to_signed(value) if signed else value) + self.offset)

    @override
    def attributes(self) -> list[Attribute]:
        return [
            self.raw_attribute("Underlying integer value", signed=True),
            Attribute("UNITS", "Units associated with value", lambda _: one_result(self.units)),
            Attribute("SCALE", "Scaling from raw data to value", lambda _: format_real(self.scale)),
            Attribute(
                "OFFSET", "Offset from scaled data to value", lambda _: format_real(self.offset)
            ),
        ]


def _divide(value: float, by: float) -> float:
    """Divide as the hardware does; by nothing gives no number in the range."""
    return value / by if by else float("inf")


class Bit(Subtype):
    """``bit``."""

    name = "bit"

    @override
    def parse(self, number: int, cursor: Cursor) -> int:
        if cursor.take("0"):
            return 0
        if cursor.take("1"):
            return 1
        raise CommandError("Invalid bit value")

    @override
    def format(self, number: int, value: int) -> str:
        return "1" if value else "0"


class Action(Subtype):
    """``action``: an empty assignment writes 0."""

    name = "action"

    @override
    def parse(self, number: int, cursor: Cursor) -> int:
        return 0

    @override
    def format(self, number: int, value: int) -> str:
        raise CommandError("Cannot read action value")


class Lut(Subtype):
    """``lut``: the text is kept as typed."""

    name = "lut"

    @override
    def configure(self, cursor: Cursor) -> None:
        self._typed: dict[int, tuple[int, str]] = {}

    @override
    def parse(self, number: int, cursor: Cursor) -> int:
        text = cursor.rest()
        value = parse_lut(text)
        self._typed[number] = (value, text)
        return value

    @override
    def format(self, number: int, value: int) -> str:
        typed = self._typed.get(number)
        return one_result(typed[1]) if typed and typed[0] == value else f"0x{value:08X}"

    @override
    def attributes(self) -> list[Attribute]:
        return [
            Attribute(
                "RAW",
                "Bit pattern written to register",
                lambda number: f"0x{self.register.load(number):08X}",
            )
        ]


class Labels:
    """Labels of an enumeration, numbers and labels each unique."""

    def __init__(self) -> None:
        self.by_number: dict[int, str] = {}
        self.by_label: dict[str, int] = {}

    def read_line(self, cursor: Cursor) -> LineReader | None:
        """Take a line ``NUMBER LABEL``."""
        number = cursor.unsigned()
        cursor.blanks()
        label = cursor.utf8()
        if number in self.by_number:
            raise CommandError(f"repeated enumeration number {number}")
        if label in self.by_label:
            raise CommandError(f'repeated enumeration label "{label}"')
        self.by_number[number] = label
        self.by_label[label] = number
        return None

    def listed(self) -> list[str]:
        """Return the labels by ascending number."""
        return [self.by_number[number] for number in sorted(self.by_number)]


class Enumeration(Subtype):
    """``enum``, its labels on the lines below."""

    name = "enum"

    @override
    def configure(self, cursor: Cursor) -> None:
        self._labels = Labels()

    @override
    def parse(self, number: int, cursor: Cursor) -> int:
        value = self._labels.by_label.get(cursor.rest())
        if value is None:
            raise CommandError("Invalid enumeration value")
        return value

    @override
    def format(self, number: int, value: int) -> str:
        label = self._labels.by_number.get(value)
        if label is None:
            raise CommandError("No label for value")
        return label

    @override
    def labels(self) -> Sequence[str]:
        return self._labels.listed()

    @override
    def line_reader(self) -> LineReader | None:
        return self._labels.read_line
