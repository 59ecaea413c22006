"""What a recorded box had and nobody here knows is shown as it was seen: text by text.

That is a field of a class or subtype that is not simulated, or an attribute of a known
field that the server simulated does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from typing_extensions import override

from panda_simulator.box.errors import CommandError
from panda_simulator.box.field import Attribute, FieldClass, Place, Reading
from panda_simulator.box.stamps import Group
from panda_simulator.box.text import one_result

Reply: TypeAlias = str | Sequence[str]
"""One value, or the lines of several."""


@dataclass(frozen=True, slots=True)
class UnknownAttribute:
    """An attribute as it was seen."""

    description: str | None = None
    labels: Sequence[str] | None = None
    reported: bool = False
    """Whether it is among the changes."""
    values: Mapping[str, Reply] = field(default_factory=dict[str, Reply])
    """By the reported name of the field's instance."""
    errors: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A field as it was seen; without a class it is a known one with unknown attributes."""

    info: str | None = None
    """Class and subtype as lists show them."""
    group: str | None = None
    """The group of changes that its value is in."""
    labels: Sequence[str] | None = None
    values: Mapping[str, Reply] = field(default_factory=dict[str, Reply])
    errors: Mapping[str, str] = field(default_factory=dict[str, str])
    attributes: Mapping[str, UnknownAttribute] = field(default_factory=dict[str, UnknownAttribute])


class _Memory:
    """The values of a field or attribute: as they were seen, or as they were written since."""

    def __init__(self, place: Place, seen: UnknownField | UnknownAttribute, refusal: str) -> None:
        self._place = place
        self._seen = seen
        self._refusal = refusal
        self._written: dict[int, str] = {}

    def get(self, number: int) -> Reading:
        if number in self._written:
            return one_result(self._written[number])
        name = self._place.reported(number)
        if name not in self._seen.values:
            raise CommandError(self._seen.errors.get(name, self._refusal))
        return self._seen.values[name]

    def put(self, number: int, text: str) -> None:
        """Take any text, or any label if there are some: nobody knows better."""
        if self._seen.labels is not None and text not in self._seen.labels:
            raise CommandError("Invalid enumeration value")
        self._written[number] = text


def unknown_attribute(place: Place, name: str, seen: UnknownAttribute) -> Attribute:
    """Make an attribute that shows what was seen, and remembers what is written if it is a setting.

    Settings are what a PandA reports as changed when it is written.
    """
    memory = _Memory(place, seen, "Attribute not readable")
    labels = seen.labels
    return Attribute(
        name,
        seen.description or "",
        memory.get,
        memory.put if seen.reported else None,
        labels=None if labels is None else lambda: labels,
        in_changes=seen.reported,
    )


class RecordedField(FieldClass):
    """A field of a class or subtype that is not simulated; settings can be written."""

    def __init__(self, place: Place, seen: UnknownField) -> None:
        kind, _, subtype = (seen.info or "").partition(" ")
        super().__init__(place, kind)
        self.subtype = subtype or None
        self.group = Group[seen.group] if seen.group else None
        self._seen = seen
        self._memory = _Memory(place, seen, "Field not readable")

    @override
    def value(self, number: int) -> Reading:
        return self._memory.get(number)

    @override
    def write(self, number: int, text: str) -> None:
        if self.group is not Group.CONFIG:
            super().write(number, text)
        self._memory.put(number, text)
        self.touch(number)

    @override
    def labels(self) -> Sequence[str]:
        if self._seen.labels is None:
            return super().labels()
        return self._seen.labels

    @override
    def attributes(self) -> list[Attribute]:
        return [
            unknown_attribute(self.place, name, seen)
            for name, seen in self._seen.attributes.items()
            if name != "INFO"
        ]
