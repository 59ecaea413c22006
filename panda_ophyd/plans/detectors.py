"""Detectors of a scan: each is triggered by the sequencer itself, or by a PULSE of its own.

Source: flyscan.md 1.9, 1.10, 4.7, S8.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (bluesky leaves the parameters of its generics open in these calls)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bluesky.utils import MsgGenerator
from ophyd_async.core import DetectorTrigger, TriggerInfo

from panda_ophyd.errors import FieldValueError
from panda_ophyd.plans.flight import Triggered
from panda_ophyd.wires import PulseTrain, Wires, detector_pulses
from panda_ophyd.wires.stubs import await_plan

TICK = 8e-9
"""Seconds that a PandA needs between two frames."""


@dataclass(frozen=True)
class Exposures:
    """How detectors are triggered.

    Attributes:
        frames_per_event: exposures of a detector in each frame, 1 if it is not here.
        pulses: detector to the number of the PULSE that triggers it; a detector that is not here
            is triggered by the sequencer's OUTA.
        outputs: detector to the connector it is on, ``TTLOUT1``; for those with a PULSE.
        exposure: detector to seconds of one exposure; what fits if it is not here.
        accuracy: ppm by which the clocks of detector and PandA may differ.
    """

    frames_per_event: Mapping[Any, int] = field(default_factory=dict[Any, int])
    pulses: Mapping[Any, int] = field(default_factory=dict[Any, int])
    outputs: Mapping[Any, str] = field(default_factory=dict[Any, str])
    exposure: Mapping[Any, float] = field(default_factory=dict[Any, float])
    accuracy: float = 0.0


@dataclass(frozen=True)
class Negotiated:
    """What detectors have said of themselves.

    Attributes:
        deadtimes: detector to seconds, None if it does not need any.
        triggers: detector to the ways in which it can be triggered.
    """

    deadtimes: Mapping[Any, float | None]
    triggers: Mapping[Any, frozenset[DetectorTrigger]]

    def deadtime(self, detectors: Sequence[Any]) -> float:
        """Return the longest of some detectors, a tick at least."""
        return max([TICK, *(self.deadtimes[detector] or 0.0 for detector in detectors)])


def negotiate(detectors: Sequence[Any]) -> MsgGenerator[Negotiated]:
    """Ask every detector for its dead time and how it can be triggered.

    Raises:
        FieldValueError: one cannot be triggered from outside, or does not tell.
    """
    deadtimes: dict[Any, float | None] = {}
    triggers: dict[Any, frozenset[DetectorTrigger]] = {}
    for detector in detectors:
        ask = getattr(detector, "get_trigger_deadtime", None)
        if ask is None:
            reason = "it has no get_trigger_deadtime: only ophyd-async detectors can be triggered"
            raise FieldValueError("detector", detector, reason)
        answer = yield from await_plan(ask)
        ways, deadtime = answer or ({DetectorTrigger.EXTERNAL_LEVEL}, None)
        deadtimes[detector], triggers[detector] = deadtime, frozenset(ways)
        if not triggers[detector] - {DetectorTrigger.INTERNAL}:
            name = getattr(detector, "name", repr(detector))
            raise FieldValueError("detector", name, "it cannot be triggered from outside")
    return Negotiated(deadtimes, triggers)


def triggered(
    detectors: Sequence[Any],
    known: Negotiated,
    exposures: Exposures,
    rows: int,
    live: float,
    shortest: float,
    source: str,
) -> tuple[list[Triggered], Wires]:
    """Return what detectors are prepared with, and what triggers them.

    Args:
        detectors: of the scan.
        known: what they have said.
        exposures: what was asked for.
        rows: frames of the scan.
        live: seconds that the sequencer is live in the shortest frame.
        shortest: seconds of the shortest frame, into which trains have to fit.
        source: the bit that is high while a frame is live, ``SEQ1.OUTA``.

    Raises:
        FieldValueError: exposures that a detector cannot make, or that do not fit a frame.
    """
    found: list[Triggered] = []
    wires = Wires()
    for detector in detectors:
        number = exposures.frames_per_event.get(detector, 1)
        exposure = exposures.exposure.get(detector, live)
        if detector in exposures.pulses:
            train = _train(detector, known, exposures, number, shortest)
            output = exposures.outputs.get(detector)
            wires |= detector_pulses(
                train, exposures.pulses[detector], trigger=source, output=output
            )
            exposure = train.seconds[1]
        elif number != 1:
            name = getattr(detector, "name", repr(detector))
            reason = "it is triggered once a frame by the sequencer: give it a PULSE in pulses="
            raise FieldValueError(f"frames_per_event of {name}", number, reason)
        way = _way(known.triggers[detector], by_pulse=detector in exposures.pulses)
        info = TriggerInfo(
            number_of_events=rows,
            collections_per_event=number,
            trigger=way,
            livetime=exposure if way is DetectorTrigger.EXTERNAL_EDGE else 0.0,
            deadtime=known.deadtimes[detector] or 0.0,
        )
        found.append(Triggered(detector, info))
    return found, wires


def _train(
    detector: Any, known: Negotiated, exposures: Exposures, number: int, shortest: float
) -> PulseTrain:
    return PulseTrain.of(
        shortest,
        number,
        exposure=exposures.exposure.get(detector),
        deadtime=known.deadtimes[detector] or 0.0,
        accuracy=exposures.accuracy,
        block=f"PULSE{exposures.pulses[detector]}",
    )


def _way(ways: frozenset[DetectorTrigger], *, by_pulse: bool) -> DetectorTrigger:
    """Return how to trigger: an edge where a PULSE makes it, else a level where that can be."""
    edge, level = DetectorTrigger.EXTERNAL_EDGE, DetectorTrigger.EXTERNAL_LEVEL
    wanted = (edge, level) if by_pulse else (level, edge)
    return next(way for way in wanted if way in ways)
