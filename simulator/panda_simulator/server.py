"""Two listening sockets and a task for each connection, and nothing else knows asyncio's streams.

Source: protocol.md 1.1, 1.3, 1.4, 8.9.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from typing_extensions import override

from panda_simulator.box import Box
from panda_simulator.control import ControlConnection, Facilities
from panda_simulator.data import Acquisition, DataConnection

_LOG = logging.getLogger(__name__)
# as much as the server takes at once: replies to what came together leave together
_READ_SIZE = 16384
SEND_TIMEOUT = 10.0
"""Seconds that one send may take; the client is dropped if it took nothing meanwhile."""

_TURN = 0.004
"""Seconds after which one client's commands or data let the others have the event loop."""

_PIECE = 1 << 18
"""Bytes given to the transport at once: it copies what the socket does not take."""

_BACKLOG = 128
# turns of the event loop from `accept` until asyncio has begun the task of a connection
_ACCEPT_TURNS = 4


class _Listener(socket.socket):
    """A listening socket that can be told to accept nobody more.

    asyncio loses a connection that it has accepted when its server is closed before it
    made a task of it.
    """

    refuses = False

    @override
    def accept(self) -> tuple[socket.socket, Any]:
        if self.refuses:
            raise BlockingIOError
        return super().accept()


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

    def __init__(
        self,
        box: Box,
        *,
        send_timeout: float = SEND_TIMEOUT,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Listen nowhere yet.

        Args:
            box: what the clients talk to.
            send_timeout: seconds that one send may take, see `SEND_TIMEOUT`.
            now_ns: the date, ns since 1970.
        """
        self.box = box
        self.control_port = 0
        self.data_port = 0
        self.acquisition = Acquisition(box, later=self._later, now_ns=now_ns)
        self.facilities = Facilities(box, self.acquisition, self._who)
        self._send_timeout = send_timeout
        self._listening: list[tuple[_Listener, asyncio.Server]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._sessions: list[_Session] = []
        self._timers: set[asyncio.TimerHandle] = set()

    async def start(self, host: str, control_port: int, data_port: int) -> None:
        """Listen on both ports; 0 is any free one.

        Raises:
            OSError: a port is taken, or the host is not one of this machine.
        """
        try:
            self.control_port = await self._listen(host, control_port, "config", self._control)
            self.data_port = await self._listen(host, data_port, "data", self._data)
        except OSError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close every socket and end every task."""
        listening, self._listening = self._listening, []
        for listener, _ in listening:
            listener.refuses = True
        for _ in range(_ACCEPT_TURNS):
            await asyncio.sleep(0)
        for _, server in listening:
            server.close()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self.acquisition.settle()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, server in listening:
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

        # the protocol is named for asyncio, which sets TCP_NODELAY then
        listener = _Listener(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
            listener.bind((host, port))
            server = await asyncio.start_server(
                accept, sock=listener, limit=_READ_SIZE, backlog=_BACKLOG
            )
        except OSError as error:
            listener.close()
            why = (error.strerror or str(error)).lower()
            raise OSError(error.errno, f"cannot listen on {host}:{port}: {why}") from error
        self._listening.append((listener, server))
        name: tuple[str, int] = listener.getsockname()
        return name[1]

    async def _run(
        self,
        kind: str,
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
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

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = ControlConnection(self.facilities)
        turn_ends = time.monotonic() + _TURN
        try:
            while not connection.closed and (data := await reader.read(_READ_SIZE)):
                for due in connection.replies(data):
                    await self._send(writer, due)
                    if time.monotonic() > turn_ends:
                        await asyncio.sleep(0)
                        turn_ends = time.monotonic() + _TURN
        finally:
            connection.receive_eof()

    async def _data(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = DataConnection(self.acquisition)
        wake = asyncio.Event()
        self.acquisition.watchers.append(wake.set)
        listening = asyncio.create_task(self._feed(reader, connection, wake))
        turn_ends = time.monotonic() + _TURN
        try:
            while not connection.closed:
                wake.clear()
                piece = connection.data_to_send()
                if piece:
                    await self._send(writer, piece)
                elif not connection.closed:
                    await wake.wait()
                if time.monotonic() > turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = time.monotonic() + _TURN
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
        """Send all of it.

        Raises:
            TimeoutError: the client took nothing for the time of a whole send.
        """
        for start in range(0, len(data), _PIECE):
            piece = memoryview(data)[start : start + _PIECE]
            left = len(piece)
            writer.write(piece)
            while not await self._sent(writer):
                before, left = left, writer.transport.get_write_buffer_size()
                if left >= before:
                    raise TimeoutError

    async def _sent(self, writer: asyncio.StreamWriter) -> bool:
        try:
            # not wait_for: in Python 3.11 that loses a cancellation
            async with asyncio.timeout(self._send_timeout):
                await writer.drain()
        except TimeoutError:
            return False
        return True

    def _who(self) -> list[str]:
        return [str(session) for session in self._sessions]

    def _later(self, delay: float, function: Callable[[], None]) -> None:
        def call() -> None:
            self._timers.discard(timer)
            function()

        timer = asyncio.get_running_loop().call_later(delay, call)
        self._timers.add(timer)
