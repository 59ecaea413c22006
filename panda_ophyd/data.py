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
from typing import TypeVar

from panda_ophyd.errors import CommandError, ProtocolError

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

    Source: protocol.md 8.1 to 8.7.
    """

    def __init__(self, options: str = "XML FRAMED RAW") -> None:
        if options not in PROCESSING:
            raise ValueError(f"data port options are one of {tuple(PROCESSING)}, not {options!r}")
        self.error: ProtocolError | CommandError | None = None
        self._options = options
        self._state = _State.AWAIT_OK
        self._buffer = bytearray()
        self._at = 0
        self._events: list[DataEvent] = []
        self._start: CaptureStart | None = None
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

    @property
    def progress(self) -> str:
        """How far the stream got, as part of a sentence."""
        raise NotImplementedError

    def receive_data(self, data: bytes | bytearray | memoryview) -> list[DataEvent]:
        """Return the events that these bytes complete, oldest first.

        Raises:
            ProtocolError: the bytes fit no rule; nothing sound can follow.
            CommandError: the server refused the options.
        """
        raise NotImplementedError

    def receive_eof(self) -> None:
        """Take note that nothing more comes.

        Raises:
            ProtocolError: the server was anywhere but between two acquisitions.
        """
        raise NotImplementedError

    def _read_ok(self) -> bool:
        raise NotImplementedError

    def _read_header_line(self) -> bool:
        raise NotImplementedError

    def _read_header(self) -> bool:
        raise NotImplementedError

    def _read_stream(self) -> bool:
        raise NotImplementedError
