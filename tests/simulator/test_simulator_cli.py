"""The command line, as a process of its own."""

from __future__ import annotations

import io
import signal
import socket
import subprocess
import sys

import pytest

from panda_simulator import cli

from .box_files import found

LISTENING = r"^listening: control 127\.0\.0\.1:(\d+) data 127\.0\.0\.1:(\d+)\n$"


def run(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 (our own command)
        [sys.executable, "-m", "panda_simulator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_where_it_listens_and_ends_well_when_told(number):
    with run("serve", "--control-port", "0", "--data-port", "0", "--hardware", "echo") as process:
        assert process.stdout is not None
        match = found(LISTENING, process.stdout.readline())
        with socket.create_connection(("127.0.0.1", int(match[1]))) as connection:
            connection.sendall(b"*ECHO here?\n")
            assert connection.recv(100) == b"OK =here\n"
            process.send_signal(number)
            assert connection.recv(100) == b""
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0


def test_a_malformed_box_stops_with_one_line(tmp_path):
    (tmp_path / "config").write_text("TTLIN[6]\n    VAL bit_in\n")
    with run("serve", "--config-dir", str(tmp_path), "--control-port", "0") as process:
        out, err = process.communicate(timeout=20)
    assert out == ""
    assert err == f"panda-simulator: {tmp_path}/config, line 2, column 15: class bit_in not found\n"
    assert process.returncode == 1


def test_settings_are_kept_in_the_state_file(tmp_path):
    path = tmp_path / "state"
    ports = ("--control-port", "0", "--data-port", "0", "--hardware", "echo")
    for expected in (b"OK =0\n", b"OK =7\n"):
        with run("serve", *ports, "--state", str(path), "--rootfs", "here") as process:
            assert process.stdout is not None
            match = found(LISTENING, process.stdout.readline())
            with socket.create_connection(("127.0.0.1", int(match[1]))) as connection:
                connection.sendall(b"COUNTER1.START?\n")
                assert connection.recv(100) == expected
                connection.sendall(b"COUNTER1.START=7\n")
                assert connection.recv(100) == b"OK\n"
                connection.sendall(b"*IDN?\n")
                assert connection.recv(100).endswith(b" rootfs: here\n")
            process.terminate()
            assert process.communicate(timeout=20) == ("", "")


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--state", "none/state", "state file none/state: there is no folder none"),
        ("--state-times", "often", "state times 'often' are not POLL:HOLDOFF:BACKOFF in seconds"),
        ("--rootfs", "a\nb", "rootfs 'a\\nb' has to be one line"),
    ],
)
def test_an_option_that_makes_no_sense_stops_with_one_line(capsys, option, value, reason):
    assert _status("serve", "--hardware", "echo", option, value) == 1
    assert capsys.readouterr().err == f"panda-simulator: {reason}\n"


def test_a_port_that_is_taken_stops_with_one_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status = _status("serve", "--control-port", port, "--hardware", "echo")
    assert status == 1
    err = capsys.readouterr().err
    reason = f"cannot listen on 127.0.0.1:{port}: address already in use"
    assert err == f"panda-simulator: {reason}\n"


def test_a_box_is_recorded_and_played(tmp_path):
    ports = ("--control-port", "0", "--data-port", "0", "--hardware", "echo")
    box = tmp_path / "box.json"
    for options in (("--rootfs", "Original π"), ("--box-file", str(box))):
        with run("serve", *ports, *options) as process:
            assert process.stdout is not None
            port = found(LISTENING, process.stdout.readline())[1]
            if box.exists():
                with socket.create_connection(("127.0.0.1", int(port))) as connection:
                    connection.sendall(b"*IDN?\n")
                    assert connection.recv(200).endswith("rootfs: Original π\n".encode())
            with run("record", f"127.0.0.1:{port}") as recorder:
                out, err = recorder.communicate(timeout=50)
            assert recorder.returncode == 0
            assert "recorded 4.1 with " in err
            assert "different" not in err
            assert not box.exists() or box.read_text("utf-8") == out
            box.write_text(out, "utf-8")
            process.terminate()
            process.communicate(timeout=20)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "record HOST[:CONTROL], or --exchanges FILE"),
        (("a", "--exchanges", "b"), "record HOST[:CONTROL], or --exchanges FILE"),
        (("a:b",), "address 'a:b' is not HOST or HOST:CONTROL"),
        (("--exchanges", "none"), "none: No such file or directory"),
    ],
)
def test_what_cannot_be_recorded_is_one_line(capsys, arguments, reason):
    assert _status("record", *arguments) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"panda-simulator: {reason}\n")


def test_boxes_lists_what_is_built_in(capsys):
    assert _status("boxes") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["pandabox-fmc-24vio", "pandabox-no-fmc"]
    assert "24 kinds of blocks: BITS 1, CALC 2," in lines[0]


def test_a_box_that_is_not_built_in_stops_with_those_that_are(capsys):
    assert _status("serve", "--box", "nosuch") == 1
    expected = "no built-in box 'nosuch': choose one of pandabox-fmc-24vio, pandabox-no-fmc"
    assert capsys.readouterr().err == f"panda-simulator: {expected}\n"


def test_trace_answers_what_is_on_its_input(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert _status("trace") == 0
    assert capsys.readouterr().out == ""


def _status(*arguments: str):
    with pytest.raises(SystemExit) as stopped:
        cli.app(arguments)
    return stopped.value.code


def test_a_speed_that_is_none_stops_with_one_line(capsys):
    assert _status("serve", "--speed", "fast") == 1
    expected = "speed 'fast': it is a number, 'free' or 'stepped'"
    assert capsys.readouterr().err == f"panda-simulator: {expected}\n"
