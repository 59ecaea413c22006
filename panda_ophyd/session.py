"""One connected box: the command connection, the change connection, and what the box is.

A session is single use. After its link is lost every request fails with the first
cause; a new session is made to reconnect, never inside this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence

from panda_ophyd.changes import ChangeError, ChangePoller
from panda_ophyd.client import PandaAddress, PandaClient
from panda_ophyd.control import Err, Lines, Query, Reply, Request
from panda_ophyd.errors import CommandError, PandaConnectionError, PandaError
from panda_ophyd.introspection import BoxInfo, introspect

logger = logging.getLogger(__name__)


class PandaSession:
    """A box that answers: requests on one connection, changes polled on another.

    Two control connections, because ``*CHANGES`` cursors belong to a connection and
    a long reply holds up everything queued behind it. Source: protocol.md 1.5, 6.2.

    Attributes:
        address: where the box is.
        client: the command connection.
        poller: the change connection.
        box: the description, from introspection.
        lost: the first cause of the loss of either connection, None while it lives.
    """

    def __init__(self, address: PandaAddress, *, timeout: float | None = None) -> None:
        self.address = address
        options = {} if timeout is None else {"timeout": timeout}
        self.client = PandaClient(address, **options, on_lost=self._fail)
        self._change_client = PandaClient(address, **options, on_lost=self._fail)
        self.poller = ChangePoller(self._change_client)
        self.lost: Exception | None = None
        self._box: BoxInfo | None = None
        self._polling: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._loss_callbacks: list[Callable[[Exception], None]] = []
        self._last_write = time.monotonic()

    @property
    def box(self) -> BoxInfo:
        """What the box is.

        Raises:
            PandaConnectionError: not connected yet.
        """
        if self._box is None:
            msg = f"{self.address}: not connected, so what the PandA holds is not known"
            raise PandaConnectionError(msg)
        return self._box

    async def connect(self) -> None:
        """Open both connections, ask what the box is and what every value is.

        Raises:
            PandaError: see `PandaClient.connect` and `introspect`.
        """
        try:
            await asyncio.gather(self.client.connect(), self._change_client.connect())
            self._box, _ = await asyncio.gather(introspect(self.client), self.poller.first())
        except BaseException:
            await self.close()
            raise
        self._polling = asyncio.create_task(self._poll(), name=f"changes of {self.address}")

    async def _poll(self) -> None:
        try:
            await self.poller.run()
        except PandaError as exc:
            self._fail(exc)

    def _fail(self, exc: Exception) -> None:
        if self.lost is not None:
            return
        self.lost = exc
        logger.error("%s: connection lost: %s", self.address, exc)
        for callback in list(self._loss_callbacks):
            callback(exc)

    def on_loss(self, callback: Callable[[Exception], None]) -> Callable[[], None]:
        """Call back once with the first cause when the link is lost; returns the way to stop."""
        self._loss_callbacks.append(callback)
        return lambda: self._loss_callbacks.remove(callback)

    def background(self, task: asyncio.Task[None]) -> None:
        """Keep a task of this session until it is done; `close` cancels it."""
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Close both connections and stop every task; may be called twice."""
        tasks = [task for task in (self._polling, *self._background) if task is not None]
        self._polling = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.lost is None:
            self.lost = PandaConnectionError(f"{self.address}: closed by this program")
        await asyncio.gather(self.client.close(), self._change_client.close())

    def wrote(self) -> None:
        """Note that a write begins: somebody will want to see what it does, soon."""
        self._last_write = time.monotonic()
        self.poller.expect()

    def pulsed_since_write(self, target: str) -> bool:
        """Whether a bit was seen to pulse since the last write began."""
        return self.poller.pulsed_since(target, self._last_write)

    def latest(self, target: str) -> str | None:
        """The text last reported in ``*CHANGES`` for a target, None if unknown or in error."""
        text = self.poller.values.get(target)
        return None if text is None or isinstance(text, ChangeError) else text

    async def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """Send several requests in one go; an ``ERR`` is returned, not raised."""
        return await self.client.request_all(requests)

    async def lines_of(self, target: str) -> tuple[str, ...]:
        """Return the lines of a multi-value query, none if this server does not know it."""
        (reply,) = await self.client.request_all([Query(target)])
        return reply.lines if isinstance(reply, Lines) else ()

    async def refreshed(self, first: str, then: str) -> str:
        """Query `first` for its effect and return the value of `then`, in one round trip.

        ``SCALED`` is computed from the last snapshot of the position bus, which a
        query of the position itself takes. Source: protocol.md 4.7.

        Raises:
            CommandError: the server refused the second.
        """
        _, reply = await self.client.request_all([Query(first), Query(then)])
        if isinstance(reply, Err):
            raise CommandError(f"{then}?", reply.message)
        return getattr(reply, "value", None) or ""


@contextlib.asynccontextmanager
async def panda_session(address: PandaAddress):  # noqa: ANN201
    """Connect for the length of a block."""
    session = PandaSession(address)
    await session.connect()
    try:
        yield session
    finally:
        await session.close()
