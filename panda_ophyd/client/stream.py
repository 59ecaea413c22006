"""One data connection: opened on the event loop, read from a thread, as fast as it is asked."""

from __future__ import annotations

import asyncio
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from panda_ophyd.client.address import PandaAddress, as_address
from panda_ophyd.client.wire import dial_socket, lost
from panda_ophyd.data import DataEvent, DataProtocol
from panda_ophyd.errors import CommandError, PandaConnectionError, ProtocolError

OPEN_TIMEOUT = 10.0
"""Seconds for connecting, and again for the server's OK, which it sends at once."""

_NOWHERE = memoryview(bytearray())
_log = logging.getLogger(__name__)


def _receive_scattered(connection: socket.socket, buffers: list[memoryview]) -> int:
    return connection.recvmsg_into(buffers)[0]


def _receive_first(connection: socket.socket, buffers: list[memoryview]) -> int:
    return connection.recv_into(buffers[0])


# Windows has no recvmsg
_receive: Callable[[socket.socket, list[memoryview]], int] = (
    _receive_scattered if hasattr(socket.socket, "recvmsg_into") else _receive_first
)


class CaptureStream:
    """A data connection to a PandA; single use, one thread at a time that reads.

    Nothing is read that was not asked for, so a slow reader holds the server back: its ring
    of 256 MiB takes over. Silence is normal; a dead peer is noticed by the kernel. The
    server does not close first, so every end of the connection is an error, which says how
    far an acquisition got.

    Args:
        address: where the PandA is.
        options: what to ask for; one of `panda_ophyd.data.PROCESSING`.
        timeout: for opening, s.

    Raises:
        FieldValueError: the address is malformed, or the options are unknown.
    """

    def __init__(
        self,
        address: PandaAddress | str,
        *,
        options: str = "XML FRAMED RAW",
        timeout: float = OPEN_TIMEOUT,
    ) -> None:
        self.address = as_address(address)
        self._options = options
        self._protocol = DataProtocol(options)
        self._timeout = timeout
        self._used = False
        self._lost: PandaConnectionError | None = None
        self._first_cause = threading.Lock()
        self._inside = threading.Lock()
        self._socket: socket.socket | None = None
        self._bell: tuple[socket.socket, socket.socket] | None = None
        self._selector: selectors.BaseSelector | None = None

    @property
    def where(self) -> str:
        """``host:port`` of the data connection."""
        return f"{self.address.host}:{self.address.data_port}"

    @property
    def frame_start(self) -> int:
        """Bytes of samples in this acquisition before its latest frame."""
        return self._protocol.frame_start

    async def open(self) -> None:
        """Connect and send the options; returns after the server's OK.

        The server counts us among its readers a moment after that: before a very short
        acquisition wait until ``*PCAP.STATUS?`` shows one more.

        Raises:
            PandaConnectionError: unknown host, refused, no answer, or no data port; also
                when this stream was used before.
        """
        if self._used:
            raise PandaConnectionError(f"{self.where}: a stream opens once; make a new one")
        self._used = True
        connection = await dial_socket(self.address.host, self.address.data_port, self._timeout)
        try:
            await self._accepted(connection)
        except BaseException:
            connection.close()
            raise
        if self._lost:
            connection.close()
            raise PandaConnectionError(str(self._lost))
        # A socket rather than an event: the reader waits for it and for bytes at once
        self._bell = socket.socketpair()
        for end in self._bell:
            end.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ)
        self._selector.register(self._bell[0], selectors.EVENT_READ)
        self._socket = connection

    async def _accepted(self, connection: socket.socket) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._ask(connection)
        except TimeoutError as error:
            raise PandaConnectionError(
                f"{self.where}: no answer to {self._options!r} within {self._timeout:g} s;"
                " is this a PandA's data port?"
            ) from error
        except (OSError, ProtocolError, CommandError) as error:
            raise PandaConnectionError(
                f"{self.where}: this does not behave as a PandA's data port: {error}"
            ) from error

    async def _ask(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, self._protocol.option_line)
        while not self._protocol.accepted():
            (buffer,) = self._protocol.buffers(_NOWHERE)
            count = await loop.sock_recv_into(connection, buffer)
            if not count:
                self._protocol.receive_eof()
            self._protocol.received(count)

    def next_event(self, room: memoryview, timeout: float | None = None) -> DataEvent | None:
        """Return the next event, waiting for it; for a thread, not for the event loop.

        Args:
            room: where samples go, writable bytes; not empty once an acquisition has begun,
                and the same as last time until a `Payload` says how much is in it.
            timeout: s; None waits as long as it takes.

        Returns:
            None if nothing came within the time-out, or somebody has called `wake`.

        Raises:
            PandaConnectionError: the connection is not there any more; the message says how
                far an acquisition got, ``__cause__`` is the first cause.
        """
        with self._inside:
            if self._lost:
                raise _again(self._lost) from self._lost.__cause__
            if self._socket is None or self._selector is None:
                raise PandaConnectionError(f"{self.where}: not open; await open() first")
            try:
                event = self._next_event(self._socket, self._selector, room, timeout)
            except (OSError, EOFError, ProtocolError, CommandError) as error:
                # Closing it from elsewhere looks like an error here; that cause was first
                failure = self._fail(error)
                raise _again(failure) from failure.__cause__
            if event is None and self._lost:  # the bell was heard before the end was seen
                raise _again(self._lost) from self._lost.__cause__
            return event

    def _next_event(
        self,
        connection: socket.socket,
        selector: selectors.BaseSelector,
        room: memoryview,
        timeout: float | None,
    ) -> DataEvent | None:
        latest = None if timeout is None else time.monotonic() + timeout
        while (event := self._protocol.next_event(room)) is None:
            try:
                count = _receive(connection, self._protocol.buffers(room))
            except BlockingIOError:
                left = None if latest is None else max(latest - time.monotonic(), 0)
                if not self._has_bytes(selector, left):
                    return None
            else:
                if not count:
                    self._protocol.receive_eof()
                    raise EOFError("the server closed it between acquisitions")
                self._protocol.received(count)
        return event

    def _has_bytes(self, selector: selectors.BaseSelector, timeout: float | None) -> bool:
        """Wait; return whether there is something to receive, and nobody rings."""
        ready = [key.fileobj for key, _ in selector.select(timeout)]
        if self._bell and self._bell[0] in ready:
            self._bell[0].recv(64)
            return False
        return bool(ready)

    def wake(self) -> None:
        """Have a reader that waits return at once, or the next one; from any thread."""
        bell = self._bell
        if bell:
            try:
                bell[1].send(b"!")
            except OSError as error:  # it rings already, or is gone
                _log.debug("%s: not woken: %s", self.where, error)

    def abort(self) -> None:
        """End the connection; a waiting reader gets an error. From any thread, at once."""
        self._fail(ConnectionAbortedError("closed by this program"))

    def _fail(self, cause: Exception) -> PandaConnectionError:
        """End the connection; only the first cause counts, and is returned."""
        with self._first_cause:
            if self._lost is None:
                self._lost = lost(self.where, cause)
                _log.info("%s", self._lost)
            connection = self._socket
        if connection:
            # Not close(): the number may be another file's by the time the reader sees it
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                _log.debug("%s: not shut down: %s", self.where, error)
            self.wake()
        return self._lost

    async def close(self) -> None:
        """Close the connection; may be called again. A waiting reader gets an error."""
        self._used = True
        self.abort()
        with self._inside:  # a reader that waited is on its way out
            if self._selector:
                self._selector.close()
            for end in (self._socket, *(self._bell or ())):
                if end:
                    end.close()
            self._socket = self._bell = self._selector = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def _again(failure: PandaConnectionError) -> PandaConnectionError:
    # A new one, for a traceback grows each time it is raised
    return PandaConnectionError(str(failure))
