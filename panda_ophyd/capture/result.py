"""What is known of an acquisition, and whether it went well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from panda_ophyd.columns import Column
from panda_ophyd.data import CaptureEnd, CaptureStart
from panda_ophyd.errors import CaptureError

GOOD_REASONS = ("Ok", "Disarmed")
"""Both mean that nothing was lost; the server's own simulation says Ok when disarmed."""

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
        received: samples that have come.
        bytes: their size.
        last_frame: how many of them had come before the last frame.
    """

    start: CaptureStart
    started: float
    first_row: int
    received: int = 0
    bytes: int = 0
    last_frame: int = 0

    def suspect_row(self, end: CaptureEnd) -> int | None:
        """Return the first row in doubt, None if there is none.

        Raw data are checked after they were sent, so when an acquisition ended badly its
        last frame may hold newer samples than it should. Source: protocol.md 8.8. Where
        rows are lacking, or too many, only the count tells; so all are in doubt.
        """
        doubts: list[int] = []
        if self.start.missed:
            doubts.append(0)
        if end.reason not in GOOD_REASONS:
            doubts.append(self.last_frame)
        if end.samples != self.received:
            doubts.append(0)
        return self.first_row + min(doubts) if doubts else None

    def failure(self, end: CaptureEnd, path: Path, rows: int, suspect: int) -> CaptureError:
        """Say how it ended.

        Args:
            end: its END.
            path: the file.
            rows: how many rows the file has now.
            suspect: the first of them in doubt.
        """
        missed = f" and {self.start.missed} missed" if self.start.missed else ""
        return CaptureError(
            f"{path}: the acquisition ended with {end.reason!r} after {end.samples} samples,"
            f" {self.received} of them received{missed}; the file keeps {rows} rows, those from"
            f" row {suspect} on are in doubt; {ADVICE.get(end.reason, 'take them again')}",
            reason=end.reason,
            samples_sent=end.samples,
            samples_written=rows - self.first_row,
        )


def difference(before: tuple[Column, ...], now: tuple[Column, ...]) -> str:
    """Say in what an acquisition differs from the one before in the same file."""
    names = {column.name for column in before} ^ {column.name for column in now}
    what = ", ".join(sorted(names)) or "their order, scale, offset or units"
    return f"the acquisition differs from the one before in {what}; it needs another file"
