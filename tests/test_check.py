"""Files good and bad, judged from what they hold."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from panda_ophyd.check import State, check_file
from panda_ophyd.cli import app
from panda_ophyd.rowtime import NO_TIME
from panda_ophyd.verdict import AcquisitionRecord, Span, judge
from panda_ophyd.writers import Dataset, FileOptions, Hdf5Writer
from panda_ophyd.writers.signature import ProcessSignature

CHUNK = 4
DATASETS = (
    Dataset("x", np.dtype(float), CHUNK, {"units": "mm"}),
    Dataset("bits", np.dtype(np.uint32), CHUNK, {}),
    Dataset(
        "absolute_time",
        np.dtype(np.int64),
        CHUNK,
        {"epoch": "1970-01-01T00:00:00Z", "missing": NO_TIME},
    ),
)
GOOD = AcquisitionRecord(first_row=0, rows=10, received=10, sent=10, end_reason="Ok")


def rows(start, stop):
    numbers = np.arange(start, stop)
    return {"x": numbers / 2, "bits": numbers.astype(np.uint32), "absolute_time": numbers * 8}


def begun(path, count=10, options=None, datasets=DATASETS):
    writer = Hdf5Writer(options or FileOptions())
    writer.create(path)
    writer.open(datasets, {})
    writer.append(rows(0, count))
    writer.flush()
    return writer


def written(path, *records, failure=None, options=None, count=10):
    writer = begun(path, count, options)
    records = records or (GOOD,)
    for number, record in enumerate(records):
        writer.record(number, record)
    writer.close(judge(records, {"x": count}, failure))
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scan.h5"


def test_a_whole_file_is_good(path):
    report = check_file(written(path))
    assert report.state is State.GOOD
    assert report.problems == ()
    assert (report.rows, report.datasets) == (10, 3)
    assert str(report) == f"{path}: good, 10 rows in 3 datasets, 1 acquisition, ended Ok"


def test_a_file_of_several_acquisitions_is_good(path):
    second = AcquisitionRecord(
        first_row=6, rows=4, discarded=3, received=7, sent=7, end_reason="Disarmed"
    )
    report = check_file(written(path, replace(GOOD, rows=6, received=6, sent=6), second))
    assert report.state is State.GOOD
    assert "2 acquisitions, ended Disarmed" in str(report)


def test_a_plain_file_is_judged_by_its_counts(path, tmp_path):
    plain = FileOptions(plain=True)
    assert check_file(written(path, options=plain)).state is State.GOOD
    with h5py.File(path) as file:
        assert set(file) == {"x", "bits", "absolute_time"}
    short = written(tmp_path / "short.h5", replace(GOOD, sent=11), options=plain)
    report = check_file(short)
    assert report.state is State.BAD
    assert "11 samples sent but 10 received" in report.problems


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ({"missed": 1, "suspect": Span(0, 10)}, "1 samples missed before it"),
        ({"end_reason": "Data overrun", "suspect": Span(8, 10)}, "ended with 'Data overrun'"),
        ({"sent": 12}, "12 samples sent but 10 received"),
        ({"sent": None, "end_reason": "no END came"}, "no END came after 10 samples"),
        ({"rows": 9}, "9 rows accounted for but 10 in the file"),
    ],
)
def test_whatever_was_wrong_with_an_acquisition_is_found_again(path, bad, problem):
    report = check_file(written(path, replace(GOOD, **bad)))
    assert report.state is State.BAD
    assert problem in report.problems
    assert len(report.problems) == len(set(report.problems))
    if "suspect" in bad:
        assert f"rows from {bad['suspect'].start} to 9 in doubt" in str(report)


def test_what_a_file_says_of_itself_is_not_believed(path):
    written(path)
    with h5py.File(path, "r+") as file:
        table = file["entry/acquisitions"]
        row = table[0]
        row["sent"] = 12
        table[0] = row
        assert file.attrs["complete"]
    assert check_file(path).problems == ("12 samples sent but 10 received",)


def test_what_went_wrong_with_the_disk_is_known_from_its_words_only(path):
    report = check_file(written(path, failure="no room"))
    assert report.state is State.BAD
    assert report.problems == ("no room",)


@pytest.mark.parametrize(
    "failure", ["no room; make some", "ended; those from row 3; take them again"]
)
def test_words_of_a_failure_stay_together(path, failure):
    bad = replace(GOOD, sent=12, missed=2)
    report = check_file(written(path, bad, failure=failure))
    known = ("2 samples missed before it", "12 samples sent but 10 received")
    assert set(report.problems) == {failure, *known}
    assert len(report.problems) == 3


def test_words_that_were_cut_in_the_file_are_known_again(path):
    records = [
        AcquisitionRecord(first_row=n, rows=1, received=1, sent=1, end_reason="Data overrun")
        for n in range(10)
    ]
    words = [f"acquisition {n}: ended with 'Data overrun'" for n in range(1, 11)]
    report = check_file(written(path, *records, failure="no room; make " + "some " * 20))
    with h5py.File(path) as file:
        assert not file.attrs["problem"].decode().endswith("overrun'")
    assert report.problems == (*words, "no room; make " + "some " * 20)


def test_a_dataset_that_is_short_is_found(path):
    written(path)
    with h5py.File(path, "r+") as file:
        file["bits"].resize((9,))
    report = check_file(path)
    assert report.state is State.BAD
    assert "bits has 9 rows but absolute_time has 10" in report.problems


def test_rows_that_were_never_written_are_found_though_they_read_as_zeros(path):
    written(path)
    with h5py.File(path, "r+") as file:
        for name in DATASETS:
            file[name.name].resize((21,))
        file["x"][16:20] = 1
    report = check_file(path, thorough=False)
    assert "rows 12 to 15 of x were never written and read as zeros" in report.problems
    assert "rows 20 to 20 of x were never written and read as zeros" in report.problems
    assert "rows 12 to 20 of bits were never written and read as zeros" in report.problems


def test_time_that_goes_back_is_found(path):
    written(path)
    with h5py.File(path, "r+") as file:
        file["absolute_time"][4] = NO_TIME
    assert check_file(path).state is State.GOOD
    with h5py.File(path, "r+") as file:
        file["absolute_time"][7] = 6 * 8 - 1
    assert check_file(path, thorough=False).state is State.GOOD
    (problem,) = check_file(path).problems
    assert "absolute_time goes back at row 7" in problem


def test_data_that_cannot_be_read_are_found(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(100.0), chunks=(50,), compression="gzip")
        at = file["x"].id.get_chunk_info(1).byte_offset
    with path.open("r+b") as raw:
        raw.seek(at)
        raw.write(b"\xff" * 16)
    report = check_file(path)
    assert report.state is State.BAD
    assert "rows 0 to 99 of x cannot be read" in str(report)
    assert check_file(path, thorough=False).state is State.UNKNOWN


class TestWriters:
    def test_a_file_being_written_is_neither_good_nor_bad(self, path):
        writer = begun(path)
        # What another process sees; this one may not open the file twice
        told = subprocess.run(  # noqa: S603  our own words
            [sys.executable, "-m", "panda_ophyd", "check", path, "--json"],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        writer.append(rows(10, 11))
        writer.close()
        assert told.returncode == 1, told.stderr
        report = json.loads(told.stdout)
        assert report["state"] == "being written"
        assert report["rows"] == 10
        assert f"process {os.getpid()} on" in report["problems"][0]

    def died(self, path, tmp_path, **signature):
        """Return what a writer leaves that dies; by which process it was is up to the test."""
        writer = begun(path)
        writer.record(0, AcquisitionRecord(first_row=0))
        for name, value in signature.items():
            writer._opened().attrs.modify(name, value)
        writer.flush()
        remains = tmp_path / "remains.h5"
        shutil.copyfile(path, remains)
        writer.close()
        return remains

    def test_a_writer_that_died_is_told_from_one_that_writes(self, path, tmp_path):
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            process.wait()
        report = check_file(self.died(path, tmp_path, writer_pid=np.int64(process.pid)))
        assert report.state is State.BAD
        assert "its writer died" in report.problems[0]
        assert "no END came after 10 samples" in report.problems
        assert report.rows == 10

    def test_a_process_that_has_the_number_of_another_is_not_taken_for_it(self, path, tmp_path):
        report = check_file(self.died(path, tmp_path, writer_started="1"))
        assert report.state is State.BAD
        assert "its writer died" in report.problems[0]

    def test_nobody_knows_of_a_process_on_another_computer(self, path, tmp_path):
        report = check_file(self.died(path, tmp_path, writer_host="elsewhere"))
        assert report.state is State.UNKNOWN
        assert "being written, or its writer died" in report.problems[0]
        assert "on elsewhere" in report.problems[0]

    def test_a_writer_that_died_before_anything_came(self, path, tmp_path):
        writer = Hdf5Writer()
        writer.create(path)
        remains = tmp_path / "remains.h5"
        writer._opened().flush()
        shutil.copyfile(path, remains)
        writer.close()
        report = check_file(remains)
        assert report.state is State.BAD
        assert "a writer has it open, or died" in str(report)

    def test_processes_know_themselves(self):
        own = ProcessSignature.own()
        assert own.alive
        assert replace(own, host="elsewhere").alive is None
        assert replace(own, started="never").alive is False
        assert replace(own, pid=2**22 + 1).alive is False


class TestUnreadable:
    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "it is empty"),
            (b"PANDA" * 100, "it is no HDF5 file"),
            (b"\x89HDF\r\n\x1a\n", "its end is missing"),
            (b"\x89HDF\r\n\x1a\n" + b"\xff" * 100, "a writer has it open|HDF5 cannot"),
        ],
    )
    def test_what_is_no_file_of_ours_is_told(self, path, content, why):
        path.write_bytes(content)
        report = check_file(path)
        assert report.state is State.BAD
        assert any(word in str(report) for word in why.split("|")), report
        assert "\n" not in str(report)

    def test_a_missing_file_is_told(self, path):
        assert "No such file" in str(check_file(path))
        assert "Is a directory" in str(check_file(path.parent))

    def test_a_missing_end_is_told(self, path):
        written(path)
        path.write_bytes(path.read_bytes()[:-100])
        report = check_file(path)
        assert report.state is State.BAD
        assert "its end is missing" in str(report)

    @pytest.mark.parametrize("at", range(0, 4000, 97))
    def test_no_damage_is_an_exception(self, path, at):
        written(path)
        content = bytearray(path.read_bytes())
        at %= len(content)
        content[at : at + 8] = bytes(byte ^ 0xFF for byte in content[at : at + 8])
        path.write_bytes(content)
        report = check_file(path)
        assert str(report).startswith(f"{path}: ")
        # Rows have no checksum; all that says what and how many they are has
        if report.state is State.GOOD:
            assert (report.rows, report.datasets) == (10, 3)


class TestForeignFiles:
    def test_of_pandablocks_are_described_but_cannot_be_vouched_for(self, path):
        with h5py.File(path, "w") as file:
            file.attrs["arm_time"] = "2026-11-22T08:08:30.721304877Z"
            for name in ("a", "b"):
                file[name] = np.arange(5.0)
        report = check_file(path)
        assert report.state is State.UNKNOWN
        assert report.maker == "pandablocks or its IOC"
        assert (report.rows, report.datasets) == (5, 2)
        assert "does not keep how many rows were sent" in str(report)

    def test_of_unequal_length_are_bad(self, path):
        with h5py.File(path, "w") as file:
            file.attrs["arm_time"] = "2026-11-22T08:08:30.721304877Z"
            file["a"], file["b"] = np.arange(5.0), np.arange(4.0)
        report = check_file(path)
        assert report.state is State.BAD
        assert "b has 4 rows but a has 5" in str(report)

    def test_of_anybody_are_unknown_at_best(self, path):
        with h5py.File(path, "w") as file:
            file.attrs["creator"] = "somebody"
            file["a"] = np.arange(5.0)
            file["scalar"] = 3
        report = check_file(path)
        assert (report.state, report.datasets) == (State.UNKNOWN, 1)
        with h5py.File(path, "w"):
            pass
        assert check_file(path).state is State.BAD

    def test_of_our_own_before_there_was_a_table_are_taken_at_their_word(self, path):
        def made(**attributes):
            with h5py.File(path, "w") as file:
                file["a"] = np.arange(5.0)
                words = {"complete": True, "rows": 5, "end_reason": "Ok", "suspect_row": -1}
                for name, value in (words | attributes).items():
                    file.attrs[name] = value
            return check_file(path)

        assert made().state is State.GOOD
        assert "a has 5 rows but 6 were written" in made(rows=6).problems
        assert "not complete: Data overrun" in str(made(complete=False, end_reason="Data overrun"))


class TestCommandLine:
    def run(self, *arguments):
        return CliRunner().invoke(app, ["check", *map(str, arguments)])

    def test_status_0_only_if_all_are_good(self, path, tmp_path):
        written(path)
        bad = written(tmp_path / "bad.h5", replace(GOOD, missed=2))
        result = self.run(path)
        assert result.exit_code == 0
        assert result.output.startswith(f"{path}: good")
        result = self.run(bad, path, tmp_path / "none.h5")
        assert result.exit_code == 1
        lines = result.output.splitlines()
        assert len(lines) == 3
        assert lines[0].startswith(f"{bad}: bad")
        assert lines[1].startswith(f"{path}: good")

    def test_programs_get_an_object_a_line(self, path, tmp_path):
        written(path)
        bad = written(tmp_path / "bad.h5", replace(GOOD, missed=2, suspect=Span(0, 10)))
        good, worse = map(json.loads, self.run(path, bad, "--json").output.splitlines())
        assert good["path"] == str(path)
        assert (good["state"], good["rows"], good["datasets"]) == ("good", 10, 3)
        assert good["suspect_rows"] is None
        assert good["acquisitions"][0]["sent"] == 10
        assert worse["suspect_rows"] == [0, 10]
        assert worse["problems"] == ["2 samples missed before it"]
        assert worse["end_reason"] == "Ok"

    def test_a_quick_look_does_not_read_the_rows(self, path):
        written(path)
        with h5py.File(path, "r+") as file:
            file["absolute_time"][7] = 0
        assert self.run(path, "--quick").exit_code == 0
        assert self.run(path).exit_code == 1
