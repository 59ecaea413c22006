"""What a PandA consists of is asked in at most six round trips, whatever it consists of.

A round trip is a list of questions sent at once. Each list follows from the answers to
the ones before: the box, its blocks, their fields, and what only some fields leave open.
A question that the server does not know (they came with versions, protocol.md 11.3) and
a field that cannot be understood cost that one answer, never the connection.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

from panda_ophyd.client import PandaClient
from panda_ophyd.control import Assign, Err, Lines
from panda_ophyd.errors import CommandError, ProtocolError
from panda_ophyd.fields import (
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
from panda_ophyd.introspection.answers import Answers
from panda_ophyd.introspection.details import (
    attribute_of,
    detailed,
    each_field,
    enums_of,
    field_questions,
    finished,
    kind_of,
    open_questions,
    read_block,
)
from panda_ophyd.introspection.photograph import take_snapshot

__all__ = ["BlockInfo", "BoxInfo", "FieldInfo", "introspect", "signals", "take_snapshot"]

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
_IDN = re.compile(r"PandA SW: (.*?) FPGA: (.*?)(?: rootfs: (.*))?")
_BLOCK_LINE = re.compile(r"([A-Za-z_]\w{0,98}) ([1-9]\d{0,3})", re.ASCII)
_METADATA_KEY = re.compile(r"[A-Za-z_]\w{0,98}", re.ASCII)
_METADATA_CHANGE = re.compile(r"\*METADATA\.(\w+)([=<])", re.ASCII)


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
    answers = Answers(client)
    # reset the cursor, or the keys that were reported before would look like constants
    await answers.ask(BOX_QUESTIONS, Assign("*CHANGES.METADATA", "S"))
    listed = _listed_blocks(answers)
    await answers.ask(question for name in listed for question in (f"{name}.*", f"*DESC.{name}"))
    blocks = [read_block(name, count, answers) for name, count in listed.items()]
    await answers.ask(
        (*field_questions(blocks), *_list_questions(blocks, answers), *_metadata_questions(answers))
    )
    blocks = [each_field(block, answers, detailed) for block in blocks]
    await answers.ask(open_questions(blocks))
    blocks = [each_field(block, answers, finished) for block in blocks]
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
        # the two came together
        times_samples=answers.text("*CLOCK_FREQ") is not None,
    )


def signals(box: BoxInfo) -> dict[tuple[str, int], list[SignalSpec]]:
    """Return the signals of each block instance, by block name on the wire and number from 1."""
    return {
        (block.name, number): block_signals(box, block, number)
        for block in box.blocks
        for number in range(1, block.count + 1)
    }


def _identity(answers: Answers) -> tuple[str, str, str]:
    text = answers.text("*IDN") or ""
    match = _IDN.fullmatch(text)
    return (match[1], match[2], match[3] or "") if match else (text, "", "")


def _listed_blocks(answers: Answers) -> dict[str, int]:
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


def _list_questions(blocks: list[BlockInfo], answers: Answers) -> Iterator[str]:
    """Ask the first field of a kind for what older servers do not list for the box."""
    for asked, kind, attribute in (
        ("*BITS", "bit_mux", ""),
        ("*POSITIONS", "pos_mux", ""),
        ("*CAPTURE.ENUMS", "pos_out", "CAPTURE"),
        ("", "time", "UNITS"),
    ):
        if answers.lines(asked) is None and (first := _first(kind, blocks)):
            yield enums_of(*first, attribute)


def _first(kind: str, blocks: list[BlockInfo]) -> tuple[BlockInfo, FieldInfo] | None:
    found = (
        (block, field)
        for block in blocks
        for field in block.fields
        if not field.problem and kind_of(field) == kind
    )
    return next(found, None)


def _choices(
    asked: str, kind: str, attribute: str, blocks: list[BlockInfo], answers: Answers
) -> tuple[str, ...]:
    """Return a list for the box, from the first field of a kind if the box has not got it."""
    lines = answers.lines(asked)
    if lines is None and (first := _first(kind, blocks)):
        lines = answers.lines(enums_of(*first, attribute))
    return lines or ()


def _bus(
    asked: str, mux: str, constants: tuple[str, ...], blocks: list[BlockInfo], answers: Answers
) -> tuple[str, ...]:
    names = _choices(asked, mux, "", blocks, answers)
    return tuple(name for name in names if name not in constants)


def _capture_words(blocks: list[BlockInfo], answers: Answers) -> Iterator[CaptureWord]:
    for block in blocks:
        for field in block.fields:
            bits = answers.lines(attribute_of(block, field, "BITS"))
            if field.cls == "ext_out" and bits is not None:
                yield CaptureWord(f"{block.reported(1)}.{field.name}", bits)


def _metadata_kinds(answers: Answers) -> dict[str, str] | None:
    """Return ``=`` or ``<`` by key, constants missing; None if the server does not say."""
    lines = answers.lines("*CHANGES.METADATA")
    if lines is None:
        return None
    return {match[1]: match[2] for line in lines if (match := _METADATA_CHANGE.match(line))}


def _metadata_questions(answers: Answers) -> Iterator[str]:
    kinds = _metadata_kinds(answers) or {}
    for key in answers.lines("*METADATA.*") or ():
        if _METADATA_KEY.fullmatch(key) and key not in kinds:
            yield f"*METADATA.{key}"


def _metadata(answers: Answers) -> Iterator[MetadataInfo]:
    kinds = _metadata_kinds(answers)
    for key in sorted(answers.lines("*METADATA.*") or ()):
        question = f"*METADATA.{key}"
        if (kinds or {}).get(key) == "<" or answers.lines(question) is not None:
            yield MetadataInfo(key, "multiline")
        elif kinds is None or key in kinds:
            yield MetadataInfo(key, "string")
        else:
            yield MetadataInfo(key, "constant", answers.text(question) or "")
