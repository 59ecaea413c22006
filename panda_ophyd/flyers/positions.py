"""A pulse at each of a list of positions, however unequal.

Source: flyscan.md 5 (6).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain, repeat

import numpy as np
from numpy.typing import ArrayLike, NDArray
from ophyd_async.fastcs.panda import PosOutScaleOffset
from typing_extensions import override

from panda_ophyd.errors import FieldValueError
from panda_ophyd.flyers.scans import scale_of
from panda_ophyd.flyers.sequencer import Sequence
from panda_ophyd.flyers.tables import SequenceFlyableLogic
from panda_ophyd.scanframes import AxisScale
from panda_ophyd.sequences import (
    CLOCK,
    CLOSING_TICKS,
    Outputs,
    PositionList,
    SeqLines,
    output_mask,
)


@dataclass(frozen=True)
class PositionListInfo:
    """Positions at each of which a pulse is made.

    Attributes:
        positions: in the units of the axis, or in counts where there is no scale.
        pulse: seconds.
        both_ways: whether all are crossed again on the way back.
        repeats: of the whole; between two the axis goes back to before the first.
        ascending: which way the first is crossed; None to take it from the second.
        speed: of the axis, units/s at most, to refuse positions that are too close; None not to.
        start: positions that are done already, of all.
    """

    positions: ArrayLike
    pulse: float = 1e-6
    both_ways: bool = False
    repeats: int = 1
    ascending: bool | None = None
    speed: float | None = None
    start: int = 0


@dataclass
class PositionListFlyableLogic(SequenceFlyableLogic[PositionListInfo]):
    """A pulse at each of a list of positions, however unequal: flyscan.md 5 (6).

    Attributes:
        encoder: that follows the axis; None where ``seq.posa`` is connected already and
            positions are counts.
        margin: counts beyond a turning point that count as the far side.
        guard_first: whether the axis must come from the far side of the very first position.
        outputs: which are high when.
    """

    encoder: PosOutScaleOffset | None = None
    margin: float = 1.0
    guard_first: bool = False
    outputs: Outputs = field(default_factory=Outputs)

    @override
    async def play(self, value: PositionListInfo, clock: float) -> Sequence:
        scale = AxisScale() if self.encoder is None else await scale_of(self.encoder)
        counts, ascending = crossings(value, scale)
        size = len(counts)
        if not 0 <= value.start < size * value.repeats:
            reason = f"there are {size * value.repeats} positions"
            raise FieldValueError("start", value.start, reason)
        passes, into = divmod(value.start, size)
        rest = value.repeats - passes

        def lines_from(first: int, *, guarded: bool) -> SeqLines:
            listed = listed_from(value, counts[first:], scale, clock, up=bool(ascending[first]))
            return replace(
                listed, margin=self.margin, guard_first=guarded, outputs=self.outputs
            ).lines()

        inputs = {} if self.encoder is None else {"posa": self.encoder.name}
        first = lines_from(into, guarded=self.guard_first or (not into and rest > 1))
        closing = SeqLines.of(time2=CLOSING_TICKS, outputs2=output_mask(self.outputs.idle))
        frames = rest * size - into
        later = repeat(lines_from(0, guarded=True), rest - 1)
        return Sequence(chain([first], later, [closing]), frames, inputs=inputs)


def listed_from(
    info: PositionListInfo,
    counts: NDArray[np.float64],
    scale: AxisScale,
    clock: float,
    *,
    up: bool,
) -> PositionList:
    """Return some positions as lines, the first being crossed upwards or not.

    Raises:
        FieldValueError: as `PositionList`.
    """
    return PositionList(
        counts,
        pulse=max(1, round(info.pulse * clock)),
        ascending=up,
        speed=None if info.speed is None else abs(info.speed / scale.scale),
        clock=clock,
    )


def check_list(info: PositionListInfo, scale: AxisScale, clock: float = CLOCK) -> None:
    """Refuse a list that cannot be taken.

    Raises:
        FieldValueError: as `PositionList`.
    """
    counts, ascending = crossings(info, scale)
    listed_from(info, counts, scale, clock, up=bool(ascending[0]))


def crossings(
    info: PositionListInfo, scale: AxisScale
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the counts of one pass in order, and of each whether it is crossed upwards.

    Raises:
        FieldValueError: the list is empty, repeats never, or its first positions tell no way.
    """
    counts = scale.counts(np.asarray(info.positions, np.float64).reshape(-1))
    if not len(counts) or info.repeats < 1:
        raise FieldValueError("positions", info.positions, "there is none to cross")
    steps = np.diff(counts)
    up = info.ascending if scale.scale > 0 or info.ascending is None else not info.ascending
    if up is None:
        if not len(steps) or not steps[0]:
            reason = "the first two positions tell no direction: say which"
            raise FieldValueError("ascending", None, reason)
        up = bool(steps[0] > 0)
    ways = np.concatenate([[up], steps > 0])
    for equal in np.flatnonzero(steps == 0).tolist():
        ways[equal + 1] = not ways[equal]
    if not info.both_ways:
        return counts, ways
    return np.concatenate([counts, counts[::-1]]), np.concatenate([ways, ~ways[::-1]])
