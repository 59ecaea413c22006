"""A flyer as the RunEngine sees it: upstream's, that tells how far it is and can be paused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, TypeVar, cast

from ophyd_async.core import FlyableLogic, StandardFlyable, WatchableAsyncStatus, WatcherUpdate
from typing_extensions import override

PrepareT = TypeVar("PrepareT")
CtxT = TypeVar("CtxT")

PROGRESS_PERIOD = 0.25
"""Seconds between two tellings of how far a flyer is."""


class PandaFlyableLogic(FlyableLogic[PrepareT, CtxT]):
    """What our logics do beside upstream's hooks.

    Attributes:
        interrupted: whether the last run was paused before its end; whoever prepares it again
            goes on where rows end.
    """

    interrupted: bool = False

    @property
    def frames_begun(self) -> int | None:
        """Frames of the last run that had begun when it was paused; None if nobody knows."""
        return None

    def progress(self) -> tuple[int, int | None] | None:
        """Return how many frames or pulses are over, of how many; None if nobody knows."""
        return None

    async def on_pause(self) -> None:
        """Stop triggering, when the RunEngine pauses; others go on."""

    async def on_resume(self) -> None:
        """Go on, or say why that cannot be."""

    @override
    def with_device(self, name: str = "") -> PandaFlyer[PrepareT, CtxT]:
        flyer = PandaFlyer[PrepareT, CtxT](name=name)
        flyer.flyable_logic = self
        return flyer


class PandaFlyer(StandardFlyable[PrepareT, CtxT]):
    """A flyer of one of our logics; the RunEngine calls `pause` and `resume` on it."""

    @property
    def _logic(self) -> PandaFlyableLogic[Any, Any]:
        logic: Any = self.flyable_logic
        return logic

    @WatchableAsyncStatus.wrap
    @override
    async def complete(self) -> AsyncIterator[WatcherUpdate[int]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        begun = time.monotonic()
        flight: Any = cast("Any", super()).complete()
        try:
            while True:
                over, _ = await asyncio.wait({flight.task}, timeout=PROGRESS_PERIOD)
                known = self._logic.progress()
                if known is not None:
                    done, wanted = known
                    yield WatcherUpdate(
                        name=self.name,
                        current=done,
                        initial=0,
                        target=done if wanted is None else wanted,
                        unit="",
                        precision=0,
                        time_elapsed=time.monotonic() - begun,
                    )
                if over:
                    break
            await flight
        finally:
            flight.task.cancel()

    async def pause(self) -> None:
        """Stop triggering."""
        await self._logic.on_pause()

    async def resume(self) -> None:
        """Go on, or say why that cannot be."""
        await self._logic.on_resume()

    async def stop(self, success: bool = True) -> None:  # noqa: ARG002  bluesky's Stoppable
        """Stop triggering, for good."""
        await self._logic.stop()
