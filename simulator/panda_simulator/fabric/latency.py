"""How many ticks a hop takes from block to block: one as documented, or as many as hardware needs.

Only when things are seen differs: what a block does with what it sees is the same.

Source: blocks.md 1.3.
"""

from __future__ import annotations

from typing import NamedTuple

from typing_extensions import override

from panda_simulator.behaviours import Stretch, Track, add_up
from panda_simulator.fabric.buses import BitBus, PositionBus


class Hops(NamedTuple):
    """Ticks from the output of a block to where it is seen.

    Attributes:
        bit: at a bit input, without its DELAY.
        position: at a position input.
        capture: at the bit inputs of PCAP, without their DELAY.
        sample: by PCAP, of the buses that it captures.
    """

    bit: int
    position: int
    capture: int
    sample: int


DOCUMENTED = Hops(bit=1, position=1, capture=1, sample=1)
HARDWARE = Hops(bit=3, position=2, capture=4, sample=2)

_SAMPLE = HARDWARE.sample


class LateBitBus(BitBus):
    """A bit bus that PCAP sees two ticks later."""

    STATE = (*BitBus.STATE, "_words_older", "_ticks_older")

    def __init__(self) -> None:
        super().__init__()
        self._words_older = list(self._words)
        self._ticks_older = list(self._word_ticks)

    @override
    def put(self, index: int, tick: int, level: int) -> None:
        """Put a level on the bus (BitBus.put)."""
        word, _ = self._places[index]
        if level != self.levels[index] and self._word_ticks[word] != tick:
            self._ticks_older[word] = self._word_ticks[word]
            self._words_older[word] = self._words_before[word]
        super().put(index, tick, level)

    @override
    def seen(self, word: int, tick: int) -> int:
        """Return bits 32·word … 32·word + 31 as PCAP sees them at the tick."""
        last = tick - _SAMPLE
        if self._word_ticks[word] <= last:
            bits = self._words[word]
        elif self._ticks_older[word] <= last:
            bits = self._words_before[word]
        else:
            bits = self._words_older[word]
        return bits


class LatePositionBus(PositionBus):
    """A position bus that PCAP sees two ticks later."""

    STATE = (*PositionBus.STATE, "_older", "_ticks_older")

    def __init__(self) -> None:
        super().__init__()
        self._older = list(self._values)
        self._ticks_older = list(self._ticks)

    @override
    def put(self, index: int, tick: int, value: int) -> None:
        """Put a number that is a new one on the bus (PositionBus.put)."""
        if self._ticks[index] != tick:
            self._ticks_older[index] = self._ticks[index]
            self._older[index] = self._before[index]
        super().put(index, tick, value)

    @override
    def seen(self, index: int, tick: int) -> int:
        """Return an entry as PCAP sees it at the tick."""
        last = tick - _SAMPLE
        track = self.tracks.get(index)
        if track:
            return track.at(last)
        if self._ticks[index] <= last:
            return self._values[index]
        return self._before[index] if self._ticks_older[index] <= last else self._older[index]


class Later:
    """A track as it was some ticks before."""

    def __init__(self, track: Track, ticks: int) -> None:
        self._track = track
        self._ticks = ticks

    def at(self, tick: int) -> int:
        """Return the value at a tick (Track.at)."""
        return self._track.at(tick - self._ticks)

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        """Return when the value leaves an interval (Track.leaves)."""
        leaves = self._track.leaves(tick - self._ticks, low, high)
        return None if leaves is None else leaves + self._ticks

    def stretch(self, first: int, last: int) -> Stretch:
        """Add up some ticks (stretches.add_up)."""
        return add_up(self._track, first - self._ticks, last - self._ticks)
