"""A frame is what PCAP adds up from one capture to the tick before the next.

Source: blocks.md 4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from panda_simulator.behaviours.base import HIGHEST, LOWEST, MASK

VALUE, DIFF, SUM_LOW, SUM_HIGH, MIN, MAX, SQUARES_LOW, SQUARES_MIDDLE, SQUARES_HIGH = range(9)
EXTENSION_BUS = 32
"""Entries from this index on are of PCAP's own bus: times, gate duration, bit words."""

_GATE_DURATION = 6
_BITS = 7
_SQUARES = frozenset((SQUARES_LOW, SQUARES_MIDDLE, SQUARES_HIGH))
_ADDED_UP = frozenset((SUM_LOW, SUM_HIGH, MIN, MAX, *_SQUARES))
_NONE = frozenset[int]()


class CaptureBus(Protocol):
    """Positions and bits as PCAP sees them."""

    def position(self, index: int, tick: int) -> int:
        """Return entry 0 … 31 of the position bus at the tick, signed."""
        ...

    def bits(self, word: int, tick: int) -> int:
        """Return bits 32·word … 32·word + 31 of the bit bus at the tick, unsigned."""
        ...


class Channel:
    """What is added up of one position; lazily, from change to change."""

    __slots__ = ("added_to", "diff", "highest", "lowest", "squared", "squares", "start", "total",
                 "value")  # fmt: skip

    def __init__(self, *, squared: bool) -> None:
        self.squared = squared
        self.value = self.start = self.added_to = 0
        self.clear()

    def clear(self) -> None:
        """Begin a frame."""
        self.diff = self.total = self.squares = 0
        self.lowest, self.highest = HIGHEST, LOWEST

    def add(self, tick: int) -> None:
        """Add the value once for each tick up to the one before this, all of them gated."""
        ticks = tick - self.added_to
        self.total += self.value * ticks
        if self.squared:
            self.squares += self.value * self.value * ticks
        self.added_to = tick

    def take(self, tick: int, value: int) -> None:
        """Take the value of a gated tick."""
        self.value = value
        self.added_to = tick
        self.lowest = min(self.lowest, value)
        self.highest = max(self.highest, value)


_POSITION_WORDS: dict[int, Callable[[Channel, int], int]] = {
    DIFF: lambda channel, _: channel.diff,
    SUM_LOW: lambda channel, shift: channel.total >> shift,
    SUM_HIGH: lambda channel, shift: channel.total >> shift >> 32,
    MIN: lambda channel, _: channel.lowest,
    MAX: lambda channel, _: channel.highest,
    SQUARES_LOW: lambda channel, shift: channel.squares >> shift,
    SQUARES_MIDDLE: lambda channel, shift: channel.squares >> shift >> 32,
    SQUARES_HIGH: lambda channel, shift: channel.squares >> shift >> 64,
}


class Frame:
    """The running frame of one capture list."""

    def __init__(self, entries: Sequence[int], bus: CaptureBus) -> None:
        self._bus = bus
        self._entries = [(entry >> 4 & 63, entry & 15) for entry in entries]
        modes: dict[int, set[int]] = {}
        for index, mode in self._entries:
            if index < EXTENSION_BUS and mode != VALUE:
                modes.setdefault(index, set()).add(mode)
        self._channels = {
            index: Channel(squared=not _SQUARES.isdisjoint(used)) for index, used in modes.items()
        }
        self._added_up = frozenset(i for i, used in modes.items() if not _ADDED_UP.isdisjoint(used))
        self.watched = _NONE
        self._gate = 0
        self.clear()

    def clear(self) -> None:
        """Empty everything, as PCAP does while it is not armed."""
        self._gate = 0
        self.watched = _NONE
        self._begin()

    def _begin(self) -> None:
        self._start_time = self._end_time = -1
        self._duration = 0
        self._counted_to = 0
        for channel in self._channels.values():
            channel.clear()

    def advance(self, tick: int) -> None:
        """Add up the ticks before this one; nothing has changed in them."""
        if not self._gate:
            return
        self._duration += tick - self._counted_to
        self._counted_to = tick
        for channel in self._channels.values():
            channel.add(tick)

    def gate(self, tick: int, level: int, time: int) -> None:
        """Take the gate, and the positions, of a tick that is no capture."""
        if level:
            if not self._gate:
                self._open(tick, time)
            else:
                for index, channel in self._channels.items():
                    channel.take(tick, self._bus.position(index, tick))
        elif self._gate:
            self._close(tick, time)
        self._hold(level)

    def capture(self, tick: int, level: int, time: int, shift: int) -> list[int]:
        """End the frame with a capture and begin the next; return the sample's words.

        Args:
            tick: of the capture, which belongs to the new frame.
            level: of the gate at that tick.
            time: since the start of the acquisition, in ticks.
            shift: of sums and gate duration.
        """
        if self._gate:
            self._close(tick, time)
        elif level and self._end_time >= 0:
            self._end_time = time
        words = [self._word(index, mode, tick, time, shift) for index, mode in self._entries]
        self._begin()
        if level:
            self._open(tick, time)
        self._hold(level)
        return words

    def _hold(self, level: int) -> None:
        self._gate = level
        self.watched = self._added_up if level else _NONE

    def _open(self, tick: int, time: int) -> None:
        if self._start_time < 0:
            self._start_time = time
        self._counted_to = tick
        for index, channel in self._channels.items():
            channel.take(tick, self._bus.position(index, tick))
            channel.start = channel.value

    def _close(self, tick: int, time: int) -> None:
        self._end_time = time
        for index, channel in self._channels.items():
            channel.diff += self._bus.position(index, tick) - channel.start

    def _word(self, index: int, mode: int, tick: int, time: int, shift: int) -> int:
        if index >= EXTENSION_BUS:
            return self._extension_word(index - EXTENSION_BUS, tick, time, shift)
        if mode == VALUE:
            return self._bus.position(index, tick) & MASK
        formula = _POSITION_WORDS.get(mode)
        return formula(self._channels[index], shift) & MASK if formula else 0

    def _extension_word(self, entry: int, tick: int, time: int, shift: int) -> int:
        if entry < _GATE_DURATION:
            stamp = (self._start_time, self._end_time, time)[entry // 2]
            return stamp >> 32 * (entry % 2) & MASK
        if entry == _GATE_DURATION:
            return self._duration >> shift & MASK
        return self._bus.bits(entry - _BITS, tick) if entry < _BITS + 4 else 0
