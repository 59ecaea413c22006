"""Where a sequencer is becomes how many frames it has done, and what it waits for.

Pure numpy; of a long stream only the last lines are remembered. Source: blocks.md 5.10.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from panda_ophyd.errors import FieldValueError
from panda_ophyd.sequences.lines import Ints, SeqLines, Trigger

REMEMBERED = 1 << 19
"""Lines: more than can wait in a box, and a few megabytes."""


class SeqState(IntEnum):
    """What a sequencer does, by its code."""

    UNREADY = 0
    WAIT_ENABLE = 1
    WAIT_TRIGGER = 2
    PHASE1 = 3
    PHASE2 = 4


_RUNNING = frozenset({SeqState.WAIT_TRIGGER, SeqState.PHASE1, SeqState.PHASE2})


@dataclass(frozen=True, slots=True, eq=False)
class _Chunk:
    """Lines in a row: their frames, and what they wait for."""

    before: Ints
    """``(n+1,)`` frames of the whole table before each line, and after the last."""
    lines: SeqLines


class SequenceProgress:
    """Knows the lines of a table, or of a stream as they are handed over.

    Args:
        lines: those known at once, all of a fixed table.
        repeats: of a fixed table, 0 for ever; None for a stream, whose lines count on.
        remembered: lines at least that are kept of a stream.

    Raises:
        FieldValueError: repeats is negative.
    """

    def __init__(
        self,
        lines: SeqLines | None = None,
        *,
        repeats: int | None = None,
        remembered: int = REMEMBERED,
    ) -> None:
        if repeats is not None and repeats < 0:
            raise FieldValueError("repeats", repeats, "it is a number of times, 0 for ever")
        self.repeats = repeats
        self._remembered = remembered
        self._chunks: list[_Chunk] = []
        self._starts: list[int] = []
        self._lines = 0
        self._frames = 0
        if lines is not None:
            self.add(lines)

    @property
    def lines(self) -> int:
        """Lines known so far, of one run of a table."""
        return self._lines

    @property
    def total_frames(self) -> int | None:
        """Frames of all lines known so far with all repeats; None for a table played for ever."""
        if self.repeats is None:
            return self._frames
        return self._frames * self.repeats or None

    def add(self, lines: SeqLines) -> None:
        """Note the next lines of the table or stream."""
        if not len(lines):
            return
        before = np.cumsum(lines.frames, dtype=np.int64) + self._frames
        self._chunks.append(_Chunk(np.concatenate([[self._frames], before]), lines))
        self._starts.append(self._lines)
        self._lines += len(lines)
        self._frames = int(before[-1])
        if self.repeats is None:
            self._forget()

    def frames_done(self, table_repeat: int, table_line: int, line_repeat: int, state: int) -> int:
        """Return how many frames were complete when the counters were read.

        Counters stay when a run ends. That it stopped in the last repeat of the last line
        counts as the end, which a run that was disabled there shows as well.

        Args:
            table_repeat: TABLE_REPEAT, from 1.
            table_line: TABLE_LINE, from 1; over all buffers of a stream.
            line_repeat: LINE_REPEAT, from 1.
            state: STATE.

        Returns:
            Frames. Of a line of a stream so long ago that it is forgotten, or not known
            yet, the nearest that is known.
        """
        if table_line < 1 or not self._chunks:
            return 0
        runs = 0 if self.repeats is None else max(table_repeat - 1, 0)
        return runs * self._frames + self._in_table(table_repeat, table_line, line_repeat, state)

    def _in_table(self, table_repeat: int, table_line: int, line_repeat: int, state: int) -> int:
        if table_line > self._lines:
            return self._frames
        chunk, at = self._find(table_line)
        if at < 0:
            return int(chunk.before[0])
        repeats = int(chunk.lines.repeats[at])
        done = max(line_repeat - 1, 0)
        last = table_line == self._lines and table_repeat == (self.repeats or 1)
        if state not in _RUNNING and last and line_repeat == repeats:
            done = repeats
        each = int(chunk.lines.frames[at]) // max(repeats, 1)
        return int(chunk.before[at]) + min(done, max(repeats, 1)) * each

    def waits_for(self, table_line: int, state: int) -> str:
        """Return what is waited for, ``waiting for POSA>=950``; empty if nothing is."""
        if state != SeqState.WAIT_TRIGGER or not 1 <= table_line <= self._lines:
            return ""
        chunk, at = self._find(table_line)
        if at < 0:
            return ""
        trigger = Trigger(int(chunk.lines.trigger[at]))
        if trigger is Trigger.IMMEDIATE:  # state and line were read one after the other
            return ""
        return f"waiting for {trigger.condition(int(chunk.lines.position[at]))}"

    def line(self, table_line: int) -> SeqLines | None:
        """Return one line of the table, None if it is forgotten or not known.

        Args:
            table_line: TABLE_LINE, from 1.
        """
        if not 1 <= table_line <= self._lines:
            return None
        chunk, at = self._find(table_line)
        return None if at < 0 else chunk.lines[at : at + 1]

    def _find(self, table_line: int) -> tuple[_Chunk, int]:
        """Return the chunk that a line is in and where; -1 if it is forgotten."""
        number = bisect_right(self._starts, table_line - 1) - 1
        if number < 0:
            return self._chunks[0], -1
        return self._chunks[number], table_line - 1 - self._starts[number]

    def _forget(self) -> None:
        spare = 0
        while (
            spare + 1 < len(self._starts)
            and self._lines - self._starts[spare + 1] >= self._remembered
        ):
            spare += 1
        del self._chunks[:spare], self._starts[:spare]
