"""Motors through the windows of a scan, driven by the plan, so that a flight can pause anywhere.

Source: flyscan.md 1.13, 3.5, 3.6.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (bluesky leaves the parameters of its generics open in these calls)

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np
from bluesky.utils import MsgGenerator, short_uid

from panda_ophyd.encoders import (
    AxisMove,
    BoundAxis,
    MotionWindow,
    MotorFacts,
    check_move,
    facts_of,
    motion_windows,
)
from panda_ophyd.encoders.motors import check_places, position_of
from panda_ophyd.errors import EncoderError, FieldValueError
from panda_ophyd.flyers import ScanInfo
from panda_ophyd.flyers.scans import frames_from
from panda_ophyd.plans.waiting import Finish, each, settle
from panda_ophyd.sequences import Frames

ATTEMPTS = 3
"""Times that axes are sent to a start again which they have not come to."""

NEAR_COUNTS = 20
"""Counts by which an axis that stands in a window may be off its place."""

WindowsFrom = Callable[[int], Iterator[MotionWindow]]
"""Windows of a scan from a frame on."""


def windows_of(info: ScanInfo) -> Iterator[MotionWindow]:
    """Yield the windows of a scan from where it starts, in units of its axes.

    Memory is that of the longest window.

    Raises:
        FieldValueError: as `motion_windows` and `batches`.
    """
    frames = frames_from(info, {})
    open_frames: list[Frames] = []
    first = info.start
    for batch in frames:
        gaps = np.flatnonzero(batch.gap).tolist()
        if not open_frames and gaps[:1] == [0]:
            gaps = gaps[1:]
        begin = 0
        for gap in gaps:
            open_frames.append(batch[begin:gap])
            first += yield from _closed(open_frames, first)
            open_frames, begin = [], gap
        open_frames.append(batch[begin : len(batch)])
    if open_frames:
        yield from _closed(open_frames, first)


def _closed(parts: list[Frames], first: int) -> Generator[MotionWindow, None, int]:
    parts = [part for part in parts if len(part)]
    if not parts:
        return 0
    lower, upper = (
        {
            axis: np.concatenate([getattr(part, side)[axis] for part in parts])
            for axis in parts[0].lower
        }
        for side in ("lower", "upper")
    )
    duration = np.concatenate([part.duration for part in parts])
    gap = np.zeros(len(duration), np.bool_)
    for window in motion_windows(lower, upper, duration, gap):
        yield MotionWindow(window.moves, first, window.frames)
    return len(duration)


@dataclass(frozen=True)
class Driven:
    """An axis, and what is known of its motor.

    Attributes:
        axis: motor and encoder.
        facts: of the motor.
        ramp_time: seconds of acceleration.
    """

    axis: BoundAxis
    facts: MotorFacts
    ramp_time: float

    def start_of(self, move: AxisMove, settle: float) -> float:
        """Return where the axis stands before a window."""
        return move.run_up_start(self.ramp_time, settle)

    def end_of(self, move: AxisMove, settle: float) -> float:
        """Return where it stands after it."""
        return move.run_down_end(self.ramp_time, settle)


def driven(axis: BoundAxis, acceleration_time: float | None) -> MsgGenerator[Driven]:
    """Ask a motor what it says of itself.

    Raises:
        FieldValueError: it has no velocity to set, or does not say how long it accelerates.
    """
    facts = yield from facts_of(axis.motor)
    if facts.velocity is None or not hasattr(getattr(axis.motor, "velocity", None), "set"):
        reason = "it has no velocity to set: pass a motion= flyer of its controller"
        raise FieldValueError(f"motor of {axis.name}", axis.motor, reason)
    ramp_time = facts.acceleration_time if acceleration_time is None else acceleration_time
    if ramp_time is None or ramp_time < 0:
        reason = "it does not say how long it accelerates: pass acceleration_time"
        raise FieldValueError(f"motor of {axis.name}", axis.motor, reason)
    return Driven(axis, facts, ramp_time)


@dataclass(frozen=True)
class Outlook:
    """What going through all windows once tells.

    Attributes:
        margins: axis to the counts that are the far side of every one of its windows.
        longest_pause: seconds between two windows, at most, as far as velocities tell.
    """

    margins: Mapping[str, int]
    longest_pause: float


class WindowMotion:
    """Drives axes through windows: to the start of a run-up, then to the end of the run-down.

    Args:
        axes: by name, of all that the windows move.
        windows_from: the windows from a frame on.
        settle: seconds at constant velocity before and after each window.
        travel_velocity: units/s between windows; what each motor had if not given.
    """

    def __init__(
        self,
        axes: Mapping[str, Driven],
        windows_from: WindowsFrom,
        *,
        settle: float = 0.0,
        travel_velocity: float | None = None,
    ) -> None:
        self._axes = axes
        self._windows_from = windows_from
        self._settle = settle
        self._travel = travel_velocity
        self._windows: Iterator[MotionWindow] = iter(())
        self._window: MotionWindow | None = None
        self._at_start = False

    @property
    def axes(self) -> list[BoundAxis]:
        """What the plan moves."""
        return [one.axis for one in self._axes.values()]

    def look_ahead(self) -> MsgGenerator[Outlook]:
        """Go through all windows, moving nothing.

        Raises:
            FieldValueError: an axis is missing, would leave its limits, or is too slow.
        """
        margins: dict[str, int] = {}
        longest = 0.0
        ends: dict[str, float] = {}
        lowest: dict[str, float] = {}
        highest: dict[str, float] = {}
        for window in self._windows_from(0):
            pauses = [0.0]
            for name, move in window.moves.items():
                one = self._axis(name)
                check_move(name, move, one.facts, one.ramp_time, self._settle)
                start, end = one.start_of(move, self._settle), one.end_of(move, self._settle)
                lowest[name] = min(lowest.get(name, start), start, end)
                highest[name] = max(highest.get(name, start), start, end)
                if move.speed:
                    margin = move.guard_margin(one.axis.encoder, one.ramp_time, self._settle)
                    margins[name] = min(margins.get(name, margin), margin)
                if name in ends:
                    quick = self._velocity(one) or 1.0
                    pauses.append(abs(start - ends[name]) / quick + 3 * one.ramp_time)
                ends[name] = end
            longest = max(longest, *pauses)
        for name, one in self._axes.items():
            if name in lowest:
                yield from check_places(one.axis.motor, (lowest[name], highest[name]))
        return Outlook(margins, longest + 2 * self._settle)

    def prepare(self, frame: int) -> MsgGenerator[None]:
        """Go to where the window of this frame begins."""
        self._windows = self._windows_from(frame)
        yield from settle((yield from self._approach()))
        # Whoever pauses meanwhile stops the motors, and their moves end well
        for _ in range(ATTEMPTS):
            if not (yield from self._astray()):
                return
            yield from settle((yield from self._go_to_start()))
        astray = yield from self._astray()
        if astray:
            name, place, wanted = astray[0]
            reason = f"it is at {place:.9g} and was sent to {wanted:.9g}, where the run-up begins"
            raise EncoderError(name, self._axes[name].axis.target, reason)

    def _astray(self) -> MsgGenerator[list[tuple[str, float, float]]]:
        """Return axes that are not where the run-up of the window begins."""
        found: list[tuple[str, float, float]] = []
        for name, move in ({} if self._window is None else self._window.moves).items():
            one = self._axes[name]
            wanted = one.start_of(move, self._settle)
            place = yield from position_of(one.axis.motor)
            ramp = abs(move.ramp(one.ramp_time, self._settle))
            if abs(place - wanted) > max(ramp / 2, NEAR_COUNTS * abs(one.axis.encoder.scale)):
                found.append((name, place, wanted))
        return found

    def moves(self) -> Generator[Any, Any, Finish | None]:
        """Begin the next move and return its end; None when there is none left."""
        if self._at_start:
            return (yield from self._run())
        end = yield from self._approach()
        return end if self._window is not None else None

    def restore(self) -> MsgGenerator[None]:
        """Give every motor the velocity back that it had."""
        for one in self._axes.values():
            yield from bps.abs_set(one.axis.motor.velocity, one.facts.velocity, wait=True)

    def _axis(self, name: str) -> Driven:
        if name not in self._axes:
            known = ", ".join(self._axes) or "none"
            reason = f"the scan moves it, and motors are given for {known}"
            raise FieldValueError("motors", name, reason)
        return self._axes[name]

    def _velocity(self, one: Driven) -> float | None:
        return one.facts.velocity if self._travel is None else self._travel

    def _approach(self) -> MsgGenerator[Finish]:
        self._window = next(self._windows, None)
        self._at_start = self._window is not None
        moves = {} if self._window is None else self._window.moves
        for name in moves:
            one = self._axes[name]
            yield from bps.abs_set(one.axis.motor.velocity, self._velocity(one), wait=True)
        return (yield from self._go_to_start())

    def _go_to_start(self) -> MsgGenerator[Finish]:
        moves = {} if self._window is None else self._window.moves
        return (yield from each(
            bps.abs_set(self._axes[name].axis, self._axes[name].start_of(move, self._settle),
                        group=short_uid("approach"))
            for name, move in moves.items()
        ))  # fmt: skip

    def _run(self) -> MsgGenerator[Finish]:
        self._at_start = False
        window = self._window
        moving = {} if window is None else {n: m for n, m in window.moves.items() if m.speed}
        for name, move in moving.items():
            yield from bps.abs_set(self._axes[name].axis.motor.velocity, move.speed, wait=True)
        return (yield from each(
            bps.abs_set(self._axes[name].axis, self._axes[name].end_of(move, self._settle),
                        group=short_uid("run"))
            for name, move in moving.items()
        ))  # fmt: skip


class Controller:
    """The flyer of a motion controller, which is paused after the PandA, never before it.

    The RunEngine pauses what it has seen in no order, and rows of a stage that brakes would be
    wrong; it sees this in place of the flyer.

    Args:
        flyer: of the controller.
    """

    parent = None

    def __init__(self, flyer: Any) -> None:
        self.flyer = flyer
        self.name: str = flyer.name
        self.before_stop: Callable[[], Awaitable[None]] | None = None

    def stage(self) -> Any:
        """Stage it, if it can be staged."""
        return self._if_it_can("stage")

    def unstage(self) -> Any:
        """Unstage it, which stops it."""
        return self._if_it_can("unstage")

    def _if_it_can(self, what: str) -> Any:
        act = getattr(self.flyer, what, None)
        return [self] if act is None else act()

    def prepare(self, value: Any) -> Any:
        """Let it go to where the first window begins."""
        return self.flyer.prepare(value)

    def kickoff(self) -> Any:
        """Let it go."""
        return self.flyer.kickoff()

    def complete(self) -> Any:
        """Be done when it is."""
        return self.flyer.complete()

    async def pause(self) -> None:
        """Disarm, then pause the controller, or stop it if it knows no pause."""
        if self.before_stop is not None:
            await self.before_stop()
        for name in ("pause", "stop"):
            act = getattr(self.flyer, name, None)
            if act is not None:
                answer = act()
                if inspect.isawaitable(answer):
                    await answer
                return

    async def resume(self) -> None:
        """Do nothing: it is prepared again."""


class FlyerMotion:
    """A flyer of a motion controller goes through the windows by itself.

    Args:
        flyer: of the controller.
        value_from: what it is prepared with, from a frame on.
    """

    def __init__(self, flyer: Any, value_from: Callable[[int], Any]) -> None:
        self.axes = [Controller(flyer)]
        self._value_from = value_from
        self._begun = False

    def prepare(self, frame: int) -> MsgGenerator[None]:
        """Let it go to where it begins."""
        self._begun = False
        (controller,) = self.axes
        value = self._value_from(frame)
        prepared = yield from each([bps.prepare(controller, value, group=short_uid("motion"))])
        yield from settle(prepared)

    def moves(self) -> Generator[Any, Any, Finish | None]:
        """Kick it off, once."""
        if self._begun:
            return None
        self._begun = True
        (controller,) = self.axes
        started = yield from each([bps.kickoff(controller, group=short_uid("motion"))])
        yield from settle(started)
        return (yield from each([bps.complete(controller, group=short_uid("motion"))]))
