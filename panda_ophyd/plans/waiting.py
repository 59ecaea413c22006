"""Waiting in a plan that can be paused: for statuses, with something to do meanwhile.

The RunEngine's own ``wait`` forgets its group when it is paused in it, and goes on at once after
`resume` as if everything was over (bluesky 1.15, ``RunEngine._wait``). So these plans
keep the statuses themselves; a status that fails is thrown into the plan anyway.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# (bluesky leaves the parameters of its generics open in these calls)

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

SETTLE_PERIOD = 0.5
"""Seconds between two checkpoints while nothing is to be done but wait."""


class Status(Protocol):
    """What bluesky says of a status."""

    @property
    def done(self) -> bool:
        """Whether it is over."""
        ...

    def add_callback(self, callback: Callable[[Any], None], /) -> None:
        """Call back once it is."""
        ...


class Finish:
    """Statuses that are waited for together, in any number of calls.

    Args:
        statuses: all that have to be done.
    """

    def __init__(self, statuses: Sequence[Status]) -> None:
        self._statuses = tuple(statuses)
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        for status in self._statuses:
            status.add_callback(self._tell)

    @property
    def done(self) -> bool:
        """Whether all are."""
        return all(status.done for status in self._statuses)

    def _tell(self, _: Any) -> None:
        # Statuses of ophyd's first version finish in threads of their own
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._changed.set)

    async def within(self, seconds: float) -> None:
        """Return when all are done, or after so long."""
        self._loop = asyncio.get_running_loop()
        deadline = self._loop.time() + seconds
        while not self.done and (left := deadline - self._loop.time()) > 0:
            self._changed.clear()
            if self.done:
                return
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return


def wait_within(finish: Finish, seconds: float) -> MsgGenerator[bool]:
    """Wait until all are done, or so long; return whether they are.

    Args:
        finish: the statuses.
        seconds: at most.
    """
    yield from bps.wait_for([lambda: finish.within(seconds)])
    return finish.done


def settle(finish: Finish) -> MsgGenerator[None]:
    """Wait until all are done, through any number of pauses."""
    while not finish.done:
        yield from bps.checkpoint()
        yield from wait_within(finish, SETTLE_PERIOD)


def each(messages: Iterable[MsgGenerator[Any]]) -> MsgGenerator[Finish]:
    """Send messages that begin something, and return the end of all of it."""
    statuses: list[Any] = []
    for message in messages:
        status: Any = yield from message
        statuses += status if isinstance(status, (list, tuple)) else [status]
    return Finish(statuses)
