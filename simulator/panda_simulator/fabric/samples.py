"""What is captured in any number of periods that are all alike, from what it is in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from panda_simulator.behaviours import MARKS, Pcap
from panda_simulator.fabric.ramps import Number, parts

_MASK = 0xFFFFFFFF
_BLOCK_BYTES = 1 << 21
_MANY = 1 << 40


class Samples:
    """The samples of a period, as ramps."""

    def __init__(self, words: Sequence[Number], marks: Sequence[Number], pcap: Pcap) -> None:
        """Take the samples of period 0.

        Args:
            words: of all of them.
            marks: of all of them, if there is something to be looked up.
            pcap: that knows how to.
        """
        self._pcap = pcap
        self._words, self._word_steps = (
            np.array([part & _MASK for part in column], np.uint32) for column in _split(words)
        )
        self._marks, self._mark_steps = (np.array(column, np.int64) for column in _split(marks))
        self.most = _MANY
        """For how many periods they should be computed at once."""
        if marks:
            self.most = max(pcap.at_once * MARKS // len(marks), 1)
        if words:
            self.most = max(min(_BLOCK_BYTES // self._words.nbytes, self.most), 1)

    def of(self, first: int, count: int) -> bytes:
        """Return those of some periods, little-endian."""
        if not self._words.size and not self._marks.size:
            return b""  # for any number of periods, more than memory has room for
        numbers = np.arange(count, dtype=np.uint32) + np.uint32(first & _MASK)
        words: NDArray[np.uint32] = np.multiply.outer(numbers, self._word_steps)
        words += self._words
        if len(self._marks):
            marks = np.multiply.outer(np.arange(first, first + count), self._mark_steps)
            marks += self._marks
            samples = count * len(self._marks) // MARKS
            words = self._pcap.complete(words.reshape(samples, -1), marks.reshape(samples, MARKS))
        return words.astype("<u4", copy=False).tobytes()


def _split(numbers: Sequence[Number]) -> tuple[list[int], list[int]]:
    """Return bases and slopes."""
    split = [parts(number) for number in numbers]
    return [base for base, _ in split], [slope for _, slope in split]
