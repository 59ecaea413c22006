"""One data connection, one writer thread, one file; a row is counted when it can be read.

::

    CaptureStream -> read -> Backlog -> write ---thread---> decode, append, flush
                                          |                        |
    on_rows, wait_ended  <----------------+------- count <---------+

The reader and the writer are two tasks of the event loop that know each other by the
backlog alone. Everything that takes time (decoding, the disk) is one job on one dedicated
thread, so the loop stays free and HDF5 sees a single thread.

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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from panda_ophyd.capture.backlog import IN_FLIGHT_BYTES, Backlog
from panda_ophyd.capture.result import Acquisition, CaptureResult
from panda_ophyd.client import CaptureStream, PandaAddress
from panda_ophyd.columns import Column, ColumnDecoder
from panda_ophyd.data import CaptureEnd, CaptureStart, Frame
from panda_ophyd.errors import CaptureError, PandaConnectionError
from panda_ophyd.writers import (
    CHUNK_ROWS,
    Dataset,
    Hdf5Writer,
    Verdict,
    Writer,
    check_dataset_names,
)

FLUSH_PERIOD = 0.1
"""Seconds a row waits for its chunk to fill, unless told otherwise: the server hands slow
rows over at this period (protocol.md 8.6)."""

DRAIN_TIMEOUT = 10.0
"""Seconds for END to come after closing was asked for: the server's ring of 256 MiB takes
about half of it."""

_log = logging.getLogger(__name__)
_P = ParamSpec("_P")
_T = TypeVar("_T")


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
        writer: makes the writer.

    Attributes:
        path: the file.
        rows: how many rows can be read from it.
        received: how many have come, written or not.
        error: the first failure, None if all is well.
        results: acquisitions that have ended well.
        datasets: of the file, empty before the first header.

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
        writer: Callable[[], Writer] = Hdf5Writer,
    ) -> None:
        self.path = path
        self.rows = 0
        self.received = 0
        self.error: Exception | None = None
        self.results: tuple[CaptureResult, ...] = ()
        self.datasets: tuple[Dataset, ...] = ()
        self._names = dict(names or {})
        check_dataset_names(list(self._names.values()))
        self._flush_period = flush_period
        self._limit = limit
        self._on_rows = on_rows
        self._on_received = on_received
        self._on_failure = on_failure
        self._stream = CaptureStream(address)
        self._writer = writer()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="panda-writer")
        self._reading: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._closed = False
        self._present: Acquisition | None = None
        self._decoder: ColumnDecoder | None = None
        self._backlog = Backlog(1, CHUNK_ROWS, 0)
        self._in_job = 0
        self._waiting_since = 0.0
        self._hurried = False
        self._suspect_row: int | None = None
        self._fetched = 0
        self._wake = asyncio.Event()
        self._waiters: set[asyncio.Future[None]] = set()

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
        if self._reading or self._closing or self._closed:
            raise self._failure("a capture is opened once; make a new one")
        opened = False
        try:
            await self._stream.open()
            await self._on_thread(self._writer.create, self.path)
            opened = True
        finally:
            if not opened:
                self._closed = True
                self._thread.submit(self._writer.close)
                self._thread.shutdown(wait=False)
                await self._stream.close()
        self._reading = asyncio.create_task(self._read(), name=f"read for {self.path}")
        self._writing = asyncio.create_task(self._write(), name=f"write {self.path}")
        for task in (self._reading, self._writing):
            task.add_done_callback(self._task_done)

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
        await self._until(lambda: len(self.results) >= wanted or self.error or self._closed)
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
            async for event in self._stream:
                match event:
                    case CaptureStart():
                        await self._begin(event)
                    case Frame():
                        await self._take(event)
                    case CaptureEnd():
                        await self._end(event)
        finally:
            await self._stream.close()
        raise PandaConnectionError(f"{self._stream.where}: the data connection came to an end")

    async def _begin(self, start: CaptureStart) -> None:
        decoder = ColumnDecoder(start, self._names.keys() if self._names else None)
        if self._decoder is None:
            await self._make_datasets(start, decoder)
        elif decoder.columns != self._decoder.columns:
            was, now = _names(self._decoder.columns), _names(decoder.columns)
            difference = ", ".join(sorted(was ^ now)) or "their order, scale, offset or units"
            raise self._failure(
                f"another acquisition has other fields: {difference}; use a new file"
            )
        self._decoder = decoder
        self._backlog = Backlog(decoder.sample_bytes, CHUNK_ROWS, self.rows)
        self._present = Acquisition(start, time.time(), self.rows)
        _log.info("%s: acquisition of %s begins", self.path, start.start_time)
        if start.missed:
            # The count of rows that somebody may be waiting for will not be reached
            self._suspect_row = self.rows
            self._fail(
                self._failure(
                    f"{start.missed} samples were missed because the data connection came too"
                    f" late; rows from row {self.rows} on are later than they should be"
                )
            )

    async def _make_datasets(self, start: CaptureStart, decoder: ColumnDecoder) -> None:
        missing = self._names.keys() - {(c.field, c.capture) for c in decoder.columns}
        if missing:
            fields = ", ".join(sorted(f"{field} {capture}" for field, capture in missing))
            raise self._failure(f"the PandA does not capture {fields}; its settings have changed")
        self.datasets = tuple(self._dataset(column) for column in decoder.columns)
        times = {
            "arm_time": start.arm_time,
            "start_time": start.start_time,
            "hw_time_offset_ns": start.hw_time_offset_ns,
        }
        known = {name: value for name, value in times.items() if value is not None}
        await self._on_thread(self._writer.open, self.datasets, known)

    def _dataset(self, column: Column) -> Dataset:
        return Dataset(
            name=self._names.get((column.field, column.capture), column.name),
            dtype=column.dtype,
            chunk=CHUNK_ROWS,
            attributes={
                "units": column.units,
                "scale": column.scale,
                "offset": column.offset,
                "capture": column.capture,
                "field": column.field,
            },
        )

    async def _take(self, frame: Frame) -> None:
        if self._present is None or self._decoder is None:
            raise self._failure("samples came without a header")
        size = self._decoder.sample_bytes
        rows = len(frame.payload) // size
        self._present.last_frame = self._present.received
        self._present.received += rows
        self._present.bytes += len(frame.payload)
        accepted = memoryview(frame.payload)
        if self._limit is not None:
            room = max(self._limit - self.received, 0)
            accepted = accepted[: room * size]
        self.received += rows
        if not self._backlog.rows:
            self._waiting_since = asyncio.get_running_loop().time()
        self._backlog.put(accepted)
        self._wake.set()
        if self._on_received:
            self._on_received(self.received)
        await self._until(lambda: self._in_flight <= IN_FLIGHT_BYTES)

    async def _end(self, end: CaptureEnd) -> None:
        present = self._present
        if present is None:
            raise self._failure("END came without a header")
        await self._written()
        self._present = None
        suspect = present.suspect_row(end)
        if suspect is not None:
            self._suspect_row = suspect
            raise present.failure(end, self.path, self.rows, suspect)
        rows = self.rows - present.first_row
        expected = end.samples
        if self._limit is not None:
            expected = min(expected, max(self._limit - present.first_row, 0))
        if rows != expected:
            self._suspect_row = present.first_row
            raise present.failure(end, self.path, self.rows, present.first_row)
        result = CaptureResult(
            rows=rows,
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
        self._announce()

    # From the backlog to the file

    @property
    def _in_flight(self) -> int:
        return self._backlog.bytes + self._in_job

    async def _write(self) -> None:
        while True:
            rows = await self._due()
            payloads = self._backlog.take(rows)
            self._waiting_since = asyncio.get_running_loop().time()
            self._in_job = sum(map(len, payloads))
            flushed = await self._on_thread(self._store, payloads)
            self._in_job = 0
            self.rows = flushed
            if self._on_rows:
                self._on_rows(flushed)
            self._announce()

    async def _due(self) -> int:
        """Return how many rows to write, when there are enough or they have waited enough."""
        clock = asyncio.get_running_loop().time
        while True:
            latest = self._waiting_since + self._flush_period
            rows = self._backlog.due(everything=self._hurried or clock() >= latest)
            if rows:
                return rows
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(latest if self._backlog.rows else None):
                    await self._wake.wait()

    def _store(self, payloads: list[memoryview]) -> int:
        """Write rows; on the thread.

        Returns:
            How many can be read now.
        """
        if self._decoder is None:
            raise self._failure("samples came without a header")
        columns = self._decoder.decode(payloads[0] if len(payloads) == 1 else b"".join(payloads))
        names = (dataset.name for dataset in self.datasets)
        self._writer.append(dict(zip(names, columns.values(), strict=True)))
        return self._writer.flush()

    async def _written(self) -> None:
        """Return when nothing is in flight, or never will be."""
        self._hurried = True
        self._wake.set()
        await self._until(lambda: not self._in_flight or _is_over(self._writing))
        self._hurried = False

    # The end

    async def _close(self, timeout: float) -> None:
        if self._reading and self._writing:
            await self._drain(timeout)
            await _stopped(self._reading)
            await self._written()
            await _stopped(self._writing)
            try:
                await self._on_thread(self._writer.close, self._verdict())
            except Exception as failure:  # noqa: BLE001  close() raises it to whoever waits
                self._fail(failure)
        self._thread.shutdown(wait=False)
        self._closed = True
        self._announce()

    async def _drain(self, timeout: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._until(lambda: not self._present or _is_over(self._reading))
        if self._present and not self.error:
            self._fail(
                self._failure(
                    f"END did not come within {timeout:g} s of closing; disarm before closing"
                )
            )

    def _verdict(self) -> Verdict:
        ended = self.results[-1].reason if self.results else "no acquisition"
        reason = self.error.reason if isinstance(self.error, CaptureError) else str(self.error)
        return Verdict(
            complete=self.error is None and bool(self.results),
            end_reason=reason if self.error else ended,
            rows=self.rows,
            suspect_row=-1 if self._suspect_row is None else self._suspect_row,
        )

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
        self._announce()

    def _task_done(self, task: asyncio.Task[None]) -> None:
        failure = None if task.cancelled() else task.exception()
        if isinstance(failure, Exception):
            self._fail(failure)
        if task is self._writing and self._reading:
            self._reading.cancel()
        self._announce()

    async def _on_thread(
        self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        def call() -> _T:
            return function(*args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _until(self, condition: Callable[[], object]) -> None:
        """Return when the condition holds; it is looked at after every announcement."""
        while not condition():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    def _announce(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


def _names(columns: tuple[Column, ...]) -> set[str]:
    return {column.name for column in columns}


def _is_over(task: asyncio.Task[None] | None) -> bool:
    return task is None or task.done()


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
