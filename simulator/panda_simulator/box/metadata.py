"""Metadata are free texts under the keys of the box, of three kinds.

Source: protocol.md 2.3 (*METADATA), 6.3, 10.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from panda_simulator.box.errors import CommandError
from panda_simulator.box.files import LineReader
from panda_simulator.box.listing import listing_order
from panda_simulator.box.stamps import ChangeCounter
from panda_simulator.box.text import RESULT_LIMIT, Cursor, check_utf8, one_result


class Kind(Enum):
    """What can be done with a key."""

    STRING = auto()
    MULTILINE = auto()
    CONSTANT = auto()


class Entry:
    """One key and its text."""

    def __init__(self, kind: Kind, text: str = "") -> None:
        self.kind = kind
        self.lines = [text]
        self.stamp = 0 if kind is Kind.CONSTANT else 1

    @property
    def text(self) -> str:
        """The text of a key that is no list of lines."""
        return self.lines[0]


class LinesWriter:
    """Collects the lines of a multi-line text."""

    def __init__(self, metadata: Metadata, entry: Entry) -> None:
        self._metadata = metadata
        self._entry = entry
        self._lines: list[str] = []

    def line(self, text: str) -> None:
        """Take one line."""
        check_utf8(text)
        self._lines.append(text)

    def close(self, *, complete: bool) -> None:
        """Replace the text, if all of it came."""
        if complete:
            self._metadata.store(self._entry, self._lines)


class Metadata:
    """All keys of a box."""

    def __init__(self, changes: ChangeCounter) -> None:
        self._changes = changes
        self._entries: dict[str, Entry] = {}
        self._order: tuple[str, ...] | None = None

    def read_line(self, cursor: Cursor) -> LineReader | None:
        """Take a line of the ``*METADATA`` block of ``config``."""
        key = cursor.name()
        cursor.blanks()
        kind_name = cursor.letters()
        kind = {kind.name.lower(): kind for kind in Kind}.get(kind_name)
        if kind is None:
            raise CommandError(f"invalid metadata type {kind_name}")
        text = ""
        if kind is Kind.CONSTANT:
            cursor.blanks()
            cursor.expect("=")
            text = cursor.utf8()
        if key in self._entries:
            raise CommandError(f"metadata key {key} repeated")
        self._entries[key] = Entry(kind, text)
        self._order = None
        return None

    def keys(self) -> tuple[str, ...]:
        """List the keys."""
        if self._order is None:
            self._order = listing_order(self._entries)
        return self._order

    def arrange(self, order: Iterable[str]) -> None:
        """Take another order of the keys."""
        self._order = tuple(order)

    def read(self, key: str) -> str | list[str]:
        """Return a text, or the lines of a multi-line one."""
        entry = self._find(key)
        if entry.kind is Kind.MULTILINE:
            return [line for line in entry.lines if line]
        return one_result(entry.text)

    def write(self, key: str, text: str) -> None:
        """Replace a string."""
        entry = self._find(key)
        if entry.kind is not Kind.STRING:
            raise CommandError("Cannot write to this field")
        self.store(entry, [text])

    def open_lines(self, key: str) -> LinesWriter:
        """Start to replace a multi-line text."""
        entry = self._find(key)
        if entry.kind is not Kind.MULTILINE:
            raise CommandError("Not a multi-line field")
        return LinesWriter(self, entry)

    def store(self, entry: Entry, lines: list[str]) -> None:
        """Put a new text in force."""
        entry.lines = lines
        entry.stamp = self._changes.tick()

    def changes(self, since: int) -> list[str]:
        """List the reports of keys changed after a stamp."""
        reports = list[str]()
        for key in self.keys():
            entry = self._entries[key]
            if entry.stamp <= since:
                continue
            if entry.kind is Kind.MULTILINE:
                reports.append(f"*METADATA.{key}<")
            else:
                reports.append(f"*METADATA.{key}={entry.text}"[:RESULT_LIMIT])
        return reports

    def _find(self, key: str) -> Entry:
        try:
            return self._entries[key]
        except KeyError:
            raise CommandError(f"Metadata key {key} not found") from None
