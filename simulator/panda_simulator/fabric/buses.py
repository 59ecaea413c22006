"""The two buses: what is on them, what a block sees of it one tick later, and what changed.

Source: blocks.md 1.2, 1.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from panda_simulator.behaviours import Track
from panda_simulator.fabric.lines import Lines
from panda_simulator.hardware import BIT_BUS_SIZE, BIT_ONE, POSITION_BUS_SIZE

_WORD = 32


class BitBus:
    """128 bits, and the constants that a mux can select beyond them."""

    STATE: tuple[str, ...] = ("pattern", "_words", "_words_before", "_word_ticks")

    def __init__(self) -> None:
        self.levels = [0] * (BIT_ONE + 1)
        self.levels[BIT_ONE] = 1
        self.changed = [False] * BIT_BUS_SIZE
        self._words = [0] * (BIT_BUS_SIZE // _WORD)
        self._words_before = list(self._words)
        self._word_ticks = [-1] * len(self._words)
        self._places = [(index // _WORD, 1 << index % _WORD) for index in range(BIT_BUS_SIZE)]
        self.computed: list[Lines] = []
        """Bits that are functions of the tick while nothing is connected to them."""
        self._shown: dict[int, int] = {}

    @property
    def pattern(self) -> bytes:
        """All levels, one in a byte."""
        return bytes(self.levels)

    def put(self, index: int, tick: int, level: int) -> None:
        """Put a level on the bus."""
        if level == self.levels[index]:
            return
        self.levels[index] = level
        self.changed[index] = True
        word, bit = self._places[index]
        if self._word_ticks[word] != tick:
            self._word_ticks[word] = tick
            self._words_before[word] = self._words[word]
        self._words[word] ^= bit

    def seen(self, word: int, tick: int) -> int:
        """Return bits 32·word … 32·word + 31 as a block sees them at the tick.

        Without those that are `computed`.
        """
        late = self._word_ticks[word] == tick
        return self._words_before[word] if late else self._words[word]

    def lit(
        self, word: int, bits: NDArray[np.uint32], ticks: NDArray[np.int64]
    ) -> NDArray[np.uint32]:
        """Return words of the bus with the computed bits as they are at some ticks."""
        for lines in self.computed:
            bits = lines.overlay(word, bits, ticks)
        return bits

    def snapshot_computed(self, tick: int) -> None:
        """Put computed bits on the bus as they are at a tick."""
        for index, level in self._levels(tick):
            changed = self._show(index, level) or self.changed[index]
            self.put(index, tick, level)
            self.changed[index] = changed

    def _levels(self, tick: int) -> Iterator[tuple[int, int]]:
        for lines in self.computed:
            yield from zip(lines.indices, lines.levels(tick), strict=True)

    def _show(self, index: int, level: int) -> bool:
        """Tell whether a computed bit is another than when it was last shown."""
        before = self._shown.get(index, 0)
        self._shown[index] = level
        return before != level

    def snapshot(self, tick: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return levels and change flags, both (128,), and clear the flags."""
        levels = self.levels[:BIT_BUS_SIZE]
        for index, level in self._levels(tick):
            levels[index] = level
            self.changed[index] |= self._show(index, level)
        values = np.array(levels, dtype=np.bool_)
        changes = np.array(self.changed, dtype=np.bool_)
        self.changed = [False] * BIT_BUS_SIZE
        return values, changes


class PositionBus:
    """32 positions, each a number or a track; entry 32 is the constant 0."""

    STATE: tuple[str, ...] = ("_values", "_before", "_ticks")

    def __init__(self) -> None:
        self.tracks: dict[int, Track] = {}
        self._shown: dict[int, int] = {}
        self._values = [0] * (POSITION_BUS_SIZE + 1)
        self._before = [0] * (POSITION_BUS_SIZE + 1)
        self._ticks = [-1] * (POSITION_BUS_SIZE + 1)
        self.changed = [False] * POSITION_BUS_SIZE

    def put(self, index: int, tick: int, value: int) -> None:
        """Put a number that is a new one on the bus."""
        if self._ticks[index] != tick:
            self._ticks[index] = tick
            self._before[index] = self._values[index]
        self._values[index] = value
        self.changed[index] = True

    def moved(self, indices: Iterable[int], since: int) -> bool:
        """Tell whether one of some entries was put on the bus at a tick or later."""
        return any(self._ticks[index] >= since for index in indices)

    def value(self, index: int) -> int:
        """Return what is on the bus, of an entry without a track."""
        return self._values[index]

    def seen(self, index: int, tick: int) -> int:
        """Return an entry as a block sees it at the tick."""
        track = self.tracks.get(index)
        if track:
            return track.at(tick - 1)
        return self._before[index] if self._ticks[index] == tick else self._values[index]

    def flag(self, index: int) -> None:
        """Remember that a position changed, for the next snapshot."""
        self.changed[index] = True

    def snapshot(self, tick: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return positions and change flags, both (32,), and clear the flags."""
        positions = self._values[:POSITION_BUS_SIZE]
        for index, track in self.tracks.items():
            now = positions[index] = track.at(tick)
            self.changed[index] |= now != self._shown.get(index, 0)
            self._shown[index] = now
        values = np.array(positions, dtype=np.int32)
        changes = np.array(self.changed, dtype=np.bool_)
        self.changed = [False] * POSITION_BUS_SIZE
        return values, changes
