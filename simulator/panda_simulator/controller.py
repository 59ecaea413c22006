"""SimTrajectory: a motion controller of the simulated world as a bluesky flyer.

It flies axes through windows as a PMAC does: planned ahead, in the box's own time, with a
gate that is high in windows. It takes plain data and knows nothing of the driver.

Source: flyscan.md 1.6, 1.13, 2.6.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from bluesky.protocols import Flyable, Pausable, Preparable, Stoppable
from ophyd_async.core import (
    AsyncStatus,
    Device,
    WatchableAsyncStatus,
    WatcherUpdate,
    error_if_none,
    soft_signal_r_and_setter,
)
from typing_extensions import override

from panda_simulator.axis import Axis
from panda_simulator.following import Following
from panda_simulator.motion import to_fixed, to_float
from panda_simulator.trajectory import AnyWindow, Drive, Planner
from panda_simulator.world import World

POLL_PERIOD = 0.02
"""Seconds between two looks at axes on their way."""

_GRACE = 0.5
"""Seconds in which somebody who has stopped an axis may say that it is a pause."""

_THERE = to_fixed(1e-9)
"""How far from the start of a run-up an axis may be, in units times 2**112."""

Windows: TypeAlias = Iterable[AnyWindow] | Callable[[], Iterable[AnyWindow]]


@dataclass(frozen=True)
class Turnaround:
    """What is between two windows, in seconds.

    Attributes:
        duration: from the end of one to the start of the next.
        run_down: until axes that moved in the window stand.
        blind: by axis, until it stands where its run-up begins: after that it goes only the
            way that it has in the next window, so a position compare may be armed.
    """

    duration: float
    run_down: float
    blind: Mapping[str, float]


@dataclass(frozen=True)
class _Prepared:
    windows: Callable[[], Iterable[AnyWindow]]
    planner: Planner
    start: Mapping[str, int]
    count: int


class SimTrajectory(Device, Flyable, Preparable, Stoppable, Pausable):
    """A motion controller that flies axes of the simulated world through windows.

    Attributes:
        windows_done: how many windows of the last run are over.
    """

    def __init__(
        self,
        world: World,
        call: Callable[..., Any] | None = None,
        name: str = "",
        *,
        axes: Sequence[str] | Mapping[str, str] | None = None,
        gate: str | None = None,
        settle: float = 0.0,
        turnaround: float = 1e-5,
        max_velocity: Mapping[str, float] | None = None,
    ) -> None:
        """Make a controller of axes, which have the velocity and acceleration of their own.

        Args:
            world: of the simulator.
            call: calls a function with arguments where the simulator lives and returns its
                result: `Simulator.call` for one in another thread; directly if not given.
            name: of the device.
            axes: names, or what windows call them with the names that they have in the world;
                by default an axis has the same name in both, and windows say which ones fly.
            gate: input of the box that is high in windows and low in gaps, as ``"TTLIN1"``.
            settle: seconds at the velocity of a window before and after it.
            turnaround: seconds between two windows, at least.
            max_velocity: of axes in windows, in units per second, by what windows call them.

        Raises:
            ValueError: the world has not one of the axes.
        """
        self._world = world
        self._call: Callable[..., Any] = call or _directly
        names = axes if isinstance(axes, Mapping) else {name: name for name in axes or world.axes}
        for own in names.values():
            if own not in world.axes:
                raise ValueError(f"no axis {own!r}: axes are {', '.join(world.axes)}")
        self._axes = {name: world.axes[own] for name, own in names.items()}
        self._all = axes is not None
        self._gate = gate
        self._settle = settle
        self._turnaround = turnaround
        self._max_velocity = max_velocity or {}
        self._prepared: _Prepared | None = None
        self._following: Following | None = None
        self._count = 0
        self._moving: Mapping[str, Axis] = {}
        self._ended_well: bool | None = None
        self.windows_done, self._set_windows_done = soft_signal_r_and_setter(int, 0)
        super().__init__(name=name)

    def turnarounds(self, windows: Windows) -> Iterator[Turnaround]:
        """Yield what will be between windows, for whoever plans triggers.

        Args:
            windows: as for `prepare`.

        Raises:
            TypeError, ValueError: as for `prepare`.
        """
        source = _repeatable(windows)
        planner, _ = self._plan(source)
        frequency: int = self._world.frequency
        for leg in planner.legs(source()):
            if leg.gap is not None:
                yield Turnaround(
                    leg.gap.ticks / frequency,
                    leg.gap.run_down / frequency,
                    {name: ticks / frequency for name, ticks in leg.gap.blind.items()},
                )

    @AsyncStatus.wrap
    @override
    async def prepare(self, value: Windows) -> None:
        """Look at the whole path, then go to where the run-up of the first window begins.

        Args:
            value: windows (`trajectory.Window`, `trajectory.Curve`, or what looks like one),
                or a function that returns them. They are gone through twice, in constant
                memory; an iterator, which cannot be, is kept as a list.

        Raises:
            RuntimeError: it flies already, or was stopped on its way.
            TypeError: a window is none.
            ValueError: there are no windows, one is malformed, or an axis would leave its
                limits or be too fast; nothing has moved.
        """
        if self._flies():
            raise RuntimeError(f"cannot prepare {self.name}: it flies; stop or complete it first")
        self._prepared = None
        source = _repeatable(value)
        planner, start = self._call(self._plan, source)
        # with another thread, as a long path takes its time
        count = await asyncio.to_thread(_count, planner, source())
        self._moving = {name: self._axes[name] for name in start}
        self._call(self._go, start)
        await self._stand()
        if not self._call(self._is_there, start):
            raise RuntimeError(f"{self.name} was stopped on its way to the start: prepare it again")
        self._prepared = _Prepared(source, planner, start, count)

    @AsyncStatus.wrap
    @override
    async def kickoff(self) -> None:
        """Begin the run-up.

        Raises:
            RuntimeError: it was not prepared, or an axis has moved since.
        """
        prepared = error_if_none(self._prepared, f"cannot kick off {self.name}: prepare it first")
        self._prepared = None
        self._ended_well = None
        self._count = prepared.count
        self._set_windows_done(0)
        self._following = self._call(self._set_off, prepared)

    @WatchableAsyncStatus.wrap
    async def _complete(self, following: Following) -> AsyncIterator[WatcherUpdate[int]]:
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        self._call(following.when_over, lambda: _set_soon(loop, over))
        while True:
            was_over = over.is_set()
            done: int = self._call(self._done, following)
            self._set_windows_done(done)
            yield WatcherUpdate(
                current=done,
                initial=0,
                target=self._count,
                name=self.name,
                unit="windows",
            )
            if was_over:
                break
            try:
                async with asyncio.timeout(POLL_PERIOD):
                    await over.wait()
            except TimeoutError:
                continue
        await self._judge(following, done)

    @override
    def complete(self) -> WatchableAsyncStatus[int]:
        """Be done when all axes stand after the last window; also after a pause.

        Raises:
            RuntimeError: it was not kicked off; or, in the status, it was stopped as something
                went wrong, or somebody else moved or stopped an axis, or windows have failed.
        """
        return self._complete(
            error_if_none(self._following, f"cannot complete {self.name}: kick it off first")
        )

    @override
    async def stop(self, success: bool = True) -> None:
        """Brake all axes, on a path or on their way to it; return when they stand.

        Args:
            success: whether a `complete` that waits ends well.
        """
        self._prepared = None
        following = self._following
        if self._flies() and following is not None:
            self._ended_well = success
            self._call(following.stop)
        elif following is not None and following.stopped and self._ended_well is None:
            self._ended_well = success
        else:
            self._call(self._brake)
        await self._stand()

    @override
    async def pause(self) -> None:
        """Brake; `complete` ends well, and `windows_done` tells what is to be prepared again."""
        await self.stop(success=True)

    @override
    async def resume(self) -> None:
        """Do nothing: whoever goes on prepares the windows that are left."""

    async def _stand(self) -> None:
        while self._call(self._moves):  # noqa: ASYNC110  they may live in another thread
            await asyncio.sleep(POLL_PERIOD)

    async def _judge(self, following: Following, done: int) -> None:
        place = f"in window {done} of {self._count}, counted from 0"
        if following.error is not None:
            message = f"{self.name} braked {place}, as there were no more: {following.error}"
            raise RuntimeError(message) from following.error
        if not following.stopped:
            return
        waited = 0.0
        while self._ended_well is None and waited < _GRACE:
            await asyncio.sleep(POLL_PERIOD)
            waited += POLL_PERIOD
        if self._ended_well is None:
            raise RuntimeError(
                f"{self.name} braked {place}: somebody else has moved or stopped one of its axes"
            )
        if not self._ended_well:
            raise RuntimeError(f"{self.name} was stopped {place}")

    # Where the simulator lives

    def _plan(self, source: Callable[[], Iterable[AnyWindow]]) -> tuple[Planner, dict[str, int]]:
        first = next(iter(source()), None)
        if first is None:
            raise ValueError(f"{self.name or 'a trajectory'} has no windows to fly through")
        given: Any = getattr(first, "moves", None) or getattr(first, "positions", None) or {}
        flown = {name: axis for name, axis in self._axes.items() if self._all or name in given}
        drives = {
            name: Drive(axis.velocity, axis.acceleration, axis.limits, self._max_velocity.get(name))
            for name, axis in flown.items()
        }
        planner = Planner(
            drives,
            self._world.frequency,
            settle=self._settle,
            turnaround=self._turnaround,
        )
        return planner, planner.start(first)

    def _go(self, start: Mapping[str, int]) -> int:
        own = {self._axes[name].name: to_float(place) for name, place in start.items()}
        return self._world.move(own)

    def _brake(self) -> None:
        for axis in self._moving.values():
            axis.stop()

    def _moves(self) -> bool:
        return any(axis.moving() for axis in self._moving.values())

    def _is_there(self, start: Mapping[str, int]) -> bool:
        return all(
            abs(to_fixed(self._axes[name].position()) - place) <= _THERE
            for name, place in start.items()
        )

    def _set_off(self, prepared: _Prepared) -> Following:
        if self._moves() or not self._is_there(prepared.start):
            raise RuntimeError(
                f"cannot kick off {self.name}: an axis has moved since it was prepared"
            )
        legs = prepared.planner.legs(prepared.windows())
        return self._world.follow(legs, self._gate, self._axes)

    def _done(self, following: Following) -> int:
        return following.windows(self._world.present())

    def _flies(self) -> bool:
        return self._following is not None and not self._following.over


def _directly(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _repeatable(windows: Windows) -> Callable[[], Iterable[AnyWindow]]:
    if callable(windows):
        return windows
    # an iterator comes to its end, anything else begins anew
    again = windows if iter(windows) is not windows else list(windows)
    return lambda: again


def _count(planner: Planner, windows: Iterable[AnyWindow]) -> int:
    return sum(1 for _ in planner.legs(windows))


def _set_soon(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(event.set)
