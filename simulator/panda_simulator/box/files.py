"""The three files of a box are lines whose indentation says what belongs to what.

Source: protocol.md 10.1.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
    text: str
    children: list[Line] = field(default_factory=list["Line"])


class LineReader(Protocol):
    """Takes one line; returns what takes the lines below it, None if none may follow."""

    def __call__(self, cursor: Cursor) -> LineReader | None:
        """Take one line; the caller refuses what is left of it."""
        ...


def parse_lines(path: Path, content: bytes) -> list[Line]:
    """Sort the lines of a file by their indentation.

    Raises:
        ConfigError: a line is too long or its indentation fits no open level.
    """
    top: list[Line] = []
    levels: list[tuple[int, list[Line]]] = [(0, top)]
    latest: Line | None = None
    for number, raw in enumerate(content.decode("latin-1").split("\n"), start=1):
        if len(raw) >= LINE_LIMIT:
            raise ConfigError(path, number, f"line of {LINE_LIMIT} bytes or more")
        text = raw.lstrip(" \t")
        if not text or text.startswith("#"):
            continue
        indent = len(raw) - len(text)
        if indent > levels[-1][0]:
            if latest is None:
                raise ConfigError(path, number, "the first line is indented")
            if len(levels) > DEPTH_LIMIT:
                raise ConfigError(path, number, "too much indentation")
            levels.append((indent, latest.children))
        while indent < levels[-1][0]:
            levels.pop()
        if indent != levels[-1][0]:
            raise ConfigError(path, number, "indentation matches no line above")
        latest = Line(number, text)
        levels[-1][1].append(latest)
    return top


def read_lines(path: Path) -> list[Line]:
    """Read a file of a box.

    Raises:
        ConfigError: the file cannot be read, or `parse_lines` refuses it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(path, 0, error.strerror or str(error)) from error
    return parse_lines(path, content)


def load_lines(path: Path, lines: list[Line], reader: LineReader) -> None:
    """Give lines to their reader, and the lines below each to what that returns.

    Raises:
        ConfigError: a reader refused its line, left some of it, or expected none.
    """
    for line in lines:
        with located(path, line):
            cursor = Cursor(line.text)
            below = reader(cursor)
            cursor.end()
        if line.children and below is None:
            raise ConfigError(path, line.children[0].number, "nothing can be indented here")
        if below is not None:
            load_lines(path, line.children, below)


@contextmanager
def located(path: Path, line: Line) -> Generator[None]:
    """Turn a refusal into a ConfigError that names the line."""
    try:
        yield
    except CommandError as error:
        raise ConfigError(path, line.number, error.message) from error
