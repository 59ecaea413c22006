"""The simulator under siege: it answers whoever behaves, reports no exception, and leaks nothing.

The long version is `pytest -m soak`; `--seed` repeats one.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import re
import socket
import tracemalloc
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from panda_simulator import Simulator
from panda_simulator.data.ring import Ring
from panda_simulator.simulator import HardwareName

from .adversary import siege


class Witness:
    """A client that behaves, and insists on right answers."""

    def __init__(self, simulator: Simulator) -> None:
        self.answers = 0
        self.acquisitions = 0
        self._ports = simulator.control_port, simulator.data_port

    async def ask(self) -> None:
        """Ask until cancelled."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._ports[0])
        try:
            while True:
                writer.write(b"*ECHO %d?\nTTLIN1.VAL?\n*BLOCKS?\n" % self.answers)
                async with asyncio.timeout(20):
                    assert await reader.readline() == b"OK =%d\n" % self.answers
                    assert re.fullmatch(rb"OK =[01]\n", await reader.readline())
                    assert (await reader.readuntil(b"\n.\n")).count(b"\n") == 25
                self.answers += 1
                await asyncio.sleep(0.002)
        finally:
            writer.transport.abort()

    async def count(self) -> None:
        """Check the words of every acquisition of a box that counts, until cancelled."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._ports[1], limit=1 << 22)
        try:
            writer.write(b"XML FRAMED RAW\n")
            assert await reader.readline() == b"OK\n"
            while True:
                await self._acquisition(reader)
                self.acquisitions += 1
        finally:
            writer.transport.abort()

    @staticmethod
    async def _acquisition(reader: asyncio.StreamReader) -> None:
        header = await reader.readuntil(b"</header>\n\n")
        words = int(re.findall(rb'sample_bytes="(\d+)"', header)[0]) // 4
        missed = int(re.findall(rb'missed="(\d+)"', header)[0])
        count = 0
        while (tag := await reader.readexactly(4)) == b"BIN ":
            size = int.from_bytes(await reader.readexactly(4), "little") - 8
            rows = np.frombuffer(await reader.readexactly(size), "<u4").reshape(-1, words)
            first = missed + count + np.arange(len(rows), dtype=np.uint32)
            assert np.array_equal(rows, 256 * first[:, None] + np.arange(words, dtype=np.uint32))
            count += len(rows)
        end = tag + await reader.readline()
        assert end.startswith(b"END %d " % count), end


@contextlib.asynccontextmanager
async def watched(
    hardware: HardwareName, caplog: pytest.LogCaptureFixture
) -> AsyncGenerator[tuple[Simulator, Witness]]:
    """Yield a simulator and who insists on it; at the end nothing may be left or be wrong."""
    wrong = list[dict[str, Any]]()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: wrong.append(context))
    rate = 20 if hardware == "firehose" else None
    with caplog.at_level(logging.WARNING):
        async with Simulator(hardware=hardware, firehose=rate) as simulator:
            # fewer blocks, that a siege may be late for
            simulator._server.acquisition.ring = Ring(16, 4)
            simulator._server._send_timeout = 0.3
            witness = Witness(simulator)
            insisting = [asyncio.create_task(witness.ask())]
            if hardware != "blocks":
                insisting.append(asyncio.create_task(witness.count()))
            yield simulator, witness
            async with asyncio.timeout(30):
                while len(simulator._server._sessions) > len(insisting):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            before = witness.answers
            while witness.answers < before + 3 and not insisting[0].done():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            for task in insisting:
                task.cancel()
            for result in await asyncio.gather(*insisting, return_exceptions=True):
                assert isinstance(result, asyncio.CancelledError), repr(result)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not simulator._server._tasks
        assert not simulator._server.acquisition.watchers
        assert simulator._server.acquisition.ring.readers == 0
    gc.collect()
    assert not wrong
    assert not [record.getMessage() for record in caplog.records if "firehose" not in record.name]


@pytest.fixture
def seed(request):
    """A seed that a failure tells."""
    given: int | None = request.config.getoption("--seed")
    seed = random.randrange(1 << 32) if given is None else given
    request.node.add_report_section("call", "seed", f"--seed {seed}")
    return seed


@pytest.mark.parametrize("hardware", ["blocks", "echo", "firehose"])
async def test_a_siege_changes_nothing_for_who_behaves(hardware, caplog, seed):
    async with watched(hardware, caplog) as (simulator, witness):
        await siege(seed, (simulator.control_port, simulator.data_port), 150)
        assert witness.answers > 3


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("hardware", ["blocks", "echo", "firehose"])
async def test_a_long_siege_costs_no_memory(hardware, caplog, seed):
    resident = list[int]()
    async with watched(hardware, caplog) as (simulator, _):
        ports = simulator.control_port, simulator.data_port
        for part in range(10):
            await siege(seed + part, ports, 1000)
            gc.collect()
            resident.append(_resident_bytes())
    assert max(resident[5:]) - max(resident[:5]) < 30 << 20, resident


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


@pytest.mark.parametrize(
    ("port", "data"),
    [
        pytest.param("control", b"*CHANGES=S\n*CHANGES?\n" * 99, id="reads no replies"),
        pytest.param("control", b"PGEN1.TABLE<\n" + b"1 " * 400 + b"\n", id="ends no table"),
        pytest.param("data", b"XML\n" + b"x" * 1000, id="talks to the data port"),
    ],
)
async def test_a_client_cannot_make_the_simulator_hold_much_for_it(port, data):
    clients, each = 5, 500_000
    async with Simulator(hardware="echo") as simulator, contextlib.AsyncExitStack() as stack:
        # what the kernel holds does not matter here
        for door in simulator._server._doors.values():
            door._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 15)
            door._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
        number = simulator.control_port if port == "control" else simulator.data_port
        await _press(number, data, 10_000, stack)  # what is kept for all clients is there
        tracemalloc.start()
        try:
            for _ in range(clients):
                await _press(number, data, 1 << 20, stack)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < clients * each, held


async def _press(port: int, data: bytes, most: int, stack: contextlib.AsyncExitStack) -> None:
    """Send until nothing is taken any more, and stay."""
    peer = stack.enter_context(socket.socket())
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 15)
    peer.connect(("127.0.0.1", port))
    peer.setblocking(False)
    sent = refused = 0
    while sent < most and refused < 20:
        try:
            sent += peer.send(data)
            refused = 0
        except BlockingIOError:
            refused += 1
        except ConnectionError:
            return
        await asyncio.sleep(0.002 if refused else 0)
