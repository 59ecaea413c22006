"""Facts are what was answered to which query, and the names that follow from them.

Source: protocol.md 2.2, 2.3, 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from panda_simulator.record.errors import RecordError
from panda_simulator.record.link import Answers, Reply

_FIELD_PARTS = 3


@dataclass(frozen=True)
class FieldSeen:
    """A field as the list of its block has it."""

    block: str
    count: int
    name: str
    sequence: int
    info: str
    """Class and subtype."""

    @cached_property
    def kind(self) -> str:
        """The class."""
        return self.info.partition(" ")[0]

    @cached_property
    def subtype(self) -> str:
        """The subtype, empty if there is none."""
        return self.info.partition(" ")[2]

    @cached_property
    def title(self) -> str:
        """Block and field."""
        return f"{self.block}.{self.name}"

    @cached_property
    def reported(self) -> list[str]:
        """The instances as the server calls them."""
        if self.count == 1:
            return [self.title]
        return [f"{self.block}{number}.{self.name}" for number in range(1, self.count + 1)]


@dataclass(frozen=True)
class BlockSeen:
    """A kind of block, its fields in the order of their list."""

    name: str
    count: int
    fields: list[FieldSeen] = field(default_factory=list["FieldSeen"])


class Facts:
    """Everything that was asked, and answered."""

    def __init__(self, answers: Answers) -> None:
        self.title = answers.title
        self.replies: dict[str, Reply] = {}
        self._answers = answers

    def ask(self, queries: Sequence[str]) -> None:
        """Ask what is not known yet.

        Raises:
            RecordError: there are no answers any more.
        """
        new = list(dict.fromkeys(query for query in queries if query not in self.replies))
        for query, reply in zip(new, self._answers.ask(new), strict=True):
            if reply is not None:
                self.replies[query] = reply

    def value(self, query: str) -> str | None:
        """Return the one value that answered a query, None if none did."""
        reply = self.replies.get(query)
        return reply[0][len("OK =") :] if reply and reply[0].startswith("OK =") else None

    def lines(self, query: str) -> list[str] | None:
        """Return the lines that answered a query, None if none did."""
        reply = self.replies.get(query)
        return [line[1:] for line in reply[:-1]] if reply and reply[-1] == "." else None

    def error(self, query: str) -> str | None:
        """Return the refusal that answered a query, None if none did."""
        reply = self.replies.get(query)
        return reply[0][len("ERR ") :] if reply and reply[0].startswith("ERR ") else None

    def must(self, query: str) -> list[str]:
        """Return the lines that answered a query.

        Raises:
            RecordError: none did.
        """
        lines = self.lines(query)
        if lines is None:
            raise self.misunderstood(query)
        return lines

    def misunderstood(self, query: str) -> RecordError:
        """Make an error of an answer that makes no sense."""
        reply = " ".join(self.replies.get(query, ("nothing",)))
        return RecordError(f"{self.title}: {query} was answered by {reply[:80]!r}: is it a PandA?")

    @cached_property
    def blocks(self) -> list[BlockSeen]:
        """All kinds of blocks in the order of their list; asked before."""
        blocks = list[BlockSeen]()
        for line in self.must("*BLOCKS?"):
            name, _, count = line.partition(" ")
            if not name or not count.isdecimal():
                raise self.misunderstood("*BLOCKS?")
            blocks.append(BlockSeen(name, int(count), self._fields(name, int(count))))
        return blocks

    def _fields(self, block: str, count: int) -> list[FieldSeen]:
        fields = list[FieldSeen]()
        for line in self.must(f"{block}.*?"):
            name, *rest = line.split(" ", _FIELD_PARTS - 1)
            if len(rest) != _FIELD_PARTS - 1 or not rest[0].isdecimal():
                raise self.misunderstood(f"{block}.*?")
            fields.append(FieldSeen(block, count, name, int(rest[0]), rest[1]))
        return fields

    @property
    def fields(self) -> list[FieldSeen]:
        """All fields of all blocks."""
        return [field for block in self.blocks for field in block.fields]

    def attributes(self, seen: FieldSeen) -> list[str]:
        """Return the attributes of a field in the order of their list."""
        return self.must(f"{seen.title}.*?")
