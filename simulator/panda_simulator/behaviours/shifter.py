"""Serial words: bits shifted in, Gray code, the check sum of BISS.

Source: blocks.md 3.3.
"""

from __future__ import annotations

from panda_simulator.behaviours.base import MASK

_GRAY = (1, 3)
_WORD = 32
_CHECK_BITS = 6
_CHECK_POLYNOMIAL = 0b000011


def is_gray(encoding: int) -> bool:
    """Tell whether an ENCODING is a Gray code."""
    return encoding & 3 in _GRAY


def widened(word: int, bits: int) -> int:
    """Return a word of some bits as 32, the bits above being copies of its highest."""
    if not bits:
        return 0
    if bits >= _WORD:
        return word & MASK
    word &= (1 << bits) - 1
    return word | MASK >> bits << bits if word >> bits - 1 else word


class Shifter:
    """Takes bits while it is enabled, most significant first; has a word after that."""

    def __init__(self, width: int) -> None:
        self._mask = (1 << width) - 1
        self._bits = 0
        self._enabled = False
        self.word = 0
        self.complete = False
        """Whether the word came with the last step."""

    def reset(self) -> None:
        """Forget everything."""
        self._bits = self.word = 0
        self.complete = False

    def step(self, *, enabled: bool, clock: bool, bit: int, gray: bool = False) -> None:
        """Take one tick."""
        self.complete = self._enabled and not enabled
        if self.complete:
            self.word, self._bits = self._bits, 0
        elif enabled and clock:
            bit ^= self._bits & 1 if gray else 0
            self._bits = (self._bits << 1 | bit) & self._mask
        self._enabled = enabled

    def unsettled(self, *, enabled: bool) -> bool:
        """Tell whether the next step changes something though nothing is clocked."""
        return self.complete or self._enabled != enabled


class CheckSum:
    """The check sum of a BISS frame, sent inverted."""

    def __init__(self) -> None:
        self._sum = 0

    def clear(self) -> None:
        """Begin a frame."""
        self._sum = 0

    def take(self, bit: int) -> None:
        """Take one bit."""
        out = self._sum >> _CHECK_BITS - 1 ^ bit
        shifted = self._sum << 1 & (1 << _CHECK_BITS) - 1
        self._sum = shifted ^ (_CHECK_POLYNOMIAL if out else 0)

    @property
    def sent(self) -> int:
        """The check sum as it is sent."""
        return ~self._sum & (1 << _CHECK_BITS) - 1
