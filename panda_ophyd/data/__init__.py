"""The data port without a network: its grammar, and what it says."""

from __future__ import annotations

from panda_ophyd.data.events import CapturedField, CaptureEnd, CaptureStart, DataEvent, Payload
from panda_ophyd.data.protocol import (
    LOOK_AHEAD,
    MAX_FRAME,
    MAX_HEADER,
    MAX_LINE,
    PROCESSING,
    DataProtocol,
)

__all__ = [
    "LOOK_AHEAD",
    "MAX_FRAME",
    "MAX_HEADER",
    "MAX_LINE",
    "PROCESSING",
    "CaptureEnd",
    "CaptureStart",
    "CapturedField",
    "DataEvent",
    "DataProtocol",
    "Payload",
]
