"""Two listening sockets and a task for each connection, and nothing else knows asyncio's streams.

Source: protocol.md 1.1, 1.3, 1.4, 8.9.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from typing_extensions import override

from panda_simulator.box import Box
from panda_simulator.control import ControlConnection, Facilities
from panda_simulator.data import Acquisition, DataConnection

_LOG = logging.getLogger(__name__)
# as much as the server takes at once: replies to what came together leave together
_READ_SIZE = 16384
# the server drops a client that takes nothing for two or three of its 10 s send timeouts
SEND_TIMEOUT = 20.0
_BACKLOG = 128


@dataclass(eq=False)
class _Session:
    """One live connection."""

    kind: str
    peer: str
    accepted: datetime = field(default_factory=lambda: datetime.now(UTC))

    @override
    def __str__(self) -> str:
        accepted = f"{self.accepted:%Y-%m-%dT%H:%M:%S}.{self.accepted.microsecond // 1000:03d}Z"
        return f"{accepted} {self.kind} {self.peer} "


class Server:
    """The two ports of one box."""

    def __init__(self, box: Box, *, send_timeout: float = SEND_TIMEOUT) -> None:
        """Listen nowhere yet.

        Args:
            box: what the clients talk to.
            send_timeout: seconds after which a client that takes no data is dropped.
        """
        self.box = box
        self.control_port = 0
        self.data_port = 0
        self.acquisition = Acquisition(box, later=self._later)
        self.facilities = Facilities(box, self.acquisition, self._who)
        self._send_timeout = send_timeout
        self._listening: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._sessions: list[_Session] = []
        self._timers: set[asyncio.TimerHandle] = set()
        self._stopping = False

    async def start(self, host: str, control_port: int, data_port: int) -> None:
        """Listen on both ports; 0 is any free one.

        Raises:
            OSError: a port is taken, or the host is not one of this machine.
        """
        self._stopping = False
        try:
            self.control_port = await self._listen(host, control_port, "config", self._control)
            self.data_port = await self._listen(host, data_port, "data", self._data)
        except OSError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close every socket and end every task."""
        listening, self._listening = self._listening, []
        for server in listening:
            server.close()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._stopping = True  # connections accepted just now find it when their task begins
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in listening:
            await server.wait_closed()

    async def _listen(
        self,
        host: str,
        port: int,
        kind: str,
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    ) -> int:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._run(kind, serve, reader, writer)

        server = await asyncio.start_server(
            accept, host, port, family=socket.AF_INET, limit=_READ_SIZE, backlog=_BACKLOG
        )
        self._listening.append(server)
        name: tuple[str, int] = server.sockets[0].getsockname()
        return name[1]

    async def _run(
        self,
        kind: str,
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if self._stopping:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        peer: tuple[str, int] = writer.get_extra_info("peername") or ("unknown", 0)
        session = _Session(kind, f"{peer[0]}:{peer[1]}")
        self._sessions.append(session)
        # data wait in the ring, not in the transport, so that a slow client is noticed
        writer.transport.set_write_buffer_limits(high=0)
        _LOG.info("%s client %s connected", kind, session.peer)
        try:
            await serve(reader, writer)
        except (OSError, TimeoutError) as error:
            _LOG.info("%s client %s lost: %s", kind, session.peer, error or "takes no data")
            writer.transport.abort()
        except asyncio.CancelledError:
            # only `stop` cancels: the peer sees the connection close
            writer.transport.abort()
        finally:
            self._sessions.remove(session)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            if task is not None:
                self._tasks.discard(task)

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = ControlConnection(self.facilities)
        try:
            while not connection.closed:
                data = await reader.read(_READ_SIZE)
                if not data:
                    return
                await self._send(writer, connection.receive_data(data))
        finally:
            connection.receive_eof()

    async def _data(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = DataConnection(self.acquisition)
        wake = asyncio.Event()
        self.acquisition.watchers.append(wake.set)
        listening = asyncio.create_task(self._feed(reader, connection, wake))
        try:
            while not connection.closed:
                wake.clear()
                piece = connection.data_to_send()
                if piece:
                    await self._send(writer, piece)
                elif not connection.closed:
                    await wake.wait()
        finally:
            self.acquisition.watchers.remove(wake.set)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            connection.close()

    @staticmethod
    async def _feed(
        reader: asyncio.StreamReader, connection: DataConnection, wake: asyncio.Event
    ) -> None:
        try:
            while data := await reader.read(_READ_SIZE):
                connection.receive_data(data)
                wake.set()
        except OSError as error:
            _LOG.info("data client reset: %s", error)
        connection.receive_eof()
        wake.set()

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if data:
            writer.write(data)
            # not wait_for: in Python 3.11 that loses a cancellation
            async with asyncio.timeout(self._send_timeout):
                await writer.drain()

    def _who(self) -> list[str]:
        return [str(session) for session in self._sessions]

    def _later(self, delay: float, function: Callable[[], None]) -> None:
        def call() -> None:
            self._timers.discard(timer)
            function()

        timer = asyncio.get_running_loop().call_later(delay, call)
        self._timers.add(timer)
