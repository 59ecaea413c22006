"""Feeds a block its table: a fixed one at once, the segments of a stream when it takes them.

Source: blocks.md 1.9; protocol.md 5.4, 5.5.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from panda_simulator.behaviours import TableBlock

BUFFERS = 8
"""Segments that may be outstanding, those that play included."""

Strobe: TypeAlias = Callable[[int], None]

_MORE = 1 << 31


class Feed:
    """The buffers between the server and one SEQ or PGEN."""

    def __init__(self, block: TableBlock) -> None:
        self._block = block
        self._waiting: deque[tuple[Sequence[int], bool]] = deque()
        self._streaming = False
        self._last_sent = False

    @property
    def queued_words(self) -> int:
        """Words that are not released."""
        return self._block.queued_words + sum(len(words) for words, _ in self._waiting)

    def write_fixed(self, words: Sequence[int], strobe: Strobe) -> None:
        """Replace the table; no words clear it.

        Args:
            words: of the whole table.
            strobe: writes TABLE_LENGTH, each time at a tick of its own.
        """
        self._waiting.clear()
        self._streaming = self._last_sent = False
        strobe(0)
        if words:
            self._block.stage(words)
            strobe(len(words))

    def write_segment(self, words: Sequence[int], strobe: Strobe, *, last: bool) -> None:
        """Append a segment to the stream, which the first one begins; `push` sends it.

        Raises:
            OSError: EPIPE if the last segment was written or the stream broke, ENOMEM if
                too many are outstanding.
        """
        if not self._streaming:
            if self._block.queued_words:
                self.write_fixed([], strobe)
        elif self._last_sent or self._block.broken:
            raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
        elif self._block.queued_buffers + len(self._waiting) >= BUFFERS:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        self._streaming = True
        self._last_sent = last
        self._waiting.append((words, last))

    def push(self, tick: int, strobe: Strobe) -> None:
        """Give the block the next segment if it takes one.

        Args:
            tick: at which the strobe will be.
            strobe: writes TABLE_LENGTH at that tick.
        """
        if not self._waiting:
            return
        if self._block.broken:
            self._waiting.clear()
        elif self._block.wants_buffer(tick):
            words, last = self._waiting.popleft()
            self._block.stage(words)
            strobe(len(words) if last else len(words) | _MORE)
