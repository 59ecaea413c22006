"""A table that fits: written once, played as often as REPEATS says."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from panda_ophyd.errors import FieldValueError, SequenceError
from panda_ophyd.loading.base import Kind, Loading
from panda_ophyd.loading.chunks import Chunk
from panda_ophyd.loading.faults import find_fault, has_started
from panda_ophyd.loading.ledger import Ledger
from panda_ophyd.loading.port import TablePort, TableStatus


class FixedTable(Loading):
    """Everything is in the box when `load` returns.

    Args:
        port: the table.
        chunk: its lines.
        repeats: runs through the table, as in REPEATS; 0 is for ever.

    Raises:
        FieldValueError: there are no lines.
    """

    kind: ClassVar[Kind] = "fixed"

    def __init__(self, port: TablePort, chunk: Chunk, repeats: int = 1) -> None:
        super().__init__(port)
        if not len(chunk):
            raise FieldValueError(port.target, "no lines", "there is nothing to play")
        self._chunk = chunk
        self._repeats = repeats
        self._ledger = Ledger()
        self._before = TableStatus("", "")

    async def start(self) -> None:
        """Write the table."""
        await self.port.write(self._chunk.words)
        self._ledger.add(self._chunk)
        self._before = await self.port.status()

    @property
    @override
    def lines(self) -> int:
        return self._ledger.lines

    @property
    @override
    def total_frames(self) -> int:
        """Frames of all runs; of endless ones, of one run."""
        return self._ledger.frames * max(self._repeats, 1)

    @property
    @override
    def handed_over(self) -> bool:
        return True

    @override
    async def feed(self) -> None:
        return

    @override
    async def check(self) -> TableStatus:
        status = await self.port.status()
        if fault := find_fault(status, self._before):
            raise SequenceError(
                self.port.target.partition(".")[0],
                fault,
                health=status.health,
                line=status.line,
                frames_done=self.frames_done(status),
            )
        return status

    @override
    def frames_done(self, status: TableStatus) -> int | None:
        if not has_started(status, self._before):
            return 0
        within = self._ledger.frames_at(status)
        return None if within is None else within + max(status.repeat - 1, 0) * self._ledger.frames
