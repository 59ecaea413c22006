"""Blocks of an acquisition wait in a ring that its writer never waits for.

Source: protocol.md 8.8.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

BLOCK_COUNT = 128
BLOCK_BYTES = 1 << 21
SMALL_BLOCK_BYTES = 1 << 18
MARGIN = 32


class State(Enum):
    """What goes on in the ring."""

    IDLE = auto()
    ACTIVE = auto()
    CLEARING = auto()
    """The writer is done and readers are not."""


class Ring:
    """The last blocks of an acquisition; blocks are numbered from its start."""

    def __init__(
        self, blocks: int = BLOCK_COUNT, margin: int = MARGIN, *, opens_empty: bool = False
    ) -> None:
        """Start idle.

        Args:
            blocks: how many are kept.
            margin: blocks that a late reader leaves between itself and the writer.
            opens_empty: whether readers join before there is a block.
        """
        self.size = blocks
        self.opens_empty = opens_empty
        self.state = State.IDLE
        self.readers = 0
        self.active = 0
        self.cycle = 0
        self.written = 0
        self._margin = margin
        self._blocks: deque[tuple[int, bytes]] = deque(maxlen=blocks)
        self._waiting: set[Reader] = set()
        self._bytes = 0

    def start(self) -> None:
        """Begin an acquisition: every reader there is takes part."""
        self._clear()
        self.active = self.readers
        self.state = State.ACTIVE

    def write(self, data: bytes) -> None:
        """Add a block, also an empty one."""
        self._blocks.append((self._bytes, data))
        self._bytes += len(data)
        self.written += 1

    def finish(self) -> None:
        """End the acquisition, at the latest when its last reader is done."""
        self.state = State.CLEARING
        self.retire()

    def retire(self) -> None:
        """Go idle if nobody needs the blocks any longer."""
        if self.state is State.CLEARING and not self.active:
            self.state = State.IDLE
            self.cycle += 1
            self._clear()

    def block(self, number: int) -> tuple[int, bytes]:
        """Return a block that is still there, and how many bytes came before it."""
        return self._blocks[number - self.written]

    @property
    def lag(self) -> int:
        """Blocks that the slowest reader has still to take."""
        return max((reader.lag for reader in self._waiting), default=0)

    def enter(self, reader: Reader) -> None:
        """Count a reader."""
        self.readers += 1
        self._waiting.add(reader)

    def forget(self, reader: Reader) -> None:
        """Count a reader no longer."""
        self.readers -= 1
        self._waiting.discard(reader)

    def first_block(self) -> int:
        """Return the block that a reader who comes now starts with."""
        if self.written + self._margin + 1 < self.size:
            return 0
        return self.written - self.size + self._margin + 1

    def _clear(self) -> None:
        self._blocks.clear()
        self._bytes = 0
        self.written = 0


class Reader:
    """One client's place in the ring."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._cycle = ring.cycle
        self._next = 0
        ring.enter(self)
        if ring.state is not State.IDLE:
            ring.active += 1

    @property
    def ready(self) -> bool:
        """Whether an acquisition that this reader has not had has begun to deliver."""
        ring = self._ring
        begun = ring.state is not State.IDLE and ring.cycle == self._cycle
        return begun and (ring.written > 0 or ring.opens_empty)

    def open(self) -> int:
        """Join the acquisition, and return how many bytes of it are lost to this reader."""
        self._next = self._ring.first_block()
        return self._ring.block(self._next)[0] if self._ring.written else 0

    @property
    def lag(self) -> int:
        """Blocks of the acquisition that this reader has still to take."""
        ring = self._ring
        taking_part = ring.state is not State.IDLE and ring.cycle == self._cycle
        return ring.written - self._next if taking_part else 0

    @property
    def overrun(self) -> bool:
        """Whether the writer has come round to the block taken last."""
        return self._ring.written - (self._next - 1) >= self._ring.size

    @property
    def exhausted(self) -> bool:
        """Whether the acquisition is over and everything of it was taken."""
        return self._next == self._ring.written and self._ring.state is State.CLEARING

    def take(self) -> bytes | None:
        """Return the next block, None if there is none yet; look at `overrun` then."""
        if self._next >= self._ring.written:
            return None
        self._next += 1
        return b"" if self.overrun else self._ring.block(self._next - 1)[1]

    def close(self) -> None:
        """Be done with this acquisition, and wait for the next."""
        self._ring.active -= 1
        self._cycle = self._ring.cycle + 1
        self._next = 0
        self._ring.retire()

    def leave(self) -> None:
        """Give up the place."""
        self._ring.forget(self)
        if self._ring.state is not State.IDLE and self._ring.cycle == self._cycle:
            self._ring.active -= 1
            self._ring.retire()
