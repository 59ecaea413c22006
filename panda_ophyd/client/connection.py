"""One control connection: requests go out, their replies come back to whoever asked.

The whole theory: the server answers in order, so a FIFO of slots is all the matching there is.
Write, append the slot, only then await. A caller that gives up leaves its slot in place, deaf,
to eat the reply that still comes. And there is one way to die, `PandaClient._fail`: the first
cause is kept and every waiter is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from pandablocks.commands import Command

from panda_ophyd.client.address import PandaAddress, as_address
from panda_ophyd.control import Reply, Request

DEFAULT_TIMEOUT = 10.0
"""Seconds a caller waits for replies: the slowest known, ``*SAVESTATE=`` to a busy flash card,
takes a few; and 10 s is also when the server itself gives up on a stalled client."""

_T = TypeVar("_T")


class PandaClient:
    """A control connection to a PandA; single use, one event loop, any number of callers.

    Args:
        address: where the PandA is.
        timeout: default for connecting and for every request, s.
        on_lost: called once if the connection is lost (not if `close` was called), with the
            error that every later request raises.
    """

    def __init__(
        self,
        address: PandaAddress | str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        on_lost: Callable[[Exception], None] | None = None,
    ) -> None:
        self.address = as_address(address)
        self.round_trips = 0
        self.identity = ""

    @property
    def connected(self) -> bool:
        """Whether requests can be sent."""
        raise NotImplementedError

    @property
    def lost(self) -> Exception | None:
        """Why the connection is gone, None while it is not; ``__cause__`` is the first cause."""
        raise NotImplementedError

    async def connect(self) -> None:
        """Connect, and ask who is there."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close; requests under way raise PandaConnectionError. May be called again."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def request(self, request: Request, *, timeout: float | None = None) -> Reply:
        """Send one request and return its reply; `Err` is returned, not raised."""
        raise NotImplementedError

    async def request_all(
        self, requests: Sequence[Request], *, timeout: float | None = None
    ) -> list[Reply]:
        """Send requests in one write and return their replies: one round trip."""
        raise NotImplementedError

    async def query(self, target: str) -> str:
        """Return a single value."""
        raise NotImplementedError

    async def query_lines(self, target: str) -> tuple[str, ...]:
        """Return a multi-line value."""
        raise NotImplementedError

    async def assign(self, target: str, value: str = "") -> None:
        """Set a value."""
        raise NotImplementedError

    async def assign_table(
        self, target: str, lines: Sequence[str], modifiers: str = ""
    ) -> None:
        """Write a table."""
        raise NotImplementedError

    async def send(self, command: Command[_T], *, timeout: float | None = None) -> _T:
        """Run any command of `pandablocks.commands`."""
        raise NotImplementedError
