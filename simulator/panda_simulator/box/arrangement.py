"""Lists are in the order of the server's hash table, or in that of the box that was recorded.

Source: protocol.md appendix A.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from panda_simulator.box.boxfile import BoxFile
from panda_simulator.box.errors import ConfigError
from panda_simulator.box.field import Attribute, Block, Field
from panda_simulator.box.listing import listing_order
from panda_simulator.box.metadata import Metadata
from panda_simulator.box.unknown import unknown_attribute

T = TypeVar("T")


def arrange(blocks: dict[str, Block]) -> dict[str, Block]:
    """Bring blocks and their fields, made in the order of ``config``, into that of lists."""
    for block in blocks.values():
        block.fields = {name: block.fields[name] for name in listing_order(block.fields)}
    return {name: blocks[name] for name in listing_order(blocks)}


def rearrange(blocks: dict[str, Block], metadata: Metadata, file: BoxFile) -> dict[str, Block]:
    """Bring everything into the order that was recorded, where one was.

    Raises:
        ConfigError: an order is one of other names.
    """
    orders = file.orders
    fields = {f"{b.name}.{f.name}": f for b in blocks.values() for f in b.fields.values()}
    reported = {
        field.behaviour.place.reported(number)
        for field in fields.values()
        for number in range(field.behaviour.place.count)
    }
    for key, names, known in (
        ("orders.attributes", orders.attributes, fields),
        ("unknown", file.unknown, fields),
        ("readings", file.readings, reported),
        ("errors", file.errors, reported),
        ("orders.fields", orders.fields, blocks),
    ):
        for name in names:
            if name not in known:
                raise ConfigError(f"{file.title}, {key}.{name}", "the box has no such thing")
    for name in {**orders.attributes, **file.unknown}:
        _rearrange_attributes(fields[name], file, name)
    for name, order in orders.fields.items():
        title = f"{file.title}, orders.fields.{name}"
        blocks[name].fields = _ordered(blocks[name].fields, order, title)
    if orders.metadata is not None:
        title = f"{file.title}, orders.metadata"
        metadata.arrange(_ordered(dict.fromkeys(metadata.keys()), orders.metadata, title))
    if orders.blocks is None:
        return blocks
    return _ordered(blocks, orders.blocks, f"{file.title}, orders.blocks")


def _rearrange_attributes(field: Field, file: BoxFile, name: str) -> None:
    known: dict[str, Attribute] = dict(field.attributes)
    if name in file.unknown:
        for title, seen in file.unknown[name].attributes.items():
            if title not in known:
                known[title] = unknown_attribute(field.behaviour.place, title, seen)
    order = file.orders.attributes.get(name, tuple(known))
    missing = [title for title in order if title not in known]
    if missing:
        title = f"{file.title}, orders.attributes.{name}"
        raise ConfigError(title, f"there is no attribute {missing[0]}")
    field.set_attributes([known[title] for title in order])


def _ordered(entries: Mapping[str, T], order: Sequence[str], title: str) -> dict[str, T]:
    if sorted(entries) != sorted(order):
        raise ConfigError(title, f"not an order of {_listed(entries)}")
    return {name: entries[name] for name in order}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
