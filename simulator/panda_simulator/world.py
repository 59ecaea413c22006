"""The world around the box: axes with encoders, and levels on its connectors.

Nothing here is polled. A position is a function of the tick; whoever needs to know
when it passes a count asks for that tick.

The standard world has four axes, x, y, z and a, in millimetres, on the encoder inputs
INENC1 … INENC4, with 10 000 counts per millimetre.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from panda_simulator.clock import TICKS_PER_SECOND, Clock
from panda_simulator.motion import ONE, Motion, Piece, moving, stopping, to_fixed, to_float

COUNTS_PER_MM = 10_000
STANDARD_AXES: Mapping[str, int] = {"x": 1, "y": 2, "z": 3, "a": 4}
"""Axis to the number of its INENC."""

Observer: TypeAlias = Callable[[int, int], None]
"""Called with the tick and the level of an output of the box."""

_FRACTION = 32
_SHIFT = 112 + _FRACTION


class Box(Protocol):
    """What the world knows of the box that it surrounds."""

    def begin_change(self) -> int:
        """Catch up with the clock and return the tick at which a change will take effect."""
        ...

    def encoder_changed(self, number: int, tick: int) -> None:
        """Learn that the encoder on INENC `number` goes on differently from a tick on."""
        ...

    def wake_at(self, tick: int) -> None:
        """Let time come to a tick, though no block may have anything to do there."""
        ...

    def level_driven(self, block: str, number: int, level: int) -> None:
        """Learn that an input of the box is driven to a level."""
        ...


class Axis:
    """A motor that moves along trapezoids of speed, exactly and without fail.

    Attributes:
        name: what it is called.
        velocity: at most, in units per second.
        acceleration: in units per second².
        limits: lowest and highest target, in units.
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
        self.motion = Motion(to_fixed(position))
        self._begin: Callable[[], int] = lambda: self.motion.end() + 1
        self._changed: list[Callable[[int], None]] = []
        self._now: Callable[[], int] = self.motion.end

    def attach(self, begin: Callable[[], int], now: Callable[[], int]) -> None:
        """Say where the tick of a change, and the present tick, come from."""
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

    def move(self, target: float, tick: int | None = None) -> int:
        """Go to a position; a move that is under way stops first.

        Args:
            target: in units.
            tick: at which it begins, the next one if not given (`World.move` gives
                several axes the same).

        Returns:
            The tick at which it stands on the target.

        Raises:
            ValueError: the target is outside the limits, or velocity or acceleration is
                not positive.
        """
        low, high = self.limits
        if not low <= target <= high:
            raise ValueError(f"axis {self.name}: target {target} is outside {low} … {high}")
        if self.velocity <= 0 or self.acceleration <= 0:
            raise ValueError(
                f"axis {self.name}: velocity {self.velocity} and acceleration "
                f"{self.acceleration} have to be positive"
            )
        tick = self._begin() if tick is None else tick
        pieces = stopping(tick, self.motion, self._acceleration())
        rest, start = (
            (pieces[-1].tick, pieces[-1].start) if pieces else (tick, self.motion.at(tick))
        )
        speed = to_fixed(self.velocity) // TICKS_PER_SECOND
        pieces = [
            *pieces[:-1],
            *moving(rest, start, to_fixed(target), max(speed, 1), self._acceleration()),
        ]
        return self._replace(tick, pieces)

    def stop(self) -> int:
        """Brake; return the tick at which it stands."""
        tick = self._begin()
        pieces = stopping(tick, self.motion, self._acceleration())
        return self._replace(tick, pieces) if pieces else tick

    def place(self, position: float) -> None:
        """Be somewhere else at once."""
        tick = self._begin()
        self._replace(tick, moving(tick, to_fixed(position), to_fixed(position), 1, 1))

    def _acceleration(self) -> int:
        return max(to_fixed(self.acceleration) // TICKS_PER_SECOND**2, 1)

    def _replace(self, tick: int, pieces: list[Piece]) -> int:
        self.motion.replace(tick, pieces)
        for changed in self._changed:
            changed(tick)
        return self.motion.end()


class Encoder:
    """Counts round(position · counts_per_unit + offset) of an axis, halves rounded up."""

    def __init__(self, axis: Axis, counts_per_unit: float, offset: float = 0.0) -> None:
        """Put an encoder on an axis.

        Args:
            axis: that it measures.
            counts_per_unit: negative if it counts the other way; not 0.
            offset: in counts.

        Raises:
            ValueError: counts_per_unit is too small.
        """
        self.axis = axis
        self._gain = round(counts_per_unit * (1 << _FRACTION))
        if not self._gain:
            raise ValueError(f"encoder of axis {axis.name}: counts_per_unit is {counts_per_unit}")
        self._offset = (to_fixed(offset) << _FRACTION) + (ONE << _FRACTION - 1)

    def at(self, tick: int) -> int:
        """Return the count at a tick (Track.at)."""
        return (self.axis.motion.at(tick) * self._gain + self._offset) >> _SHIFT

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        """Return when the count leaves an interval (Track.leaves)."""
        # count >= n when gain·position >= n·2**shift - offset
        lowest = (low << _SHIFT) - self._offset
        beyond = (high + 1 << _SHIFT) - self._offset
        gain = abs(self._gain)
        if self._gain > 0:
            bounds = -(-lowest // gain), -(-beyond // gain) - 1
        else:
            bounds = -beyond // gain + 1, -lowest // gain
        return self.axis.motion.leaves(tick, *bounds)


class World:
    """Axes, encoders and connectors; made before the box, which attaches itself."""

    def __init__(self, clock: Clock, axes: Mapping[str, int] = STANDARD_AXES) -> None:
        """Make a world of axes at rest at 0.

        Args:
            clock: for the present tick.
            axes: name to the number of the INENC that its encoder is on.
        """
        self._clock = clock
        self._box: Box | None = None
        self._levels: dict[tuple[str, int], int] = {}
        self._observers: dict[tuple[str, int], list[Observer]] = {}
        self.axes: dict[str, Axis] = {}
        self.encoders: dict[int, Encoder] = {}
        for name, number in axes.items():
            self.add_axis(Axis(name))
            self.connect(name, number, COUNTS_PER_MM)

    def add_axis(self, axis: Axis) -> None:
        """Add an axis."""
        axis.attach(self._begin_change, self._clock.now)
        # an axis that nobody watches comes to its end as well
        axis.subscribe(lambda _: self._box.wake_at(axis.motion.end()) if self._box else None)
        self.axes[axis.name] = axis

    def connect(self, axis: str, number: int, counts_per_unit: float, offset: float = 0.0) -> None:
        """Put an encoder on an axis and plug it into INENC `number`, before the box is made.

        Raises:
            KeyError: there is no such axis.
        """
        encoder = Encoder(self.axes[axis], counts_per_unit, offset)
        self.encoders[number] = encoder
        encoder.axis.subscribe(lambda tick: self._moved(number, encoder, tick))

    def move(self, targets: Mapping[str, float]) -> int:
        """Start several axes at the same tick; return when the last one stands.

        Raises:
            KeyError: there is no such axis.
            ValueError: as for `Axis.move`; axes named before that one are under way.
        """
        tick = self._begin_change()
        return max(self.axes[name].move(target, tick) for name, target in targets.items())

    def attach(self, box: Box) -> None:
        """Surround a box."""
        self._box = box

    def drive(self, block: str, number: int, level: int) -> None:
        """Set the level on an input of the box, as ``drive("TTLIN", 1, 1)``."""
        self._levels[block, number] = level
        if self._box:
            self._box.level_driven(block, number, level)

    def level(self, block: str, number: int) -> int:
        """Return the level of an input or output of the box, as last set."""
        return self._levels.get((block, number), 0)

    def observe(self, block: str, number: int, observer: Observer) -> None:
        """Be called whenever an output of the box changes, as ``("TTLOUT", 1, ...)``."""
        self._observers.setdefault((block, number), []).append(observer)

    def output_changed(self, block: str, number: int, tick: int, level: int) -> None:
        """Take the level of an output from the box."""
        self._levels[block, number] = level
        for observer in self._observers.get((block, number), ()):
            observer(tick, level)

    def _begin_change(self) -> int:
        return self._box.begin_change() if self._box else self._clock.now()

    def _moved(self, number: int, encoder: Encoder, tick: int) -> None:
        if self._box and self.encoders.get(number) is encoder:
            self._box.encoder_changed(number, tick)
