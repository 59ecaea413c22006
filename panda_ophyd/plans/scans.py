"""Scans of any path: time by time, window by window, with detectors and motors (flyscan.md 5)."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (bluesky leaves the parameters of its generics open in these calls)

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import bluesky.preprocessors as bpp
from bluesky.utils import MsgGenerator, plan
from ophyd_async.fastcs.panda import PosOutScaleOffset
from scanspec.specs import Fly, Spec  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.encoders import BoundAxis, MotionWindow
from panda_ophyd.errors import FieldValueError
from panda_ophyd.flyers import Loads, ScanInfo, ScanSpecSeqTableFlyableLogic
from panda_ophyd.flyers.scans import Survey, survey_of
from panda_ophyd.loading import TurnWiring
from panda_ophyd.plans.detectors import Exposures, Negotiated, negotiate, triggered
from panda_ophyd.plans.flight import STANDING, Flight, Motion
from panda_ophyd.plans.motion import FlyerMotion, Outlook, WindowMotion, driven, windows_of
from panda_ophyd.regions import Region, axis_name
from panda_ophyd.sequences import (
    GateGuard,
    Guard,
    NoGuard,
    Outputs,
    Placement,
    PositionGuard,
    Rounding,
    TimeGuard,
)
from panda_ophyd.wires import Wires, check_wires, connect_wires
from panda_ophyd.wires import capture as capture_wires
from panda_ophyd.wires import spec as spec_wires
from panda_ophyd.wires import spec_in_turns as turns_wires
from panda_ophyd.wires.stubs import await_plan

Axes = Mapping[Any, BoundAxis | PosOutScaleOffset]
GuardName = Literal["position", "gate", "time"]


@dataclass(frozen=True)
class Sequencing:
    """How a sequencer makes frames of a scan.

    Attributes:
        seq: number of the block.
        gate: the bit that is high in windows, for a guard "gate": ``TTLIN1.VAL``.
        blind: seconds after a window in which nothing can start, for a guard "time".
        placement, rounding: see `panda_ophyd.sequences.Timing`.
        outputs: which are high when.
        patience: seconds without any movement after which the scan fails; None for never.
        speed: how many times faster than ours the box's time passes: 1 but in rehearsals.
        turns: blocks of two sequencers that take turns where a scan does not fit the table of a
            box that cannot stream; elsewhere they are left alone.
        loads: how lines are cut when they do not all fit.
    """

    seq: int = 1
    gate: str = ""
    blind: float = 0.0
    placement: Placement = Placement.END
    rounding: Rounding = Rounding.AUTO
    outputs: Outputs = field(default_factory=Outputs)
    patience: float | None = 10.0
    speed: float = 1.0
    turns: TurnWiring = field(default_factory=TurnWiring)
    loads: Loads = field(default_factory=Loads)


@dataclass(frozen=True)
class Moving:
    """How the plan drives motors through windows.

    Attributes:
        acceleration_time: seconds from rest to the velocity; what each motor says if not given.
        travel_velocity: units/s between windows; what each motor has if not given.
        settle: seconds at constant velocity before and after each window.
    """

    acceleration_time: float | None = None
    travel_velocity: float | None = None
    settle: float = 0.0


@plan
def fly_spec(
    panda: Any,
    spec: Spec[Any],
    motors: Axes | None = None,
    dets: Sequence[Any] = (),
    *,
    guard: GuardName | Guard | None = "position",
    deadtime: Literal["auto"] | float = "auto",
    capture: Sequence[str] = ("Mean", "Min", "Max"),
    region: Region | None = None,
    duration: float | None = None,
    dwell: float | None = None,
    motion: Any = None,
    exposures: Exposures | None = None,
    sequencing: Sequencing | None = None,
    moving: Moving | None = None,
    wire: bool = True,
    pausable: bool = True,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Fly a scanspec, one row of the PandA for each of its frames.

    Args:
        panda: connected `HDFPanda`.
        spec: its axes are names, or motors; ``Fly(0.1 @ (Line(y, ...) * ~Line(x, ...)))``.
        motors: axis to what `panda_ophyd.encoders.bind` gave; with `motion` an encoder is enough.
        dets: ophyd-async detectors, triggered too, with documents in the same stream.
        guard: what keeps a window from beginning while the stage turns round. "position": it has
            been on the far side; "gate": a wire of the motion controller; "time": a time; or one
            of `panda_ophyd.sequences`, None for none.
        deadtime: seconds of each frame in which nothing is live; "auto": what the detectors need.
        capture: options of each axis' encoder; nothing is changed if empty.
        region: which frames are taken, by their midpoints: ``Circle("x", "y", 1.0, 2.8, 0.5)``.
        duration: seconds a frame, of a spec without.
        dwell: the same; each frame is a window that the stage enters from rest, as in step scans.
        motion: a flyer of a motion controller that goes through the windows, a list of
            `MotionWindow` being what it is prepared with; None: the plan drives the motors, and
            each window has to be a straight line at constant velocity.
        exposures: which detectors have a PULSE, and what it makes.
        sequencing: how the sequencer makes frames.
        moving: how the plan drives motors.
        wire: connect what the scan needs; False only checks that it is.
        pausable: keep PCAP enabled, so that the scan can be paused; it ends with a disarm.
        md: metadata of the run.

    Raises:
        FieldValueError, WiringError, EncoderError: before anything has moved.
        SequenceError, CaptureError: the scan did not go well.
    """
    if dwell is not None and duration is not None:
        raise FieldValueError("dwell", dwell, f"duration is {duration}: give one of them")
    if dwell is not None:  # which gives frames their bounds, too
        spec = Fly(dwell @ spec)
    info = ScanInfo(spec, region=region, duration=duration, stepped=dwell is not None)
    how, exposed = sequencing or Sequencing(), exposures or Exposures()
    axes = {axis_name(axis): bound for axis, bound in (motors or {}).items()}
    known = yield from negotiate(dets)
    dead = _deadtime(deadtime, known, dets, exposed)
    survey = yield from _surveyed(info)
    info = replace(info, deadtime=dead, placement=how.placement, rounding=how.rounding)
    stage_motion, outlook = yield from _motion(info, axes, motion, moving or Moving())
    compared = {name: pos_out(axes[name]) for name in _compared(spec, axes)}
    targets = {name: out.name for name, out in compared.items()}
    logic = ScanSpecSeqTableFlyableLogic(
        panda.seq[how.seq],
        motor_pos_outs=compared,
        guard=_guard(guard, how, outlook, list(compared)),
        outputs=how.outputs,
        patience=None if how.patience is None else how.patience + outlook.longest_pause,
        panda=panda,
        speed=how.speed,
        loads=how.loads,
    )
    turns = yield from _turns(logic, info, how, _inputs(targets, how, guard))
    live = f"SEQ{how.seq}.OUTA" if turns is None else f"{turns.outputs['A']}.OUT"
    detectors, pulses = triggered(
        dets, known, exposed, survey.frames, survey.shortest - dead, survey.shortest, live
    )
    wires = _wires(targets, how, guard, capture, turns, pausable=pausable) | pulses
    yield from (connect_wires(panda, wires) if wire else check_wires(panda, wires))
    if turns is not None:
        logic = replace(logic, turns=turns)
    flyer = logic.with_device(name=f"{panda.name}-seq{how.seq}")
    flight = Flight(
        panda,
        flyer,
        lambda frame: replace(info, start=frame),
        survey.frames,
        detectors,
        stage_motion,
        longest_pause=outlook.longest_pause + survey.longest,
    )
    names = [name for name in map(axis_name, spec.axes()) if name in axes]
    path = {"scanspec": repr(spec), "num_windows": survey.windows}
    metadata = metadata_of("fly_spec", survey.frames, names, dets, path | dict(md or {}))
    yield from flown(flight, metadata, stage_motion)


def flown(flight: Flight, metadata: Mapping[str, Any], motion: Motion) -> MsgGenerator[None]:
    """Stage, open a run, fly, and leave box, file and motors in order however it ends."""
    devices = [flight.panda, flight.flyer, *(one.device for one in flight.detectors)]
    if isinstance(motion, FlyerMotion):
        devices += motion.axes

    @bpp.stage_decorator(devices)
    @bpp.run_decorator(md=dict(metadata))
    def fly() -> MsgGenerator[None]:
        yield from flight.fly()

    restore: Callable[[], MsgGenerator[None]] | None = getattr(motion, "restore", None)
    if restore is None:
        yield from fly()
    else:
        yield from bpp.finalize_wrapper(fly(), restore)


def pos_out(axis: BoundAxis | PosOutScaleOffset) -> PosOutScaleOffset:
    """Return the encoder of an axis as the framework has it."""
    return axis.pos_out() if isinstance(axis, BoundAxis) else axis


def _surveyed(info: ScanInfo) -> MsgGenerator[Survey]:
    async def survey() -> Survey:
        return await asyncio.to_thread(survey_of, info, {})

    found = yield from await_plan(survey)
    return found if found is not None else survey_of(info, {})


def _deadtime(
    asked: Literal["auto"] | float, known: Negotiated, dets: Sequence[Any], exposed: Exposures
) -> float:
    if asked != "auto":
        return float(asked)
    # A PULSE makes exposures of its own within the frame
    return known.deadtime([one for one in dets if one not in exposed.pulses])


def _compared(spec: Spec[Any], axes: Axes) -> list[str]:
    """Return axes with an encoder, the fastest first, as many as a sequencer compares."""
    names = [axis_name(axis) for axis in spec.axes()]
    return [name for name in reversed(names) if name in axes][:3]


def _turns(
    logic: ScanSpecSeqTableFlyableLogic, info: ScanInfo, how: Sequencing, inputs: Mapping[str, str]
) -> MsgGenerator[TurnWiring | None]:
    """Return the blocks for two sequencers by turns, None if one is enough."""

    async def too_long() -> bool:
        return await logic.is_too_long(info)

    if not (yield from await_plan(too_long)):
        return None
    return replace(how.turns, inputs={**how.turns.inputs, **inputs})


def _inputs(
    compared: Mapping[str, str], how: Sequencing, guard: GuardName | Guard | None
) -> dict[str, str]:
    """Return inputs of a sequencer and what they are connected to."""
    inputs = {f"POS{at}": target for at, target in zip("ABC", compared.values(), strict=False)}
    if guard == "gate" or isinstance(guard, GateGuard):
        inputs["BITA"] = how.gate
    return inputs


def _wires(
    compared: Mapping[str, str],
    how: Sequencing,
    guard: GuardName | Guard | None,
    options: Sequence[str],
    turns: TurnWiring | None,
    *,
    pausable: bool,
) -> Wires:
    """Return what has to be connected; `compared` are positions on the wire by their axes."""
    gated = guard == "gate" or isinstance(guard, GateGuard)
    if gated and not how.gate:
        reason = "name the bit that is high in windows: Sequencing(gate='TTLIN1.VAL')"
        raise FieldValueError("gate", how.gate, reason)
    gate = how.gate if gated else None
    if turns is None:
        wires = spec_wires(list(compared.values()), gate=gate, seq=how.seq, keep_enabled=pausable)
    else:
        run, live = f"{turns.run}.OUT", f"{turns.outputs['A']}.OUT"
        wires = turns_wires(turns.settings(), run=run, live=live, keep_enabled=pausable)
    if not options:
        return wires
    names = {target: axis for axis, target in compared.items()}
    return wires | capture_wires(names, options)


def _guard(
    asked: GuardName | Guard | None, how: Sequencing, outlook: Outlook, compared: Sequence[str]
) -> Guard:
    match asked:
        case None:
            return NoGuard()
        case "gate":
            return GateGuard()
        case "time":
            return TimeGuard(how.blind)
        case "position":
            if not compared:
                return NoGuard()
            margins = {name: outlook.margins.get(name, 1) for name in compared}
            return PositionGuard(margins)
        case _ if not isinstance(asked, str):
            return asked
        case _:
            reason = "it is 'position', 'gate', 'time', None, or a guard of panda_ophyd.sequences"
            raise FieldValueError("guard", asked, reason)


def _motion(
    info: ScanInfo, axes: Axes, motion: Any, moving: Moving
) -> MsgGenerator[tuple[Motion, Outlook]]:
    def windows_from(frame: int) -> Iterator[MotionWindow]:
        return windows_of(replace(info, start=frame))

    if motion is not None:
        return FlyerMotion(motion, lambda frame: list(windows_from(frame))), Outlook({}, 0.0)
    bound = {name: axis for name, axis in axes.items() if isinstance(axis, BoundAxis)}
    if not info.spec.axes():
        return STANDING, Outlook({}, 0.0)
    all_driven: dict[str, Any] = {}
    for name, axis in bound.items():
        all_driven[name] = yield from driven(axis, moving.acceleration_time)
    windows = WindowMotion(
        all_driven, windows_from, settle=moving.settle, travel_velocity=moving.travel_velocity
    )
    outlook = yield from windows.look_ahead()
    return windows, outlook


def metadata_of(
    name: str,
    points: int,
    motors: Sequence[str],
    dets: Sequence[Any],
    md: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the metadata that every run of these plans has.

    Args:
        name: of the plan.
        points: rows.
        motors: names of what moves, slowest first.
        dets: detectors.
        md: the user's own, which win.
    """
    return {
        "plan_name": name,
        "num_points": points,
        "motors": list(motors),
        "detectors": [getattr(one, "name", repr(one)) for one in dets],
        "hints": {"dimensions": [([motor], "primary") for motor in motors]},
        **(md or {}),
    }


@plan
def sweeps(panda: Any, spec: Spec[Any], n: int, *args: Any, **kwargs: Any) -> MsgGenerator[None]:
    """Fly a scanspec several times into one stream, n times its frames in one file.

    ``sweeps(panda, ~spec, n)`` goes there and back.

    Args:
        panda: connected `HDFPanda`.
        spec: of one sweep.
        n: how often.
        *args: as for `fly_spec`.
        **kwargs: as for `fly_spec`.

    Raises:
        FieldValueError: n is less than 1; and as `fly_spec`.
    """
    if n < 1:
        raise FieldValueError("sweeps", n, "make one at least")
    metadata = {"plan_name": "sweeps", "num_sweeps": n, **(kwargs.pop("md", None) or {})}
    yield from fly_spec(panda, n * spec, *args, md=metadata, **kwargs)
