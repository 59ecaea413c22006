"""Two listening sockets and a task for each connection, and nothing else knows asyncio's streams.

Source: protocol.md 1.1, 1.3, 1.4, 8.9.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from typing_extensions import override

from panda_simulator.box import Box
from panda_simulator.control import ControlConnection, Facilities
from panda_simulator.data import Acquisition, DataConnection
from panda_simulator.doors import Door
from panda_simulator.faults import Faults, Line, WatchedSink
from panda_simulator.hardware import CaptureSink

_LOG = logging.getLogger(__name__)
SEND_TIMEOUT = 10.0
"""Seconds that one send may take; the client is dropped if it took nothing meanwhile."""

_TURN = 0.002
"""Seconds after which one client's commands or data let the others have the event loop."""

_PIECE = 1 << 18
"""Bytes given to the transport at once: it copies what the socket does not take."""

_BENCH = "bench"
_BENCH_LINE = 1 << 16
"""Bytes that a line to the bench port may have, more or less."""

_THIS_MACHINE = "127.0.0.1"
_PORTS = {"config": "control", "data": "data", _BENCH: _BENCH}
"""The port of each kind of connection, as kinds are called in ``*WHO?``."""
_KINDS = {port: kind for kind, port in _PORTS.items()}

_Serve = Callable[[Line], Awaitable[None]]
Answer = Callable[[str], Awaitable[str]]
"""Turns a line into its reply."""


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
        faults: Faults | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        send_timeout: float = SEND_TIMEOUT,
        paced: bool = True,
    ) -> None:
        """Listen nowhere yet.

        Args:
            box: what the clients talk to.
            faults: what happens to their connections, if anything may.
            now_ns: the date, ns since 1970.
            send_timeout: seconds that one send may take, see `SEND_TIMEOUT`.
            paced: of acquisitions, explained there.
        """
        self.box = box
        self.control_port = 0
        self.data_port = 0
        self._faults = faults
        self._now_ns = now_ns
        self._paced = paced
        self.acquisition = self._new_acquisition(box)
        self.facilities = Facilities(box, self.acquisition, self._who)
        self._send_timeout = send_timeout
        self._serving: dict[str, _Serve] = {"config": self._control, "data": self._data}
        self._doors: dict[str, Door] = {}
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._sessions: list[_Session] = []
        self._timers: set[asyncio.TimerHandle] = set()

    async def start(self, host: str, control_port: int, data_port: int) -> None:
        """Listen on both ports; 0 is any free one.

        Raises:
            OSError: a port is taken, or the host is not one of this machine.
        """
        try:
            self.control_port = await self._listen("config", host, control_port)
            self.data_port = await self._listen("data", host, data_port)
        except OSError:
            await self.stop()
            raise

    async def open_bench(self, port: int, answer: Answer) -> int:
        """Listen on a port of this machine, where each line has one reply; return the port.

        Raises:
            OSError: the port is taken.
        """

        async def serve(line: Line) -> None:
            rest = b""
            while len(rest) < _BENCH_LINE and (data := await line.read()):
                *lines, rest = (rest + data).split(b"\n")
                for text in lines:
                    reply = await answer(text.decode("utf-8", "replace"))
                    await line.send(f"{reply}\n".encode())

        self._serving[_BENCH] = serve
        return await self._listen(_BENCH, _THIS_MACHINE, port)

    async def stop(self) -> None:
        """Close every socket and end every task; `settle` when the hardware has stopped too."""
        doors, self._doors = self._doors, {}
        for door in doors.values():
            await door.close()
        await self._end_sessions(self._tasks)
        for door in doors.values():
            await door.wait_closed()

    async def refuse(self, ports: Iterable[str]) -> None:
        """Refuse new connections to ``control`` or ``data``; the ports stay ours."""
        for kind in map(_KINDS.__getitem__, ports):
            if door := self._doors.pop(kind, None):
                await door.close()
                self._doors[kind] = Door(*door.address)

    async def accept(self, ports: Iterable[str]) -> None:
        """Accept connections to these ports again.

        Raises:
            OSError: another process listens there by now.
        """
        for kind in map(_KINDS.__getitem__, ports):
            if door := self._doors.get(kind):
                await door.open(partial(self._run, kind))

    async def drop(self, *, reset: bool) -> None:
        """Lose all connections.

        Args:
            reset: whether clients see a reset, not an end.
        """
        if self._faults:
            self._faults.drop(reset=reset)
        await self._end_sessions([task for task, kind in self._tasks.items() if kind != _BENCH])

    def settle(self) -> None:
        """Do now what was to be done later: nobody may be there to do it."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self.acquisition.settle()

    def serve(self, box: Box) -> None:
        """Serve a box, the same or another, that knows of no acquisition."""
        self.settle()
        self.box = box
        self.acquisition = self._new_acquisition(box)
        self.facilities.box = box
        self.facilities.capture = self.acquisition

    def command(self, text: str) -> str:
        """Do what some other client sends, and return the replies."""
        connection = ControlConnection(self.facilities)
        replies = connection.receive_data(f"{text}\n".encode("latin-1", "replace"))
        connection.receive_eof()
        return replies.decode("latin-1")

    @staticmethod
    async def _end_sessions(tasks: Iterable[asyncio.Task[None]]) -> None:
        tasks = list(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, kind: str, host: str, port: int) -> int:
        self._doors[kind] = door = Door(host, port)
        await door.open(partial(self._run, kind))
        return door.address[1]

    async def _run(
        self, kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks[task] = kind
            task.add_done_callback(self._tasks.pop)
        peer: tuple[str, int] = writer.get_extra_info("peername") or ("unknown", 0)
        session = _Session(kind, f"{peer[0]}:{peer[1]}")
        line = Line(_PORTS[kind], reader, partial(self._send, writer), writer)
        # data wait in the ring, not in the transport, so that a slow client is noticed
        writer.transport.set_write_buffer_limits(high=0)
        _LOG.info("%s client %s connected", kind, session.peer)
        try:
            if kind != _BENCH:
                self._sessions.append(session)
                if self._faults:
                    self._faults.join(line)
            await self._serving[kind](line)
        except (OSError, TimeoutError) as error:
            _LOG.info("%s client %s lost: %s", kind, session.peer, error or "takes no data")
            writer.transport.abort()
        except asyncio.CancelledError:
            # only `stop` and `drop` cancel: the peer sees the connection close
            writer.transport.abort()
        finally:
            if self._faults:
                self._faults.leave(line)
            if session in self._sessions:
                self._sessions.remove(session)
            writer.close()
            # a cancelled task would be an exception in asyncio's own callback
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _control(self, line: Line) -> None:
        connection = ControlConnection(self.facilities, line)
        turn_ends = time.monotonic() + _TURN
        try:
            while not connection.closed and (data := await line.read()):
                for due in connection.replies(data):
                    await line.send(due)
                    if time.monotonic() > turn_ends:
                        await asyncio.sleep(0)
                        turn_ends = time.monotonic() + _TURN
        finally:
            connection.receive_eof()

    async def _data(self, line: Line) -> None:
        acquisition = self.acquisition
        connection = DataConnection(acquisition, line)
        wake = asyncio.Event()
        acquisition.watchers.append(wake.set)
        listening = asyncio.create_task(self._feed(line, connection, wake))
        turn_ends = time.monotonic() + _TURN
        try:
            while not connection.closed:
                wake.clear()
                piece = connection.data_to_send()
                if piece:
                    await line.send(piece)
                elif not connection.closed:
                    await wake.wait()
                if time.monotonic() > turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = time.monotonic() + _TURN
        finally:
            acquisition.watchers.remove(wake.set)
            listening.cancel()
            # before anything is awaited, lest a second cancellation leave a reader in the ring
            connection.close()
            await asyncio.gather(listening, return_exceptions=True)

    @staticmethod
    async def _feed(line: Line, connection: DataConnection, wake: asyncio.Event) -> None:
        try:
            while data := await line.read():
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

    def _new_acquisition(self, box: Box) -> Acquisition:
        def watch(sink: Acquisition, row_bytes: int) -> CaptureSink:
            if self._faults is None:
                return sink
            return WatchedSink(sink, row_bytes, self._faults, box.hardware.disarm)

        return Acquisition(
            box, later=self._later, now_ns=self._now_ns, watch=watch, paced=self._paced
        )

    def _who(self) -> list[str]:
        return [str(session) for session in self._sessions]

    def _later(self, delay: float, function: Callable[[], None]) -> None:
        def call() -> None:
            self._timers.discard(timer)
            function()

        timer = asyncio.get_running_loop().call_later(delay, call)
        self._timers.add(timer)
