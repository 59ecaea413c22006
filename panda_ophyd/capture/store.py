"""The writing half: rows wait for their chunk to fill, then one thread stores them.

Decoding, appending and flushing are one job on one dedicated thread, so the event loop
stays free, HDF5 sees a single thread, and a row is counted when it can be read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from panda_ophyd.capture.backlog import IN_FLIGHT_BYTES, Backlog
from panda_ophyd.capture.bulletin import Bulletin
from panda_ophyd.capture.rows import FileRows
from panda_ophyd.columns import ColumnDecoder
from panda_ophyd.data import CaptureStart
from panda_ophyd.rowtime import Start
from panda_ophyd.writers import AcquisitionRecord, Attribute, Dataset, Verdict, Writer

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Store:
    """Samples in, flushed rows out.

    Args:
        writer: of the file.
        file_rows: what samples become in it.
        chunk: rows of a chunk in it.
        flush_period: most time a sample waits before it is written, s.
        bulletin: where progress is announced.
        on_rows: called on the loop with the number of rows that can be read.

    Attributes:
        rows: how many can be read.
        datasets: of the file, empty before the first acquisition.
    """

    def __init__(
        self,
        writer: Writer,
        file_rows: FileRows,
        chunk: int,
        flush_period: float,
        bulletin: Bulletin,
        on_rows: Callable[[int], object] | None,
    ) -> None:
        self.rows = 0
        self.datasets: tuple[Dataset, ...] = ()
        self._writer = writer
        self._file_rows = file_rows
        self._chunk = chunk
        self._flush_period = flush_period
        self._bulletin = bulletin
        self._on_rows = on_rows
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="panda-writer")
        self._task: asyncio.Task[None] | None = None
        self._backlog = Backlog(1, chunk, 0)
        self._in_job = 0
        self._buffer = bytearray()  # kept, because fresh memory costs more than copying
        self._waiting_since = 0.0
        self._in_a_hurry = 0
        self._rows_put = 0
        self._rows_in_job = 0
        self._wake = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Bytes of samples that wait or are being written."""
        return self._backlog.bytes + self._in_job

    @property
    def has_stopped(self) -> bool:
        """Whether nothing is going to be written any more."""
        return self._task is None or self._task.done()

    async def create(self, path: Path) -> None:
        """Make the file.

        Raises:
            WriterError: it cannot be made.
        """
        await self._on_thread(self._writer.create, path)

    def start(self) -> asyncio.Task[None]:
        """Begin to write what is put; the task ends by being cancelled, or by failing."""
        self._task = asyncio.create_task(self._write(), name="write rows")
        return self._task

    async def begin(self, decoder: ColumnDecoder, start: CaptureStart, elapsed: float) -> Start:
        """Take the samples of this acquisition from now on; those before must be written.

        Args:
            decoder: of the same columns as those before.
            start: its header.
            elapsed: a clock of ours that is never set, when the header came, s.

        Returns:
            What the absolute times of its rows are counted from.

        Raises:
            FieldValueError: two columns have the same name, or one that is not allowed.
            WriterError: the file would not take the datasets.
        """
        begun = self._file_rows.begin(decoder, start, elapsed)
        if not self.datasets:
            datasets = self._file_rows.datasets
            await self._on_thread(self._writer.open, datasets, self._attributes(start))
            # Not before: who gives up meanwhile must not leave a file without anything in it
            self.datasets = datasets
        self._backlog = Backlog(decoder.sample_bytes, self._chunk, self.rows)
        return begun

    async def record(self, number: int, acquisition: AcquisitionRecord) -> None:
        """Put down what is known of an acquisition, the first being number 0.

        Raises:
            WriterError: the file would not take it.
        """
        await self._on_thread(self._writer.record, number, acquisition)

    async def put(self, payload: memoryview) -> None:
        """Add whole samples; returns when less than the allowed amount is in flight."""
        if not self._backlog.rows:
            self._waiting_since = asyncio.get_running_loop().time()
        self._backlog.put(payload)
        self._rows_put = self.rows + self._rows_in_job + self._backlog.rows
        self._wake.set()
        await self._bulletin.until(lambda: self.in_flight <= IN_FLIGHT_BYTES)

    async def written(self) -> None:
        """Return when what has been put by now is flushed, or never will be."""
        goal = self._rows_put
        self._in_a_hurry += 1
        self._wake.set()
        try:
            await self._bulletin.until(
                lambda: self.rows >= goal or not self.in_flight or self.has_stopped
            )
        finally:
            self._in_a_hurry -= 1

    async def close(self, verdict: Verdict) -> None:
        """Close the file, whatever has happened to it.

        Raises:
            WriterError: it cannot be closed.
        """
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        try:
            await self._on_thread(self._writer.close, verdict)
        finally:
            self._thread.shutdown(wait=False)

    def abandon(self) -> None:
        """Close the file without waiting for it; nothing was written yet."""
        self._thread.submit(self._writer.close)
        self._thread.shutdown(wait=False)

    def _attributes(self, start: CaptureStart) -> Mapping[str, Attribute]:
        times = ("arm_time", "start_time", "hw_time_offset_ns")
        known = {name: value for name in times if (value := getattr(start, name)) is not None}
        return known | {"time_source": self._file_rows.time}

    async def _write(self) -> None:
        while True:
            rows = await self._due()
            payloads = self._backlog.take(rows)
            self._waiting_since = asyncio.get_running_loop().time()
            self._in_job = sum(map(len, payloads))
            self._rows_in_job = rows
            self.rows = await self._on_thread(self._store, payloads)
            self._in_job = self._rows_in_job = 0
            if self._on_rows:
                self._on_rows(self.rows)
            self._bulletin.announce()

    async def _due(self) -> int:
        """Return how many rows to write, when there are enough or they have waited enough."""
        clock = asyncio.get_running_loop().time
        while True:
            latest = self._waiting_since + self._flush_period
            rows = self._backlog.due(everything=bool(self._in_a_hurry) or clock() >= latest)
            if rows:
                return rows
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(latest if self._backlog.rows else None):
                    await self._wake.wait()

    def _store(self, payloads: list[memoryview]) -> int:
        """Write rows, on the thread, and return how many can be read now."""
        self._writer.append(self._file_rows.decode(self._joined(payloads)))
        return self._writer.flush()

    def _joined(self, payloads: list[memoryview]) -> memoryview:
        """Return the payloads as one; valid until the next call."""
        if len(payloads) == 1:
            return payloads[0]
        size = sum(map(len, payloads))
        if size > len(self._buffer):
            self._buffer = bytearray(size)
        whole, at = memoryview(self._buffer)[:size], 0
        for payload in payloads:
            whole[at : at + len(payload)] = payload
            at += len(payload)
        return whole

    async def _on_thread(
        self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        def call() -> _T:
            return function(*args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
