"""A scan of scanspec at a sequencer: any length, any durations, masks, and a guard between windows.

Source: flyscan.md 2.2, 3.4, 3.5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ophyd_async.fastcs.panda import PosOutScaleOffset, ScanSpecInfo
from scanspec.specs import Spec  # pyright: ignore[reportMissingTypeStubs]
from typing_extensions import override

from panda_ophyd.errors import FieldValueError
from panda_ophyd.flyers.sequencer import Sequence
from panda_ophyd.flyers.tables import SequenceFlyableLogic
from panda_ophyd.regions import Region, axis_name
from panda_ophyd.scanframes import AxisScale, batches
from panda_ophyd.sequences import (
    Frames,
    GateGuard,
    Guard,
    LineBuilder,
    NoGuard,
    Outputs,
    Placement,
    PositionGuard,
    Rounding,
    SeqLines,
    Timing,
    is_closing_needed,
)

POSITION_INPUTS = "ABC"


@dataclass(frozen=True)
class ScanInfo:
    """A scan of scanspec, with all that can be chosen.

    Attributes:
        spec: its axes are motors or names.
        deadtime: seconds of each frame in which the detector is not live.
        start: frames that are done already, in the region if there is one.
        region: which frames are taken, by their midpoints.
        duration: seconds a frame, of a spec without.
        stepped: whether each frame is a window of its own, which the axes enter from rest.
        placement, rounding: see `panda_ophyd.sequences.Timing`.
    """

    spec: Spec[Any]
    deadtime: float = 0.0
    start: int = 0
    region: Region | None = None
    duration: float | None = None
    stepped: bool = False
    placement: Placement = Placement.END
    rounding: Rounding = Rounding.AUTO


@dataclass
class ScanSpecSeqTableFlyableLogic(SequenceFlyableLogic["ScanSpecInfo | ScanInfo"]):
    """Upstream's logic of this name, of any length, with its wrong data mended.

    Attributes:
        motor_pos_outs: axis of the spec, or its name, to the encoder that follows it.
        guard: between windows. None: the gate where ``seq.bita`` is connected, else the position
            where an axis has an encoder, else none.
        margin: counts beyond the start of a window that count as the far side, if the guard is
            not given.
        outputs: which are high when.
    """

    motor_pos_outs: Mapping[Any, PosOutScaleOffset] = field(default_factory=dict[Any, Any])
    guard: Guard | None = None
    margin: float | Mapping[str, float] = 1.0
    outputs: Outputs = field(default_factory=Outputs)

    @override
    async def play(self, value: ScanSpecInfo | ScanInfo, clock: float) -> Sequence:
        info = value if isinstance(value, ScanInfo) else ScanInfo(value.spec, value.deadtime)
        names = [axis_name(axis) for axis in info.spec.axes()]
        encoders = {axis_name(axis): out for axis, out in self.motor_pos_outs.items()}
        # The axis that moves fastest comes last in a spec, and first at the sequencer
        compared = [name for name in reversed(names) if name in encoders][: len(POSITION_INPUTS)]
        scales = dict(
            zip(
                compared,
                await asyncio.gather(*(scale_of(encoders[n]) for n in compared)),
                strict=True,
            )
        )
        inputs = dict(zip(compared, POSITION_INPUTS, strict=False))
        guard = self.guard or await self._guard(compared)
        survey = await asyncio.to_thread(survey_of, info, scales)
        timing = Timing(
            clock=clock,
            deadtime=info.deadtime,
            placement=info.placement,
            rounding=info.rounding,
            longest_window=survey.longest_window,
        )
        builder = LineBuilder(
            timing,
            inputs=inputs,
            guard=guard,
            outputs=self.outputs,
            closing=is_closing_needed(timing),
            first_frame=info.start,
        )
        return Sequence(
            lines=lines_of_scan(builder, frames_from(info, scales)),
            frames=survey.frames,
            inputs={f"pos{letter.lower()}": encoders[name].name for name, letter in inputs.items()},
        )

    async def _guard(self, compared: Collection[str]) -> Guard:
        bita = getattr(self.seq, "bita", None)
        if bita is not None and str(await bita.get_value()) not in ("ZERO", "ONE", ""):
            return GateGuard(compare=bool(compared))
        return PositionGuard(self.margin) if compared else NoGuard()


async def scale_of(encoder: PosOutScaleOffset) -> AxisScale:
    """Return how an encoder is scaled at the moment.

    Raises:
        FieldValueError: its scale is 0, or no number.
    """
    scale, offset = await asyncio.gather(encoder.scale.get_value(), encoder.offset.get_value())
    try:
        return AxisScale(scale, offset)
    except FieldValueError as error:
        raise FieldValueError(
            f"{encoder.name}.{error.field.upper()}", error.value, "set it first"
        ) from error


def frames_from(info: ScanInfo, scales: Mapping[Any, AxisScale]) -> Iterator[Frames]:
    """Yield the frames of a scan from where it starts, in counts."""
    return batches(
        info.spec,
        scales,
        start=info.start,
        region=info.region,
        duration=info.duration,
        stepped=info.stepped,
    )


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of a scan once it was gone through.

    Attributes:
        frames: from where it starts.
        windows: runs of frames without gap.
        longest_window: frames.
        shortest, longest: seconds of a frame.
    """

    frames: int
    windows: int
    longest_window: int
    shortest: float
    longest: float


def survey_of(info: ScanInfo, scales: Mapping[Any, AxisScale]) -> Survey:
    """Go through a scan once, in constant memory; 2 million frames take about a second.

    Raises:
        FieldValueError: the scan has no frames, or its frames make no sense.
    """
    frames = windows = window = open_since = 0
    shortest, longest = np.inf, 0.0
    for batch in frames_from(info, scales):
        gaps = np.flatnonzero(batch.gap) + frames
        windows += len(gaps)
        if len(gaps):
            ends = np.diff(np.concatenate([[open_since], gaps]))
            window = max(window, int(ends.max()))
            open_since = int(gaps[-1])
        frames += len(batch)
        shortest = min(shortest, float(batch.duration.min()))
        longest = max(longest, float(batch.duration.max()))
    if not frames:
        raise FieldValueError("spec", repr(info.spec), "there is no frame in it to take")
    return Survey(frames, windows, max(window, frames - open_since), shortest, longest)


def lines_of_scan(builder: LineBuilder, frames: Iterable[Frames]) -> Iterator[SeqLines]:
    """Yield the lines of all frames."""
    for batch in frames:
        yield builder.lines(batch)
    yield builder.close()
