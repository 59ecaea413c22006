"""Where a PandA listens, and how a connection to it is made."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from panda_ophyd.errors import FieldValueError, PandaConnectionError

CONTROL_PORT = 8888
DATA_PORT = 8889

_MAX_PORT = 65535
_ADDRESS = re.compile(r"(?:panda://)?([^:/\s\[\]]+)(?::(\d{1,5}))?(?::(\d{1,5}))?/?", re.ASCII)

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

_P = TypeVar("_P", bound=asyncio.Protocol)


@dataclass(frozen=True, slots=True)
class PandaAddress:
    """A host name or IPv4 address and the two ports of the PandA server there."""

    host: str
    control_port: int = CONTROL_PORT
    data_port: int = DATA_PORT

    @classmethod
    def parse(cls, text: str) -> PandaAddress:
        """Read ``host``, ``host:8888`` or ``host:8888:8889``, with or without ``panda://``.

        Raises:
            FieldValueError: it is none of these. The server speaks IPv4 only, so there is
                no form for IPv6 literals.
        """
        if not (match := _ADDRESS.fullmatch(text.strip())):
            raise FieldValueError(
                "address", text, "give it as host, host:control_port or host:control_port:data_port"
            )
        host, control, data = match.groups()
        address = cls(host, int(control or CONTROL_PORT), int(data or DATA_PORT))
        for port in (address.control_port, address.data_port):
            if not 0 < port <= _MAX_PORT:
                raise FieldValueError("address", text, f"{port} is not a TCP port")
        return address

    def __str__(self) -> str:
        if (self.control_port, self.data_port) == (CONTROL_PORT, DATA_PORT):
            return self.host
        return f"{self.host}:{self.control_port}:{self.data_port}"


def as_address(address: PandaAddress | str) -> PandaAddress:
    """Return the address, parsed if it is text.

    Raises:
        FieldValueError: the text is malformed.
    """
    return PandaAddress.parse(address) if isinstance(address, str) else address


async def dial(factory: Callable[[], _P], host: str, port: int, timeout: float) -> _P:
    """Connect a new protocol object to a TCP port.

    Args:
        factory: makes the protocol object.
        host: name or IPv4 address.
        port: TCP port.
        timeout: for name look-up and connection together, s.

    Raises:
        PandaConnectionError: unknown host, refused, unreachable or too late; one line.
    """
    where = f"{host}:{port}"
    try:
        async with asyncio.timeout(timeout):
            # IPv4 only, as the server: `localhost` as ::1 would be refused.
            transport, protocol = await asyncio.get_running_loop().create_connection(
                factory, host, port, family=socket.AF_INET
            )
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
    _set_options(transport)
    _log.info("connected to %s", where)
    return protocol


def _set_options(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    for level, name, value in _SOCKET_OPTIONS:
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(level, option, value)
