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
    "Framing error": "triggers came closer together than a sample is long; slow down",
    "DMA data error": "the FPGA got no memory in time; capture fewer fields or slow down",
    "Driver data overrun": "the PandA's processor was too slow; capture fewer fields or slow down",
    "Early disconnect": "our data connection was closed meanwhile",
}
"""What to do about the reasons of protocol.md 8.7."""

OVERRUN = "Data overrun"
"""The reason that is about us; what to do depends on what was slow."""


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


@dataclass(frozen=True, slots=True)
class Sent:
    """What has come of an acquisition.

    Attributes:
        end: its END, None if it has not come, or never will.
        received: samples that have come.
        bytes: their size.
        last_frame: how many of them had come before the last frame.
        discarded: how many of them were beyond a limit.
        queued: most bytes that waited for the file at once.
        waited: seconds for which nothing was read because they did.
    """

    end: CaptureEnd | None = None
    received: int = 0
    bytes: int = 0
    last_frame: int = 0
    discarded: int = 0
    queued: int = 0
    waited: float = 0.0


NOTHING_SENT = Sent()


@dataclass(frozen=True, slots=True)
class Acquisition:
    """The acquisition under way.

    Attributes:
        start: its header.
        started: our clock at the header, s since 1970.
        first_row: where its rows begin in the file.
        origin: what the absolute times of its rows are counted from.
    """

    start: CaptureStart
    started: float
    first_row: int
    origin: Start

    def record(self, rows: int, sent: Sent = NOTHING_SENT) -> AcquisitionRecord:
        """Return what is to be put down of it now.

        Args:
            rows: how many the file has.
            sent: what has come of it.
        """
        suspect = self._suspect(rows, sent)
        return AcquisitionRecord(
            first_row=self.first_row,
            rows=rows - self.first_row,
            discarded=sent.discarded,
            received=sent.received,
            sent=None if sent.end is None else sent.end.samples,
            missed=self.start.missed,
            end_reason=NO_END if sent.end is None else sent.end.reason,
            arm_time=self.start.arm_time,
            start_time=self.start.start_time,
            hw_time_offset_ns=self.start.hw_time_offset_ns,
            time_shift_ns=self.origin.shift_ns,
            time=self.origin.note,
            suspect=None if suspect is None else Span(self.first_row + suspect, rows),
            begun=self.started,
            ended=None if sent.end is None else time.time(),
        )

    def _suspect(self, rows: int, sent: Sent) -> int | None:
        """Return the first of its rows in doubt, None if there is none.

        Raw data are checked after they were sent, so when an acquisition ended badly, or
        not at all, its last frame may hold newer samples than it should. Source:
        protocol.md 8.8. Where rows are lacking, or too many, only the count tells; so all
        are in doubt.
        """
        if self.start.missed:
            return 0
        kept, here = sent.received - sent.discarded, rows - self.first_row
        if sent.end is None:
            return sent.last_frame if sent.last_frame < here else None
        if sent.end.samples != sent.received or here != kept:
            return 0
        return None if sent.end.reason in GOOD_REASONS else min(sent.last_frame, kept)

    def too_late(self, path: Path) -> CaptureError:
        """Say that its first samples were missed; the count somebody waits for will not come."""
        what = (
            f"{self.start.missed} samples were missed because the data connection came too"
            f" late; rows from row {self.first_row} on are later than they should be"
        )
        return CaptureError(
            f"{path}: {what}", reason=what, samples_sent=None, samples_written=self.first_row
        )

    def failure(
        self, record: AcquisitionRecord, path: Path, rows: int, advice: str
    ) -> CaptureError:
        """Say how it ended.

        Args:
            record: what was put down when it had ended badly.
            path: the file.
            rows: how many rows the file has now.
            advice: what to do.
        """
        missed = f" and {record.missed} missed" if record.missed else ""
        doubt = f", those from row {record.suspect.start} on are in doubt" if record.suspect else ""
        return CaptureError(
            f"{path}: the acquisition ended with {record.end_reason!r} after {record.sent} samples,"
            f" {record.received} of them received{missed}; the file keeps {rows} rows{doubt};"
            f" {advice}",
            reason=record.end_reason,
            samples_sent=record.sent,
            samples_written=record.rows,
            suspect_row=record.suspect.start if record.suspect else None,
        )

    def result(self, record: AcquisitionRecord, size: int) -> CaptureResult:
        """Say that it ended well.

        Args:
            record: what was put down when it had.
            size: of its samples on the wire, bytes.
        """
        return CaptureResult(
            rows=record.rows,
            samples_sent=record.received,
            missed=record.missed,
            reason=record.end_reason,
            started=self.started,
            ended=time.time(),
            bytes=size,
            first_row=self.first_row,
            arm_time=self.start.arm_time,
            start_time=self.start.start_time,
            hw_time_offset_ns=self.start.hw_time_offset_ns,
        )


@dataclass(slots=True)
class Slowness:
    """Where the time of the writing thread went, s.

    Attributes:
        decoding: making columns of samples.
        writing: appending and flushing them.
    """

    decoding: float = 0.0
    writing: float = 0.0

    def advice(self, sent: Sent, record: AcquisitionRecord) -> str:
        """Say what to do about the END reason, and who could not keep up if it is about us.

        Args:
            sent: what has come until then.
            record: what was put down.
        """
        if record.end_reason != OVERRUN:
            return ADVICE.get(record.end_reason, "take them again")
        took = time.time() - record.begun
        queue = f"{_mib(sent.queued)} MiB waited for the file at most"
        rate = f"{_mib(sent.bytes) / max(took, 1e-3):.1f} MiB/s came"
        if not sent.waited:
            return (
                f"the disk kept up ({queue}), but {rate}: this computer was too busy to read, or"
                " the network is too slow; stop other programs, capture fewer fields or slow down"
            )
        waited = f"{queue}, and for {sent.waited:.1f} of {took:.1f} s nothing was read"
        if self.writing >= self.decoding:
            return (
                f"the disk was too slow ({waited}; {rate}, and writing took {self.writing:.1f} s);"
                " write to a faster one, or capture fewer fields or slow down"
            )
        return (
            f"this computer was too slow ({waited}; {rate}, and scaling took"
            f" {self.decoding:.1f} s); stop other programs, or capture fewer fields or slow down"
        )


def _mib(size: int) -> float:
    return round(size / 2**20, 1)


_TOLD = ("units", "scale", "offset", "dtype", "scaled")
"""Of a column, what a file has but once."""


def difference(before: tuple[Column, ...], now: tuple[Column, ...]) -> str:
    """Say in what an acquisition differs from the one before in the same file, "" if in nothing."""
    was, names = {column.name: column for column in before}, [column.name for column in now]
    what = sorted(was.keys() ^ set(names)) or [
        f"{column.name} ({changes})"
        for column in now
        if (changes := _changes(was[column.name], column))
    ]
    if not what and names != list(was):
        what = ["the order of its columns"]
    if not what:
        return ""
    return (
        f"the acquisition differs from the one before in {', '.join(what)}; it needs another file"
    )


def _changes(was: Column, now: Column) -> str:
    # As text: a user's SCALE may be nan, which is not equal to itself
    pairs = [(name, str(getattr(was, name)), str(getattr(now, name))) for name in _TOLD]
    return ", ".join(
        f"{name} {present or 'none'}, was {former or 'none'}"
        for name, former, present in pairs
        if former != present
    )
