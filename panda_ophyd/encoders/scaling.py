"""Counts of an encoder and positions of an axis: a straight line, its fit, and how two disagree.

Pure arithmetic. ``position = counts * scale + offset``, as the PandA itself scales.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import override

from panda_ophyd.errors import FieldValueError

_LIMIT = 1 << 31

FEW = 2
"""Readings that a line needs."""


@dataclass(frozen=True)
class Encoder:
    """How a position on the wire follows an axis.

    Attributes:
        target: ``INENC1.VAL``, or any other position (COUNTER1.OUT, PGEN1.OUT, CALC1.OUT).
        scale: units of the axis to a count; negative if it counts down when the axis goes up.
        offset: position of the axis at 0 counts.
        units: of the axis.

    Raises:
        FieldValueError: the scale is 0, or a number is none.
    """

    target: str
    scale: float
    offset: float = 0.0
    units: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale) or self.scale == 0:
            reason = "say how far the axis goes with a count, negative if it counts down"
            raise FieldValueError(f"{self.target}.SCALE", self.scale, reason)
        if not math.isfinite(self.offset):
            raise FieldValueError(f"{self.target}.OFFSET", self.offset, "it is no number")

    @overload
    def counts(self, position: float) -> float: ...
    @overload
    def counts(self, position: NDArray[np.float64]) -> NDArray[np.float64]: ...
    def counts(self, position: float | NDArray[np.float64]) -> float | NDArray[np.float64]:
        """Return where the encoder is when the axis is at a position, not rounded."""
        return (position - self.offset) / self.scale

    @overload
    def position(self, counts: float) -> float: ...
    @overload
    def position(self, counts: NDArray[np.float64]) -> NDArray[np.float64]: ...
    def position(self, counts: float | NDArray[np.float64]) -> float | NDArray[np.float64]:
        """Return where the axis is when the encoder reads counts."""
        return counts * self.scale + self.offset

    def nearest(self, position: float) -> int:
        """Return the nearest whole count.

        Raises:
            FieldValueError: it is none of the 32 bits that an encoder has.
        """
        counts = self.counts(position)
        if not -_LIMIT <= counts < _LIMIT - 0.5:
            reason = (
                f"that is {counts:.10g} counts, more than 32 bits hold, with a scale of "
                f"{self.scale:g} and an offset of {self.offset:g}; is the scale right?"
            )
            raise FieldValueError(self.target, position, reason)
        return round(counts)


@dataclass(frozen=True)
class Calibration:
    """A line through readings of an axis and its encoder.

    Attributes:
        scale, offset: of the line.
        positions: where the axis was, (n,).
        counts: what the encoder read, (n,).
    """

    scale: float
    offset: float
    positions: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def residuals(self) -> tuple[float, ...]:
        """Position minus the line's, in units of the axis, (n,)."""
        pairs = zip(self.positions, self.counts, strict=True)
        return tuple(place - (count * self.scale + self.offset) for place, count in pairs)

    @property
    def worst(self) -> float:
        """The largest residual, without its sign."""
        return max(abs(residual) for residual in self.residuals)

    def encoder(self, target: str, units: str = "") -> Encoder:
        """Return the encoder that this line describes."""
        return Encoder(target, self.scale, self.offset, units)

    @override
    def __str__(self) -> str:
        worst = self.worst
        return (
            f"SCALE {self.scale:.9g}, OFFSET {self.offset:.9g}, from {len(self.counts)} positions; "
            f"largest residual {worst:.3g} ({abs(worst / self.scale):.2g} counts)"
        )


def fit(positions: Sequence[float], counts: Sequence[float], target: str = "") -> Calibration:
    """Return the line of least squares through readings.

    Raises:
        FieldValueError: fewer than two different positions, or an encoder that did not move.
    """
    places, read = np.asarray(positions, float), np.asarray(counts, float)
    if places.shape != read.shape or len(set(positions)) < FEW:
        raise FieldValueError("positions", tuple(positions), "give two different ones at least")
    if np.ptp(read) == 0:
        reason = (
            f"the axis went from {places.min():g} to {places.max():g} and the encoder did not "
            "move: is it the right input, with the right PROTOCOL, and plugged in?"
        )
        raise FieldValueError(target or "counts", read[0].item(), reason)
    # About their means: counts of an absolute encoder are large, and so would be their squares.
    middle_count, middle = read.mean(), places.mean()
    apart = read - middle_count
    scale = float(apart @ (places - middle) / (apart @ apart))
    if scale == 0:
        raise FieldValueError("positions", tuple(positions), "they have nothing to do with counts")
    offset = float(middle - scale * middle_count)
    return Calibration(scale, offset, tuple(places.tolist()), tuple(read.tolist()))


def disagreement(
    encoder: Encoder, positions: Sequence[float], counts: Sequence[float], tolerance: float
) -> str:
    """Return what is wrong with an encoder's scale and offset and what to set, "" if nothing.

    Args:
        encoder: as it is set.
        positions: where the axis said it was, one or more.
        counts: what the encoder read there.
        tolerance: in units of the axis.
    """
    read = [encoder.position(count) for count in counts]
    apart = [there - place for place, there in zip(positions, read, strict=True)]
    if max(abs(value) for value in apart) <= tolerance:
        return ""
    worst = max(range(len(apart)), key=lambda index: abs(apart[index]))
    units = f" {encoder.units}" if encoder.units else ""
    seen = (
        f"at {positions[worst]:.9g}{units} the encoder reads {counts[worst]:.10g} counts, which is "
        f"{read[worst]:.9g}{units} with SCALE {encoder.scale:.9g} and OFFSET {encoder.offset:.9g}"
    )
    travel = max(positions) - min(positions)
    if travel <= tolerance or max(counts) == min(counts):
        return f"{seen}, {abs(apart[worst]):.6g}{units} off; {_at_one_place(encoder, positions[worst], counts[worst], tolerance)}"  # noqa: E501
    found = fit(positions, counts, encoder.target)
    return f"{seen}; {_over_a_travel(encoder, found, travel, tolerance)}"


def _at_one_place(encoder: Encoder, position: float, counts: float, tolerance: float) -> str:
    offset = position - counts * encoder.scale
    advice = (
        f"set OFFSET to {offset:.9g}, or the encoder's set-point SETP to "
        f"{round(encoder.counts(position))}, if scale and sign are right"
    )
    mirrored = -encoder.scale * counts + encoder.offset
    if abs(mirrored - position) <= tolerance:
        return f"with the other sign it would agree: set SCALE to {-encoder.scale:.9g}"
    return f"{advice}; `calibrate` finds all three by moving the axis"


def _over_a_travel(encoder: Encoder, found: Calibration, travel: float, tolerance: float) -> str:
    line = f"SCALE to {found.scale:.9g} and OFFSET to {found.offset:.9g}"
    # What a scale is off by, over the travel that was looked at
    lean = abs(found.scale / encoder.scale - 1) * travel
    opposite = abs(found.scale / encoder.scale + 1) * travel
    if found.worst > tolerance:
        return (
            f"no scale and offset make them agree: the best, {found}, leaves more than the "
            f"tolerance of {tolerance:g}; does this encoder belong to the axis, and does the axis "
            "stand when it is read?"
        )
    if lean <= tolerance:
        return f"the offset is wrong: set OFFSET to {found.offset:.9g}"
    if opposite <= tolerance:
        return f"the sign is wrong: set {line}"
    if found.scale * encoder.scale < 0:
        return f"the sign and the scale are wrong: set {line}"
    return f"the scale is wrong: set {line}"


def average(readings: ArrayLike) -> float:
    """Return the mean of readings, for an encoder that flickers."""
    return float(np.mean(np.asarray(readings, float)))
