"""What a PandA consists of is asked in at most six round trips, whatever it consists of.

A round trip is a list of questions sent at once. Each list follows from the answers to
the ones before: the box, its blocks, their fields, and what only some fields leave open.
A question that the server does not know (they came with versions, protocol.md 11.3) and
a field that cannot be understood cost that one answer, never the connection.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from panda_ophyd.client import PandaClient
from panda_ophyd.control import Assign, Err, Lines, Ok, Query, Reply
from panda_ophyd.errors import CommandError, ProtocolError
from panda_ophyd.fields import (
    FIELD_CLASSES,
    BlockInfo,
    BoxInfo,
    CaptureWord,
    FieldInfo,
    MetadataInfo,
    SignalSpec,
    block_signals,
)
from panda_ophyd.fields.box import DEFAULT_CLOCK_FREQUENCY, TIME_UNITS
from panda_ophyd.fields.classes import BIT_CONSTANTS, POSITION_CONSTANTS
from panda_ophyd.tables import WORD_BITS, TableLayout, parse_fields

__all__ = ["BlockInfo", "BoxInfo", "FieldInfo", "introspect", "signals"]

logger = logging.getLogger(__name__)

BOX_QUESTIONS = (
    "*IDN",
    "*CLOCK_FREQ",
    "*BLOCKS",
    "*BITS",
    "*POSITIONS",
    "*CAPTURE.OPTIONS",
    "*CAPTURE.ENUMS",
    "*METADATA.*",
    "*CHANGES.METADATA",
)
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "uint": ("MAX",),
    "scalar": ("SCALE", "OFFSET", "UNITS"),
    "bit_mux": ("MAX_DELAY",),
    "table": ("*", "FIELDS", "ROW_WORDS", "MAX_LENGTH"),
    "bits": ("BITS",),
}
"""Which attributes say what a field is, by its subtype, or by its class if it has none."""

_IDN = re.compile(r"PandA SW: (.*?) FPGA: (.*?)(?: rootfs: (.*))?")
_BLOCK_LINE = re.compile(r"([A-Za-z_]\w*) ([1-9]\d*)", re.ASCII)
_FIELD_LINE = re.compile(r"(\S+) (\d+) (\S+)(?: (\S+))?")
_FIELD_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TARGET_END = re.compile(r"[?=<\0\r]")
_METADATA_CHANGE = re.compile(r"\*METADATA\.(\w+)([=<])", re.ASCII)


class _Answers:
    """The replies to all questions so far."""

    def __init__(self, client: PandaClient) -> None:
        self._client = client
        self._replies: dict[str, Reply] = {}

    async def ask(self, questions: Iterable[str], *assigned: Assign) -> None:
        """Ask in one round trip; nothing at all costs none."""
        targets = [question for question in questions if question not in self._replies]
        if targets:
            queries = [Query(target) for target in targets]
            replies = await self._client.request_all([*assigned, *queries])
            self._replies.update(zip(targets, replies[len(assigned) :], strict=True))

    def reply(self, question: str) -> Reply | None:
        return self._replies.get(question)

    def text(self, question: str) -> str | None:
        """Return the one value answered, None if the server answered otherwise."""
        reply = self._replies.get(question)
        return reply.value if isinstance(reply, Ok) else None

    def number(self, question: str) -> int | None:
        text = self.text(question)
        return int(text) if text and text.isdecimal() else None

    def real(self, question: str) -> float | None:
        try:
            return float(self.text(question) or "")
        except ValueError:
            return None

    def lines(self, question: str) -> tuple[str, ...] | None:
        """Return the lines answered, None if the server answered otherwise."""
        reply = self._replies.get(question)
        return reply.lines if isinstance(reply, Lines) else None


async def introspect(client: PandaClient) -> BoxInfo:
    """Ask a PandA what it consists of.

    What cannot be made sense of is logged, one warning for each field, and becomes plain
    text. The client's ``*CHANGES`` cursor for metadata is moved: whoever polls has a
    connection of its own.

    Raises:
        CommandError: the server does not list its blocks.
        PandaConnectionError: the connection was lost.
        PandaTimeoutError: the server did not answer in time.
        ProtocolError: the replies are not those of a PandA.

    Source: protocol.md 2.3, 3.1, 4, 5.1, 11.3.
    """
    answers = _Answers(client)
    # reset the cursor, or the keys that were reported before would look like constants
    await answers.ask(BOX_QUESTIONS, Assign("*CHANGES.METADATA", "S"))
    listed = _listed_blocks(answers)
    await answers.ask(question for name in listed for question in (f"{name}.*", f"*DESC.{name}"))
    blocks = [_block(name, count, answers) for name, count in listed.items()]
    await answers.ask((*_field_questions(blocks, answers), *_metadata_questions(answers)))
    blocks = [_each(block, answers, _detailed) for block in blocks]
    await answers.ask(_open_questions(blocks))
    blocks = [_each(block, answers, _finished) for block in blocks]
    sw_version, fpga_version, rootfs = _identity(answers)
    return BoxInfo(
        sw_version=sw_version,
        fpga_version=fpga_version,
        rootfs=rootfs,
        clock_frequency=answers.number("*CLOCK_FREQ") or DEFAULT_CLOCK_FREQUENCY,
        blocks=tuple(sorted(blocks, key=lambda block: block.name)),
        bits=_bus("*BITS", "bit_mux", BIT_CONSTANTS, blocks, answers),
        positions=_bus("*POSITIONS", "pos_mux", POSITION_CONSTANTS, blocks, answers),
        capture_words=tuple(_capture_words(blocks, answers)),
        capture_options=answers.lines("*CAPTURE.OPTIONS") or (),
        capture_choices=_choices("*CAPTURE.ENUMS", "pos_out", "CAPTURE", blocks, answers),
        time_units=_choices("", "time", "UNITS", blocks, answers) or TIME_UNITS,
        metadata=tuple(_metadata(answers)),
    )


def signals(box: BoxInfo) -> dict[tuple[str, int], list[SignalSpec]]:
    """Return the signals of each block instance, by block name on the wire and number from 1."""
    return {
        (block.name, number): block_signals(box, block, number)
        for block in box.blocks
        for number in range(1, block.count + 1)
    }


def _identity(answers: _Answers) -> tuple[str, str, str]:
    text = answers.text("*IDN") or ""
    match = _IDN.fullmatch(text)
    return (match[1], match[2], match[3] or "") if match else (text, "", "")


def _listed_blocks(answers: _Answers) -> dict[str, int]:
    """Return the number of instances by block name."""
    reply = answers.reply("*BLOCKS")
    if isinstance(reply, Err):
        raise CommandError("*BLOCKS?", reply.message)
    if not isinstance(reply, Lines):
        msg = f"A server that answers *BLOCKS? with {reply!r} is no PandA"
        raise ProtocolError(msg)
    found: dict[str, int] = {}
    for line in reply.lines:
        if match := _BLOCK_LINE.fullmatch(line):
            found[match[1]] = int(match[2])
        else:
            logger.warning("Block line %r means nothing to this driver; left out", line)
    return found


def _block(name: str, count: int, answers: _Answers) -> BlockInfo:
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


def _kind(field: FieldInfo) -> str:
    return field.subtype or field.cls


def _target(block: BlockInfo, field: FieldInfo, attribute: str) -> str:
    return f"{block.reported(1)}.{field.name}.{attribute}"


def _enums(block: BlockInfo, field: FieldInfo, attribute: str = "") -> str:
    return f"*ENUMS.{block.name}.{field.name}{attribute and '.'}{attribute}"


def _description(block: BlockInfo, field: FieldInfo) -> str:
    return f"*DESC.{block.name}.{field.name}"


def _field_questions(blocks: list[BlockInfo], answers: _Answers) -> Iterator[str]:
    for block in blocks:
        for field in block.fields:
            yield _description(block, field)
            if field.problem:
                continue
            if _kind(field) == "enum":
                yield _enums(block, field)
            for attribute in ATTRIBUTES.get(_kind(field), ()):
                yield _target(block, field, attribute)
    # what older servers leave out of the list for the box, the first such field knows
    for asked, kind, attribute in (
        ("*BITS", "bit_mux", ""),
        ("*POSITIONS", "pos_mux", ""),
        ("*CAPTURE.ENUMS", "pos_out", "CAPTURE"),
        ("", "time", "UNITS"),
    ):
        if answers.lines(asked) is None and (first := _first(kind, blocks)):
            yield _enums(*first, attribute)


def _first(kind: str, blocks: list[BlockInfo]) -> tuple[BlockInfo, FieldInfo] | None:
    found = (
        (block, field)
        for block in blocks
        for field in block.fields
        if not field.problem and _kind(field) == kind
    )
    return next(found, None)


def _choices(
    asked: str, kind: str, attribute: str, blocks: list[BlockInfo], answers: _Answers
) -> tuple[str, ...]:
    """Return a list for the box, from the first field of a kind if the box has not got it."""
    lines = answers.lines(asked)
    if lines is None and (first := _first(kind, blocks)):
        lines = answers.lines(_enums(*first, attribute))
    return lines or ()


def _bus(
    asked: str, mux: str, constants: tuple[str, ...], blocks: list[BlockInfo], answers: _Answers
) -> tuple[str, ...]:
    names = _choices(asked, mux, "", blocks, answers)
    return tuple(name for name in names if name not in constants)


def _capture_words(blocks: list[BlockInfo], answers: _Answers) -> Iterator[CaptureWord]:
    for block in blocks:
        for field in block.fields:
            bits = answers.lines(_target(block, field, "BITS"))
            if field.cls == "ext_out" and bits is not None:
                yield CaptureWord(f"{block.reported(1)}.{field.name}", bits)


_Step = Callable[[BlockInfo, FieldInfo, _Answers], FieldInfo]


def _each(block: BlockInfo, answers: _Answers, step: _Step) -> BlockInfo:
    return replace(block, fields=tuple(step(block, field, answers) for field in block.fields))


def _detailed(block: BlockInfo, field: FieldInfo, answers: _Answers) -> FieldInfo:
    field = replace(field, description=answers.text(_description(block, field)) or "")
    detail = None if field.problem else _DETAILS.get(_kind(field))
    return detail(block, field, answers) if detail else field


def _uint(block: BlockInfo, field: FieldInfo, answers: _Answers) -> FieldInfo:
    maximum = answers.number(_target(block, field, "MAX"))
    problem = "" if maximum is not None else "the server does not say its maximum"
    return replace(field, maximum=maximum, problem=problem)


def _enum(block: BlockInfo, field: FieldInfo, answers: _Answers) -> FieldInfo:
    labels = answers.lines(_enums(block, field)) or ()
    problem = "" if labels else "the server does not list its labels"
    return replace(field, labels=labels, problem=problem)


def _scalar(block: BlockInfo, field: FieldInfo, answers: _Answers) -> FieldInfo:
    scale = answers.real(_target(block, field, "SCALE"))
    offset = answers.real(_target(block, field, "OFFSET"))
    units = answers.text(_target(block, field, "UNITS")) or ""
    problem = "" if scale is not None else "the server does not say its scale"
    return replace(field, scale=scale, offset=offset, units=units, problem=problem)


def _bit_mux(block: BlockInfo, field: FieldInfo, answers: _Answers) -> FieldInfo:
    return replace(field, maximum_delay=answers.number(_target(block, field, "MAX_DELAY")))


def _table(block: BlockInfo, field: FieldInfo, answers: _Answers) -> FieldInfo:
    lines = answers.lines(_target(block, field, "FIELDS"))
    if lines is None:
        return replace(field, problem="the server does not list its columns")
    row_words = answers.number(_target(block, field, "ROW_WORDS"))
    if row_words is None:
        # servers before 3.0 do not say it: as many words as the highest bit needs
        lefts = [
            int(line.partition(":")[0]) for line in lines if line.partition(":")[0].isdecimal()
        ]
        row_words = max(lefts, default=0) // WORD_BITS + 1
    max_words = answers.number(_target(block, field, "MAX_LENGTH"))
    try:
        layout = parse_fields(lines, row_words, {}, max_words=max_words)
    except ProtocolError as error:
        return replace(field, problem=str(error))
    has_mode = "MODE" in (answers.lines(_target(block, field, "*")) or ())
    return replace(field, layout=layout, has_mode=has_mode)


_DETAILS: Mapping[str, _Step] = {
    "uint": _uint,
    "enum": _enum,
    "scalar": _scalar,
    "bit_mux": _bit_mux,
    "table": _table,
}
"""How the answers about a field's `ATTRIBUTES` become its details."""


def _column_enums(block: BlockInfo, field: FieldInfo, column: str) -> str:
    return f"*ENUMS.{block.name}.{field.name}[].{column}"


def _open_questions(blocks: list[BlockInfo]) -> Iterator[str]:
    """Ask for the labels of enum columns, and whether what is not understood can be read."""
    for block in blocks:
        for field in block.fields:
            if field.problem:
                yield f"{block.reported(1)}.{field.name}"
            for column in field.layout.columns if field.layout else ():
                if column.subtype == "enum":
                    yield _column_enums(block, field, column.name)


def _finished(block: BlockInfo, field: FieldInfo, answers: _Answers) -> FieldInfo:
    if field.layout is not None:
        field = replace(field, layout=_labelled(block, field, field.layout, answers))
    if field.problem:
        logger.warning("%s.%s is only plain text here: %s", block.name, field.name, field.problem)
        readable = answers.text(f"{block.reported(1)}.{field.name}") is not None
        field = replace(field, readable=readable)
    return field


def _labelled(
    block: BlockInfo, field: FieldInfo, layout: TableLayout, answers: _Answers
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


def _metadata_kinds(answers: _Answers) -> dict[str, str] | None:
    """Return ``=`` or ``<`` by key, constants missing; None if the server does not say."""
    lines = answers.lines("*CHANGES.METADATA")
    if lines is None:
        return None
    return {match[1]: match[2] for line in lines if (match := _METADATA_CHANGE.match(line))}


def _metadata_questions(answers: _Answers) -> Iterator[str]:
    kinds = _metadata_kinds(answers) or {}
    for key in answers.lines("*METADATA.*") or ():
        if _FIELD_NAME.fullmatch(key) and key not in kinds:
            yield f"*METADATA.{key}"


def _metadata(answers: _Answers) -> Iterator[MetadataInfo]:
    kinds = _metadata_kinds(answers)
    for key in sorted(answers.lines("*METADATA.*") or ()):
        question = f"*METADATA.{key}"
        if (kinds or {}).get(key) == "<" or answers.lines(question) is not None:
            yield MetadataInfo(key, "multiline")
        elif kinds is None or key in kinds:
            yield MetadataInfo(key, "string")
        else:
            yield MetadataInfo(key, "constant", answers.text(question) or "")
