"""SEQ: a sequencer that plays lines of two phases, each line started by a condition.

Source: blocks.md 5.10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from panda_simulator.behaviours.base import (
    ANYWHERE,
    HIGHEST,
    LOWEST,
    MASK,
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
_LINES_MASK = (1 << 19) - 1
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
        self._table = Table(LINE_WORDS, long_lengths=False)
        self._state = UNREADY
        self._line: list[int] = [0] * LINE_WORDS
        self._line_is_last = False
        self._phase_end = 0
        self._pulse = 0
        self._pulses_left = 0
        self._outputs: Outputs = dict.fromkeys(
            (*_OUTPUTS, "ACTIVE", "TABLE_REPEAT", "TABLE_LINE", "LINE_REPEAT", "STATE", "HEALTH"), 0
        )

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
        enable = now["ENABLE"]
        table.catch_up(tick - 1)
        prescale = self._prescale()
        now.update(changes)
        if "PRESCALE" in changes and self._state >= PHASE1:
            self._rescale(tick, prescale)
        if "TABLE_LENGTH" in changes:
            table.write(changes["TABLE_LENGTH"])
        rising = now["ENABLE"] > enable
        starts = rising and self._state == WAIT_ENABLE
        ends = self._state == PHASE2 and tick >= self._phase_end
        repeated = ends and self._repeated()
        over = repeated and self._run_over()
        load = starts or (repeated and not over)
        fault = self._fault(load=load, starts=starts)
        abort = rewind = False
        if fault or now["ENABLE"] < enable:
            rewind = table.wrapping and not fault and self._state >= WAIT_TRIGGER
            abort = self._state >= WAIT_TRIGGER and not rewind
            self._stop(WAIT_ENABLE if rewind else UNREADY if abort else self._state)
        elif starts and table.valid:
            self._start(tick)
        elif over:
            self._stop(UNREADY if table.streaming else WAIT_ENABLE)
            table.end()
        elif repeated:
            self._next_line(tick)
        elif ends:
            self._outputs["LINE_REPEAT"] += 1
            self._check(tick)
        else:
            self._go_on(tick)
        table.step(load=load, abort=abort, rewind=rewind)
        self._outputs["STATE"] = self._state
        phase_end = self._phase_end if self._state >= PHASE1 else None
        return self._outputs, earliest(phase_end, table.wake(), self._wake(tick))

    def quiet(self, name: str) -> Interval:
        """Return positions among which nothing happens (Watcher.quiet)."""
        if self._state == WAIT_TRIGGER:
            trigger, position = self._line[0] >> 16 & 15, signed(self._line[1])
            if _AT_LEAST.get(trigger) == name:
                return LOWEST, position - 1
            if _AT_MOST.get(trigger) == name:
                return position + 1, HIGHEST
        return ANYWHERE

    def _wake(self, tick: int) -> int | None:
        """Return the next tick if the table changes STATE at it."""
        table = self._table
        comes = self._state == UNREADY and table.valid and not table.resetting
        goes = self._state == WAIT_ENABLE and not table.valid
        return tick + 1 if comes or goes else None

    def _repeated(self) -> bool:
        """Tell whether the line was played as often as it says; 0 is never."""
        repeats = self._line[0] & 0xFFFF
        return bool(repeats) and self._outputs["LINE_REPEAT"] == repeats

    def _at_end(self) -> bool:
        """Tell whether the line is the last of the table."""
        table = self._table
        lines = table.length // LINE_WORDS & _LINES_MASK
        return self._line_is_last or (table.fixed and self._outputs["TABLE_LINE"] == lines)

    def _run_over(self) -> bool:
        """Tell whether nothing follows the line."""
        repeats = self._set["REPEATS"]
        over = bool(repeats) and self._outputs["TABLE_REPEAT"] == repeats
        return self._at_end() and (over or self._table.streaming)

    def _fault(self, *, load: bool, starts: bool) -> bool:
        """Set HEALTH; tell whether the line wanted is missing or a table came unasked."""
        missing = load and not self._table.valid
        fault = missing or self._table.overrun
        if fault and not self._outputs["HEALTH"]:
            self._outputs["HEALTH"] = UNDERRUN if missing else OVERRUN
        elif starts:
            self._outputs["HEALTH"] = 0
        return fault

    def _stop(self, state: int) -> None:
        self._state = state
        self._outputs["ACTIVE"] = 0
        self._put_out(0)

    def _start(self, tick: int) -> None:
        self._outputs.update(ACTIVE=1, TABLE_REPEAT=1, TABLE_LINE=1, LINE_REPEAT=1)
        self._begin_line(tick)

    def _begin_line(self, tick: int) -> None:
        self._line = self._table.line
        self._line_is_last = self._table.line_is_last
        self._check(tick)

    def _next_line(self, tick: int) -> None:
        counts = self._outputs
        counts["LINE_REPEAT"] = 1
        if self._at_end():
            counts["TABLE_LINE"] = 1
            counts["TABLE_REPEAT"] += self._table.fixed
        else:
            counts["TABLE_LINE"] += 1
        self._begin_line(tick)

    def _go_on(self, tick: int) -> None:
        table = self._table
        if self._state == UNREADY:
            if table.valid and not table.resetting:
                self._state = WAIT_ENABLE
        elif self._state == WAIT_ENABLE:
            if not table.valid:
                self._state = UNREADY
        elif self._state == WAIT_TRIGGER:
            self._check(tick)
        elif tick >= self._phase_end:
            self._begin_phase2(tick)

    def _check(self, tick: int) -> None:
        if not self._condition():
            self._state = WAIT_TRIGGER
        elif self._line[2]:
            self._state = PHASE1
            self._time(tick, self._line[2])
            self._put_out(self._line[0] >> _PHASE1_SHIFT)
        else:
            self._begin_phase2(tick)

    def _begin_phase2(self, tick: int) -> None:
        self._state = PHASE2
        self._time(tick, max(self._line[3], 1))
        self._put_out(self._line[0] >> _PHASE2_SHIFT)

    def _time(self, tick: int, length: int) -> None:
        """Let a phase begin that ends with so many pulses of the prescaler."""
        prescale = self._prescale()
        self._pulse = tick + prescale
        self._pulses_left = length - 1
        self._phase_end = tick + length * prescale

    def _rescale(self, tick: int, before: int) -> None:
        """Let the prescaler count on from where it is, up to another number from this tick on."""
        if tick > self._pulse:
            pulses = (tick - 1 - self._pulse) // before + 1
            self._pulse += pulses * before
            self._pulses_left -= pulses
        count = before - 1 - (self._pulse - tick)
        prescale = self._prescale()
        # a count that is past the number already goes through all 32 bits first
        self._pulse = tick + (prescale - 1 - count & MASK)
        self._phase_end = self._pulse + self._pulses_left * prescale

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
