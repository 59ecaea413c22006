"""What goes on behind the ports: hardware that runs, and settings that are kept; both begin anew.

Source: protocol.md 10.5.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from panda_simulator.box import Box
from panda_simulator.server import Server
from panda_simulator.state import StateFile, StateTimes

_LOG = logging.getLogger(__name__)


class Engine:
    """Runs the box that a server serves.

    Attributes:
        server: whose box it is.
    """

    def __init__(
        self,
        server: Server,
        box_at_power_up: Callable[[], Box],
        state: Path | None,
        times: StateTimes,
    ) -> None:
        """Restore the settings; nothing runs yet.

        Args:
            server: whose box it is.
            box_at_power_up: makes such a box anew.
            state: the file that keeps its settings, if there is one.
            times: of the file.

        Raises:
            StateError: the file cannot be read, or cannot be written where it is.
            ValueError: the times make no sense.
        """
        self.server = server
        self._box_at_power_up = box_at_power_up
        self._path = state
        self._times = times
        self._state = self._restored()
        self._running: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Run, until `stop`."""
        self._run()
        self._keep()

    async def stop(self) -> None:
        """Stop, and save what has changed; when the server has stopped.

        Raises:
            Exception: what the hardware failed with, if it did.
        """
        running, self._running = self._running, None
        keeping, self._keeping = self._keeping, None
        try:
            await _cancelled(keeping)
            if keeping is not None and self._state is not None:
                self._state.save_changes()
        finally:
            await _end(running)

    async def wait_failed(self) -> None:
        """Wait until the hardware fails, or `stop`."""
        while (running := self._running) is not None:
            await asyncio.wait({running})
            if running is self._running:  # not one that a new box has replaced
                return

    async def power_up(self, *, settings_lost: bool, reset: bool) -> None:
        """Drop all connections and begin anew.

        Args:
            settings_lost: whether the box is as it was made, or as its state file has it.
            reset: whether clients see a reset, not an end of the connection.

        Raises:
            StateError: the state file cannot be used any more.
        """
        keeping, self._keeping = self._keeping, None
        await _cancelled(keeping)
        if not settings_lost and self._state is not None:
            self._state.save_changes()
        await self.server.drop(reset=reset)
        box = self.server.box
        self.server.acquisition.disarm()
        self.server.serve(self._box_at_power_up() if settings_lost else box)
        if settings_lost:
            self._run()
            self._state = self._restored()
        self._keep()

    def _restored(self) -> StateFile | None:
        if self._path is None:
            return None
        facilities = self.server.facilities
        state = StateFile(self._path, facilities, self._times)
        state.restore()
        facilities.save_state = state.save
        return state

    def _run(self) -> None:
        before = self._running
        self._running = asyncio.create_task(self.server.box.hardware.run())
        self._running.add_done_callback(partial(_report_failure, "the simulated hardware has"))
        if before is not None:
            before.cancel()

    def _keep(self) -> None:
        if self._state is not None:
            self._keeping = asyncio.create_task(self._state.run())
            self._keeping.add_done_callback(partial(_report_failure, "keeping the settings has"))


async def _cancelled(task: asyncio.Task[None] | None) -> None:
    """End a task; what it failed with was reported when it did."""
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _report_failure(what: str, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOG.error("%s stopped: %s", what, error, exc_info=error)
