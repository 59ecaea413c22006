"""A table longer than the box holds: segments, refilled by the time that is queued."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import ClassVar

from typing_extensions import override

from panda_ophyd.errors import SequenceError
from panda_ophyd.loading.ahead import Ahead
from panda_ophyd.loading.base import Kind, Loading, poll_period
from panda_ophyd.loading.chunks import Chunk, Cutter
from panda_ophyd.loading.faults import (
    STREAMING,
    STREAMING_LAST,
    find_fault,
    find_stream_fault,
    has_started,
)
from panda_ophyd.loading.ledger import Ledger
from panda_ophyd.loading.port import TablePort, TableStatus


class StreamedTable(Loading):
    """Segments of a stream; the one in hand waits until it is known whether it is the last.

    Args:
        port: the table, cleared.
        cutter: the lines.
        chunk_lines: most lines in a segment.
        wanted: playing time that is to wait behind the segment that plays, s.
        clock: ticks a second.
    """

    kind: ClassVar[Kind] = "streamed"

    def __init__(
        self, port: TablePort, cutter: Cutter, *, chunk_lines: int, wanted: float, clock: float
    ) -> None:
        super().__init__(port)
        self._block = port.target.partition(".")[0]
        self._wanted = max(round(wanted * clock), 1)
        self._clock = clock
        self._ledger = Ledger()
        self._before = TableStatus("", "")
        # half of what is wanted: so at least two wait whenever that much waits
        lines, ticks = min(chunk_lines, port.max_lines), max(self._wanted // 2, 1)
        self._ahead = Ahead(partial(cutter.next, lines, ticks))
        self._last_sent = False
        self._torn = False

    @property
    @override
    def lines(self) -> int:
        return self._ledger.lines

    @property
    @override
    def total_frames(self) -> int:
        return self._ledger.frames

    @property
    @override
    def handed_over(self) -> bool:
        return self._last_sent

    @property
    def outstanding(self) -> int:
        """Segments that may still have a buffer, as far as was looked."""
        return self._ledger.outstanding

    async def start(self) -> None:
        """Send the first segments, as many as make the time wanted."""
        while self._wants_more():
            await asyncio.wait([self._ahead.begin()])
            await self._send()
        self._before = await self.port.status()
        self._raise_for(self._before)

    @override
    async def feed(self) -> None:
        while not self._last_sent:
            await self.check()
            ahead = self._ahead.begin()
            if not self._wants_more():
                await asyncio.sleep(self._pause())
            elif ahead.done():
                await self._send()
            else:  # a generator that is slow is no reason to overlook that the box stopped
                await asyncio.wait([ahead], timeout=self._pause())

    @override
    async def check(self) -> TableStatus:
        async with self._busy:
            status = await self.port.status()
            self._raise_for(status)
            self._ledger.release(status.queued)
            return status

    @override
    def frames_done(self, status: TableStatus) -> int | None:
        return self._ledger.frames_at(status) if has_started(status, self._before) else 0

    def _wants_more(self) -> bool:
        # One buffer is always left: a refused segment would have changed the MODE already.
        # Source: protocol.md 5.5.
        free = self._ledger.outstanding < self.port.buffers - 1
        return free and not self._last_sent and self._ledger.ticks_behind < self._wanted

    def _pause(self) -> float:
        """Return for how long nothing needs to be looked at, s."""
        return poll_period(self._ledger.ticks_behind / self._clock)

    async def _send(self) -> None:
        """Send the segment that was made."""
        chunk, last = await self._ahead.begin()
        async with self._busy:
            await self._write(chunk, last=last)

    async def _write(self, chunk: Chunk, *, last: bool) -> None:
        if self._torn:
            raise self._error("a write to it failed or was cancelled, so what it has is not known")
        forget = self._ledger.add(chunk)
        self._torn = True
        try:
            await self.port.write(chunk.words, append=True, last=last)
        except SequenceError as refused:
            forget()
            raise await self._cause(refused) from refused
        except Exception:
            forget()
            raise
        self._torn = False
        self._ahead.taken()
        self._last_sent = last
        mode, wanted = await self.port.mode(), STREAMING_LAST if last else STREAMING
        if mode != wanted:
            raise self._error(f"its table has MODE {mode or 'none'} after a write, not {wanted}")

    async def _cause(self, refused: SequenceError) -> SequenceError:
        """Return why a segment was refused: a stop may be between two looks, and is the cause."""
        status = await self.port.status()
        begun = bool(self._before.state)  # else HEALTH is as an earlier run left it
        fault = find_fault(status, self._before) if begun else None
        return self._error(fault, status) if fault else refused

    def _raise_for(self, status: TableStatus) -> None:
        if fault := find_stream_fault(status, self._before, last=self._last_sent):
            raise self._error(fault, status)

    def _error(self, reason: str, status: TableStatus | None = None) -> SequenceError:
        return SequenceError(
            self._block,
            f"{reason} ({self.lines} lines were loaded)",
            health="not asked" if status is None else status.health,
            line=None if status is None else status.line,
            frames_done=None if status is None else self.frames_done(status),
        )
