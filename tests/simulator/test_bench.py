"""Commands about the simulator while it runs, over a port of their own."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from panda_simulator import Simulator, serve_in_thread
from panda_simulator.bench import Bench, BenchCommand, ask
from panda_simulator.faults import FAULTS

from .box_files import found
from .sockets import peer, served


@pytest.fixture
def bench() -> Iterator[tuple[str, Simulator]]:
    with serve_in_thread(hardware="echo", bench_port=0) as simulator:
        yield f"127.0.0.1:{simulator.bench_port}", simulator


def test_faults_are_injected_shown_waited_for_and_cleared(bench):
    address, simulator = bench
    assert ask(address, "fault lost-reply command=*ECHO*") == "1"
    assert ask(address, "fault stall port=data 'after_bytes=1000' seconds=2.5") == "2"
    where = f"control 127.0.0.1:{simulator.control_port} data 127.0.0.1:{simulator.data_port}"
    assert ask(address, "status") == (
        f"{where}; fault 1 lost-reply:command=*ECHO* fired 0;"
        " fault 2 stall:port=data,after_bytes=1000,seconds=2.5 fired 0"
    )
    with pytest.raises(ValueError, match=r"fault 1 lost-reply:command=\*ECHO\* has not happened"):
        ask(address, "wait 1 0.01")
    with socket.create_connection(("127.0.0.1", simulator.control_port)) as client:
        client.sendall(b"*ECHO 1?\n*ECHO 2?\n")
        assert client.recv(100) == b"OK =2\n"
    assert ask(address, "wait 1") == "1"
    assert ask(address, "clear stall") == "1"
    assert ask(address, "clear 1") == "1"
    assert ask(address, "clear") == "0"
    assert ask(address, "status") == where


def test_the_commands_and_faults_explain_themselves(bench):
    address, _ = bench
    assert ask(address, "faults").split() == list(FAULTS)
    for name in ("help", "status", "faults", "fault", "clear", "wait"):
        assert f"{name}" in ask(address, "help")
        assert ask(address, f"help {name}").startswith(name)
    text = ask(address, "help stall")
    assert text.startswith("stall: sends nothing any more")
    assert "after_bytes=: when the server has sent so many bytes (a whole number" in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "no command '': choose one of help, status, faults, fault, clear, wait"),
        ("explode", "no command 'explode': choose one of help"),
        ("fault", "fault needs a name: choose one of close, "),
        ("fault flood", "no fault 'flood': choose one of close, "),
        ("fault stall x", "fault stall: 'x' has to be a parameter as key=value"),
        ("fault stall 'x", "No closing quotation"),
        ("clear stall", "fault stall is not active: none is"),
        ("clear 7", "fault 7 is not active: none is"),
        ("wait", "wait needs the number of a fault"),
        ("wait 7", "no fault 7 is active"),
        ("wait 7 soon", "could not convert string to float: 'soon'"),
        ("wait 7 nan", "the seconds to wait are a number, not nan"),
        ("help nosuch", "no command or fault 'nosuch'"),
    ],
)
def test_what_is_wrong_with_a_command_is_said_in_one_line(bench, line, message):
    with pytest.raises(ValueError) as refusal:
        ask(bench[0], line)
    assert str(refusal.value).startswith(message)
    assert "\n" not in str(refusal.value)


async def test_commands_may_come_in_pieces_and_together():
    async with served(bench_port=0) as (simulator, _):
        assert simulator.bench_port is not None
        async with peer(simulator.bench_port) as bench:
            bench.tell("fau")
            bench.tell("lts\r\nclear\nnosuch\n")
            assert (await bench.line()).startswith("OK close ")
            assert await bench.line() == "OK 0\n"
            assert (await bench.line()).startswith("ERR no command 'nosuch'")


async def test_the_bench_port_stays_while_the_box_is_away_and_has_no_faults():
    async with served(bench_port=0, faults=["close:times=0"]) as (simulator, _):
        assert simulator.bench_port is not None
        async with peer(simulator.bench_port) as bench:
            assert (await bench.ask("status")).startswith("OK control")
            assert await bench.ask("fault reboot seconds=30") == "OK 2"
            assert await bench.ask("wait 2") == "OK 1"
            assert (await bench.ask("status")).startswith("OK control")
        async with peer(simulator.bench_port) as bench:
            assert await bench.ask("clear") == "OK 2"


async def test_a_line_without_end_is_not_kept_for_ever():
    async with served(bench_port=0) as (simulator, _):
        assert simulator.bench_port is not None
        async with peer(simulator.bench_port) as bench:
            bench.tell("x" * 100_000)
            assert (await bench.rest()) == b""


async def test_others_may_add_commands():
    async def move(words):
        return f"moved {' '.join(words)}"

    async with served() as (simulator, _):
        bench = Bench(simulator.faults, lambda: "fine")
        bench.add(BenchCommand("move", "AXIS TARGET", "go somewhere", move))
        assert await bench.answer("move x 3") == "OK moved x 3"
        assert "move AXIS TARGET: go somewhere" in await bench.answer("help")


async def test_a_bench_port_that_is_taken_is_an_error_and_nothing_is_left_open():
    async with served() as (first, _):
        second = Simulator(hardware="echo", bench_port=first.control_port)
        with pytest.raises(OSError, match="address already in use"):
            await second.start()


def test_asking_where_no_bench_port_is_fails_in_one_line():
    def greet(listener: socket.socket) -> None:
        with listener.accept()[0] as client:
            client.sendall(b"220 mail.example.com\n")
            client.recv(100)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        greeter = threading.Thread(target=greet, args=(listener,))
        greeter.start()
        with pytest.raises(OSError, match="this is no bench port, it replied '220 mail"):
            ask(f"127.0.0.1:{listener.getsockname()[1]}", "status")
        greeter.join()
    with pytest.raises(ValueError, match="'9000' has to be HOST:PORT"):
        ask("9000", "status")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(OSError, match=f"127.0.0.1:{port}: Connection refused"):
        ask(f"127.0.0.1:{port}", "status")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 (our own command)
        [sys.executable, "-m", "panda_simulator", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_command_line_injects_shows_and_clears(bench):
    address, _ = bench
    assert command("fault", address, "stall", "port=data", "seconds=2").stdout == "1\n"
    assert "fault 1 stall:port=data,seconds=2.0 fired 0" in command("fault", address).stdout
    assert command("fault", address, "stall", "--clear").stdout == "1\n"
    assert command("fault", address, "--clear").stdout == "0\n"
    failed = command("fault", address, "flood")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("panda-simulator: no fault 'flood': choose one of close,")
    assert failed.stderr.count("\n") == 1


def test_the_command_line_serves_with_faults_and_a_bench_port():
    arguments = ["serve", "--control-port", "0", "--data-port", "0", "--hardware", "echo"]
    arguments += ["--fault", "wrong-reply:command=*IDN?,text=OK =a, b", "--bench-port", "0"]
    with subprocess.Popen(  # noqa: S603 (our own command)
        [sys.executable, "-m", "panda_simulator", *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = r"^listening: control 127\.0\.0\.1:(\d+) data 127\.0\.0\.1:\d+"
            match = found(line + r" bench (127\.0\.0\.1:\d+)\n$", process.stdout.readline())
            with socket.create_connection(("127.0.0.1", int(match[1]))) as client:
                client.sendall(b"*IDN?\n")
                assert client.recv(100) == b"OK =a, b\n"
            assert "fired 1" in ask(match[2], "status")
        finally:
            process.terminate()


def test_help_lists_every_fault_with_its_parameters():
    listed = " ".join(command("serve", "--help").stdout.split())
    lines = command("faults").stdout.splitlines()
    for name, kind in FAULTS.items():
        assert f"{name}: {kind.description}. " in listed
        [line] = [line for line in lines if line.startswith(f"{name}: ")]
        for parameter in kind.parameters:
            assert f"{parameter.name}=" in line


def test_a_bad_fault_stops_the_command_line_with_one_line():
    failed = command("serve", "--fault", "stall:after_bytes=many")
    assert failed.returncode == 1
    assert failed.stderr == (
        "panda-simulator: fault stall: after_bytes is 'many', but has to be a whole number from 0\n"
    )


def test_a_negative_number_on_the_command_line_is_no_option():
    with serve_in_thread(bench_port=0) as simulator:
        address = f"127.0.0.1:{simulator.bench_port}"
        moved = command("bench", "--timeout", "20", address, "place", "x", "-1.5")
        assert (moved.returncode, moved.stderr) == (0, "")
        assert ask(address, "axes").startswith("x -1.5 still")
