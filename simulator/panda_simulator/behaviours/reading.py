"""How the raw position of an encoder becomes VAL, for all protocols.

Source: blocks.md 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from panda_simulator.behaviours.base import MASK, signed

_WORD = 32
_SIGNED_ENCODINGS = (2, 3)


class Reading(NamedTuple):
    """The bits of a word that count, and what stands above them."""

    keep: int
    shift: int
    extends_sign: bool

    @staticmethod
    def of(registers: Mapping[str, int]) -> Reading:
        """Return what BITS, LSB_DISCARD, MSB_DISCARD and ENCODING say."""
        low = registers["LSB_DISCARD"] & 31
        bits = registers["BITS"] % _WORD or _WORD
        keep = bits - (registers["MSB_DISCARD"] & 31) - low
        return Reading(keep, low, registers["ENCODING"] & 3 in _SIGNED_ENCODINGS)

    @property
    def plain(self) -> bool:
        """Whether VAL is the word itself."""
        return self.keep == _WORD and not self.shift

    def value(self, word: int) -> int:
        """Return VAL of a word, of which the low 32 bits count."""
        word &= MASK
        if self.keep <= 0:
            top = self.keep + self.shift - 1
            return -(word >> top & 1) if self.extends_sign and top >= 0 else 0
        kept = word >> self.shift & (1 << self.keep) - 1
        if self.extends_sign and kept >> self.keep - 1:
            kept -= 1 << self.keep
        return signed(kept)
