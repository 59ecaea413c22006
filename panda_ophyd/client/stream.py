"""One data connection: acquisitions as they come, read no faster than they are consumed."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from types import TracebackType
from typing import Self

from typing_extensions import override

from panda_ophyd.client.address import PandaAddress, as_address
from panda_ophyd.client.wire import Wire, dial
from panda_ophyd.data import DataEvent, DataProtocol, Frame
from panda_ophyd.errors import CommandError, PandaConnectionError, ProtocolError

OPEN_TIMEOUT = 10.0
"""Seconds for connecting, and again for the server's OK, which it sends at once."""

READ_AHEAD_BYTES = 16 * 1024 * 1024
"""What may wait for the consumer before we stop reading: a quarter of a second at PandA's
60 MB/s. Then the server's own ring of 256 MiB fills, and then it says so itself."""

_EVENT_BYTES = 100
"""Counted for each event besides its payload, so that a flood of empty frames is bounded too."""

_log = logging.getLogger(__name__)


class _DataWire(Wire):
    """The data connection as the event loop sees it."""

    def __init__(self, where: str, protocol: DataProtocol) -> None:
        super().__init__(where)
        self._protocol = protocol
        self._events: deque[DataEvent] = deque()
        self._held = 0
        self._news = asyncio.Event()

    async def opened(self) -> None:
        """Send the options and return when the server accepted them."""
        self.transport.write(self._protocol.option_line)
        while not self._protocol.ready:
            await self._wait()

    async def next_event(self) -> DataEvent:
        """Return the oldest event; after the last one raise why there are no more."""
        while not self._events:
            await self._wait()
        event = self._events.popleft()
        self._held -= _size(event)
        # Half of it may be left, so that reading does not stop and go with every frame.
        if self._held <= READ_AHEAD_BYTES // 2:
            self.transport.resume_reading()
        return event

    async def _wait(self) -> None:
        if self.lost:
            again = PandaConnectionError(str(self.lost))
            raise again from self.lost.__cause__
        self._news.clear()
        await self._news.wait()

    @override
    def data_received(self, data: bytes) -> None:
        _log.debug("%s < %d bytes", self.where, len(data))
        try:
            events = self._protocol.receive_data(data)
        except (ProtocolError, CommandError) as error:
            self.fail(error)
            return
        self._events += events
        self._held += sum(map(_size, events))
        if self._held > READ_AHEAD_BYTES:
            self.transport.pause_reading()
        self._news.set()
        if self._protocol.error:
            self.fail(self._protocol.error)

    @override
    def end(self) -> Exception:
        try:
            self._protocol.receive_eof()
        except ProtocolError as error:
            return error
        return EOFError("the server closed it between acquisitions")

    @override
    def lose(self) -> None:
        self._news.set()


def _size(event: DataEvent) -> int:
    return _EVENT_BYTES + (len(event.payload) if isinstance(event, Frame) else 0)


class CaptureStream:
    """A data connection to a PandA; single use, one consumer, who iterates over its events.

    The iteration never ends by itself: the server does not close first, so after the last
    event it raises PandaConnectionError, which says how far an acquisition got. Silence is
    normal, so there is no time-out for reading; a dead peer is noticed by the kernel.

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
        self._wire: _DataWire | None = None
        self._used = False

    @property
    def where(self) -> str:
        """``host:port`` of the data connection."""
        return f"{self.address.host}:{self.address.data_port}"

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
        wire = await dial(
            partial(_DataWire, self.where, self._protocol),
            self.address.host,
            self.address.data_port,
            self._timeout,
        )
        try:
            await self._accepted(wire)
            self._wire = wire
        finally:
            if self._wire is None:
                await wire.close()

    async def _accepted(self, wire: _DataWire) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await wire.opened()
        except TimeoutError as error:
            raise PandaConnectionError(
                f"{self.where}: no answer to {self._options!r} within {self._timeout:g} s;"
                " is this a PandA's data port?"
            ) from error
        except PandaConnectionError as error:
            cause = error.__cause__ or error
            raise PandaConnectionError(
                f"{self.where}: this does not behave as a PandA's data port: {cause}"
            ) from cause

    async def close(self) -> None:
        """Close the connection; may be called again. A waiting consumer gets an error."""
        self._used = True
        if self._wire:
            await self._wire.close()

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

    def __aiter__(self) -> AsyncIterator[DataEvent]:
        return self

    async def __anext__(self) -> DataEvent:
        """Return the next event, waiting for it as long as it takes.

        Cancelling the wait loses nothing.

        Raises:
            PandaConnectionError: the connection is not there any more; the message says how
                far an acquisition got, ``__cause__`` is the first cause.
        """
        if self._wire is None:
            raise PandaConnectionError(f"{self.where}: not open; await open() first")
        return await self._wire.next_event()
