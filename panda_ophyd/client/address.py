"""Where a PandA listens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from typing_extensions import override

from panda_ophyd.errors import FieldValueError

CONTROL_PORT = 8888
DATA_PORT = 8889

_MAX_PORT = 65535
_ADDRESS = re.compile(r"(?:panda://)?([^:/\s\[\]]+)(?::(\d{1,5}))?(?::(\d{1,5}))?/?", re.ASCII)


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

    @override
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
