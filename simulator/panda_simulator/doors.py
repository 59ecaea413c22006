"""A listening port can be shut and opened again, and nobody is lost on the threshold.

Source: protocol.md 1.1.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from typing_extensions import override

_READ_LIMIT = 16384
"""Bytes that wait for one who does not read."""

_BACKLOG = 512
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


class Door:
    """A port that is ours, open or shut."""

    def __init__(self, host: str, port: int) -> None:
        """Take the port, and keep it shut: whoever connects is refused.

        Raises:
            OSError: the port is taken, or the host is not one of this machine.
        """
        self._server: asyncio.Server | None = None
        # the protocol is named for asyncio, which sets TCP_NODELAY then
        self._listener = _Listener(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
            self._listener.bind((host, port))
            self.address: tuple[str, int] = self._listener.getsockname()
        except OSError as error:
            self._listener.close()
            why = (error.strerror or str(error)).lower()
            raise OSError(error.errno, f"cannot listen on {host}:{port}: {why}") from error

    async def open(
        self, enter: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    ) -> None:
        """Accept connections.

        Raises:
            OSError: another process listens there by now.
        """
        self._server = await asyncio.start_server(
            enter, sock=self._listener, limit=_READ_LIMIT, backlog=_BACKLOG
        )

    async def close(self) -> None:
        """Give the port up; those who came in by it may stay."""
        self._listener.refuses = True
        try:
            for _ in range(_ACCEPT_TURNS):
                await asyncio.sleep(0)
        finally:
            if self._server is None:
                self._listener.close()
            else:
                self._server.close()

    async def wait_closed(self) -> None:
        """Wait until all who came in have gone, after `close`."""
        if self._server is not None:
            await self._server.wait_closed()
