"""A file of exchanges answers as the box did from which they come, as far as they go.

It is a list of objects with the lines that were ``sent`` and those that were ``received``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, cast

from panda_simulator.record.errors import RecordError
from panda_simulator.record.link import Reply

_TARGET = re.compile(r"(\*(?:DESC|ENUMS)\.)?([A-Za-z_](?:\w*[A-Za-z_])?)(\d*)((?:\.|\[).*)?\?")
_LISTS = ".*"


class Exchange(TypedDict):
    """One command and its reply."""

    sent: list[str]
    received: list[str]


class Exchanges:
    """Replies from a file (link.Answers)."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            RecordError: it cannot be read, or is something else.
        """
        self.title = str(path)
        exchanges = self._read(path)
        self._counts = dict[str, int]()
        for exchange in exchanges:
            if exchange["sent"] == ["*BLOCKS?"]:
                lines = (line[1:].partition(" ") for line in exchange["received"][:-1])
                self._counts = {name: int(count) for name, _, count in lines if count.isdecimal()}
        self._replies: dict[str, Reply] = {}
        for exchange in exchanges:
            if len(exchange["sent"]) == 1 and exchange["received"]:
                self._replies[self._canonical(exchange["sent"][0])] = tuple(exchange["received"])
        self._use_changes()

    def ask(self, queries: Sequence[str]) -> list[Reply | None]:
        """Look the queries up (Answers.ask)."""
        return [self._replies.get(self._canonical(query)) for query in queries]

    def _read(self, path: Path) -> list[Exchange]:
        try:
            text = path.read_bytes().decode("utf-8", "surrogateescape")
            exchanges = json.loads(text)
        except OSError as error:
            raise RecordError(f"{path}: {error.strerror or error}") from error
        except json.JSONDecodeError as error:
            raise RecordError(f"{path}, line {error.lineno}: is not JSON: {error.msg}") from error
        if not isinstance(exchanges, list):
            raise RecordError(f"{path}: is no list of exchanges")
        for number, exchange in enumerate(cast("list[object]", exchanges)):
            if not _is_exchange(exchange):
                raise RecordError(f"{path}, [{number}]: is no object with lines sent and received")
        return [
            {"sent": _bytewise(exchange["sent"]), "received": _bytewise(exchange["received"])}
            for exchange in cast("list[Exchange]", exchanges)
        ]

    def _canonical(self, query: str) -> str:
        """Name what is the same for all instances without a number, the rest as reported."""
        match = _TARGET.fullmatch(query)
        if match is None:
            return query
        prefix, block, _, tail = match.groups("")
        if prefix or tail.endswith(_LISTS) or self._counts.get(block) == 1:
            return f"{prefix}{block}{tail}?"
        return query

    def _use_changes(self) -> None:
        """Take values that were not asked for one by one from the changes."""
        changes = self._replies.get("*CHANGES?", ())
        metadata = tuple(line for line in changes if line.startswith("!*METADATA."))
        self._replies.setdefault("*CHANGES.METADATA?", (*metadata, "."))
        for line in changes:
            name, equals, value = line[1:].partition("=")
            if equals:
                self._replies.setdefault(f"{name}?", (f"OK ={value}",))


def _is_exchange(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    return all(
        isinstance(lines, list)
        and all(isinstance(line, str) for line in cast("list[object]", lines))
        for lines in (cast("dict[str, object]", entry).get(key) for key in ("sent", "received"))
    )


def _bytewise(lines: list[str]) -> list[str]:
    return [line.encode("utf-8", "surrogateescape").decode("latin-1") for line in lines]
