"""Raw sockets to a simulator, and a box that counts at 1 kHz."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from panda_simulator import Simulator
from panda_simulator.simulator import HardwareName

COUNTING = (
    "CLOCK1.PERIOD.UNITS=s",
    "CLOCK1.PERIOD=0.001",
    "CLOCK1.ENABLE=PCAP.ACTIVE",
    "COUNTER1.ENABLE=PCAP.ACTIVE",
    "COUNTER1.TRIG=CLOCK1.OUT",
    "PCAP.TRIG=CLOCK1.OUT",
    "PCAP.TRIG_EDGE=Falling",
    "COUNTER1.OUT.CAPTURE=Value",
)


class Peer:
    """One connection of a client; everything it waits for comes within 10 s, or fails."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def tell(self, text: str) -> None:
        self.writer.write(text.encode())

    async def line(self) -> str:
        async with asyncio.timeout(10):
            return (await self.reader.readline()).decode()

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readexactly(count)

    async def until(self, end: bytes) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readuntil(end)

    async def rest(self) -> bytes:
        """Return all that comes before the connection is closed."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def ask(self, line: str) -> str:
        """Send a command and return its reply, all lines of it."""
        self.tell(f"{line}\n")
        reply = await self.line()
        while reply.startswith("!") and not reply.endswith("\n.\n"):
            reply += await self.line()
        return reply.removesuffix("\n")

    async def silent(self, seconds: float = 0.1) -> bool:
        """Tell whether nothing comes, not even an end."""
        try:
            async with asyncio.timeout(seconds):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def peer(port: int) -> AsyncGenerator[Peer]:
    opened = Peer(*(await asyncio.open_connection("127.0.0.1", port)))
    try:
        yield opened
    finally:
        await opened.close()


async def refused(port: int) -> bool:
    try:
        async with peer(port):
            return False
    except ConnectionRefusedError:
        return True


@contextlib.asynccontextmanager
async def served(
    hardware: HardwareName = "echo", **options: Any
) -> AsyncGenerator[tuple[Simulator, Peer]]:
    """Yield a simulator that only remembers, and a control connection."""
    async with (
        Simulator(hardware=hardware, **options) as simulator,
        peer(simulator.control_port) as control,
    ):
        yield simulator, control


@contextlib.asynccontextmanager
async def counting(
    option: str = "XML FRAMED RAW", **options: Any
) -> AsyncGenerator[tuple[Simulator, Peer, Peer]]:
    """Yield a box that counts rows from 0 once armed, a control and a data connection."""
    async with served(hardware="blocks", **options) as (simulator, control):
        for line in COUNTING:
            assert await control.ask(line) == "OK", line
        async with peer(simulator.data_port) as data:
            data.tell(f"{option}\n")
            assert await data.line() == "OK\n"
            while await control.ask("*PCAP.STATUS?") != "OK =Idle 1 0":  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            yield simulator, control, data


async def arm(control: Peer) -> None:
    """Arm, then let PCAP start."""
    assert await control.ask("*PCAP.ARM=") == "OK"
    assert await control.ask("PCAP.ENABLE=ONE") == "OK"


class Acquired:
    """An acquisition in FRAMED RAW as it came, with one word in a row."""

    def __init__(self) -> None:
        self.header = b""
        self.rows: list[int] = []
        self.end = b""


async def acquired(data: Peer, control: Peer | None = None, rows: int = 0) -> Acquired:
    """Read one acquisition, and disarm it when so many rows have come."""
    got = Acquired()
    got.header = await data.until(b"\n\n")
    while (mark := await data.exactly(4)) == b"BIN ":
        (length,) = struct.unpack("<I", await data.exactly(4))
        payload = await data.exactly(length - 8)
        got.rows += struct.unpack(f"<{len(payload) // 4}i", payload)
        if control is not None and len(got.rows) >= rows:
            assert await control.ask("*PCAP.DISARM=") == "OK"
            control = None
    got.end = mark + await data.until(b"\n")
    return got


def consecutive(rows: Iterable[int]) -> bool:
    rows = list(rows)
    return rows == list(range(rows[0], rows[0] + len(rows)))
