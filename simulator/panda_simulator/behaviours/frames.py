"""A frame is what PCAP adds up from one capture to the tick before the next.

Source: blocks.md 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from typing_extensions import override

from panda_simulator.behaviours.base import HIGHEST, LOWEST, MASK
from panda_simulator.behaviours.lookups import COMPLETE, ComputedBits, Lookups, Marks
from panda_simulator.behaviours.stretches import Track, add_up

VALUE, DIFF, SUM_LOW, SUM_HIGH, MIN, MAX, SQUARES_LOW, SQUARES_MIDDLE, SQUARES_HIGH = range(9)
EXTENSION_BUS = 32
"""Entries from this index on are of PCAP's own bus: times, gate duration, bit words."""

_GATE_DURATION = 6
_BITS = 7
_SQUARES = frozenset((SQUARES_LOW, SQUARES_MIDDLE, SQUARES_HIGH))
_ADDED_UP = frozenset((SUM_LOW, SUM_HIGH, MIN, MAX, *_SQUARES))
_NONE = frozenset[int]()
_SUM_BITS = {SUM_LOW: 0, SUM_HIGH: 32}


class CaptureBus(Protocol):
    """Positions and bits as PCAP sees them."""

    def position(self, index: int, tick: int) -> int:
        """Return entry 0 … 31 of the position bus at the tick, signed."""
        ...

    def track(self, index: int) -> Track | None:
        """Return the track that an entry is, seen a tick later, if it is one."""
        ...

    def bits(self, word: int, tick: int) -> int:
        """Return bits 32·word … 32·word + 31 of the bit bus at the tick, unsigned.

        A bus with tracks may leave out those that its `lit` puts in (lookups.ComputedBits).
        """
        ...


class Channel:
    """What is added up of one position; lazily, from change to change."""

    __slots__ = ("_bus", "_index", "_squared", "_start", "_value", "added_to", "diff", "highest",
                 "lowest", "squares", "total")  # fmt: skip

    def __init__(self, bus: CaptureBus, index: int, *, squared: bool) -> None:
        self._bus = bus
        self._index = index
        self._squared = squared
        self._value: int = 0
        self._start: int = 0
        self.added_to: int = 0
        self.clear()

    def clear(self) -> None:
        """Begin a frame."""
        self.diff: int = 0
        self.total: int = 0
        self.squares: int = 0
        self.lowest, self.highest = HIGHEST, LOWEST

    def open(self, tick: int) -> None:
        """Begin a stretch of gated ticks."""
        self._value = self._start = self._bus.position(self._index, tick)
        self.added_to = tick

    def follow(self, tick: int) -> None:
        """Look at the position at a gated tick; it is called whenever that changes."""
        value = self._bus.position(self._index, tick)
        if value != self._value:
            self.settle(tick)
            self._value = value

    def settle(self, tick: int) -> None:
        """Add up all ticks before this one."""
        ticks, value = tick - self.added_to, self._value
        if not ticks:
            return
        self.total += value * ticks
        self.lowest = min(self.lowest, value)
        self.highest = max(self.highest, value)
        if self._squared:
            self.squares += value * value * ticks
        self.added_to = tick

    def close(self, tick: int) -> None:
        """End a stretch with the tick before this."""
        self.settle(tick)
        self.diff += self._bus.position(self._index, tick) - self._start


class TrackChannel(Channel):
    """What is added up of a track: nothing before somebody wants to know."""

    __slots__ = ("_stretch",)

    def __init__(self, bus: CaptureBus, index: int, track: Track) -> None:
        super().__init__(bus, index, squared=False)
        self._stretch = partial(add_up, track)

    @override
    def follow(self, tick: int) -> None:
        """Do nothing: the past can be looked up."""

    @override
    def settle(self, tick: int) -> None:
        """Add up all ticks before this one; a position is seen a tick later."""
        if tick > self.added_to:
            total, lowest, highest = self._stretch(self.added_to - 1, tick - 1)
            self.total += total
            self.lowest = min(self.lowest, lowest)
            self.highest = max(self.highest, highest)
            self.added_to = tick


class Plan:
    """Which words of a sample are what: a capture list, sorted by the way to make a word."""

    STATE: tuple[str, ...] = ("channels",)
    """What is not the same for ever (fabric.states)."""

    def __init__(self, entries: Sequence[int], bus: CaptureBus) -> None:
        self.length = len(entries)
        self.lookups = Lookups(bus.track, bus) if isinstance(bus, ComputedBits) else None
        """None if nothing is to be looked up."""
        self.values: list[tuple[int, int]] = []
        """Place among the words, and position."""
        self.differences: list[tuple[int, Channel]] = []
        self.lowest: list[tuple[int, Channel]] = []
        self.highest: list[tuple[int, Channel]] = []
        self.sums: list[tuple[int, Channel, int]] = []
        """Place among the words, channel, and lowest bit of the word."""
        self.squares: list[tuple[int, Channel, int]] = []
        self.stamps: list[tuple[int, int, int]] = []
        """Place among the words, which time, and lowest bit of the word."""
        self.durations: list[int] = []
        self.bits: list[tuple[int, int]] = []
        """Place among the words, and word of the bit bus."""
        parts = [(place, entry >> 4 & 63, entry & 15) for place, entry in enumerate(entries)]
        modes: dict[int, set[int]] = {}
        for _, index, mode in parts:
            if index < EXTENSION_BUS and mode != VALUE:
                modes.setdefault(index, set()).add(mode)
        channels = {index: _channel(bus, index, used) for index, used in modes.items()}
        self.channels = list(channels.values())
        self.followed = frozenset(
            index
            for index, used in modes.items()
            if not (_ADDED_UP.isdisjoint(used) or isinstance(channels[index], TrackChannel))
        )
        """Positions of which every change matters."""
        self.following = [channels[index] for index in sorted(self.followed)]
        self.tracking = [one for one in self.channels if isinstance(one, TrackChannel)]
        self.counting = [one for one in self.channels if not isinstance(one, TrackChannel)]
        for place, index, mode in parts:
            if index >= EXTENSION_BUS:
                self._extension(place, index - EXTENSION_BUS)
            elif mode == VALUE:
                self._value(place, index)
            else:
                self._position(place, channels[index], mode)
                if isinstance(channels[index], TrackChannel):
                    self._track(place, index, mode)
        if self.lookups and not self.lookups.complete_with(self.bits):
            self.lookups = None

    def _value(self, place: int, index: int) -> None:
        words = self.lookups.of(index) if self.lookups else None
        if words:
            words.values.append(place)
        else:
            self.values.append((place, index))

    def _track(self, place: int, index: int, mode: int) -> None:
        words = self.lookups.of(index) if self.lookups else None
        if words is None:
            return
        places = {DIFF: words.differences, MIN: words.lowest, MAX: words.highest}
        if mode in places:
            places[mode].append(place)
        elif mode in _SUM_BITS:
            words.sums.append((place, _SUM_BITS[mode]))

    def _position(self, place: int, channel: Channel, mode: int) -> None:
        numbers = {DIFF: self.differences, MIN: self.lowest, MAX: self.highest}
        parts = {
            SUM_LOW: (self.sums, 0),
            SUM_HIGH: (self.sums, 32),
            SQUARES_LOW: (self.squares, 0),
            SQUARES_MIDDLE: (self.squares, 32),
            SQUARES_HIGH: (self.squares, 64),
        }
        if mode in numbers:
            numbers[mode].append((place, channel))
        elif mode in parts:
            words, bit = parts[mode]
            words.append((place, channel, bit))

    def _extension(self, place: int, entry: int) -> None:
        if entry < _GATE_DURATION:
            self.stamps.append((place, entry // 2, 32 * (entry % 2)))
        elif entry == _GATE_DURATION:
            self.durations.append(place)
        elif entry < _BITS + 4:
            self.bits.append((place, entry - _BITS))


def _channel(bus: CaptureBus, index: int, modes: set[int]) -> Channel:
    squared = not _SQUARES.isdisjoint(modes)
    track = None if squared else bus.track(index)
    return TrackChannel(bus, index, track) if track else Channel(bus, index, squared=squared)


class Frame:
    """The running frame of one capture list."""

    def __init__(self, entries: Sequence[int], bus: CaptureBus) -> None:
        self._bus = bus
        self._plan = Plan(entries, bus)
        self.lookups = self._plan.lookups
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
        self._opened = self._closed = 0
        self._whole = self.lookups is not None
        """Whether tracks are added up when the sample leaves: from one rise of the gate to its
        fall."""
        for channel in self._plan.channels:
            channel.clear()

    @property
    def opened_at(self) -> int | None:
        """The tick at which the gate opened, or the frame began with an open one."""
        return self._counted_to if self._gate else None

    def gate(self, tick: int, level: int, time: int) -> None:
        """Take the gate, and the positions, of a tick that is no capture."""
        if level:
            if self._gate:
                for channel in self._plan.following:
                    channel.follow(tick)
            else:
                self._open(tick, time)
        elif self._gate:
            self._close(tick, time)

    def settle(self, tick: int) -> None:
        """Add up tracks before this tick, as they are about to be others."""
        self._split()
        if self._gate:
            for channel in self._plan.tracking:
                channel.settle(tick)

    def _split(self) -> None:
        """Add up tracks now, as the gate rises again or they are about to be others."""
        if not (self._whole and self._opened):
            return
        self._whole = False
        for channel in self._plan.tracking:
            channel.open(self._opened)
            if self._closed:
                channel.close(self._closed)

    def capture(self, tick: int, level: int, time: int, shift: int) -> tuple[list[int], Marks]:
        """End the frame with a capture and begin the next; return the sample's words and marks.

        Args:
            tick: of the capture, which belongs to the new frame.
            level: of the gate at that tick.
            time: since the start of the acquisition, in ticks.
            shift: of sums and gate duration.
        """
        if self._gate:
            self._close(tick, time)
        elif level:
            self._end_time = time
        words = self._words(tick, time, shift)
        marks = COMPLETE
        if self._whole:
            marks = tick, self._opened, self._closed, shift
        elif self.lookups:
            marks = tick, 0, 0, 0
        self._begin()
        if level:
            self._open(tick, time)
        return words, marks

    def _open(self, tick: int, time: int) -> None:
        self._gate = 1
        self.watched = self._plan.followed
        if self._start_time < 0:
            self._start_time = time
        self._counted_to = tick
        self._split()
        if self._whole:
            self._opened = tick
        for channel in self._plan.counting if self._whole else self._plan.channels:
            channel.open(tick)

    def _close(self, tick: int, time: int) -> None:
        self._gate = 0
        self.watched = _NONE
        self._end_time = time
        self._duration += tick - self._counted_to
        if self._whole:
            self._closed = tick
        for channel in self._plan.counting if self._whole else self._plan.channels:
            channel.close(tick)

    def _words(self, tick: int, time: int, shift: int) -> list[int]:
        plan, bus = self._plan, self._bus
        words = [0] * plan.length
        for place, index in plan.values:
            words[place] = bus.position(index, tick) & MASK
        for place, channel in plan.differences:
            words[place] = channel.diff & MASK
        for place, channel in plan.lowest:
            words[place] = channel.lowest & MASK
        for place, channel in plan.highest:
            words[place] = channel.highest & MASK
        for place, channel, bit in plan.sums:
            words[place] = channel.total >> shift + bit & MASK
        for place, channel, bit in plan.squares:
            words[place] = channel.squares >> shift + bit & MASK
        times = self._start_time, self._end_time, time
        for place, which, bit in plan.stamps:
            words[place] = times[which] >> bit & MASK
        for place in plan.durations:
            words[place] = self._duration >> shift & MASK
        for place, word in plan.bits:
            words[place] = bus.bits(word, tick)
        return words
