"""Simulated time is a number of ticks, 8 ns most often; a clock says how many should have passed.

The fabric asks, and catches up. It is never forced: when a box is wired so busily that
Python cannot keep up, the real-time clock is set back and simulated time lags behind
instead of skipping anything.

Dates follow the ticks: what is stamped with a date, and what is stamped with a tick,
agree to the nanosecond, at whatever speed the simulation runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

TICKS_PER_SECOND = 125_000_000
"""Of a box that does not say otherwise."""

_SECOND_NS = 1_000_000_000

Speed: TypeAlias = float | Literal["free", "stepped"]
"""Seconds of the box that pass in one, or how else its time passes."""

FASTEST = 1_000_000.0
"""Of the speeds that are numbers: above it a look at the clock is a second of the box or more."""

FOREVER = 1 << 62
"""A tick that never comes."""

EPOCH_NS = 946_684_800_000_000_000
"""The date of tick 0 where nothing depends on the wall clock: 2000-01-01T00:00:00Z."""


class Clock(Protocol):
    """What the simulation takes its time from."""

    frequency: int
    """Ticks in a second of the box."""
    waits: bool
    """Whether it stands still until the simulation is there, however long that takes."""
    free: bool
    """Whether it goes as far as the simulation does."""

    def now(self) -> int:
        """Return the tick up to which everything should have happened."""
        ...

    def until(self, tick: int) -> float:
        """Return how long to wait until `now` may reach a tick, in seconds."""
        ...

    def fall_back(self, tick: int) -> None:
        """Take note that the simulation has come to a tick only and will not hurry."""
        ...

    def horizon(self) -> int:
        """Return the tick up to which the simulation may go by itself; `now`, or FOREVER."""
        ...

    def reached(self, tick: int) -> None:
        """Take note that the simulation has come to a tick."""
        ...

    def date_ns(self, tick: int) -> int:
        """Return the date of a tick, ns since 1970."""
        ...


class RealTimeClock:
    """Simulated time passes like real time, or faster or slower by a factor."""

    waits: bool = False
    free: bool = False

    def __init__(
        self,
        speed: float = 1.0,
        *,
        frequency: int = TICKS_PER_SECOND,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start at tick 0.

        Args:
            speed: simulated seconds per real second.
            frequency: ticks in a simulated second.
            seconds: monotonic real time.

        Raises:
            ValueError: the speed is not positive, or above `FASTEST`.
        """
        if not 0 < speed <= FASTEST:
            raise ValueError(
                f"speed {speed:g}: it has to be above 0, and at most {FASTEST:g};"
                " 'free' is as fast as can be"
            )
        self.frequency = frequency
        self._rate = frequency * speed
        self._seconds = seconds
        self._start = seconds()
        self._epoch_ns = time.time_ns()

    def now(self) -> int:
        """Return the ticks since the start (Clock.now)."""
        return int((self._seconds() - self._start) * self._rate)

    def until(self, tick: int) -> float:
        """Return the seconds to wait (Clock.until)."""
        return max(0.0, tick / self._rate - (self._seconds() - self._start))

    def fall_back(self, tick: int) -> None:
        """Let `now` be the tick again, if it is later (Clock.fall_back)."""
        late = self.now() - tick
        if late > 0:
            self._start += late / self._rate

    def horizon(self) -> int:
        """Return `now` (Clock.horizon)."""
        return self.now()

    def reached(self, tick: int) -> None:
        """Go on by itself (Clock.reached)."""

    def date_ns(self, tick: int) -> int:
        """Return the date of a tick, counted from that of tick 0 (Clock.date_ns)."""
        return self._epoch_ns + tick * _SECOND_NS // self.frequency


class FreeRunningClock:
    """Time goes on from event to event, as fast as they can be simulated.

    It stands while nothing is due to happen, and while it is held: a box without events
    takes the next command at the very next tick, however long that was in coming, so a
    run is the same whenever it is repeated.
    """

    waits: bool = True
    free: bool = True
    _HELD = 0.001
    """Seconds after which one who is held looks again."""

    def __init__(
        self, *, frequency: int = TICKS_PER_SECOND, held: Callable[[], bool] = lambda: False
    ) -> None:
        """Start at tick 0.

        Args:
            frequency: ticks in a second of the box.
            held: tells whether to wait, for somebody who takes the data say.
        """
        self.frequency = frequency
        self.held = held
        self._tick = 0

    def now(self) -> int:
        """Return the tick that the simulation has come to (Clock.now)."""
        return self._tick

    def until(self, tick: int) -> float:
        """Return nothing to wait for, unless held (Clock.until)."""
        return self._HELD if tick > self._tick and self.held() else 0.0

    def fall_back(self, tick: int) -> None:
        """Stay: it is never ahead (Clock.fall_back)."""

    def horizon(self) -> int:
        """Return FOREVER, unless held (Clock.horizon)."""
        return self._tick if self.held() else FOREVER

    def reached(self, tick: int) -> None:
        """Have come there (Clock.reached)."""
        self._tick = max(self._tick, tick)

    def date_ns(self, tick: int) -> int:
        """Return the date of a tick, EPOCH_NS being that of tick 0 (Clock.date_ns)."""
        return EPOCH_NS + tick * _SECOND_NS // self.frequency


class SteppedClock:
    """Time stands still until somebody sets it: for tests."""

    waits: bool = True
    free: bool = False
    POLL = 0.005
    """Seconds after which one who waits looks again."""

    def __init__(self, tick: int = 0, *, frequency: int = TICKS_PER_SECOND) -> None:
        self.frequency = frequency
        self._tick = tick

    def now(self) -> int:
        """Return the tick set last (Clock.now)."""
        return self._tick

    def until(self, tick: int) -> float:
        """Return when to look again (Clock.until)."""
        return 0.0 if tick <= self._tick else self.POLL

    def fall_back(self, tick: int) -> None:
        """Stay: `waits` (Clock.fall_back)."""

    def horizon(self) -> int:
        """Return `now` (Clock.horizon)."""
        return self._tick

    def reached(self, tick: int) -> None:
        """Follow writes, each of which takes a tick (Clock.reached)."""
        self._tick = max(self._tick, tick)

    def date_ns(self, tick: int) -> int:
        """Return the date of a tick, EPOCH_NS being that of tick 0 (Clock.date_ns)."""
        return EPOCH_NS + tick * _SECOND_NS // self.frequency

    def advance_to(self, tick: int) -> None:
        """Set the time.

        Raises:
            ValueError: time does not go backwards.
        """
        if tick < self._tick:
            raise ValueError(f"cannot set the clock from tick {self._tick} back to {tick}")
        self._tick = tick

    def advance_by(self, ticks: int) -> None:
        """Let ticks pass; see `advance_to`."""
        self.advance_to(self._tick + ticks)


def make_clock(speed: Speed, frequency: int) -> Clock:
    """Make the clock of a speed.

    Args:
        speed: of it.
        frequency: ticks in a second of the box.

    Raises:
        ValueError: the speed is none.
    """
    if speed == "free":
        return FreeRunningClock(frequency=frequency)
    if speed == "stepped":
        return SteppedClock(frequency=frequency)
    try:
        factor = float(speed)
    except ValueError:
        raise ValueError(f"speed {speed!r}: it is a number, 'free' or 'stepped'") from None
    return RealTimeClock(factor, frequency=frequency)
