"""A line of a connector is believed after three equal samples.

Source: blocks.md 3.3.
"""

from __future__ import annotations

_SAMPLES = 3
_LATENCY = 4
_REGISTERS = 1
"""Ticks for which equal samples still count after the pin has changed."""


class LineFilter:
    """Level of a pin in, level as the box sees it out; shorter glitches vanish."""

    def __init__(self) -> None:
        self.level = 0
        self.pin = 0
        self._tick = 0
        self._since = -_LATENCY
        self._holds: list[tuple[int, int, int]] = []
        """Earlier levels of the pin, each with the first and last tick at which it is shown."""

    def update(self, tick: int, pin: int) -> None:
        """Take the level of the pin at a tick; to be called when it changes, and at `wake`."""
        self._tick = tick
        if pin != self.pin:
            if tick - self._since >= _SAMPLES:
                self._holds.append((self._since + _LATENCY, tick + _REGISTERS, self.pin))
            self.pin, self._since = pin, tick
        while self._holds and self._holds[0][1] < tick:
            del self._holds[0]
        if self._holds and self._holds[0][0] <= tick:
            self.level = self._holds[0][2]
        elif not self._holds and self._since + _LATENCY <= tick:
            self.level = self.pin

    def reset(self) -> None:
        """Show 0 at the tick of the update; what the pin shows comes back."""
        self.level = 0

    @property
    def wake(self) -> int | None:
        """The tick at which the level changes next, if the pin stays as it is."""
        coming, level = self._tick + 1, self.level
        for first, last, pin in self._holds:
            if last >= coming and pin != level:
                return max(first, coming)
        return max(self._since + _LATENCY, coming) if self.pin != level else None
