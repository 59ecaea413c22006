"""Did every row that the PandA sent reach the file? Derived from counts and words alone.

The same rules judge a capture under way and a file found years later, so this module
knows neither. A capture is good when, for each of its acquisitions, the samples that END
counts are those that were received, all of them are in every dataset (but for those that
somebody had asked to leave away), none was missed before, the reason is a good one, and
nothing went wrong with the file.

Source: protocol.md 8.7, 8.8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from typing_extensions import override

GOOD_REASONS = ("Ok", "Disarmed")
"""Both mean that nothing was lost; the server's own simulation says Ok when disarmed."""

NO_END = "no END came"
"""In place of the END reason of an acquisition that is under way, or was when writing stopped."""

MOST_PROBLEMS = 3
"""How many problems the one line of a verdict names."""


class Span(NamedTuple):
    """Rows from `start` to before `stop`."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class AcquisitionRecord:
    """What a file says of one acquisition: a row of its table of acquisitions.

    Attributes:
        first_row: where its rows begin in the file.
        rows: how many of them are in the file.
        discarded: samples received and left away on purpose: beyond a limit.
        received: samples received.
        sent: samples in its END line, None as long as there is none.
        missed: samples our connection came too late for.
        end_reason: of its END line, or `NO_END`.
        arm_time: the PandA's clock, UTC as it writes it; None from old servers.
        start_time: the same, when PCAP was enabled; what timestamps count from.
        hw_time_offset_ns: system minus hardware time, None without such a clock.
        time_shift_ns: what was added to the PandA's own time so that rows stay in order.
        time: how the absolute times of its rows were made, or why there are none.
        suspect: rows in doubt, None if none is.
        begun: our clock when its header came, s since 1970.
        ended: our clock when all of it was written, None before.
    """

    first_row: int
    rows: int = 0
    discarded: int = 0
    received: int = 0
    sent: int | None = None
    missed: int = 0
    end_reason: str = NO_END
    arm_time: str | None = None
    start_time: str | None = None
    hw_time_offset_ns: int | None = None
    time_shift_ns: int = 0
    time: str = ""
    suspect: Span | None = None
    begun: float = 0.0
    ended: float | None = None

    def problems(self) -> list[str]:
        """Return what is wrong with it, nothing if all is well."""
        found: list[str] = []
        if self.missed:
            found.append(f"{self.missed} samples missed before it")
        if self.sent is None:
            found.append(f"{self.end_reason} after {self.received} samples")
            return found
        if self.end_reason not in GOOD_REASONS:
            found.append(f"ended with {self.end_reason!r}")
        if self.sent != self.received:
            found.append(f"{self.sent} samples sent but {self.received} received")
        if self.received != self.rows + self.discarded:
            found.append(f"{self.received - self.discarded} samples to keep but {self.rows} rows")
        return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the file says about itself; the first five as attributes of these names.

    Attributes:
        complete: every row that was wanted is in the file, and all ended well.
        end_reason: the last END reason in the server's words, or why there was none.
        rows: how many were written, -1 as long as nobody counted.
        suspect_row: the first row in doubt, -1 if none is.
        suspect_stop: the row after the last one in doubt, -1 if none is.
        acquisitions: what is known of each.
        problems: all that is wrong, in order of discovery.
    """

    complete: bool
    end_reason: str
    rows: int
    suspect_row: int
    suspect_stop: int = -1
    acquisitions: tuple[AcquisitionRecord, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def sent(self) -> int:
        """Samples in all END lines."""
        return sum(record.sent or 0 for record in self.acquisitions)

    @property
    def received(self) -> int:
        """Samples received."""
        return sum(record.received for record in self.acquisitions)

    @property
    def discarded(self) -> int:
        """Samples left away on purpose."""
        return sum(record.discarded for record in self.acquisitions)

    @property
    def missed(self) -> int:
        """Samples that came before our connection."""
        return sum(record.missed for record in self.acquisitions)

    @override
    def __str__(self) -> str:
        """Return it in one line."""
        counted = "rows not counted" if self.rows < 0 else _count(self.rows, "row")
        text = f"{counted} of {_count(len(self.acquisitions), 'acquisition')}"
        if self.discarded:
            text += f", {self.discarded} left away as asked"
        if self.complete:
            return f"complete: {text}, ended {self.end_reason}"
        if self.suspect_row >= 0:
            last = f" to {self.suspect_stop - 1}" if self.suspect_stop > self.suspect_row else " on"
            text += f", those from {self.suspect_row}{last} in doubt"
        problems = self.problems or (self.end_reason,)
        more = len(problems) - MOST_PROBLEMS
        tail = f"; and {more} more" if more > 0 else ""
        return f"NOT complete: {text}; {'; '.join(problems[:MOST_PROBLEMS])}{tail}"


def judge(
    acquisitions: Sequence[AcquisitionRecord],
    lengths: Mapping[str, int],
    failure: str | None = None,
    *,
    reason: str | None = None,
) -> Verdict:
    """Weigh what is known of a capture.

    Args:
        acquisitions: in the order of their rows.
        lengths: rows in each dataset.
        failure: what went wrong with connection or file, None if nothing did.
        reason: the failure as ``end_reason``, if shorter words are at hand.
    """
    problems = [] if failure is None else [failure]
    if not acquisitions:
        problems.append("no acquisition")
    rows = min(lengths.values(), default=0)
    if len(set(lengths.values())) > 1:
        longest = max(lengths, key=lambda name: lengths[name])
        shortest = min(lengths, key=lambda name: lengths[name])
        problems.append(
            f"{shortest} has {lengths[shortest]} rows but {longest} has {lengths[longest]}"
        )
    expected = 0
    for number, record in enumerate(acquisitions, 1):
        which = f"acquisition {number}: " if len(acquisitions) > 1 else ""
        problems += [f"{which}{problem}" for problem in record.problems()]
        if record.first_row != expected:
            problems.append(f"{which}begins at row {record.first_row}, not at {expected}")
        expected = record.first_row + record.rows
    if acquisitions and rows != expected:
        problems.append(f"{expected} rows accounted for but {rows} in the file")
    suspects = [record.suspect for record in acquisitions if record.suspect]
    if acquisitions and rows > expected:  # of an append that could not be taken back
        suspects.append(Span(expected, rows))
    return Verdict(
        complete=not problems,
        end_reason=_reason(acquisitions, failure, reason),
        rows=rows,
        suspect_row=min((span.start for span in suspects), default=-1),
        suspect_stop=max((span.stop for span in suspects), default=-1),
        acquisitions=tuple(acquisitions),
        problems=tuple(problems),
    )


def so_far(acquisitions: Sequence[AcquisitionRecord], rows: int) -> tuple[AcquisitionRecord, ...]:
    """Return the acquisitions with the rows the last one has, if nobody has counted them yet.

    Args:
        acquisitions: in the order of their rows; the last may be under way.
        rows: in every dataset.
    """
    if not acquisitions or acquisitions[-1].sent is not None:
        return tuple(acquisitions)
    last = acquisitions[-1]
    rows = max(rows - last.first_row, 0)
    return (*acquisitions[:-1], replace(last, rows=rows, received=max(rows, last.received)))


def _reason(
    acquisitions: Sequence[AcquisitionRecord], failure: str | None, reason: str | None
) -> str:
    if failure is not None:
        return reason or failure
    return acquisitions[-1].end_reason if acquisitions else "no acquisition"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
