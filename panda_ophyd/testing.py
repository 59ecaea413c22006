"""The suite that every writer must pass: inherit `WriterTests` and fill in three methods.

Nothing here knows a file format, nor pytest beyond its naming rules, so a writer outside
this distribution can inherit it too::

    class TestZarrWriter(WriterTests):
        def make_writer(self): return ZarrWriter()
        def read_back(self, path): ...      # by the format's own library
        def start_reader(self, path): ...   # in a process of its own
"""

# ruff: noqa: D102, PLR2004 -- a test's name is its docstring, and its numbers are its example
from __future__ import annotations

import itertools
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from panda_ophyd.errors import FieldValueError, WriterError
from panda_ophyd.snapshot import Snapshot
from panda_ophyd.verdict import AcquisitionRecord, Span
from panda_ophyd.writers import DIED, Dataset, Verdict, Writer

CHUNK = 8
"""Rows per chunk in these tests: small, so that few rows straddle many chunks."""

DATASETS = (
    Dataset(
        "COUNTER1.OUT.Mean",
        np.dtype(np.float64),
        CHUNK,
        {
            "units": "mm",
            "scale": 0.5,
            "offset": -273.15,
            "capture": "Mean",
            "field": "COUNTER1.OUT",
        },
    ),
    Dataset(
        "bits µ",
        np.dtype(np.uint32),
        CHUNK,
        {"units": "", "capture": "Value", "bits": ("TTLIN1.VAL", "", "µ")},
    ),
)
ATTRIBUTES = {"start_time": "2026-11-22T08:08:30.727790791Z", "hw_time_offset_ns": -12345678901}
GOOD = Verdict(complete=True, end_reason="Disarmed", rows=3, suspect_row=-1)
BOX = Snapshot(
    identity={"idn": "PandA SW: 4.1", "mac": ""},
    taken=1795334910.75,
    settings={"PULSE1.DELAY": "0.5", "PULSE1.DELAY.UNITS": "s", "INENC1.VAL.UNITS": "µ<="},
    readings={"TTLIN1.VAL": "0"},
    tables={"SEQ1.TABLE": bytes(range(32)), "SEQ2.TABLE": b""},
    metadata={"LAYOUT": "one\n\ntwo", "DESIGN": ""},
    failed={"SYSTEM.TEMP": "the server cannot say it"},
)
BEGUN = AcquisitionRecord(
    first_row=0,
    start_time="2026-11-22T08:08:30.727790791Z",
    time="start_time",
    begun=1795334910.75,
)
ENDED = AcquisitionRecord(
    first_row=0,
    rows=3,
    discarded=4,
    received=2**40,
    sent=2**40 + 1,
    missed=5,
    end_reason="Data overrun µ",
    arm_time="2026-11-22T08:08:30.721304877Z",
    start_time="2026-11-22T08:08:30.727790791Z",
    hw_time_offset_ns=-(2**60),
    time_shift_ns=2**60,
    time="start_time + hw_time_offset_ns",
    suspect=Span(1, 3),
    begun=1795334910.75,
    ended=1795334911.5,
)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds, read by the format's own library.

    Attributes:
        columns: dataset name to (n,) values, in the file's order or any.
        attributes: of the file; text as str.
        column_attributes: of each dataset; text as str.
        chunks: rows per chunk of each dataset.
        acquisitions: what was put down of each.
        snapshot: of the box, None if the file has none.
    """

    columns: Mapping[str, NDArray[Any]]
    attributes: Mapping[str, object]
    column_attributes: Mapping[str, Mapping[str, object]]
    chunks: Mapping[str, int]
    acquisitions: tuple[AcquisitionRecord, ...]
    snapshot: Snapshot | None


class Reader(ABC):
    """A process that has the file open while it is written."""

    @abstractmethod
    def lengths(self) -> Mapping[str, int]:
        """Return how many rows each dataset has now."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file and end the process."""


def rows(start: int, stop: int) -> dict[str, NDArray[Any]]:
    """Return the rows from start to before stop of an endless capture."""
    return {
        "COUNTER1.OUT.Mean": np.arange(start, stop) / 3,
        "bits µ": np.arange(start, stop, dtype=np.uint32) + np.uint32(2**32 - 1000),
    }


def check(condition: object, message: str) -> None:
    """Fail the test unless the condition holds.

    Raises:
        AssertionError: it does not.
    """
    if not condition:
        raise AssertionError(message)


def refused(kind: type[Exception], action: Callable[[], object]) -> Exception:
    """Return the exception of this kind that the action must raise.

    Raises:
        AssertionError: it raised none.
    """
    try:
        action()
    except kind as failure:
        return failure
    raise AssertionError(f"no {kind.__name__} was raised")


class WriterTests(ABC):
    """The promises of `panda_ophyd.writers.base`, one by one."""

    @abstractmethod
    def make_writer(self) -> Writer:
        """Return a new writer."""

    @abstractmethod
    def read_back(self, path: Path) -> Contents:
        """Read a file with the format's own library, closed by its writer or not."""

    @abstractmethod
    def start_reader(self, path: Path) -> Reader:
        """Open a file that is being written, in another process."""

    def opened(self, directory: Path) -> tuple[Writer, Path]:
        """Return a writer that is ready for rows, and its file."""
        writer = self.make_writer()
        path = directory / f"scan{writer.suffix}"
        writer.create(path)
        writer.open(DATASETS, ATTRIBUTES)
        return writer, path

    def holds(self, path: Path, stop: int) -> Contents:
        """Check that the file holds exactly the rows before stop, and return its contents."""
        contents = self.read_back(path)
        expected = rows(0, stop)
        check(contents.columns.keys() == expected.keys(), f"datasets {sorted(contents.columns)}")
        for name, values in expected.items():
            np.testing.assert_array_equal(contents.columns[name], values, name)
        return contents

    def test_rows_come_back_as_they_were_appended(self, tmp_path: Path) -> None:
        writer, path = self.opened(tmp_path)
        for start in range(3):
            writer.append(rows(start, start + 1))
        check(writer.flush() == 3, "flush counts the rows")
        writer.close(GOOD)
        contents = self.holds(path, 3)
        for dataset in DATASETS:
            check(contents.columns[dataset.name].dtype == dataset.dtype, f"dtype of {dataset.name}")
            check(contents.chunks[dataset.name] == dataset.chunk, f"chunk of {dataset.name}")
            found = contents.column_attributes[dataset.name]
            check(dataset.attributes.items() <= found.items(), f"attributes {found}")
        check(ATTRIBUTES.items() <= contents.attributes.items(), f"{contents.attributes}")

    def test_batches_may_straddle_chunks(self, tmp_path: Path) -> None:
        writer, path = self.opened(tmp_path)
        edges = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 2, 5 * CHUNK, 5 * CHUNK, 43]
        for start, stop in itertools.pairwise(edges):
            writer.append(rows(start, stop))
            check(writer.flush() == stop == writer.rows, f"{stop} rows are counted")
        writer.close(GOOD)
        self.holds(path, 43)

    def test_a_capture_without_rows_gives_empty_datasets(self, tmp_path: Path) -> None:
        writer, path = self.opened(tmp_path)
        check(writer.flush() == 0, "no rows")
        writer.close(GOOD)
        self.holds(path, 0)

    def test_a_capture_of_one_row(self, tmp_path: Path) -> None:
        writer, path = self.opened(tmp_path)
        writer.append(rows(0, 1))
        writer.close(GOOD)
        self.holds(path, 1)

    def test_a_capture_that_never_began_leaves_a_readable_file(self, tmp_path: Path) -> None:
        writer = self.make_writer()
        path = tmp_path / f"never{writer.suffix}"
        writer.create(path)
        writer.close()
        check(not self.read_back(path).columns, "no datasets")

    def test_at_every_flush_all_datasets_have_equal_length(self, tmp_path: Path) -> None:
        writer, path = self.opened(tmp_path)
        reader = self.start_reader(path)
        try:
            for start, stop in ((0, 0), (0, 1), (1, 5 * CHUNK), (5 * CHUNK, 5 * CHUNK + 1)):
                writer.append(rows(start, stop))
                check(writer.flush() == stop, "flush counts the rows")
                lengths = reader.lengths()
                check(set(lengths.values()) == {stop}, f"after {stop} rows: {lengths}")
        finally:
            reader.close()
            writer.close(GOOD)

    def test_a_refused_append_leaves_all_datasets_as_they_were(self, tmp_path: Path) -> None:
        writer, path = self.opened(tmp_path)
        writer.append(rows(0, 5))
        unequal = rows(5, 7) | {"bits µ": rows(5, 6)["bits µ"]}
        one, two = list(rows(5, 7).items())
        for columns in (unequal, dict([one]), dict([one, two, ("extra", one[1])]), {}):
            failure = refused(WriterError, lambda columns=columns: writer.append(columns))
            check(str(path) in str(failure), "the message names the file")
        check(writer.flush() == 5, "nothing was added")
        writer.close(GOOD)
        self.holds(path, 5)

    def test_a_writer_that_dies_leaves_every_flushed_row_readable(self, tmp_path: Path) -> None:
        writer, path = self.opened(tmp_path)
        writer.append(rows(0, 2 * CHUNK + 3))
        writer.flush()
        # What is on the disk now is what a process that dies now leaves behind
        remains = tmp_path / f"remains{writer.suffix}"
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, remains)
        contents = self.holds(remains, 2 * CHUNK + 3)
        self.says(contents, DIED)
        writer.close(GOOD)

    def test_what_is_known_of_each_acquisition_is_read_back(self, tmp_path: Path) -> None:
        writer, path = self.opened(tmp_path)
        for number, acquisition in ((0, BEGUN), (0, ENDED), (1, BEGUN), (1, ENDED), (2, BEGUN)):
            writer.record(number, acquisition)
        writer.close(GOOD)
        found = self.read_back(path).acquisitions
        check(found == (ENDED, ENDED, BEGUN), f"{found}")

    def test_the_box_is_read_back_as_it_was(self, tmp_path: Path) -> None:
        writer = self.make_writer()
        path = tmp_path / f"box{writer.suffix}"
        writer.create(path)
        writer.snapshot = BOX
        writer.open(DATASETS, ATTRIBUTES)
        writer.append(rows(0, 3))
        check(writer.flush() == 3, "flush counts the rows")
        writer.close(GOOD)
        check(self.holds(path, 3).snapshot == BOX, "the snapshot is another")
        writer, path = self.opened(tmp_path)
        writer.close(GOOD)
        check(self.read_back(path).snapshot is None, "a snapshot that nobody took")

    def test_an_acquisition_under_way_is_seen_by_readers(self, tmp_path: Path) -> None:
        writer, path = self.opened(tmp_path)
        writer.record(0, BEGUN)
        remains = tmp_path / f"remains{writer.suffix}"
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, remains)
        found = self.read_back(remains).acquisitions
        check(found == (BEGUN,), f"{found}")
        writer.close(GOOD)

    def test_the_verdict_is_in_the_file(self, tmp_path: Path) -> None:
        verdict = Verdict(
            complete=False,
            end_reason="Data overrun µ",
            rows=12,
            suspect_row=7,
            suspect_stop=9,
            problems=("one µ", "two"),
        )
        for given in (GOOD, verdict, DIED):
            (directory := tmp_path / given.end_reason).mkdir()
            writer, path = self.opened(directory)
            writer.close(given)
            self.says(self.read_back(path), given)

    def says(self, contents: Contents, verdict: Verdict) -> None:
        """Check that the file says this about itself."""
        words = ("complete", "end_reason", "rows", "suspect_row", "suspect_stop")
        expected = {name: getattr(verdict, name) for name in words}
        expected["problem"] = "; ".join(verdict.problems)
        for name, value in expected.items():
            found = contents.attributes.get(name)
            check(found == value, f"{name} is {found!r}, not {value!r}")

    def test_a_reason_of_any_length_is_taken(self, tmp_path: Path) -> None:
        writer, path = self.opened(tmp_path)
        writer.close(Verdict(complete=False, end_reason="xµ" * 500, rows=0, suspect_row=0))
        reason = str(self.read_back(path).attributes["end_reason"])
        check(("xµ" * 500).startswith(reason), reason)
        check(reason, "something of it is kept")

    def test_an_existing_file_is_never_overwritten(self, tmp_path: Path) -> None:
        writer = self.make_writer()
        path = tmp_path / f"precious{writer.suffix}"
        path.write_bytes(b"precious")
        failure = refused(WriterError, lambda: writer.create(path))
        check(str(path) in str(failure), str(failure))
        check("exists" in str(failure), str(failure))
        check(path.read_bytes() == b"precious", "the file is as it was")

    def test_a_path_nobody_can_write_to_fails_at_create(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for parent in ("missing", "file"):
            path = tmp_path / parent / "scan"
            writer = self.make_writer()
            failure = refused(WriterError, lambda w=writer, p=path: w.create(p))
            check(str(path) in str(failure), str(failure))
            check("directory" in str(failure), str(failure))

    def test_names_a_file_cannot_hold_are_refused(self, tmp_path: Path) -> None:
        for index, names in enumerate((("",), ("a/b",), (".",), ("..",), ("a\0",), ("a", "a"))):
            writer = self.make_writer()
            writer.create(tmp_path / f"{index}{writer.suffix}")
            datasets = [Dataset(name, np.dtype(np.float64), CHUNK, {}) for name in names]
            failure = refused(FieldValueError, lambda w=writer, d=datasets: w.open(d, {}))
            check("dataset name" in str(failure), str(failure))
            writer.close()

    def test_a_writer_is_used_once(self, tmp_path: Path) -> None:
        writer, path = self.opened(tmp_path)
        writer.close(GOOD)
        writer.close()
        self.says(self.read_back(path), GOOD)
        refused(WriterError, lambda: writer.append(rows(0, 1)))
        refused(WriterError, writer.flush)
        refused(WriterError, lambda: writer.open(DATASETS, {}))
        refused(WriterError, lambda: writer.create(tmp_path / "another"))
        check(not (tmp_path / "another").exists(), "no other file was made")
