"""A pulse at each of a list of positions, however unequal.

Source: flyscan.md 5 (6).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from ophyd_async.fastcs.panda import PosOutScaleOffset
from typing_extensions import override

from panda_ophyd.flyers.scans import scale_of
from panda_ophyd.flyers.sequencer import Sequence
from panda_ophyd.flyers.tables import SequenceFlyableLogic
from panda_ophyd.scanframes import AxisScale
from panda_ophyd.sequences import Outputs, PositionList


@dataclass(frozen=True)
class PositionListInfo:
    """Positions at each of which a pulse is made.

    Attributes:
        positions: in the units of the axis, or in counts where there is no scale.
        pulse: seconds.
        both_ways: whether all are crossed again on the way back.
        repeats: of the whole.
        ascending: which way the first is crossed; None to take it from the second.
        speed: of the axis, units/s at most, to refuse positions that are too close; None not to.
    """

    positions: ArrayLike
    pulse: float = 1e-6
    both_ways: bool = False
    repeats: int = 1
    ascending: bool | None = None
    speed: float | None = None


@dataclass
class PositionListFlyableLogic(SequenceFlyableLogic[PositionListInfo]):
    """A pulse at each of a list of positions, however unequal: flyscan.md 5 (6).

    Attributes:
        encoder: that follows the axis; None where ``seq.posa`` is connected already and
            positions are counts.
        margin: counts beyond a turning point that count as the far side.
        outputs: which are high when.
    """

    encoder: PosOutScaleOffset | None = None
    margin: float = 1.0
    guard_first: bool = False
    outputs: Outputs = field(default_factory=Outputs)

    @override
    async def play(self, value: PositionListInfo, clock: float) -> Sequence:
        scale = AxisScale() if self.encoder is None else await scale_of(self.encoder)
        ascending = value.ascending
        if ascending is not None and scale.scale < 0:
            ascending = not ascending
        listed = PositionList(
            scale.counts(np.asarray(value.positions, np.float64)),
            pulse=max(1, round(value.pulse * clock)),
            both_ways=value.both_ways,
            repeats=value.repeats,
            margin=self.margin,
            guard_first=self.guard_first,
            ascending=ascending,
            speed=None if value.speed is None else abs(value.speed / scale.scale),
            clock=clock,
            outputs=self.outputs,
        )
        lines = listed.lines()
        return Sequence(
            iter([lines]),
            int(lines.frames.sum()) * value.repeats,
            value.repeats,
            {} if self.encoder is None else {"posa": self.encoder.name},
        )
