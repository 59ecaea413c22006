"""The grammar of the data port: bytes become `CaptureStart`, `Frame` and `CaptureEnd`.

The whole theory: the server says ``OK`` once, then for each acquisition an XML header up to
an empty line, frames that say their own length, and an ``END`` line. Four states, each with
one reader; a reader returns True when it consumed something and False when it needs more::

    AWAIT_OK -> AWAIT_HEADER -> HEADER -> STREAM -> AWAIT_HEADER -> ...
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from panda_ophyd.errors import NEAR_BYTES, CommandError, FieldValueError, ProtocolError

PROCESSING = {"XML FRAMED RAW": "Raw", "XML FRAMED SCALED": "Scaled"}
"""Options this grammar is written for, and what the header then says in ``process``."""

MAX_LINE = 1024
"""Most we hold of an ``OK``, ``ERR`` or ``END`` line; the server's texts have under 100 bytes."""

MAX_HEADER = 64 * 1024
"""Most we hold of a header: 63 fields of about 250 bytes come to a quarter of this."""

MAX_FRAME = 16 * 1024 * 1024
"""Longest frame believed, in bytes: eight times the 2 MiB that server 4.1 sends at most."""

_FRAME_PREFIX = 8
_MARK = 4
_HEADER_LINE = b"<header>\n"
_HEADER_END = b"\n\n"
_END_LINE = re.compile(r"END (\d{1,20}) (.+)", re.ASCII)

# What XML 1.0 forbids, and a unit text may nevertheless hold: it must not cost the capture.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

_UNSET_UNITS = "(null)"


@dataclass(frozen=True, slots=True)
class CapturedField:
    """One column of the samples.

    Attributes:
        name: the field on the wire, ``COUNTER1.OUT``.
        type: ``int32``, ``uint32``, ``int64``, ``int96`` or ``double``.
        capture: ``Value``, ``Diff``, ``Sum``, ``Min``, ``Max``, ``Mean`` or ``StdDev``.
        scale: in `units` per count.
        offset: in `units`.
        units: text, "" if none were set.
        scaled: False for bits, which have neither scale nor units.
    """

    name: str
    type: str
    capture: str
    scale: float
    offset: float
    units: str
    scaled: bool


@dataclass(frozen=True, slots=True)
class CaptureStart:
    """An acquisition begins.

    Attributes:
        fields: the columns, in the order of the bytes of a sample.
        sample_bytes: bytes of one sample, None if the header does not say.
        missed: samples this connection came too late for.
        process: ``Raw`` or ``Scaled``.
        format: ``Framed``.
        arm_time: UTC as the server writes it, None from servers before 3.0.
        start_time: the same.
        hw_time_offset_ns: system time minus hardware time in ns, None without such a clock.
    """

    fields: tuple[CapturedField, ...]
    sample_bytes: int | None
    missed: int
    process: str
    format: str
    arm_time: str | None
    start_time: str | None
    hw_time_offset_ns: int | None


@dataclass(frozen=True, slots=True)
class Frame:
    """Samples, packed and little-endian; a whole number of them, may be none."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class CaptureEnd:
    """An acquisition is over.

    Attributes:
        samples: how many the server says it sent us.
        reason: ``Ok``, ``Disarmed``, ``Data overrun`` and others (protocol.md 8.7).
    """

    samples: int
    reason: str


DataEvent = CaptureStart | Frame | CaptureEnd


class _State(Enum):
    AWAIT_OK = auto()
    AWAIT_HEADER = auto()
    HEADER = auto()
    STREAM = auto()


class DataProtocol:
    """Bytes from the data port in, events out.

    What precedes an offence is returned first, however the bytes were cut; the offence
    itself is then in `error` and raised by every later call.

    Args:
        options: one of `PROCESSING`.

    Attributes:
        error: what was wrong with the bytes, None while they fit the grammar.

    Raises:
        FieldValueError: other options; their grammar is another one.

    Source: protocol.md 8.1 to 8.7.
    """

    def __init__(self, options: str = "XML FRAMED RAW") -> None:
        if options not in PROCESSING:
            raise FieldValueError("data port options", options, f"known are {tuple(PROCESSING)}")
        self.error: ProtocolError | CommandError | None = None
        self._options = options
        self._state = _State.AWAIT_OK
        self._buffer = bytearray()
        self._at = 0
        self._events: list[DataEvent] = []
        self._searched = 0
        self._sample_bytes: int | None = None
        self._frames = 0
        self._payload_bytes = 0
        self._readers: Mapping[_State, Callable[[], bool]] = {
            _State.AWAIT_OK: self._read_ok,
            _State.AWAIT_HEADER: self._read_header_line,
            _State.HEADER: self._read_header,
            _State.STREAM: self._read_stream,
        }

    @property
    def option_line(self) -> bytes:
        """What to send first, LF included."""
        return f"{self._options}\n".encode()

    @property
    def ready(self) -> bool:
        """Whether the server has accepted the options."""
        return self._state is not _State.AWAIT_OK

    def receive_data(self, data: bytes | bytearray | memoryview) -> list[DataEvent]:
        """Return the events that these bytes complete, oldest first.

        Raises:
            ProtocolError: the bytes fit no rule; nothing sound can follow.
            CommandError: the server refused the options.
        """
        if self.error:
            raise self.error
        self._buffer += data
        events = self._events = []
        try:
            while self._readers[self._state]():
                pass
        except (ProtocolError, CommandError) as error:
            self.error = error
            if not events:
                raise
        # Once per call: a chunk may hold thousands of small frames.
        del self._buffer[: self._at]
        self._at = 0
        return events

    def receive_eof(self) -> None:
        """Take note that nothing more comes.

        Raises:
            ProtocolError: the server was anywhere but between two acquisitions; the message
                says how far it got.
        """
        if self._state is _State.AWAIT_HEADER and not self._buffer:
            return
        raise ProtocolError(f"connection ended {self._where()}")

    def _where(self) -> str:
        if self._state is _State.AWAIT_OK:
            return f"before {self._options!r} was accepted"
        if self._state is not _State.STREAM:
            return "inside the header of an acquisition"
        samples = f" with {self._payload_bytes} bytes"
        if self._sample_bytes:
            samples = f" with {self._payload_bytes // self._sample_bytes} samples"
        more = f" and {len(self._buffer)} bytes of the next" if self._buffer else ""
        return f"inside an acquisition, after {self._frames} frames{samples}{more}"

    # Readers. Each looks at the buffer from self._at on.

    def _take_line(self, limit: int, what: str) -> bytes | None:
        end = self._buffer.find(b"\n", self._at, self._at + limit)
        if end < 0:
            if len(self._buffer) - self._at >= limit:
                raise ProtocolError(f"{what} has more than {limit} bytes", self._near())
            return None
        line = bytes(self._buffer[self._at : end])
        self._at = end + 1
        return line

    def _near(self) -> bytes:
        return bytes(self._buffer[self._at : self._at + NEAR_BYTES])

    def _read_ok(self) -> bool:
        line = self._take_line(MAX_LINE, "the answer to the data port options")
        if line is None:
            return False
        if line.startswith(b"ERR "):
            raise CommandError(self._options, line[_MARK:].decode("utf-8", "replace"))
        if line != b"OK":
            raise ProtocolError("the data port answered its options with neither OK nor ERR", line)
        self._state = _State.AWAIT_HEADER
        return True

    def _read_header_line(self) -> bool:
        first = self._buffer[self._at : self._at + len(_HEADER_LINE)]
        if not _HEADER_LINE.startswith(first):
            raise ProtocolError("an acquisition does not begin with an XML header", self._near())
        if len(first) < len(_HEADER_LINE):
            return False
        self._at += len(_HEADER_LINE)
        self._searched = 0
        self._state = _State.HEADER
        return True

    def _read_header(self) -> bool:
        end = self._buffer.find(_HEADER_END, self._at + self._searched, self._at + MAX_HEADER)
        if end < 0:
            have = len(self._buffer) - self._at
            if have >= MAX_HEADER:
                raise ProtocolError(f"a header has more than {MAX_HEADER} bytes", self._near())
            # The pair may be cut between its two bytes, so the last one is searched again.
            self._searched = max(have - 1, 0)
            return False
        start = _parse_header(_HEADER_LINE + self._buffer[self._at : end])
        if start.process != PROCESSING[self._options] or start.format != "Framed":
            raise ProtocolError(
                f"asked for {self._options!r}, got {start.format} {start.process}", self._near()
            )
        self._at = end + len(_HEADER_END)
        self._sample_bytes = start.sample_bytes
        self._frames = self._payload_bytes = 0
        self._state = _State.STREAM
        self._events.append(start)
        return True

    def _read_stream(self) -> bool:
        mark = bytes(self._buffer[self._at : self._at + _MARK])
        if mark == b"BIN ":
            return self._read_frame()
        if mark == b"END ":
            return self._read_end()
        if len(mark) < _MARK:
            return False
        raise ProtocolError("neither a frame nor END", self._near())

    def _read_frame(self) -> bool:
        payload = self._at + _FRAME_PREFIX
        if len(self._buffer) < payload:
            return False
        length = int.from_bytes(self._buffer[self._at + _MARK : payload], "little")
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
        end = self._at + length
        if len(self._buffer) < end:
            return False
        with memoryview(self._buffer) as view:
            self._events.append(Frame(bytes(view[payload:end])))
        self._at = end
        self._frames += 1
        self._payload_bytes += size
        return True

    def _read_end(self) -> bool:
        line = self._take_line(MAX_LINE, "an END line")
        if line is None:
            return False
        if not (match := _END_LINE.fullmatch(line.decode("utf-8", "replace"))):
            raise ProtocolError("an END line is not END, count, reason", line)
        self._events.append(CaptureEnd(int(match[1]), match[2]))
        self._state = _State.AWAIT_HEADER
        return True


def _parse_header(header: bytes) -> CaptureStart:
    # Units may be cut inside a UTF-8 sequence.
    text = _NOT_XML.sub("\ufffd", header.decode("utf-8", "replace"))
    try:
        # No entity can be declared: the text begins with its root element and is bounded.
        root = ET.fromstring(text)  # noqa: S314
        data = root.find("data")
        if data is None:
            raise ProtocolError("a header has no data element", header)
        of = data.attrib
        return CaptureStart(
            fields=tuple(_parse_field(field.attrib) for field in root.iterfind("fields/field")),
            sample_bytes=_parse_sample_bytes(of.get("sample_bytes")),
            missed=int(of.get("missed", "0")),
            process=of["process"],
            format=of["format"],
            arm_time=of.get("arm_time"),
            start_time=of.get("start_time"),
            hw_time_offset_ns=_optional_int(of.get("hw_time_offset_ns")),
        )
    except ET.ParseError as error:
        raise ProtocolError(f"a header is not XML ({error})", header) from error
    except KeyError as error:
        raise ProtocolError(f"a header lacks the attribute {error}", header) from error
    except ValueError as error:
        raise ProtocolError(f"a header has a malformed number ({error})", header) from error


def _parse_field(of: Mapping[str, str]) -> CapturedField:
    units = of.get("units", "")
    return CapturedField(
        name=of["name"],
        type=of["type"],
        capture=of["capture"],
        scale=float(of.get("scale", "1")),
        offset=float(of.get("offset", "0")),
        units="" if units == _UNSET_UNITS else units,
        scaled="scale" in of,
    )


def _parse_sample_bytes(text: str | None) -> int | None:
    value = _optional_int(text)
    if value is not None and value <= 0:
        raise ValueError(f"sample_bytes is {value}")
    return value


def _optional_int(text: str | None) -> int | None:
    return None if text is None else int(text)
