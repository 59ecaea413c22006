"""Two threads, one file: a row is counted when it can be read.

::

    CaptureStream -> Reader ---batches---> Store: decode, append, flush
                       |                     |
    on_received <------+    rows, results, failures -> on_rows, wait_ended

The event loop only hears of it. Promises, each with a test of its name:

1. No row is announced that is not flushed.
2. At every flush all datasets have equal length.
3. Rows written equal the END count, or `CaptureError`.
4. A writer's exception reaches whoever waits.
5. At most 48 MiB are in flight; then reading stops.
6. After an END other than Ok or Disarmed the last frame is suspect, and also if there is no
   END at all: the file says so, and the error too. It is not held back until END, which may
   come only after somebody has waited for its rows.

The first failure is the one that counts: everybody who waits gets it, rows received before
it are still written, and the data connection is closed so that the PandA is not held up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from panda_ophyd.capture.bulletin import Bulletin
from panda_ophyd.capture.patience import DISK_TIMEOUT, Patience
from panda_ophyd.capture.reader import Reader
from panda_ophyd.capture.result import CaptureResult
from panda_ophyd.capture.rows import NO_MEANINGS, FileRows, LatestRow, Meanings
from panda_ophyd.capture.store import Store
from panda_ophyd.client import CaptureStream, PandaAddress
from panda_ophyd.errors import CaptureError, WriterError
from panda_ophyd.snapshot import Snapshot
from panda_ophyd.verdict import Verdict, judge, so_far
from panda_ophyd.writers import Dataset, FileOptions, Hdf5Writer, Writer, check_dataset_names

FLUSH_PERIOD = 0.1
"""Seconds a row waits for its chunk to fill; slow rows come so often (protocol.md 8.6)."""

DRAIN_TIMEOUT = 8.0
"""Seconds for which nothing may come of what the server still has when closing is asked for."""

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
        on_rows: called on the loop with the number of rows that can be read, as it grows.
        on_received: the same with the number of rows received, limited or not.
        on_failure: called on the loop with the first failure.
        options, meanings: how the rows are kept; what the box says of its fields.
        writer: makes the writer; None: `Hdf5Writer`, with the options.

    Attributes:
        path: the file.
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
        self.error: Exception | None = None
        self.results: tuple[CaptureResult, ...] = ()
        names = dict(names or {})
        check_dataset_names(list(names.values()))
        self._on_rows = on_rows
        self._on_received = on_received
        self._on_failure = on_failure
        self._bulletin = Bulletin(self._look)
        self._stream = CaptureStream(address)
        self._writer = writer() if writer else Hdf5Writer(options)
        file_rows = FileRows(names, options, meanings)
        news, chunk = self._announce, options.chunk
        self._store = Store(path, self._writer, file_rows, news, lambda: self._reader.stop())  # noqa: PLW0108  it is made next
        self._reader = Reader(
            self._stream, self._store, names, self._failure, flush_period, limit, chunk, news
        )
        self._closing: asyncio.Task[None] | None = None
        self._used = False
        self._open = False
        self._closed = False
        self._owed = self._ended = self._fetched = 0
        self._shown_rows = self._shown_received = 0
        self._deaf = False  # whom we call has failed

    @property
    def rows(self) -> int:
        """How many rows can be read from the file; `on_rows` was told of them."""
        return self._shown_rows

    @property
    def received(self) -> int:
        """How many rows have come, written or not."""
        return self._reader.received

    @property
    def received_bytes(self) -> int:
        """Size of the rows that have come."""
        return self._reader.bytes

    @property
    def latest(self) -> LatestRow | None:
        """The newest row that can be read."""
        return self._store.latest

    @property
    def in_flight(self) -> int:
        """Bytes of samples that wait for the file or are being written."""
        return self._reader.in_flight

    @property
    def most_in_flight(self) -> int:
        """The highest `in_flight` so far, at most `IN_FLIGHT_BYTES`."""
        return self._reader.most_in_flight

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """What the file holds, empty before the first header."""
        return self._store.datasets

    def describe(self, snapshot: Snapshot | None) -> None:
        """Keep the box as it is in the file; no use after the first acquisition has begun."""
        self._writer.snapshot = snapshot

    @property
    def verdict(self) -> Verdict:
        """What can be said of the file by now; final after `close`."""
        records, rows, error = self._store.records, self._store.rows, self.error
        short = error.reason if isinstance(error, CaptureError) else None
        failure = None if error is None else str(error).removeprefix(f"{self.path}: ")
        lengths = {dataset.name: rows for dataset in self.datasets}
        return judge(so_far(records, rows), lengths, failure, reason=short)

    @property
    def pending(self) -> bool:
        """Whether an acquisition is under way, or was armed and has not begun here yet."""
        return self._reader.begun > self._ended or self._owed > 0

    @property
    def begun(self) -> int:
        """How many acquisitions have begun in the file."""
        return self._store.begun

    @property
    def begins(self) -> int | None:
        """Where in the file the rows of the acquisition under way begin, None between two."""
        return present.first_row if (present := self._store.acquisition) else None

    @property
    def first_row(self) -> int:
        """The same, or where those of the next would begin."""
        return self._store.rows if (begins := self.begins) is None else begins

    def expect(self) -> None:
        """Note that PCAP was armed for this capture: its header and END will come.

        Closing then waits for them, however early it is called.
        """
        self._owed += 1

    async def settled(self, received: int, *, timeout: float) -> None:
        """Return when so many rows came, or no more will, and all are flushed; or after so long."""
        with contextlib.suppress(TimeoutError), self._reader.in_a_hurry():
            async with asyncio.timeout(timeout):
                await self._bulletin.until(
                    lambda: self.received >= received or not self.pending or self.error
                )
                goal = self._reader.accepted
                await self._bulletin.until(lambda: self.rows >= goal or self.error)

    @property
    def status(self) -> str:
        """One line for the user."""
        if self.error:
            return str(self.error)
        if self._closed:
            return f"Closed with {self.rows} rows"
        if self._store.acquisition:
            return f"Capturing, {self.rows} rows"
        return "Waiting for an acquisition" if self._open else "Not open"

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
        self._bulletin.open()
        try:
            await self._stream.open()
            await self._store.create()
            self._reader.start()
            self._open = True
        finally:
            if not self._open:
                self._closed = True
                self._store.abandon()
                await self._stream.close()

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

        Disarm first: only then END comes. As long as the PandA's ring empties it is waited
        for, and so is a disk that takes rows, however slowly. May be called again, and again
        fails the same.

        Args:
            timeout: how long nothing may come while END has not, s.

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

    def _announce(self) -> None:
        try:
            self._bulletin.post()
        except RuntimeError as error:  # the loop is gone, and with it all who could care
            _log.debug("%s: nobody hears of it any more: %s", self.path, error)
            self._reader.stop()

    def _look(self) -> None:
        known = len(self._store.outcomes)  # of before rows are told, which come first
        try:
            self._tell()
        except Exception as failure:  # noqa: BLE001  raised by wait_ended() and close()
            self._deaf = True
            self.fail(failure)
            self._reader.stop()
        for _ in range(0 if self._deaf else known):
            outcome = self._store.outcomes.popleft()
            if isinstance(outcome, CaptureResult):
                self._ended += 1
                self._owed = max(self._owed - 1, 0)
                self.results += (outcome,)
            else:
                self.fail(outcome)

    def _tell(self) -> None:
        received, rows = self.received, self._store.rows
        if received > self._shown_received:
            self._shown_received = received
            if self._on_received:
                self._on_received(received)
        if rows > self._shown_rows:
            self._shown_rows = rows
            if self._on_rows:
                self._on_rows(rows)

    def _failure(self, what: str) -> CaptureError:
        return CaptureError(
            f"{self.path}: {what}", reason=what, samples_sent=None, samples_written=self.rows
        )

    def fail(self, failure: Exception) -> None:
        """Count the capture as failed, for a reason known here or elsewhere; rows are kept."""
        if self.error is None:
            self.error = failure
            _log.debug("%s failed: %s", self.path, failure)
            if self._on_failure:
                self._on_failure(failure)
        else:
            _log.warning("%s failed again: %s", self.path, failure)
        self._bulletin.announce()

    async def _close(self, timeout: float) -> None:
        if self._open:
            given_up = await self._drain(timeout)
            self._reader.stop()
            await self._bulletin.until(lambda: self._reader.finished)
            self._reader.join()
            await self._stream.close()
            if self._reader.is_empty:
                self._store.refuse()
            if await self._stored():
                owing = self._store.begun > self._ended or self._owed > 0
                if owing and not self.error and given_up:
                    self.fail(self._failure(given_up))
                await self._close_file()
        elif not self._closed:
            self._store.abandon()
        self._closed = True
        self._bulletin.announce()

    async def _drain(self, timeout: float) -> str | None:
        """Wait for the END of what is under way; return why that was given up."""
        clock = asyncio.get_running_loop().time
        reader = self._reader
        patience = Patience(timeout, clock(), reader.bytes, self.rows)
        while self.pending and not reader.finished:
            held_up = self._store.is_busy
            reason = patience.reason(clock(), reader.bytes, self.rows, held_up=held_up)
            if reason:
                return reason
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(patience.next_look):
                    await self._bulletin.until(lambda: not self.pending or reader.finished)
        return None

    async def _stored(self) -> bool:
        """Return whether all that has come is stored, as far as that went well."""
        done = asyncio.ensure_future(self._store.done())
        rows = -1
        while self.rows > rows and not done.done():
            rows = self.rows
            await asyncio.wait([done], timeout=DISK_TIMEOUT)
        self._look()
        if done.done():
            return True
        self.fail(
            WriterError(
                self.path,
                f"the disk has taken nothing for {DISK_TIMEOUT:g} s; {self.in_flight} bytes of"
                " samples are not written, and the file will be closed when it does",
            )
        )
        self._store.abandon()
        return False

    async def _close_file(self) -> None:
        try:
            await self._store.close(self.verdict)
        except Exception as failure:  # noqa: BLE001  close() raises it to whoever waits
            self.fail(failure)
        if not self.datasets:  # nothing ever came, so the name is free again
            await asyncio.to_thread(self.path.unlink, missing_ok=True)
