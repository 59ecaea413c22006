"""What the data port says, one value for each thing."""

from __future__ import annotations

from dataclasses import dataclass


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
class Payload:
    """So many bytes of samples are in the room; they may begin and end inside a sample."""

    size: int


@dataclass(frozen=True, slots=True)
class CaptureEnd:
    """An acquisition is over.

    Attributes:
        samples: how many the server says it sent us.
        reason: ``Ok``, ``Disarmed``, ``Data overrun`` and others (protocol.md 8.7).
    """

    samples: int
    reason: str


DataEvent = CaptureStart | Payload | CaptureEnd
