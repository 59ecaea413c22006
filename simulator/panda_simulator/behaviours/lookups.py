"""What is a function of the tick is looked up when samples leave, for many of them at once.

A captured track costs nothing at the trigger then, and where triggers repeat their ticks
are all that has to be known of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from panda_simulator.behaviours.base import MASK
from panda_simulator.behaviours.stretches import Track, add_up_all, look_up

Ticks: TypeAlias = NDArray[np.int64]
Words: TypeAlias = NDArray[np.uint32]
Marks: TypeAlias = tuple[int, int, int, int]
"""Of a sample: ticks of its capture, of the rise of the gate and of its fall, and the shift
of sums. The gate's are 0 if nothing that depends on it is to be looked up, and all are if
nothing is."""

MARKS = 4
MOST = 1 << 16
_FEW = 1 << 10
COMPLETE: Marks = (0, 0, 0, 0)


@runtime_checkable
class ComputedBits(Protocol):
    """Bits that are functions of the tick."""

    def lit(self, word: int, bits: Words, ticks: Ticks) -> Words:
        """Return words of the bit bus, one for each tick, with these bits in their places."""
        ...


class TrackWords:
    """Words of a sample that are made of one track, seen a tick later.

    Attributes:
        values: places of its value at the capture.
        differences: places of what it gained while the gate was high.
        lowest: places of its minimum meanwhile.
        highest: places of its maximum.
        sums: places of its sum, and the lowest bit of the word.
    """

    def __init__(self, track: Track) -> None:
        self._track = track
        self.values: list[int] = []
        self.differences: list[int] = []
        self.lowest: list[int] = []
        self.highest: list[int] = []
        self.sums: list[tuple[int, int]] = []

    def look_up(self, words: Words, marks: Ticks, gated: NDArray[np.intp]) -> None:
        """Put the words into samples.

        Args:
            words: of the samples, (samples, words).
            marks: of the samples, (samples, MARKS).
            gated: which samples had the gate high.
        """
        if self.values:
            _put(words, slice(None), self.values, look_up(self._track, marks[:, 0] - 1))
        if not len(gated):
            return
        opened, closed = marks[gated, 1] - 1, marks[gated, 2] - 1
        if self.differences:
            gained = look_up(self._track, closed) - look_up(self._track, opened)
            _put(words, gated, self.differences, gained)
        if self.lowest or self.highest or self.sums:
            totals, lowest, highest = add_up_all(self._track, opened, closed)
            _put(words, gated, self.lowest, lowest)
            _put(words, gated, self.highest, highest)
            shifts = marks[gated, 3].tolist()
            for place, bit in self.sums:
                sums = zip(totals, shifts, strict=True)
                words[gated, place] = [total >> shift + bit & MASK for total, shift in sums]


class Lookups:
    """All words of a sample that are looked up."""

    STATE: tuple[str, ...] = ()
    """What is not the same for ever (fabric.states)."""

    def __init__(self, track: Callable[[int], Track | None], bits: ComputedBits) -> None:
        """Look nothing up yet.

        Args:
            track: returns the track that a position is, if it is one.
            bits: that are computed.
        """
        self._track = track
        self._bits = bits
        self._tracks: dict[int, TrackWords] = {}
        self._words: list[tuple[int, int]] = []

    @property
    def at_once(self) -> int:
        """How many samples should be completed at once, as that keeps others waiting."""
        return _FEW if self._tracks else MOST

    def complete_with(self, bits: list[tuple[int, int]]) -> bool:
        """Look up bits as well; return whether there is anything to look up at all.

        Args:
            bits: place among the words, and word of the bit bus.
        """
        self._words = bits
        return bool(self._words or self._tracks)

    def of(self, index: int) -> TrackWords | None:
        """Return where to put the words of a position, if it is a track."""
        if index not in self._tracks:
            track = self._track(index)
            if track is None:
                return None
            self._tracks[index] = TrackWords(track)
        return self._tracks[index]

    def complete(self, words: Words, marks: Ticks) -> Words:
        """Return samples with everything looked up.

        Args:
            words: of the samples, (samples, words).
            marks: of the samples, (samples, MARKS).
        """
        left = np.flatnonzero(marks[:, 0])
        if not len(left):
            return words
        whole = len(left) == len(words)
        some, marks = (words, marks) if whole else (words[left], marks[left])
        gated = np.flatnonzero(marks[:, 2])
        for track in self._tracks.values():
            track.look_up(some, marks, gated)
        for place, word in self._words:
            some[:, place] = self._bits.lit(word, some[:, place], marks[:, 0])
        if not whole:
            words[left] = some
        return words


def _put(
    words: Words, rows: slice | NDArray[np.intp], places: list[int], numbers: NDArray[np.int64]
) -> None:
    for place in places:
        words[rows, place] = (numbers & MASK).astype(np.uint32)
