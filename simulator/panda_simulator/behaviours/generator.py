"""The quadrature generator of OUTENC: unlike POSENC alone it holds its lines when disabled.

Source: blocks.md 3.4.
"""

from __future__ import annotations

from panda_simulator.behaviours.base import signed

DISABLED, AT_POSITION, SLEWING = range(3)
_LINES = ((0, 0), (1, 0), (1, 1), (0, 1))


class Generator:
    """Moves its lines one phase towards a position at each active tick of a step clock."""

    def __init__(self) -> None:
        self.state = DISABLED
        self._enabled = False
        self._tracker = 0
        self._phase = 0
        self._move = 0
        self._period = 1
        self._origin = 0

    @property
    def lines(self) -> tuple[int, int]:
        """Levels of A and B."""
        return _LINES[self._phase]

    def step(
        self, tick: int, *, enabled: bool, position: int, period: int | None, resets: bool
    ) -> None:
        """Take one tick.

        Args:
            tick: that it is.
            enabled: level of ENABLE.
            position: to go to.
            period: of the step clock, if it is written.
            resets: the lines go low, and it begins anew at the position.
        """
        counted = (tick - 1 - self._origin) % self._period
        if period is not None:
            self._period = max(period, 1)
        active = counted == self._period - 1
        self._origin = tick if period is not None else tick - 1 - counted
        self._phase = 0 if resets else (self._phase + self._move) % 4
        self._move = 0
        slewing = False
        if resets:
            self.state = DISABLED
            self._enabled = False
            return
        if enabled and not self._enabled:
            self._tracker = position
        elif self._enabled and self._tracker != position:
            slewing = True
            if active:
                self._move = 1 if self._tracker < position else -1
                self._tracker = signed(self._tracker + self._move)
        self._enabled = enabled
        self.state = (SLEWING if slewing else AT_POSITION) if enabled else DISABLED

    def wake(self, tick: int, *, enabled: bool, position: int) -> int | None:
        """Return the next tick that matters, if nothing is changed."""
        moving = self._enabled and self._tracker != position
        if self._move or enabled != self._enabled or moving != (self.state == SLEWING):
            return tick + 1
        return self._origin + self._period if moving else None
