"""A small blocking client of the control port: it asks, and never assigns.

Source: protocol.md 1.2, 1.3, 2.2.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeAlias

from panda_simulator.record.errors import RecordError

CONTROL_PORT = 8888
TIMEOUT = 10.0
_CHUNK = 100
"""Commands that are sent at once: their replies fit the buffers on the way."""

_LINE_LIMIT = 1 << 16
_PORTS = 1 << 16

Reply: TypeAlias = tuple[str, ...]
"""The lines of a reply as they came, one character for each byte."""


class Answers(Protocol):
    """Something that answers queries."""

    title: str
    """What errors call it."""

    def ask(self, queries: Sequence[str]) -> list[Reply | None]:
        """Return a reply to each query, None if there is none.

        Raises:
            RecordError: there cannot be any more.
        """
        ...


def parse_address(text: str) -> tuple[str, int]:
    """Read ``HOST`` or ``HOST:CONTROL``; a data port behind them is not needed.

    Raises:
        ValueError: it is not of that form.
    """
    host, *ports = text.split(":")
    numbers = [int(port) for port in ports if port.isascii() and port.isdecimal()]
    wrong = len(numbers) != len(ports) or any(not 0 < number < _PORTS for number in numbers)
    if not host or wrong or len(ports) > 2:  # noqa: PLR2004 (control and data)
        raise ValueError(f"address {text!r} is not HOST or HOST:CONTROL")
    return host, numbers[0] if numbers else CONTROL_PORT


class Link:
    """One connection to a control port."""

    def __init__(
        self,
        host: str,
        port: int = CONTROL_PORT,
        *,
        timeout: float = TIMEOUT,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Connect.

        Args:
            host: name or address.
            port: of the control port.
            timeout: seconds to wait for anything.
            progress: called with the number of answers so far.

        Raises:
            RecordError: there is no connection to be had.
        """
        self.title = f"{host}:{port}"
        self._timeout = timeout
        self._progress = progress
        self._answers = 0
        with self._explained("connect"):
            self._socket = socket.create_connection((host, port), timeout)
        self._buffer = b""

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()

    def ask(self, queries: Sequence[str]) -> list[Reply | None]:
        """Ask, many at once (Answers.ask)."""
        return [reply for chunk in _chunks(queries) for reply in self._exchange(chunk)]

    def _exchange(self, queries: Sequence[str]) -> Iterator[Reply]:
        with self._explained(f"ask {queries[0]}"):
            self._socket.sendall("".join(f"{query}\n" for query in queries).encode("latin-1"))
        for query in queries:
            reply = self._reply(query)
            self._answers += 1
            self._progress(self._answers)
            yield reply

    def _reply(self, query: str) -> Reply:
        line = self._line(query)
        if line == "OK" or line.startswith(("OK =", "ERR ")):
            return (line,)
        lines = [line]
        while line.startswith("!"):
            line = self._line(query)
            lines.append(line)
        if line != ".":
            shown = line if len(line) <= 60 else f"{line[:60]}..."  # noqa: PLR2004 (readable)
            raise RecordError(f"{self.title}: {query} was answered by {shown!r}: is it a PandA?")
        return tuple(lines)

    def _line(self, query: str) -> str:
        while b"\n" not in self._buffer:
            with self._explained(query):
                data = self._socket.recv(1 << 16)
            if not data:
                raise RecordError(f"{self.title}: {query} has no answer: the connection was closed")
            self._buffer += data
            if len(self._buffer) > _LINE_LIMIT and b"\n" not in self._buffer:
                raise RecordError(f"{self.title}: {query} was answered without end: is it a PandA?")
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode("latin-1")

    @contextmanager
    def _explained(self, what: str) -> Generator[None]:
        try:
            yield
        except TimeoutError as error:
            raise RecordError(
                f"{self.title}: {what}: nothing within {self._timeout:g} s"
            ) from error
        except OSError as error:
            raise RecordError(f"{self.title}: {what}: {error.strerror or error}") from error


def _chunks(queries: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(queries), _CHUNK):
        yield queries[start : start + _CHUNK]
