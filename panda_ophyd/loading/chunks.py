"""Lines on their way to a box: words, playing times and frame counts, cut by count and by time.

Pure numpy. What is held is bounded by what was asked for plus one batch of the generator.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

LINE_WORDS = 4
"""Words in a line of SEQ. Source: blocks.md 5.10."""

Words = NDArray[np.uint32]
Counts = NDArray[np.int64]

_REPEATS = np.uint32(0xFFFF)


class Lines(Protocol):
    """What loading needs of a batch of SEQ lines; `panda_ophyd.sequences.SeqLines` has it."""

    @property
    def frames(self) -> NDArray[Any]:
        """``(n,)`` frames of the scan that are complete when each line has ended."""
        ...

    def __len__(self) -> int: ...

    def words(self) -> Words:
        """Return the lines as the box has them, ``(4n,)`` uint32."""
        ...

    def line_ticks(self, prescale: int = 1) -> NDArray[Any]:
        """Return what each line takes with all its repeats, in ticks, waiting not counted."""
        ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some lines in a row.

    Attributes:
        words: ``(4n,)`` uint32, as the box has them.
        ticks: ``(n,)`` int64, playing time of each line with all its repeats.
        frames: ``(n,)`` int64, frames of the scan that are complete when a line has ended.
        is_split: whether its last two lines are one of those that were given.
    """

    words: Words
    ticks: Counts
    frames: Counts
    is_split: bool = False

    @classmethod
    def of(cls, lines: Lines, prescale: int = 1) -> Chunk:
        """Return the chunk of a batch of lines.

        Raises:
            ValueError: the lines contradict themselves about how many they are.
        """
        chunk = cls(
            np.ascontiguousarray(lines.words(), np.uint32),
            np.asarray(lines.line_ticks(prescale), np.int64),
            np.asarray(lines.frames, np.int64),
        )
        sizes = (chunk.words.size, chunk.ticks.size, chunk.frames.size)
        if sizes != (LINE_WORDS * len(lines), len(lines), len(lines)):
            raise ValueError(f"{len(lines)} lines have {sizes} words, times and frame counts")
        return chunk

    @classmethod
    def joined(cls, chunks: list[Chunk]) -> Chunk:
        """Return one chunk of several, of none an empty one."""
        if len(chunks) == 1:
            return chunks[0]
        return cls(
            np.concatenate([np.empty(0, np.uint32), *(chunk.words for chunk in chunks)]),
            np.concatenate([np.empty(0, np.int64), *(chunk.ticks for chunk in chunks)]),
            np.concatenate([np.empty(0, np.int64), *(chunk.frames for chunk in chunks)]),
        )

    def __len__(self) -> int:
        return self.ticks.size

    def part(self, start: int, stop: int) -> Chunk:
        """Return the lines from `start` to before `stop`."""
        words = self.words[LINE_WORDS * start : LINE_WORDS * stop]
        return Chunk(words, self.ticks[start:stop], self.frames[start:stop])

    @property
    def repeats(self) -> Counts:
        """``(n,)`` repeats of each line."""
        return (self.words[::LINE_WORDS] & _REPEATS).astype(np.int64)

    @property
    def total_ticks(self) -> int:
        """Playing time of all lines."""
        return int(self.ticks.sum())

    @property
    def total_frames(self) -> int:
        """Frames of the scan that all lines make."""
        return int(self.frames.sum())


class Cutter:
    """Takes batches from a generator and gives chunks; no method may run twice at a time.

    Args:
        lines: batches of lines, of any size, empty ones too.
        prescale: ticks of a unit of time in the lines.

    Attributes:
        taken: lines given so far.
    """

    def __init__(self, lines: Iterator[Lines], prescale: int = 1) -> None:
        self.taken = 0
        self._lines = lines
        self._prescale = prescale
        self._held: deque[Chunk] = deque()
        self._held_lines = 0
        self._ended = False

    def fill(self, lines: int, ticks: int | None = None) -> int:
        """Take from the generator until so many lines are held, or such a time, or it ended.

        Returns:
            How many lines are held.

        Raises:
            Exception: whatever the generator raises.
        """
        held_ticks = sum(chunk.total_ticks for chunk in self._held) if ticks is not None else 0
        while (
            not self._ended
            and self._held_lines < lines
            and (ticks is None or held_ticks < ticks or not self._held_lines)
        ):
            batch = next(self._lines, None)
            if batch is None:
                self._ended = True
            elif len(batch):
                chunk = Chunk.of(batch, self._prescale)
                self._held.append(chunk)
                self._held_lines += len(chunk)
                held_ticks += chunk.total_ticks
        return self._held_lines

    def next(self, lines: int, ticks: int | None = None) -> tuple[Chunk, bool]:
        """Return the next chunk and whether it is the last one.

        Args:
            lines: how many it has at most.
            ticks: it ends with the line that reaches this playing time; None does not cut.

        Returns:
            The chunk, empty only if there are no lines left; True if nothing comes after it,
            for which the generator is asked for one more batch.

        Raises:
            Exception: whatever the generator raises.
        """
        self.fill(lines, ticks)
        parts: list[Chunk] = []
        left = lines
        while self._held and left > 0 and (ticks is None or ticks > 0):
            chunk = self._held.popleft()
            size = min(left, len(chunk))
            if ticks is not None:
                reach = int(np.searchsorted(np.cumsum(chunk.ticks[:size]), ticks)) + 1
                size = min(size, reach)
                ticks -= int(chunk.ticks[:size].sum())
            if size < len(chunk):
                self._held.appendleft(chunk.part(size, len(chunk)))
            parts.append(chunk.part(0, size))
            left -= size
        chunk = Chunk.joined(parts)
        self.taken += len(chunk)
        self._held_lines -= len(chunk)
        return chunk, self.fill(1) == 0

    def give_back(self, chunk: Chunk) -> None:
        """Take back lines that were the latest to be given."""
        if len(chunk):
            self._held.appendleft(chunk)
            self._held_lines += len(chunk)
            self.taken -= len(chunk)

    def count(self, limit: int) -> int:
        """Return how many lines there are in all, for a message; it keeps none of them.

        Args:
            limit: where it stops to count.
        """
        total = self.taken + self._held_lines
        self._held.clear()
        self._held_lines = 0
        while total < limit and (batch := next(self._lines, None)) is not None:
            total += len(batch)
        return total
