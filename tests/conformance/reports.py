"""Lines of a report of changes.

Source: protocol.md 6.3.
"""

from __future__ import annotations

import re

from .wire import Control

_NAME = re.compile(r"[A-Za-z0-9_.*]+")


def name_of(line: str) -> str:
    match = _NAME.match(line)
    assert match, line
    rest = line[match.end() :]
    assert rest == "<" or rest.startswith("=") or rest == " (error)", line
    return match[0]


def names(lines: list[str]) -> list[str]:
    """Names of a report, without the attributes that the server polls."""
    return [name for line in lines if not (name := name_of(line)).endswith(".QUEUED_LINES")]


def reported(control: Control, group: str, name: str) -> list[str]:
    """What a report says of one name."""
    return [line for line in control.lines(f"*CHANGES{group}") if name_of(line) == name]
