"""What can be wrong with a command or with a box file."""

from __future__ import annotations


class CommandError(Exception):
    """A command is refused; the message is what a client reads after ``ERR``.

    Source: protocol.md 3.3.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(Exception):
    """A text that a box is made of is malformed; one line: where, reason.

    Source: protocol.md 10.1.
    """

    def __init__(self, title: str, reason: str, *, line: int = 0, column: int = 0) -> None:
        """Say what is wrong.

        Args:
            title: of the text, mostly the name of a file.
            reason: what is wrong with it.
            line: from 1; 0 is the text as a whole.
            column: from 1; 0 is the line as a whole.
        """
        where = [
            title,
            *([f"line {line}"] if line else []),
            *([f"column {column}"] if column else []),
        ]
        super().__init__(f"{', '.join(where)}: {reason}")
        self.title = title
        self.line = line
        self.column = column
        self.reason = reason
