"""Lines that need no builder, and a table that needs no box."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from panda_ophyd.errors import SequenceError
from panda_ophyd.loading import TableStatus


@dataclass
class Batch:
    """Lines of one period; each is a frame unless told otherwise."""

    ticks: NDArray[np.int64]
    frames: NDArray[np.int64]
    repeats: int = 1
    trigger: int = 0

    def __len__(self) -> int:
        return self.ticks.size

    def words(self) -> NDArray[np.uint32]:
        each = self.ticks // self.repeats
        table = np.zeros((len(self), 4), np.uint32)
        table[:, 0] = self.repeats | self.trigger << 16 | 1 << 20  # OUTA in the first half
        table[:, 2] = each // 2
        table[:, 3] = each - each // 2
        return table.reshape(-1)

    def line_ticks(self, prescale: int = 1) -> NDArray[np.int64]:
        return self.ticks * prescale


def batch(lines: int, ticks: int = 1000, repeats: int = 1, trigger: int = 0) -> Batch:
    whole = np.full(lines, ticks * repeats, np.int64)
    return Batch(whole, np.full(lines, repeats, np.int64), repeats, trigger)


def batches(lines: int, each: int = 1000, ticks: int = 1000) -> Iterator[Batch]:
    """Lines in batches, the last one shorter."""
    for start in range(0, lines, each):
        yield batch(min(each, lines - start), ticks)


@dataclass
class FakePort:
    """A table that plays when told, and keeps the rules of the server and of the driver.

    Attributes:
        segments: playing order of what the box holds: words of each.
        most: the most segments it ever held.
        played: lines that were released.
    """

    target: str = "SEQ1.TABLE"
    max_lines: int = 100
    buffers: int = 8
    streams: bool = True
    on_status: Callable[[FakePort], None] = lambda port: None
    now: TableStatus = field(default_factory=lambda: TableStatus("UNREADY", "OK", mode="INIT"))
    segments: deque[int] = field(default_factory=deque)
    log: list[str] = field(default_factory=list)
    most: int = 0
    played: int = 0
    check_sum: int = 0

    async def supports_streaming(self) -> bool:
        return self.streams

    async def clear(self) -> None:
        self.log.append("clear")
        self.segments.clear()
        self._set(state="UNREADY", mode="INIT" if self.streams else "")

    async def mode(self) -> str:
        return self.now.mode

    async def write(self, words, *, append: bool = False, last: bool = False) -> None:
        assert words.dtype == np.uint32
        assert words.size
        assert words.size % 4 == 0
        lines = words.size // 4
        assert lines <= self.max_lines
        assert append in (False, self.streams)
        self.log.append(("<<|" if last else "<<") if append else "<")
        if append:
            assert self.now.mode in ("INIT", "STREAMING")
            if len(self.segments) >= self.buffers:
                raise SequenceError("SEQ1", "no buffer", health="OK")
            if self.played and not self.segments:
                raise SequenceError("SEQ1", "broken", health="DMA underrun")
        self.segments.append(lines)
        self.most = max(self.most, len(self.segments))
        self.check_sum += int(words.sum(dtype=np.int64))
        mode = ("STREAMING_LAST" if last else "STREAMING") if append else "FIXED"
        state = self.now.state if self.now.active else "WAIT_ENABLE"
        self._set(state=state, mode=mode if self.streams else "")

    async def queued_lines(self) -> int:
        return sum(self.segments)

    async def status(self) -> TableStatus:
        self.on_status(self)
        self._set()
        return self.now

    def play(self, segments: int = 1, **changed: object) -> None:
        """Release segments."""
        for _ in range(min(segments, len(self.segments))):
            self.played += self.segments.popleft()
        self._set(**{"state": "PHASE1", "repeat": 1, "line": self.played + 1, **changed})

    def _set(self, **changed: object) -> None:
        from dataclasses import replace

        self.now = replace(self.now, queued=sum(self.segments), **changed)


def modes(log: list[str]) -> list[str]:
    """What was written, with how often in a row."""
    return [f"{key} x{len(list(same))}" for key, same in itertools.groupby(log)]


def plays(port: FakePort) -> None:
    """Let a segment end at each look, but never the one behind which nothing waits."""
    if len(port.segments) > 1 or port.now.mode == "STREAMING_LAST":
        port.play()
