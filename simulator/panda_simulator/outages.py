"""The box goes away and comes back, and other things that happen to all of it at once.

Source: protocol.md 9 (what a server keeps over a restart is in its files, nothing else).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from panda_simulator.engine import Engine

_PORTS = {"control": ("control",), "data": ("data",), "both": ("control", "data")}
_LOG = logging.getLogger(__name__)


class Outages:
    """What can happen to the box (faults.Machine).

    Attributes:
        ahead_ns: how much too late the date of the box is.
    """

    def __init__(self, engine: Callable[[], Engine]) -> None:
        """Have none yet.

        Args:
            engine: finds what runs the box, which may be made later.
        """
        self.ahead_ns = 0
        self._running = False
        self._engine = engine
        self._down = Counter[str]()
        self._tasks = set[asyncio.Task[None]]()
        self._timers = set[asyncio.TimerHandle]()

    def start(self) -> None:
        """Let things happen from now on."""
        self._running = True

    async def stop(self) -> None:
        """Let nothing happen any more."""
        self._running = False
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._down.clear()

    async def away(self, seconds: float, *, settings_lost: bool, reset: bool) -> None:
        """Be away for some seconds, or until `stop`: connections drop, both ports refuse new ones.

        Raises:
            OSError: the ports could not be had again.
            RuntimeError: the box does not run.
        """
        if not self._running:
            raise RuntimeError("the simulator does not run: start it first")
        task = self._begin(self._away(seconds, settings_lost=settings_lost, reset=reset))
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        if not task.cancelled():
            task.result()

    def reboot(self, seconds: float, *, reset: bool) -> None:
        """Begin to be away; settings are lost (faults.Machine)."""
        self._begin(self._away(seconds, settings_lost=True, reset=reset))

    def restart(self, seconds: float, *, reset: bool) -> None:
        """Begin to be away; settings stay (faults.Machine)."""
        self._begin(self._away(seconds, settings_lost=False, reset=reset))

    def refuse(self, port: str, seconds: float) -> None:
        """Begin to refuse new connections (faults.Machine)."""
        self._begin(self._refuse(port, seconds))

    def command(self, line: str) -> str:
        """Do a command of some other client (faults.Machine)."""
        return self._engine().server.command(line)

    def jump(self, seconds: float) -> None:
        """Set the date of the box (faults.Machine)."""
        self.ahead_ns += round(seconds * 1e9)

    def later(self, seconds: float, function: Callable[[], Any]) -> None:
        """Call a function after some seconds (faults.Machine)."""

        def call() -> None:
            self._timers.discard(timer)
            function()

        timer = asyncio.get_running_loop().call_later(seconds, call)
        self._timers.add(timer)

    async def _away(self, seconds: float, *, settings_lost: bool, reset: bool) -> None:
        power_up = partial(self._engine().power_up, settings_lost=settings_lost, reset=reset)
        await self._refuse("both", seconds, power_up)

    async def _refuse(
        self, port: str, seconds: float, meanwhile: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        ports = _PORTS[port]
        server = self._engine().server
        self._down.update(ports)
        try:
            await server.refuse(ports)
            if meanwhile is not None:
                await meanwhile()
            await asyncio.sleep(seconds)
        finally:
            self._down.subtract(ports)
        await server.accept([port for port in ports if not self._down[port]])

    def _begin(self, outage: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(outage)
        if not self._running:
            task.cancel()
        self._tasks.add(task)
        task.add_done_callback(self._report)
        return task

    def _report(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("the simulated box has not come back: %s", error, exc_info=error)
