"""A PandA's control port as a handful of verbs; every one is a request and its reply."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from pandablocks.commands import Command  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.client.address import PandaAddress, as_address
from panda_ophyd.client.control_wire import ControlWire
from panda_ophyd.client.exchanges import run_command
from panda_ophyd.client.neighbours import mac_address
from panda_ophyd.client.wire import dial
from panda_ophyd.control import (
    Assign,
    AssignTable,
    Err,
    Lines,
    Ok,
    Query,
    Reply,
    Request,
    first_line,
)
from panda_ophyd.errors import (
    CommandError,
    PandaConnectionError,
    PandaTimeoutError,
)

DEFAULT_TIMEOUT = 10.0
"""Seconds a caller waits, for connecting and for replies. The slowest known reply, to
``*SAVESTATE=`` on a busy flash card, takes a few; and after 10 s of not getting rid of its bytes
the server itself drops a client."""

_IDENTITY = "PandA "
_VERSION = re.compile(r"PandA SW: (\d+)\.(\d+)")

_log = logging.getLogger(__name__)

_T = TypeVar("_T")


class PandaClient:
    """A control connection to a PandA; single use, one event loop, any number of callers.

    Args:
        address: where the PandA is.
        timeout: default for connecting and for every request, s.
        on_lost: called once if the connection is lost (not if `close` was called), with the
            error that later requests raise.

    Attributes:
        address: where the PandA is.
        identity: the answer to ``*IDN?``, "" before `connect`.

    Raises:
        FieldValueError: the address is malformed.
    """

    def __init__(
        self,
        address: PandaAddress | str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        on_lost: Callable[[Exception], None] | None = None,
    ) -> None:
        self.address = as_address(address)
        self.identity = ""
        self._timeout = timeout
        self._on_lost = on_lost
        self._wire: ControlWire | None = None
        self._used = False

    @property
    def where(self) -> str:
        """``host:port`` of the control connection."""
        return f"{self.address.host}:{self.address.control_port}"

    @property
    def connected(self) -> bool:
        """Whether requests can be sent."""
        return self._wire is not None and self._wire.lost is None

    @property
    def lost(self) -> Exception | None:
        """Why the connection is gone, None while it is not; ``__cause__`` is the first cause."""
        return self._wire.lost if self._wire else None

    @property
    def mac(self) -> str:
        """Hardware address of the box, empty if it is on another network, or nobody knows."""
        peer = self._wire.transport.get_extra_info("peername") if self._wire else None
        return mac_address(str(peer[0])) if peer else ""

    @property
    def round_trips(self) -> int:
        """How often something was written and then waited for; `connect` makes one."""
        return self._wire.round_trips if self._wire else 0

    async def connect(self) -> None:
        """Connect, and ask ``*IDN?`` so that a wrong peer is found out now.

        Raises:
            PandaConnectionError: unknown host, refused, no answer, or no PandA; also when
                this client was used before.
        """
        if self._used:
            raise PandaConnectionError(f"{self.where}: a client connects once; make a new one")
        self._used = True
        wire = await dial(
            partial(ControlWire, self.where),
            self.address.host,
            self.address.control_port,
            self._timeout,
        )
        try:
            self.identity = await self._identify(wire)
            if wire.lost:  # meanwhile, and nobody was told
                raise PandaConnectionError(str(wire.lost)) from wire.lost.__cause__
            wire.on_lost = self._on_lost
            self._wire = wire
        finally:
            if self._wire is None:
                await wire.close()

    async def _identify(self, wire: ControlWire) -> str:
        try:
            [reply] = await wire.ask([Query("*IDN")], self._timeout)
        except PandaTimeoutError as error:
            raise PandaConnectionError(
                f"{self.where}: no answer to *IDN? within {self._timeout:g} s;"
                " is this a PandA's control port?"
            ) from error
        except PandaConnectionError as error:
            cause = error.__cause__ or error
            raise PandaConnectionError(
                f"{self.where}: this does not behave as a PandA's control port: {cause}"
            ) from cause
        if not (isinstance(reply, Ok) and reply.value and reply.value.startswith(_IDENTITY)):
            raise PandaConnectionError(
                f"{self.where}: this is no PandA's control port (its data port, perhaps?):"
                f" it answered *IDN? with {_words(reply)}"
            )
        return reply.value

    def abandon(self, cause: Exception) -> None:
        """Give the connection up: every request, now and later, raises because of that cause."""
        self._used = True
        if self._wire:
            self._wire.fail(cause)

    async def close(self) -> None:
        """Close; requests under way raise PandaConnectionError. May be called again."""
        self._used = True
        if self._wire:
            await self._wire.close()

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
        """Send one request and return its reply; `Err` is returned, not raised.

        Args:
            request: what to send.
            timeout: s, None for the client's default.

        Raises:
            FieldValueError: the request cannot be sent.
            PandaTimeoutError: no reply in time; it is discarded when it comes.
            PandaConnectionError: the connection is not there, or was lost meanwhile.
        """
        [reply] = await self.request_all([request], timeout=timeout)
        return reply

    async def request_all(
        self, requests: Sequence[Request], *, timeout: float | None = None
    ) -> list[Reply]:
        """Send requests in one write and return their replies, in order: one round trip.

        Args:
            requests: what to send; an `Err` does not stop those after it.
            timeout: for all replies together, s; None for the client's default.

        Raises:
            FieldValueError: a request cannot be sent; none was.
            PandaTimeoutError: not all replies in time; they are discarded when they come.
            PandaConnectionError: the connection is not there, or was lost meanwhile.
        """
        if self._wire is None:
            raise PandaConnectionError(f"{self.where}: not connected; await connect() first")
        return await self._wire.ask(requests, self._timeout if timeout is None else timeout)

    async def query(self, target: str) -> str:
        """Return the single value of a target, as the server writes it.

        Raises:
            CommandError: the server refused, or it answered with lines.
            PandaError: as `request`.
        """
        reply = await self._accepted(Query(target))
        if isinstance(reply, Ok) and reply.value is not None:
            return reply.value
        raise CommandError(f"{target}?", "it answers with lines, not with one value")

    async def query_lines(self, target: str) -> tuple[str, ...]:
        """Return the lines of a multi-line target, as the server writes them.

        Raises:
            CommandError: the server refused, or it answered with one value.
            PandaError: as `request`.
        """
        reply = await self._accepted(Query(target))
        if isinstance(reply, Lines):
            return reply.lines
        raise CommandError(f"{target}?", "it answers with one value, not with lines")

    async def assign(self, target: str, value: str = "") -> None:
        """Set a value, or trigger an action.

        Raises:
            CommandError: the server refused.
            PandaError: as `request`.
        """
        await self._accepted(Assign(target, value))

    async def assign_table(self, target: str, lines: Sequence[str], modifiers: str = "") -> None:
        """Write a table or a multi-line text in one go.

        Args:
            target: the table on the wire.
            lines: its body; no line clears the table.
            modifiers: one of `panda_ophyd.control.TABLE_MODIFIERS`.

        Raises:
            CommandError: the server refused; it kept the old content.
            PandaError: as `request`.
        """
        await self._accepted(AssignTable(target, tuple(lines), modifiers))

    async def _accepted(self, request: Request) -> Ok | Lines:
        reply = await self.request(request)
        if isinstance(reply, Err):
            raise CommandError(first_line(request), reply.message)
        return reply

    async def send(self, command: Command[_T], *, timeout: float | None = None) -> _T:
        """Run any command of `pandablocks.commands` over this connection.

        Args:
            command: the command; one object may be sent any number of times, also at once.
            timeout: for each round trip the command makes, s; None for the default.

        Raises:
            CommandError: the server refused a request of the command.
            PandaError: as `request_all`.
        """
        return await run_command(
            command, self._version(), partial(self.request_all, timeout=timeout)
        )

    def _version(self) -> tuple[int, int]:
        if match := _VERSION.match(self.identity):
            return int(match[1]), int(match[2])
        # A development build without a number: commands then ask for what every server has.
        _log.warning("%s: no version number in %r, taken as 0.0", self.where, self.identity)
        return 0, 0


def _words(reply: Reply) -> str:
    match reply:
        case Err(message):
            return f"ERR {message}"
        case Ok(value):
            return repr(value)
        case Lines(lines):
            return f"{len(lines)} lines"
