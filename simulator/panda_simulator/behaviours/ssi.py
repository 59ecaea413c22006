"""SSI: a clock train from the master, a word from the encoder, its most significant bit first.

Source: blocks.md 3.3, 3.4.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.base import MASK, earliest
from panda_simulator.behaviours.serial_clock import Pulses, SerialClock
from panda_simulator.behaviours.shifter import Shifter, is_gray, widened

_REST = 1250
_END_OF_FRAME = 1250
_SYNC = 625
_BUSY = 2500
_IDLE, _SHIFTING, _MONOFLOP = range(3)


class SsiLink:
    """An encoder is there if its line is high as a frame starts and low 10 µs after it ends."""

    def __init__(self) -> None:
        self.up = False
        self._frame = False
        self._start = self._end = 0
        self._end_at: int | None = None

    def step(self, tick: int, *, frame: bool, data: int) -> None:
        """Take one tick."""
        self.up = bool(self._start) and not self._end
        if frame and not self._frame:
            self._start = data
            self._end_at = None
        elif self._frame and not frame:
            self._end_at = tick + _END_OF_FRAME
        elif self._end_at == tick:
            self._end = data
            self._end_at = None
        self._frame = frame

    def wake(self, tick: int, *, frame: bool) -> int | None:
        """Return the next tick at which something happens."""
        up = bool(self._start) and not self._end
        return tick + 1 if frame != self._frame or up != self.up else self._end_at


class SsiMaster:
    """Reads a word once per frame.

    `step` takes the levels that were there before the tick.
    """

    def __init__(self) -> None:
        self._clock = SerialClock(_REST)
        self.frames = Pulses(0, 0)
        self._shifter = Shifter(32)
        self._link = SsiLink()
        self._bits = self._encoding = 0
        self._clock_before = 1
        self._active_before = self._frame = False
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
        return self._clock.waiting

    @property
    def connected(self) -> bool:
        """Whether an encoder answers."""
        return self._link.up

    @property
    def health(self) -> int:
        """INENC's HEALTH: 0, or 2 for a time-out."""
        return 0 if self._link.up else 2

    def step(self, tick: int, data: int, resets: Mapping[str, int] | None) -> None:
        """Take one tick.

        Args:
            tick: that it is.
            data: level of the data line.
            resets: new settings, with which everything begins anew.
        """
        if resets is not None:
            self._bits, self._encoding = resets["BITS"], resets["ENCODING"]
        self._link.step(tick, frame=self._frame, data=data)
        self.position = widened(self._shifter.word, self._bits)
        if resets is None:
            self._run(tick, data)
            return
        self.frames = Pulses(tick, resets["FRAME_PERIOD"])
        self._clock.reset(tick, resets["CLK_PERIOD"])
        self._shifter.reset()
        self._clock_before = 0
        self._active_before = self._frame = False

    def _run(self, tick: int, data: int) -> None:
        clock, active = self._clock.level, self._clock.active
        falls = not clock and bool(self._clock_before)
        gray = is_gray(self._encoding)
        self._shifter.step(enabled=active, clock=falls, bit=data, gray=gray)
        if falls and not self._frame:
            self._frame = True
        elif self._active_before and not active:
            self._frame = False
        self._clock_before, self._active_before = clock, active
        start = self.frames.seen(tick)
        self._clock.step(tick, start=start, counting=True, bits=self._bits)

    def wake(self, tick: int, data: int) -> int | None:
        """Return the next tick that matters, if the line stays at this level."""
        del data
        clock, active = self._clock.level, self._clock.active
        if (
            clock != self._clock_before
            or active != self._active_before
            or self._shifter.unsettled(enabled=active)
            or self.position != widened(self._shifter.word, self._bits)
        ):
            return tick + 1
        link = self._link.wake(tick, frame=self._frame)
        return earliest(self._clock.wake(tick, self.frames), link)


class SsiSlave:
    """Sends the position that there is when the clock first falls.

    Before that the clock has to be high for 5 µs, and in the word no half of it may last
    as long; after the word the line is low for 20 µs.
    """

    def __init__(self) -> None:
        self.data = 1
        self.latched_at = 0
        """Tick at which it took the position that it sent last."""
        self._clock = self._clock_before = 0
        self._synced_at: int | None = None
        self._linked = False
        self._lost_at: int | None = None
        self._state = _IDLE
        self._word = self._count = self._bit_before = 0
        self._idle_at = 0

    def step(
        self, tick: int, registers: Mapping[str, int], *, clock: int, position: int, resets: bool
    ) -> None:
        """Take one tick.

        Args:
            tick: that it is.
            registers: BITS and ENCODING.
            clock: level of the clock line.
            position: to send.
            resets: everything begins anew.
        """
        rises = bool(self._clock) and not self._clock_before
        lost = self._lost_at is not None and tick >= self._lost_at
        if resets or not self._linked:
            self._rest()
            if not resets:
                self._sync(tick)
        else:
            self._play(tick, registers, clock=clock, rises=rises, position=position)
        if resets or lost:
            self._linked = False
            self._lost_at = self._synced_at = None
        self._clock_before, self._clock = self._clock, clock

    def _rest(self) -> None:
        self._state = _IDLE
        self._lost_at = None
        self.data = 1

    def _sync(self, tick: int) -> None:
        if self._synced_at is not None and tick >= self._synced_at:
            self._linked = True
            self._synced_at = None
        elif not self._clock:
            self._synced_at = None
        elif self._synced_at is None:
            self._synced_at = tick + _SYNC - 1

    def _play(
        self, tick: int, registers: Mapping[str, int], *, clock: int, rises: bool, position: int
    ) -> None:
        if self._state == _IDLE:
            self.data = 1
            if not clock:
                self._state = _SHIFTING
                self._word = position & MASK
                self.latched_at = tick
                self._count = self._bit_before = 0
                self._lost_at = tick + _SYNC
        elif self._state == _SHIFTING:
            if self._count == registers["BITS"] + 1:
                self._state = _MONOFLOP
                self._lost_at = None
                self._idle_at = tick + _BUSY
            elif rises:
                self._send(registers)
                self._lost_at = tick + _SYNC
        else:
            self.data = 0
            if tick >= self._idle_at:
                self._state = _IDLE

    def _send(self, registers: Mapping[str, int]) -> None:
        bit = self._word >> (registers["BITS"] - 1 & 31) & 1
        self.data = bit ^ self._bit_before if is_gray(registers["ENCODING"]) else bit
        self._bit_before = bit
        self._word = (self._word << 1 | self._word >> 31) & MASK
        self._count += 1

    def wake(self, tick: int, registers: Mapping[str, int], *, clock: int) -> int | None:
        """Return the next tick that matters, if the clock line stays as it is."""
        ended = self._state == _SHIFTING and self._count == registers["BITS"] + 1
        unsettled = (
            clock != self._clock
            or self._clock != self._clock_before
            or ended
            or (self._state == _MONOFLOP and self.data)
            or (self._linked and self._state == _IDLE and not (self.data and clock))
            or (not self._linked and (self._state != _IDLE or not self.data))
            or (not self._linked and self._clock and self._synced_at is None)
        )
        if unsettled:
            return tick + 1
        idle = self._idle_at if self._state == _MONOFLOP else None
        return earliest(self._synced_at, self._lost_at, idle)
