"""Motion of an axis through the windows of a scan: run-up, run-down, limits. Pure functions.

A window is flown at constant velocity; it is reached and left by ramps of constant
acceleration, which lie outside of it.

Source: flyscan.md 1.13, 3.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ophyd_async.core import FlyMotorInfo

from panda_ophyd.encoders.scaling import Encoder
from panda_ophyd.errors import FieldValueError

ROUND = 1e-6
"""Part of a frame by which bounds may miss the straight line: they are computed in floats."""


@dataclass(frozen=True)
class AxisMove:
    """What one axis does in a window.

    Attributes:
        start: lower bound of the first frame, in units of the axis.
        end: upper bound of the last frame.
        duration: seconds from one to the other.
    """

    start: float
    end: float
    duration: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.end)):
            raise FieldValueError("window", (self.start, self.end), "positions are numbers")
        if not (math.isfinite(self.duration) and self.duration > 0):
            raise FieldValueError("duration of a window", self.duration, "it takes some time")

    @property
    def velocity(self) -> float:
        """Units per second, negative if it goes down."""
        return (self.end - self.start) / self.duration

    @property
    def speed(self) -> float:
        """Units per second, never negative."""
        return abs(self.velocity)

    def ramp(self, acceleration_time: float, settle: float = 0.0) -> float:
        """Return the way before or after the window, with the sign of the velocity.

        Args:
            acceleration_time: seconds from rest to the velocity.
            settle: seconds at that velocity outside of the window, for a controller that
                takes some time to follow.
        """
        return self.velocity * (acceleration_time / 2 + settle)

    def run_up_start(self, acceleration_time: float, settle: float = 0.0) -> float:
        """Return where the axis starts, at rest."""
        return self.start - self.ramp(acceleration_time, settle)

    def run_down_end(self, acceleration_time: float, settle: float = 0.0) -> float:
        """Return where the axis comes to rest."""
        return self.end + self.ramp(acceleration_time, settle)

    def guard_margin(self, encoder: Encoder, acceleration_time: float, settle: float = 0.0) -> int:
        """Return by how many counts a position guard may ask the axis to be before the start.

        Half of the run-up, so that it is met for certain, and 1 at least.
        """
        return max(1, math.floor(abs(self.ramp(acceleration_time, settle) / encoder.scale) / 2))

    def fly_info(self) -> FlyMotorInfo:
        """Return the same for a motor that is a flyer by itself."""
        return FlyMotorInfo(
            start_position=self.start, end_position=self.end, time_for_move=self.duration
        )


@dataclass(frozen=True)
class MotionWindow:
    """What every axis does in one window.

    Attributes:
        moves: by name of the axis; one that stands has its start as its end.
        first: index of its first frame in the scan.
        frames: how many there are.
    """

    moves: Mapping[str, AxisMove]
    first: int = 0
    frames: int = 1

    @property
    def duration(self) -> float:
        """Seconds at constant velocity."""
        return max(move.duration for move in self.moves.values())


@dataclass(frozen=True)
class MotorFacts:
    """What a motor says of itself; None for what it does not say.

    Attributes:
        velocity: units per second that it has for its next move.
        acceleration_time: seconds to reach it.
        max_velocity: units per second; None for no limit.
        low, high: limits of travel; None for none.
        units: of its positions, "" if it does not say.
    """

    velocity: float | None = None
    acceleration_time: float | None = None
    max_velocity: float | None = None
    low: float | None = None
    high: float | None = None
    units: str = ""


def acceleration_time(speed: float, acceleration: float) -> float:
    """Return the seconds to reach a speed.

    Args:
        speed: units per second.
        acceleration: units per second per second.

    Raises:
        FieldValueError: it never does.
    """
    if not acceleration > 0:
        raise FieldValueError("acceleration", acceleration, "give one above 0")
    return abs(speed) / acceleration


def check_move(
    axis: str, move: AxisMove, facts: MotorFacts, ramp_time: float, settle: float = 0.0
) -> None:
    """Refuse a window that a motor cannot be flown through.

    Args:
        axis: name in messages.
        move: of the axis.
        facts: of its motor.
        ramp_time: seconds of acceleration.
        settle: see `AxisMove.ramp`.

    Raises:
        FieldValueError: it would leave its limits with run-up or run-down, or is too fast.
    """
    limit = facts.max_velocity
    if limit is not None and move.speed > limit * (1 + ROUND):
        reason = f"{move.speed:.6g} {facts.units}/s is above its {limit:g}; make frames longer"
        raise FieldValueError(f"velocity of {axis}", move.speed, reason)
    places = {
        "run-up": move.run_up_start(ramp_time, settle),
        "run-down": move.run_down_end(ramp_time, settle),
    }
    for name, place in places.items():
        is_low = facts.low is not None and place < facts.low
        is_high = facts.high is not None and place > facts.high
        if is_low or is_high:
            reason = (
                f"with a {name} of {abs(move.ramp(ramp_time, settle)):.6g} the window from "
                f"{move.start:.9g} to {move.end:.9g} leaves its limits, {facts.low} to "
                f"{facts.high}; accelerate faster, go slower, or scan less"
            )
            raise FieldValueError(f"{name} of {axis}", place, reason)


def motion_windows(
    lower: Mapping[str, NDArray[np.float64]],
    upper: Mapping[str, NDArray[np.float64]],
    duration: NDArray[np.float64],
    gap: NDArray[np.bool_],
) -> Iterator[MotionWindow]:
    """Yield the windows of a scan, each a straight line at constant velocity.

    Args:
        lower: where frames begin, by axis, (n,) each, in units of the axis.
        upper: where they end, likewise.
        duration: of frames, (n,) seconds.
        gap: whether a frame begins a window, (n,); the first does whatever it says.

    Raises:
        FieldValueError: an axis does not go at constant velocity within a window: it takes a
            motion controller. Tells axis and frame.
    """
    count = len(duration)
    starts = np.flatnonzero(np.asarray(gap, bool) | (np.arange(count) == 0))
    for first, end in zip(starts, np.append(starts[1:], count), strict=True):
        frames = slice(int(first), int(end))
        times = np.concatenate([[0.0], np.cumsum(duration[frames])])
        moves: dict[str, AxisMove] = {}
        for axis in lower:
            move = AxisMove(
                float(lower[axis][frames][0]), float(upper[axis][frames][-1]), float(times[-1])
            )
            _check_straight(axis, move, lower[axis][frames], upper[axis][frames], times, int(first))
            moves[axis] = move
        yield MotionWindow(moves, int(first), int(end - first))


def _check_straight(
    axis: str,
    move: AxisMove,
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
    times: NDArray[np.float64],
    first: int,
) -> None:
    line = move.start + move.velocity * times
    largest = max(float(np.abs(upper - lower).max()), abs(move.start) * ROUND)
    off = np.maximum(np.abs(lower - line[:-1]), np.abs(upper - line[1:]))
    wrong = np.flatnonzero(off > largest * ROUND)
    if wrong.size:
        index = int(wrong[0])
        reason = (
            f"frame {first + index} goes from {lower[index]:.9g} to {upper[index]:.9g}, where "
            f"constant velocity is from {line[index]:.9g} to {line[index + 1]:.9g}; a motor alone "
            "cannot do that: pass a flyer of a motion controller, or put a gap there"
        )
        raise FieldValueError(f"motion of {axis}", f"{move.velocity:.6g} a second", reason)
