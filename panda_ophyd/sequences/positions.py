"""One line for each position of a list: the pulse comes where the axis is, whatever its speed.

Pure numpy. Source: flyscan.md 5 (6).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from panda_ophyd.errors import FieldValueError
from panda_ophyd.sequences.lines import LONGEST_PHASE, Ints, SeqLines, position_trigger
from panda_ophyd.sequences.options import Outputs, output_mask
from panda_ophyd.sequences.timing import CLOCK
from panda_ophyd.sequences.windows import LEAST, MOST

_FEWEST = 2
"""Positions that tell a direction."""


@dataclass(frozen=True, slots=True)
class PositionList:
    """Positions in the order in which an axis crosses them.

    Where it turns there is a guard: it must have been beyond the next position by `margin`,
    else that line would fire at once. The axis turns where the order of the positions does, and
    between two equal ones. A list that is played again begins with a guard too.

    Attributes:
        positions: counts, rounded to nearest; in any order.
        position_input: A, B or C, what the encoder is connected to.
        pulse: ticks that the live outputs are high at each.
        both_ways: whether all are crossed again on the way back.
        repeats: how often the table is played; only whether it is more than once changes lines.
        margin: counts beyond the next position by which the axis must have gone before a turn
            counts; less than it overruns.
        guard_first: whether it must come from the far side of the first position.
        ascending: which way the first position is crossed; None to take it from the second.
        speed: counts/s at most, to refuse positions that are too close; None not to.
        clock: ticks a second.
        outputs: live in the pulse, idle otherwise; first and last besides in the first and
            last pulse of the table.

    Raises:
        FieldValueError: the list is empty, no list of 32-bit counts, tells no direction, has
            three equal positions in a row, or two too close at that speed; the pulse does not
            fit a line; there is no such input.
    """

    positions: ArrayLike
    position_input: str = "A"
    pulse: int = 125
    both_ways: bool = False
    repeats: int = 1
    margin: float = 1.0
    guard_first: bool = False
    ascending: bool | None = None
    speed: float | None = None
    clock: float = CLOCK
    outputs: Outputs = field(default_factory=Outputs)

    def __post_init__(self) -> None:
        position_trigger(self.position_input, up=True)
        if not 1 <= self.pulse <= LONGEST_PHASE:
            raise FieldValueError("pulse", self.pulse, f"it is 1 to {LONGEST_PHASE} ticks")
        if not 1 <= self.margin <= MOST:
            raise FieldValueError("margin", self.margin, "it is a count or more, of the overrun")
        if self.repeats < 0:
            raise FieldValueError("repeats", self.repeats, "it is a number of times, 0 for ever")
        if self.speed is not None and not 0 < self.speed < np.inf:
            raise FieldValueError("speed", self.speed, "it is a positive number of counts/s")
        self._check_distances(*self._crossings())

    def lines(self) -> SeqLines:
        """Return the table, to be played `repeats` times.

        Raises:
            FieldValueError: a guard is beyond 32 bits.
        """
        counts, up = self._crossings()
        turns = np.concatenate([[self.guard_first or self.repeats != 1], up[1:] != up[:-1]])
        at = np.arange(counts.size) + np.cumsum(turns)
        guards = at[turns] - 1
        total = counts.size + guards.size
        rising, falling = (position_trigger(self.position_input, up=way) for way in (True, False))
        trigger, position, time1 = (np.zeros(total, np.int64) for _ in range(3))
        live, frames = np.zeros(total, np.int64), np.zeros(total, np.int64)
        trigger[at], position[at] = np.where(up, rising, falling), counts
        trigger[guards] = np.where(up, falling, rising)[turns]
        position[guards] = (counts - np.where(up, 1, -1) * round(self.margin))[turns]
        time1[at], live[at], frames[at] = self.pulse, output_mask(self.outputs.live), 1
        live[at[0]] |= output_mask(self.outputs.first)
        live[at[-1]] |= output_mask(self.outputs.last)
        return SeqLines.of(
            trigger=trigger,
            position=position,
            time1=time1,
            outputs1=live,
            time2=1,
            outputs2=output_mask(self.outputs.idle),
            frames=frames,
        )

    def _crossings(self) -> tuple[Ints, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
        """Return the counts in order, and of each whether it is crossed upwards."""
        given = np.asarray(self.positions, np.float64)
        if given.ndim != 1 or not given.size:
            raise FieldValueError("positions", f"shape {given.shape}", "give a list of some")
        wrong = ~((given >= LEAST) & (given <= MOST))
        if wrong.any():
            at = int(np.argmax(wrong))
            raise FieldValueError(
                f"position {at}", float(given[at]), "counts of an encoder are 32 bits"
            )
        counts = np.rint(given).astype(np.int64)
        up = self._directions(counts)
        if not self.both_ways:
            return counts, up
        return np.concatenate([counts, counts[::-1]]), np.concatenate([up, ~up[::-1]])

    def _directions(self, counts: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        steps = np.diff(counts)
        if self.ascending is None and (counts.size < _FEWEST or not steps[0]):
            raise FieldValueError(
                "ascending", None, "the first two positions tell no direction: say which"
            )
        up = np.empty(counts.size, np.bool_)
        up[0] = steps[0] > 0 if self.ascending is None else self.ascending
        up[1:] = steps > 0
        for equal in np.flatnonzero(steps == 0):
            if equal and not steps[equal - 1]:
                raise FieldValueError(
                    f"position {equal + 1}", int(counts[equal]), "three in a row are equal"
                )
            up[equal + 1] = not up[equal]
        return up

    def _check_distances(
        self, counts: Ints, up: np.ndarray[tuple[int], np.dtype[np.bool_]]
    ) -> None:
        if self.speed is None:
            return
        ticks = np.abs(np.diff(counts)) / self.speed * self.clock
        close = (ticks <= self.pulse + 1) & (up[1:] == up[:-1])
        if close.any():
            at = int(np.argmax(close))
            raise FieldValueError(
                f"position {at + 1}",
                int(counts[at + 1]),
                f"at {self.speed:g} counts/s it comes {ticks[at]:.0f} ticks after {counts[at]}, "
                f"within the pulse of {self.pulse} and a tick: go slower or make the pulse shorter",
            )
