"""A command without a star reads or writes a block's fields and attributes.

Source: protocol.md 3.
"""

from __future__ import annotations

from dataclasses import dataclass

from panda_simulator.box import Box, CommandError
from panda_simulator.box.field import Attribute, Block, Field, Reading, TableWriter
from panda_simulator.box.text import Cursor


@dataclass(slots=True)
class Target:
    """What a name addresses."""

    block: Block
    number: int
    field: Field | None = None
    attribute: Attribute | None = None
    star: bool = False


def parse_target(box: Box, cursor: Cursor, *, exact: bool) -> Target:
    """Read a name; what follows it is left to the caller.

    Args:
        box: where the names are known.
        cursor: at the name.
        exact: whether the instance must be named where there are several, and
            whether ``*`` may stand for a name.

    Raises:
        CommandError: in the order of protocol.md 3.2.
    """
    block = box.block(cursor.block_name())
    numbered = cursor.peek().isdecimal()
    number = 0
    if numbered:
        number = cursor.unsigned() - 1
        if not 0 <= number < block.count:
            raise CommandError("Invalid block number")
    target = Target(block, number)
    if not cursor.take("."):
        return target
    if exact and cursor.take("*"):
        target.star = True
        return target
    target.field = block.field(cursor.name())
    dot = cursor.take(".")
    if dot and exact and cursor.take("*"):
        target.star = True
        return target
    if exact and not numbered and block.count > 1:
        raise CommandError("Missing block number")
    if dot:
        target.attribute = target.field.attribute(cursor.letters())
    return target


def _address(box: Box, name: str) -> Target:
    cursor = box.wiring.cursor(name)
    target = parse_target(box, cursor, exact=True)
    cursor.end()
    if target.field is None and not target.star:
        raise CommandError("Missing field name")
    return target


def query_entity(box: Box, name: str) -> Reading:
    """Answer ``NAME?``."""
    target = _address(box, name)
    field = target.field
    if field is None:
        return [
            f"{entry.name} {entry.sequence} {entry.behaviour.info}"
            for entry in target.block.fields.values()
        ]
    if target.star:
        return list(field.attributes)
    if target.attribute is not None:
        return target.attribute.get(target.number)
    return field.behaviour.read(target.number)


def assign_entity(box: Box, name: str, value: str) -> None:
    """Do ``NAME=VALUE``."""
    target = _address(box, name)
    if target.field is None or target.star:
        raise CommandError("Field not writeable")
    if target.attribute is not None:
        target.field.write_attribute(target.attribute, target.number, value)
    else:
        target.field.behaviour.write(target.number, value)


def open_entity(box: Box, name: str, *, streaming: bool, last: bool, binary: bool) -> TableWriter:
    """Start ``NAME<``."""
    target = _address(box, name)
    if target.field is None or target.star or target.attribute is not None:
        raise CommandError("Field not a table")
    return target.field.behaviour.open_table(
        target.number, streaming=streaming, last=last, binary=binary
    )
