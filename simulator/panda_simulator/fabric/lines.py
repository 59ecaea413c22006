"""Encoder lines that nobody listens to are computed when somebody looks at the bit bus."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from panda_simulator.behaviours import Inenc

_WORD = 32


class Lines:
    """The lines of one encoder input."""

    def __init__(self, encoder: Inenc, lines: Mapping[int, int]) -> None:
        """Take care of the lines.

        Args:
            encoder: that they belong to.
            lines: index on the bit bus to the place among the levels of the encoder.
        """
        self.indices = tuple(lines)
        self._encoder = encoder
        self._places = tuple(lines.values())
        self._rest: tuple[int, tuple[int, ...]] | None = None
        """A tick from which on the levels stay as they are, and the levels."""

    def disturb(self) -> None:
        """Take note that the encoder goes on differently from now on, or later."""
        self._rest = None

    def levels(self, tick: int) -> tuple[int, ...]:
        """Return the levels at a tick."""
        rest = self._rest
        if rest is not None and tick >= rest[0]:
            return rest[1]
        levels = self._encoder.lines(tick)
        chosen = tuple(levels[place] for place in self._places)
        if rest is None and self._encoder.rests(tick):
            self._rest = tick, chosen
        return chosen

    def overlay(
        self, word: int, bits: NDArray[np.uint32], ticks: NDArray[np.int64]
    ) -> NDArray[np.uint32]:
        """Return a word of the bus at some ticks with the lines in their places."""
        masks = [1 << index % _WORD if index // _WORD == word else 0 for index in self.indices]
        if not any(masks) or not len(ticks):
            return bits

        begin = int(ticks.min())
        self.levels(begin)
        if self._rest is not None and self._rest[0] <= begin:
            ticks = np.array([begin])
        levels = self._encoder.all_lines(ticks)[:, self._places]
        found = levels.astype(np.uint32) @ np.array(masks, np.uint32)
        return bits & np.uint32(_ALL - sum(masks)) | found

    def touches(self, indices: Collection[int]) -> bool:
        """Tell whether a line is among some of the bus."""
        return not set(self.indices).isdisjoint(indices)


_ALL = (1 << _WORD) - 1
