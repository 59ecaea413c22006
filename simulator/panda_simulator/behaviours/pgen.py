"""PGEN: positions from a table, one at each trigger.

Source: blocks.md 5.11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from panda_simulator.behaviours.base import Step, earliest, signed
from panda_simulator.behaviours.tables import OVERRUN, UNDERRUN, Table

UNREADY, WAIT_ENABLE, RUNNING = range(3)


class Pgen:
    """OUT keeps the last value; nothing but a trigger changes it."""

    bit_inputs: tuple[str, ...] = ("ENABLE", "TRIG")
    position_inputs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._set: dict[str, int] = {"ENABLE": 0, "TRIG": 0, "REPEATS": 0}
        self._table = Table(1, long_lengths=True)
        self._state = UNREADY
        self._health = 0
        self._out = 0
        self._run = self._line_count = 1

    def stage(self, words: Sequence[int]) -> None:
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
    def filling(self) -> bool:
        """Whether words of a fixed table are still to come (TableBlock.filling)."""
        return self._table.filling

    @property
    def broken(self) -> bool:
        """Whether only an empty table helps (TableBlock.broken)."""
        return self._table.broken

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        now, table = self._set, self._table
        enable, trig = now["ENABLE"], now["TRIG"]
        table.catch_up(tick - 1)
        now.update(changes)
        if "TABLE_LENGTH" in changes:
            table.write(changes["TABLE_LENGTH"])
        rising, running = now["ENABLE"] > enable, self._state == RUNNING
        load = running and now["TRIG"] > trig
        fault = self._fault(load=load, rising=rising)
        abort = rewind = False
        if fault or now["ENABLE"] < enable:
            rewind = running and table.wrapping and not fault
            abort = running and not rewind
            if running:
                self._state = WAIT_ENABLE if rewind else UNREADY
        elif load:
            self._next()
        else:
            self._go_on(rising=rising)
        table.step(load=load, abort=abort, rewind=rewind)
        outputs = {
            "ACTIVE": int(self._state == RUNNING),
            "OUT": self._out,
            "STATE": self._state,
            "HEALTH": self._health,
        }
        return outputs, earliest(table.wake(), self._wake(tick))

    def _wake(self, tick: int) -> int | None:
        """Return the next tick if the table changes STATE at it."""
        table = self._table
        comes = self._state == UNREADY and table.valid and not table.resetting
        goes = self._state == WAIT_ENABLE and not table.valid
        return tick + 1 if comes or goes else None

    def _fault(self, *, load: bool, rising: bool) -> bool:
        """Set HEALTH; tell whether the value wanted is missing or a table came unasked."""
        missing = load and not self._table.valid
        fault = missing or self._table.overrun
        if rising:
            self._health = 0
        elif fault:
            self._health = self._health or (UNDERRUN if missing else OVERRUN)
        return fault

    def _go_on(self, *, rising: bool) -> None:
        table = self._table
        if self._state == UNREADY:
            if table.valid and not table.resetting:
                self._state = WAIT_ENABLE
        elif self._state == WAIT_ENABLE:
            if not table.valid:
                self._state = UNREADY
            elif rising:
                self._state = RUNNING
                self._line_count = self._run = 1

    def _next(self) -> None:
        table, repeats = self._table, self._set["REPEATS"]
        self._out = signed(table.line[0])
        last = table.line_is_last or (table.fixed and self._line_count == table.length)
        if last and (table.streaming or (repeats and self._run == repeats)):
            self._state = UNREADY if table.streaming else WAIT_ENABLE
            table.end()
        elif last:
            self._line_count = 1
            self._run += table.fixed
        else:
            self._line_count += 1
