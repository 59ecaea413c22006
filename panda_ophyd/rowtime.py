"""The absolute time of a row: when PCAP was enabled, plus the ticks that the row was stamped with.

Times are int64 nanoseconds since 1970 UTC. A float64 would not do: its 53 bits leave 256
ns at today's dates, thirty ticks of a PandA. A row without a time (a gate that never
opened is stamped -1) has `NO_TIME`, which numpy calls NaT when the values are seen as
``datetime64[ns]``.

The PandA's clock may be set back between two acquisitions, and quartz and clock may
disagree by milliseconds after an hour. Rows of one file stay in order all the same: an
acquisition that would begin before the last row of the one before is moved, and by how
much is kept beside it, so that what the PandA said can be had back by subtraction.

Source: protocol.md 8.4; blocks.md 4 (TS_TRIG, TS_START, TS_END).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

NO_TIME = np.iinfo(np.int64).min
"""In place of the time of a row that has none; NaT of ``datetime64[ns]``."""

STAMPS = ("TS_TRIG", "TS_START", "TS_END")
"""Captured timestamps by preference: every row has its trigger, not every row had a gate."""

_SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UTC = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
_LATEST_START = 8_000_000_000 * _SECOND
"""In 2223: leaves 38 years of ticks to what int64 nanoseconds reach."""
_TWELVE_DIGITS = 1e-11
"""How far from a whole number of hertz, relatively, a scale of 12 digits may lead."""
_MOST_NS = np.iinfo(np.int64).max


def parse_utc(text: str) -> int | None:
    """Return the nanoseconds since 1970 of a time as the server writes it, None if it is none.

    Source: protocol.md 8.4.
    """
    match = _UTC.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(f"{match[1]}+00:00")
    except ValueError:
        return None
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        return None
    whole = (moment - _EPOCH) // timedelta(seconds=1)
    return whole * _SECOND + int((match[2] or "").ljust(9, "0"))


def preferred_stamp(fields: Iterable[str]) -> str | None:
    """Return the field to take times from, ``PCAP.TS_TRIG``; None if none of these is one."""
    by_part = {field.rpartition(".")[2]: field for field in fields}
    return next((by_part[stamp] for stamp in STAMPS if stamp in by_part), None)


class Ticks:
    """Clock ticks to nanoseconds, exactly.

    Args:
        seconds: of one tick, as the header has it: 12 digits.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        hertz = 1 / seconds if seconds > 0 else 0.0
        whole = round(hertz) if np.isfinite(hertz) else 0
        exact = 0 < whole <= _SECOND and abs(hertz - whole) <= _TWELVE_DIGITS * whole
        self._hertz = whole if exact else 0

    @property
    def meaningful(self) -> bool:
        """Whether a tick has a length at all."""
        return bool(np.isfinite(self._seconds) and self._seconds > 0)

    @property
    def most(self) -> int:
        """How many ticks a time can have that int64 nanoseconds reach."""
        return int((_MOST_NS - _LATEST_START) / (self._seconds * _SECOND))

    def nanoseconds(
        self, ticks: NDArray[np.int64], out: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """Return (n,) ticks as nanoseconds, rounded to the nearest; in own memory or `out`.

        `out` may be the ticks themselves, and is only a place that may be used.
        """
        if not self._hertz:
            return np.rint(ticks * (self._seconds * _SECOND)).astype(np.int64)
        if _SECOND % self._hertz == 0:
            return np.multiply(ticks, np.int64(_SECOND // self._hertz), out=out)
        # In two parts: the product of all ticks and a second of ns would not fit 64 bits
        seconds, rest = np.divmod(ticks, np.int64(self._hertz))
        return seconds * _SECOND + (rest * _SECOND + self._hertz // 2) // self._hertz


@dataclass(frozen=True, slots=True)
class Start:
    """When an acquisition began, as its rows have it.

    Attributes:
        ns: since 1970; None: its rows have no time.
        shift_ns: what was added to the PandA's own words.
        note: how that came about, one line.
    """

    ns: int | None
    shift_ns: int
    note: str


class RowClock:
    """The absolute times of the rows of one file, over all its acquisitions.

    Args:
        ticks: of the captured timestamp.
        hardware: leave the times as the PandA's hardware clock has them, if it has one,
            in place of adding its offset to the system clock.
    """

    def __init__(self, ticks: Ticks, *, hardware: bool = False) -> None:
        self._ticks = ticks
        self._hardware = hardware
        self._present: Start = Start(None, 0, "")
        self._elapsed = 0.0
        self._before: tuple[int, float] | None = None
        self._last: int | None = None

    def begin(self, start_time: str | None, offset_ns: int | None, elapsed: float) -> Start:
        """Take the next acquisition.

        Args:
            start_time: of its header.
            offset_ns: of its header: system minus hardware time.
            elapsed: a clock of ours that is never set, when the header came, s.
        """
        said = None if start_time is None else parse_utc(start_time)
        if said is None:
            note = "none: the PandA says no start_time" if start_time is None else ""
            note = note or f"none: start_time {start_time!r} is no time"
            self._present = Start(None, 0, note)
            return self._present
        # A hardware clock may count from anywhere; its offset brings it to the system's
        words = "start_time"
        if offset_ns is not None and not self._hardware:
            said += offset_ns
            words = "start_time + hw_time_offset_ns"
        if not 0 <= said <= _LATEST_START:
            self._present = Start(None, 0, f"none: {words} is {said} ns since 1970")
            return self._present
        shift = 0
        if self._last is not None and said <= self._last:
            shift = self._in_order(self._last, elapsed) - said
            words += (
                f" + {shift} ns: that was before the last row of the acquisition before;"
                " moved by what this computer's clock counted between the two"
            )
        self._present = Start(said + shift, shift, words)
        self._before = (said + shift, elapsed)
        return self._present

    def _in_order(self, last: int, elapsed: float) -> int:
        """Return when an acquisition began whose own clock cannot be believed."""
        if self._before is None:
            return last + 1
        began, at = self._before
        return max(began + round((elapsed - at) * _SECOND), last + 1)

    def times(
        self, ticks: NDArray[np.int64], out: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """Return the times of the next rows of the acquisition.

        Args:
            ticks: (n,) of each row since the start, -1 where there are none.
            out: (n,), where they go; not the ticks.

        Returns:
            (n,) ns since 1970, `NO_TIME` where there is none; own memory unless `out` is given.
        """
        times = np.empty(len(ticks), np.int64) if out is None else out
        start = self._present.ns
        if start is None:
            times.fill(NO_TIME)
            return times
        if not len(ticks):
            return times
        # Ticks out of a sample lie apart and askew; side by side they are read much faster
        np.copyto(times, ticks)
        most = self._ticks.most
        sound = int(times.min()) >= 0 and int(times.max()) <= most
        if not sound:
            np.clip(times, 0, most, out=times)
        np.add(self._ticks.nanoseconds(times, times), np.int64(start), out=times)
        if not sound:
            times[(ticks < 0) | (ticks > most)] = NO_TIME
        latest = int(times.max())  # NO_TIME is less than any time
        if latest != NO_TIME:
            self._last = latest if self._last is None else max(self._last, latest)
        return times
