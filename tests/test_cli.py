"""The command line: status 0 only when all went well, else one line that says why."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import h5py
import pytest
from typer.testing import CliRunner

from panda_ophyd.cli import app
from panda_ophyd.writers import read_columns, read_snapshot
from panda_simulator import Simulator, serve_in_thread

run = CliRunner()


@pytest.fixture(scope="module")
def simulated() -> Iterator[Simulator]:
    with serve_in_thread(hardware="echo") as simulator:
        yield simulator


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_info_lists_every_block_and_field(simulated):
    result = run.invoke(app, ["info", simulated.address])
    assert result.exit_code == 0
    assert "24 block types" in result.output
    assert "257 fields" in result.output
    assert "TRIG_EDGE" in result.output


def test_get_prints_the_value(simulated):
    result = run.invoke(app, ["get", simulated.address, "PULSE1.DELAY"])
    assert (result.exit_code, result.output) == (0, "0\n")


def test_put_sets_what_get_prints(simulated):
    assert run.invoke(app, ["put", simulated.address, "PULSE2.DELAY", "0.5"]).exit_code == 0
    assert run.invoke(app, ["get", simulated.address, "PULSE2.DELAY"]).output == "0.5\n"


def test_put_loads_a_table_from_a_file(simulated, tmp_path):
    (tmp_path / "table.txt").write_text("1 0 3 2\n")
    arguments = ["put", simulated.address, "SEQ1.TABLE", "--table", str(tmp_path / "table.txt")]
    assert run.invoke(app, arguments).exit_code == 0
    assert run.invoke(app, ["get", simulated.address, "SEQ1.TABLE"]).output == "1\n0\n3\n2\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["get", "{box}", "NOPE.X"], ["NOPE.X", "No such block"]),
        (["get", "{box}", "PULSE1.NOPE"], ["PULSE1.NOPE", "No such field"]),
        (["put", "{box}", "PULSE1.DELAY", "abc"], ["PULSE1.DELAY", "Number missing"]),
        (["info", "no-such-host.invalid"], ["no-such-host.invalid", "unknown host"]),
        (["info", "127.0.0.1:{free}"], ["127.0.0.1:{free}", "refused"]),
        (["info", "127.0.0.1:{data}"], ["127.0.0.1:{data}", "no PandA"]),
        (["info", "a:b:c"], ["a:b:c", "host:control_port"]),
        (["capture", "{box}", "/no/such/dir/f.h5", "--arm"], ["/no/such/dir/f.h5"]),
        (
            ["capture", "{box}", "{tmp}/f.h5", "--arm"],
            ["nothing is set to be captured", "_capture", "INENC1.VAL"],
        ),
    ],
)
def test_what_is_wrong_is_one_line_that_names_it(simulated, tmp_path, arguments, words):
    values = {
        "box": simulated.address,
        "free": free_port(),
        "data": simulated.data_port,
        "tmp": tmp_path,
    }
    result = run.invoke(app, [argument.format(**values) for argument in arguments])
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1
    for word in words:
        assert word.format(**values) in lines[0]


def test_a_file_is_replaced_only_by_a_whole_one(simulated, tmp_path):
    old = tmp_path / "old.h5"
    old.write_bytes(b"precious")
    nowhere = f"127.0.0.1:{free_port()}"
    assert run.invoke(app, ["capture", nowhere, str(old), "--overwrite", "--arm"]).exit_code == 1
    assert old.read_bytes() == b"precious"


def test_a_capture_that_nobody_arms_ends_when_its_time_is_up(simulated, tmp_path):
    path = tmp_path / "never.h5"
    result = run.invoke(app, ["capture", simulated.address, str(path), "--seconds", "0.2"])
    assert result.exit_code == 1
    assert "--arm" in result.stderr
    assert not path.exists()


def test_two_boxes_taken_for_one_are_refused(simulated, tmp_path):
    with serve_in_thread(hardware="echo") as other:
        mixed = f"127.0.0.1:{simulated.control_port}:{other.data_port}"
        result = run.invoke(app, ["capture", mixed, str(tmp_path / "f.h5"), "--arm"])
    assert result.exit_code == 1
    assert "same PandA" in result.stderr


def test_what_is_no_file_is_not_replaced(simulated, tmp_path):
    run.invoke(app, ["put", simulated.address, "COUNTER1.OUT.CAPTURE", "Value"])
    place = tmp_path / "place"
    place.mkdir()
    order = ["capture", simulated.address, str(place), "--arm", "--rows", "3", "--overwrite"]
    result = run.invoke(app, order)
    assert result.exit_code == 1
    assert "place: it is no file" in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("command", [["info"], ["get", "*CAPTURE.*", "PULSE1.DELAY"]])
def test_who_stops_reading_is_no_error_to_report(simulated, command):
    read, write = os.pipe()
    os.close(read)
    name, *rest = command
    arguments = [sys.executable, "-m", "panda_ophyd", name, simulated.address, *rest]
    try:
        ended = subprocess.run(  # noqa: S603
            arguments, stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=30
        )
    finally:
        os.close(write)
    assert ended.returncode == 1
    assert ended.stderr == ""


def test_a_negative_value_is_no_option(simulated):
    assert run.invoke(app, ["put", simulated.address, "PCOMP1.START", "-5"]).exit_code == 0
    assert run.invoke(app, ["get", simulated.address, "PCOMP1.START"]).output == "-5\n"


def test_the_version_is_printed():
    assert run.invoke(app, ["--version"]).output.startswith("panda-ophyd ")


def test_capture_keeps_integers_and_compresses_them_on_request(simulated, tmp_path):
    run.invoke(app, ["put", simulated.address, "COUNTER1.OUT.CAPTURE", "Value"])
    path = tmp_path / "raw.h5"
    order = ["capture", simulated.address, str(path), "--arm", "--rows", "3"]
    result = run.invoke(app, [*order, "--raw", "--compression", "zip"])
    assert result.exit_code == 1
    assert "known are gzip" in result.stderr
    result = run.invoke(app, [*order, "--raw", "--compression", "gzip:1"])
    assert result.exit_code == 0, result.output
    with h5py.File(path) as file:
        assert file["COUNTER1.OUT.Value"].dtype == "int32"
        assert file["COUNTER1.OUT.Value"].compression == "gzip"
    assert read_columns(path)["COUNTER1.OUT.Value"][:3].tolist() == [0, 256, 512]
    assert run.invoke(app, ["check", str(path)]).exit_code == 0


def test_capture_writes_an_acquisition_and_reports_it(simulated, tmp_path):
    for target in ("COUNTER1.OUT.CAPTURE", "PCAP.TS_TRIG.CAPTURE"):
        run.invoke(app, ["put", simulated.address, target, "Value"])
    path = tmp_path / "captured.h5"
    result = run.invoke(app, ["capture", simulated.address, str(path), "--arm", "--rows", "3"])
    assert result.exit_code == 0, result.output
    assert "rows, ended Ok" in " ".join(result.output.split())
    with h5py.File(path) as file:
        assert file["COUNTER1.OUT.Value"][:3].tolist() == [0, 256, 512]
        assert file["COUNTER1.OUT.Value"].attrs["description"] == "The count"
    snapshot = read_snapshot(path)
    assert snapshot is not None
    assert snapshot.settings["PCAP.TS_TRIG.CAPTURE"] == "Value"
    assert snapshot.identity["application"] == "pandabox-no-fmc"
    again = run.invoke(app, ["capture", simulated.address, str(path), "--arm", "--rows", "3"])
    assert again.exit_code == 1
    assert "exists" in again.stderr


def test_a_capture_without_a_row_is_no_success(tmp_path):
    with serve_in_thread() as box:
        for line in ("PCAP.ENABLE=ONE", "PCAP.TRIG=TTLIN1.VAL", "PCAP.TS_TRIG.CAPTURE=Value"):
            assert box.call(box._server.command, line) == "OK\n"
        old = tmp_path / "old.h5"
        old.write_bytes(b"precious")
        command = ["capture", box.address, str(old), "--arm", "--seconds", "0.2", "--overwrite"]
        result = run.invoke(app, command)
    assert result.exit_code == 1
    assert "it has no rows: nothing triggered PCAP while it was enabled" in result.stderr
    # an empty file takes the place of no other
    assert old.read_bytes() == b"precious"
    (empty,) = (path for path in tmp_path.iterdir() if path != old)
    assert run.invoke(app, ["check", str(empty)]).exit_code == 0
