"""A transcript is exchanges of ``< sent`` and ``> expected`` lines, ``#`` begins a remark.

Sent lines that follow each other go out together; all their replies are then expected, up
to the first line that is neither expected nor a remark. A table ends with a sent line that
holds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .wire import Control, to_text


@dataclass(slots=True)
class Exchange:
    """What is sent at once, and the lines that must come back."""

    line: int
    """Of the first expected line in the file."""
    sent: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    @property
    def replies(self) -> int:
        """How many replies are due: one for each command, a table being one."""
        count, in_table = 0, False
        for line in self.sent:
            if in_table:
                in_table = line != ""
            else:
                count += 1
                in_table = opens_table(line)
        return count


def opens_table(line: str) -> bool:
    """Whether a command line is followed by a body."""
    found = [line.find(mark) for mark in "?=<" if mark in line]
    return bool(found) and line[min(found)] == "<"


def exchanges(lines: Iterable[str]) -> Iterator[Exchange]:
    """Read a transcript.

    Raises:
        ValueError: lines are sent after which nothing is expected.
    """
    current = Exchange(0)
    for number, line in enumerate(lines, 1):
        kind, text = line[:1], line.removesuffix("\n")[2:]
        if kind == "<":
            if current.expected:
                yield current
                current = Exchange(number)
            current.sent.append(text)
        elif kind == ">":
            current.line = current.line if current.expected else number
            current.expected.append(text)
        elif kind != "#" and current.expected:
            yield current
            current = Exchange(number)
    if current.expected:
        yield current
    elif current.sent:
        raise ValueError(f"line {current.line}: nothing is expected of {current.sent[0]!r}")


def answer(control: Control, exchange: Exchange) -> list[str]:
    """Send the lines of an exchange, and return those that come back."""
    control.put(*exchange.sent)
    lines: list[str] = []
    for _ in range(exchange.replies):
        line = to_text(control.line())
        lines.append(line)
        while line.startswith("!"):
            line = to_text(control.line())
            lines.append(line)
    return lines


def differences(control: Control, lines: Iterable[str]) -> Iterator[str]:
    """Replay a transcript, and say where the host differs."""
    for exchange in exchanges(lines):
        found = answer(control, exchange)
        if found != exchange.expected:
            yield (
                f"line {exchange.line}: {' / '.join(exchange.sent)}\n"
                f"  expected {' / '.join(exchange.expected)}\n"
                f"  received {' / '.join(found)}"
            )
