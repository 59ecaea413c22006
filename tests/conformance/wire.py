"""A PandA's two ports as raw sockets: bytes out, lines in, and nothing of driver or simulator.

Source: protocol.md 1, 2.2, 8.1, 8.6.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

TIMEOUT = 30.0
Reply = Any
"""A line, or the elements of a multi-value reply without their ``!``: a test knows which."""


def to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def to_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a PandA listens."""

    host: str
    control: int = 8888
    data: int = 8889

    @classmethod
    def parse(cls, text: str) -> Address:
        host, *ports = text.split(":")
        return cls(host, *map(int, ports))

    def __str__(self) -> str:
        return f"{self.host}:{self.control}:{self.data}"


class HungUpError(ConnectionError):
    """The server closed the connection."""


class Connection:
    """A TCP connection that is read by lines or by count."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.at = 0
        self._served = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def local(self) -> str:
        host, port = self.socket.getsockname()
        return f"{host}:{port}"

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._settle()
        self.socket.close()

    def reset(self) -> None:
        """Close with RST."""
        self._settle()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _settle(self) -> None:
        """Let the server begin: 4.1 hangs if a client has gone before its session has begun."""
        if not self._served and self.socket.fileno() >= 0:
            self._served = True
            time.sleep(0.05)

    def arrives(self, seconds: float) -> bool:
        """Tell whether a byte or the end comes within a time."""
        return self.at < len(self.buffer) or bool(select.select([self.socket], [], [], seconds)[0])

    def fill(self) -> None:
        """Receive something, or raise `HungUpError` at the end."""
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError as error:
            raise HungUpError("reset by the server") from error
        if not data:
            raise HungUpError("closed by the server")
        self._served = True
        self.buffer = self.buffer[self.at :] + data
        self.at = 0

    def read(self, size: int) -> bytes:
        while len(self.buffer) - self.at < size:
            self.fill()
        self.at += size
        return self.buffer[self.at - size : self.at]

    def line(self) -> bytes:
        while (end := self.buffer.find(b"\n", self.at)) < 0:
            self.fill()
        line = self.buffer[self.at : end]
        self.at = end + 1
        return line

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        with contextlib.suppress(HungUpError):
            while True:
                self.fill()
        return self.read(len(self.buffer) - self.at)


class Control(Connection):
    """A control connection."""

    def __init__(self, address: Address) -> None:
        super().__init__(address.host, address.control)

    def put(self, *lines: str) -> None:
        """Send lines, all in one segment if they fit."""
        self.send(to_bytes("".join(f"{line}\n" for line in lines)))

    def reply(self) -> Reply:
        first = to_text(self.line())
        if not first.startswith(("!", ".")):
            assert re.match(r"OK$|OK =|ERR .", first, re.DOTALL), f"no reply: {first!r}"
            return first
        lines: list[str] = []
        while first != ".":
            assert first[:1] == "!", f"no element of a reply: {first!r}"
            lines.append(first[1:])
            first = to_text(self.line())
        return lines

    def ask(self, *lines: str) -> Reply:
        """Send the lines of one command, and return its reply."""
        self.put(*lines)
        return self.reply()

    def ask_all(self, commands: Iterable[str]) -> list[Reply]:
        """Send commands of one line each at once, and return their replies."""
        commands = list(commands)
        self.put(*commands)
        return [self.reply() for _ in commands]

    def value(self, target: str) -> str:
        reply = self.ask(f"{target}?")
        assert isinstance(reply, str), f"{target}? gave {len(reply)} lines"
        assert reply.startswith("OK ="), f"{target}? gave {reply!r}"
        return reply.removeprefix("OK =")

    def lines(self, target: str) -> list[str]:
        reply = self.ask(f"{target}?")
        assert isinstance(reply, list), f"{target}? gave {reply!r}"
        return reply

    def ok(self, *lines: str) -> None:
        reply = self.ask(*lines)
        assert reply == "OK", f"{lines[0]!r} gave {reply!r}"

    def error(self, *lines: str) -> str:
        """Return the text of the error that a command gives."""
        reply = self.ask(*lines)
        assert isinstance(reply, str), f"{lines[0]!r} gave {len(reply)} lines"
        assert reply.startswith("ERR "), f"{lines[0]!r} gave {reply!r}"
        return reply.removeprefix("ERR ")

    def table(self, target: str, modifiers: str, *lines: str) -> Reply:
        """Write a table: header, body and blank line in one piece."""
        return self.ask(f"{target}<{modifiers}", *lines, "")


@dataclass(frozen=True, slots=True)
class Column:
    """A column as a header announces it; words of bits have no scaling."""

    name: str
    type: str
    capture: str
    scale: str
    offset: str
    units: str


@dataclass(frozen=True, slots=True)
class Header:
    """A header of either form, with the bytes as they came."""

    raw: bytes
    attributes: dict[str, str]
    columns: tuple[Column, ...]

    @property
    def untimed(self) -> bytes:
        """The bytes with all times made the same."""
        untimed = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", b"TIME", self.raw)
        return re.sub(rb"(hw_time_offset_ns\D+)-?\d+", rb"\1N", untimed)


_TEXT_COLUMN = re.compile(
    r" (\S+) (\S+) (\S+)(?: scale: (\S+) offset: (\S+) units: (.*))?", re.DOTALL
)
_XML_COLUMN = re.compile(
    r'<field name="([^"]*)" type="([^"]*)" capture="([^"]*)"'
    r'(?: scale="([^"]*)" offset="([^"]*)" units="([^"]*)")? />',
    re.DOTALL,
)
_XML_DATA = re.compile(r'<data((?: \w+="[^"]*")+) />')


class Data(Connection):
    """A data connection."""

    def __init__(self, address: Address, options: str | None = None) -> None:
        """Connect; send options, if any, and do not wait for the answer."""
        super().__init__(address.host, address.data)
        if options is not None:
            self.send(to_bytes(options) + b"\n")

    def header(self) -> Header:
        first = self.line()
        lines = [first]
        while (line := self.line()) != b"":
            lines.append(line)
        raw = b"".join(line + b"\n" for line in lines) + b"\n"
        text = [to_text(line) for line in lines]
        return _xml(raw, text) if text[0] == "<header>" else _plain(raw, text)

    def frames(self) -> tuple[list[bytes], str]:
        """Return the payloads of all frames, and the end line."""
        frames: list[bytes] = []
        while (mark := self.read(4)) == b"BIN ":
            (length,) = struct.unpack("<I", self.read(4))
            assert length >= 8
            frames.append(self.read(length - 8))
        assert mark == b"END ", mark
        return frames, "END " + to_text(self.line())

    def text(self) -> tuple[list[bytes], str]:
        """Return the lines of ASCII or BASE64 data, and the end line."""
        lines: list[bytes] = []
        while not (line := self.line()).startswith(b"END "):
            assert line[:1] == b" ", line
            lines.append(line)
        return lines, to_text(line)


def _plain(raw: bytes, lines: list[str]) -> Header:
    at = lines.index("fields:")
    attributes: dict[str, str] = {}
    for line in lines[:at]:
        key, _, value = line.partition(": ")
        attributes[key] = value
    columns: list[Column] = []
    for line in lines[at + 1 :]:
        match = _TEXT_COLUMN.fullmatch(line)
        assert match, line
        columns.append(Column(*match.groups(default="")))
    return Header(raw, attributes, tuple(columns))


def _xml(raw: bytes, lines: list[str]) -> Header:
    assert lines[0] == "<header>"
    data = _XML_DATA.fullmatch(lines[1])
    assert data, lines[1]
    assert lines[2] == "<fields>"
    assert lines[-2:] == ["</fields>", "</header>"]
    columns: list[Column] = []
    for line in lines[3:-2]:
        match = _XML_COLUMN.fullmatch(line)
        assert match, line
        columns.append(Column(*match.groups(default="")))
    attributes = dict(re.findall(r'(\w+)="([^"]*)"', data[1]))
    return Header(raw, attributes, tuple(columns))
