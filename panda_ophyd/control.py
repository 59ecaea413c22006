"""The grammar of the control port: a `Request` becomes bytes, bytes become `Reply` values.

The whole theory: a request is one line (or a header, body lines and one blank line), and
every request gets exactly one reply, in order. So the first byte of a line tells the kind of
reply, and nothing here needs to know which request it answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from panda_ophyd.errors import FieldValueError, ProtocolError

MAX_LINE = 1022
"""Bytes the server takes in one line without its LF; one more and it hangs up, mute."""

MAX_REPLY_LINE = 64 * 1024
"""Most we hold of one unfinished line: the server's values have 255 bytes, its texts some more."""

MAX_REPLY_BYTES = 64 * 1024 * 1024
"""Most we hold of one unfinished reply: five times the largest table in decimal."""

TABLE_MODIFIERS = ("", "B", "<", "<B", "<|", "<|B")
"""What may follow the first ``<``: ``<`` streams, ``|`` says the last segment, ``B`` base64."""

_SEPARATOR = re.compile(r"[?=<]")
_FORM = re.compile(r"([^?=<]*)([?=<])(.*)", re.DOTALL)
_UNSENDABLE = re.compile(r"[\n\r\0]")
_UNSENDABLE_NAMES = {"\n": "a line feed", "\r": "a carriage return", "\0": "a NUL"}


@dataclass(frozen=True, slots=True)
class Query:
    """Ask for a value: ``TARGET?``."""

    target: str


@dataclass(frozen=True, slots=True)
class Assign:
    """Set a value: ``TARGET=VALUE``; actions and commands take an empty value."""

    target: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class AssignTable:
    """Write a table or a multi-line text: ``TARGET<MODIFIERS``, the lines, a blank line.

    Attributes:
        target: the table on the wire, ``SEQ1.TABLE``.
        lines: the body without its closing blank line.
        modifiers: one of `TABLE_MODIFIERS`.
    """

    target: str
    lines: tuple[str, ...]
    modifiers: str = ""


Request = Query | Assign | AssignTable


@dataclass(slots=True)
class Ok:
    """Success; `value` is None for ``OK`` and the text after ``OK =`` otherwise."""

    value: str | None


@dataclass(slots=True)
class Lines:
    """The elements of a multi-line answer without their ``!``; may be empty."""

    lines: tuple[str, ...]


@dataclass(slots=True)
class Err:
    """The server refused; `message` is its words after ``ERR ``."""

    message: str


# Replies are not frozen: a frozen dataclass costs three times as much to make, and a box
# answers six thousand times while it is being connected to.
Reply = Ok | Lines | Err


def first_line(request: Request) -> str:
    """Return the first line that the request puts on the wire, for messages about it."""
    if isinstance(request, Query):
        return f"{request.target}?"
    if isinstance(request, Assign):
        return f"{request.target}={request.value}"
    return f"{request.target}<{request.modifiers}"


def encode(request: Request) -> bytes:
    """Return the bytes of a request, LF included.

    Text is UTF-8; bytes that were not UTF-8 when they were read go back as they came
    (surrogateescape).

    Raises:
        FieldValueError: the server would take the request for another one, or hang up:
            LF, CR or NUL inside a line, a line of more than `MAX_LINE` bytes, a blank line
            in a table body, unknown modifiers, or one of ``?=<`` in the target.

    Source: protocol.md 1.2, 2.1 and 5.2.
    """
    if _SEPARATOR.search(request.target):
        raise FieldValueError(
            request.target, request.target, "a target cannot contain '?', '=' or '<'"
        )
    header = _encode_line(request.target, first_line(request))
    if not isinstance(request, AssignTable):
        return header
    if request.modifiers not in TABLE_MODIFIERS:
        raise FieldValueError(
            request.target, request.modifiers, f"table modifiers are one of {TABLE_MODIFIERS}"
        )
    return header + _encode_body(request) + b"\n"


def _encode_body(request: AssignTable) -> bytes:
    body = "\n".join(request.lines)
    # A table has up to 20,000 lines, so the lines are looked at together where that is sound.
    if (
        body.isascii()
        and not _UNSENDABLE.search(body.replace("\n", ""))
        and body.count("\n") == max(len(request.lines) - 1, 0)
        and "" not in request.lines
        and max(map(len, request.lines), default=0) <= MAX_LINE
    ):
        return f"{body}\n".encode() if request.lines else b""
    encoded: list[bytes] = []
    for line in request.lines:
        if not line:
            raise FieldValueError(request.target, line, "a blank line would end the table early")
        encoded.append(_encode_line(request.target, line))
    return b"".join(encoded)


def _encode_line(target: str, line: str) -> bytes:
    if found := _UNSENDABLE.search(line):
        reason = f"a line on the wire cannot contain {_UNSENDABLE_NAMES[found.group()]}"
        raise FieldValueError(target, line, reason)
    try:
        encoded = line.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise FieldValueError(target, line, "it cannot be written as UTF-8") from error
    if len(encoded) > MAX_LINE:
        reason = f"its line has {len(encoded)} bytes and the server takes {MAX_LINE}"
        raise FieldValueError(target, f"{line[:32]}...", reason)
    return encoded + b"\n"


def parse_request(lines: Sequence[str]) -> Request:
    """Read one request from its lines as they go on the wire, without LFs.

    Args:
        lines: one line, or a table header, its body and a closing ``""``.

    Raises:
        FieldValueError: these lines are not exactly one request, so that its replies and
            the next ones could not be told apart.

    Source: protocol.md 2.1.
    """
    if not lines or not (form := _FORM.fullmatch(lines[0])):
        raise FieldValueError("a request", list(lines[:1]), "it has none of '?', '=' and '<'")
    target, separator, tail = form.groups()
    if separator == "<":
        if len(lines) < 2 or lines[-1]:  # noqa: PLR2004, a header and a blank line
            raise FieldValueError(target, lines[-1], "a table ends with a blank line")
        return AssignTable(target, tuple(lines[1:-1]), tail)
    if len(lines) > 1:
        raise FieldValueError(target, lines[1], "one request here has one line")
    if separator == "=":
        return Assign(target, tail)
    if tail:
        raise FieldValueError(target, tail, "nothing can follow the '?' of a query")
    return Query(target)


class ReplyParser:
    """Bytes from the control port in, replies out.

    What precedes an offence is returned first, however the bytes were cut; the offence
    itself is then in `error` and raised by every later call.

    Attributes:
        error: what was wrong with the bytes, None while they fit the grammar.

    Source: protocol.md 2.2.
    """

    def __init__(self) -> None:
        self.error: ProtocolError | None = None
        self._tail = b""
        self._lines: list[str] | None = None
        self._held = 0

    def receive_data(self, data: bytes) -> list[Reply]:
        """Return the replies that these bytes complete, oldest first.

        Text is decoded as UTF-8 with surrogateescape: echoes, cut units and stored bytes
        may be anything.

        Raises:
            ProtocolError: the bytes fit no reply; nothing sound can follow.
        """
        if self.error:
            raise self.error
        replies: list[Reply] = []
        try:
            self._parse(data, replies)
        except ProtocolError as error:
            self.error = error
            if not replies:
                raise
        return replies

    def receive_eof(self) -> None:
        """Take note that nothing more comes.

        Raises:
            ProtocolError: a reply was under way.
        """
        if self._tail or self._lines is not None:
            where = f"after {len(self._lines)} lines of it" if self._lines else "in its first line"
            raise ProtocolError(f"connection ended inside a reply, {where}", self._tail)

    def _parse(self, data: bytes, replies: list[Reply]) -> None:
        whole, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._tail += data
        else:
            # One decode and one split for all lines: the connect time is spent here.
            held, self._tail = self._tail + whole, rest
            start = _long_line(held) if len(held) > MAX_REPLY_LINE else None
            if start is not None:  # refused below, as if it had come in pieces
                held, self._tail = held[: max(start - 1, 0)], held[start:]
            if start != 0:
                text = held.decode("utf-8", "surrogateescape")
                self._parse_lines(text.split("\n"), replies)
        self._held = 0 if self._lines is None else self._held + len(data)
        if len(self._tail) > MAX_REPLY_LINE:
            raise ProtocolError(f"a line of a reply exceeds {MAX_REPLY_LINE} bytes", self._tail)
        if self._held > MAX_REPLY_BYTES:
            raise ProtocolError(f"a reply exceeds {MAX_REPLY_BYTES} bytes", data)

    def _parse_lines(self, lines: list[str], replies: list[Reply]) -> None:
        collected = self._lines
        for line in lines:
            if line[:1] == "!":
                if collected is None:
                    collected = []
                collected.append(line[1:])
            elif line == ".":
                replies.append(Lines(tuple(collected or ())))
                collected = None
            elif collected is not None:
                raise _offence("a multi-line reply", line)
            elif line[:4] == "OK =":
                replies.append(Ok(line[4:]))
            elif line == "OK":
                replies.append(Ok(None))
            elif line[:4] == "ERR ":
                replies.append(Err(line[4:]))
            else:
                raise _offence("a reply", line)
        self._lines = collected


def _long_line(data: bytes) -> int | None:
    """Return where the first line begins that is too long, None if none is."""
    start = 0
    for line in data.split(b"\n"):
        if len(line) > MAX_REPLY_LINE:
            return start
        start += len(line) + 1
    return None


def _offence(expected: str, line: str) -> ProtocolError:
    return ProtocolError(
        f"this line cannot be part of {expected} from a PandA",
        line.encode("utf-8", "surrogateescape") or b"(empty line)",
    )
