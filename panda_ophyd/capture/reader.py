"""The reading half: one thread takes samples from the connection and brings them to the store.

It waits for bytes, for a free buffer, or for a time at which something is due: rows that
have waited for their chunk long enough go to the file, and whoever watches is told how many
have come. Everything else that comes, and the end of it, goes the same way in order.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Mapping
from typing import NoReturn

from panda_ophyd.capture.batches import Batches, Stopped
from panda_ophyd.capture.result import Sent, difference
from panda_ophyd.capture.store import Store
from panda_ophyd.client import CaptureStream
from panda_ophyd.columns import Column, ColumnDecoder
from panda_ophyd.data import CaptureEnd, CaptureStart, Payload
from panda_ophyd.errors import CaptureError, ProtocolError

TELL_PERIOD = 0.02
"""Seconds between two announcements of received rows: often for people, seldom for a loop."""

FULL_FLUSH_PERIOD = 0.1
"""Seconds between two flushes while chunks fill faster than that."""

BUSY_PERIOD = 0.01
"""Seconds between two looks whether the store is free to take rows that should be written."""

_DISCARD_BYTES = 1 << 20
_NEVER = float("inf")


class Reader:
    """What comes on a data connection, brought to a store.

    Args:
        stream: open when the thread starts.
        store: where it goes.
        names: (field, capture) to dataset name, of all that is set to be captured.
        failure: makes the exception for what is wrong with an acquisition.
        flush_period: most time a sample waits before it is written, s.
        limit: rows after which nothing more is written.
        chunk: rows of a chunk in the file.
        announce: called from the thread when something here has changed.

    Attributes:
        bytes: of samples that have come.
        begun: headers that have come.
        finished: whether nothing more will come.
    """

    def __init__(
        self,
        stream: CaptureStream,
        store: Store,
        names: Mapping[tuple[str, str], str],
        failure: Callable[[str], CaptureError],
        flush_period: float,
        limit: int | None,
        chunk: int,
        announce: Callable[[], object],
    ) -> None:
        self.bytes = self.begun = 0
        self.finished = False
        self._stream = stream
        self._store = store
        self._names = names
        self._failure = failure
        self._flush_period = flush_period
        self._limit = limit
        self._chunk = chunk
        self._announce = announce
        self._columns: tuple[Column, ...] = ()
        self._sample_bytes = 1
        self._begun_at = 0  # of the bytes
        self._beyond = 0  # samples beyond the limit then
        self._batches: Batches | None = None
        self._discard = memoryview(bytearray())
        self._hurried = 0
        self._stopping = False
        self._oldest: float | None = None  # when the first sample came that is not flushed
        self._flushed = 0.0  # when it was last asked for
        self._brought = False  # samples that nobody has asked to flush
        self._told = 0.0
        self._untold = False
        self._thread = threading.Thread(target=self._run, name="panda-reader", daemon=True)

    @property
    def received(self) -> int:
        """How many samples have come, written or not."""
        return self.bytes // self._sample_bytes

    @property
    def accepted(self) -> int:
        """How many of them go to the file."""
        return self.received if self._limit is None else min(self.received, self._limit)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come since the last header."""
        return self.bytes == self._begun_at

    @property
    def in_flight(self) -> int:
        """Bytes of samples that wait or are being written."""
        return self._batches.in_flight if self._batches else 0

    @property
    def most_in_flight(self) -> int:
        """Highest `in_flight` so far."""
        return self._batches.most_in_flight if self._batches else 0

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more; what has come is still brought to the store. From any thread."""
        self._stopping = True
        self._stream.abort()
        if self._batches:
            self._batches.stop()

    def join(self) -> None:
        """Return when the thread has ended; stop it first."""
        self._thread.join()

    @contextlib.contextmanager
    def in_a_hurry(self) -> Generator[None]:
        """Have every row written as it comes, without waiting for more."""
        self._hurried += 1
        self._stream.wake()
        try:
            yield
        finally:
            self._hurried -= 1

    # On the thread

    def _run(self) -> None:
        failure: Exception | None = None
        try:
            self._follow()
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001  raised by wait_ended() and close()
            failure = None if self._stopping else error
        self._bring(flush=True)
        self._store.cut(self._sent(), failure)
        self.finished = True
        self._announce()

    def _follow(self) -> None:
        while True:
            match self._stream.next_event(self._room(), self._patience()):
                case Payload(size):
                    self._take(size)
                case CaptureStart() as start:
                    self._begin(start)
                case CaptureEnd() as end:
                    self._end(end)
                case None:
                    pass
            self._do_what_is_due()

    def _room(self) -> memoryview:
        """Return where samples go, also those that nobody wants."""
        if self._batches is None:
            return self._discard
        if self._limit is None:
            return self._batches.room()
        left = self._limit * self._sample_bytes - self.bytes
        if left > 0:
            return self._batches.room()[:left]
        if not self._discard:
            self._discard = memoryview(bytearray(_DISCARD_BYTES))
        return self._discard

    def _patience(self) -> float | None:
        """Return how long to wait for bytes: until something else is due."""
        now = time.monotonic()
        due = self._told + TELL_PERIOD if self._untold else _NEVER
        if self._oldest is not None:
            flush = now if self._hurried else self._oldest + self._flush_period
            due = min(due, max(flush, now + BUSY_PERIOD) if self._store.is_busy else flush)
        return None if due == _NEVER else max(due - now, 0.0)

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        if self._oldest is not None:
            due = self._hurried or now >= self._oldest + self._flush_period
            # A busy store would only let it wait, and a buffer with it that is not full
            if due and not self._store.is_busy:
                self._bring(flush=True)
        if self._untold and now >= self._told + TELL_PERIOD:
            self._untold = False
            self._told = now
            self._announce()

    def _begin(self, start: CaptureStart) -> None:
        decoder = ColumnDecoder(start, self._names.keys() if self._names else None)
        if not self._columns:
            self._check_captured(decoder)
        elif what := difference(self._columns, decoder.columns):
            raise self._failure(what)
        self._columns, self._sample_bytes = decoder.columns, decoder.sample_bytes
        if self._batches is None:
            self._batches = Batches(decoder.sample_bytes, self._chunk, 0)
        self._begun_at = self.bytes
        self._beyond = self.received - self.accepted
        self.begun += 1
        self._store.begin(start, decoder)

    def _check_captured(self, decoder: ColumnDecoder) -> None:
        missing = self._names.keys() - {(c.field, c.capture) for c in decoder.columns}
        if missing:
            fields = ", ".join(sorted(f"{field} {capture}" for field, capture in missing))
            raise self._failure(f"the PandA does not capture {fields}; its settings have changed")

    def _take(self, size: int) -> None:
        if self._stream.frame_start % self._sample_bytes:
            self._refuse(self._stream.frame_start)
        now = time.monotonic()
        wanted = self._limit is None or self.bytes < self._limit * self._sample_bytes
        self.bytes += size
        self._untold = True
        if not wanted or self._batches is None:
            return
        if self._oldest is None:
            self._oldest = now
        if self._batches.add(size):
            period = min(self._flush_period, FULL_FLUSH_PERIOD)
            self._bring(flush=now >= self._flushed + period)

    def _end(self, end: CaptureEnd) -> None:
        size = self.bytes - self._begun_at
        if size % self._sample_bytes:
            self._refuse(size)
        self._bring(flush=False)
        self._oldest = None
        self._brought = False  # END flushes
        self._store.end(self._sent(end))

    def _sent(self, end: CaptureEnd | None = None) -> Sent:
        """Return what has come of this acquisition."""
        beyond = self.received - self.accepted
        return Sent(
            end=end,
            received=self.received - self._begun_at // self._sample_bytes,
            bytes=self.bytes - self._begun_at,
            last_frame=self._stream.frame_start // self._sample_bytes,
            discarded=beyond - self._beyond,
            queued=self.most_in_flight,
            waited=self._batches.waited if self._batches else 0.0,
        )

    def _refuse(self, size: int) -> NoReturn:
        raise ProtocolError(
            f"{size} bytes of data are no whole number of {self._sample_bytes}-byte samples"
        )

    def _bring(self, *, flush: bool) -> None:
        """Hand on the whole samples there are, and have them counted."""
        batches = self._batches
        if batches is None:
            return
        if batch := batches.take():
            self._store.write(batch, batches, flush=flush)
            self._brought = True
        elif flush and self._brought:
            self._store.flush()
        if flush:
            self._oldest = None
            self._brought = False
            self._flushed = time.monotonic()
