"""The words that PCAP has made and the memory has not taken yet wait in a FIFO, which may fill up.

Source: blocks.md 4.2 (overflow); the FIFO of the FPGA holds 1024 words.
"""

from __future__ import annotations

DEPTH = 1024
"""Words that can wait."""


class Backlog:
    """The FIFO between PCAP, which adds a word a tick, and a memory that takes them steadily."""

    def __init__(self, bytes_per_second: int, frequency: int) -> None:
        """Begin empty.

        Args:
            bytes_per_second: that the memory takes.
            frequency: ticks in a second.
        """
        self._taken = bytes_per_second
        """In a tick, in units of which a word has four times the ticks of a second."""
        self._word = 4 * frequency
        self._waiting = 0
        self._since = 0

    def clear(self) -> None:
        """Drop everything."""
        self._waiting = self._since = 0

    def add(self, first: int, words: int) -> int | None:
        """Add some words, one a tick.

        Args:
            first: tick of the first word.
            words: how many; the next ones come after the last of these.

        Returns:
            The tick of the word for which there is no room, if it comes to that.
        """
        waiting = max(self._waiting - self._taken * (first - self._since), 0)
        grows = self._word - self._taken
        full = DEPTH * self._word
        self._since = first + words
        if grows <= 0:
            self._waiting = 0
            return None
        if waiting + grows * words <= full:
            self._waiting = waiting + grows * words
            return None
        return first + (full - waiting) // grows
