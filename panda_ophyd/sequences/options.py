"""What may be chosen about lines: outputs, and the guard before a window.

Source: flyscan.md 3.5; blocks.md 5.10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from panda_ophyd.errors import FieldValueError
from panda_ophyd.sequences.lines import OUTPUTS, bit_trigger


def output_mask(letters: str) -> int:
    """Return the bits of outputs named by letters, ``"AC"`` is 5.

    Raises:
        FieldValueError: a letter names no output.
    """
    for letter in letters:
        if letter not in OUTPUTS:
            raise FieldValueError("outputs", letters, f"a sequencer has the outputs {OUTPUTS}")
    return sum({1 << OUTPUTS.index(letter) for letter in letters})


@dataclass(frozen=True, slots=True)
class Outputs:
    """Which outputs are high when, as letters: ``live="A", dead="B"``.

    Attributes:
        live: while the detector is live.
        dead: in the dead part of a frame.
        idle: while a window is waited for.
        first: besides, in the live part of the first frame of the scan.
        last: besides, in the live part of its last frame (of its last line, if it takes several).

    Raises:
        FieldValueError: a letter names no output, or live could not be told from the others.
    """

    live: str = "A"
    dead: str = ""
    idle: str = ""
    first: str = ""
    last: str = ""

    def __post_init__(self) -> None:
        live = output_mask(self.live)
        for name in ("dead", "idle"):
            if live == output_mask(getattr(self, name)):
                raise FieldValueError(
                    "live outputs", self.live, f"the {name} ones are the same: nothing would change"
                )
        output_mask(self.first + self.last)


@dataclass(frozen=True, slots=True)
class NoGuard:
    """Nothing before a window but its own compare."""


@dataclass(frozen=True, slots=True)
class GateGuard:
    """A wire of the motion controller that is high in a window and low between windows.

    Attributes:
        bit: the input BITA, BITB or BITC that it is connected to.
        first: whether it must have been low before the first window too.
        compare: whether a window waits for its position as well once the gate is high.
        last: whether it must fall at the end, so that the table can be repeated.

    Raises:
        FieldValueError: there is no such input.
    """

    bit: str = "A"
    first: bool = False
    compare: bool = False
    last: bool = False

    def __post_init__(self) -> None:
        bit_trigger(self.bit, 1)


@dataclass(frozen=True, slots=True)
class PositionGuard:
    """The axis must have been on the far side of the start before it counts as crossed.

    Attributes:
        margin: counts beyond the start, of every axis or by axis name; less than what the
            motion runs up, at least 1.
        first: whether before the first window too.

    Raises:
        FieldValueError: a margin is less than a count, or no number.
    """

    margin: float | Mapping[str, float] = 1.0
    first: bool = False

    def __post_init__(self) -> None:
        margins = self.margin if isinstance(self.margin, Mapping) else {"": self.margin}
        for axis, margin in margins.items():
            if not 1 <= margin < np.inf:
                raise FieldValueError(
                    f"margin {axis}".strip(), margin, "it is a count or more, of the run-up"
                )

    def margin_of(self, axis: str) -> int:
        """Return the margin of an axis in whole counts.

        Raises:
            FieldValueError: it has none.
        """
        if not isinstance(self.margin, Mapping):
            return round(self.margin)
        if axis not in self.margin:
            raise FieldValueError("margin", dict(self.margin), f"give one for {axis} too")
        return round(self.margin[axis])


@dataclass(frozen=True, slots=True)
class TimeGuard:
    """A time after a window in which nothing can start: the turnaround, as it was planned.

    Attributes:
        seconds: from the end of a window.
        first: whether before the first window too.

    Raises:
        FieldValueError: it is not a positive number.
    """

    seconds: float = field(default=0.0)
    first: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.seconds < np.inf:
            raise FieldValueError("guard time", self.seconds, "it is a positive number of seconds")


Guard: TypeAlias = NoGuard | GateGuard | PositionGuard | TimeGuard
