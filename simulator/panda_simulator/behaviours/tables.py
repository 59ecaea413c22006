"""A table is buffers of words that a block plays line by line: one fixed, or a stream.

Source: blocks.md 1.9.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from panda_simulator.behaviours.base import earliest

UNDERRUN, OVERRUN = 1, 2
_MORE = 1 << 31
_FETCH = 7
_CLEAR = 2


@dataclass(slots=True)
class _Buffer:
    words: list[int]
    usable_from: int
    transferred: int
    more: bool


class Table:
    """Buffers, a cursor on the line that plays next, and what TABLE_LENGTH does to them."""

    def __init__(self, line_words: int) -> None:
        self._line_words = line_words
        self._staged: list[int] = []
        self._buffers: deque[_Buffer] = deque()
        self._cursor = 0
        self._over = False
        self._fresh = False
        self.streaming = False
        self.lines = 0
        self.fault_at: int | None = None
        self.empty_at: int | None = None

    def stage(self, words: list[int]) -> None:
        """Keep the words that the next TABLE_LENGTH will fetch."""
        self._staged = words

    def write(self, tick: int, length: int) -> None:
        """Take a write of TABLE_LENGTH."""
        if length == 0:
            self._buffers.clear()
            self._cursor = 0
            self._over = self.streaming = False
            self._fresh = True
            self.empty_at = tick + _CLEAR
            return
        more = bool(length & _MORE)
        words = self._staged[: length & ~_MORE]
        if self._over or (self._buffers and not self._appends(tick)):
            self.fault_at = tick + 1
            return
        if not self._buffers and not self.streaming:
            self.streaming = more
        start = max(tick, self._buffers[-1].transferred if self._buffers else tick)
        self._buffers.append(
            _Buffer(words, start + _FETCH + self._line_words, start + _FETCH + len(words), more)
        )
        self.lines = len(words) // self._line_words

    def _appends(self, tick: int) -> bool:
        """Tell whether a stream takes one more buffer: one in transfer, one waiting."""
        if not self.streaming or not self._buffers[-1].more:
            return False
        waiting = len(self._buffers) > 1 and self._buffers[-2].transferred > tick
        return not waiting

    def wants_buffer(self, tick: int) -> bool:
        """Tell whether a first buffer, or one more of a stream, can be written at the tick."""
        return not self._over and (not self._buffers or self._appends(tick))

    @property
    def queued_buffers(self) -> int:
        """Buffers that are not released."""
        return len(self._buffers)

    @property
    def free_at(self) -> int | None:
        """When a waiting buffer goes into transfer, so that one more can be written."""
        return self._buffers[-2].transferred if len(self._buffers) > 1 else None

    @property
    def broken(self) -> bool:
        """Whether only an empty table helps: stream at its end, or a fault."""
        return self._over or (self.streaming and bool(self._buffers) and not self._buffers[-1].more)

    @property
    def queued_words(self) -> int:
        """Words of all buffers that are not released."""
        return sum(len(buffer.words) for buffer in self._buffers)

    @property
    def ready_at(self) -> int | None:
        """When the first line is in; None while there is none."""
        return self._buffers[0].usable_from if self._buffers and not self._over else None

    def current(self, tick: int) -> list[int] | None:
        """Return the line to play, None when it is not there (underrun)."""
        if self._over or not self._buffers or self._buffers[0].usable_from > tick:
            return None
        return self._buffers[0].words[self._cursor : self._cursor + self._line_words]

    @property
    def on_last(self) -> bool:
        """Whether the cursor is on the last line of a fixed table or of a last buffer."""
        if not self._buffers or self._buffers[0].more:
            return False
        return self._cursor + self._line_words >= len(self._buffers[0].words)

    def step(self) -> None:
        """Go on to the next line; a fixed table begins again, a played buffer is released.

        A table that replaced another in the middle of a line goes on to its first line.
        """
        fresh, self._fresh = self._fresh, False
        if fresh or not self._buffers:
            return
        self._cursor += self._line_words
        if self._cursor >= len(self._buffers[0].words):
            self._cursor = 0
            if self.streaming:
                self._buffers.popleft()

    def rewind(self) -> None:
        """Go back to the first line of a fixed table."""
        self._cursor = 0
        self._fresh = False

    def lose(self) -> None:
        """Drop everything: the stream has ended, or a fault; only an empty table helps."""
        self._buffers.clear()
        self._cursor = 0
        self._over = True

    def wake(self, tick: int) -> int | None:
        """Return the next tick at which the table by itself changes something."""
        dues = (self.fault_at, self.empty_at, self.ready_at, self.free_at)
        return earliest(*(due for due in dues if due is not None and due > tick))
