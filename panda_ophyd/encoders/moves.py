"""Plan stubs that drive motors through the windows of a scan at constant velocity."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (bluesky leaves the parameters of its generics open in these calls)

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.protocols import Movable
from bluesky.utils import MsgGenerator, plan, short_uid

from panda_ophyd.encoders.binding import BoundAxis
from panda_ophyd.encoders.motion import AxisMove, MotionWindow, MotorFacts, check_move
from panda_ophyd.encoders.motors import check_places, facts_of, name_of
from panda_ophyd.errors import FieldValueError

Axis = BoundAxis | Movable[Any]
BeforeWindow = Callable[[int, MotionWindow], MsgGenerator[Any]]


@dataclass(frozen=True)
class _Driven:
    axis: Any
    motor: Any
    facts: MotorFacts
    ramp_time: float


@plan
def move_through(
    axes: Axis | Mapping[str, Axis],
    windows: Sequence[AxisMove] | Sequence[MotionWindow],
    *,
    acceleration_time: float | None = None,
    travel_velocity: float | None = None,
    settle: float = 0.0,
    before_window: BeforeWindow | None = None,
) -> MsgGenerator[None]:
    """Drive axes through windows: to the start of the run-up, then to the end of the run-down.

    Between windows axes go to where the next begins at the velocity they had: a short way in
    a snake, a fly-back in a raster. All is checked before anything moves. Motors have the
    velocity that they had again at the end, also after a failure.

    Axes of a window start together. They keep to the line where they accelerate for the same
    time; pass `settle` for what a controller takes to start the second.

    Args:
        axes: one axis with `AxisMove`, or several by the names that `MotionWindow` has.
            Through a `BoundAxis` a pause disarms PCAP before motors brake.
        windows: in the order they are flown.
        acceleration_time: seconds from rest to the velocity; what each motor says if not given.
        travel_velocity: units per second between windows; what each motor has if not given.
        settle: seconds at constant velocity before and after each window.
        before_window: a plan with index and window when axes stand at the start of the run-up:
            for a checkpoint, or to arm something.

    Raises:
        FieldValueError: a window leaves the limits of a motor or is too fast, or a motor has
            no velocity to set; tells which. Nothing has moved.
    """
    named: Mapping[str, Axis] = axes if isinstance(axes, Mapping) else {_name(axes): axes}
    several = [_as_window(window, named) for window in windows]
    driven: dict[str, _Driven] = {}
    for name, axis in named.items():
        driven[name] = yield from _driven(axis, acceleration_time)
    for window in several:
        yield from _check(window, driven, settle)

    def body() -> MsgGenerator[None]:
        for index, window in enumerate(several):
            yield from _fly(index, window, driven, travel_velocity, settle, before_window)

    def restore() -> MsgGenerator[None]:
        for one in driven.values():
            yield from bps.abs_set(one.motor.velocity, one.facts.velocity, wait=True)

    yield from bpp.finalize_wrapper(body(), restore)


def _name(axis: Any) -> str:
    return axis.name if isinstance(axis, BoundAxis) else name_of(axis)


def _as_window(window: AxisMove | MotionWindow, axes: Mapping[str, Axis]) -> MotionWindow:
    if isinstance(window, MotionWindow):
        missing = sorted(set(window.moves) - set(axes))
        if missing:
            raise FieldValueError("axes", tuple(axes), f"windows move {', '.join(missing)} too")
        return window
    if len(axes) != 1:
        reason = "give a MotionWindow, which says what each axis does, or one axis"
        raise FieldValueError("axes", tuple(axes), reason)
    return MotionWindow(dict.fromkeys(axes, window))


def _driven(axis: Axis, acceleration_time: float | None) -> MsgGenerator[_Driven]:
    motor: Any = axis.motor if isinstance(axis, BoundAxis) else axis
    facts = yield from facts_of(motor)
    if facts.velocity is None or not isinstance(getattr(motor, "velocity", None), Movable):
        reason = "it has no velocity to set; use a flyer of its controller"
        raise FieldValueError("motor", name_of(motor), reason)
    ramp_time = facts.acceleration_time if acceleration_time is None else acceleration_time
    if ramp_time is None or ramp_time < 0:
        reason = "it does not say how long it accelerates; give acceleration_time"
        raise FieldValueError("motor", name_of(motor), reason)
    return _Driven(axis, motor, facts, ramp_time)


def _check(window: MotionWindow, axes: Mapping[str, _Driven], settle: float) -> MsgGenerator[None]:
    for name, move in window.moves.items():
        one = axes[name]
        check_move(name, move, one.facts, one.ramp_time, settle)
        ends = (move.run_up_start(one.ramp_time, settle), move.run_down_end(one.ramp_time, settle))
        yield from check_places(one.motor, ends)


def _fly(
    index: int,
    window: MotionWindow,
    axes: Mapping[str, _Driven],
    travel_velocity: float | None,
    settle: float,
    before_window: BeforeWindow | None,
) -> MsgGenerator[None]:
    group = f"run-up-{short_uid()}"
    for name, move in window.moves.items():
        one = axes[name]
        quick = one.facts.velocity if travel_velocity is None else travel_velocity
        yield from bps.abs_set(one.motor.velocity, quick, wait=True)
        yield from bps.abs_set(one.axis, move.run_up_start(one.ramp_time, settle), group=group)
    yield from bps.wait(group)
    moving = {name: move for name, move in window.moves.items() if move.speed}
    for name, move in moving.items():
        yield from bps.abs_set(axes[name].motor.velocity, move.speed, wait=True)
    if before_window is not None:
        yield from before_window(index, window)
    group = f"window-{short_uid()}"
    for name, move in moving.items():
        one = axes[name]
        yield from bps.abs_set(one.axis, move.run_down_end(one.ramp_time, settle), group=group)
    yield from bps.wait(group)
