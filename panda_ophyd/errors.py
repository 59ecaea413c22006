"""Every exception of the driver, sorted by whose fault it is.

::

    PandaError
    ├── PandaConnectionError (ConnectionError)  network; __cause__ is the first cause
    ├── PandaTimeoutError (TimeoutError)        nobody answered in time; the connection lives on
    ├── ProtocolError                           peer software; fatal for the connection
    ├── CommandError                            server: it said ERR
    ├── FieldValueError (ValueError)            caller: a value does not fit the field
    ├── CaptureError                            hardware: an acquisition did not end well
    └── WriterError (OSError)                   disk: the file would not take it

A message is one line: what failed, on what, why, and what the user can do.
"""

from __future__ import annotations

from pathlib import Path

NEAR_BYTES = 64
"""How many of the offending bytes a `ProtocolError` shows."""


class PandaError(Exception):
    """Anything this driver raises on purpose."""


class PandaConnectionError(PandaError, ConnectionError):
    """The connection could not be made or is gone."""


class PandaTimeoutError(PandaError, TimeoutError):
    """The peer did not answer in time; the connection lives on."""


class ProtocolError(PandaError):
    """The peer's bytes fit no rule of the protocol; the connection is dead.

    Attributes:
        near: up to 64 of the bytes around the offence.
    """

    def __init__(self, message: str, near: bytes = b"") -> None:
        self.near = near[:NEAR_BYTES]
        super().__init__(f"{message}, near {self.near!r}" if near else message)


class CommandError(PandaError):
    """The server answered ``ERR``.

    Attributes:
        request: what was asked, as its first line on the wire.
        message: the server's words after ``ERR ``.
    """

    def __init__(self, request: str, message: str) -> None:
        self.request = request
        self.message = message
        super().__init__(f"{request} refused by the PandA: {message}")


class FieldValueError(PandaError, ValueError):
    """A value does not fit the field it was meant for.

    Attributes:
        field: the target on the wire, ``PULSE1.DELAY``.
        value: what was given.
    """

    def __init__(self, field: str, value: object, reason: str) -> None:
        self.field = field
        self.value = value
        super().__init__(f"{field} cannot be {value!r}: {reason}")


class CaptureError(PandaError):
    """An acquisition did not end well; the rows before the doubt are kept.

    Attributes:
        reason: the END reason, or why there was no END.
        samples_sent: count in the END line, None if there was no END.
        samples_written: rows flushed to the file.
    """

    def __init__(
        self, message: str, *, reason: str, samples_sent: int | None, samples_written: int
    ) -> None:
        self.reason = reason
        self.samples_sent = samples_sent
        self.samples_written = samples_written
        super().__init__(message)


class WriterError(PandaError, OSError):
    """The file would not take it.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = Path(path)
        super().__init__(f"{self.path}: {reason}")
