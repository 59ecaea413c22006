"""Frames by the clock alone, at once or when a gate opens.

Source: flyscan.md 5, S1, S2, S9.
"""

from __future__ import annotations

import collections.abc
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from typing import TypeAlias

import numpy as np
from typing_extensions import override

from panda_ophyd.errors import FieldValueError
from panda_ophyd.flyers.sequencer import Sequence
from panda_ophyd.flyers.tables import SequenceFlyableLogic
from panda_ophyd.sequences import (
    CLOSING_TICKS,
    Frames,
    GateGuard,
    Guard,
    LineBuilder,
    NoGuard,
    Outputs,
    SeqLines,
    Timing,
    bit_trigger,
    output_mask,
)

Groups: TypeAlias = collections.abc.Sequence[tuple[int, float, float]]
"""(frames, live, dead): how many, and seconds of each."""


@dataclass(frozen=True)
class TimeInfo:
    """Frames by the clock alone.

    Attributes:
        groups: (frames, live, dead): how many, and seconds of each.
        repeats: of all groups.
        start: frames that are done already.
    """

    groups: Groups
    repeats: int = 1
    start: int = 0

    @property
    def frames(self) -> int:
        """Frames in all."""
        return sum(frames for frames, _, _ in self.groups) * self.repeats


@dataclass
class TimeResolvedFlyableLogic(SequenceFlyableLogic[TimeInfo]):
    """Groups of frames with times of their own, at once or when a gate opens.

    Attributes:
        guard: what each pass through the groups waits for: `NoGuard`, or a `GateGuard`.
        outputs: which are high when.
    """

    guard: Guard = field(default_factory=NoGuard)
    outputs: Outputs = field(default_factory=Outputs)

    @override
    async def play(self, value: TimeInfo, clock: float) -> Sequence:
        one_pass = sum(frames for frames, _, _ in value.groups)
        if not one_pass or value.repeats < 1:
            raise FieldValueError("groups", value.groups, "there is no frame in them to take")
        if not 0 <= value.start < value.frames:
            raise FieldValueError("start", value.start, f"there are {value.frames} frames")
        passes, into = divmod(value.start, one_pass)
        rest = value.repeats - passes
        first = time_lines(value.groups, into, clock, self.guard, self.outputs)
        whole = time_lines(value.groups, 0, clock, self.guard, self.outputs)
        closing = self._closing(value.groups[-1][2] * clock)
        if not into and not len(closing):
            return Sequence(iter([whole]), one_pass * rest, rest)
        passes_left = chain([first], repeat(whole, rest - 1), [closing])
        return Sequence(passes_left, one_pass * rest - into)

    def _closing(self, dead: float) -> SeqLines:
        """Return what keeps PCAP enabled long enough after the last trigger, if anything has to."""
        if dead >= CLOSING_TICKS or isinstance(self.guard, GateGuard):
            return SeqLines.empty()
        return SeqLines.of(time2=CLOSING_TICKS, outputs2=output_mask(self.outputs.idle))


def time_lines(
    groups: Groups,
    start: int,
    clock: float,
    guard: Guard,
    outputs: Outputs,
) -> SeqLines:
    """Return one pass through groups of frames.

    Args:
        groups: (frames, live, dead), seconds.
        start: frames of the pass that are done already.
        clock: ticks a second.
        guard: before the pass.
        outputs: which are high when.

    Raises:
        FieldValueError: a time cannot be played.
    """
    parts: list[SeqLines] = []
    ends = np.cumsum([frames for frames, _, _ in groups])
    for (frames, live, dead), end in zip(groups, ends.tolist(), strict=True):
        left = min(frames, end - start)
        if left > 0:
            builder = LineBuilder(
                Timing(clock=clock, deadtime=dead, longest_window=left),
                guard=NoGuard() if parts else _opening(guard),
                outputs=outputs,
                closing=False,
            )
            parts += [builder.lines(Frames.timed([live + dead] * left)), builder.close()]
    if isinstance(guard, GateGuard) and guard.last:
        low = bit_trigger(guard.bit, 0)
        parts.append(SeqLines.of(trigger=low, outputs2=output_mask(outputs.idle)))
    return SeqLines.concat(parts)


def _opening(guard: Guard) -> Guard:
    return replace(guard, last=False) if isinstance(guard, GateGuard) else guard
