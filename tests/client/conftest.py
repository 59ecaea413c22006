"""Scripted servers on real TCP: a session is a coroutine that plays one side of a conversation."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from panda_ophyd.client import PandaAddress

IDN = b"OK =PandA SW: 4.1 FPGA: 4.1.7 86e5f0a2 07d202f8 rootfs: scripted\n"

Session = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def identify(self) -> None:
        await self.expect(b"*IDN?\n")
        await self.say(IDN)

    async def echo(self) -> None:
        """Answer what is asked to find out which replies are lost."""
        line = await self.reader.readline()
        assert line.startswith(b"*ECHO ")
        await self.say(b"OK =" + line[len(b"*ECHO ") : -len(b"?\n")] + b"\n")

    async def expect(self, wire: bytes) -> None:
        assert await self.reader.readexactly(len(wire)) == wire

    async def say(self, wire: bytes) -> None:
        self.writer.write(wire)
        await self.writer.drain()

    def reset(self) -> None:
        """Close so that the client sees a reset connection, not an end of file."""
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # on, 0 s
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    async def stay(self) -> None:
        """Do nothing until the client closes."""
        await self.reader.read()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Session], Awaitable[PandaAddress]]]:
    """Start a server for a session; what a session asserts fails the test."""
    servers: list[asyncio.Server] = []
    sessions: set[asyncio.Task[None]] = set()

    async def run(session: Session, peer: Peer) -> None:
        try:
            await session(peer)
        except ConnectionError:
            pass  # the client may hang up whenever it likes
        finally:
            peer.writer.close()

    async def start(session: Session) -> PandaAddress:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            sessions.add(asyncio.create_task(run(session, Peer(reader, writer))))

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        servers.append(server)
        port = server.sockets[0].getsockname()[1]
        return PandaAddress("127.0.0.1", port, port)

    yield start
    for server in servers:
        server.close()
    # A session still running here waits for a client that has gone.
    _, waiting = await asyncio.wait(sessions, timeout=1) if sessions else (None, set())
    for task in waiting:
        task.cancel()
    for result in await asyncio.gather(*sessions, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
