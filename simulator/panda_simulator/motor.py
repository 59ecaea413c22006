"""SimMotor: an axis of the simulated world as a bluesky motor; SimTrajectory flies several.

The axis lives where the simulator lives, which may be another thread. All that the
motor needs of the simulator is a way to call a function there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from bluesky.protocols import Flyable, Preparable
from ophyd_async.core import (
    AsyncStatus,
    FlyMotorInfo,
    MovableLogic,
    SignalRW,
    StandardMovable,
    StandardReadable,
    TimeoutCalculator,
    WatchableAsyncStatus,
    error_if_none,
    soft_signal_r_and_setter,
    soft_signal_rw,
)
from ophyd_async.core import StandardReadableFormat as Format
from typing_extensions import override

from panda_simulator.controller import SimTrajectory
from panda_simulator.world import Axis

__all__ = ["SimMotor", "SimMotorMoveLogic", "SimTrajectory", "call_directly"]

T = TypeVar("T")

POLL_PERIOD = 0.05
"""Seconds between two looks at a moving axis."""

DEFAULT_ACCELERATION_TIME = 0.1


def call_directly(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function here: for a simulator on the event loop of its caller."""
    return function(*arguments)


@dataclass
class SimMotorMoveLogic(MovableLogic[float]):
    """Moves an axis and follows it until it stands."""

    axis: Axis
    call: Callable[..., Any]
    readback_set: Callable[[float], None]
    velocity: SignalRW[float]
    acceleration_time: SignalRW[float]

    @override
    async def check_move(self, new_position: float) -> None:
        low, high = self.axis.limits
        if not low <= new_position <= high:
            raise ValueError(
                f"cannot move axis {self.axis.name} to {new_position}: "
                f"its limits are {low} and {high}"
            )

    @override
    async def move(self, new_position: float, timeout: TimeoutCalculator) -> None:
        await self.setpoint.set(new_position)
        velocity = await self.velocity.get_value()
        acceleration_time = await self.acceleration_time.get_value()
        async with asyncio.timeout(timeout()):
            self.call(self._start, new_position, velocity, acceleration_time)
            await self._follow()

    @override
    async def stop(self) -> None:
        self.call(self.axis.stop)
        await self._follow()

    def refresh(self) -> None:
        """Read where the axis is."""
        self.readback_set(self.call(self.axis.position))

    def _start(self, position: float, velocity: float, acceleration_time: float) -> None:
        self.axis.velocity = velocity
        # at once is a tick
        self.axis.acceleration = velocity / max(acceleration_time, 1 / self.axis.frequency)
        self.axis.move(position)

    async def _follow(self) -> None:
        while self.call(self.axis.moving):
            self.refresh()
            await asyncio.sleep(POLL_PERIOD)
        self.refresh()


class SimMotor(StandardReadable, StandardMovable[float], Flyable, Preparable):
    """A motor whose encoder the simulated box sees.

    Attributes:
        user_readback: position, in the units of the axis.
        user_setpoint: the last target.
        velocity: units per second, for the next move.
        acceleration_time: seconds to reach the velocity, for the next move.
    """

    def __init__(
        self,
        axis: Axis,
        call: Callable[..., Any] = call_directly,
        name: str = "",
        units: str = "mm",
    ) -> None:
        """Make a motor of an axis.

        Args:
            axis: of the simulator's world.
            call: calls a function with arguments where the simulator lives and returns
                its result, quickly: a simulator in another thread has it as its method.
            name: of the device.
            units: of the axis.
        """
        start: float = call(axis.position)
        with self.add_children_as_readables(Format.HINTED_SIGNAL):
            self.user_readback, self._readback_set = soft_signal_r_and_setter(
                float, start, units=units
            )
        with self.add_children_as_readables(Format.CONFIG_SIGNAL):
            self.velocity = soft_signal_rw(float, axis.velocity, units=f"{units}/s")
            self.acceleration_time = soft_signal_rw(float, DEFAULT_ACCELERATION_TIME, units="s")
        self.user_setpoint = soft_signal_rw(float, start, units=units)
        self._axis = axis
        self._call = call
        self._fly_info: FlyMotorInfo | None = None
        self._fly_status: WatchableAsyncStatus[Any] | None = None
        super().__init__(name=name)

    @cached_property
    @override
    def movable_logic(self) -> SimMotorMoveLogic:
        return SimMotorMoveLogic(
            setpoint=self.user_setpoint,
            readback=self.user_readback,
            axis=self._axis,
            call=self._call,
            readback_set=self._readback_set,
            velocity=self.velocity,
            acceleration_time=self.acceleration_time,
        )

    @AsyncStatus.wrap
    @override
    async def prepare(self, value: FlyMotorInfo) -> None:
        """Go to where the run-up begins, at the velocity set, then set that of the run.

        Raises:
            ValueError: the run needs more room than the limits of the axis leave.
        """
        self._fly_info = value
        ramp = await self.acceleration_time.get_value()
        # both ends before anything moves: a run that cannot end well is not begun
        for end in (value.ramp_up_start_pos(ramp), value.ramp_down_end_pos(ramp)):
            await self.movable_logic.check_move(end)
        await self.set(value.ramp_up_start_pos(ramp))
        await self.velocity.set(value.speed)

    @AsyncStatus.wrap
    @override
    async def kickoff(self) -> None:
        """Begin the run.

        Raises:
            RuntimeError: the motor was not prepared.
        """
        info = error_if_none(self._fly_info, f"cannot kick off {self.name}: prepare it first")
        end = info.ramp_down_end_pos(await self.acceleration_time.get_value())
        self._fly_status = self.set(end, timeout=info.timeout)

    @override
    def complete(self) -> WatchableAsyncStatus[Any]:
        """Be done when the run is."""
        return error_if_none(self._fly_status, f"cannot complete {self.name}: kick it off first")
