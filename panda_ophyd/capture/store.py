"""The writing half: one thread decodes batches, stores them, and compares them with END.

Jobs are done in the order in which the reader brings them, so a row is counted when it can
be read, an END is compared with what is then on the disk, and a failure comes after all
that went well before it. HDF5 sees a single thread. After a failure nothing more is stored;
the file can still be closed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from numpy.typing import NDArray

from panda_ophyd.capture.batches import Batch, Batches
from panda_ophyd.capture.result import Acquisition, CaptureResult, Sent, Slowness
from panda_ophyd.capture.rows import FileRows, LatestRow
from panda_ophyd.columns import ColumnDecoder
from panda_ophyd.data import CaptureStart
from panda_ophyd.writers import AcquisitionRecord, Attribute, Dataset, Verdict, Writer

_P = ParamSpec("_P")
_T = TypeVar("_T")
_TIMES = ("arm_time", "start_time", "hw_time_offset_ns")
_log = logging.getLogger(__name__)


class Store:
    """Batches in, flushed rows out.

    Args:
        path: the file.
        writer: of the file.
        file_rows: what samples become in it.
        announce: called from the thread when something here has changed.
        on_over: called from the thread when nothing more will be stored.

    Attributes:
        rows: how many can be read.
        datasets: of the file, empty before the first acquisition.
        acquisition: the one under way, None between two.
        begun: how many acquisitions have begun.
        records: what is known of each.
        outcomes: results and failures that nobody has taken yet, oldest first.
        slowness: where the time went.
        latest: the newest row that can be read, None before the first.
    """

    def __init__(
        self,
        path: Path,
        writer: Writer,
        file_rows: FileRows,
        announce: Callable[[], object],
        on_over: Callable[[], object],
    ) -> None:
        self.rows = 0
        self.datasets: tuple[Dataset, ...] = ()
        self.acquisition: Acquisition | None = None
        self.begun = 0
        self.records: tuple[AcquisitionRecord, ...] = ()
        self.outcomes: deque[CaptureResult | Exception] = deque()
        self.slowness = Slowness()
        self.latest: LatestRow | None = None
        self._newest: Mapping[str, NDArray[Any]] = {}  # rows that are not flushed
        self._path = path
        self._writer = writer
        self._file_rows = file_rows
        self._announce = announce
        self._on_over = on_over
        self._over = False
        self._brought = self._done = 0
        self._refusing = False
        self._is_made = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="panda-writer")

    # For the event loop

    @property
    def is_busy(self) -> bool:
        """Whether something that was brought is not done."""
        return self._brought > self._done

    async def create(self) -> None:
        """Make the file.

        Raises:
            WriterError: it cannot be made.
        """
        await self._on_thread(self._create)

    async def done(self) -> None:
        """Return when every job that was brought is done."""
        await self._on_thread(lambda: None)

    async def close(self, verdict: Verdict) -> None:
        """Close the file, whatever has happened to it.

        Raises:
            WriterError: it cannot be closed.
        """
        try:
            await self._on_thread(self._writer.close, verdict)
        finally:
            self._thread.shutdown(wait=False)

    def abandon(self) -> None:
        """Close the file without waiting for it; one that nothing was written to goes."""
        self._thread.submit(self._leave)
        self._thread.shutdown(wait=False)

    def refuse(self) -> None:
        """Begin no acquisition that has not begun; from any thread."""
        self._refusing = True

    # For the reader, which brings these in the order in which they came

    def begin(self, start: CaptureStart, decoder: ColumnDecoder) -> None:
        """Take the samples of this acquisition from now on.

        Args:
            start: its header.
            decoder: of the same columns as the ones before.
        """
        self._bring(self._begin, start, decoder, time.time(), time.monotonic())

    def write(self, batch: Batch, batches: Batches, *, flush: bool) -> None:
        """Store samples.

        Args:
            batch: these.
            batches: where its buffer comes from.
            flush: have them, and all before, counted.
        """
        self._brought += 1
        self._thread.submit(self._write, batch, batches, flush=flush)

    def flush(self) -> None:
        """Have all rows counted."""
        self._bring(self._flush)

    def end(self, sent: Sent) -> None:
        """Compare an acquisition that has ended with what is in the file."""
        self._bring(self._end, sent)

    def cut(self, sent: Sent, failure: Exception | None) -> None:
        """Take note that nothing more comes.

        Args:
            sent: what has come of the last acquisition, if it has not ended.
            failure: why, None if that was wanted.
        """
        self._brought += 1
        self._thread.submit(self._cut, sent, failure)

    # On the thread

    def _create(self) -> None:
        self._writer.create(self._path)
        self._is_made = True

    def _leave(self) -> None:
        try:
            self._writer.close()
        finally:
            if self._is_made and not self.datasets:  # also by who did not wait for it
                self._path.unlink(missing_ok=True)

    def _bring(self, job: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> None:
        self._brought += 1
        self._thread.submit(self._do, job, *args, **kwargs)

    def _do(self, job: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            if not self._over:
                job(*args, **kwargs)
        except Exception as failure:  # noqa: BLE001  raised by wait_ended() and close()
            self._over = True
            self.outcomes.append(failure)
            self._on_over()
        self._done += 1
        self._announce()

    def _begin(
        self, start: CaptureStart, decoder: ColumnDecoder, started: float, elapsed: float
    ) -> None:
        if self._refusing:
            self._over = True
            return
        origin = self._file_rows.begin(decoder, start, elapsed)
        if not self.datasets:
            datasets = self._file_rows.datasets
            self._writer.open(datasets, self._attributes(start))
            # Not before: who gives up meanwhile must not leave a file without anything in it
            self.datasets = datasets
        self.acquisition = present = Acquisition(start, started, self.rows, origin)
        self.begun += 1
        self._put_down(present.record(self.rows), new=True)
        _log.info("%s: acquisition of %s begins", self._path, start.start_time)
        if start.missed:
            self.outcomes.append(present.too_late(self._path))

    def _attributes(self, start: CaptureStart) -> Mapping[str, Attribute]:
        known = {name: value for name in _TIMES if (value := getattr(start, name)) is not None}
        return known | {"time_source": self._file_rows.time}

    def _put_down(self, record: AcquisitionRecord, *, new: bool = False) -> None:
        self.records = (*(self.records if new else self.records[:-1]), record)
        self._writer.record(len(self.records) - 1, record)

    def _write(self, batch: Batch, batches: Batches, *, flush: bool) -> None:
        try:
            self._do(self._append, batch.samples, flush=flush)
        finally:
            batches.give_back(batch)

    def _append(self, samples: memoryview, *, flush: bool) -> None:
        begun = time.monotonic()
        columns = self._file_rows.decode(samples)
        decoded = time.monotonic()
        self.slowness.decoding += decoded - begun
        self._writer.append(columns)
        self._newest = columns
        if flush:
            self._flush()
        self.slowness.writing += time.monotonic() - decoded

    def _flush(self) -> None:
        self.rows = self._writer.flush()
        if self._newest:
            values = {name: column[-1].item() for name, column in self._newest.items()}
            self.latest = LatestRow(self.rows - 1, time.time(), values)
            self._newest = {}

    def _end(self, sent: Sent) -> None:
        present = self.acquisition
        if present is None:
            raise RuntimeError("an acquisition ended that had not begun")
        self._flush()
        record = present.record(self.rows, sent)
        self._put_down(record)
        self.acquisition = None
        if record.problems():
            advice = self.slowness.advice(sent, record)
            raise present.failure(record, self._path, self.rows, advice)
        result = present.result(record, sent.bytes)
        _log.info("%s: acquisition ended, %s", self._path, result)
        self.outcomes.append(result)

    def _cut(self, sent: Sent, failure: Exception | None) -> None:
        if failure:
            self.outcomes.append(failure)
        if self.acquisition is not None:
            try:
                self._put_down(self.acquisition.record(self.rows, sent))
            except Exception as second:  # noqa: BLE001  close() raises it to whoever waits
                self.outcomes.append(second)
        self._over = True
        self._done += 1
        self._announce()

    async def _on_thread(
        self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        def call() -> _T:
            return function(*args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
