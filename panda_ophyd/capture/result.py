"""What is known of an acquisition, and whether it went well."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from panda_ophyd.columns import Column
from panda_ophyd.data import CaptureEnd, CaptureStart
from panda_ophyd.errors import CaptureError
from panda_ophyd.rowtime import Start
from panda_ophyd.verdict import GOOD_REASONS, NO_END, AcquisitionRecord, Span

ADVICE = {
    "Data overrun": "this computer or its disk was too slow; capture fewer fields or slow down",
    "Framing error": "triggers came closer together than a sample is long; slow down",
    "DMA data error": "the FPGA got no memory in time; capture fewer fields or slow down",
    "Driver data overrun": "the PandA's processor was too slow; capture fewer fields or slow down",
    "Early disconnect": "our data connection was closed meanwhile",
}
"""What to do about the reasons of protocol.md 8.7."""


@dataclass(frozen=True, slots=True)
class CaptureResult:
    """An acquisition that ended well.

    Attributes:
        rows: how many of its samples are in the file.
        samples_sent: how many the PandA sent, more than `rows` only beyond a limit.
        missed: samples our connection came too late for; always 0.
        reason: the END reason.
        started: our clock when its header came, s since 1970.
        ended: our clock when all was written, s since 1970.
        bytes: size of the samples on the wire.
        first_row: where its rows begin in the file.
        arm_time: the PandA's clock, UTC as it writes it; None from old servers.
        start_time: the same, when PCAP was enabled; what timestamps count from.
        hw_time_offset_ns: system minus hardware time, None without such a clock.
    """

    rows: int
    samples_sent: int
    missed: int
    reason: str
    started: float
    ended: float
    bytes: int
    first_row: int
    arm_time: str | None
    start_time: str | None
    hw_time_offset_ns: int | None

    @property
    def rate(self) -> float:
        """Samples per second from header to the last flush; 0 if that took no time."""
        duration = self.ended - self.started
        return self.samples_sent / duration if duration > 0 else 0.0


@dataclass(slots=True)
class Acquisition:
    """The acquisition under way.

    Attributes:
        start: its header.
        started: our clock at the header, s since 1970.
        first_row: where its rows begin in the file.
        origin: what the absolute times of its rows are counted from.
        received: samples that have come.
        bytes: their size.
        last_frame: how many of them had come before the last frame.
        discarded: how many of them were beyond a limit.
    """

    start: CaptureStart
    started: float
    first_row: int
    origin: Start
    received: int = 0
    bytes: int = 0
    last_frame: int = 0
    discarded: int = 0

    def record(self, rows: int, end: CaptureEnd | None = None) -> AcquisitionRecord:
        """Return what is to be put down of it now.

        Args:
            rows: how many the file has.
            end: its END, None if it has not come, or never will.
        """
        suspect = self._suspect(rows, end)
        return AcquisitionRecord(
            first_row=self.first_row,
            rows=rows - self.first_row,
            discarded=self.discarded,
            received=self.received,
            sent=None if end is None else end.samples,
            missed=self.start.missed,
            end_reason=NO_END if end is None else end.reason,
            arm_time=self.start.arm_time,
            start_time=self.start.start_time,
            hw_time_offset_ns=self.start.hw_time_offset_ns,
            time_shift_ns=self.origin.shift_ns,
            time=self.origin.note,
            suspect=None if suspect is None else Span(self.first_row + suspect, rows),
            begun=self.started,
            ended=None if end is None else time.time(),
        )

    def _suspect(self, rows: int, end: CaptureEnd | None) -> int | None:
        """Return the first of its rows in doubt, None if there is none.

        Raw data are checked after they were sent, so when an acquisition ended badly its
        last frame may hold newer samples than it should. Source: protocol.md 8.8. Where
        rows are lacking, or too many, only the count tells; so all are in doubt.
        """
        if self.start.missed:
            return 0
        if end is None:
            return None
        kept = self.received - self.discarded
        if end.samples != self.received or rows - self.first_row != kept:
            return 0
        return None if end.reason in GOOD_REASONS else min(self.last_frame, kept)

    def failure(self, record: AcquisitionRecord, path: Path, rows: int) -> CaptureError:
        """Say how it ended.

        Args:
            record: what was put down when it had ended badly.
            path: the file.
            rows: how many rows the file has now.
        """
        missed = f" and {record.missed} missed" if record.missed else ""
        doubt = f", those from row {record.suspect.start} on are in doubt" if record.suspect else ""
        return CaptureError(
            f"{path}: the acquisition ended with {record.end_reason!r} after {record.sent} samples,"
            f" {record.received} of them received{missed}; the file keeps {rows} rows{doubt};"
            f" {ADVICE.get(record.end_reason, 'take them again')}",
            reason=record.end_reason,
            samples_sent=record.sent,
            samples_written=record.rows,
            suspect_row=record.suspect.start if record.suspect else None,
        )


def difference(before: tuple[Column, ...], now: tuple[Column, ...]) -> str:
    """Say in what an acquisition differs from the one before in the same file."""
    names = {column.name for column in before} ^ {column.name for column in now}
    what = ", ".join(sorted(names)) or "their order, scale, offset or units"
    return f"the acquisition differs from the one before in {what}; it needs another file"
