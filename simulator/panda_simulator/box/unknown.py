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


def unknown_attribute(place: Place, name: str, seen: UnknownAttribute) -> Attribute:
    """Make an attribute that shows what was seen."""

    def get(number: int) -> Reading:
        return _recall(place.reported(number), seen.values, seen.errors, "Attribute not readable")

    labels = seen.labels
    return Attribute(
        name,
        seen.description or "",
        get,
        labels=None if labels is None else lambda: labels,
        in_changes=seen.reported,
    )


class RecordedField(FieldClass):
    """A field of a class or subtype that is not simulated; nothing can be written to it."""

    def __init__(self, place: Place, seen: UnknownField) -> None:
        kind, _, subtype = (seen.info or "").partition(" ")
        super().__init__(place, kind)
        self.subtype = subtype or None
        self.group = Group[seen.group] if seen.group else None
        self._seen = seen

    @override
    def value(self, number: int) -> Reading:
        name = self.place.reported(number)
        return _recall(name, self._seen.values, self._seen.errors, "Field not readable")

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


def _recall(
    name: str, values: Mapping[str, Reply], errors: Mapping[str, str], refusal: str
) -> Reading:
    if name not in values:
        raise CommandError(errors.get(name, refusal))
    reply = values[name]
    return reply if isinstance(reply, str) else list(reply)
