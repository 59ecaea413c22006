"""One table of one box as loading sees it: written, cleared, and asked how far it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from panda_ophyd.control import Err, Ok, Query, Reply
from panda_ophyd.errors import CommandError, FieldValueError, ProtocolError, SequenceError
from panda_ophyd.loading.chunks import LINE_WORDS
from panda_ophyd.session import PandaSession
from panda_ophyd.tables import to_base64_lines

BUFFERS = 8
"""Segments of a stream that the box's kernel driver holds. Source: protocol.md 5.5."""

UNREADY = "UNREADY"
WAIT_ENABLE = "WAIT_ENABLE"
HEALTHY = "OK"

_SHORT = "Table do not support streaming mode"
_NO_BUFFER = "(12)"
_BROKEN = "(32)"
_PROGRESS = ("STATE", "HEALTH", "TABLE_REPEAT", "TABLE_LINE", "LINE_REPEAT")


@dataclass(frozen=True, slots=True)
class TableStatus:
    """Where a sequencer is; all numbers are of one round trip, not of one tick.

    Attributes:
        state: UNREADY, WAIT_ENABLE, WAIT_TRIGGER, PHASE1 or PHASE2.
        health: OK, or what was wrong; what an earlier run left until the next start.
        repeat: run through the table, from 1.
        line: line of the table, from 1; of a stream over all its segments.
        line_repeat: repeat of the line, from 1.
        queued: lines not yet released, those of the segment that plays included.
        mode: INIT, FIXED, STREAMING or STREAMING_LAST, "" if the server has no modes.
    """

    state: str
    health: str
    repeat: int = 0
    line: int = 0
    line_repeat: int = 0
    queued: int = 0
    mode: str = ""

    @property
    def active(self) -> bool:
        """Whether it is between start and end."""
        return self.state not in (UNREADY, WAIT_ENABLE)

    @property
    def place(self) -> tuple[int, int, int]:
        """The three counters, which only a start sets back."""
        return self.repeat, self.line, self.line_repeat


class TablePort(Protocol):
    """What loading needs of one table.

    Attributes:
        target: the table on the wire, ``SEQ1.TABLE``.
        max_lines: lines that a fixed table, or one segment of a stream, may have.
        buffers: segments of a stream that may be outstanding.
    """

    target: str
    max_lines: int
    buffers: int

    async def supports_streaming(self) -> bool:
        """Tell whether the server streams tables, by what it lists, not by its version."""
        ...

    async def clear(self) -> None:
        """Drop the table, whatever its mode."""
        ...

    async def mode(self) -> str:
        """Return INIT, FIXED, STREAMING or STREAMING_LAST; "" of a server without modes."""
        ...

    async def write(
        self, words: NDArray[np.uint32], *, append: bool = False, last: bool = False
    ) -> None:
        """Replace the table, or append a segment to a stream.

        Args:
            words: ``(4n,)`` uint32, n at least 1.
            append: it is a segment of a stream.
            last: nothing is appended after it.

        Raises:
            SequenceError: no buffer was free, or the stream is broken.
            CommandError: the server refused for another reason.
            FieldValueError: such a table cannot stream.
        """
        ...

    async def queued_lines(self) -> int:
        """Return how many lines are not yet released; 0 of a server that does not tell."""
        ...

    async def status(self) -> TableStatus:
        """Return where the sequencer is."""
        ...


class SessionTablePort:
    """A table of a connected box; see `TablePort`.

    Args:
        session: the box, connected.
        target: its table, ``SEQ1.TABLE``.

    Raises:
        FieldValueError: the box has no such table, or its lines are not those of a sequencer.
    """

    def __init__(self, session: PandaSession, target: str) -> None:
        self.target = target
        self.block, _, field = target.partition(".")
        self.buffers = BUFFERS
        self._session = session
        self._streams: bool | None = None
        self.max_lines = self._find_size(field)

    def _find_size(self, field: str) -> int:
        for block in self._session.box.blocks:
            number = self.block.removeprefix(block.name)
            if not self.block.startswith(block.name) or number not in _numbers(block.count):
                continue
            for item in block.fields:
                if item.name == field and item.layout is not None:
                    layout = item.layout
                    if layout.row_words != LINE_WORDS or layout.max_rows is None:
                        reason = f"its rows have {layout.row_words} words, those of SEQ 4"
                        raise FieldValueError(self.target, self.target, reason)
                    return layout.max_rows
        reason = "the box has no such table; panda-ophyd info lists the blocks"
        raise FieldValueError(self.target, self.target, reason)

    async def supports_streaming(self) -> bool:
        """Tell whether tables have a MODE: a server without it appends instead of streaming.

        Source: protocol.md 11.3 (d).
        """
        if self._streams is None:
            attributes = await self._session.client.query_lines(f"{self.target}.*")
            self._streams = "MODE" in {line.split()[0] for line in attributes if line.split()}
        return self._streams

    async def clear(self) -> None:
        """Drop the table, whatever its mode.

        Raises:
            CommandError: another connection is in the middle of writing it.
        """
        await self._session.client.assign_table(self.target, ())

    async def mode(self) -> str:
        """Return the MODE, "" of a server without."""
        if not await self.supports_streaming():
            return ""
        return await self._session.client.query(f"{self.target}.MODE")

    async def write(
        self, words: NDArray[np.uint32], *, append: bool = False, last: bool = False
    ) -> None:
        """Replace the table or append a segment, in base64; see `TablePort.write`."""
        modifiers = f"{'<' if append else ''}{'|' if append and last else ''}B"
        # In a thread: of a million words it takes many times what a loop should be busy for.
        body = await asyncio.to_thread(to_base64_lines, words)
        try:
            await self._session.client.assign_table(self.target, body, modifiers)
        except CommandError as error:
            raise await self._explained(error, words.size // LINE_WORDS) from error

    async def _explained(self, error: CommandError, lines: int) -> Exception:
        if error.message.startswith(_SHORT):
            reason = (
                "this table is a short one, kept in the registers of the block, and cannot stream;"
                f" it takes at most {self.max_lines} lines at once"
            )
            return FieldValueError(self.target, f"a stream, {lines} lines of it", reason)
        reasons = {
            _NO_BUFFER: f"no buffer was free for {lines} more lines",
            _BROKEN: "the stream had ended or failed before these lines came",
        }
        for mark, reason in reasons.items():
            if mark in error.message:
                status = await self.status()
                return SequenceError(self.block, reason, health=status.health, line=status.line)
        return error

    async def queued_lines(self) -> int:
        """Return QUEUED_LINES, 0 of a server without."""
        if not await self.supports_streaming():
            return 0
        return int(await self._session.client.query(f"{self.target}.QUEUED_LINES"))

    async def status(self) -> TableStatus:
        """Return where the sequencer is, in one round trip.

        Raises:
            CommandError: the block has no such reading.
        """
        targets = [f"{self.block}.{field}" for field in _PROGRESS]
        if await self.supports_streaming():
            targets += [f"{self.target}.QUEUED_LINES", f"{self.target}.MODE"]
        replies = await self._session.client.request_all([Query(target) for target in targets])
        texts = [text_of(*pair) for pair in zip(targets, replies, strict=True)]
        state, health, *numbers = texts[: len(_PROGRESS)]
        repeat, line, line_repeat = map(_number, numbers)
        queued, mode = texts[len(_PROGRESS) :] or ("0", "")
        return TableStatus(state, health, repeat, line, line_repeat, _number(queued), mode)


def _numbers(count: int) -> set[str]:
    """Return what may follow the name of a block of which there are so many."""
    return {str(number) for number in range(1, count + 1)} | ({""} if count == 1 else set())


def text_of(target: str, reply: Reply) -> str:
    """Return the value in a reply.

    Raises:
        CommandError: the server refused, or it answered with lines.
    """
    if isinstance(reply, Ok) and reply.value is not None:
        return reply.value
    message = reply.message if isinstance(reply, Err) else "it answers with lines"
    raise CommandError(f"{target}?", message)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ProtocolError("a counter of a table is no number", text.encode()) from error
