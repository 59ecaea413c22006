"""Which points of a scan are taken: masks by user coordinates. Pure numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from panda_ophyd.errors import FieldValueError

Points: TypeAlias = Mapping[Any, NDArray[np.float64]]
"""Axis, as the spec has it, to ``(n,)`` midpoints in its own units."""

Region: TypeAlias = Callable[[Points], NDArray[np.bool_]]
"""Which of some points are taken, ``(n,)``."""


def coordinate(points: Points, axis: Any) -> NDArray[np.float64]:
    """Return the midpoints of an axis, which may be the axis of the spec or its name.

    Raises:
        FieldValueError: the scan has no such axis.
    """
    for own, values in points.items():
        if own is axis or axis_name(own) == axis_name(axis):
            return values
    names = ", ".join(axis_name(own) for own in points) or "none"
    raise FieldValueError("axis of a region", axis_name(axis), f"the scan has {names}")


def axis_name(axis: Any) -> str:
    """Return the name of an axis: a string is its own, a device has one."""
    return axis if isinstance(axis, str) else str(getattr(axis, "name", axis))


@dataclass(frozen=True, slots=True)
class Circle:
    """The points in a circle and on its edge: ``Circle("x", "y", 1.0, 2.8, 0.5)``.

    Raises:
        FieldValueError: the radius is not positive, or a number is none.
    """

    x_axis: Any
    y_axis: Any
    x_middle: float
    y_middle: float
    radius: float

    def __post_init__(self) -> None:
        if not 0 < self.radius < np.inf or not np.isfinite(self.x_middle + self.y_middle):
            raise FieldValueError("circle", self, "it needs a middle, and a radius above 0")

    def __call__(self, points: Points) -> NDArray[np.bool_]:
        """Return which points are in it."""
        x = coordinate(points, self.x_axis) - self.x_middle
        y = coordinate(points, self.y_axis) - self.y_middle
        # a grid point on the edge is in, whichever way its arithmetic was rounded
        return np.hypot(x, y) <= self.radius * (1 + 1e-12)


@dataclass(frozen=True, slots=True)
class Rectangle:
    """The points in a rectangle and on its edge.

    Raises:
        FieldValueError: a minimum is above its maximum, or a number is none.
    """

    x_axis: Any
    y_axis: Any
    x_min: float
    y_min: float
    x_max: float
    y_max: float

    def __post_init__(self) -> None:
        if not (self.x_min <= self.x_max and self.y_min <= self.y_max):
            raise FieldValueError("rectangle", self, "each minimum is at most its maximum")

    def __call__(self, points: Points) -> NDArray[np.bool_]:
        """Return which points are in it."""
        x, y = coordinate(points, self.x_axis), coordinate(points, self.y_axis)
        return (x >= self.x_min) & (x <= self.x_max) & (y >= self.y_min) & (y <= self.y_max)
