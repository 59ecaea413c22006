"""What axes do in a window, as plain data: straight lines at constant velocity, or points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = Sequence[float] | NDArray[np.floating[Any]]


class StraightMove(Protocol):
    """What one axis does in a window of straight lines."""

    @property
    def start(self) -> float:
        """Position at the start of the first frame."""
        ...

    @property
    def end(self) -> float:
        """Position at the end of the last frame."""
        ...


@runtime_checkable
class StraightWindow(Protocol):
    """A window in which every axis goes at constant velocity; anything that looks like it."""

    @property
    def moves(self) -> Mapping[str, StraightMove]:
        """What each axis does; one that stands starts where it ends."""
        ...

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        ...


@runtime_checkable
class SampledWindow(Protocol):
    """A window along points; anything that looks like it."""

    @property
    def times(self) -> Numbers:
        """Seconds of the points, the first one is 0."""
        ...

    @property
    def positions(self) -> Mapping[str, Numbers]:
        """Positions of each axis at these times."""
        ...


AnyWindow: TypeAlias = StraightWindow | SampledWindow


@dataclass(frozen=True)
class Move:
    """What one axis does in a `Window`.

    Attributes:
        start: position at the start of the first frame, in units of the axis.
        end: position at the end of the last frame.
    """

    start: float
    end: float


@dataclass(frozen=True)
class Window:
    """A window of straight lines.

    Attributes:
        moves: what each axis does.
        duration: seconds at constant velocity.
    """

    moves: Mapping[str, Move]
    duration: float

    @classmethod
    def of(cls, duration: float, **ends: tuple[float, float]) -> Self:
        """Make one of pairs of positions, ``Window.of(2.0, x=(0, 1), y=(3, 3))``."""
        return cls({name: Move(*pair) for name, pair in ends.items()}, duration)


@dataclass(frozen=True)
class Curve:
    """A window along points, which are passed exactly, at the tick nearest to their time.

    Between two points the velocity changes evenly to one in the middle, and from there evenly
    to that of the next point.

    Attributes:
        times: (n,) seconds, rising; the first is 0, the last the duration. Two or more.
        positions: (n,) of each axis, in its units.
        velocities: (n,) of each axis, in units per second. An axis that is not named has at
            each point that of the parabola through it and its neighbours.
        linear: straight from point to point instead, at a velocity that changes at once.
    """

    times: Numbers
    positions: Mapping[str, Numbers]
    velocities: Mapping[str, Numbers] | None = None
    linear: bool = False
