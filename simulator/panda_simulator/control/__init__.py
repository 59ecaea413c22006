"""The control port without its sockets: bytes of commands in, bytes of replies out.

Source: protocol.md 1.2 to 1.4, 2, 5.2.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Protocol

from panda_simulator.box import CommandError, Cursors
from panda_simulator.box.field import TableWriter
from panda_simulator.box.text import Cursor
from panda_simulator.control.entity import assign_entity, open_entity, query_entity
from panda_simulator.control.system import (
    Capture,
    Facilities,
    Session,
    assign_system,
    open_system,
    query_system,
)

__all__ = ["LINE_LIMIT", "Capture", "ControlConnection", "Facilities", "ReplyTap"]

LINE_LIMIT = 1022
BUFFER_SIZE = 16384
_TOGETHER = 1024
"""Lines of a long reply that are written at once."""

_SEPARATOR = re.compile(r"[?=<]")
_LOG = logging.getLogger(__name__)


class ReplyTap(Protocol):
    """What may meddle with the commands of one connection."""

    busy: bool
    """Whether there is anything to meddle with."""

    def refusal(self, command: str) -> str | None:
        """Return the error with which a command is refused undone, None to do it."""
        ...

    def reply(self, command: str, text: str) -> str:
        """Return what is sent instead of the reply to a command, line ends included."""
        ...


class _Table:
    """A table command whose body is being read: the first error is its reply."""

    def __init__(self) -> None:
        self.writer: TableWriter | None = None
        self.error: CommandError | None = None
        self._sound = True

    def line(self, text: str) -> None:
        if self.writer is None or not self._sound:
            return
        try:
            self.writer.line(text)
        except CommandError as error:
            self._fail(error)

    def close(self, *, complete: bool) -> None:
        if self.writer is None:
            return
        try:
            self.writer.close(complete=complete and self._sound)
        except CommandError as error:
            self._fail(error)

    def _fail(self, error: CommandError) -> None:
        self.error = self.error or error
        self._sound = False


class ControlConnection:
    """One client's connection: sequential, one reply to each command."""

    def __init__(self, facilities: Facilities, tap: ReplyTap | None = None) -> None:
        self.closed = False
        """Whether the client broke the limits: send what was returned, and hang up."""
        self._facilities = facilities
        self._tap = tap
        self._asked = ""
        self._session = Session(facilities, Cursors())
        self._partial = b""
        self._replies = bytearray()
        self._long: Iterator[str] = iter(())
        """Lines of a reply that are still to be written."""
        self._table: _Table | None = None

    def receive_data(self, data: bytes) -> bytes:
        """Take bytes from the client, and return those that it is due now."""
        return b"".join(self.replies(data))

    def replies(self, data: bytes) -> Iterator[bytes]:
        """Take bytes from the client, and yield those that it is due, line by line.

        Most lines yield nothing: replies leave when all lines are done, or fill the
        buffer. Between two lines, and within long replies, others may have their turn; the
        next bytes are to be given when all of these are taken.
        """
        for start in range(0, len(data), BUFFER_SIZE):
            if not self.closed:
                yield from self._fill(data[start : start + BUFFER_SIZE])

    def receive_eof(self) -> None:
        """Take note that nothing more comes: a table without its end is dropped."""
        if self._table is not None:
            self._table.close(complete=False)
            self._table = None
        self._partial = b""
        self.closed = True

    def _fill(self, data: bytes) -> Iterator[bytes]:
        *lines, rest = (self._partial + data).split(b"\n")
        for line in lines:
            if len(line) > LINE_LIMIT:
                self._break()
                return
            self._line(line)
            while self._write_on():
                yield self._let_go(len(self._replies) // BUFFER_SIZE * BUFFER_SIZE)
            yield self._let_go(len(self._replies) // BUFFER_SIZE * BUFFER_SIZE)
        self._partial = rest
        if len(rest) > LINE_LIMIT:
            self._break()
        elif self._table is None:
            # replies wait for the end of a table body, but never for a command line
            yield self._let_go(len(self._replies))

    def _let_go(self, count: int) -> bytes:
        if not count:
            return b""
        due = bytes(self._replies[:count])
        del self._replies[:count]
        return due

    def _break(self) -> None:
        self._replies.clear()
        self.receive_eof()

    def _line(self, raw: bytes) -> None:
        line = raw.partition(b"\0")[0].decode("latin-1")
        if self._table is None:
            self._command(line)
        elif line:
            self._table.line(line)
        else:
            table, self._table = self._table, None
            self._facilities.box.hardware.advance()
            table.close(complete=True)
            self._status(table.error)

    def _command(self, line: str) -> None:
        if self._facilities.verbose:
            _LOG.info("< %s", line)
        self._asked = line
        refusal = self._tap.refusal(line) if self._tap and self._tap.busy else None
        self._facilities.box.hardware.advance()
        system = line.startswith("*")
        body = line[1:] if system else line
        separator = _SEPARATOR.search(body)
        if separator is None:
            self._status(CommandError("Unknown command"))
            return
        if refusal is not None:
            self._refuse(refusal, table=separator[0] == "<")
            return
        name, tail = body[: separator.start()], body[separator.end() :]
        if separator[0] == "<":
            self._open(name, tail, system=system)
            return
        try:
            if separator[0] == "?":
                self._query(name, tail, system=system)
            else:
                self._assign(name, tail, system=system)
        except CommandError as error:
            self._status(error)

    def _refuse(self, refusal: str, *, table: bool) -> None:
        error = CommandError(refusal)
        if table:
            self._table = _Table()
            self._table.error = error
        else:
            self._status(error)

    def _query(self, name: str, tail: str, *, system: bool) -> None:
        if tail:
            raise CommandError("Unexpected text after command")
        if system:
            reading = query_system(self._session, name)
        else:
            reading = query_entity(self._facilities.box, name)
        if isinstance(reading, str):
            self._reply(f"OK ={reading}\n")
        else:
            self._long = chain((f"!{line}\n" for line in reading), (".\n",))
            if self._tap and self._tap.busy:
                self._reply("".join(self._long))

    def _write_on(self) -> bool:
        """Write some lines of a long reply; return whether there are more."""
        lines = [*islice(self._long, _TOGETHER)]
        self._replies += "".join(lines).encode("latin-1")
        return len(lines) == _TOGETHER

    def _assign(self, name: str, value: str, *, system: bool) -> None:
        if system:
            assign_system(self._session, name, value)
        else:
            assign_entity(self._facilities.box, name, value)
        self._status(None)

    def _open(self, name: str, modifiers: str, *, system: bool) -> None:
        self._table = _Table()
        cursor = Cursor(modifiers)
        features = self._facilities.box.wiring.features
        streaming = cursor.take("<")
        last = not streaming or (features.streamed_tables and cursor.take("|"))
        binary = cursor.take("B")
        try:
            cursor.end()
            if system:
                self._table.writer = open_system(
                    self._session, name, streaming=streaming, binary=binary
                )
            else:
                self._table.writer = open_entity(
                    self._facilities.box, name, streaming=streaming, last=last, binary=binary
                )
        except CommandError as error:
            self._table.error = error

    def _status(self, error: CommandError | None) -> None:
        self._reply("OK\n" if error is None else f"ERR {error.message}\n")

    def _reply(self, text: str) -> None:
        if self._tap and self._tap.busy:
            text = self._tap.reply(self._asked, text)
        self._replies += text.encode("latin-1")
