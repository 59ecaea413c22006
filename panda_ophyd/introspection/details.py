"""What a field is follows from the attributes that its class and subtype have.

A field that cannot be understood gets a `FieldInfo.problem`, which makes it plain text.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from panda_ophyd.errors import ProtocolError
from panda_ophyd.fields import FIELD_CLASSES, BlockInfo, FieldInfo
from panda_ophyd.introspection.answers import Answers
from panda_ophyd.tables import WORD_BITS, TableLayout, parse_fields

logger = logging.getLogger("panda_ophyd.introspection")

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "uint": ("MAX",),
    "scalar": ("SCALE", "OFFSET", "UNITS"),
    "bit_mux": ("MAX_DELAY",),
    "table": ("*", "FIELDS", "ROW_WORDS", "MAX_LENGTH"),
    "bits": ("BITS",),
}
"""Which attributes say what a field is, by its subtype, or by its class if it has none."""

# the server's names have 31 characters at most; a line of any length must not become a question
_FIELD_LINE = re.compile(r"(\S{1,99}) (\d{1,9}) (\S{1,99})(?: (\S{1,99}))?")
_FIELD_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_HIGHEST_BIT = re.compile(r"\d{1,6}", re.ASCII)
_TARGET_END = re.compile(r"[?=<\0\r]")


def read_block(name: str, count: int, answers: Answers) -> BlockInfo:
    """Return a block with its fields as listed, nothing known of them but their class."""
    lines = answers.lines(f"{name}.*")
    if lines is None:
        logger.warning("Block %s does not list its fields; left empty", name)
    fields = [field for line in lines or () if (field := _field(name, line)) is not None]
    description = answers.text(f"*DESC.{name}") or ""
    in_order = tuple(sorted(fields, key=lambda field: (field.seq, field.name)))
    return BlockInfo(name, count, description, in_order)


def _field(block: str, line: str) -> FieldInfo | None:
    match = _FIELD_LINE.fullmatch(line)
    if match is None or _TARGET_END.search(match[1]):
        logger.warning("Field line %r of %s means nothing to this driver; left out", line, block)
        return None
    name, seq, cls, subtype = match[1], int(match[2]), match[3], match[4] or ""
    problem = ""
    if not _FIELD_NAME.fullmatch(name):
        problem = "its name is not one"
    elif (cls, subtype) not in FIELD_CLASSES:
        problem = f"this driver does not know the class {f'{cls} {subtype}'.strip()!r}"
    return FieldInfo(name, cls, subtype, seq, problem=problem)


def kind_of(field: FieldInfo) -> str:
    """Return the subtype of a field, or its class if that has none: what decides its attributes."""
    return field.subtype or field.cls


def attribute_of(block: BlockInfo, field: FieldInfo, attribute: str) -> str:
    """Return where an attribute of a field is; instance 1 answers for all."""
    return f"{block.reported(1)}.{field.name}.{attribute}"


def enums_of(block: BlockInfo, field: FieldInfo, attribute: str = "") -> str:
    """Return the question for the labels of a field or of one of its attributes."""
    return f"*ENUMS.{block.name}.{field.name}{attribute and '.'}{attribute}"


def _description(block: BlockInfo, field: FieldInfo) -> str:
    return f"*DESC.{block.name}.{field.name}"


def field_questions(blocks: list[BlockInfo]) -> Iterator[str]:
    """Ask for what makes each field what it is."""
    for block in blocks:
        for field in block.fields:
            yield _description(block, field)
            if field.problem:
                continue
            if kind_of(field) == "enum":
                yield enums_of(block, field)
            for attribute in ATTRIBUTES.get(kind_of(field), ()):
                yield attribute_of(block, field, attribute)


Step = Callable[[BlockInfo, FieldInfo, Answers], FieldInfo]


def each_field(block: BlockInfo, answers: Answers, step: Step) -> BlockInfo:
    """Return the block after one step of learning about each of its fields."""
    return replace(block, fields=tuple(step(block, field, answers) for field in block.fields))


def detailed(block: BlockInfo, field: FieldInfo, answers: Answers) -> FieldInfo:
    """Return a field with the answers to `field_questions`."""
    field = replace(field, description=answers.text(_description(block, field)) or "")
    detail = None if field.problem else _DETAILS.get(kind_of(field))
    return detail(block, field, answers) if detail else field


def _uint(block: BlockInfo, field: FieldInfo, answers: Answers) -> FieldInfo:
    maximum = answers.number(attribute_of(block, field, "MAX"))
    problem = "" if maximum is not None else "the server does not say its maximum"
    return replace(field, maximum=maximum, problem=problem)


def _enum(block: BlockInfo, field: FieldInfo, answers: Answers) -> FieldInfo:
    labels = answers.lines(enums_of(block, field)) or ()
    problem = "" if labels else "the server does not list its labels"
    return replace(field, labels=labels, problem=problem)


def _scalar(block: BlockInfo, field: FieldInfo, answers: Answers) -> FieldInfo:
    scale = answers.real(attribute_of(block, field, "SCALE"))
    offset = answers.real(attribute_of(block, field, "OFFSET"))
    units = answers.text(attribute_of(block, field, "UNITS")) or ""
    problem = "" if scale is not None else "the server does not say its scale"
    return replace(field, scale=scale, offset=offset, units=units, problem=problem)


def _bit_mux(block: BlockInfo, field: FieldInfo, answers: Answers) -> FieldInfo:
    return replace(field, maximum_delay=answers.number(attribute_of(block, field, "MAX_DELAY")))


def _table(block: BlockInfo, field: FieldInfo, answers: Answers) -> FieldInfo:
    lines = answers.lines(attribute_of(block, field, "FIELDS"))
    if lines is None:
        return replace(field, problem="the server does not list its columns")
    row_words = answers.number(attribute_of(block, field, "ROW_WORDS"))
    if row_words is None:
        # servers before 3.0 do not say it: as many words as the highest bit needs
        lefts = [match[0] for line in lines if (match := _HIGHEST_BIT.match(line))]
        row_words = max(map(int, lefts), default=0) // WORD_BITS + 1
    max_words = answers.number(attribute_of(block, field, "MAX_LENGTH"))
    try:
        layout = parse_fields(lines, row_words, {}, max_words=max_words)
    except ProtocolError as error:
        return replace(field, problem=str(error))
    has_mode = "MODE" in (answers.lines(attribute_of(block, field, "*")) or ())
    return replace(field, layout=layout, has_mode=has_mode)


_DETAILS: Mapping[str, Step] = {
    "uint": _uint,
    "enum": _enum,
    "scalar": _scalar,
    "bit_mux": _bit_mux,
    "table": _table,
}
"""How the answers about a field's `ATTRIBUTES` become its details."""


def _column_enums(block: BlockInfo, field: FieldInfo, column: str) -> str:
    return f"*ENUMS.{block.name}.{field.name}[].{column}"


def open_questions(blocks: list[BlockInfo]) -> Iterator[str]:
    """Ask for the labels of enum columns, and whether what is not understood can be read."""
    for block in blocks:
        for field in block.fields:
            if field.problem:
                yield f"{block.reported(1)}.{field.name}"
            for column in field.layout.columns if field.layout else ():
                if column.subtype == "enum":
                    yield _column_enums(block, field, column.name)


def finished(block: BlockInfo, field: FieldInfo, answers: Answers) -> FieldInfo:
    """Return a field with the answers to `open_questions`; its problem, if any, is logged here."""
    if field.layout is not None:
        field = replace(field, layout=_labelled(block, field, field.layout, answers))
    if field.problem:
        logger.warning("%s.%s is only plain text here: %s", block.name, field.name, field.problem)
        readable = answers.text(f"{block.reported(1)}.{field.name}") is not None
        field = replace(field, readable=readable)
    return field


def _labelled(
    block: BlockInfo, field: FieldInfo, layout: TableLayout, answers: Answers
) -> TableLayout:
    """Give the enum columns their labels; one without becomes the numbers that it holds."""
    columns = [
        replace(column, labels=answers.lines(_column_enums(block, field, column.name)) or ())
        if column.subtype == "enum"
        else column
        for column in layout.columns
    ]
    bare = [column.name for column in columns if column.subtype == "enum" and not column.labels]
    if bare:
        where, names = f"{block.name}.{field.name}", ", ".join(bare)
        logger.warning("%s: the server lists no labels for %s, only numbers here", where, names)
    return replace(
        layout,
        columns=tuple(
            replace(column, subtype="uint") if column.name in bare else column for column in columns
        ),
    )
