"""An axis moves along trapezoids of speed, and its position is a function of the tick."""

from __future__ import annotations

import math
from collections.abc import Callable

from panda_simulator.clock import TICKS_PER_SECOND
from panda_simulator.motion import Motion, Piece, moving, stopping, to_fixed, to_float


class Axis:
    """A motor that moves along trapezoids of speed, exactly and without fail.

    Attributes:
        name: what it is called.
        velocity: at most, in units per second.
        acceleration: in units per second².
        limits: lowest and highest target, in units.
        frequency: ticks in a second.
    """

    def __init__(
        self,
        name: str,
        position: float = 0.0,
        velocity: float = 1.0,
        acceleration: float = 10.0,
        limits: tuple[float, float] = (-1000.0, 1000.0),
    ) -> None:
        self.name = name
        self.velocity = velocity
        self.acceleration = acceleration
        self.limits = limits
        self.frequency = TICKS_PER_SECOND
        self.motion = Motion(to_fixed(position))
        self._begin: Callable[[], int] = lambda: self.motion.end() + 1
        self._changed: list[Callable[[int], None]] = []
        self._now: Callable[[], int] = self.motion.end
        self._left: Callable[[int], None] | None = None

    def attach(self, begin: Callable[[], int], now: Callable[[], int], frequency: int) -> None:
        """Say where the tick of a change and the present one come from, and how fast they pass."""
        self.frequency = frequency
        self._begin = begin
        self._now = now

    def subscribe(self, changed: Callable[[int], None]) -> None:
        """Ask to be called with the tick whenever the motion changes."""
        self._changed.append(changed)

    def position(self, tick: int | None = None) -> float:
        """Return the position, in units, now or at a tick."""
        return to_float(self.motion.at(self._now() if tick is None else tick))

    def moving(self, tick: int | None = None) -> bool:
        """Tell whether it moves, now or at a tick."""
        return (self._now() if tick is None else tick) < self.motion.end()

    def check(self, target: float) -> None:
        """Tell whether a move to a position is possible.

        Raises:
            ValueError: the target is outside the limits, or velocity or acceleration is
                not positive, or not finite.
        """
        self._check_place(target, "target")
        if not (0 < self.velocity < math.inf and 0 < self.acceleration < math.inf):
            raise ValueError(
                f"axis {self.name}: velocity {self.velocity} and acceleration "
                f"{self.acceleration} have to be positive and finite"
            )

    def move(self, target: float, tick: int | None = None) -> int:
        """Go to a position; a move that is under way stops first.

        Args:
            target: in units.
            tick: at which it begins, the next one if not given (`World.move` gives
                several axes the same).

        Returns:
            The tick at which it stands on the target.

        Raises:
            ValueError: as for `check`.
        """
        self.check(target)
        tick = self._begin() if tick is None else tick
        pieces = stopping(tick, self.motion, self._acceleration())
        rest, start = (
            (pieces[-1].tick, pieces[-1].start) if pieces else (tick, self.motion.at(tick))
        )
        speed = to_fixed(self.velocity) // self.frequency
        pieces = [
            *pieces[:-1],
            *moving(rest, start, to_fixed(target), max(speed, 1), self._acceleration()),
        ]
        return self._replace(tick, pieces)

    def stop(self, tick: int | None = None) -> int:
        """Brake, from the next tick on or a given one; return the tick at which it stands."""
        tick = self._begin() if tick is None else tick
        pieces = stopping(tick, self.motion, self._acceleration())
        if not pieces and self.motion.end() <= tick and self._left is None:
            return tick
        # where it stands for a moment only, that is for good now
        return self._replace(tick, pieces or [Piece(tick, self.motion.at(tick), 0, 0)])

    def follow(self, tick: int, pieces: list[Piece], left: Callable[[int], None]) -> None:
        """Go along the first part of a path that is planned ahead, whatever the limits are.

        Args:
            tick: at which it begins.
            pieces: the first begins there, the last one is at rest.
            left: called with the tick if the axis is told to do something else.
        """
        self._replace(tick, pieces)
        self._left = left

    def extend(self, pieces: list[Piece]) -> None:
        """Add the next part of a path, before the part that is known comes to its end.

        Whoever looks ahead learns of it by `announce`.
        """
        self.motion.extend(pieces)

    def announce(self, tick: int) -> None:
        """Tell everybody that a part of a path that was added begins at a tick, the next one."""
        for changed in self._changed:
            changed(tick)

    def follows(self, left: Callable[[int], None]) -> bool:
        """Tell whether it is on the path of whoever gave this function to `follow`."""
        return self._left == left

    def arrive(self) -> None:
        """Be at the end of a path."""
        self._left = None

    def place(self, position: float) -> None:
        """Be somewhere else at once.

        Raises:
            ValueError: the position is outside the limits.
        """
        self._check_place(position, "position")
        self.jump(position)

    def jump(self, position: float) -> None:
        """Be somewhere else at once, be it beyond the limits."""
        tick = self._begin()
        self._replace(tick, moving(tick, to_fixed(position), to_fixed(position), 1, 1))

    def _check_place(self, position: float, what: str) -> None:
        low, high = self.limits
        if not (low <= position <= high and math.isfinite(position)):
            raise ValueError(f"axis {self.name}: {what} {position} is outside {low} … {high}")

    def _acceleration(self) -> int:
        return max(to_fixed(self.acceleration) // self.frequency**2, 1)

    def _replace(self, tick: int, pieces: list[Piece]) -> int:
        left, self._left = self._left, None
        self.motion.replace(tick, pieces)
        for changed in self._changed:
            changed(tick)
        if left is not None:
            left(tick)
        return self.motion.end()
