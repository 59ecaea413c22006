"""A table is a ring of lines: buffers flow in word by word, the block takes line by line.

Source: blocks.md 1.9.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat

from panda_simulator.behaviours.transfers import CLOSED, Transfers

UNDERRUN, OVERRUN = 1, 2
_LINES = 4096
_UNBOUNDED = 1 << 40
_MORE = 1 << 31


def words_at(memory: array[int], place: int, count: int) -> list[int]:
    """Return some words from a place on, 0 where there are none.

    A place with a method `words_at` of the other arguments, as that of many lines at once,
    knows how.
    """
    if place.__class__ is not int:
        reading: Callable[[array[int], int], list[int]] | None
        reading = getattr(place, "words_at", None)
        if reading is not None:
            return reading(memory, count)
    words = memory[place : place + count].tolist()
    return words + [0] * (count - len(words))


class Table:
    """The lines of a SEQ or PGEN, and what TABLE_LENGTH does to them.

    A fixed table begins again after its last line; a stream is played once. What the
    properties tell is as it is before the tick of the next `step`.
    """

    def __init__(self, line_words: int, *, long_lengths: bool) -> None:
        """Make an empty table.

        Args:
            line_words: words of a line.
            long_lengths: whether bit 31 counts as length when it comes to what is too
                long for the ring.
        """
        self._line_words = line_words
        self._more = _MORE if long_lengths else 0
        self._staged: Sequence[int] = ()
        self._transfers = Transfers()
        self._memory = array("I")
        self._version = ""
        """Another text whenever memory changes."""
        self._last_lines: set[int] = set()
        self._tick = -1
        self._resting = False
        """Whether nothing happens without end, until the block does something."""
        self._arrived = 0
        self._part: list[int] = []
        self._cursor = 0
        self._accepting = True
        self._stale = False
        self._abort = self._rewind = False
        self._over = False
        self._buffers: deque[int] = deque()
        self._played = 0
        self.valid = False
        """Whether the next line is there."""
        self.line: list[int] = [0] * line_words
        """Words of the next line."""
        self.line_is_last = False
        """Whether it is the last one of a stream."""

    def stage(self, words: Sequence[int]) -> None:
        """Keep the words that the next TABLE_LENGTH will fetch."""
        self._staged = words

    def write(self, length: int) -> None:
        """Write TABLE_LENGTH at the tick of the next step."""
        self._resting = False
        if not length:
            self._buffers.clear()
            self._played = 0
            self._over = False
        elif self._transfers.takes_buffer:
            self._buffers.append(len(self._staged))
        else:
            self._over = True
        self._transfers.write(length, self._staged)

    @property
    def length(self) -> int:
        """TABLE_LENGTH as it was written last."""
        return self._transfers.length

    @property
    def streaming(self) -> bool:
        """Whether the first buffer was not the last."""
        return self._transfers.streaming

    @property
    def fixed(self) -> bool:
        """Whether there is one buffer, to be played again and again."""
        return self._transfers.fixed

    @property
    def overrun(self) -> bool:
        """Whether a buffer was written, one tick ago, that is not taken."""
        return self._transfers.overrun

    @property
    def resetting(self) -> bool:
        """Whether what is there is being thrown away."""
        return self._abort or self._transfers.resetting

    @property
    def wrapping(self) -> bool:
        """Whether the first line follows the last."""
        transfers = self._transfers
        return transfers.fixed and not self.resetting and not transfers.length & self._more

    @property
    def broken(self) -> bool:
        """Whether only an empty table helps: a stream at its end, or a fault."""
        return self._over or (self._transfers.streaming and self._transfers.mode == CLOSED)

    @property
    def queued_buffers(self) -> int:
        """Buffers that are not played to their end."""
        return len(self._buffers)

    @property
    def queued_words(self) -> int:
        """Words of all buffers that are not played to their end."""
        return sum(self._buffers)

    @property
    def filling(self) -> bool:
        """Whether words of a fixed table are still to come."""
        return self.fixed and self._arrived < self.length and not self.resetting

    def wants_buffer(self, tick: int) -> bool:
        """Tell whether a first buffer, or one more of a stream, can be written at the tick."""
        self.catch_up(tick - 1)
        return not self._over and self._transfers.takes_buffer

    def end(self) -> None:
        """Release the buffers of a stream that was played to its end."""
        if self.streaming:
            self._buffers.clear()

    def catch_up(self, tick: int) -> None:
        """Pass all ticks up to and including this one; nothing happens to the table in them."""
        if self._resting:
            self._tick = max(self._tick, tick)
            return
        while self._tick < tick:
            still = self._still()
            ticks = tick - self._tick if still is None else min(tick - self._tick, still)
            if ticks:
                self._skip(ticks)
            else:
                self.step()

    def step(self, *, load: bool = False, abort: bool = False, rewind: bool = False) -> None:
        """Take one tick.

        Args:
            load: the block takes the next line, which stays valid for this tick.
            abort: from the next tick on give up everything; only an empty table helps.
            rewind: at the next tick go back to the first line of a fixed table.
        """
        if not (load or abort or rewind) and (self._resting or self._still() is None):
            self._resting = True
            self._tick += 1
            return
        self._resting = False
        transfers, wrapping = self._transfers, self.wrapping
        reset = self.resetting or self._rewind
        lines = self._arrived // self._line_words
        word = transfers.word if self._accepting else None
        if reset and not wrapping:
            self._arrived, word = 0, None
            self._part.clear()
        if reset:
            self._cursor = 0
        elif load and self.valid:
            self._take_line()
            arrived = self._arrived + (word is not None)
            if wrapping and self._cursor == arrived // self._line_words:
                self._cursor = 0
        self._look()
        self._stale = False
        if word is not None:
            self._store([word])
            if transfers.word_is_last:
                self._last_lines.add((self._arrived - 1) // self._line_words % _LINES)
        self.valid = lines > 0 if wrapping else lines != self._cursor and not reset
        self._accepting = not reset
        transfers.step(abort=self._abort, once=wrapping, room=self._room(lines))
        self._abort, self._rewind = abort, rewind
        if abort:
            self._over = True
            self._buffers.clear()
        self._tick += 1

    def wake(self) -> int | None:
        """Return the next tick at which the table by itself changes something."""
        if self._resting:
            return None
        still = self._still()
        self._resting = still is None
        return None if still is None else self._tick + still + 1

    def _take_line(self) -> None:
        self._cursor += 1
        if self.streaming and self._buffers:
            if self._played >= self._buffers[0]:
                self._buffers.popleft()
                self._played = 0
            self._played += self._line_words

    def _look(self) -> None:
        """Read the line at the cursor."""
        self.line = words_at(
            self._memory, self._slot(self._cursor * self._line_words), self._line_words
        )
        self.line_is_last = bool(self._last_lines) and self._cursor % _LINES in self._last_lines

    def _slot(self, word: int) -> int:
        """Return where a word is in memory; that of a stream is a ring."""
        return word if self.fixed else word % (_LINES * self._line_words)

    def _store(self, words: list[int]) -> None:
        """Take words that arrived; a line goes to memory when it is complete."""
        at = self._arrived - len(self._part)
        self._arrived += len(words)
        self._part += words
        whole = len(self._part) // self._line_words * self._line_words
        if not whole:
            return
        lines = array("I", self._part[:whole])
        self._part = self._part[whole:]
        first = at // self._line_words
        self._stale = first <= self._cursor
        if self._last_lines:
            count = len(lines) // self._line_words
            self._last_lines.difference_update(n % _LINES for n in range(first, first + count))
        slot = self._slot(at)
        fitting = len(lines) if self.fixed else _LINES * self._line_words - slot
        if self._memory[slot : slot + len(lines)] != lines:
            self._version = str(int(self._version or 0) + 1)
        self._memory.extend(repeat(0, slot - len(self._memory)))
        self._memory[slot : slot + min(len(lines), fitting)] = lines[:fitting]
        if len(lines) > fitting:
            self._memory[: len(lines) - fitting] = lines[fitting:]

    def _room(self, lines: int) -> int:
        if self.fixed:
            return _UNBOUNDED
        return (_LINES - 1 - lines + self._cursor) * self._line_words

    def _still(self) -> int | None:
        """Return for how many ticks nothing but words comes, None without end."""
        lines = self._arrived // self._line_words
        still = self._transfers.still(self._room(lines))
        if still == 0 or self._abort or self._rewind or self._stale:
            return 0
        if self._transfers.resetting:
            emptied = not self._arrived and not self._cursor and not self.valid
            return still if emptied and not self._accepting else 0
        valid = lines > 0 if self.wrapping else lines != self._cursor
        return still if valid == self.valid and self._accepting and (valid or still is None) else 0

    def _skip(self, ticks: int) -> None:
        words = self._transfers.skip(ticks)
        if words and not self._transfers.resetting:
            self._store(words)
            self._look()
        self._tick += ticks
