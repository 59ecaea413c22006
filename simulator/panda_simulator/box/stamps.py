"""What changed is told by stamps of one counter, compared with the cursors of a connection.

Source: protocol.md 6.2, 6.5.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class Group(IntEnum):
    """The seven groups of ``*CHANGES``."""

    CONFIG = 0
    BITS = 1
    POSN = 2
    READ = 3
    ATTR = 4
    TABLE = 5
    METADATA = 6


class ChangeCounter:
    """The one counter that every change takes its stamp from."""

    def __init__(self) -> None:
        self.value = 0

    def tick(self) -> int:
        """Count on and return the new value."""
        self.value += 1
        return self.value


class Cursors:
    """How far one connection has seen each group; at first nothing."""

    def __init__(self) -> None:
        self.seen = [0] * len(Group)

    def advance(self, groups: Iterable[Group], to: int) -> dict[Group, int]:
        """Move the cursors of some groups, and return where they were."""
        before = {group: self.seen[group] for group in groups}
        for group in before:
            self.seen[group] = to
        return before

    def restart(self, groups: Iterable[Group]) -> None:
        """Make everything in some groups new again."""
        for group in groups:
            self.seen[group] = 0
