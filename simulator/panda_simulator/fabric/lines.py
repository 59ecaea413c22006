"""Encoder lines that nobody listens to are computed when somebody looks at the bit bus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from panda_simulator.behaviours import Inenc

_WORD = 32


class Lines:
    """Lines A and B of one encoder input."""

    def __init__(self, encoder: Inenc, indices: Sequence[int]) -> None:
        """Take care of the lines.

        Args:
            encoder: that they belong to.
            indices: of A and B on the bit bus.
        """
        self.indices = tuple(indices)
        self._encoder = encoder
        self._masks = [(index // _WORD, 1 << index % _WORD) for index in indices]
        self._count: int | None = None
        self._still: tuple[int, ...] | None = None

    def disturb(self) -> None:
        """Take note that the encoder goes on differently from now on, or later."""
        self._count = self._still = None

    def levels(self, tick: int) -> tuple[int, ...]:
        """Return the levels at a tick."""
        if self._still is not None:
            return self._still
        levels = self._encoder.lines(tick)
        count = self._encoder.at(tick)
        if count == self._count and self._encoder.leaves(tick, count, count) is None:
            # one who looks at the tick before comes next, where hops are longer
            self._still = levels if self._encoder.lines(tick - 1) == levels else None
        self._count = count
        return levels

    def overlay(self, word: int, bits: int, tick: int) -> int:
        """Put the levels into a word of the bus."""
        for (number, mask), level in zip(self._masks, self.levels(tick), strict=True):
            if number == word:
                bits = bits | mask if level else bits & ~mask
        return bits

    def touches(self, indices: Iterable[int]) -> bool:
        """Tell whether a line is among some of the bus."""
        return not set(self.indices).isdisjoint(indices)
