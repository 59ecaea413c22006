"""The numbers behind labels are not on the wire: known blocks have those of a built-in box.

Our blocks tick with these numbers. For others any ascending numbers do, since clients
see labels only, in the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from panda_simulator.box.files import Line, directory_files
from panda_simulator.box.text import Cursor
from panda_simulator.builtin import box_directory, box_names


@lru_cache(maxsize=1)
def _known_labels() -> dict[tuple[str, ...], dict[str, int]]:
    """Return numbers by block, field and, in a table, subfield."""
    known: dict[tuple[str, ...], dict[str, int]] = {}
    for box in box_names():
        for block in directory_files(box_directory(box)).config.read():
            for field in block.children:
                key = Cursor(block.text).block_name() if block.text[0] != "*" else "*", _word(field)
                _collect(key, field, known)
    return known


def _collect(
    key: tuple[str, ...], line: Line, known: dict[tuple[str, ...], dict[str, int]]
) -> None:
    for below in line.children:
        if below.children:
            _collect((*key, below.text.split()[1]), below, known)
        elif below.text[0].isdecimal() and ":" not in below.text.split()[0]:
            number, label = below.text.split(None, 1)
            known.setdefault(key, {}).setdefault(label, int(number))


def _word(line: Line) -> str:
    return line.text.split()[0]


def label_numbers(key: tuple[str, ...], labels: Sequence[str]) -> dict[str, int]:
    """Return ascending numbers for labels.

    Args:
        key: block, field and, in a table, subfield.
        labels: in the order of their numbers.
    """
    known = _known_labels().get(key, {})
    numbers: dict[str, int] = {}
    latest = -1
    for label in labels:
        latest = known.get(label, latest + 1)
        numbers[label] = latest
    if list(numbers.values()) != sorted(set(numbers.values())):
        return {label: number for number, label in enumerate(labels)}
    return numbers


def unlabelled(numbers: dict[str, int]) -> int:
    """Return the smallest number that has no label."""
    return next(n for n in range(len(numbers) + 1) if n not in numbers.values())


@lru_cache(maxsize=1)
def known_specs() -> dict[tuple[str, str], str]:
    """Return what the built-in boxes say of registers by block and field."""
    specs: dict[tuple[str, str], str] = {}
    for box in box_names():
        for block in directory_files(box_directory(box)).registers.read():
            for field in block.children:
                name, _, spec = field.text.partition(" ")
                specs.setdefault((block.text.split()[0], name), spec.strip())
    return specs
