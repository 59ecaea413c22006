"""A table longer than the box holds, on a server that cannot stream: two sequencers by turns."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, replace
from typing import ClassVar

from typing_extensions import override

from panda_ophyd.errors import FieldValueError, SequenceError
from panda_ophyd.loading.ahead import Ahead
from panda_ophyd.loading.base import Kind, Loading, poll_period
from panda_ophyd.loading.chunks import Chunk, Cutter
from panda_ophyd.loading.faults import find_fault
from panda_ophyd.loading.ledger import Ledger
from panda_ophyd.loading.port import HEALTHY, TableStatus
from panda_ophyd.loading.tables import TurnCutter
from panda_ophyd.loading.turns import Gates, Turns

LEAST_SECONDS = 15.0
"""Playing time of a table that has lines enough: within it the other one has to be refilled."""


@dataclass(frozen=True, slots=True)
class _Table:
    """One table that is in, or was."""

    index: int
    first_line: int
    first_frame: int
    lines: int
    last_repeats: int
    before: TableStatus


class DoubleBuffered(Loading):
    """Tables that two sequencers play by turns; each is refilled while the other plays.

    Args:
        turns: the sequencers, wired.
        cutter: the lines, of prescale 1.
        chunk_lines: most lines of a table.
        least_seconds: playing time of a table that has lines enough, s.
        clock: ticks a second.
    """

    kind: ClassVar[Kind] = "double-buffered"

    def __init__(
        self, turns: Turns, cutter: Cutter, *, chunk_lines: int, least_seconds: float, clock: float
    ) -> None:
        super().__init__(turns.ports[0])
        self._turns = turns
        self._clock = clock
        lines = min(chunk_lines, *(port.max_lines for port in turns.ports))
        tables = TurnCutter(
            cutter,
            self.port.target,
            max_lines=lines,
            least_ticks=max(round(least_seconds * clock), 1),
            hand_over=turns.hand_over,
        )
        self._ahead: Ahead[tuple[Chunk, bool]] = Ahead(tables.next)
        self._ledger = Ledger()
        self._out: deque[_Table] = deque()
        self._latest: _Table | None = None
        self._last_sent = False
        self._torn = False
        self._next = 0
        self._reached = (0, 0)
        self._splits: list[tuple[int, int]] = []

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

    async def start(self) -> None:
        """Fill both tables; the run gate is reset.

        Raises:
            FieldValueError: the run gate is set, or the wiring is another.
        """
        if (await self._turns.gates()).run:
            reason = "the run gate is set: reset it before lines are loaded"
            raise FieldValueError(self.port.target, "loaded", reason)
        await self._turns.check()
        await self._turns.reset()
        for port in self._turns.ports:
            await port.clear()
        while len(self._out) < len(self._turns.ports) and not self._last_sent:
            await self._send(running=False)

    @override
    async def feed(self) -> None:
        while not self._last_sent:
            await self.check()
            ahead = self._ahead.begin()
            if len(self._out) == len(self._turns.ports):
                await asyncio.sleep(self._pause())
            elif ahead.done():
                await self._send(running=True)
            else:
                await asyncio.wait([ahead], timeout=self._pause())

    @override
    async def check(self) -> TableStatus:
        async with self._busy:
            return await self._check()

    async def _check(self) -> TableStatus:
        # before the counters: what has ended then has the counters of its end
        gates = await self._turns.gates()
        statuses = [await port.status() for port in self._turns.ports]
        while self._out and not gates.waiting[self._out[0].index]:
            self._finish(self._out[0], statuses[self._out[0].index])
            self._out.popleft()
            self._ledger.release(sum(table.lines for table in self._out))
        table = self._out[0] if self._out else self._latest
        if table is None:
            return statuses[0]
        status = self._shifted(table, statuses[table.index])
        if fault := find_fault(statuses[table.index], table.before):
            raise self._error(table, fault, status)
        self._check_running(table, gates, status)
        return status

    @override
    def frames_done(self, status: TableStatus) -> int | None:
        return self._ledger.frames_at(status) if status.line else 0

    @override
    def is_over(self, status: TableStatus) -> bool:
        # Between two tables neither is active
        return self._last_sent and not self._out

    @override
    def place(self, status: TableStatus) -> tuple[int, int, int]:
        before = bisect_left(self._splits, (status.line, 0))
        line, line_repeat = status.line - before, status.line_repeat
        if before < len(self._splits) and self._splits[before][0] == status.line:
            line, line_repeat = line - 1, line_repeat + self._splits[before][1]
        return status.repeat, line, line_repeat

    @override
    async def abandon(self) -> None:
        await self._turns.reset()
        for port in self._turns.ports:
            await port.clear()

    def _finish(self, table: _Table, status: TableStatus) -> None:
        """Check that a table whose gate was reset was played to its end."""
        shifted = self._shifted(table, status, ended=True)
        if fault := find_fault(status, table.before):
            raise self._error(table, fault, shifted)
        if not self._is_at_end(table, status):
            raise self._error(table, "it was disabled before its table was done", shifted)

    def _is_at_end(self, table: _Table, status: TableStatus) -> bool:
        return (status.line, status.line_repeat) == (table.lines, table.last_repeats)

    def _check_running(self, table: _Table, gates: Gates, status: TableStatus) -> None:
        if self._out and status.line and not gates.run:
            raise self._error(table, "it was stopped: the run gate is reset", status)

    def _shifted(self, table: _Table, status: TableStatus, *, ended: bool = False) -> TableStatus:
        """Return a status of a sequencer counted over all tables; line 0 before any start."""
        if status.active or ended or table not in self._out:
            self._reached = (table.first_line + status.line, status.line_repeat)
        # else its counters may be those of the table before
        queued = sum(each.lines for each in self._out)
        line, line_repeat = self._reached
        return replace(status, repeat=1, line=line, line_repeat=line_repeat, queued=queued)

    def _pause(self) -> float:
        return poll_period(self._ledger.ticks_behind / self._clock)

    async def _send(self, *, running: bool) -> None:
        """Write the table that was made to the sequencer whose turn comes, and set its gate."""
        chunk, last = await self._ahead.begin()
        async with self._busy:
            await self._write(chunk, last=last, running=running)

    async def _write(self, chunk: Chunk, *, last: bool, running: bool) -> None:
        port = self._turns.ports[self._next]
        if self._torn:
            reason = "a write to it failed or was cancelled, so what it has is not known"
            raise SequenceError(_block(port.target), reason, health="not asked")
        self._torn = True
        begins = self._ledger.lines, self._ledger.frames
        await port.write(chunk.words)
        before = await port.status()
        self._ledger.add(chunk)
        repeats = int(chunk.repeats[-1])
        if chunk.is_split:
            self._splits.append((self._ledger.lines, int(chunk.repeats[-2])))
        table = _Table(self._next, *begins, len(chunk), repeats, before)
        in_time = await self._turns.ready(self._next)
        self._torn = False
        self._out.append(table)
        self._latest = table
        self._ahead.taken()
        self._last_sent = last
        self._next = 1 - self._next
        if running and not in_time:
            raise await self._lateness(table)

    async def _lateness(self, table: _Table) -> SequenceError:
        """Return why the other sequencer was not active when this one was ready."""
        other = 1 - table.index
        gates = await self._turns.gates()
        status = await self._turns.ports[other].status()
        block = _block(self._turns.ports[other].target)
        reason = f"its lines came later than those of {block} were played, so there is a gap"
        if not gates.run:
            reason = "it was stopped: the run gate is reset"
        elif status.health != HEALTHY:
            reason = f"{block} stopped before it"
        line, line_repeat = self._reached
        if not gates.waiting[other]:  # all that was before
            line, line_repeat = table.first_line, 1
        status = replace(status, line=line, line_repeat=line_repeat)
        done = self.frames_done(status) if gates.waiting[other] else table.first_frame
        return self._error(table, reason, status, done)

    def _error(
        self, table: _Table, reason: str, status: TableStatus, frames_done: int | None = None
    ) -> SequenceError:
        return SequenceError(
            _block(self._turns.ports[table.index].target),
            f"{reason} ({self.lines} lines were loaded)",
            health=status.health,
            line=status.line,
            frames_done=self.frames_done(status) if frames_done is None else frames_done,
        )


def _block(target: str) -> str:
    return target.partition(".")[0]
