"""TABLE_LENGTH is a machine of its own: it takes buffers, one waiting and one in transfer.

Source: blocks.md 1.9.
"""

from __future__ import annotations

from collections.abc import Sequence

from panda_simulator.behaviours.base import MASK

EMPTY, FIXED, APPENDED, OPEN, CLOSED = range(5)
"""Nothing written; a fixed table waits for its transfer; a buffer of a stream does; the
stream takes one more; nothing more is taken."""

_IDLE, _ROOM, _GRANT, _READING = range(4)
_MORE = 1 << 31
_LENGTH = (1 << 21) - 1
_BURST = 256
_GRANT_TICKS = 2


class Transfers:
    """Fetches the words of what TABLE_LENGTH announces, in bursts, one word a tick.

    A tick is: `write` if there is a write, then look at `word`, then `step`.
    """

    def __init__(self) -> None:
        self.mode = EMPTY
        self.streaming = self.fixed = False
        self.overrun = False
        self.resetting = False
        self.length = 0
        self._words: Sequence[int] = ()
        self._written = False
        self._last_buffer = False
        self._start = False
        self._state = _IDLE
        self._source: Sequence[int] = ()
        self._read = self._left = self._burst = self._wait = 0
        self._aborted = False

    def write(self, length: int, words: Sequence[int]) -> None:
        """Write the registers at the tick of the next step.

        Args:
            length: TABLE_LENGTH, its bit 31 telling that more will follow.
            words: what is at TABLE_ADDRESS.
        """
        self.length = length & MASK
        self._words = words
        self._written = True

    @property
    def takes_buffer(self) -> bool:
        """Whether a write of TABLE_LENGTH is no overrun."""
        return self.mode in (EMPTY, OPEN) and not self._start

    @property
    def word(self) -> int | None:
        """The word that arrives with the next step."""
        if self._state != _READING:
            return None
        return self._source[self._read] if self._read < len(self._source) else 0

    @property
    def word_is_last(self) -> bool:
        """Whether it is the last word of the last buffer of a stream."""
        return self._last_buffer and not self._left and self._burst == 1

    def still(self, room: int) -> int | None:
        """Return for how many steps nothing but words comes, None without end.

        Args:
            room: words that may be fetched.
        """
        if self._start or self.overrun or self._written:
            return 0
        if self._state == _READING:
            return self._burst - 1
        if self._state == _ROOM and not self._aborted and room < min(self._left, _BURST):
            return None
        settled = not self._aborted and not self.resetting and self.mode in (EMPTY, OPEN, CLOSED)
        return None if self._state == _IDLE and settled else 0

    def skip(self, steps: int) -> list[int]:
        """Take steps at once of those that are `still`; return the words that came."""
        if self._state != _READING:
            return []
        words = [*self._source[self._read : self._read + steps]]
        words += [0] * (steps - len(words))
        self._read += steps
        self._burst -= steps
        return words

    def step(self, *, abort: bool, once: bool, room: int) -> None:
        """Take one tick.

        Args:
            abort: the block gives up what is coming.
            once: a fixed table that is fetched now need not be fetched again.
            room: words that may be fetched.
        """
        busy = self._state != _IDLE or self._start
        start, was_aborted = self._start, self._aborted
        cleared = self._written and not self.length
        if abort or cleared:
            self._aborted = True
        elif self._state == _IDLE:
            self._aborted = False
        self.resetting = abort or cleared or (self.resetting and busy)
        if cleared:
            self.streaming = self.fixed = False
            self.mode = EMPTY
        elif abort:
            self.mode = self.mode if self.mode == FIXED else CLOSED
        else:
            self._start = self.overrun = False
            self._manage(busy=busy, once=once)
        self._written = False
        self._move(start=start, aborted=was_aborted, room=room)

    def _manage(self, *, busy: bool, once: bool) -> None:
        more = bool(self.length & _MORE)
        if self.mode == EMPTY:
            self.streaming = self._written and more
            self.fixed = self._written and not more
            self._last_buffer = False
            if self._written:
                self.mode = APPENDED if more else FIXED
            return
        if self.mode == OPEN:
            self.mode = APPENDED if self._written else OPEN
            return
        waiting = self.mode
        if self._written:
            self.overrun = True
            self.mode = CLOSED
        if waiting == CLOSED or busy:
            return
        self._start = True
        if waiting == FIXED:
            self.mode = CLOSED if once else self.mode
        else:
            self.mode = OPEN if more else CLOSED
            self._last_buffer = not more

    def _move(self, *, start: bool, aborted: bool, room: int) -> None:
        if self._state == _IDLE:
            self._source = self._words
            self._read, self._left = 0, self.length & _LENGTH
            if start:
                self._state = _ROOM
        elif self._state == _ROOM:
            burst = min(self._left, _BURST)
            if aborted:
                self._state = _IDLE
            elif room >= burst:
                self._burst = burst
                self._wait = _GRANT_TICKS
                self._state = _GRANT
        elif self._state == _GRANT:
            self._wait -= 1
            if not self._wait:
                self._left -= self._burst
                self._state = _READING if self._burst else _IDLE
        else:
            self._read += 1
            self._burst -= 1
            if not self._burst:
                self._state = _ROOM if self._left else _IDLE
