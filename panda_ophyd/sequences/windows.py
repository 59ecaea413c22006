"""A window begins where an axis crosses its lower bound: which axis, which way, at what count.

Pure numpy. Source: flyscan.md 1.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from panda_ophyd.errors import FieldValueError
from panda_ophyd.sequences.frames import Bools, Frames
from panda_ophyd.sequences.lines import Ints, position_trigger

STANDS_STILL_DIGITS = 6
"""Digits of a count that are looked at: less is the arithmetic of a scale, not a motion."""

LEAST, MOST = -(2**31), 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Compares:
    """How some windows begin, ``(w,)`` each.

    Attributes:
        trigger: codes of the compare.
        position: counts, rounded to nearest.
        opposite: codes of the compare the other way, for a guard.
        far: -1 for a window that is crossed upwards (its far side is below), else 1.
        axis: number of the axis among the inputs.
    """

    trigger: Ints
    position: Ints
    opposite: Ints
    far: Ints
    axis: NDArray[np.intp]


def compares(frames: Frames, opens: Bools, inputs: Mapping[str, str], first: int) -> Compares:
    """Return how the windows begin that are opened by some frames.

    The axis is that which moves most counts in the first half of the window's first frame; of
    equals the first among `inputs`. A scale below 0 turns the compare round by itself.

    Args:
        frames: all numbers finite.
        opens: ``(n,)`` bool, of each frame whether a window begins with it.
        inputs: axis name to position input.
        first: index of the first frame, for messages.

    Raises:
        FieldValueError: nothing that moves is connected, nothing moves at all, or a
            position is beyond 32 bits.
    """
    starts = np.flatnonzero(opens)
    axes = [axis for axis in inputs if axis in frames.lower]
    moves = _moves(frames, axes, opens)
    size = np.abs(moves)
    chosen = np.argmax(size, axis=0) if axes else np.zeros(starts.size, np.intp)
    still = size.max(axis=0, initial=0) == 0
    if still.any():
        window = int(np.argmax(still))
        raise _standing(frames, int(starts[window]), first, inputs)
    windows = np.arange(starts.size)
    up = moves[chosen, windows] > 0
    lower = np.array([np.rint(frames.lower[axis][opens]) for axis in axes]).reshape(len(axes), -1)
    position = lower[chosen, windows]
    wrong = ~((position >= LEAST) & (position <= MOST))
    if wrong.any():
        window = int(np.argmax(wrong))
        raise FieldValueError(
            f"frame {first + int(starts[window])} start of {axes[chosen[window]]}",
            float(position[window]),
            "counts of an encoder are 32 bits: look at the scale and offset of the axis",
        )
    rising = np.array([position_trigger(inputs[axis], up=True) for axis in axes], np.int64)
    falling = np.array([position_trigger(inputs[axis], up=False) for axis in axes], np.int64)
    numbers = np.array([list(inputs).index(axis) for axis in axes], np.intp)
    return Compares(
        trigger=np.where(up, rising[chosen], falling[chosen]),
        position=position.astype(np.int64),
        opposite=np.where(up, falling[chosen], rising[chosen]),
        far=np.where(up, -1, 1).astype(np.int64),
        axis=numbers[chosen],
    )


def _moves(frames: Frames, axes: list[str], opens: Bools) -> NDArray[np.float64]:
    """Return ``(axes, windows)`` signed counts in the first half of each first frame."""
    moves = np.empty((len(axes), int(np.count_nonzero(opens))))
    for row, axis in enumerate(axes):
        half = frames.midpoint[axis][opens] - frames.lower[axis][opens]
        moves[row] = np.round(half, STANDS_STILL_DIGITS)
    return moves


def _standing(frames: Frames, at: int, first: int, inputs: Mapping[str, str]) -> FieldValueError:
    one = np.zeros(len(frames), np.bool_)
    one[at] = True
    names = list(frames.lower)
    moving = [axis for axis, move in zip(names, _moves(frames, names, one), strict=True) if move[0]]
    if moving:
        return FieldValueError(
            "inputs",
            dict(inputs),
            f"{' and '.join(moving)} moves at frame {first + at}, where a window begins, but is "
            "connected to no position input: name its input A, B or C, or use a gate",
        )
    return FieldValueError(
        f"frame {first + at} start",
        {axis: float(frames.lower[axis][at]) for axis in names},
        "all axes stand still where a window begins, so no position can start it: use a gate",
    )
