"""Frames of a scan as lines of a sequencer: pure numpy, no I/O, no framework, constant memory."""

from __future__ import annotations

from panda_ophyd.sequences.builder import CLOSING_TICKS, LineBuilder, is_closing_needed
from panda_ophyd.sequences.frames import Frames
from panda_ophyd.sequences.lines import SeqLines, Trigger, bit_trigger, position_trigger
from panda_ophyd.sequences.options import (
    GateGuard,
    Guard,
    NoGuard,
    Outputs,
    PositionGuard,
    TimeGuard,
    output_mask,
)
from panda_ophyd.sequences.positions import PositionList
from panda_ophyd.sequences.progress import SeqState, SequenceProgress
from panda_ophyd.sequences.timing import CLOCK, Placement, Rounding, Timing

__all__ = [
    "CLOCK",
    "CLOSING_TICKS",
    "Frames",
    "GateGuard",
    "Guard",
    "LineBuilder",
    "NoGuard",
    "Outputs",
    "Placement",
    "PositionGuard",
    "PositionList",
    "Rounding",
    "SeqLines",
    "SeqState",
    "SequenceProgress",
    "TimeGuard",
    "Timing",
    "Trigger",
    "bit_trigger",
    "is_closing_needed",
    "output_mask",
    "position_trigger",
]
