"""A field is an object that refuses, in the server's words, all that its class cannot do.

A class overrides what it can. Fields hold the state of all instances of their block;
instances count from 0 here and from 1 everywhere else.

Source: protocol.md 3.1, 3.3, 4.1, 4.11.
"""

# ruff: noqa: ARG002 (what is refused needs no arguments)
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from panda_simulator.box.errors import CommandError
from panda_simulator.box.files import LineReader
from panda_simulator.box.listing import listing_order
from panda_simulator.box.stamps import Group
from panda_simulator.box.text import Cursor
from panda_simulator.box.wiring import Wiring

Reading: TypeAlias = str | Sequence[str]
"""One value, or the lines of a multi-value reply."""


class TableWriter(Protocol):
    """Takes the body of a table command."""

    def line(self, text: str) -> None:
        """Take one line of the body.

        Raises:
            CommandError: the line is malformed or too much; nothing more is delivered.
        """
        ...

    def close(self, *, complete: bool) -> None:
        """End the body; only a complete and sound one takes effect.

        Raises:
            CommandError: the table cannot take it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field is, and what it may use."""

    block: str
    name: str
    count: int
    wiring: Wiring

    def reported(self, number: int) -> str:
        """Return the name of an instance as the server reports it."""
        if self.count == 1:
            return f"{self.block}.{self.name}"
        return f"{self.block}{number + 1}.{self.name}"

    def write(self, number: int, value: int, suffix: str = "") -> None:
        """Write a register of the field."""
        self.wiring.hardware.write_register(
            self.block, number + 1, self.name + suffix, value & 0xFFFFFFFF
        )

    def read(self, number: int) -> int:
        """Read the register of the field."""
        return self.wiring.hardware.read_register(self.block, number + 1, self.name)


@dataclass(slots=True)
class Attribute:
    """One attribute of a field, for all instances."""

    name: str
    description: str
    get: Callable[[int], Reading]
    put: Callable[[int, str], None] | None = None
    labels: Callable[[], Sequence[str]] | None = None
    in_changes: bool = False
    polled: bool = False
    stamps: list[int] = field(default_factory=list[int])
    last: list[str] = field(default_factory=list[str])


class FieldClass:
    """What a field can do: here nothing."""

    group: Group | None = None
    """The group of changes its value is reported in."""
    latest: int = 1
    """No stamp of an instance is newer; classes with own stamps do not use it."""

    def __init__(self, place: Place, kind: str) -> None:
        self.place = place
        self.kind = kind
        self.subtype: str | None = None
        self.stamps = [1] * place.count

    @property
    def info(self) -> str:
        """Class and subtype, as lists and INFO show them."""
        return f"{self.kind} {self.subtype}" if self.subtype else self.kind

    def read(self, number: int) -> Reading:
        """Answer a query of the field."""
        return self.value(number)

    def value(self, number: int) -> Reading:
        """Return the value without asking for a new snapshot."""
        raise CommandError("Field not readable")

    def write(self, number: int, text: str) -> None:
        """Take an assignment."""
        raise CommandError("Field not writeable")

    def open_table(self, number: int, *, streaming: bool, last: bool, binary: bool) -> TableWriter:
        """Start a table write."""
        raise CommandError("Field is not a table")

    def labels(self) -> Sequence[str]:
        """List the values the field can have."""
        raise CommandError("Field is not an enumeration")

    def attributes(self) -> list[Attribute]:
        """List the attributes in the order of their insertion, without INFO."""
        return []

    def changed(self, since: int) -> list[int]:
        """List the instances whose value changed after a stamp."""
        if since >= self.latest:
            return []
        return [number for number, stamp in enumerate(self.stamps) if stamp > since]

    def touch(self, number: int) -> None:
        """Mark the value of an instance as changed now."""
        self.latest = self.stamps[number] = self.place.wiring.changes.tick()

    def line_reader(self) -> LineReader | None:
        """Return what reads the lines below the field in ``config``."""
        return None

    def assign(self, cursor: Cursor) -> None:
        """Take the field's line of ``registers``."""
        raise NotImplementedError

    def initialise(self) -> None:
        """Write initial values to the hardware, once everything is known."""

    def description_reader(self) -> LineReader | None:
        """Return what reads the lines below the field in ``description``."""
        return None

    def check_subfield(self, name: str) -> None:
        """Refuse the name of a subfield that a table does not have."""
        raise CommandError("Field is not a table")

    def subfield_labels(self, name: str) -> Sequence[str]:
        """List the labels of a table's subfield."""
        raise CommandError("Field is not a table")

    def subfield_description(self, name: str) -> str:
        """Describe a table's subfield."""
        raise CommandError("Field is not a table")


class Field:
    """A field of a block by its name, with its attributes."""

    def __init__(self, sequence: int, behaviour: FieldClass) -> None:
        self.name = behaviour.place.name
        self.sequence = sequence
        self.behaviour = behaviour
        self.description: str | None = None
        self.assigned = False
        info = Attribute("INFO", "Class information for field", lambda _: behaviour.info)
        attributes = {entry.name: entry for entry in [*behaviour.attributes(), info]}
        self.attributes: dict[str, Attribute] = {}
        self.reported_attributes: list[Attribute] = []
        self.set_attributes([attributes[name] for name in listing_order(attributes)])

    def set_attributes(self, attributes: Sequence[Attribute]) -> None:
        """Take the attributes in the order of their list."""
        self.attributes = {entry.name: entry for entry in attributes}
        for attribute in attributes:
            attribute.stamps = [1] * self.behaviour.place.count
            attribute.last = [""] * self.behaviour.place.count
        self.reported_attributes = [
            entry for entry in attributes if entry.in_changes or entry.polled
        ]

    def attribute(self, name: str) -> Attribute:
        """Find an attribute."""
        try:
            return self.attributes[name]
        except KeyError:
            raise CommandError("No such attribute") from None

    def write_attribute(self, attribute: Attribute, number: int, text: str) -> None:
        """Assign to an attribute and mark it changed."""
        if attribute.put is None:
            raise CommandError("Attribute not writeable")
        attribute.put(number, text)
        attribute.stamps[number] = self.behaviour.place.wiring.changes.tick()


class Block:
    """A block type: its fields, and how many there are of it."""

    def __init__(self, name: str, count: int) -> None:
        self.name = name
        self.count = count
        self.fields: dict[str, Field] = {}
        self.description: str | None = None
        self.assigned = False

    def field(self, name: str) -> Field:
        """Find a field."""
        try:
            return self.fields[name]
        except KeyError:
            raise CommandError("No such field") from None
