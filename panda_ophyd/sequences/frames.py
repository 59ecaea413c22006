"""Frames of a scan in encoder counts: what a window is made of, not yet rounded.

Pure numpy. Source: flyscan.md 1.2, 3.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from panda_ophyd.errors import FieldValueError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """A batch of frames, in order.

    Attributes:
        lower: axis name to ``(n,)`` float64 counts where each frame begins; no axes at all for
            a scan in time only.
        midpoint: same axes, where its middle is.
        upper: same axes, where it ends.
        gap: ``(n,)`` bool, whether a frame does not begin where the one before it ended. That
            of a later batch's first frame tells a continuation from a new window.
        duration: ``(n,)`` float64 s.

    Raises:
        ValueError: the arrays are of different lengths or the axes differ.
    """

    lower: Mapping[str, Floats]
    midpoint: Mapping[str, Floats]
    upper: Mapping[str, Floats]
    gap: Bools
    duration: Floats

    def __post_init__(self) -> None:
        if not self.lower.keys() == self.midpoint.keys() == self.upper.keys():
            raise ValueError("the bounds and midpoints of frames are of different axes")
        columns = [self.gap, self.duration, *(c for _, c in self._positions())]
        if any(column.shape != (len(self),) for column in columns):
            raise ValueError(f"columns of {len(self)} frames have {[c.shape for c in columns]}")

    @classmethod
    def timed(cls, duration: Floats | list[float]) -> Frames:
        """Return frames without axes, one directly after the other."""
        times = np.asarray(duration, np.float64)
        return cls({}, {}, {}, np.zeros(times.shape, np.bool_), times)

    def __len__(self) -> int:
        return self.gap.size

    def __getitem__(self, frames: slice | Bools) -> Frames:
        return Frames(
            {axis: column[frames] for axis, column in self.lower.items()},
            {axis: column[frames] for axis, column in self.midpoint.items()},
            {axis: column[frames] for axis, column in self.upper.items()},
            self.gap[frames],
            self.duration[frames],
        )

    def parts(self, size: int) -> Iterator[Frames]:
        """Yield the same frames, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self if len(self) <= size else self[start : start + size]

    def check(self, first: int) -> None:
        """See that all numbers are numbers.

        Args:
            first: index of the first frame in the scan, for the message.

        Raises:
            FieldValueError: one is infinite or NaN, or a duration is not positive.
        """
        for what, column in self._positions():
            wrong = ~np.isfinite(column)
            if wrong.any():
                at = int(np.argmax(wrong))
                raise FieldValueError(
                    f"frame {first + at} {what}", float(column[at]), "a position is a finite number"
                )
        wrong = ~(np.isfinite(self.duration) & (self.duration > 0))
        if wrong.any():
            at = int(np.argmax(wrong))
            raise FieldValueError(
                f"frame {first + at} duration",
                float(self.duration[at]),
                "a duration is a finite number of seconds above 0",
            )

    def _positions(self) -> Iterator[tuple[str, Floats]]:
        for what in ("lower", "midpoint", "upper"):
            for axis, column in getattr(self, what).items():
                yield f"{what} of {axis}", column
