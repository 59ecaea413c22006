"""A flyer as the RunEngine sees it: upstream's, and it can be paused, resumed and stopped."""

from __future__ import annotations

from typing import Any, Self, TypeVar

from ophyd_async.core import FlyableLogic, StandardFlyable

PrepareT = TypeVar("PrepareT")
CtxT = TypeVar("CtxT")


class PandaFlyer(StandardFlyable[PrepareT, CtxT]):
    """A flyer of one of our logics.

    The RunEngine calls `pause` and `resume` on it. What they mean is the logic's affair: one
    that has an ``on_pause`` is asked, others go on.
    """

    @classmethod
    def of(cls, logic: FlyableLogic[PrepareT, CtxT], name: str) -> Self:
        """Make the device of a logic."""
        flyer = cls(name=name)
        flyer.flyable_logic = logic
        return flyer

    async def pause(self) -> None:
        """Stop triggering, when the RunEngine pauses."""
        on_pause: Any = getattr(self.flyable_logic, "on_pause", None)
        if on_pause is not None:
            await on_pause()

    async def resume(self) -> None:
        """Go on, or say why that cannot be."""
        on_resume: Any = getattr(self.flyable_logic, "on_resume", None)
        if on_resume is not None:
            await on_resume()

    async def stop(self, success: bool = True) -> None:  # noqa: ARG002  however it went
        """Stop triggering, for good."""
        await self.flyable_logic.stop()
