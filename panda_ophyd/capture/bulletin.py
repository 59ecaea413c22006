"""Waiting for a condition that somebody else brings about, without missing the moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Bulletin:
    """Wakes whoever waits, to look again, in the order of waiting. For one event loop.

    Args:
        on_news: called on the loop before anybody is woken because of `post`.
    """

    def __init__(self, on_news: Callable[[], object] = lambda: None) -> None:
        self._on_news = on_news
        self._waiters: dict[asyncio.Future[None], None] = {}  # a set that keeps its order
        self._loop: asyncio.AbstractEventLoop | None = None
        self._posted = False

    def open(self) -> None:
        """Let other threads post to the loop that runs now."""
        self._loop = asyncio.get_running_loop()

    def post(self) -> None:
        """Say from any thread that something has changed; many may be delivered as one.

        Raises:
            RuntimeError: the loop is closed.
        """
        # Cleared before anybody looks, so what was changed before this is seen
        if self._loop and not self._posted:
            self._posted = True
            self._loop.call_soon_threadsafe(self._deliver)

    def announce(self) -> None:
        """Say on the loop that something has changed."""
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

    def _deliver(self) -> None:
        self._posted = False
        self._on_news()
        self.announce()
