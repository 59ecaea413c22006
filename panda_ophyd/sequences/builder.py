"""Frames of a scan become lines of a sequencer, batch by batch, in memory that does not grow.

Pure numpy. Where the batches are cut changes no line. Source: flyscan.md 3.4, 3.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from panda_ophyd.errors import FieldValueError
from panda_ophyd.sequences.frames import Bools, Frames
from panda_ophyd.sequences.lines import Ints, SeqLines, Trigger, bit_trigger, position_trigger
from panda_ophyd.sequences.options import (
    GateGuard,
    Guard,
    NoGuard,
    Outputs,
    PositionGuard,
    TimeGuard,
    output_mask,
)
from panda_ophyd.sequences.runs import (
    COLUMNS,
    FRAMES,
    OUTPUTS1,
    OUTPUTS2,
    POSITION,
    TIME1,
    TIME2,
    TRIGGER,
    Runs,
)
from panda_ophyd.sequences.timing import MOST_AT_ONCE, Placement, TickGrid, Timing
from panda_ophyd.sequences.windows import LEAST, MOST, Compares, compares

CLOSING_TICKS = 10
"""Ticks of a last line: PCAP loses the last sample unless it stays enabled for 5 ticks after its
trigger, whose path may be longer than that of ENABLE. Source: blocks.md 4.4."""


@dataclass(frozen=True, slots=True, eq=False)
class _Before:
    """Lines of one kind before windows: which windows have it, and its columns."""

    windows: Bools
    row: Ints
    """``(7, w)``"""


class LineBuilder:
    """What becomes of frames; it holds the open window, the open run, and nothing else.

    A window is a run of frames without gap; the first frame of all opens one whatever its gap
    says. A window begins with a line that waits, then come lines that follow at once. Between
    windows there is the guard. Where nothing waits and no guard holds (a scan in time only)
    gaps mean nothing, and the whole scan is one window.

    Args:
        timing: seconds to ticks, and where a frame is dead.
        inputs: axis name to the position input A, B or C that its encoder is connected to.
            Axes that are not named are not compared.
        guard: what comes before a window.
        outputs: which are high when.
        closing: whether a last line with idle outputs ends the lines, of `CLOSING_TICKS`. None:
            where the live outputs would else fall in the tick in which ACTIVE does. Where ACTIVE
            enables PCAP it takes `is_closing_needed`.
        first_frame: index of the first frame, for messages.

    Attributes:
        frames: that have come in.
        windows: that these opened.

    Raises:
        FieldValueError: an input does not exist or serves two axes, or the guard has no margin
            for an axis.
    """

    def __init__(
        self,
        timing: Timing,
        *,
        inputs: Mapping[str, str] | None = None,
        guard: Guard | None = None,
        outputs: Outputs | None = None,
        closing: bool | None = None,
        first_frame: int = 0,
    ) -> None:
        self.timing = timing
        self.inputs = dict(inputs or {})
        self.guard: Guard = guard or NoGuard()
        self.outputs = outputs or Outputs()
        self.frames = 0
        self.windows = 0
        self._closing = timing.placement is Placement.START if closing is None else closing
        self._first_frame = first_frame
        self._live, self._dead, self._idle = (
            output_mask(letters)
            for letters in (self.outputs.live, self.outputs.dead, self.outputs.idle)
        )
        self._margins = self._checked_inputs()
        self._grid = TickGrid(timing)
        self._runs = Runs()
        self._axes: frozenset[str] | None = None
        self._closed = False

    def _checked_inputs(self) -> Ints:
        for axis, letter in self.inputs.items():
            position_trigger(letter, up=True)
            other = next(name for name, used in self.inputs.items() if used == letter)
            if other != axis:
                raise FieldValueError(
                    f"input of {axis}", letter, f"{other} is connected to it: use another"
                )
        if not isinstance(self.guard, PositionGuard):
            return np.empty(0, np.int64)
        return np.array([self.guard.margin_of(axis) for axis in self.inputs], np.int64)

    def lines(self, frames: Frames) -> SeqLines:
        """Return the lines that are certain once these frames are known.

        Args:
            frames: the next batch, of any size.

        Raises:
            FieldValueError: a frame cannot be played; it says which, why, and what would help.
            ValueError: the axes are others than those of the batch before.
            RuntimeError: it is closed.
        """
        if self._closed:
            raise RuntimeError("the lines are closed: a scan needs a LineBuilder of its own")
        axes = frozenset(frames.lower)
        if self._axes is not None and len(frames) and axes != self._axes:
            raise ValueError(f"the axes {sorted(axes)} are not those before, {sorted(self._axes)}")
        if len(frames):
            self._axes = axes
        return SeqLines.concat([self._part(part) for part in frames.parts(MOST_AT_ONCE)])

    def close(self) -> SeqLines:
        """Return what was held back: the open run, the last dead half, the closing line.

        Raises:
            RuntimeError: it is closed.
        """
        if self._closed:
            raise RuntimeError("the lines are closed already")
        self._closed = True
        if not self.frames:
            return SeqLines.empty()
        last = output_mask(self.outputs.last)
        frames = self._runs.close(
            (last, 0) if self.timing.placement is Placement.END else (0, last)
        )
        rows: list[Ints] = []
        if self.timing.placement is Placement.CENTRE:
            gate = isinstance(self.guard, GateGuard) and self.guard.last
            rows.append(self._last_half(waits=gate))
        if self._closing:
            rows.append(_row(time2=CLOSING_TICKS, outputs2=self._idle))
        if isinstance(self.guard, GateGuard) and self.guard.last:
            low = bit_trigger(self.guard.bit, 0)
            rows.append(_row(trigger=low, time2=1, outputs2=self._idle))
        if not rows:
            return frames
        ends = self._runs.add(np.stack(rows, axis=1))
        return SeqLines.concat([frames, ends, self._runs.close()])

    # Windows

    def _part(self, frames: Frames) -> SeqLines:
        first = self._first_frame + self.frames
        frames.check(first)
        opens = self._opens(frames)
        periods = self._grid.periods(frames.duration, opens, first)
        starts = np.flatnonzero(opens)
        number = np.arange(starts.size) + self.windows
        begins = self._begins(frames, opens, first)
        before = self._before(begins, number, starts, first)
        extra = np.zeros(starts.size, np.int64)
        for lines in before:
            extra += lines.windows
        at = np.arange(len(frames))
        at += np.cumsum(_scattered(extra, starts, len(frames)))
        rows = np.zeros((len(COLUMNS), len(frames) + int(extra.sum())), np.int64)
        rows[:, at] = self._frame_rows(periods, starts)
        trigger, position = self._starters(begins, starts.size)
        rows[TRIGGER, at[starts]] = trigger
        rows[POSITION, at[starts]] = position
        place = at[starts] - extra
        for lines in before:
            rows[:, place[lines.windows]] = lines.row[:, lines.windows]
            place += lines.windows
        self.frames += len(frames)
        self.windows += starts.size
        return self._runs.add(rows)

    def _opens(self, frames: Frames) -> Bools:
        """Return of each frame whether a window begins with it."""
        waits = bool(frames.lower) or isinstance(self.guard, GateGuard | TimeGuard)
        opens = frames.gap.copy() if waits else np.zeros(len(frames), np.bool_)
        if not self.frames:
            opens[:1] = True
        return opens

    @property
    def _by_position(self) -> bool:
        return not isinstance(self.guard, GateGuard) or self.guard.compare

    def _begins(self, frames: Frames, opens: Bools, first: int) -> Compares | None:
        if frames.lower and self._by_position:
            return compares(frames, opens, self.inputs, first)
        return None

    def _starters(self, begins: Compares | None, windows: int) -> tuple[Ints, Ints]:
        """Return trigger and position of the first line of each window."""
        if begins is not None:
            return begins.trigger, begins.position
        trigger = Trigger.IMMEDIATE
        if isinstance(self.guard, GateGuard):
            trigger = bit_trigger(self.guard.bit, 1)
        return np.full(windows, int(trigger)), np.zeros(windows, np.int64)

    def _frame_rows(self, periods: Ints, starts: NDArray[np.intp]) -> Ints:
        """Return a row for each frame, as if nothing waited."""
        dead = self.timing.dead
        rows = np.zeros((len(COLUMNS), periods.size), np.int64)
        rows[FRAMES] = 1
        if self.timing.placement is Placement.END:
            live, off, live_outputs, off_outputs = TIME1, TIME2, OUTPUTS1, OUTPUTS2
        else:
            live, off, live_outputs, off_outputs = TIME2, TIME1, OUTPUTS2, OUTPUTS1
        rows[live] = periods - dead
        rows[off] = dead
        rows[live_outputs] = self._live
        rows[off_outputs] = self._dead
        if self.timing.placement is Placement.CENTRE:
            # the second half of each frame's dead time and the first of the next are one phase
            rows[off, starts] = dead // 2
        if not self.frames:
            rows[live_outputs, :1] |= output_mask(self.outputs.first)
        return rows

    # Between windows

    def _before(
        self,
        begins: Compares | None,
        number: Ints,
        starts: NDArray[np.intp],
        first: int,
    ) -> list[_Before]:
        """Return the lines before each window, kind by kind in the order of playing."""
        later = number > 0
        kinds: list[_Before] = []
        end = self._end_row(waits=not isinstance(self.guard, TimeGuard))
        if end is not None:
            kinds.append(_Before(later, _columns(end, number.size)))
        match self.guard:
            case GateGuard(bit=bit, first=at_first, compare=compare):
                kinds.append(_Before(later | at_first, self._wait(bit_trigger(bit, 0), number)))
                if compare and begins is not None:
                    high = self._wait(bit_trigger(bit, 1), number)
                    kinds.append(_Before(np.ones(number.size, np.bool_), high))
            case PositionGuard(first=at_first) if begins is not None:
                rows = self._wait(Trigger.IMMEDIATE, number)
                rows[TRIGGER] = begins.opposite
                rows[POSITION] = begins.position + begins.far * self._margins[begins.axis]
                guarded = later | at_first
                self._check_far_side(rows[POSITION], guarded, first, starts)
                kinds.append(_Before(guarded, rows))
            case TimeGuard(seconds=seconds, first=at_first):
                rows = self._wait(Trigger.IMMEDIATE, number)
                rows[TIME2] = max(1, round(seconds * self.timing.clock))
                kinds.append(_Before(later | at_first, rows))
            case _:
                pass
        return kinds

    def _wait(self, trigger: Trigger, number: Ints) -> Ints:
        return _columns(_row(trigger=trigger, time2=1, outputs2=self._idle), number.size)

    def _end_row(self, *, waits: bool) -> Ints | None:
        """Return what ends a window: a dead half that is due, and idle outputs to wait with."""
        match self.timing.placement:
            case Placement.CENTRE:
                return self._last_half(waits=waits)
            case Placement.END if self._dead == self._idle:
                return None
            case _:
                return _row(time2=1, outputs2=self._idle) if waits else None

    def _last_half(self, *, waits: bool) -> Ints:
        half = self.timing.dead - self.timing.dead // 2
        if waits and self._dead != self._idle:
            return _row(time1=half, outputs1=self._dead, time2=1, outputs2=self._idle)
        return _row(time2=half, outputs2=self._dead)

    def _check_far_side(
        self, position: Ints, guarded: Bools, first: int, starts: NDArray[np.intp]
    ) -> None:
        wrong = guarded & ~((position >= LEAST) & (position <= MOST))
        if wrong.any():
            window = int(np.argmax(wrong))
            raise FieldValueError(
                f"frame {first + int(starts[window])} guard position",
                int(position[window]),
                "counts of an encoder are 32 bits: make the margin smaller, or move its offset",
            )


def is_closing_needed(timing: Timing) -> bool:
    """Tell whether a last line has to keep the sequencer active after its last trigger for PCAP."""
    behind = {
        Placement.END: timing.dead,
        Placement.START: 0,
        Placement.CENTRE: timing.dead - timing.dead // 2,
    }
    return behind[timing.placement] < CLOSING_TICKS


def _row(*, trigger: int = 0, time1: int = 0, outputs1: int = 0, time2: int, outputs2: int) -> Ints:
    return np.array([trigger, 0, time1, outputs1, time2, outputs2, 0], np.int64)


def _columns(row: Ints, windows: int) -> Ints:
    return np.repeat(row[:, None], windows, axis=1)


def _scattered(values: Ints, at: NDArray[np.intp], size: int) -> Ints:
    scattered = np.zeros(size, np.int64)
    scattered[at] = values
    return scattered
