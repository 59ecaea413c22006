"""The average mode of FILTER: a sum since the rising ENABLE, and a divider that takes its time.

Source: blocks.md 5.6.
"""

from __future__ import annotations

from panda_simulator.behaviours.base import signed

OVERFLOWN, RETRIGGERED = 1, 2
_SUM_LIMIT = 1 << 62
_LAST_BIT = 31


class Sum:
    """Values added up tick by tick, lazily."""

    def __init__(self) -> None:
        self.total = 0
        self.count = 0
        self._running = False
        self._added_to = 0

    def follow(self, tick: int, value: int, *, restart: bool, before: int, now: int) -> None:
        """Take a tick of the average mode.

        Args:
            tick: this one.
            value: at it.
            restart: begin anew with the tick after this.
            before: ENABLE at the tick before.
            now: ENABLE at this tick.
        """
        if restart:
            self.total = self.count = 0
        elif before:
            if not self._running:
                self._added_to = tick - 1
            self._running = True
            self.advance(tick, value)
        self._added_to = tick
        self._running = bool(now)

    def advance(self, tick: int, value: int) -> None:
        """Add a value once for each tick up to and including this one."""
        if self._running and tick > self._added_to:
            self.total += value * (tick - self._added_to)
            self.count += tick - self._added_to
            self._added_to = tick

    def stop(self) -> None:
        """Add nothing from now on."""
        self._running = False

    @property
    def overflown(self) -> bool:
        """Whether the sum has passed what the accumulator holds."""
        return abs(self.total) > _SUM_LIMIT

    def overflows_at(self, tick: int, value: int) -> int | None:
        """Return when the sum passes its limit if the value stays as it is."""
        if not self._running or not value or self.overflown:
            return None
        room = _SUM_LIMIT - self.total if value > 0 else _SUM_LIMIT + self.total
        return max(self._added_to + room // abs(value) + 2, tick + 1)


class Average:
    """The mean of all ticks since the rising ENABLE, 35 ticks after a trigger.

    The divider works one bit a tick; a trigger while it does is a fault, and so is a
    rising ENABLE. A trigger of several ticks takes the mean of its last one.
    """

    def __init__(self) -> None:
        self.out = self.ready = self.health = 0
        self.sum = Sum()
        self._tick = 0
        self._load = self._load_before = False
        self._dividing = self._bits_done = False
        self._bit = 0
        self._operands = 0, 0
        self._negative = False
        self._quotient = 0
        self._result = 0
        self._done = False
        self._pending = self._fault = self.halted = False

    def update(self, tick: int, *, trigger: bool, rising: bool) -> None:
        """Take one tick.

        Args:
            tick: later than that of the call before.
            trigger: TRIG at this tick, with ENABLE high on the tick before.
            rising: a rising ENABLE at this tick.
        """
        if not self.halted:
            self.ready = int(self._done)
            if self.ready:
                self.out = signed(-self._result if self._negative else self._result)
        self.go_on(tick, rising=rising)
        self._load = trigger
        if trigger:
            self._take()

    def repeat(self, tick: int, value: int) -> None:
        """Take the mean of the last tick of a trigger, if it was not called at it.

        Args:
            tick: up to which the trigger lasts, if there was one at the last call.
            value: of the input since the last call.
        """
        if self._load and tick > self._tick:
            self.sum.advance(tick - 1, value)
            self._take()

    def _take(self) -> None:
        self._negative = self.sum.total < 0
        self._operands = abs(self.sum.total), self.sum.count

    def go_on(self, tick: int, *, rising: bool) -> None:
        """Take one tick of the other mode, in which there are no triggers and no results.

        Args:
            tick: later than that of the call before.
            rising: a rising ENABLE at this tick.
        """
        self._skip(tick)
        self._tick = tick
        self._watch(rising=rising)
        self._divide()
        if self._load:
            total, count = self._operands
            self._quotient = total // count if count > 0 else -1
        self._load_before = self._load

    def wake(self, tick: int, *, trigger: bool | None = None) -> int | None:
        """Return the next tick that matters.

        Args:
            tick: this one.
            trigger: at the next tick, as things are; None in the other mode.
        """
        trigger = self._load if trigger is None else trigger
        changing = (
            self._load != trigger
            or self._load != self._load_before
            or self._done
            or (self._fault and not self.halted)
            or (self.ready and not self.halted)
        )
        if changing or (self._dividing and self._bit == _LAST_BIT and not trigger):
            return tick + 1
        return tick + _LAST_BIT - self._bit if self._dividing and self._bit < _LAST_BIT else None

    def _skip(self, tick: int) -> None:
        """Pass the ticks since the call before, in which only the divider went on."""
        ticks = tick - 1 - self._tick
        if ticks > 0 and self._dividing:
            self._bits_done = self._bit + ticks > _LAST_BIT
            self._bit = min(self._bit + ticks, _LAST_BIT)

    def _watch(self, *, rising: bool) -> None:
        """Find the faults: a trigger, or ENABLE, too early."""
        fault = self._fault
        if self._load and not self._load_before:
            self._fault = fault or self._pending
            self._pending = True
        elif self._pending and rising:
            self._fault = True
        elif self._done:
            self._pending = self._fault = False
        if rising:
            self.halted = False
            self.health = 0
        elif fault or self.sum.overflown:
            self.halted = True
            self.health = RETRIGGERED * fault | OVERFLOWN * self.sum.overflown

    def _divide(self) -> None:
        dividing = self._dividing
        if self._load:
            self._dividing = True
        elif self._bits_done and dividing:
            self._dividing = False
            self._done = True
            self._result = self._quotient
        else:
            self._done = False
        self._bits_done = self._bit == _LAST_BIT
        self._bit = min(self._bit + 1, _LAST_BIT) if dividing else 0
