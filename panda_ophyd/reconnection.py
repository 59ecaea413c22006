"""After a lost link the same device comes back by itself: tried again and again.

A connection is used once, so each try is a new session bound to the same signals; whoever
monitors them goes on. What was under way when the link was lost has failed by then, and
stays failed: only the next scan finds the box again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

DELAYS = (0.5, 1.0, 2.0, 5.0)
"""Seconds before the first tries; the last is repeated."""

FEW = 8
"""Settings that a message names."""

logger = logging.getLogger(__name__)


class Reconnection:
    """Tries to reconnect for as long as it takes.

    Args:
        where: the box, for messages.
        attempt: reconnects, and raises if that fails.
        is_lost: whether there is still reason to.
    """

    def __init__(
        self, where: str, attempt: Callable[[], Awaitable[None]], is_lost: Callable[[], bool]
    ) -> None:
        self._where = where
        self._attempt = attempt
        self._is_lost = is_lost
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start trying, unless that is going on."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"reconnect {self._where}")

    async def stop(self) -> None:
        """Try no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        tries = 0
        while self._is_lost():
            await asyncio.sleep(DELAYS[min(tries, len(DELAYS) - 1)])
            if not self._is_lost():
                return
            tries += 1
            try:
                await self._attempt()
            except Exception as failure:  # noqa: BLE001  whatever it was, it may pass
                level = logging.WARNING if tries == 1 else logging.DEBUG
                logger.log(level, "%s: not back yet, trying on: %s", self._where, failure)
            else:
                logger.warning("%s: connected again, at try %d", self._where, tries)


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Say which settings are not what they were, in one line; "" if all are.

    Args:
        before: target to text, of settings alone.
        now: the same of the box as it came back; what it does not have is left out.
    """
    other = sorted(t for t, text in before.items() if t in now and now[t] != text)
    if not other:
        return ""
    more = len(other) - FEW
    listed = ", ".join(other[:FEW]) + (f" and {more} more" if more > 0 else "")
    return (
        f"{len(other)} settings are not what they were ({listed}): it was restarted, or"
        " somebody has changed them; load the design again"
    )
