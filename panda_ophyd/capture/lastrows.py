"""Keep only the last rows: a ring beside the file, put into it in order when it is closed.

Around any writer. The ring is a file of fixed-size rows, so any number can be kept, in
bounded memory; until the end the file itself holds no rows, and afterwards no trace of
the ring is left. If putting them in order fails, the ring stays, and the error names it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from panda_ophyd.errors import FieldValueError, WriterError
from panda_ophyd.verdict import AcquisitionRecord, Span, Verdict, judge
from panda_ophyd.writers import DIED, Attribute, Dataset, Hdf5Writer, Writer

COPY_ROWS = 64 * 1024
"""Rows put into the file at a time, at least a chunk of them."""


class LastRows(Writer):
    """A writer of the last rows only.

    Args:
        inner: of the file.
        keep: how many rows.

    Attributes:
        pronounced: the verdict that is in the file, None before it is closed.

    Raises:
        FieldValueError: `keep` is less than 1.
    """

    mimetype: ClassVar[str] = Hdf5Writer.mimetype
    suffix: ClassVar[str] = Hdf5Writer.suffix

    def __init__(self, inner: Writer, keep: int) -> None:
        if keep < 1:
            raise FieldValueError("rows to keep", keep, "at least 1 row is kept")
        self._inner = inner
        self._keep = keep
        self._total = 0
        self._path = Path()
        self._ring = -1
        self._datasets: tuple[Dataset, ...] = ()
        self._row = np.dtype([])
        self._records: dict[int, AcquisitionRecord] = {}
        self.pronounced: Verdict | None = None

    @property
    @override
    def rows(self) -> int:
        return self._total

    @property
    def _ring_path(self) -> Path:
        return self._path.with_name(f".{self._path.name}.last-rows")

    @override
    def create(self, path: Path) -> None:
        self._path = path
        try:
            self._ring = os.open(self._ring_path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as failure:
            raise self._failure("cannot keep rows there", failure) from failure
        try:
            self._inner.create(path)
        except WriterError:
            os.close(self._ring)
            self._ring = -1
            self._ring_path.unlink()
            raise

    @override
    def open(self, datasets: Sequence[Dataset], attributes: Mapping[str, Attribute]) -> None:
        self._inner.snapshot = self.snapshot
        self._inner.open(datasets, attributes)
        self._datasets = tuple(datasets)
        self._row = np.dtype([(dataset.name, dataset.dtype) for dataset in datasets])

    @override
    def record(self, number: int, acquisition: AcquisitionRecord) -> None:
        self._records[number] = acquisition

    @override
    def append(self, columns: Mapping[str, NDArray[Any]]) -> None:
        lengths = {len(column) for column in columns.values()}
        if set(columns) != {dataset.name for dataset in self._datasets} or len(lengths) != 1:
            raise WriterError(self._path, "columns are missing or of unequal length")
        count = lengths.pop()
        kept = min(count, self._keep)
        rows = np.empty(kept, self._row)
        for name, column in columns.items():
            rows[name] = column[count - kept :]
        self._total += count
        place = (self._total - kept) % self._keep
        head = min(kept, self._keep - place)
        self._put(rows[:head], place)
        self._put(rows[head:], 0)

    def _put(self, rows: NDArray[Any], place: int) -> None:
        data, offset = memoryview(rows.tobytes()), place * self._row.itemsize
        try:
            while data:
                written = os.pwrite(self._ring, data, offset)
                data, offset = data[written:], offset + written
        except OSError as failure:
            raise self._failure("cannot keep rows there", failure) from failure

    @override
    def flush(self) -> int:
        # What will be in the file, and what was promised to be: nobody reads it before
        return self._total

    @override
    def close(self, verdict: Verdict = DIED) -> None:
        ring, self._ring = self._ring, -1
        if ring < 0:
            self._inner.close(verdict)
            return
        try:
            self._unroll(ring)
            self.pronounced = self._judged(verdict)
        except (WriterError, OSError) as failure:
            self._inner.close(replace(verdict, complete=False, rows=self._inner.rows))
            raise self._failure(
                f"the rows that were kept are in {self._ring_path}, not in the file", failure
            ) from failure
        finally:
            os.close(ring)
        self._inner.close(self.pronounced)
        self._ring_path.unlink(missing_ok=True)

    def _unroll(self, ring: int) -> None:
        kept = min(self._total, self._keep)
        oldest = self._total % self._keep if self._total > self._keep else 0
        chunk = self._datasets[0].chunk if self._datasets else 1
        step = -(-COPY_ROWS // chunk) * chunk
        done = 0
        while done < kept:
            place = (oldest + done) % self._keep
            count = min(step, kept - done, self._keep - place)
            rows = self._get(ring, place, count)
            self._inner.append({d.name: np.ascontiguousarray(rows[d.name]) for d in self._datasets})
            done += count
        if self._datasets:
            self._inner.flush()
            for number, record in sorted(self._records.items()):
                self._inner.record(number, self._shifted(record))

    def _get(self, ring: int, place: int, count: int) -> NDArray[Any]:
        data, wanted = bytearray(), count * self._row.itemsize
        while len(data) < wanted:
            piece = os.pread(ring, wanted - len(data), place * self._row.itemsize + len(data))
            if not piece:
                raise WriterError(self._ring_path, "it is shorter than what was written to it")
            data += piece
        return np.frombuffer(data, self._row)

    def _shifted(self, record: AcquisitionRecord) -> AcquisitionRecord:
        """Return what is true of an acquisition when only the last rows are left."""
        dropped = max(self._total - self._keep, 0)
        start = max(record.first_row - dropped, 0)
        stop = max(record.first_row + record.rows - dropped, 0)
        suspect = record.suspect
        if suspect is not None:
            span = Span(max(suspect.start - dropped, 0), max(suspect.stop - dropped, 0))
            suspect = span if span.stop > span.start else None
        return replace(
            record,
            first_row=start,
            rows=stop - start,
            discarded=record.discarded + record.rows - (stop - start),
            suspect=suspect,
        )

    def _judged(self, verdict: Verdict) -> Verdict:
        records = [self._shifted(record) for _, record in sorted(self._records.items())]
        lengths = {dataset.name: min(self._total, self._keep) for dataset in self._datasets}
        judged = judge(records, lengths)
        if verdict.complete:
            return judged
        found = [problem for problem in verdict.problems if problem not in judged.problems]
        if not found and not judged.complete:
            return judged
        failure = "; ".join(found) or verdict.end_reason
        return judge(records, lengths, failure, reason=verdict.end_reason)

    def _failure(self, what: str, cause: OSError | WriterError) -> WriterError:
        why = getattr(cause, "strerror", None) or str(cause)
        return WriterError(self._path, f"{what}: {why}")
