"""Scans in time: by the clock of the box, at a gate, at triggers of others (flyscan.md 5)."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (bluesky leaves the parameters of its generics open in these calls)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bluesky.utils import MsgGenerator, plan

from panda_ophyd.flyers import TimeInfo, TimeResolvedFlyableLogic
from panda_ophyd.flyers.pulses import PulseFlyableLogic, PulseInfo
from panda_ophyd.flyers.times import Groups
from panda_ophyd.plans.detectors import Exposures, negotiate, triggered
from panda_ophyd.plans.flight import STANDING, Flight
from panda_ophyd.plans.scans import Sequencing, flown, metadata_of
from panda_ophyd.sequences import GateGuard, Guard, NoGuard
from panda_ophyd.wires import Wires, check_wires, connect_wires
from panda_ophyd.wires import capture as capture_wires
from panda_ophyd.wires import externally_triggered as trigger_wires
from panda_ophyd.wires import gated_bursts as gate_wires
from panda_ophyd.wires import time_resolved as time_wires


@plan
def time_resolved(
    panda: Any,
    frames: int,
    live: float,
    dead: float,
    dets: Sequence[Any] = (),
    *,
    repeats: int = 1,
    groups: Groups | None = None,
    positions: Mapping[str, str] | None = None,
    exposures: Exposures | None = None,
    sequencing: Sequencing | None = None,
    wire: bool = True,
    pausable: bool = True,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Take frames one after the other, one row each.

    Args:
        panda: connected `HDFPanda`.
        frames: how many.
        live: seconds of each.
        dead: seconds after that until the next.
        dets: ophyd-async detectors, triggered too.
        repeats: of the whole.
        groups: (frames, live, dead) one after the other, in place of those of equal times.
        positions: to capture besides, on the wire, and their datasets: ``{"INENC1.VAL": "x"}``.
        exposures: which detectors have a PULSE, and what it makes.
        sequencing: how the sequencer makes frames.
        wire: connect what the scan needs; False only checks that it is.
        pausable: keep PCAP enabled, so that the scan can be paused; it ends with a disarm.
        md: metadata of the run.

    Raises:
        FieldValueError, WiringError: before anything is armed.
        SequenceError, CaptureError: the scan did not go well.
    """
    info = TimeInfo(groups or [(frames, live, dead)], repeats)
    how = sequencing or Sequencing()
    wires = time_wires(how.seq, keep_enabled=pausable) | capture_wires(positions or {})
    yield from _timed(
        panda, info, dets, exposures, how, wires, NoGuard(), md, wire=wire, name="time_resolved"
    )


@plan
def gated(
    panda: Any,
    gate: str,
    frames_per_gate: int,
    period: float,
    gates: int,
    dets: Sequence[Any] = (),
    *,
    dead: float = 0.0,
    positions: Mapping[str, str] | None = None,
    exposures: Exposures | None = None,
    sequencing: Sequencing | None = None,
    wire: bool = True,
    pausable: bool = True,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Take a burst of frames each time a bit rises.

    Args:
        panda: connected `HDFPanda`.
        gate: the bit, ``TTLIN1.VAL``.
        frames_per_gate: frames of a burst.
        period: seconds from frame to frame within it.
        gates: bursts.
        dets: ophyd-async detectors, triggered too.
        dead: seconds of each frame in which nothing is live.
        positions: as for `time_resolved`, and so are all that follow.
        exposures: which detectors have a PULSE.
        sequencing: how the sequencer makes frames.
        wire: connect what the scan needs.
        pausable: keep PCAP enabled.
        md: metadata of the run.

    Raises:
        FieldValueError, WiringError: before anything is armed.
        SequenceError, CaptureError: the scan did not go well; that the gate does not come is
            told with how many frames there are.
    """
    info = TimeInfo([(frames_per_gate, period - dead, dead)], gates)
    how = sequencing or Sequencing()
    wires = gate_wires(gate, how.seq, keep_enabled=pausable) | capture_wires(positions or {})
    guard = GateGuard(last=True)
    yield from _timed(panda, info, dets, exposures, how, wires, guard, md, wire=wire, name="gated")


def _timed(
    panda: Any,
    info: TimeInfo,
    dets: Sequence[Any],
    exposures: Exposures | None,
    how: Sequencing,
    wires: Wires,
    guard: Guard,
    md: Mapping[str, Any] | None,
    *,
    wire: bool,
    name: str,
) -> MsgGenerator[None]:
    known = yield from negotiate(dets)
    shortest = min(live + dead for _, live, dead in info.groups)
    longest = max(live + dead for _, live, dead in info.groups)
    detectors, pulses = triggered(
        dets, known, exposures or Exposures(), info.frames,
        min(live for _, live, _ in info.groups), shortest, f"SEQ{how.seq}.OUTA",
    )  # fmt: skip
    wires |= pulses
    yield from (connect_wires(panda, wires) if wire else check_wires(panda, wires))
    logic = TimeResolvedFlyableLogic(
        panda.seq[how.seq], guard=guard, outputs=how.outputs, patience=how.patience, panda=panda,
        speed=how.speed,
    )  # fmt: skip
    flyer = logic.with_device(name=f"{panda.name}-seq{how.seq}")
    flight = Flight(
        panda, flyer, lambda frame: replace(info, start=frame), info.frames, detectors,
        longest_pause=longest,
    )  # fmt: skip
    yield from flown(flight, metadata_of(name, info.frames, (), dets, md), STANDING)


@plan
def externally_triggered(
    panda: Any,
    bit: str,
    num: int,
    width: float,
    delay: float = 0.0,
    dets: Sequence[Any] = (),
    *,
    edge: str = "Rising",
    pulse: int = 1,
    positions: Mapping[str, str] | None = None,
    longest_wait: float = 0.0,
    wire: bool = True,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Take a frame at each edge of a bit, one row each.

    Args:
        panda: connected `HDFPanda`.
        bit: the trigger, ``TTLIN1.VAL``.
        num: frames.
        width: seconds each is live.
        delay: seconds from the trigger to its beginning.
        dets: ophyd-async detectors, triggered by the frames.
        edge: of the bit: Rising, Falling or Either.
        pulse: number of the PULSE that makes the frames.
        positions: see `time_resolved`.
        longest_wait: seconds for which no trigger may come, beside the ordinary time-out.
        wire: connect what the scan needs; False only checks that it is.
        md: metadata of the run.

    Raises:
        FieldValueError, WiringError: before anything is armed.
        CaptureError: the scan did not go well.
    """
    known = yield from negotiate(dets)
    source = f"PULSE{pulse}.OUT"
    detectors, _ = triggered(dets, known, Exposures(), num, width, width, source)
    # enabled by the flyer, when everything is armed
    wires = trigger_wires(bit, pulse, edge=edge).without(f"PULSE{pulse}.ENABLE")
    wires |= capture_wires(positions or {})
    yield from (connect_wires(panda, wires) if wire else check_wires(panda, wires))
    logic = PulseFlyableLogic(panda.pulse[pulse], panda=panda)
    flyer = logic.with_device(name=f"{panda.name}-pulse{pulse}")
    flight = Flight(
        panda, flyer, lambda _: PulseInfo(width, delay), num, detectors, longest_pause=longest_wait
    )
    yield from flown(flight, metadata_of("externally_triggered", num, (), dets, md), STANDING)
