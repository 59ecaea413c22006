"""Durations become ticks on one grid that begins with the window, so that no error adds up.

Pure numpy, integers once a duration is in ticks: where batches are cut changes nothing.
Source: flyscan.md 3.4 (4, 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from panda_ophyd.errors import FieldValueError
from panda_ophyd.sequences.frames import Bools, Floats
from panda_ophyd.sequences.lines import Ints

CLOCK = 125_000_000
"""Hz."""

DRIFT_ALLOWED = 1e-6
"""Seconds over the longest window by which equal periods may be off, so that they compress."""

LONGEST_FRAME = 2**47
"""Ticks, 13 days: the lines of a frame are in memory at once."""

LONGEST_WINDOW = 2**62

_PART_BITS = 40
_ONE = 1 << _PART_BITS
"""Parts of a tick: 2**22 frames of a part each fit 63 bits, and are 2e-6 ticks off at most."""

MOST_AT_ONCE = 1 << 16
"""Frames that are worked on at a time, for memory."""


class Placement(Enum):
    """Where in a frame the detector is dead."""

    END = "end"
    START = "start"
    CENTRE = "centre"
    """The detector is live in the centre, with half of the dead time on either side."""


class Rounding(Enum):
    """What becomes of a duration that is no whole number of ticks."""

    AUTO = "auto"
    """CONSTANT where that is `DRIFT_ALLOWED` off at most over the longest window, else EXACT."""
    EXACT = "exact"
    """Periods alternate, so that every frame begins within half a tick of its time."""
    CONSTANT = "constant"
    """Each is rounded by itself; they compress, and drift (`Timing.drift`)."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How seconds become phases of lines.

    Attributes:
        clock: ticks a second.
        deadtime: seconds of each frame in which the detector is not live; at least a tick.
        placement: where in the frame.
        rounding: of durations that are no whole number of ticks.
        longest_window: frames, for AUTO; None if not known, which is then EXACT.

    Raises:
        FieldValueError: the clock is not positive, or the dead time negative or no number.
    """

    clock: float = CLOCK
    deadtime: float = 0.0
    placement: Placement = Placement.END
    rounding: Rounding = Rounding.AUTO
    longest_window: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.clock < np.inf:
            raise FieldValueError("clock", self.clock, "it is a positive number of ticks a second")
        if not 0 <= self.deadtime * self.clock <= LONGEST_FRAME:
            raise FieldValueError("deadtime", self.deadtime, "it is 0 s or more, up to 13 days")

    @property
    def dead(self) -> int:
        """Ticks of each frame that are not live: at least one, for the live output to fall."""
        return max(1, int(np.floor(self.deadtime * self.clock + 0.5)))

    def ticks(self, duration: Floats) -> Floats:
        """Return durations in ticks, whole ones where they are to be played as such."""
        exact = duration * self.clock
        if self.rounding is Rounding.EXACT:
            return exact
        whole = np.floor(exact + 0.5)
        if self.rounding is Rounding.CONSTANT:
            return whole
        if self.longest_window is None:
            return exact
        allowed = DRIFT_ALLOWED * self.clock / self.longest_window
        return np.where(np.abs(whole - exact) <= allowed, whole, exact)

    def drift(self, duration: float) -> float:
        """Return by what part a frame is played too long, e.g. 1e-6; 0 if it alternates."""
        exact = duration * self.clock
        played = float(self.ticks(np.array([duration]))[0])
        return played / exact - 1


class TickGrid:
    """The grid on which the frames of a window lie; it goes on over batches."""

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self._whole = 0
        self._part = 0
        self._boundary = 0

    def periods(self, duration: Floats, opens: Bools, first: int) -> Ints:
        """Return ``(n,)`` int64 ticks from one boundary to the next.

        Args:
            duration: of each frame, at most `MOST_AT_ONCE`, positive.
            opens: of each, whether a window begins with it, and so the grid.
            first: index of the first frame, for messages.

        Raises:
            FieldValueError: a frame is too short for its dead time, or a frame or window is
                longer than can be counted.
        """
        ticks = self.timing.ticks(duration)
        if not ticks.max(initial=0) <= LONGEST_FRAME:
            at = int(np.argmax(ticks))
            raise FieldValueError(
                f"frame {first + at} duration", float(duration[at]), "it is above 13 days"
            )
        if self._whole + float(ticks.sum()) > LONGEST_WINDOW:
            raise FieldValueError(
                "window", f"{self._whole} ticks", f"it is longer than {LONGEST_WINDOW} ticks"
            )
        ends = self._ends(ticks, opens)
        begins = np.empty_like(ends)
        begins[:1] = self._boundary
        begins[1:] = ends[:-1]
        begins[opens] = 0
        if ends.size:
            self._boundary = int(ends[-1])
        periods = ends - begins
        self._check(periods, duration, first)
        return periods

    def _ends(self, ticks: Floats, opens: Bools) -> Ints:
        """Return the rounded time of each frame's end since its window's start."""
        floor = np.floor(ticks)
        whole = floor.astype(np.int64)
        part = np.rint((ticks - floor) * _ONE).astype(np.int64)
        # of which frame the grid begins: 0 is what was before the batch
        starts = np.flatnonzero(opens)
        window = np.cumsum(opens)
        wholes, parts = np.cumsum(whole), np.cumsum(part)
        before_whole = np.concatenate([[-self._whole], wholes[starts] - whole[starts]])
        before_part = np.concatenate([[-self._part], parts[starts] - part[starts]])
        wholes -= before_whole[window]
        parts -= before_part[window]
        if ticks.size:
            self._whole = int(wholes[-1]) + (int(parts[-1]) >> _PART_BITS)
            self._part = int(parts[-1]) & (_ONE - 1)
        return wholes + (parts + (_ONE >> 1) >> _PART_BITS)

    def _check(self, periods: Ints, duration: Floats, first: int) -> None:
        dead = self.timing.dead
        wrong = periods <= dead
        if not wrong.any():
            return
        at = int(np.argmax(wrong))
        period = int(periods[at])
        where, given = f"frame {first + at} duration", float(duration[at])
        tick = 1 / self.timing.clock
        if period < 2:  # noqa: PLR2004  # one tick live and one dead
            raise FieldValueError(
                where, given, f"{period} ticks, but a frame takes 2 at least, {2 * tick:g} s"
            )
        raise FieldValueError(
            where,
            given,
            f"{period} ticks leave no tick live beside a dead time of {dead} ticks "
            f"({dead * tick:g} s): make the frame longer than {(dead + 1) * tick:g} s",
        )
