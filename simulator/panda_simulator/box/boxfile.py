"""A box file is a PandA as it was recorded: its texts, and all that they leave out.

It is JSON for people to read: texts are lists of lines. Bytes that are no UTF-8 are kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from panda_simulator.box.errors import ConfigError
from panda_simulator.box.files import BoxFiles, Source, parse_lines
from panda_simulator.box.text import bytewise, legible
from panda_simulator.box.unknown import Reply, UnknownAttribute, UnknownField
from panda_simulator.identity import Identity, format_fpga, parse_fpga

FORMAT = "panda-simulator box"
VERSION = 1

_STRAY_BYTES = re.compile("[\ud800-\udfff]")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Orders:
    """Orders of lists that do not follow from the texts: on servers of 32 bits, and others.

    Each holds all names of its list; attributes may leave out some that the field would have.
    """

    blocks: Sequence[str] | None = None
    metadata: Sequence[str] | None = None
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """By block."""
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """By block and field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxFile:
    """A recorded box; texts hold one character for each byte."""

    identity: Identity
    clock_frequency: int
    """Hz."""
    std_dev: bool
    """Whether sums of squares are captured."""
    config: Sequence[str]
    registers: Sequence[str]
    description: Sequence[str]
    state: Sequence[str]
    """Settings, in the lines of a state file."""
    orders: Orders = field(default_factory=Orders)
    readings: Mapping[str, int] = field(default_factory=dict[str, int])
    """Raw values of what is read only, by reported name."""
    errors: Mapping[str, str] = field(default_factory=dict[str, str])
    """Refusals of fields that are read from an extension, by reported name."""
    unknown: Mapping[str, UnknownField] = field(default_factory=dict[str, UnknownField])
    """By block and field."""
    title: str = field(default="recording", compare=False)
    """What errors call the file."""

    def files(self) -> BoxFiles:
        """Return the texts as a box reads them."""
        texts = {"config": self.config, "registers": self.registers}
        texts["description"] = self.description
        titles = {name: f"{self.title}, {name}" for name in texts}
        return BoxFiles(
            **{
                name: Source(titles[name], partial(parse_lines, titles[name], lines))
                for name, lines in texts.items()
            }
        )

    def dumps(self) -> str:
        """Write the file."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "server": self.identity.software,
            "fpga": format_fpga(self.identity.fpga),
            "rootfs": self.identity.rootfs,
            "clock_frequency": self.clock_frequency,
            "std_dev": self.std_dev,
            "orders": {
                "blocks": self.orders.blocks,
                "metadata": self.orders.metadata,
                "fields": dict(self.orders.fields),
                "attributes": dict(self.orders.attributes),
            },
            "readings": dict(self.readings),
            "errors": dict(self.errors),
            "unknown": {name: _dump_field(seen) for name, seen in self.unknown.items()},
            "config": self.config,
            "registers": self.registers,
            "description": self.description,
            "state": self.state,
        }
        text = json.dumps(_shown(content), indent=1, ensure_ascii=False) + "\n"
        return _STRAY_BYTES.sub(lambda stray: f"\\u{ord(stray[0]):04x}", text)


def read_box_file(path: Path) -> BoxFile:
    """Read a box file.

    Raises:
        ConfigError: it cannot be read or is malformed; where, as line or as key.
    """
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        content: object = json.loads(text)
    except OSError as error:
        raise ConfigError(str(path), error.strerror or str(error)) from error
    except json.JSONDecodeError as error:
        raise ConfigError(
            str(path), f"is not JSON: {error.msg}", line=error.lineno, column=error.colno
        ) from error
    except RecursionError as error:
        raise ConfigError(str(path), "is not JSON: nested too deep") from error
    return replace(_load(_Item(str(path), "", content)), title=str(path))


class _Item:
    """A part of the JSON, which knows where it is."""

    def __init__(self, path: str, key: str, value: object) -> None:
        self._path = path
        self._key = key
        self._value = value

    def refuse(self, reason: str) -> ConfigError:
        """Make an error of it."""
        return ConfigError(f"{self._path}, {self._key}" if self._key else self._path, reason)

    def _typed(self, kind: type[T], expected: str) -> T:
        # a truth value is an int to Python, and to nobody else
        if not isinstance(self._value, kind) or (kind is int and isinstance(self._value, bool)):
            raise self.refuse(f"expected {expected}")
        return self._value

    def __getitem__(self, key: str) -> _Item:
        """Go to a key, which must be there."""
        items = self.items()
        if key not in items:
            raise self.refuse(f"{key!r} is missing")
        return items[key]

    def get(self, key: str) -> _Item | None:
        """Go to a key, if it is there and not null."""
        item = self.items().get(key)
        return None if item is None or item.empty else item

    @property
    def empty(self) -> bool:
        """Whether it is null."""
        return self._value is None

    def items(self) -> dict[str, _Item]:
        """Return what is below by key."""
        value = cast("dict[str, object]", self._typed(dict, "an object"))
        return {key: self._below(f".{key}" if self._key else key, value[key]) for key in value}

    def list(self) -> list[_Item]:
        """Return what is below in its order."""
        value = cast("list[object]", self._typed(list, "a list"))
        return [self._below(f"[{index}]", entry) for index, entry in enumerate(value)]

    def _below(self, step: str, value: object) -> _Item:
        return _Item(self._path, self._key + step, value)

    def text(self) -> str:
        """Return a text, one character for each byte."""
        text = self._typed(str, "a text")
        try:
            data = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise self.refuse("holds a character that is none") from None
        if b"\n" in data or b"\0" in data:
            raise self.refuse("holds the end of a line")
        return data.decode("latin-1")

    def number(self) -> int:
        """Return an integer of 32 bits without a sign."""
        value = self._typed(int, "a number")
        if not 0 <= value < 1 << 32:
            raise self.refuse("expected a number from 0 to 4294967295")
        return value

    def flag(self) -> bool:
        """Return a truth value."""
        return self._typed(bool, "true or false")

    def texts(self) -> list[str]:
        """Return a list of texts."""
        return [entry.text() for entry in self.list()]

    def reply(self) -> Reply:
        """Return a text or a list of texts."""
        return self.texts() if isinstance(self._value, list) else self.text()

    def mapping(self, read: Callable[[_Item], T]) -> dict[str, T]:
        """Return what is below, each read the same way."""
        return {bytewise(key): read(item) for key, item in self.items().items()}


def _load(item: _Item) -> BoxFile:
    if item["format"].text() != FORMAT:
        raise item["format"].refuse(f"expected {FORMAT!r}")
    if (version := item["version"].number()) != VERSION:
        raise item["version"].refuse(f"version {version} is not {VERSION}, which is known here")
    try:
        fpga = parse_fpga(item["fpga"].text())
    except ValueError as error:
        raise item["fpga"].refuse(str(error)) from error
    orders = item["orders"]
    return BoxFile(
        identity=Identity(item["server"].text(), fpga, item["rootfs"].text()),
        clock_frequency=item["clock_frequency"].number(),
        std_dev=item["std_dev"].flag(),
        config=item["config"].texts(),
        registers=item["registers"].texts(),
        description=item["description"].texts(),
        state=item["state"].texts(),
        orders=Orders(
            blocks=_optional(orders.get("blocks"), _Item.texts),
            metadata=_optional(orders.get("metadata"), _Item.texts),
            fields=orders["fields"].mapping(_Item.texts),
            attributes=orders["attributes"].mapping(_Item.texts),
        ),
        readings=item["readings"].mapping(_Item.number),
        errors=item["errors"].mapping(_Item.text),
        unknown=item["unknown"].mapping(_load_field),
    )


def _optional(item: _Item | None, read: Callable[[_Item], T]) -> T | None:
    return None if item is None else read(item)


def _load_field(item: _Item) -> UnknownField:
    return UnknownField(
        info=_optional(item.get("info"), _Item.text),
        group=_optional(item.get("group"), _Item.text),
        labels=_optional(item.get("labels"), _Item.texts),
        values=item["values"].mapping(_Item.reply),
        errors=item["errors"].mapping(_Item.text),
        attributes=item["attributes"].mapping(_load_attribute),
    )


def _load_attribute(item: _Item) -> UnknownAttribute:
    return UnknownAttribute(
        description=_optional(item.get("description"), _Item.text),
        labels=_optional(item.get("labels"), _Item.texts),
        reported=item["reported"].flag(),
        values=item["values"].mapping(_Item.reply),
        errors=item["errors"].mapping(_Item.text),
    )


def _dump_field(seen: UnknownField) -> dict[str, Any]:
    return {
        "info": seen.info,
        "group": seen.group,
        "labels": seen.labels,
        "values": dict(seen.values),
        "errors": dict(seen.errors),
        "attributes": {
            name: {
                "description": attribute.description,
                "labels": attribute.labels,
                "reported": attribute.reported,
                "values": dict(attribute.values),
                "errors": dict(attribute.errors),
            }
            for name, attribute in seen.attributes.items()
        },
    }


def _shown(value: Any) -> Any:
    """Turn texts of one character a byte into what people read."""
    match value:
        case str():
            return legible(value)
        case dict():
            entries = cast("dict[str, Any]", value)
            return {_shown(key): _shown(entry) for key, entry in entries.items()}
        case list() | tuple():
            return [_shown(entry) for entry in cast("Sequence[Any]", value)]
        case _:
            return value
