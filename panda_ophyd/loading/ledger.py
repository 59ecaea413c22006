"""Which segments of a stream the box still holds, from a count of lines alone; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from panda_ophyd.loading.chunks import Chunk, Counts
from panda_ophyd.loading.port import TableStatus


@dataclass(frozen=True, slots=True)
class _Entry:
    first_line: int
    first_frame: int
    lines: int
    ticks: int
    frames: Counts
    repeats: Counts


class Ledger:
    """What was sent of one stream.

    Args:
        kept: how many segments that were released are remembered, to tell which frame a
            line belongs to: QUEUED_LINES may be ahead of what was played.

    Attributes:
        lines: of all segments.
        frames: of all segments.
    """

    def __init__(self, kept: int = 8) -> None:
        self.lines = 0
        self.frames = 0
        self._out: deque[_Entry] = deque()
        self._released: deque[_Entry] = deque(maxlen=kept)

    @property
    def outstanding(self) -> int:
        """Segments that may still have a buffer."""
        return len(self._out)

    @property
    def ticks_behind(self) -> int:
        """Playing time of the outstanding segments but the first, which may end at any time."""
        return sum(entry.ticks for entry in self._out) - (self._out[0].ticks if self._out else 0)

    def add(self, chunk: Chunk) -> Callable[[], None]:
        """Note a segment that goes out.

        Returns:
            The way to take it back, if it was refused.
        """
        before = self.lines, self.frames
        self._out.append(
            _Entry(*before, len(chunk), chunk.total_ticks, chunk.frames, chunk.repeats)
        )
        self.lines += len(chunk)
        self.frames += chunk.total_frames

        def forget() -> None:
            self._out.pop()
            self.lines, self.frames = before

        return forget

    def release(self, queued: int) -> None:
        """Take in QUEUED_LINES: the segments in front that it does not count are released.

        A box releases whole segments. Of a number that is no sum of whole ones, the segment
        it cuts counts as outstanding.
        """
        held = sum(entry.lines for entry in self._out)
        while self._out and held - self._out[0].lines >= queued:
            entry = self._out.popleft()
            held -= entry.lines
            self._released.append(entry)

    def frames_at(self, status: TableStatus) -> int | None:
        """Return how many frames of one run through the lines were complete at a status.

        Args:
            status: of a sequencer that was started.

        Returns:
            The count, None if the line is of a segment that is forgotten or was not sent.
        """
        for entry in (*self._released, *self._out):
            at = status.line - 1 - entry.first_line
            if 0 <= at < entry.lines:
                repeats = int(entry.repeats[at])
                # the counters stay at the last repeat of the last line when that has ended
                if not status.active and (status.line, status.line_repeat) == (self.lines, repeats):
                    return self.frames
                done = entry.first_frame + int(entry.frames[:at].sum())
                # a frame for each repeat; another line ends frames only as a whole
                each = entry.frames[at] == repeats
                return done + (max(status.line_repeat - 1, 0) if each else 0)
        return None
