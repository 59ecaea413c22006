"""What may meddle with the data that one client is sent."""

from __future__ import annotations

from typing import Protocol


class StreamTap(Protocol):
    """Sees an acquisition pass on its way to one client, and may change it."""

    busy: bool
    """Whether there is anything to meddle with."""

    def missed(self) -> int:
        """Return how many more samples the client misses at the start of an acquisition."""
        ...

    def header(self, text: bytes) -> bytes:
        """Return what is sent instead of a header."""
        ...

    def boundary(self, sent: int) -> int | None:
        """Return after how many more samples a piece has to end, None if anywhere."""
        ...

    def overrun(self, sent: int) -> bool:
        """Tell whether the client is to be called too slow, after so many samples."""
        ...

    def rows(self, first: int, data: bytes, row_bytes: int) -> bytes:
        """Return what is sent instead of whole samples as the hardware made them."""
        ...

    def frame(self, piece: bytes) -> bytes:
        """Return what is sent instead of a piece of data, as it is on the wire."""
        ...

    def end(self, line: bytes) -> bytes:
        """Return what is sent instead of an END line."""
        ...
