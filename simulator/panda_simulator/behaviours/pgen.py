"""PGEN: positions from a table, one at each trigger.

Source: blocks.md 5.11.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.base import Step, signed
from panda_simulator.behaviours.tables import OVERRUN, UNDERRUN, Table

UNREADY, WAIT_ENABLE, RUNNING = range(3)


class Pgen:
    """OUT keeps the last value; nothing but a trigger changes it."""

    bit_inputs: tuple[str, ...] = ("ENABLE", "TRIG")
    position_inputs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._set: dict[str, int] = {"ENABLE": 0, "TRIG": 0, "REPEATS": 0}
        self._table = Table(line_words=1)
        self._state = UNREADY
        self._health = 0
        self._out = 0
        self._run = 1

    def stage(self, words: list[int]) -> None:
        """Put words where TABLE_LENGTH fetches them (TableBlock.stage)."""
        self._table.stage(words)

    def wants_buffer(self, tick: int) -> bool:
        """Tell whether one more buffer can be written (TableBlock.wants_buffer)."""
        return self._table.wants_buffer(tick)

    @property
    def queued_buffers(self) -> int:
        """Buffers not released (TableBlock.queued_buffers)."""
        return self._table.queued_buffers

    @property
    def queued_words(self) -> int:
        """Words not released (TableBlock.queued_words)."""
        return self._table.queued_words

    @property
    def broken(self) -> bool:
        """Whether only an empty table helps (TableBlock.broken)."""
        return self._table.broken

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        now = self._set
        enable, trig, state = now["ENABLE"], now["TRIG"], self._state
        now.update(changes)
        if "TABLE_LENGTH" in changes:
            self._table.write(tick, changes["TABLE_LENGTH"])
        self._settle(tick)
        if now["ENABLE"] > enable:
            self._health = 0
            if state == WAIT_ENABLE and self._table.ready_at is not None:
                self._state = RUNNING
                self._run = 1
                self._table.rewind()
        elif self._state == RUNNING:
            if now["ENABLE"] < enable:
                self._finish()
            elif now["TRIG"] > trig:
                self._next(tick)
        outputs = {
            "ACTIVE": int(self._state == RUNNING),
            "OUT": self._out,
            "STATE": self._state,
            "HEALTH": self._health,
        }
        return outputs, self._table.wake(tick)

    def _settle(self, tick: int) -> None:
        """Take what the table does by itself."""
        table = self._table
        if table.fault_at is not None and table.fault_at <= tick:
            table.fault_at = None
            self._fail(OVERRUN)
        if table.empty_at is not None and table.empty_at <= tick:
            table.empty_at = None
            if self._state == WAIT_ENABLE:
                self._state = UNREADY
        ready = table.ready_at
        if self._state == UNREADY and ready is not None and ready <= tick:
            self._state = WAIT_ENABLE

    def _fail(self, health: int) -> None:
        self._health = self._health or health
        self._table.lose()
        if self._state == RUNNING:
            self._state = UNREADY

    def _finish(self) -> None:
        if self._table.streaming:
            self._table.lose()
            self._state = UNREADY
        else:
            self._table.rewind()
            self._state = WAIT_ENABLE

    def _next(self, tick: int) -> None:
        line = self._table.current(tick)
        if line is None:
            self._fail(UNDERRUN)
            return
        self._out = signed(line[0])
        if not self._table.on_last:
            self._table.step()
        elif self._table.streaming or self._run == self._set["REPEATS"]:
            self._finish()
        else:
            self._run += 1
            self._table.rewind()
