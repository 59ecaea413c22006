"""How a connection is made, and the one way it dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar, cast

from typing_extensions import override

from panda_ophyd.errors import PandaConnectionError

# A box that is switched off says nothing at all, and the data port is silent by nature while it
# waits for triggers. So the kernel asks: after 10 s of silence, three times, 5 s apart. Options
# that a platform does not have are left out.
_SOCKET_OPTIONS = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 10),
    (socket.IPPROTO_TCP, "TCP_KEEPALIVE", 10),  # macOS's name for TCP_KEEPIDLE
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 5),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 25_000),  # ms; the same for bytes under way
)

_log = logging.getLogger(__name__)


class Wire(asyncio.Protocol, ABC):
    """One TCP connection, from its first byte to the first cause of its end.

    Args:
        where: ``host:port``, for messages.

    Attributes:
        lost: why the connection is gone, None while it is not; what every later use raises.
            Its ``__cause__`` is the first cause.
    """

    transport: asyncio.Transport

    def __init__(self, where: str) -> None:
        self.where = where
        self.lost: PandaConnectionError | None = None
        self._gone = asyncio.Event()

    @abstractmethod
    def lose(self) -> None:
        """Tell everybody who waits that the connection is gone; `lost` says why."""

    @abstractmethod
    def end(self) -> Exception:
        """Return what the peer's closing the connection at this point means."""

    def fail(self, cause: Exception) -> None:
        """End the connection; only the first cause counts."""
        if self.lost is not None:
            return
        self.lost = lost(self.where, cause)
        _log.info("%s", self.lost)
        # Not close(): that waits until a peer, which may read no more, has taken our bytes.
        self.transport.abort()
        self.lose()

    async def close(self) -> None:
        """End the connection and return when its socket is closed; may be called again."""
        self.fail(ConnectionAbortedError("closed by this program"))
        await self._gone.wait()

    def set_options(self) -> None:
        """Ask the kernel for prompt sending and for noticing dead peers."""
        set_options(self.transport.get_extra_info("socket"))

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.set_options()

    @override
    def eof_received(self) -> None:
        self.fail(self.end())

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(exc or self.end())
        self._gone.set()


def lost(where: str, cause: Exception) -> PandaConnectionError:
    """Return what every later use of a connection raises, caused by what ended it."""
    words = str(cause) or type(cause).__name__
    error = PandaConnectionError(f"{where}: connection lost: {words}")
    error.__cause__ = cause
    return error


def set_options(connection: socket.socket) -> None:
    """Ask the kernel for prompt sending and for noticing dead peers."""
    for level, name, value in _SOCKET_OPTIONS:
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(level, option, value)


_W = TypeVar("_W", bound=Wire)


async def dial(factory: Callable[[], _W], host: str, port: int, timeout: float) -> _W:
    """Connect a new wire to a TCP port.

    Args:
        factory: makes the wire.
        host: name or IPv4 address.
        port: TCP port.
        timeout: for name look-up and connection together, s.

    Raises:
        PandaConnectionError: unknown host, refused, unreachable or too late; one line.
    """
    async with _dialling(host, port, timeout):
        # IPv4 only, as the server: `localhost` as ::1 would be refused.
        _, wire = await asyncio.get_running_loop().create_connection(
            factory, host, port, family=socket.AF_INET
        )
    return wire


async def dial_socket(host: str, port: int, timeout: float) -> socket.socket:
    """Connect a socket, which does not block; its options are set.

    Args:
        host: name or IPv4 address.
        port: TCP port.
        timeout: for name look-up and connection together, s.

    Raises:
        PandaConnectionError: as `dial`.
    """
    loop = asyncio.get_running_loop()
    async with _dialling(host, port, timeout):
        found = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
        for *_, address in found[:-1]:
            with contextlib.suppress(OSError):
                return await _connected(address)
        return await _connected(found[-1][-1])


async def _connected(address: Any) -> socket.socket:
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, address)
        set_options(connection)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.asynccontextmanager
async def _dialling(host: str, port: int, timeout: float) -> AsyncGenerator[None]:
    """Say in one line why there is no connection."""
    where = f"{host}:{port}"
    try:
        async with asyncio.timeout(timeout):
            yield
    except socket.gaierror as error:
        raise PandaConnectionError(
            f"{where}: unknown host ({error.strerror}); check the name or give an IPv4 address"
        ) from error
    except UnicodeError as error:
        raise PandaConnectionError(f"{where}: this cannot be a host name ({error})") from error
    except ConnectionRefusedError as error:
        raise PandaConnectionError(
            f"{where}: connection refused; is the PandA's TCP server running, and is this its port?"
        ) from error
    except TimeoutError as error:
        raise PandaConnectionError(
            f"{where}: no answer within {timeout:g} s; is the PandA on, and on this network?"
        ) from error
    except OSError as error:
        raise PandaConnectionError(f"{where}: cannot connect ({error})") from error
    _log.info("connected to %s", where)
