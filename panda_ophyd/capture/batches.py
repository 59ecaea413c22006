"""Samples between the socket and the file: received once, in place, into whole chunks.

Writers are fast with whole chunks and slow with frames (a factor of ten), so samples are
received straight into buffers that end where a chunk of the file ends; a buffer that has
waited long enough goes before it is full. The buffers are few and come back, which is what
bounds the memory: without a free one, nothing more is read.
"""

from __future__ import annotations

import contextlib
import time
from queue import Empty, SimpleQueue

import numpy as np

IN_FLIGHT_BYTES = 48 * 1024 * 1024
"""Most samples we hold, waiting or being written: most of a second at PandA's 60 MB/s. Then
reading stops; the kernel's buffers and the server's own ring of 256 MiB take some seconds
more; then the server says *Data overrun*, which is the truth."""

BATCH_BYTES = 4 * 1024 * 1024
"""Most samples in one job of the writer, unless one chunk is more: enough to be fast, small
enough for the caches and for a row count that moves."""

FEWEST = 4
"""Buffers there are at least: one fills, one is written, and some make up for hiccups."""


class Stopped(Exception):  # noqa: N818  not an error
    """Nothing is going to be written any more."""


class Batch:
    """Whole samples on their way to the file.

    Attributes:
        samples: the bytes.
        buffer: what they are in.
    """

    __slots__ = ("buffer", "samples")

    def __init__(self, buffer: memoryview, samples: memoryview) -> None:
        self.buffer = buffer
        self.samples = samples


class Batches:
    """The buffers of a capture. One thread fills them, another gives them back.

    Args:
        sample_bytes: size of one sample.
        chunk: rows of a chunk in the file.
        position: row of the file that the next sample will be.

    Attributes:
        waited: seconds that the filling thread has waited for a free buffer.
        most_in_flight: highest `in_flight` so far.
    """

    def __init__(self, sample_bytes: int, chunk: int, position: int) -> None:
        self.waited = 0.0
        self.most_in_flight = 0
        self._sample_bytes = sample_bytes
        self._chunk = chunk
        self._position = position
        most = max(IN_FLIGHT_BYTES // FEWEST // sample_bytes, 1)
        chunks = max(BATCH_BYTES // (chunk * sample_bytes), 1) * chunk
        self._rows = min(chunks, most)
        self._unmade = max(IN_FLIGHT_BYTES // (self._rows * sample_bytes), 1)
        # In one piece, for then numpy asks for huge pages; none takes memory before it is used
        self._memory = np.empty(self._unmade * self._rows * sample_bytes, np.uint8).data
        self._free: SimpleQueue[memoryview | None] = SimpleQueue()
        self._buffer: memoryview | None = None
        self._view = memoryview(b"")
        self._filled = 0
        self._carried = b""
        self._put = self._done = 0

    @property
    def in_flight(self) -> int:
        """Bytes of samples that wait or are being written."""
        return self._put - self._done

    def room(self) -> memoryview:
        """Return where to put the next bytes; waits for a free buffer.

        Raises:
            Stopped: there will be none.
        """
        if self._buffer is None:
            self._begin(self._take_buffer())
        return self._view[self._filled :]

    def add(self, size: int) -> bool:
        """Note that so many bytes were put in the room; return whether it is full."""
        self._filled += size
        self._put += size
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return self._filled == len(self._view)

    def take(self) -> Batch | None:
        """Return the whole samples that have come, None if there are none."""
        size = self._filled - self._filled % self._sample_bytes
        if self._buffer is None or not size:
            return None
        batch = Batch(self._buffer, self._view[:size])
        self._carried = bytes(self._view[size : self._filled])
        self._position += size // self._sample_bytes
        self._buffer, self._filled = None, 0
        return batch

    def give_back(self, batch: Batch) -> None:
        """Have a batch filled again; from any thread."""
        self._done += len(batch.samples)
        self._free.put(batch.buffer)

    def stop(self) -> None:
        """Wake whoever waits for a free buffer, and let nobody have one; from any thread."""
        self._free.put(None)

    def _begin(self, buffer: memoryview) -> None:
        end = self._position + self._rows
        whole = end - end % self._chunk
        rows = whole - self._position if whole > self._position else self._rows
        self._buffer = buffer
        self._view = buffer[: rows * self._sample_bytes]
        self._filled = len(self._carried)
        self._view[: self._filled] = self._carried
        self._carried = b""

    def _take_buffer(self) -> memoryview:
        with contextlib.suppress(Empty):
            return self._checked(self._free.get_nowait())
        if self._unmade:
            self._unmade -= 1
            size = self._rows * self._sample_bytes
            return self._memory[self._unmade * size : (self._unmade + 1) * size]
        begun = time.monotonic()
        buffer = self._free.get()
        self.waited += time.monotonic() - begun
        return self._checked(buffer)

    def _checked(self, buffer: memoryview | None) -> memoryview:
        if buffer is None:
            self.stop()
            raise Stopped
        return buffer
