"""A connection of the server, as it is without faults, or with those that are attached to it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from panda_simulator.faults.actions import Action, Close, Freeze, Reset, Send, Wait
from panda_simulator.faults.effect import Effect, Firing, Progress

_READ_SIZE = 16384
"""As much as the server takes at once: replies to what came together leave together."""

_MOST_AHEAD = 1 << 20
"""Bytes that are kept for later while nobody reads; a client that sends more is left alone."""
_NO_LINGER = struct.pack("ii", 1, 0)


class Attachment:
    """One fault on one connection."""

    def __init__(self, fault: Firing, effect: Effect, progress: Progress) -> None:
        self.fault = fault
        self.effect = effect
        self.progress = progress

    def through(self, actions: Iterable[Action]) -> Iterator[Action]:
        """Let actions pass the fault."""
        at = self.progress
        before, at.before = at.before, []
        yield from before
        for action in actions:
            if not isinstance(action, Send):
                yield action
                continue
            for other in self.effect.sending(action.data, at):
                yield other
                if isinstance(other, Send):
                    at.sent += len(other.data)
        after, at.after = at.after, []
        yield from after


class Line:
    """One live connection; also what its protocol asks about faults (ReplyTap, StreamTap)."""

    def __init__(
        self,
        port: str,
        reader: asyncio.StreamReader,
        write: Callable[[bytes], Awaitable[None]],
        writer: asyncio.StreamWriter,
    ) -> None:
        """Take a connection.

        Args:
            port: ``control`` or ``data``, or another that has no faults.
            reader: what comes.
            write: sends bytes and returns when they have left, or raises if they cannot.
            writer: the connection; only closed here.
        """
        self.port = port
        self.attached: tuple[Attachment, ...] = ()
        self.busy = False
        """Whether it has any fault (control.ReplyTap, data.StreamTap)."""
        self._reader = reader
        self._write = write
        self._writer = writer
        self._ahead = bytearray()
        self._reading = False
        self._gone = asyncio.Event()
        self._frozen: Freeze | None = None

    # what the server does

    async def read(self) -> bytes:
        """Return what has come, nothing at the end.

        Raises:
            OSError: the connection is lost.
        """
        await self._thaw()
        data = await self._next()
        if self.busy:
            for attachment in self.attached:
                attachment.progress.received += len(data)
                for action in attachment.effect.receiving(attachment.progress):
                    await self._do(action)
            await self._thaw()
        return data

    async def send(self, data: bytes) -> None:
        """Send bytes, and return when they have left.

        Raises:
            OSError: the connection is lost.
            TimeoutError: the client takes nothing.
        """
        if not data:
            return
        if not self.busy and self._frozen is None:
            await self._write(data)
            return
        await self._thaw()
        actions: Iterable[Action] = [Send(data)]
        for attachment in self.attached:
            actions = attachment.through(actions)
        for action in actions:
            await self._do(action)

    def attach(self, attachment: Attachment) -> None:
        """Have a fault from now on."""
        self.attached = (*self.attached, attachment)
        self.busy = True
        for action in attachment.effect.attached(attachment.progress):
            if isinstance(action, Freeze):
                self._frozen = action
            else:
                self._end(action)

    def detach(self, fault: Firing) -> None:
        """Have a fault no longer."""
        self.attached = tuple(held for held in self.attached if held.fault is not fault)
        self.busy = bool(self.attached)

    def drop(self, *, reset: bool) -> None:
        """End the connection; whoever reads or sends learns it."""
        self._end(Reset() if reset else Close())

    # what its protocol asks

    def refusal(self, command: str) -> str | None:
        """Return why a command is not done, None if it is (control.ReplyTap)."""
        for attachment in self.attached:
            refusal = attachment.effect.refusal(command, attachment.progress)
            if refusal is not None:
                return refusal
        return None

    def reply(self, command: str, text: str) -> str:
        """Return what is sent instead of a reply (control.ReplyTap)."""
        for attachment in self.attached:
            text = attachment.effect.reply(command, text, attachment.progress)
        return text

    def missed(self) -> int:
        """Return how many more samples the client misses (data.StreamTap)."""
        return sum(held.effect.missed(held.progress) for held in self.attached)

    def header(self, text: bytes) -> bytes:
        """Return what is sent instead of a header (data.StreamTap)."""
        for attachment in self.attached:
            text = attachment.effect.header(text, attachment.progress)
        return text

    def boundary(self, sent: int) -> int | None:
        """Return after how many samples the next piece ends (data.StreamTap)."""
        found = [held.effect.boundary(sent, held.progress) for held in self.attached]
        return min((room for room in found if room is not None and room > 0), default=None)

    def overrun(self, sent: int) -> bool:
        """Tell whether the client is to be called too slow (data.StreamTap)."""
        return any(held.effect.overrun(sent, held.progress) for held in self.attached)

    def rows(self, first: int, data: bytes, row_bytes: int) -> bytes:
        """Return what is sent instead of samples (data.StreamTap)."""
        rows = [data[start : start + row_bytes] for start in range(0, len(data), row_bytes)]
        count = len(rows)
        for attachment in self.attached:
            rows = attachment.effect.rows(first, rows, attachment.progress)
        for attachment in self.attached:
            attachment.progress.samples += count
        return b"".join(rows)

    def frame(self, piece: bytes) -> bytes:
        """Return what is sent instead of a piece of data (data.StreamTap)."""
        for attachment in self.attached:
            piece = attachment.effect.frame(piece, attachment.progress)
            attachment.progress.frames += 1
        return piece

    def end(self, line: bytes) -> bytes:
        """Return what is sent instead of an END line (data.StreamTap)."""
        for attachment in self.attached:
            line = attachment.effect.end(line, attachment.progress)
        return line

    # how

    async def _do(self, action: Action) -> None:
        if isinstance(action, Send):
            await self._write(action.data)
        elif isinstance(action, Wait):
            await self._pause(action.seconds, action.over)
        elif isinstance(action, Freeze):
            self._frozen = action
            await self._thaw()
        else:
            self._end(action)
            raise ConnectionAbortedError(f"a fault: {type(action).__name__.lower()}")

    async def _next(self) -> bytes:
        if self._ahead:
            data = bytes(self._ahead)
            self._ahead.clear()
            return data
        if self._gone.is_set():
            return b""
        self._reading = True
        try:
            data = await self._reader.read(_READ_SIZE)
        except OSError:
            self._gone.set()
            raise
        finally:
            self._reading = False
        if not data:
            self._gone.set()
        return data

    async def _thaw(self) -> None:
        while (frozen := self._frozen) is not None:
            await self._pause(frozen.seconds, frozen.over)
            if self._frozen is frozen:
                self._frozen = None

    async def _pause(self, seconds: float, over: asyncio.Event) -> None:
        """Wait for the end of a pause; a client that goes meanwhile is lost."""
        waits: list[asyncio.Task[Any]] = [
            asyncio.create_task(over.wait()),
            asyncio.create_task(self._gone.wait()),
        ]
        looking = [] if self._reading else [asyncio.create_task(self._look_ahead())]
        try:
            timeout = None if math.isinf(seconds) else seconds
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*waits, *looking):
                task.cancel()
            await asyncio.gather(*waits, *looking, return_exceptions=True)
        if self._gone.is_set():
            raise ConnectionResetError("the client has gone during a fault")

    async def _look_ahead(self) -> None:
        """Keep what comes while nobody reads, so that the end is noticed."""
        self._reading = True
        try:
            while len(self._ahead) < _MOST_AHEAD:
                data = await self._reader.read(_READ_SIZE)
                if not data:
                    break
                self._ahead += data
            else:
                return
        except OSError:
            pass
        finally:
            self._reading = False
        self._gone.set()

    def _end(self, action: Action) -> None:
        transport = self._writer.transport
        connection: socket.socket | None = transport.get_extra_info("socket")
        if isinstance(action, Reset):
            if connection is not None:
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            transport.abort()
        else:
            transport.close()
