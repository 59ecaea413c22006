"""The three files of a box are lines whose indentation says what belongs to what.

Source: protocol.md 10.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol

from panda_simulator.box.errors import CommandError, ConfigError
from panda_simulator.box.text import Cursor

LINE_LIMIT = 255
DEPTH_LIMIT = 10


@dataclass(slots=True)
class Line:
    """One line of a file without its indentation, and the deeper lines after it."""

    number: int
    indent: int
    text: str
    children: list[Line] = field(default_factory=list["Line"])


@dataclass(frozen=True, slots=True)
class Source:
    """A text, and what errors call it."""

    title: str
    read: Callable[[], list[Line]]
    """Raises ConfigError."""


@dataclass(frozen=True, slots=True)
class BoxFiles:
    """The three texts that a box is made of."""

    config: Source
    registers: Source
    description: Source


class LineReader(Protocol):
    """Takes one line; returns what takes the lines below it, None if none may follow."""

    def __call__(self, cursor: Cursor) -> LineReader | None:
        """Take one line; the caller refuses what is left of it."""
        ...


def parse_lines(title: str, texts: Iterable[str]) -> list[Line]:
    """Sort lines by their indentation.

    Args:
        title: what errors call the text.
        texts: its lines, one character for each byte.

    Raises:
        ConfigError: a line is too long or its indentation fits no open level.
    """
    top: list[Line] = []
    levels: list[tuple[int, list[Line]]] = [(0, top)]
    latest: Line | None = None
    for number, raw in enumerate(texts, start=1):
        if len(raw) >= LINE_LIMIT:
            raise ConfigError(title, f"line of {LINE_LIMIT} bytes or more", line=number)
        text = raw.lstrip(" \t")
        if not text or text.startswith("#"):
            continue
        indent = len(raw) - len(text)
        if indent > levels[-1][0]:
            if latest is None:
                raise ConfigError(title, "the first line is indented", line=number)
            if len(levels) > DEPTH_LIMIT:
                raise ConfigError(title, "too much indentation", line=number)
            levels.append((indent, latest.children))
        while indent < levels[-1][0]:
            levels.pop()
        if indent != levels[-1][0]:
            raise ConfigError(title, "indentation matches no line above", line=number)
        latest = Line(number, indent, text)
        levels[-1][1].append(latest)
    return top


@lru_cache(maxsize=16)
def _cached_lines(path: Path, modified_ns: int, size: int) -> list[Line]:  # noqa: ARG001 (key)
    return parse_lines(str(path), path.read_bytes().decode("latin-1").split("\n"))


def _read_lines(path: Path) -> list[Line]:
    try:
        status = path.stat()
        return _cached_lines(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise ConfigError(str(path), error.strerror or str(error)) from error


def directory_files(directory: Path) -> BoxFiles:
    """Return the files ``config``, ``registers`` and ``description`` of a folder."""
    paths = [directory / name for name in ("config", "registers", "description")]
    return BoxFiles(*(Source(str(path), partial(_read_lines, path)) for path in paths))


def load_lines(title: str, lines: list[Line], reader: LineReader) -> None:
    """Give lines to their reader, and the lines below each to what that returns.

    Raises:
        ConfigError: a reader refused its line, left some of it, or expected none.
    """
    for line in lines:
        cursor = Cursor(line.text)
        try:
            below = reader(cursor)
            cursor.end()
        except CommandError as error:
            column = line.indent + cursor.at + 1
            raise ConfigError(title, error.message, line=line.number, column=column) from error
        if below is not None:
            load_lines(title, line.children, below)
        elif line.children:
            child = line.children[0]
            raise ConfigError(title, "nothing can be indented here", line=child.number)
