"""SEQ: a sequencer that plays lines of two phases, each line started by a condition.

Source: blocks.md 5.10.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.base import (
    ANYWHERE,
    HIGHEST,
    LOWEST,
    Interval,
    Outputs,
    Step,
    earliest,
    signed,
)
from panda_simulator.behaviours.tables import OVERRUN, UNDERRUN, Table

LINE_WORDS = 4
UNREADY, WAIT_ENABLE, WAIT_TRIGGER, PHASE1, PHASE2 = range(5)
_OUTPUTS = ("OUTA", "OUTB", "OUTC", "OUTD", "OUTE", "OUTF")
_PHASE1_SHIFT, _PHASE2_SHIFT = 20, 26
_IMMEDIATE = 0
_BIT_CONDITIONS = {
    1: ("BITA", 0),
    2: ("BITA", 1),
    3: ("BITB", 0),
    4: ("BITB", 1),
    5: ("BITC", 0),
    6: ("BITC", 1),
}
_AT_LEAST = {7: "POSA", 9: "POSB", 11: "POSC"}
_AT_MOST = {8: "POSA", 10: "POSB", 12: "POSC"}


class Seq:
    """No gap between phases, lines and runs; conditions are levels."""

    bit_inputs: tuple[str, ...] = ("ENABLE", "BITA", "BITB", "BITC")
    position_inputs: tuple[str, ...] = ("POSA", "POSB", "POSC")

    def __init__(self) -> None:
        names = (*self.bit_inputs, *self.position_inputs, "PRESCALE", "REPEATS")
        self._set: dict[str, int] = dict.fromkeys(names, 0)
        self._table = Table(LINE_WORDS)
        self._state = UNREADY
        self._line: list[int] = [0] * LINE_WORDS
        self._phase_end = 0
        self._outputs: Outputs = dict.fromkeys(
            (*_OUTPUTS, "ACTIVE", "TABLE_REPEAT", "TABLE_LINE", "LINE_REPEAT", "STATE", "HEALTH"), 0
        )

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
        enable, state = now["ENABLE"], self._state
        now.update(changes)
        if "TABLE_LENGTH" in changes:
            self._table.write(tick, changes["TABLE_LENGTH"])
        self._settle(tick)
        if now["ENABLE"] < enable:
            if self._state >= WAIT_TRIGGER:
                self._finish()
        elif now["ENABLE"] > enable and state == WAIT_ENABLE and self._table.ready_at is not None:
            self._start(tick)
        else:
            self._play(tick)
        self._outputs["STATE"] = self._state
        phase_end = self._phase_end if self._state >= PHASE1 else None
        return self._outputs, earliest(phase_end, self._table.wake(tick))

    def quiet(self, name: str) -> Interval:
        """Return positions among which nothing happens (Watcher.quiet)."""
        if self._state == WAIT_TRIGGER:
            trigger, position = self._line[0] >> 16 & 15, signed(self._line[1])
            if _AT_LEAST.get(trigger) == name:
                return LOWEST, position - 1
            if _AT_MOST.get(trigger) == name:
                return position + 1, HIGHEST
        return ANYWHERE

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
        self._outputs["HEALTH"] = self._outputs["HEALTH"] or health
        self._table.lose()
        if self._state >= WAIT_TRIGGER:
            self._stop(UNREADY)

    def _finish(self) -> None:
        if self._table.streaming:
            self._table.lose()
            self._stop(UNREADY)
        else:
            self._table.rewind()
            self._stop(WAIT_ENABLE)

    def _stop(self, state: int) -> None:
        self._state = state
        self._outputs["ACTIVE"] = 0
        self._put_out(0)

    def _start(self, tick: int) -> None:
        self._outputs.update(ACTIVE=1, HEALTH=0, TABLE_REPEAT=1, TABLE_LINE=1, LINE_REPEAT=1)
        self._table.rewind()
        self._begin_line(tick)

    def _begin_line(self, tick: int) -> None:
        line = self._table.current(tick)
        if line is None:
            self._fail(UNDERRUN)
            return
        self._line = line
        self._check(tick)

    def _play(self, tick: int) -> None:
        if self._state == WAIT_TRIGGER:
            self._check(tick)
        elif self._state >= PHASE1 and tick >= self._phase_end:
            if self._state == PHASE1:
                self._begin_phase2(tick)
            else:
                self._end_line(tick)

    def _check(self, tick: int) -> None:
        if not self._condition():
            self._state = WAIT_TRIGGER
        elif self._line[2]:
            self._state = PHASE1
            self._phase_end = tick + self._line[2] * self._prescale()
            self._put_out(self._line[0] >> _PHASE1_SHIFT)
        else:
            self._begin_phase2(tick)

    def _begin_phase2(self, tick: int) -> None:
        self._state = PHASE2
        self._phase_end = tick + max(self._line[3], 1) * self._prescale()
        self._put_out(self._line[0] >> _PHASE2_SHIFT)

    def _end_line(self, tick: int) -> None:
        counts, table = self._outputs, self._table
        if counts["LINE_REPEAT"] != self._line[0] & 0xFFFF:
            # a line with REPEATS = 0 never gets past this: counts begin at 1
            counts["LINE_REPEAT"] += 1
            self._check(tick)
            return
        if table.streaming:
            last = run_ends = table.on_last
        else:
            last = counts["TABLE_LINE"] == table.lines
            run_ends = last and counts["TABLE_REPEAT"] == self._set["REPEATS"]
        if run_ends:
            self._finish()
            return
        counts["LINE_REPEAT"] = 1
        if last:
            counts["TABLE_LINE"] = 1
            counts["TABLE_REPEAT"] += 1
            table.rewind()
        else:
            counts["TABLE_LINE"] += 1
            table.step()
        self._begin_line(tick)

    def _condition(self) -> bool:
        trigger, position = self._line[0] >> 16 & 15, signed(self._line[1])
        if trigger == _IMMEDIATE:
            return True
        if trigger in _BIT_CONDITIONS:
            name, level = _BIT_CONDITIONS[trigger]
            return self._set[name] == level
        if trigger in _AT_LEAST:
            return self._set[_AT_LEAST[trigger]] >= position
        return trigger in _AT_MOST and self._set[_AT_MOST[trigger]] <= position

    def _prescale(self) -> int:
        return max(self._set["PRESCALE"], 1)

    def _put_out(self, levels: int) -> None:
        for bit, name in enumerate(_OUTPUTS):
            self._outputs[name] = levels >> bit & 1
