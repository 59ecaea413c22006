"""What a file holds, as far as it can be read: facts alone, for somebody else to judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from panda_ophyd.verdict import AcquisitionRecord, Verdict


class Maker(Enum):
    """Who wrote a file."""

    OURS = "panda-ophyd"
    PANDABLOCKS = "pandablocks or its IOC"
    OTHER = "other software"


class Hand(Enum):
    """Whether somebody still writes it."""

    CLOSED = "closed"
    WRITING = "being written"
    DIED = "its writer died"
    UNKNOWN = "being written, or its writer died"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts.

    Attributes:
        maker: who wrote it, as far as can be told.
        hand: whether somebody still does.
        writer: the writing process in words, empty if nobody wrote it down.
        said: what the file says about itself, None if nothing.
        acquisitions: its table of them, None if it has none.
        lengths: rows by dataset at its root.
        damage: what could not be read, or was never written; one line each.
        lacking: what this installation needs to read it all, empty if it has it.
    """

    maker: Maker
    hand: Hand
    writer: str = ""
    said: Verdict | None = None
    acquisitions: tuple[AcquisitionRecord, ...] | None = None
    lengths: Mapping[str, int] = field(default_factory=dict[str, int])
    damage: tuple[str, ...] = ()
    lacking: str = ""


class Unreadable(Exception):  # noqa: N818
    """A file that cannot be looked into at all, and why, in one line."""
