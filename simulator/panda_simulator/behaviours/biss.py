"""BISS: the encoder answers the clock when it is ready; error bit and check sum follow the word.

Source: blocks.md 3.3, 3.4.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.base import MASK, earliest
from panda_simulator.behaviours.serial_clock import Pulses, SerialClock
from panda_simulator.behaviours.shifter import CheckSum, Shifter, is_gray, widened

_REST = 2500
_PATIENCE = 5000
_CLOSING = 2500
_STATUS_BITS, _CHECK_BITS = 2, 6
_TAIL = _STATUS_BITS + _CHECK_BITS
_NO_CLOCKS = 1
_TIMEOUT, _WRONG_CHECK_SUM, _ERROR_BIT = 2, 3, 4
_SYNC, _ACKNOWLEDGE, _START, _ZERO, _DATA, _STATUS, _CHECK, _STOP, _CLOSE = range(9)


class BissMaster:
    """Reads a word once per frame; the first frame only finds the encoder.

    `step` takes the level that was there before the tick.
    """

    def __init__(self) -> None:
        self._registers: Mapping[str, int] = {"BITS": 0, "ENCODING": 0, "CLK_PERIOD": 0}
        self._clock = SerialClock(_REST)
        self.frames = Pulses(0, 0)
        self._state = _SYNC
        self._count = 0
        self._clock_before = 1
        self._stops = True
        self._clears = False
        self._patience: int | None = None
        self._deadline: int | None = None
        self._counting = self._in_data = self._in_status = self._in_check = False
        self._word, self._status, self._check = Shifter(32), Shifter(2), Shifter(6)
        self._sum = CheckSum()
        self._linked = self._good = False
        self.health = _TIMEOUT
        self.position = 0

    @property
    def clock(self) -> int:
        """Level of the clock line."""
        return self._clock.level

    @property
    def halves(self) -> Pulses:
        """Half periods of the clock."""
        return self._clock.halves

    @property
    def waiting(self) -> bool:
        """Whether it waits for the pulse that begins a frame."""
        return self._clock.waiting and self._state == _SYNC

    @property
    def connected(self) -> bool:
        """Whether an encoder answers as it should."""
        return self._linked and self._good

    def step(self, tick: int, data: int, resets: Mapping[str, int] | None) -> None:
        """Take one tick (SsiMaster.step)."""
        rises = bool(self._clock.level) and not self._clock_before
        enabled = self._in_data, self._in_status, self._in_check
        counting, stops, clears = self._counting, self._stops, self._clears
        self._clock_before = self._clock.level
        if resets is not None:
            self._reset(tick, resets)
            return
        self._judge()
        self._play(tick, data, rises=rises)
        gray = is_gray(self._registers["ENCODING"])
        self._word.step(enabled=enabled[0], clock=rises, bit=data, gray=gray)
        self._status.step(enabled=enabled[1], clock=rises, bit=data)
        self._check.step(enabled=enabled[2], clock=rises, bit=data)
        if clears:
            self._sum.clear()
        elif rises and (enabled[0] or enabled[1]):
            self._sum.take(data)
        if stops:
            self._clock.reset(tick, self._registers["CLK_PERIOD"])
        else:
            bits = self._registers["BITS"] + _TAIL & 0xFF
            start = self.frames.seen(tick)
            self._clock.step(tick, start=start, counting=counting, bits=bits)

    def _reset(self, tick: int, registers: Mapping[str, int]) -> None:
        self._registers = dict(registers)
        self.frames = Pulses(tick, registers["FRAME_PERIOD"])
        self._clock.reset(tick, registers["CLK_PERIOD"])
        for shifter in (self._word, self._status, self._check):
            shifter.reset()
        self._sum.clear()
        self._state = _SYNC
        self._stops, self._clears = True, False
        self._counting = self._in_data = self._in_status = self._in_check = False
        self._patience = self._deadline = None
        self._linked = self._good = False
        self.health = _TIMEOUT

    def _judge(self) -> None:
        """Look at a frame that has just come to its end."""
        if not self._linked:
            self.health = _TIMEOUT
        elif self._check.complete:
            if self._check.word != self._sum.sent:
                self.health = _WRONG_CHECK_SUM
            elif not self._status.word >> 1:
                self.health = _ERROR_BIT
            else:
                self.health = 0
                self.position = widened(self._word.word, self._registers["BITS"])
            self._good = not self.health

    def _give_up(self) -> None:
        self._state = _SYNC
        self._stops = True
        self._linked = False
        self._patience = None

    def _play(self, tick: int, data: int, *, rises: bool) -> None:
        if self._state == _SYNC:
            self._synchronise(tick, data)
        elif self._state == _CLOSE:
            self._counting = False
            if self._deadline is not None and tick >= self._deadline:
                self._state = _SYNC
                self._linked = True
                self._patience = None
        elif self._state == _START and self._deadline is not None and tick >= self._deadline:
            self._give_up()
        elif rises:
            self._take(tick, data)

    def _synchronise(self, tick: int, data: int) -> None:
        self._clears = self._stops = self._counting = False
        self._in_data = self._in_status = self._in_check = False
        if self._clock_before:
            return
        if not data:
            self._count = 0
            self._state = _ACKNOWLEDGE
            self._patience = None
        elif self._patience is None:
            self._patience = tick + _PATIENCE + 1
        elif tick >= self._patience:
            self._give_up()

    def _take(self, tick: int, data: int) -> None:
        """Take a rising edge of the clock."""
        bits = self._registers["BITS"]
        if self._state == _ACKNOWLEDGE:
            if data:
                self._give_up()
            else:
                self._state = _START
                self._deadline = tick + _PATIENCE + 1
        elif self._state == _START:
            if data:
                self._clears = True
                self._state = _ZERO
        elif self._state == _ZERO:
            if data:
                self._give_up()
            else:
                self._clears = False
                self._counting = self._in_data = True
                self._state = _DATA
        else:
            self._take_bit(tick, bits)

    def _take_bit(self, tick: int, bits: int) -> None:
        count, self._count = self._count, self._count + 1
        if self._state == _DATA:
            if count == bits - 1:
                self._in_data, self._in_status = False, True
            if count == bits:
                self._state = _STATUS
        elif self._state == _STATUS:
            if count == bits + _STATUS_BITS - 1:
                self._in_status, self._in_check = False, True
            if count == bits + _STATUS_BITS:
                self._state = _CHECK
        elif count == bits + _TAIL - 1:
            self._in_check = False
            self._state = _CLOSE
            self._deadline = tick + _CLOSING + 1

    def wake(self, tick: int, data: int) -> int | None:
        """Return the next tick that matters, if the line stays at this level."""
        unsettled = (
            self._clock.level != self._clock_before
            or self._stops
            or (self._state == _SYNC and (self._clears or self._counting))
            or (self._state == _CLOSE and self._counting)
            or (self._state == _SYNC and not self._clock.level and not data)
            or (self._state == _SYNC and not self._clock.level and self._patience is None)
            or self._word.unsettled(enabled=self._in_data)
            or self._status.unsettled(enabled=self._in_status)
            or self._check.unsettled(enabled=self._in_check)
            or (not self._linked and self.health != _TIMEOUT)
        )
        if unsettled:
            return tick + 1
        waiting = {_SYNC: self._patience, _START: self._deadline, _CLOSE: self._deadline}
        clock = self._clock.wake(tick, self.frames)
        deadline = waiting.get(self._state)
        return earliest(clock, deadline if deadline is None else max(deadline, tick + 1))


class BissSlave:
    """Answers a clock: acknowledge, start, zero, the word, error and warning bit, check sum."""

    def __init__(self) -> None:
        self.data = 1
        self.health = _NO_CLOCKS
        self.latched_at = 0
        """Tick at which it took the position that it sent last."""
        self._clock_before = 0
        self._state = _SYNC
        self._word = self._left = 0
        self._error_bit = 1
        self._sum = CheckSum()
        self._summing = False
        self._deadline: int | None = None

    def step(
        self, tick: int, registers: Mapping[str, int], *, clock: int, position: int, resets: bool
    ) -> None:
        """Take one tick (SsiSlave.step); of registers also ENABLE and GENERATOR_ERROR."""
        rises = bool(clock) and not self._clock_before
        if self._summing:
            self._sum.take(self.data)
        self._summing = rises and self._state in (_DATA, _STATUS)
        self._clock_before = clock
        error_bit, self._error_bit = self._error_bit, ~registers["GENERATOR_ERROR"] & 1
        if resets:
            self._restart(health=_NO_CLOCKS)
        elif self._state == _CLOSE:
            self.data = 0
            if self._deadline is not None and tick >= self._deadline:
                self.data = 1
                self._state = _SYNC
                self._deadline = None
        elif self._state == _SYNC and not registers["ENABLE"]:
            self._sum.clear()
            self.data = 1
        elif rises:
            self.health = 0
            self._deadline = tick + _PATIENCE + 1
            self._answer(tick, registers, position, error_bit)
        elif self._state != _SYNC and self._deadline is not None and tick >= self._deadline:
            self._restart(health=_NO_CLOCKS)

    def _restart(self, health: int) -> None:
        self.data = 1
        self.health = health
        self._state = _SYNC
        self._deadline = None
        self._sum.clear()

    def _answer(
        self, tick: int, registers: Mapping[str, int], position: int, error_bit: int
    ) -> None:
        if self._state == _SYNC:
            self._sum.clear()
            self._left = registers["BITS"] + _TAIL
            self.data = 1
            self._state = _ACKNOWLEDGE
        elif self._state == _DATA:
            self._send(registers)
        elif self._state == _STATUS:
            self.data = error_bit if self._left == _TAIL else 1
            self._left -= 1
            if self._left == _CHECK_BITS:
                self._state = _CHECK
        elif self._state == _CHECK:
            self._left -= 1
            self.data = self._sum.sent >> self._left & 1
            if not self._left:
                self._state = _STOP
        elif self._state == _STOP:
            self.data = 0
            self._state = _CLOSE
            self._deadline = tick + _CLOSING + 1
        else:
            self._begin(tick, position)

    def _begin(self, tick: int, position: int) -> None:
        self.data = int(self._state == _START)
        if self._state == _ZERO:
            self._word = position & MASK
            self.latched_at = tick
        self._state += 1

    def _send(self, registers: Mapping[str, int]) -> None:
        self._left -= 1
        place = self._left - _TAIL
        bit = self._word >> place & 1
        first = self._left == registers["BITS"] + _TAIL - 1
        if is_gray(registers["ENCODING"]) and not first:
            bit ^= self._word >> place + 1 & 1
        self.data = bit
        if not place:
            self._state = _STATUS

    def wake(self, tick: int, registers: Mapping[str, int], *, clock: int) -> int | None:
        """Return the next tick that matters, if the clock line stays as it is."""
        if (
            clock != self._clock_before
            or self._summing
            or (self._state == _CLOSE and self.data)
            or self._error_bit != ~registers["GENERATOR_ERROR"] & 1
        ):
            return tick + 1
        return self._deadline if self._state != _SYNC else None
