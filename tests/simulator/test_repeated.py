"""A run in free time that is repeated is the same run, whatever else the machine is doing."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from .sockets import Peer, peer

RATE = 500
"""Triggers in a second of the box."""

WIRED = (
    "CLOCK1.PERIOD=0.002",
    "CLOCK1.ENABLE=PULSE1.OUT",
    "CLOCK2.PERIOD.RAW=31250",
    "CLOCK2.ENABLE=PULSE1.OUT",
    "COUNTER1.TRIG=CLOCK2.OUT",
    "COUNTER1.ENABLE=PULSE1.OUT",
    "COUNTER1.MAX=999999",
    "PCOMP1.INP=INENC1.VAL",
    "PCOMP1.START=10",
    "PCOMP1.STEP=1000",
    "PCOMP1.WIDTH=10",
    "PCOMP1.ENABLE=BITS.OUTA",
    "PULSE1.TRIG=PCOMP1.OUT",
    "PULSE1.ENABLE=ONE",
    "PCAP.ENABLE=PULSE1.OUT",
    "PCAP.GATE=CLOCK1.OUT",
    "PCAP.TRIG=CLOCK1.OUT",
    "COUNTER1.OUT.CAPTURE=Value Min Max Mean",
    "INENC1.VAL.CAPTURE=Value Diff Sum",
    "INENC2.VAL.CAPTURE=Value",
    "PCAP.TS_TRIG.CAPTURE=Value",
    "PCAP.GATE_DURATION.CAPTURE=Value",
    "PCAP.BITS0.CAPTURE=Value",
    "PCAP.BITS1.CAPTURE=Value",
    "PCAP.BITS2.CAPTURE=Value",
)


@contextlib.asynccontextmanager
async def process(hash_seed: int, speed: str = "free") -> AsyncGenerator[list[int]]:
    """Yield control, data and bench port of a simulator in another process."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "panda_simulator", "serve", "--speed", speed),
        *("--control-port", "0", "--data-port", "0", "--bench-port", "0"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert program.stdout is not None
        text = ""
        async with asyncio.timeout(30):
            while len(ports := re.findall(r":(\d+)|port (\d+)", text)) < 3:
                line = (await program.stdout.readline()).decode()
                assert line
                text += line
        yield [int(one or other) for one, other in ports]
    finally:
        program.terminate()
        await program.wait()


async def repeated(path: Path, seconds: int, *, options: str, hash_seed: int, poll: float) -> str:
    """Capture so many seconds to a file; return its last line.

    Args:
        path: gets what the data port sends.
        seconds: of the box.
        options: of the data client.
        hash_seed: of Python.
        poll: how often, in real seconds, somebody asks something meanwhile.
    """
    async with (
        process(hash_seed) as (control_port, data_port, bench_port),
        peer(control_port) as control,
        peer(control_port) as curious,
        peer(data_port) as data,
        peer(bench_port) as bench,
    ):
        for line in (*WIRED, f"PULSE1.WIDTH={seconds}"):
            assert await control.ask(line) == "OK", line
        data.tell(f"{options}\n")
        assert await data.line() == "OK\n"
        for line in ("encoder x 2 10000 noise=20 seed=7", "place x -0.01"):
            assert await bench.ask(line) == "OK"
        assert await control.ask("*PCAP.ARM=") == "OK"
        assert await control.ask("BITS.A=1") == "OK"
        asking = asyncio.create_task(ask_on(curious, poll))
        try:
            assert (await bench.ask(f"move x {seconds + 5} velocity=1")).startswith("OK")
            end = b""
            with path.open("wb") as file:
                while not re.search(rb"END \d+ [A-Z][a-z ]+\n$", end):
                    async with asyncio.timeout(250):
                        piece = await data.reader.read(1 << 20)
                    assert piece
                    file.write(piece)
                    end = (end + piece)[-40:]
        finally:
            asking.cancel()
    return end[end.rindex(b"END") :].decode()


async def ask_on(control: Peer, seconds: float) -> None:
    while True:
        for query in ("*PCAP.STATUS?", "*CHANGES?", "INENC1.VAL?"):
            await control.ask(query)
        await asyncio.sleep(seconds)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("options", ["XML FRAMED RAW", "XML FRAMED SCALED", "ASCII"])
async def test_five_seconds_repeated_are_the_same_bytes(tmp_path, options):
    runs = tmp_path / "one", tmp_path / "other"
    for number, path in enumerate(runs):
        end = await repeated(path, 5, options=options, hash_seed=number, poll=0.01 * number + 0.01)
        assert end == f"END {5 * RATE} Ok\n"
    assert digest(runs[0]) == digest(runs[1])


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_ten_minutes_repeated_are_the_same_files(tmp_path):
    runs = tmp_path / "one", tmp_path / "other"
    for number, path in enumerate(runs):
        end = await repeated(path, 600, options="XML FRAMED RAW", hash_seed=number, poll=0.5)
        assert end == f"END {600 * RATE} Ok\n"
    assert runs[0].stat().st_size > 600 * RATE * 64
    assert digest(runs[0]) == digest(runs[1])


async def test_time_is_stepped_from_another_process_over_the_bench_port():
    async with (
        process(0, speed="stepped") as (control_port, _, bench_port),
        peer(control_port) as control,
        peer(bench_port) as bench,
    ):
        assert await control.ask("CLOCK1.PERIOD=0.001") == "OK"
        assert await control.ask("COUNTER1.TRIG=CLOCK1.OUT") == "OK"
        assert await control.ask("COUNTER1.ENABLE=ONE") == "OK"
        assert await control.ask("CLOCK1.ENABLE=ONE") == "OK"
        before = int((await bench.ask("tick")).split()[1])
        assert await bench.ask("run 0.25") == f"OK {before + 31_250_000}"
        # the first is at once
        assert await control.ask("COUNTER1.OUT?") == "OK =250"
