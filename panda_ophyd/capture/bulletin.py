"""Waiting for a condition that somebody else brings about, without missing the moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Bulletin:
    """Wakes whoever waits, to look again, in the order of waiting. For one event loop."""

    def __init__(self) -> None:
        self._waiters: dict[asyncio.Future[None], None] = {}  # a set that keeps its order

    def announce(self) -> None:
        """Say that something has changed."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], object]) -> None:
        """Return when the condition holds; it is looked at now and after each announcement."""
        while not condition():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters[waiter] = None
            try:
                await waiter
            finally:
                del self._waiters[waiter]
