"""One data connection, one writer thread, one file; a row is counted when it can be read.

::

    CaptureStream -> Capture -> Store, Backlog ---thread---> decode, append, flush
                                     |                               |
    on_rows, wait_ended  <-----------+------------ count <-----------+

Promises, each with a test of its name:

1. No row is announced that is not flushed.
2. At every flush all datasets have equal length.
3. Rows written equal the END count, or `CaptureError`.
4. A writer's exception reaches whoever waits.
5. At most 64 MiB are in flight; then reading stops.
6. After an END other than Ok or Disarmed the last frame is suspect: the file says so, and
   the error too. It is not held back until END, which may come only after somebody has
   waited for its rows.

The first failure is the one that counts: everybody who waits gets it, rows received before
it are still written, and the data connection is closed so that the PandA is not held up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from panda_ophyd.capture.bulletin import Bulletin
from panda_ophyd.capture.result import Acquisition, CaptureResult, difference
from panda_ophyd.capture.rows import NO_MEANINGS, FileRows, Meanings
from panda_ophyd.capture.store import Store
from panda_ophyd.client import CaptureStream, PandaAddress
from panda_ophyd.columns import Column, ColumnDecoder
from panda_ophyd.data import CaptureEnd, CaptureStart, Frame
from panda_ophyd.errors import CaptureError, PandaConnectionError
from panda_ophyd.verdict import AcquisitionRecord, Verdict, judge
from panda_ophyd.writers import Dataset, FileOptions, Hdf5Writer, Writer, check_dataset_names

FLUSH_PERIOD = 0.1
"""Seconds a row waits for its chunk to fill, unless told otherwise: the server hands slow
rows over at this period (protocol.md 8.6)."""

DRAIN_TIMEOUT = 8.0
"""Seconds for END to come after closing was asked for: the server's ring of 256 MiB takes
about half of it."""

_log = logging.getLogger(__name__)


class Capture:
    """Write what the data port sends to one file, over any number of acquisitions.

    ``await open()``, arm, ``await wait_ended()``, ..., ``await close()``. Single use.

    Args:
        address: the PandA.
        path: the file; it must not exist.
        names: (field, capture) to dataset name, of all that is set to be captured. A
            header without one of them is a failure, and columns that the server adds on
            its own account are left out. Empty: whatever comes, under ``FIELD.CAPTURE``.
        flush_period: most time a received row waits before it is written, s.
        limit: rows after which nothing more is written, over all acquisitions.
        on_rows: called on the loop with the number of rows that can be read, after each flush.
        on_received: called on the loop with the number of rows received, limited or not.
        on_failure: called on the loop with the first failure.
        options: how the rows are kept.
        meanings: what the box says of its fields, for the attributes of the datasets.
        writer: makes the writer; None: `Hdf5Writer`, with the options.

    Attributes:
        path: the file.
        received: how many rows have come, written or not.
        error: the first failure, None if all is well.
        results: acquisitions that have ended well.

    Raises:
        FieldValueError: names are empty, equal, or impossible in a file.
    """

    def __init__(
        self,
        address: PandaAddress | str,
        path: Path,
        *,
        names: Mapping[tuple[str, str], str] | None = None,
        flush_period: float = FLUSH_PERIOD,
        limit: int | None = None,
        on_rows: Callable[[int], object] | None = None,
        on_received: Callable[[int], object] | None = None,
        on_failure: Callable[[Exception], object] | None = None,
        options: FileOptions = FileOptions(),  # noqa: B008  frozen
        meanings: Meanings = NO_MEANINGS,
        writer: Callable[[], Writer] | None = None,
    ) -> None:
        self.path = path
        self.received = 0
        self.error: Exception | None = None
        self.results: tuple[CaptureResult, ...] = ()
        self._names = dict(names or {})
        check_dataset_names(list(self._names.values()))
        self._limit = limit
        self._on_received = on_received
        self._on_failure = on_failure
        self._bulletin = Bulletin()
        self._stream = CaptureStream(address)
        self._store = Store(
            writer() if writer else Hdf5Writer(options),
            FileRows(self._names, options, meanings),
            options.chunk,
            flush_period,
            self._bulletin,
            on_rows,
        )
        self._records: list[AcquisitionRecord] = []
        self._reading: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._used = False
        self._closed = False
        self._columns: tuple[Column, ...] = ()
        self._sample_bytes = 0
        self._present: Acquisition | None = None
        self._owed = 0
        self._fetched = 0

    @property
    def rows(self) -> int:
        """How many rows can be read from the file."""
        return self._store.rows

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """What the file holds, empty before the first header."""
        return self._store.datasets

    @property
    def verdict(self) -> Verdict:
        """What can be said of the file by now; final after `close`."""
        lengths = {dataset.name: self.rows for dataset in self.datasets}
        if self.error is None:
            return judge(self._records, lengths)
        short = self.error.reason if isinstance(self.error, CaptureError) else None
        return judge(self._records, lengths, str(self.error), reason=short)

    @property
    def pending(self) -> bool:
        """Whether an acquisition is under way, or was armed and has not begun here yet."""
        return self._present is not None or self._owed > 0

    @property
    def first_row(self) -> int:
        """Where in the file the rows of the acquisition under way begin, or would."""
        return self._present.first_row if self._present else self.rows

    def expect(self) -> None:
        """Note that PCAP was armed for this capture: its header and END will come.

        Closing then waits for them, however early it is called.
        """
        self._owed += 1

    def fail(self, failure: Exception) -> None:
        """Count the capture as failed, for a reason that is known elsewhere; rows are kept."""
        self._fail(failure)

    async def settled(self, received: int, *, timeout: float) -> None:
        """Return when so many rows came, or no more will, and all are flushed; or after so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._bulletin.until(
                    lambda: self.received >= received or not self.pending or self.error
                )
                await self._store.written()

    @property
    def status(self) -> str:
        """One line for the user."""
        if self.error:
            return str(self.error)
        if self._closed:
            return f"Closed with {self.rows} rows"
        if self._present:
            return f"Capturing, {self.rows} rows"
        return "Waiting for an acquisition" if self._reading else "Not open"

    async def open(self) -> None:
        """Make the file and the data connection; then PCAP may be armed.

        Raises:
            WriterError: the file cannot be made.
            PandaConnectionError: the data port cannot be reached.
            CaptureError: this capture was opened or closed before.
        """
        if self._used:
            raise self._failure("a capture is opened once; make a new one")
        self._used = True
        opened = False
        try:
            await self._stream.open()
            await self._store.create(self.path)
            opened = True
        finally:
            if not opened:
                self._closed = True
                self._store.abandon()
                await self._stream.close()
        self._reading = asyncio.create_task(self._read(), name=f"read for {self.path}")
        self._reading.add_done_callback(self._task_done)
        self._store.start().add_done_callback(self._task_done)

    async def wait_ended(self) -> CaptureResult:
        """Wait until the next acquisition has ended and all its rows are in the file.

        The n-th call that returns gives the n-th acquisition, over already or not, so one
        call belongs to each ARM; a cancelled call does not count.

        Raises:
            CaptureError: it did not end well, or was not of the same fields as the ones
                before, or the capture was closed before it ended.
            WriterError: the file would not take its rows.
            PandaConnectionError: the connection was lost.
        """
        wanted = self._fetched + 1
        await self._bulletin.until(
            lambda: len(self.results) >= wanted or self.error or self._closed
        )
        if len(self.results) >= wanted:
            self._fetched = wanted
            return self.results[wanted - 1]
        raise self.error or self._failure("it was closed before an acquisition ended")

    async def close(self, *, timeout: float = DRAIN_TIMEOUT) -> CaptureResult | None:
        """Take the rest of an acquisition under way, write everything, close the file.

        Disarm first: only then END comes. May be called again, and again fails the same.

        Args:
            timeout: how long END may take, s.

        Returns:
            The last acquisition's result, None if there was no acquisition.

        Raises:
            CaptureError: the first failure, or END did not come.
            WriterError: the first failure, or the file cannot be closed.
            PandaConnectionError: the first failure.
        """
        self._used = True
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(timeout), name=f"close {self.path}")
        # Whoever gives up waiting must not leave half a file
        await asyncio.shield(self._closing)
        if self.error:
            raise self.error
        return self.results[-1] if self.results else None

    # From the connection to the backlog

    async def _read(self) -> None:
        try:
            await self._follow()
        except Exception as failure:  # noqa: BLE001  raised by wait_ended() and close()
            # Now, not when the task is done: closing may cancel it first
            self._fail(failure)
        finally:
            await self._stream.close()

    async def _follow(self) -> None:
        async for event in self._stream:
            match event:
                case CaptureStart():
                    await self._begin(event)
                case Frame():
                    await self._take(event)
                case CaptureEnd():
                    await self._end(event)
        raise PandaConnectionError(f"{self._stream.where}: the data connection came to an end")

    async def _begin(self, start: CaptureStart) -> None:
        decoder = ColumnDecoder(start, self._names.keys() if self._names else None)
        if not self._columns:
            self._check_captured(decoder)
        elif decoder.columns != self._columns:
            raise self._failure(difference(self._columns, decoder.columns))
        begun = await self._store.begin(decoder, start, time.monotonic())
        self._columns, self._sample_bytes = decoder.columns, decoder.sample_bytes
        self._present = Acquisition(start, time.time(), self.rows, begun)
        self._records.append(self._present.record(self.rows))
        await self._record()
        _log.info("%s: acquisition of %s begins", self.path, start.start_time)
        if start.missed:
            # The count of rows that somebody may be waiting for will not be reached
            self._fail(
                self._failure(
                    f"{start.missed} samples were missed because the data connection came too"
                    f" late; rows from row {self.rows} on are later than they should be"
                )
            )

    def _check_captured(self, decoder: ColumnDecoder) -> None:
        missing = self._names.keys() - {(c.field, c.capture) for c in decoder.columns}
        if missing:
            fields = ", ".join(sorted(f"{field} {capture}" for field, capture in missing))
            raise self._failure(f"the PandA does not capture {fields}; its settings have changed")

    async def _take(self, frame: Frame) -> None:
        if self._present is None:
            raise self._failure("samples came without a header")
        rows = len(frame.payload) // self._sample_bytes
        self._present.last_frame = self._present.received
        self._present.received += rows
        self._present.bytes += len(frame.payload)
        accepted = memoryview(frame.payload)
        if self._limit is not None:
            accepted = accepted[: max(self._limit - self.received, 0) * self._sample_bytes]
        self._present.discarded += rows - len(accepted) // self._sample_bytes
        self.received += rows
        if self._on_received:
            self._on_received(self.received)
        self._bulletin.announce()
        await self._store.put(accepted)

    async def _end(self, end: CaptureEnd) -> None:
        present = self._present
        if present is None:
            raise self._failure("END came without a header")
        await self._store.written()
        self._records[-1] = record = present.record(self.rows, end)
        await self._record()
        # Not before: nothing is pending any more, so closing may cancel what follows
        self._present = None
        self._owed = max(self._owed - 1, 0)
        if record.problems():
            raise present.failure(record, self.path, self.rows)
        result = CaptureResult(
            rows=record.rows,
            samples_sent=end.samples,
            missed=present.start.missed,
            reason=end.reason,
            started=present.started,
            ended=time.time(),
            bytes=present.bytes,
            first_row=present.first_row,
            arm_time=present.start.arm_time,
            start_time=present.start.start_time,
            hw_time_offset_ns=present.start.hw_time_offset_ns,
        )
        _log.info("%s: acquisition ended, %s", self.path, result)
        self.results += (result,)
        self._bulletin.announce()

    # The end

    async def _close(self, timeout: float) -> None:
        if self._reading:
            await self._drain(self._reading, timeout)
            self._reading.cancel()
            await asyncio.wait([self._reading])
            await self._store.written()
            await self._leave()
            try:
                await self._store.close(self.verdict)
            except Exception as failure:  # noqa: BLE001  close() raises it to whoever waits
                self._fail(failure)
            if not self.datasets:  # nothing ever came, so the name is free again
                await asyncio.to_thread(self.path.unlink, missing_ok=True)
        elif not self._closed:
            self._store.abandon()
        self._closed = True
        self._bulletin.announce()

    async def _drain(self, reading: asyncio.Task[None], timeout: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._bulletin.until(lambda: not self.pending or reading.done())
        if self.pending and not self.error:
            self._fail(
                self._failure(
                    f"END did not come within {timeout:g} s of closing; either PCAP was not"
                    " disarmed before, or the data connection does not deliver any more"
                )
            )

    async def _record(self) -> None:
        """Put down the latest record."""
        await self._store.record(len(self._records) - 1, self._records[-1])

    async def _leave(self) -> None:
        """Put down an acquisition that never ended as it is."""
        if self._present is None or not self._records:
            return
        self._records[-1] = self._present.record(self.rows)
        try:
            await self._record()
        except Exception as failure:  # noqa: BLE001  close() raises it to whoever waits
            self._fail(failure)

    def _failure(self, what: str) -> CaptureError:
        return CaptureError(
            f"{self.path}: {what}", reason=what, samples_sent=None, samples_written=self.rows
        )

    def _fail(self, failure: Exception) -> None:
        if self.error is None:
            self.error = failure
            _log.debug("%s failed: %s", self.path, failure)
            if self._on_failure:
                self._on_failure(failure)
        else:
            _log.warning("%s failed again: %s", self.path, failure)
        self._bulletin.announce()

    def _task_done(self, task: asyncio.Task[None]) -> None:
        failure = None if task.cancelled() else task.exception()
        if isinstance(failure, Exception):
            self._fail(failure)
        if self._reading:
            # Without a writer there is nothing to read for
            self._reading.cancel()
        self._bulletin.announce()
