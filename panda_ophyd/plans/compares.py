"""Scans of one axis by its position: at equal distances, or at each of a list (flyscan.md 5)."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (bluesky leaves the parameters of its generics open in these calls)

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import bluesky.plan_stubs as bps
import numpy as np
from bluesky.utils import MsgGenerator, plan
from numpy.typing import ArrayLike, NDArray
from ophyd_async.fastcs.panda import PandaPcompDirection, PcompInfo

from panda_ophyd.encoders import AxisMove, BoundAxis, MotionWindow
from panda_ophyd.errors import FieldValueError
from panda_ophyd.flyers import (
    PositionListFlyableLogic,
    PositionListInfo,
    StaticPcompFlyableLogic,
)
from panda_ophyd.flyers.positions import check_list
from panda_ophyd.plans.detectors import Exposures, negotiate, triggered
from panda_ophyd.plans.flight import Flight, Motion, Standing
from panda_ophyd.plans.motion import WindowMotion, driven
from panda_ophyd.plans.scans import Moving, Sequencing, flown, metadata_of
from panda_ophyd.scanframes import AxisScale
from panda_ophyd.wires import Wires, check_wires, connect_wires
from panda_ophyd.wires import capture as capture_wires
from panda_ophyd.wires import position_compare as compare_wires
from panda_ophyd.wires import position_list as list_wires

DRIFT_COUNTS = 0.5
"""Counts by which the last of equal steps may be off, a step being whole counts."""


@dataclass(frozen=True)
class _Steps:
    """Equal steps in counts, in the direction of the axis' encoder."""

    start: int
    step: int
    num: int

    @classmethod
    def of(cls, axis: BoundAxis, start: float, stop: float, num: int) -> _Steps:
        if num < 1 or (num > 1 and start == stop):
            raise FieldValueError("num", num, "give one position, or several that differ")
        first, last = axis.counts(start), axis.counts(stop)
        exact = (last - first) / max(num - 1, 1)
        step = round(exact) if num > 1 else 1
        if not step or (abs(step - exact) * (num - 1) > DRIFT_COUNTS and num > 1):
            nearest = abs(step or 1) * abs(axis.encoder.scale)
            reason = (
                f"it is {exact:.6g} counts of {axis.target}, and the steps of PCOMP are whole ones:"
                f" take steps of {nearest:.9g}, or position_list"
            )
            raise FieldValueError("step", (stop - start) / max(num - 1, 1), reason)
        return cls(round(first), step, num)

    def info(self, done: int, width: int, way: PandaPcompDirection | None) -> PcompInfo:
        """Return what PCOMP is to do from a position on."""
        up = self.step > 0
        direction = PandaPcompDirection.POSITIVE if up else PandaPcompDirection.NEGATIVE
        return PcompInfo(
            start_position=self.start + done * self.step,
            rising_edge_step=abs(self.step),
            pulse_width=width,
            number_of_pulses=self.num - done,
            direction=way or direction,
        )


@plan
def pcomp_scan(
    panda: Any,
    axis: BoundAxis,
    start: float,
    stop: float,
    num: int,
    width: float | None = None,
    dets: Sequence[Any] = (),
    *,
    pcomp: int = 1,
    direction: Literal["auto"] | PandaPcompDirection = "auto",
    velocity: float | None = None,
    move: bool = True,
    patience: float | None = 10.0,
    moving: Moving | None = None,
    wire: bool = True,
    pausable: bool = True,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Take a row at each of equidistant positions of one axis.

    Args:
        panda: connected `HDFPanda`.
        axis: what `panda_ophyd.encoders.bind` gave.
        start: the first position, in units of the axis.
        stop: the last one.
        num: positions.
        width: of each pulse, in units of the axis; half a step if not given.
        dets: ophyd-async detectors, triggered by the pulses.
        pcomp: number of the block.
        direction: in which the counts go; "auto": that of the positions.
        velocity: units/s; what the motor has if not given.
        move: the plan moves the motor; False where something else does.
        patience: seconds without any movement after which the scan fails; None for never.
        moving: how the plan drives the motor.
        wire: connect what the scan needs; False only checks that it is.
        pausable: keep PCAP enabled, so that the scan can be paused; it ends with a disarm.
        md: metadata of the run.

    Raises:
        FieldValueError, WiringError: before anything has moved.
        CompareError, CaptureError: the scan did not go well.
    """
    steps = _Steps.of(axis, start, stop, num)
    scale = abs(axis.encoder.scale)
    wide = max(abs(steps.step) // 2, 1) if width is None else max(round(width / scale), 1)
    way = None if direction == "auto" else direction
    step = (stop - start) / max(num - 1, 1) or scale
    speed = yield from _speed(axis, velocity)
    # from half a step before to beyond the end of the last pulse
    after = max(abs(step) / 2, (wide + 1) * scale) * (1 if step > 0 else -1)

    def windows_from(frame: int) -> Iterator[MotionWindow]:
        begin, end = start + (frame - 0.5) * step, stop + after
        path = AxisMove(begin, end, abs(end - begin) / speed)
        yield MotionWindow({axis.name: path}, frame, num - frame)

    motion, pause = yield from _motion(axis, windows_from, moving, move=move)
    shortest = abs(step) / speed
    known = yield from negotiate(dets)
    live = wide * scale / speed
    source = f"PCOMP{pcomp}.OUT"
    detectors, _ = triggered(dets, known, Exposures(), num, live, shortest, source)
    wires = compare_wires(axis.target, pcomp, keep_enabled=pausable)
    wires |= capture_wires({axis.target: axis.name}, ("Value",))
    yield from _wired(panda, wires, wire=wire)
    logic = StaticPcompFlyableLogic(panda.pcomp[pcomp], patience=patience, panda=panda)
    flyer = logic.with_device(name=f"{panda.name}-pcomp{pcomp}")
    flight = Flight(
        panda, flyer, lambda frame: steps.info(frame, wide, way), num, detectors, motion,
        longest_pause=pause + shortest,
    )  # fmt: skip
    yield from flown(flight, metadata_of("pcomp_scan", num, [axis.name], dets, md), motion)


@dataclass(frozen=True)
class _List:
    """Positions in the order in which they are crossed, and which way.

    Attributes:
        positions: (n,) float64.
        up: (n,) bool.
    """

    positions: NDArray[np.float64]
    up: NDArray[np.bool_]

    @classmethod
    def of(cls, positions: ArrayLike, *, both_ways: bool, repeats: int) -> _List:
        given = np.asarray(positions, np.float64)
        if given.ndim != 1 or len(given) < 2 or repeats < 1:  # noqa: PLR2004  which tell a way
            raise FieldValueError("positions", given.shape, "give a list of two at least")
        steps = np.diff(given)
        if (steps == 0).any():
            at = int(np.argmax(steps == 0))
            reason = f"position {at + 1} is the one before it: there is nothing to cross"
            raise FieldValueError("positions", float(given[at]), reason)
        up = np.concatenate([[steps[0] > 0], steps > 0])
        if both_ways:
            given, up = np.concatenate([given, given[::-1]]), np.concatenate([up, ~up[::-1]])
        return cls(np.tile(given, repeats), np.tile(up, repeats))

    def legs(self, first: int) -> Iterator[tuple[int, int]]:
        """Yield first and last position of each way without a turn."""
        turns = np.flatnonzero(self.up[1:] != self.up[:-1]) + 1
        # a list that begins again goes back before
        back = np.flatnonzero((np.diff(self.positions) > 0) != self.up[1:]) + 1
        cuts = sorted({*turns.tolist(), *back.tolist(), len(self.positions)})
        begin = first
        for cut in cuts:
            if cut > begin:
                yield begin, cut - 1
                begin = cut


@plan
def position_list(
    panda: Any,
    axis: BoundAxis,
    positions: ArrayLike,
    pulse: float = 1e-6,
    dets: Sequence[Any] = (),
    *,
    both_ways: bool = False,
    repeats: int = 1,
    velocity: float | None = None,
    sequencing: Sequencing | None = None,
    moving: Moving | None = None,
    wire: bool = True,
    pausable: bool = True,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Take a row at each of a list of positions, however unequal.

    Args:
        panda: connected `HDFPanda`.
        axis: what `panda_ophyd.encoders.bind` gave.
        positions: (n,) in units of the axis, in the order in which they are crossed.
        pulse: seconds of the pulse at each.
        dets: ophyd-async detectors, triggered by the pulses.
        both_ways: cross all of them again on the way back.
        repeats: of the whole.
        velocity: units/s; what the motor has if not given.
        sequencing: how the sequencer makes frames.
        moving: how the plan drives the motor.
        wire: connect what the scan needs; False only checks that it is.
        pausable: keep PCAP enabled, so that the scan can be paused; it ends with a disarm.
        md: metadata of the run.

    Raises:
        FieldValueError, WiringError: before anything has moved.
        SequenceError, CaptureError: the scan did not go well.
    """
    how = sequencing or Sequencing()
    listed = _List.of(positions, both_ways=both_ways, repeats=repeats)
    speed = yield from _speed(axis, velocity)
    # the pulse of the last position of a leg, with room
    room = max(pulse * speed * 2, 4 * abs(axis.encoder.scale))

    def windows_from(frame: int) -> Iterator[MotionWindow]:
        for first, last in listed.legs(frame):
            sign = 1 if listed.up[first] else -1
            begin = float(listed.positions[first]) - sign * room
            end = float(listed.positions[last]) + sign * room
            path = AxisMove(begin, end, abs(end - begin) / speed)
            yield MotionWindow({axis.name: path}, first, last - first + 1)

    def value_from(frame: int) -> PositionListInfo:
        return PositionListInfo(
            positions, pulse, both_ways=both_ways, repeats=repeats, speed=speed, start=frame
        )

    check_list(value_from(0), AxisScale(axis.encoder.scale, axis.encoder.offset))
    one = yield from driven(axis, moving.acceleration_time if moving else None)
    motion = WindowMotion({axis.name: one}, windows_from, settle=moving.settle if moving else 0.0)
    outlook = yield from motion.look_ahead()
    num = len(listed.positions)
    known = yield from negotiate(dets)
    source = f"SEQ{how.seq}.OUTA"
    detectors, _ = triggered(dets, known, Exposures(), num, pulse, pulse, source)
    wires = list_wires(axis.target, how.seq, keep_enabled=pausable)
    wires |= capture_wires({axis.target: axis.name}, ("Value",))
    yield from _wired(panda, wires, wire=wire)
    logic = PositionListFlyableLogic(
        panda.seq[how.seq], encoder=axis.pos_out(), outputs=how.outputs, patience=how.patience,
        margin=outlook.margins.get(axis.name, 1), panda=panda, speed=how.speed,
    )  # fmt: skip
    flyer = logic.with_device(name=f"{panda.name}-seq{how.seq}")
    span = float(np.ptp(listed.positions)) / speed
    flight = Flight(
        panda, flyer, value_from, num, detectors, motion,
        longest_pause=outlook.longest_pause + span,
    )  # fmt: skip
    yield from flown(flight, metadata_of("position_list", num, [axis.name], dets, md), motion)


def _speed(axis: BoundAxis, asked: float | None) -> MsgGenerator[float]:
    if asked is None:
        one = yield from driven(axis, 0.0)
        asked = one.facts.velocity
    if not asked or asked <= 0:
        raise FieldValueError(f"velocity of {axis.name}", asked, "give one above 0")
    return float(asked)


def _motion(
    axis: BoundAxis, windows_from: Any, moving: Moving | None, *, move: bool
) -> MsgGenerator[tuple[Motion, float]]:
    if not move:
        return Standing(), 0.0
    how = moving or Moving()
    one = yield from driven(axis, how.acceleration_time)
    motion = WindowMotion(
        {axis.name: one}, windows_from, settle=how.settle, travel_velocity=how.travel_velocity
    )
    outlook = yield from motion.look_ahead()
    return motion, outlook.longest_pause


def _wired(panda: Any, wires: Wires, *, wire: bool) -> MsgGenerator[None]:
    yield from bps.null()
    yield from (connect_wires(panda, wires) if wire else check_wires(panda, wires))
