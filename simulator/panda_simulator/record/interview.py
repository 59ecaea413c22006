"""What a box is asked, in rounds: each follows from the answers to those before.

Source: protocol.md 2.3, 3.1, 4.11.
"""

from __future__ import annotations

from collections.abc import Iterator

from panda_simulator.box.loading import CLASSES
from panda_simulator.box.registers import SUBTYPES
from panda_simulator.record.facts import Facts, FieldSeen
from panda_simulator.record.link import Answers

REGISTER_CLASSES = {"param", "read", "write"}
EXTENSION_SUBTYPES = {"timestamp", "samples", "bits"}
ATTRIBUTES = {
    "B", "BITS", "CAPTURE", "CAPTURE_WORD", "DELAY", "FIELDS", "INFO", "LENGTH", "MAX",
    "MAX_DELAY", "MAX_LENGTH", "MIN", "MODE", "OFFSET", "QUEUED_LINES", "RAW", "ROW_WORDS",
    "SCALE", "SCALED", "UNITS",
}  # fmt: skip
"""Of all classes that are simulated."""

_SILENT = {"write", "ext_out", "table"}
"""Classes without a value to read, or with one that is read as an attribute."""

_START = (
    "*IDN?",
    "*CLOCK_FREQ?",
    "*BLOCKS?",
    "*BITS?",
    "*POSITIONS?",
    "*CAPTURE.*?",
    "*CAPTURE.OPTIONS?",
    "*CAPTURE.ENUMS?",
    "*METADATA.*?",
    "*CHANGES.METADATA?",
)


def is_known(seen: FieldSeen) -> bool:
    """Tell whether a field is of a class and subtype that are simulated."""
    if seen.kind in REGISTER_CLASSES:
        return seen.subtype in SUBTYPES
    if seen.kind == "ext_out":
        return seen.subtype in EXTENSION_SUBTYPES and seen.count == 1
    return seen.kind in CLASSES and not seen.subtype


def interview(answers: Answers) -> Facts:
    """Ask everything that makes the box.

    Raises:
        RecordError: the link was lost, or what answers is no PandA.
    """
    facts = Facts(answers)
    for ask in (_names, _lists, _fields, _attributes, _tables, _unknown):
        facts.ask(list(ask(facts)))
    return facts


def _names(facts: Facts) -> Iterator[str]:
    facts.ask(_START)
    # each line names a block; what is wrong with one is said when they are understood
    for line in facts.must("*BLOCKS?"):
        yield f"{line.partition(' ')[0]}.*?"


def _lists(facts: Facts) -> Iterator[str]:
    for key in facts.lines("*METADATA.*?") or ():
        yield f"*METADATA.{key}?"
    for block in facts.blocks:
        yield f"*DESC.{block.name}?"
    for seen in facts.fields:
        yield f"{seen.title}.*?"


def _fields(facts: Facts) -> Iterator[str]:
    muxes = dict[str, FieldSeen]()
    for seen in facts.fields:
        yield f"*DESC.{seen.title}?"
        if seen.kind not in _SILENT or not is_known(seen):
            yield from (f"{name}?" for name in seen.reported)
        if seen.subtype == "enum" or not is_known(seen):
            yield f"*ENUMS.{seen.title}?"
        if seen.kind in {"bit_mux", "pos_mux"}:
            muxes.setdefault(seen.kind, seen)
    # the choices are the same for all of a kind
    yield from (f"*ENUMS.{seen.title}?" for seen in muxes.values())


def _attributes(facts: Facts) -> Iterator[str]:
    for seen in facts.fields:
        for attribute in facts.attributes(seen):
            yield from (f"{name}.{attribute}?" for name in seen.reported)
            if attribute not in ATTRIBUTES or not is_known(seen):
                yield f"*DESC.{seen.title}.{attribute}?"
                yield f"*ENUMS.{seen.title}.{attribute}?"


def _tables(facts: Facts) -> Iterator[str]:
    for seen in facts.fields:
        if seen.kind != "table" or not is_known(seen):
            continue
        for line in facts.lines(f"{seen.reported[0]}.FIELDS?") or ():
            _, name, *_ = *line.split(" "), ""
            yield f"*DESC.{seen.title}[].{name}?"
            yield f"*ENUMS.{seen.title}[].{name}?"


def _unknown(facts: Facts) -> Iterator[str]:
    """Ask where what is not simulated is reported."""
    attributes = (set(facts.attributes(seen)) - ATTRIBUTES for seen in facts.fields)
    if any(attributes) or not all(is_known(seen) for seen in facts.fields):
        yield from ("*CHANGES.CONFIG?", "*CHANGES.READ?", "*CHANGES.ATTR?")
