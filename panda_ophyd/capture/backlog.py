"""Samples between the socket and the file: bounded, and handed on in whole chunks.

Writers are fast with whole chunks and slow with frames (a factor of ten), so frames are
collected until they reach the next chunk's end, or until they have waited long enough.
"""

from __future__ import annotations

from collections import deque

IN_FLIGHT_BYTES = 48 * 1024 * 1024
"""Most samples we hold, waiting or being written. With what `CaptureStream` reads ahead
this is 64 MiB, a second at PandA's 60 MB/s. Then reading stops; the server's own ring
takes some three seconds more; then it says *Data overrun*, which is the truth."""

BATCH_BYTES = 4 * 1024 * 1024
"""Most samples in one job of the writer: enough to be fast, small enough for the caches
and for a row count that moves."""


class Backlog:
    """A queue of whole samples.

    Args:
        sample_bytes: size of one sample.
        chunk: rows of a chunk in the file.
        position: row of the file that the next sample will be.
    """

    def __init__(self, sample_bytes: int, chunk: int, position: int) -> None:
        self._sample_bytes = sample_bytes
        self._chunk = chunk
        self._position = position
        self._payloads: deque[memoryview] = deque()
        self._bytes = 0
        self._most_rows = max(BATCH_BYTES // sample_bytes // chunk, 1) * chunk

    @property
    def rows(self) -> int:
        """How many samples wait."""
        return self._bytes // self._sample_bytes

    @property
    def bytes(self) -> int:
        """How many bytes wait."""
        return self._bytes

    def put(self, payload: memoryview) -> None:
        """Add whole samples; they are not copied."""
        if payload:
            self._payloads.append(payload)
            self._bytes += len(payload)

    def due(self, *, everything: bool) -> int:
        """Return how many rows to write next: up to the end of a chunk, or what there is.

        Args:
            everything: also rows that fill no chunk.
        """
        beyond = (self._position + self.rows) % self._chunk
        whole = self.rows - beyond
        if whole > 0:
            # The first rows may only complete a chunk, the last ones end one
            most = self._most_rows - self._position % self._chunk
            return min(whole, most)
        return self.rows if everything else 0

    def take(self, rows: int) -> list[memoryview]:
        """Remove and return the oldest rows, in pieces."""
        wanted = rows * self._sample_bytes
        self._bytes -= wanted
        self._position += rows
        taken: list[memoryview] = []
        while wanted:
            piece = self._payloads.popleft()
            if len(piece) > wanted:
                self._payloads.appendleft(piece[wanted:])
                piece = piece[:wanted]
            taken.append(piece)
            wanted -= len(piece)
        return taken
