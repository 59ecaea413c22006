"""Keep only the last rows: a ring beside the file, put into it in order when it is closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd import FieldValueError, WriterError
from panda_ophyd.capture import LastRows
from panda_ophyd.capture import lastrows as lasting
from panda_ophyd.check import State, check_file
from panda_ophyd.verdict import AcquisitionRecord, Span, judge
from panda_ophyd.writers import Dataset, Hdf5Writer

DATASETS = (
    Dataset("number", np.dtype("<f8"), 8, {}),
    Dataset("bits", np.dtype("<u4"), 8, {}),
)


def columns(first: int, count: int) -> dict[str, Any]:
    numbers = np.arange(first, first + count)
    return {"number": numbers.astype("<f8"), "bits": (numbers * 3).astype("<u4")}


def write(path: Path, keep: int, batches: list[int]) -> LastRows:
    writer = LastRows(Hdf5Writer(), keep)
    writer.create(path)
    writer.open(DATASETS, {})
    total = 0
    for count in batches:
        writer.append(columns(total, count))
        total += count
        assert writer.flush() == total
    record = AcquisitionRecord(0, total, received=total, sent=total, end_reason="Ok", ended=1.0)
    writer.record(0, record)
    writer.close(judge([record], dict.fromkeys(["number", "bits"], total)))
    return writer


@given(
    keep=st.integers(1, 50),
    batches=st.lists(st.integers(0, 60), max_size=12),
    step=st.sampled_from([1, 7, 64]),
)
def test_the_last_rows_are_there_in_order(tmp_path_factory, keep, batches, step):
    path = tmp_path_factory.mktemp("ring") / "a.h5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lasting, "COPY_ROWS", step)
        write(path, keep, batches)
    total = sum(batches)
    wanted = np.arange(max(total - keep, 0), total)
    with h5py.File(path) as file:
        assert np.asarray(file["number"]).tolist() == wanted.tolist()
        assert np.asarray(file["bits"]).tolist() == (wanted * 3).tolist()
        assert file.attrs["complete"]
        assert file.attrs["rows"] == len(wanted)
    assert [each.name for each in path.parent.iterdir()] == ["a.h5"]


def test_a_file_of_last_rows_is_good_to_whoever_checks_it(tmp_path):
    writer = write(tmp_path / "a.h5", 5, [4, 4, 4])
    assert writer.pronounced is not None
    assert str(writer.pronounced) == (
        "complete: 5 rows of 1 acquisition, 7 left away as asked, ended Ok"
    )
    assert check_file(tmp_path / "a.h5").state is State.GOOD


def test_what_is_known_of_acquisitions_moves_with_their_rows(tmp_path):
    writer = LastRows(Hdf5Writer(), 5)
    writer.create(tmp_path / "a.h5")
    writer.open(DATASETS, {})
    writer.append(columns(0, 12))
    records = [
        AcquisitionRecord(0, 4, received=4, sent=4, end_reason="Disarmed", ended=1.0),
        AcquisitionRecord(4, 4, received=4, sent=4, end_reason="Disarmed", ended=1.0),
        AcquisitionRecord(
            8, 4, received=4, sent=4, end_reason="Data overrun", ended=1.0, suspect=Span(10, 12)
        ),
    ]
    for number, record in enumerate(records):
        writer.record(number, record)
    writer.close(judge(records, {"number": 12, "bits": 12}))
    verdict = writer.pronounced
    assert verdict is not None
    assert [(r.first_row, r.rows, r.discarded) for r in verdict.acquisitions] == [
        (0, 0, 4), (0, 1, 3), (1, 4, 0),
    ]  # fmt: skip
    assert (verdict.suspect_row, verdict.suspect_stop) == (3, 5)
    assert not verdict.complete
    assert len(verdict.problems) == 1


def test_a_capture_that_failed_is_not_called_complete(tmp_path):
    writer = LastRows(Hdf5Writer(), 5)
    writer.create(tmp_path / "a.h5")
    writer.open(DATASETS, {})
    writer.append(columns(0, 3))
    record = AcquisitionRecord(0, 3, received=3, sent=3, end_reason="Ok", ended=1.0)
    writer.record(0, record)
    writer.close(judge([record], {"number": 3, "bits": 3}, "the link was lost"))
    with h5py.File(tmp_path / "a.h5") as file:
        assert not file.attrs["complete"]
        assert b"the link was lost" in file.attrs["problem"]
        assert len(file["number"]) == 3


def test_nothing_ever_came(tmp_path):
    writer = LastRows(Hdf5Writer(), 5)
    writer.create(tmp_path / "a.h5")
    writer.close()
    writer.close()
    assert [each.name for each in tmp_path.iterdir()] == ["a.h5"]


def test_rows_that_cannot_be_put_into_the_file_stay_in_the_ring(tmp_path, monkeypatch):
    def full(self: Hdf5Writer, columns: Any) -> None:
        raise WriterError("a.h5", "No space left on device")

    monkeypatch.setattr(Hdf5Writer, "append", full)
    with pytest.raises(WriterError, match=r"\.a\.h5\.last-rows, not in the file.*No space left"):
        write(tmp_path / "a.h5", 4, [9])
    ring = np.fromfile(tmp_path / ".a.h5.last-rows", [("number", "<f8"), ("bits", "<u4")])
    assert sorted(ring["number"]) == [5, 6, 7, 8]
    with h5py.File(tmp_path / "a.h5") as file:
        assert not file.attrs["complete"]


def test_a_ring_is_not_written_over(tmp_path):
    (tmp_path / ".a.h5.last-rows").write_bytes(b"precious")
    with pytest.raises(WriterError, match="cannot keep rows there"):
        LastRows(Hdf5Writer(), 4).create(tmp_path / "a.h5")
    assert (tmp_path / ".a.h5.last-rows").read_bytes() == b"precious"
    assert not (tmp_path / "a.h5").exists()


def test_a_file_is_not_written_over(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"precious")
    writer = LastRows(Hdf5Writer(), 4)
    with pytest.raises(WriterError, match="exists already"):
        writer.create(tmp_path / "a.h5")
    writer.close()
    assert [each.name for each in tmp_path.iterdir()] == ["a.h5"]
    assert (tmp_path / "a.h5").read_bytes() == b"precious"


def test_columns_that_do_not_fit_are_refused(tmp_path):
    writer = LastRows(Hdf5Writer(), 4)
    writer.create(tmp_path / "a.h5")
    writer.open(DATASETS, {})
    with pytest.raises(WriterError, match="missing or of unequal length"):
        writer.append({"number": np.zeros(3)})
    writer.close()


def test_at_least_one_row_is_kept():
    with pytest.raises(FieldValueError, match="at least 1 row"):
        LastRows(Hdf5Writer(), 0)
