"""Rows of a table, by the names of their columns, become the words that the box takes.

Which columns there are, their bits and labels is asked of the box itself, as a client
would (FIELDS, ROW_WORDS, *ENUMS).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from panda_simulator.timing.document import Entries, Items, Node, Scalar, error, scalar, unknown
from panda_simulator.timing.stepped import SteppedBox

_COLUMN = re.compile(r"(\d+):(\d+) (\w+) (\w+)")
_NUMBER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]+|\d+)")


@dataclass(frozen=True, slots=True)
class _Column:
    left: int
    right: int
    name: str
    subtype: str
    labels: Sequence[str]

    def bits(self, node: Scalar) -> int:
        """Return the value of a cell at its place in the row."""
        text = node.text.strip()
        if self.labels:
            if text in self.labels:
                return self.labels.index(text) << self.right
            if not _NUMBER.fullmatch(text):
                raise error(node, f"{self.name}: {text!r} is none of {', '.join(self.labels)}")
        elif not _NUMBER.fullmatch(text):
            raise error(node, f"{self.name}: {text!r} is no number")
        value = int(text, 0) if "x" in text.lower() else int(text)
        width = self.left - self.right + 1
        signed = self.subtype == "int"
        low, high = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)
        if not low <= value <= high:
            raise error(node, f"{self.name}: {value} is outside {low} … {high}")
        return (value & (1 << width) - 1) << self.right


def table_words(bench: SteppedBox, name: str, node: Node) -> list[int]:
    """Return the words of a table.

    Args:
        bench: whose box knows the columns.
        name: of the table, as ``SEQ1.TABLE``.
        node: rows as mappings of column to value, where a column that is not named is
            0; or plain words; nothing is the empty table.

    Raises:
        CommandError: there is no such table; as the server says it.
        ScriptError: a row does not fit.
    """
    if isinstance(node, Scalar) and not node.text:
        return []
    if not isinstance(node, Items):
        raise error(node, f"{name}: a list of rows expected, each after a dash")
    columns: dict[str, _Column] = {}
    width = int(str(bench.get(f"{name}.ROW_WORDS")))
    for line in bench.get(f"{name}.FIELDS"):
        match = _COLUMN.fullmatch(line)
        if match is None:
            raise error(node, f"{name}: cannot make sense of its column {line!r}")
        labels = bench.get(f"*ENUMS.{name}[].{match[3]}") if match[4] == "enum" else ()
        columns[match[3]] = _Column(int(match[1]), int(match[2]), match[3], match[4], labels)
    words = list[int]()
    for row in node.nodes:
        if isinstance(row, Entries):
            words += _row(row, columns, width, name)
        else:
            words.append(_word(scalar(row, name)))
    return words


def _row(row: Entries, columns: dict[str, _Column], width: int, name: str) -> list[int]:
    bits = 0
    for key, node in row.nodes.items():
        if key not in columns:
            raise error(node, f"{name}: {unknown(key, columns)}")
        bits |= columns[key].bits(scalar(node, key))
    return [bits >> 32 * word & 0xFFFFFFFF for word in range(width)]


def _word(node: Scalar) -> int:
    text = node.text.strip()
    if not _NUMBER.fullmatch(text):
        raise error(node, f"{text!r} is neither a row nor a word")
    return int(text, 0) if "x" in text.lower() else int(text)
