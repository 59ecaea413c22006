"""What can be wrong with a command or with a box file."""

from __future__ import annotations

from pathlib import Path


class CommandError(Exception):
    """A command is refused; the message is what a client reads after ``ERR``.

    Source: protocol.md 3.3.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(Exception):
    """A box file is malformed; the text is one line: file, line, reason.

    Source: protocol.md 10.1.
    """

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason
