"""The grammar of the data port: bytes become `CaptureStart`, `Payload` and `CaptureEnd`.

The whole theory: the server says ``OK`` once, then for each acquisition an XML header up to
an empty line, frames that say their own length, and an ``END`` line. Five states, each with
one reader; a reader returns True when it consumed something and False when it needs more::

    AWAIT_OK -> AWAIT_HEADER -> HEADER -> STREAM -> AWAIT_HEADER -> ...
                                          |    ^
                                          PAYLOAD

Samples are never held here: they go from the network straight to where the caller wants
them, and only the text around them passes through a small buffer of the protocol's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum, auto

from panda_ophyd.data.events import CaptureEnd, DataEvent, Payload
from panda_ophyd.data.header import parse_header
from panda_ophyd.errors import NEAR_BYTES, CommandError, FieldValueError, ProtocolError

PROCESSING = {"XML FRAMED RAW": "Raw", "XML FRAMED SCALED": "Scaled"}
"""Options this grammar is written for, and what the header then says in ``process``."""

MAX_LINE = 1024
"""Most we hold of an ``OK``, ``ERR`` or ``END`` line; the server's texts have under 100 bytes."""

MAX_HEADER = 64 * 1024
"""Most we hold of a header: 63 fields of about 250 bytes come to a quarter of this."""

MAX_FRAME = 16 * 1024 * 1024
"""Longest frame believed, in bytes: eight times the 2 MiB that server 4.1 sends at most."""

LOOK_AHEAD = 2 * MAX_HEADER
"""Bytes of the protocol's own buffer: whatever is not samples fits in half of it."""

_FRAME_PREFIX = 8
_MARK = 4
_HEADER_LINE = b"<header>\n"
_HEADER_END = b"\n\n"
_END_LINE = re.compile(r"END (\d{1,20}) (.+)", re.ASCII)
_NOWHERE = memoryview(bytearray())


class _State(Enum):
    AWAIT_OK = auto()
    AWAIT_HEADER = auto()
    HEADER = auto()
    STREAM = auto()
    PAYLOAD = auto()


class DataProtocol:
    """Bytes from the data port in, events out.

    Whoever has the connection asks `next_event`; on None it receives, in one call, into
    `buffers`, says how much that was to `received`, and asks again. The room for samples is
    the caller's, the same for all of this, and another one after a `Payload`. What precedes
    an offence comes first, however the bytes were cut.

    Args:
        options: one of `PROCESSING`.

    Attributes:
        error: what was wrong with the bytes, None while they fit the grammar; raised by
            every later call.
        frame_start: bytes of samples in this acquisition before its latest frame.

    Raises:
        FieldValueError: other options; their grammar is another one.

    Source: protocol.md 8.1 to 8.7.
    """

    def __init__(self, options: str = "XML FRAMED RAW") -> None:
        if options not in PROCESSING:
            raise FieldValueError("data port options", options, f"known are {tuple(PROCESSING)}")
        self.error: ProtocolError | CommandError | None = None
        self.frame_start = 0
        self._options = options
        self._state = _State.AWAIT_OK
        self._buffer = bytearray(LOOK_AHEAD)
        self._view = memoryview(self._buffer)
        self._at = self._stop = 0  # what is not consumed yet
        self._event: DataEvent | None = None
        self._direct = 0  # bytes that went past the buffer
        self._searched = 0
        self._sample_bytes: int | None = None
        self._frames = 0
        self._frame_bytes = 0
        self._left = 0  # of the frame
        self._readers: Mapping[_State, Callable[[memoryview], bool]] = {
            _State.AWAIT_OK: self._read_ok,
            _State.AWAIT_HEADER: self._read_header_line,
            _State.HEADER: self._read_header,
            _State.STREAM: self._read_stream,
            _State.PAYLOAD: self._read_payload,
        }

    @property
    def option_line(self) -> bytes:
        """What to send first, LF included."""
        return f"{self._options}\n".encode()

    def accepted(self) -> bool:
        """Return whether the server has accepted the options; reads no further than that.

        Raises:
            ProtocolError: this is no answer to options.
            CommandError: the server refused them.
        """
        if self._state is _State.AWAIT_OK:
            self._read(_NOWHERE)
        return self._state is not _State.AWAIT_OK

    def next_event(self, room: memoryview) -> DataEvent | None:
        """Return the oldest event, None if more has to be received for one.

        Args:
            room: for samples, writable bytes; not empty once an acquisition has begun.

        Raises:
            ProtocolError: the bytes fit no rule; nothing sound can follow.
            CommandError: the server refused the options.
        """
        if self._direct:
            size, self._direct = self._direct, 0
            return Payload(size)
        while self._event is None and self._read(room):
            pass
        event, self._event = self._event, None
        return event

    def buffers(self, room: memoryview) -> list[memoryview]:
        """Return where the next bytes belong, in order: samples in the room, what follows here.

        Args:
            room: as given to `next_event`, which has returned None.
        """
        if self._at == self._stop:
            self._at = self._stop = 0
        elif self._stop > LOOK_AHEAD // 2:
            # A copy, since the two may overlap
            waiting = bytes(self._view[self._at : self._stop])
            self._at, self._stop = 0, len(waiting)
            self._view[: self._stop] = waiting
        ahead = self._view[self._stop :]
        if self._state is not _State.PAYLOAD:
            return [ahead]
        return [room] if len(room) < self._left else [room[: self._left], ahead]

    def received(self, count: int) -> None:
        """Note that so many bytes are in the `buffers`."""
        if self._state is _State.PAYLOAD:
            self._direct = min(count, self._left)
            self._left -= self._direct
        self._stop += count - self._direct

    def receive_eof(self) -> None:
        """Take note that nothing more comes.

        Raises:
            ProtocolError: the server was anywhere but between two acquisitions; the message
                says how far it got.
        """
        if self._state is _State.AWAIT_HEADER and self._at == self._stop:
            return
        raise ProtocolError(f"connection ended {self._where()}")

    def _where(self) -> str:
        if self._state is _State.AWAIT_OK:
            return f"before {self._options!r} was accepted"
        if self._state not in (_State.STREAM, _State.PAYLOAD):
            return "inside the header of an acquisition"
        frames, whole, cut = self._frames, self.frame_start + self._frame_bytes, 0
        if self._left:
            frames, whole = frames - 1, self.frame_start
            cut = _FRAME_PREFIX + self._frame_bytes - self._left
        samples = f" with {whole} bytes"
        if self._sample_bytes:
            samples = f" with {whole // self._sample_bytes} samples"
        cut += self._stop - self._at
        more = f" and {cut} bytes of the next" if cut else ""
        return f"inside an acquisition, after {frames} frames{samples}{more}"

    def _read(self, room: memoryview) -> bool:
        """Take one step; return whether another may follow."""
        if self.error:
            raise self.error
        try:
            return self._readers[self._state](room)
        except (ProtocolError, CommandError) as error:
            self.error = error
            raise

    # Readers. Each looks at the buffer from self._at to self._stop.

    def _take_line(self, limit: int, what: str) -> bytes | None:
        end = self._buffer.find(b"\n", self._at, min(self._at + limit, self._stop))
        if end < 0:
            if self._stop - self._at >= limit:
                raise ProtocolError(f"{what} has more than {limit} bytes", self._near())
            return None
        line = bytes(self._view[self._at : end])
        self._at = end + 1
        return line

    def _next(self, count: int) -> bytes:
        return bytes(self._view[self._at : min(self._at + count, self._stop)])

    def _near(self) -> bytes:
        return self._next(NEAR_BYTES)

    def _read_ok(self, _room: memoryview) -> bool:
        line = self._take_line(MAX_LINE, "the answer to the data port options")
        if line is None:
            return False
        if line.startswith(b"ERR "):
            raise CommandError(self._options, line[_MARK:].decode("utf-8", "replace"))
        if line != b"OK":
            raise ProtocolError("the data port answered its options with neither OK nor ERR", line)
        self._state = _State.AWAIT_HEADER
        return True

    def _read_header_line(self, _room: memoryview) -> bool:
        first = self._next(len(_HEADER_LINE))
        if not _HEADER_LINE.startswith(first):
            raise ProtocolError("an acquisition does not begin with an XML header", self._near())
        if len(first) < len(_HEADER_LINE):
            return False
        self._at += len(_HEADER_LINE)
        self._searched = 0
        self._state = _State.HEADER
        return True

    def _read_header(self, _room: memoryview) -> bool:
        limit = min(self._at + MAX_HEADER, self._stop)
        end = self._buffer.find(_HEADER_END, self._at + self._searched, limit)
        if end < 0:
            have = self._stop - self._at
            if have >= MAX_HEADER:
                raise ProtocolError(f"a header has more than {MAX_HEADER} bytes", self._near())
            # The pair may be cut between its two bytes, so the last one is searched again.
            self._searched = max(have - 1, 0)
            return False
        start = parse_header(_HEADER_LINE + self._view[self._at : end])
        if start.process != PROCESSING[self._options] or start.format != "Framed":
            raise ProtocolError(
                f"asked for {self._options!r}, got {start.format} {start.process}", self._near()
            )
        self._at = end + len(_HEADER_END)
        self._sample_bytes = start.sample_bytes
        self._frames = self._frame_bytes = self.frame_start = 0
        self._state = _State.STREAM
        self._event = start
        return True

    def _read_stream(self, _room: memoryview) -> bool:
        mark = self._next(_MARK)
        if mark == b"BIN ":
            return self._read_prefix()
        if mark == b"END ":
            return self._read_end()
        if len(mark) < _MARK:
            return False
        raise ProtocolError("neither a frame nor END", self._near())

    def _read_prefix(self) -> bool:
        prefix = self._next(_FRAME_PREFIX)
        if len(prefix) < _FRAME_PREFIX:
            return False
        length = int.from_bytes(prefix[_MARK:], "little")
        if not _FRAME_PREFIX <= length <= MAX_FRAME:
            raise ProtocolError(
                f"a frame claims {length} bytes, not {_FRAME_PREFIX} to {MAX_FRAME}", self._near()
            )
        size = length - _FRAME_PREFIX
        if self._sample_bytes and size % self._sample_bytes:
            raise ProtocolError(
                f"{size} bytes in a frame are not whole samples of {self._sample_bytes} bytes",
                self._near(),
            )
        self._at += _FRAME_PREFIX
        self._frames += 1
        if size:
            self.frame_start += self._frame_bytes
            self._frame_bytes = self._left = size
            self._state = _State.PAYLOAD
        return True

    def _read_payload(self, room: memoryview) -> bool:
        """Take what has come with the text in front of it; the rest needs no buffer."""
        if not self._left:
            self._state = _State.STREAM
            return True
        size = min(self._left, self._stop - self._at, len(room))
        if size:
            room[:size] = self._view[self._at : self._at + size]
            self._at += size
            self._left -= size
            self._event = Payload(size)
        return size > 0

    def _read_end(self) -> bool:
        line = self._take_line(MAX_LINE, "an END line")
        if line is None:
            return False
        if not (match := _END_LINE.fullmatch(line.decode("utf-8", "replace"))):
            raise ProtocolError("an END line is not END, count, reason", line)
        self._event = CaptureEnd(int(match[1]), match[2])
        self._state = _State.AWAIT_HEADER
        return True
