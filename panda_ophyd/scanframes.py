"""Scans of scanspec become frames in encoder counts here, a batch at a time.

The only module below the devices that knows scanspec. Source: flyscan.md 2.2 (3, 4), 3.4, 3.6.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scanspec.core import Path, Slice  # pyright: ignore[reportMissingTypeStubs]
from scanspec.specs import Spec  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.errors import FieldValueError
from panda_ophyd.regions import Region, axis_name
from panda_ophyd.sequences import Frames

BATCH = 20_000


@dataclass(frozen=True, slots=True)
class AxisScale:
    """How an axis reads its encoder: position = counts * scale + offset.

    Raises:
        FieldValueError: the scale is 0, or a number is none.
    """

    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.scale) or self.scale == 0:
            raise FieldValueError("scale", self.scale, "it is units a count, and not 0")
        if not np.isfinite(self.offset):
            raise FieldValueError("offset", self.offset, "it is where the encoder reads 0")

    def counts(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return positions in counts, not rounded."""
        return (np.asarray(positions, np.float64) - self.offset) / self.scale


def frames_of(
    part: Slice[Any], axes: Mapping[Any, AxisScale], *, duration: float | None = None
) -> Frames:
    """Return a slice of a scan as frames.

    Args:
        part: what `Path.consume` gives.
        axes: axis, as in the spec or by name, to its scale. An axis that is not here stays in
            its own units: it can move or stand, but not be compared.
        duration: seconds a frame, for a spec without.

    Raises:
        FieldValueError: the spec has no duration and none is given, or both.
    """
    scales = {axis_name(axis): scale for axis, scale in axes.items()}
    return Frames(
        *(
            {
                axis_name(axis): scales.get(axis_name(axis), AxisScale()).counts(positions)
                for axis, positions in bounds.items()
            }
            for bounds in (part.lower, part.midpoints, part.upper)
        ),
        gap=np.array(part.gap, np.bool_),
        duration=_durations(part, duration),
    )


def _durations(part: Slice[Any], duration: float | None) -> NDArray[np.float64]:
    if part.duration is None:
        if duration is None:
            raise FieldValueError("duration", None, "the spec has none: write Fly(0.1 @ spec)")
        return np.full(len(part), duration, np.float64)
    if duration is not None:
        raise FieldValueError("duration", duration, "the spec has one of its own")
    return np.asarray(part.duration, np.float64)


def batches(
    scan: Path[Any] | Spec[Any],
    axes: Mapping[Any, AxisScale],
    *,
    size: int = BATCH,
    start: int = 0,
    region: Region | None = None,
    duration: float | None = None,
    stepped: bool = False,
) -> Iterator[Frames]:
    """Yield the frames of a scan, at most `size` of the spec at a time.

    The first frame has a gap before it. A region drops frames; what follows a dropped one has
    a gap before it. A batch may be empty of frames and is then not yielded.

    Args:
        scan: a spec, or what is left of a path, which is consumed.
        axes: as in `frames_of`.
        size: frames at a time.
        start: frames that are taken and done already: of those in the region, if there is one.
        region: which frames are taken, by their midpoints.
        duration: seconds a frame, for a spec without.
        stepped: whether each frame is a window of its own.

    Raises:
        FieldValueError: as in `frames_of`; `size` is less than 1, `start` less than 0 or beyond
            the last frame.
    """
    if size < 1:
        raise FieldValueError("size", size, "a batch has a frame at least")
    path = Path(scan.calculate()) if isinstance(scan, Spec) else scan
    if start < 0 or start > len(path):
        raise FieldValueError("start", start, f"the scan has {len(path)} frames")
    skip = start
    if region is None:
        # no need to make what is thrown away
        path.index += start
        skip = 0
    fresh = True
    while len(path):
        part = path.consume(size)
        frames = frames_of(part, axes, duration=duration)
        if stepped:
            frames.gap[:] = True
        if fresh:
            frames.gap[0] = True
        if region is None:
            fresh = False
        else:
            taken = np.broadcast_to(np.asarray(region(part.midpoints), np.bool_), len(frames))
            frames, skip, fresh = _masked(frames, taken, skip, dropped=fresh)
        if len(frames):
            yield frames
    if skip:
        raise FieldValueError("start", start, f"the region has only {start - skip} frames")


def _masked(
    frames: Frames, taken: NDArray[np.bool_], skip: int, *, dropped: bool
) -> tuple[Frames, int, bool]:
    """Return the frames taken beyond the first `skip`, what is left to skip, if the last fell."""
    inside = np.cumsum(taken)
    kept = taken & (inside > skip)
    before = np.concatenate([[dropped], ~kept[:-1]])
    frames.gap[before] = True
    return frames[kept], max(0, skip - int(inside[-1])), not kept[-1]
