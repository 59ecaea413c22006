"""The FIFO of the control connection: each reply goes to the oldest request without one.

The whole theory: the server answers in order, so a FIFO of slots is all the matching there is.
Write, append the slot, only then await. A caller that gives up leaves its slot in place, deaf,
to eat the reply that still comes; without it every later answer would be off by one.

A reply that never comes would make deaf slots eat the replies of others for ever. So when one
in front is overdue, a question goes ahead of the next one whose answer nothing else can be:
its echo says that all before it was answered, or never will be.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from panda_ophyd.client.wire import Wire
from panda_ophyd.control import (
    AssignTable,
    Err,
    Lines,
    Ok,
    Query,
    Reply,
    ReplyParser,
    Request,
    encode,
    first_line,
)
from panda_ophyd.errors import PandaConnectionError, PandaTimeoutError, ProtocolError

WRITE_BUFFER_BYTES = 1024 * 1024
"""Unsent bytes beyond which callers wait before adding more: 40,000 pipelined queries, or a
quarter of the largest table there is."""

_LOGGED = 200

ENCODED_LINES = 4096
"""Lines of tables that are encoded at once, 256 KiB; more are in a thread, for the loop's sake."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Slot:
    """Requests written together, and who waits for their replies; deaf once that is done."""

    requests: Sequence[Request]
    future: asyncio.Future[list[Reply]]
    echo: str = ""
    overdue: bool = False
    replies: list[Reply] = field(default_factory=list[Reply])

    @property
    def missing(self) -> int:
        return len(self.requests) - len(self.replies)


class ControlWire(Wire):
    """The control connection as the event loop sees it.

    Args:
        where: ``host:port``, for messages.

    Attributes:
        round_trips: how often something was written and then waited for.
        on_lost: called once, after all waiters were told, if the connection is lost.
    """

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.round_trips = 0
        self.on_lost: Callable[[Exception], None] | None = None
        self._parser = ReplyParser()
        self._slots: deque[_Slot] = deque()
        self._echoes: set[str] = set()
        self._asked_echoes = 0
        self._token = secrets.token_hex(4)
        self._writable = asyncio.Event()
        self._writable.set()

    async def ask(self, requests: Sequence[Request], timeout: float) -> list[Reply]:
        """Send requests in one write and return their replies, in order.

        Args:
            requests: any number of requests.
            timeout: for all replies together, s.

        Raises:
            FieldValueError: a request cannot be sent; none was.
            PandaTimeoutError: not all replies came in time; the connection lives on.
            PandaConnectionError: the connection is or was lost.
        """
        if not requests:
            return []
        data = await _encoded(requests)
        slot = _Slot(requests, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(timeout):
                await self._writable.wait()
                if self.lost:
                    raise self._loss_of(slot)
                self.transport.write(self._probe() + data)
                self._slots.append(slot)
                self.round_trips += 1
                _log.debug("%s > %.200r", self.where, data[:_LOGGED])
                return await slot.future
        except PandaTimeoutError:  # which tells more
            raise
        except TimeoutError as error:
            slot.overdue = True
            raise PandaTimeoutError(
                f"{self.where}: {_name(slot)} not answered within {timeout:g} s"
                f" ({len(slot.replies)} replies came); the connection stays open"
            ) from error

    def _probe(self) -> bytes:
        """Return the question that goes ahead, with a slot for its answer; empty if none need."""
        if self._echoes or not self._slots or not self._slots[0].overdue:
            return b""
        self._asked_echoes += 1
        echo = f"panda-ophyd {self._token} {self._asked_echoes}"
        slot = _Slot([Query(f"*ECHO {echo}")], asyncio.get_running_loop().create_future(), echo)
        slot.future.cancel()  # nobody waits for it
        self._slots.append(slot)
        self._echoes.add(echo)
        return encode(slot.requests[0])

    def _skip_to(self, echo: str) -> None:
        """Give up the slots in front of an echo: their replies are lost."""
        while self._slots and self._slots[0].echo != echo:
            slot = self._slots.popleft()
            _log.warning("%s: the reply to %s is lost", self.where, _name(slot))
            if not slot.future.done():
                slot.future.set_exception(
                    PandaTimeoutError(
                        f"{self.where}: the reply to {_name(slot)} is lost, as a later one came"
                    )
                )
        self._echoes.discard(echo)

    @override
    async def close(self) -> None:
        self.on_lost = None
        await super().close()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    @override
    def pause_writing(self) -> None:
        self._writable.clear()

    @override
    def resume_writing(self) -> None:
        self._writable.set()

    @override
    def data_received(self, data: bytes) -> None:
        _log.debug("%s < %.200r", self.where, data)
        try:
            self._deliver(self._parser.receive_data(data))
        except ProtocolError as error:
            self.fail(error)
        if self._parser.error:
            self.fail(self._parser.error)

    def _deliver(self, replies: list[Reply]) -> None:
        at = 0
        while at < len(replies):
            first = replies[at]
            if isinstance(first, Ok) and first.value in self._echoes:
                self._skip_to(first.value)
            if not self._slots:
                raise ProtocolError(f"an answer without a question, {replies[at]}")
            slot = self._slots[0]
            known = len(slot.replies)
            for reply in replies[at : at + slot.missing]:
                if isinstance(reply, Ok) and reply.value in self._echoes and not slot.echo:
                    break
                request = slot.requests[len(slot.replies)]
                if not _fits(request, reply):
                    raise ProtocolError(f"{reply} cannot be the answer to {first_line(request)}")
                slot.replies.append(reply)
            at += len(slot.replies) - known
            if not slot.missing:
                self._slots.popleft()
                if not slot.future.done():
                    slot.future.set_result(slot.replies)

    @override
    def end(self) -> Exception:
        try:
            self._parser.receive_eof()
        except ProtocolError as error:
            return error
        return EOFError("the server closed it")

    @override
    def lose(self) -> None:
        self._writable.set()
        while self._slots:
            slot = self._slots.popleft()
            if not slot.future.done():
                slot.future.set_exception(self._loss_of(slot))
        if self.on_lost and self.lost:
            self.on_lost(self.lost)

    def _loss_of(self, slot: _Slot) -> PandaConnectionError:
        # Each waiter has its own instance: a shared one would mix their tracebacks.
        loss = PandaConnectionError(f"{_name(slot)} has no answer: {self.lost}")
        loss.__cause__ = self.lost.__cause__ if self.lost else None
        return loss


async def _encoded(requests: Sequence[Request]) -> bytes:
    def join() -> bytes:
        return b"".join(map(encode, requests))

    lines = sum(len(request.lines) for request in requests if isinstance(request, AssignTable))
    return join() if lines <= ENCODED_LINES else await asyncio.to_thread(join)


def _name(slot: _Slot) -> str:
    more = f" and {len(slot.requests) - 1} more" if len(slot.requests) > 1 else ""
    return f"{first_line(slot.requests[0]):.100}{more}"


def _fits(request: Request, reply: Reply) -> bool:
    if isinstance(reply, Err):
        return True
    if isinstance(reply, Lines):
        return isinstance(request, Query)
    return isinstance(request, Query) == (reply.value is not None)
