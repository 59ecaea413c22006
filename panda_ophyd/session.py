"""One connected box: the command connection, the change connection, and what the box is.

A session is single use. After its link is lost every request fails with the first
cause; a new session is made to reconnect, never inside this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from panda_ophyd.bits import BITS_QUERY, BitRecord
from panda_ophyd.changes import ChangeError, ChangePoller
from panda_ophyd.client import PandaAddress, PandaClient
from panda_ophyd.control import Err, Lines, Query, Request, first_line
from panda_ophyd.errors import CommandError, PandaConnectionError
from panda_ophyd.fields import Access, block_signals
from panda_ophyd.introspection import BoxInfo, introspect, take_snapshot
from panda_ophyd.snapshot import Snapshot

logger = logging.getLogger(__name__)

_A = TypeVar("_A")
_B = TypeVar("_B")


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
        self._bits = BitRecord()

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
            await _all_of(self.client.connect(), self._change_client.connect())
            self._box, _ = await _all_of(introspect(self.client), self.poller.first())
            self._bits.note(await self.lines_of(BITS_QUERY), write_follows=True)
        except BaseException:
            await self.close()
            raise
        self._polling = asyncio.create_task(self._poll(), name=f"changes of {self.address}")

    async def _poll(self) -> None:
        try:
            await self.poller.run()
        except Exception as exc:  # noqa: BLE001  whatever it was, nothing is polled any more
            self._fail(exc)

    def _fail(self, exc: Exception) -> None:
        if self.lost is not None:
            return
        logger.error("%s: %s", self.address, exc)
        self._end(exc)

    def _end(self, exc: Exception) -> None:
        # Half a session would show old values as if they were new, so both connections go.
        self.lost = exc
        self.client.abandon(exc)
        self._change_client.abandon(exc)
        callbacks, self._loss_callbacks = self._loss_callbacks, []
        for callback in callbacks:
            try:
                callback(exc)
            except Exception as fault:  # noqa: BLE001  one listener's fault is not the others'
                context = {"message": f"{self.address}: a listener failed", "exception": fault}
                asyncio.get_running_loop().call_exception_handler(context)

    def on_loss(self, callback: Callable[[Exception], None]) -> Callable[[], None]:
        """Call back once with the first cause when the link is lost, soon if it is already.

        Returns:
            The way to stop.
        """
        if self.lost is not None:
            return asyncio.get_running_loop().call_soon(callback, self.lost).cancel
        self._loss_callbacks.append(callback)

        def forget() -> None:
            with contextlib.suppress(ValueError):
                self._loss_callbacks.remove(callback)

        return forget

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
            self._end(PandaConnectionError(f"{self.address}: closed by this program"))
        await asyncio.gather(self.client.close(), self._change_client.close())

    async def write(self, request: Request) -> None:
        """Send a write, and note what bits do from then on.

        Raises:
            CommandError: the server refused.
            FieldValueError: the request cannot be sent.
        """
        self.poller.expect()
        bits, reply = await self.client.request_all([Query(BITS_QUERY), request])
        if isinstance(bits, Lines):
            self._bits.note(bits.lines, write_follows=True)
        if isinstance(reply, Err):
            raise CommandError(first_line(request), reply.message)

    async def bit_since_write(self, target: str) -> list[bool]:
        """Return the levels a bit went through since the last write of this session.

        Raises:
            PandaConnectionError: the connection was lost.
        """
        self._bits.note(await self.lines_of(BITS_QUERY), write_follows=False)
        return self._bits.since_write(target)

    def latest(self, target: str) -> str | None:
        """The text last reported in ``*CHANGES`` for a target, None if unknown or in error."""
        text = self.poller.values.get(target)
        return None if text is None or isinstance(text, ChangeError) else text

    def settings(self) -> dict[str, str]:
        """Return the latest text of everything that can be set, of what is reported."""
        texts = self.poller.texts
        targets = {
            spec.target
            for block in self.box.blocks
            for number in range(1, block.count + 1)
            for spec in block_signals(self.box, block, number)
            if spec.access is Access.RW and spec.reported
        }
        return {target: texts[target] for target in targets if target in texts}

    async def snapshot(self) -> Snapshot:
        """Ask for all settings, tables and labels; readings are those of the last poll.

        Raises:
            PandaError: as `take_snapshot`.
        """
        readings = {
            target: value
            for target, value in self.poller.values.items()
            if isinstance(value, str) and not target.startswith("*")
        }
        shot = await take_snapshot(self.client, self.box, readings=readings)
        return replace(shot, readings={k: v for k, v in readings.items() if k not in shot.settings})

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


async def _all_of(first: Awaitable[_A], second: Awaitable[_B]) -> tuple[_A, _B]:
    """Await both to their end, then raise the first failure if there is one.

    A plain gather would return at the first failure and leave the other to open a
    connection that nobody closes.
    """
    one, two = await asyncio.gather(first, second, return_exceptions=True)
    if isinstance(one, BaseException):
        raise one
    if isinstance(two, BaseException):
        raise two
    return one, two
