"""From the data port to the file: everything between ARM and a row that can be read back."""

from __future__ import annotations

from panda_ophyd.capture.arming import (
    ARM_TIMEOUT,
    DISARM_TIMEOUT,
    Arming,
    PcapState,
    arm,
    disarm,
    pcap_state,
    readers_counted,
    readers_now,
)
from panda_ophyd.capture.armstate import Arm
from panda_ophyd.capture.batches import IN_FLIGHT_BYTES
from panda_ophyd.capture.lastrows import LastRows
from panda_ophyd.capture.pipeline import DRAIN_TIMEOUT, FLUSH_PERIOD, Capture
from panda_ophyd.capture.raw import stored_dtype
from panda_ophyd.capture.result import CaptureResult
from panda_ophyd.capture.rows import LatestRow, Meanings
from panda_ophyd.capture.watch import LOST_AFTER, Describe, Phase, Standstill, Watch
from panda_ophyd.verdict import AcquisitionRecord, Verdict
from panda_ophyd.writers import CHUNK_ROWS, FileOptions, Hdf5Writer, chunk_rows

__all__ = [
    "ARM_TIMEOUT",
    "CHUNK_ROWS",
    "DISARM_TIMEOUT",
    "DRAIN_TIMEOUT",
    "FLUSH_PERIOD",
    "IN_FLIGHT_BYTES",
    "LOST_AFTER",
    "AcquisitionRecord",
    "Arm",
    "Arming",
    "Capture",
    "CaptureResult",
    "Describe",
    "FileOptions",
    "Hdf5Writer",
    "LastRows",
    "LatestRow",
    "Meanings",
    "PcapState",
    "Phase",
    "Standstill",
    "Verdict",
    "Watch",
    "arm",
    "chunk_rows",
    "disarm",
    "pcap_state",
    "readers_counted",
    "readers_now",
    "stored_dtype",
]
