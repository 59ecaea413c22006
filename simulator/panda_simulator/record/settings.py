"""Settings are what differs between the box and one at power-up, as commands.

They are found by giving them to a box made of the texts, and looking at what it says.

Source: protocol.md 6.1, 10.5, 11.1 (3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from panda_simulator.box import Box
from panda_simulator.record.facts import Facts, FieldSeen
from panda_simulator.record.interview import is_known
from panda_simulator.state import asker

_SET_ATTRIBUTES = ("CAPTURE", "SCALE", "OFFSET", "UNITS", "DELAY")
_SET_CLASSES = {"param", "time", "bit_mux", "pos_mux"}
_FIXED_SUBTYPES = {"scalar"}
"""Subtypes whose attributes belong to the field and cannot be set."""


class Settings:
    """The commands that make a box like the recorded one.

    Attributes:
        lines: of commands, those of tables with their bodies.
        refused: commands that the box did not take, each with its reason.
    """

    def __init__(self, facts: Facts, box: Box) -> None:
        """Give the box everything that was recorded; it is as recorded then."""
        self.lines: list[str] = []
        self.refused: list[str] = []
        self._facts = facts
        self._ask = asker(box)
        fields = [seen for seen in facts.fields if is_known(seen)]
        for commands in (
            self._attributes(fields),
            self._values(fields),
            self._tables(fields),
            self._metadata(),
        ):
            for command in commands:
                self._give(command)

    def _give(self, command: Sequence[str]) -> None:
        reply = self._ask("\n".join(command))
        if reply == ("OK",):
            self.lines += command
        else:
            self.refused.append(f"{command[0]}: {' '.join(reply).removeprefix('ERR ')}")

    def _differs(self, query: str) -> bool:
        recorded = self._facts.replies.get(query)
        return recorded is not None and recorded != self._ask(query)

    def _attributes(self, fields: Sequence[FieldSeen]) -> Iterator[Sequence[str]]:
        for seen in fields:
            if seen.subtype in _FIXED_SUBTYPES:
                continue
            for attribute in self._facts.attributes(seen):
                targets = (f"{name}.{attribute}" for name in seen.reported)
                if attribute in _SET_ATTRIBUTES:
                    yield from self._changed(targets)

    def _values(self, fields: Sequence[FieldSeen]) -> Iterator[Sequence[str]]:
        for seen in fields:
            if seen.kind in _SET_CLASSES:
                yield from self._changed(iter(seen.reported))
                # texts have ten digits, registers may need more
                if seen.subtype != "lut" and "RAW" in self._facts.attributes(seen):
                    yield from self._changed(f"{name}.RAW" for name in seen.reported)

    def _changed(self, targets: Iterator[str]) -> Iterator[Sequence[str]]:
        for target in targets:
            value = self._facts.value(f"{target}?")
            if value is not None and self._differs(f"{target}?"):
                yield (f"{target}={value}",)

    def _tables(self, fields: Sequence[FieldSeen]) -> Iterator[Sequence[str]]:
        for seen in fields:
            for name in seen.reported if seen.kind == "table" else ():
                lines = self._facts.lines(f"{name}.B?")
                if lines is not None and self._differs(f"{name}.B?"):
                    yield (f"{name}<B", *lines, "")

    def _metadata(self) -> Iterator[Sequence[str]]:
        for key in self._facts.lines("*METADATA.*?") or ():
            name = f"*METADATA.{key}"
            lines = self._facts.lines(f"{name}?")
            if self._differs(f"{name}?"):
                if lines is not None:
                    yield (f"{name}<", *lines, "")
                elif (value := self._facts.value(f"{name}?")) is not None:
                    yield (f"{name}={value}",)
