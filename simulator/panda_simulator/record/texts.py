"""The texts ``config`` and ``description`` are written so that a box made of them is the same.

Source: protocol.md 10.2, 10.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from panda_simulator.box.text import WORD_MASK
from panda_simulator.record.buses import word_groups
from panda_simulator.record.facts import Facts, FieldSeen
from panda_simulator.record.interview import REGISTER_CLASSES, is_known
from panda_simulator.record.labels import label_numbers, unlabelled

_NO_LABEL = "No label for value"
_WORD_BITS = 32
_METADATA = "*METADATA"


def config(facts: Facts) -> list[str]:
    """Write ``config``; what is not simulated is named only."""
    groups = word_groups(facts)
    lines = [_METADATA, *_metadata(facts)] if facts.lines("*METADATA.*?") else []
    for block in facts.blocks:
        lines.append(block.name if block.count == 1 else f"{block.name}[{block.count}]")
        for seen in sorted(block.fields, key=lambda seen: seen.sequence):
            if not is_known(seen):
                lines.append(f" {seen.name} {seen.info}")
            elif seen.kind in REGISTER_CLASSES:
                details = _SUBTYPES.get(seen.subtype, _nothing)(facts, seen)
                lines.append(f" {seen.name} {seen.kind} {seen.subtype}{details}")
                lines += _labels(facts, seen)
            elif seen.kind == "ext_out":
                group = f" {groups[seen.title]}" if seen.subtype == "bits" else ""
                lines.append(f" {seen.name} {seen.info}{group}")
            elif seen.kind == "table":
                lines.append(f" {seen.name} table {row_words(facts, seen)}")
                lines += _subfields(facts, seen)
            else:
                lines.append(f" {seen.name} {seen.kind}")
    return lines


def description(facts: Facts) -> list[str]:
    """Write ``description``."""
    lines = list[str]()
    for block in facts.blocks:
        below = list[str]()
        for seen in sorted(block.fields, key=lambda seen: seen.sequence):
            subfields = [
                f"  {name} {text}"
                for name, text in (
                    (name, facts.value(f"*DESC.{seen.title}[].{name}?"))
                    for _, name, _ in subfields_of(facts, seen)
                )
                if text is not None
            ]
            text = facts.value(f"*DESC.{seen.title}?")
            if text is not None or subfields:
                below += [f" {seen.name} {text or ''}", *subfields]
        text = facts.value(f"*DESC.{block.name}?")
        if text is not None or below:
            lines += [f"{block.name} {text or ''}", *below]
    return lines


def _metadata(facts: Facts) -> Iterator[str]:
    changing = [line.removeprefix("*METADATA.") for line in facts.must("*CHANGES.METADATA?")]
    multiline = {line[:-1] for line in changing if line.endswith("<") and "=" not in line}
    strings = {line.partition("=")[0].removesuffix(" (error)") for line in changing} - multiline
    for key in facts.must("*METADATA.*?"):
        if key in multiline:
            yield f" {key} multiline"
        elif key in strings:
            yield f" {key} string"
        else:
            yield f" {key} constant ={facts.value(f'*METADATA.{key}?') or ''}"


def first(facts: Facts, seen: FieldSeen, attribute: str) -> str:
    """Return an attribute that is the same for all instances, empty if it is not there."""
    return facts.value(f"{seen.reported[0]}.{attribute}?") or ""


def _uint(facts: Facts, seen: FieldSeen) -> str:
    limit = first(facts, seen, "MAX")
    return f" {limit}" if limit.isdecimal() and int(limit) != WORD_MASK else ""


def _scalar(facts: Facts, seen: FieldSeen) -> str:
    scale, offset, units = (first(facts, seen, name) for name in ("SCALE", "OFFSET", "UNITS"))
    return f" {scale or 1} {offset or 0} {units}" if units else f" {scale or 1} {offset or 0}"


def _enumeration(facts: Facts, seen: FieldSeen) -> str:
    """Let a param that has no label begin without one."""
    refused = any(facts.error(f"{name}?") == _NO_LABEL for name in seen.reported)
    return f" = {unlabelled(numbers_of(facts, seen))}" if seen.kind == "param" and refused else ""


def _nothing(facts: Facts, seen: FieldSeen) -> str:
    del facts, seen
    return ""


_SUBTYPES: Mapping[str, Callable[[Facts, FieldSeen], str]] = {
    "uint": _uint,
    "scalar": _scalar,
    "enum": _enumeration,
}


def numbers_of(facts: Facts, seen: FieldSeen) -> dict[str, int]:
    """Return the numbers of the labels of a field."""
    return label_numbers((seen.block, seen.name), facts.lines(f"*ENUMS.{seen.title}?") or [])


def _labels(facts: Facts, seen: FieldSeen) -> Iterator[str]:
    if seen.subtype == "enum":
        for label, number in numbers_of(facts, seen).items():
            yield f"  {number} {label}"


def row_words(facts: Facts, seen: FieldSeen) -> int:
    """Return the words of a row; what older servers do not say follows from the bits."""
    words = first(facts, seen, "ROW_WORDS")
    if words.isdecimal():
        return int(words)
    lefts = [int(bits.partition(":")[0]) for bits, _, _ in subfields_of(facts, seen)]
    return max(lefts, default=0) // _WORD_BITS + 1


def subfields_of(facts: Facts, seen: FieldSeen) -> list[tuple[str, str, str]]:
    """Return bits, name and subtype of the parts of a table's rows."""
    if seen.kind != "table" or not is_known(seen):
        return []
    parts = list[tuple[str, str, str]]()
    query = f"{seen.reported[0]}.FIELDS?"
    for line in facts.lines(query) or ():
        bits, name, subtype, *_ = *line.split(" "), "", ""
        if not name or not bits.replace(":", "").isdecimal():
            raise facts.misunderstood(query)
        parts.append((bits, name, subtype or "uint"))
    return parts


def _subfields(facts: Facts, seen: FieldSeen) -> Iterator[str]:
    for bits, name, subtype in subfields_of(facts, seen):
        yield f"  {bits} {name} {subtype}"
        labels = facts.lines(f"*ENUMS.{seen.title}[].{name}?") if subtype == "enum" else None
        for label, number in label_numbers((seen.block, seen.name, name), labels or []).items():
            yield f"   {number} {label}"
