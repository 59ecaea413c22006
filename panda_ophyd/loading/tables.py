"""Cuts lines into tables that two sequencers play by turns, exact to the tick; pure numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from panda_ophyd.errors import FieldValueError
from panda_ophyd.loading.chunks import LINE_WORDS, Chunk, Cutter

_REPEATS = 0xFFFF
_GROWTH = 4
"""By what part of itself a table grows that has no line to end with."""

_OUTPUTS2 = np.uint32(0x3F << 26)
"""Outputs of the second phase. Source: blocks.md 5.10."""


class TurnCutter:
    """Takes lines and gives tables whose last line is short by what the hand-over takes.

    Args:
        cutter: the lines, of prescale 1.
        target: for messages.
        max_lines: of a table.
        least_ticks: playing time of a table, or half of it, where its lines are enough for it.
        hand_over: ticks from the end of a table to the start of the next.
    """

    def __init__(
        self, cutter: Cutter, target: str, *, max_lines: int, least_ticks: int, hand_over: int
    ) -> None:
        self._cutter = cutter
        self._target = target
        self._max_lines = max_lines
        self._least_ticks = least_ticks
        self._hand_over = hand_over

    def next(self) -> tuple[Chunk, bool]:
        """Return the next table and whether it is the last one.

        A table ends with a line of one repeat with all outputs low in its second phase, as
        they are during a hand-over, and that phase is shortened. A line of more repeats is
        split for it.

        Raises:
            FieldValueError: there is no such line, or one repeats for ever.
            Exception: whatever the generator raises.
        """
        first = self._cutter.taken + 1
        chunk, last = self._cutter.next(self._max_lines, self._least_ticks)
        while not last and not self._is_enough(chunk) and len(chunk) < self._max_lines:
            size = min(len(chunk) // _GROWTH + 1, self._max_lines - len(chunk))
            more, last = self._cutter.next(size)
            chunk = Chunk.joined([chunk, more])
        if last:
            return chunk, True
        if endless := np.flatnonzero(chunk.repeats == 0).tolist():
            reason = "it repeats for ever, so no line after it is ever played"
            raise FieldValueError(self._target, f"line {first + endless[0]}", reason)
        at = self._cut(chunk)
        if at is None:
            reason = (
                f"none of them ends with outputs low for more than {self._hand_over} ticks, which"
                f" is what it takes until the other sequencer goes on: give frames more dead time"
            )
            lines = f"lines {first} to {first + len(chunk) - 1}"
            raise FieldValueError(self._target, lines, reason)
        self._cutter.give_back(chunk.part(at + 1, len(chunk)))
        return self._shortened(chunk.part(0, at + 1)), False

    def _is_enough(self, chunk: Chunk) -> bool:
        at = self._cut(chunk)
        return at is not None and 2 * chunk.part(0, at + 1).total_ticks >= self._least_ticks

    def _cut(self, chunk: Chunk) -> int | None:
        """Return the last line after which the table may end, None if there is none."""
        rows = chunk.words.reshape(-1, LINE_WORDS)
        fits = ((rows[:, 0] & _OUTPUTS2) == 0) & (rows[:, 3] > self._hand_over)
        # a line of several repeats becomes two
        fits &= (chunk.repeats == 1) | (np.arange(len(chunk)) < self._max_lines - 1)
        found = np.flatnonzero(fits)
        return int(found[-1]) if found.size else None

    def _shortened(self, chunk: Chunk) -> Chunk:
        before, line = chunk.part(0, len(chunk) - 1), chunk.part(len(chunk) - 1, len(chunk))
        repeats, ticks, frames = int(line.repeats[0]), int(line.ticks[0]), int(line.frames[0])
        each = ticks // repeats
        ending = 1 if frames == repeats else frames
        parts = [before]
        if repeats > 1:
            others = _with_repeats(line, repeats - 1)
            parts.append(Chunk(others, line.ticks - each, line.frames - ending))
        words = _with_repeats(line, 1)
        words[3] -= np.uint32(self._hand_over)
        # its time stays what it was: the hand-over is part of it
        parts.append(Chunk(words, np.array([each]), np.array([ending])))
        return replace(Chunk.joined(parts), is_split=repeats > 1)


def _with_repeats(line: Chunk, repeats: int) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    words = np.array(line.words, np.uint32)
    words[0] = (int(words[0]) & ~_REPEATS & 0xFFFFFFFF) | repeats
    return words
