"""How a flight goes: rows and time left for progress bars, a failure as soon as it is known."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from ophyd_async.core import WatcherUpdate


class Rate:
    """Rows and the time that is left, from the counts as they come.

    Args:
        period: seconds a row takes as far as settings tell, until rows tell better.
    """

    def __init__(self, period: float | None = None) -> None:
        self._period = period
        self._first: tuple[float, int] | None = None

    def __call__(self, update: WatcherUpdate[int]) -> WatcherUpdate[int]:
        """Return the update with the time left.

        The clock runs from the first update that shows more than the one before it, so
        the time until the first trigger does not count.
        """
        now = time.monotonic()
        total = update.target - update.initial
        done = update.current - update.initial
        remaining = None if self._period is None else max(total - done, 0) * self._period
        if self._first is None:
            if done > 0:
                self._first = (now, done)
        elif (rows := done - self._first[1]) > 0:
            remaining = max(total - done, 0) * (now - self._first[0]) / rows
        return dataclasses.replace(
            update,
            unit=" rows",
            fraction=min(done / total, 1.0) if total > 0 else None,
            time_remaining=remaining,
        )


async def first_failure(*waits: Callable[[], Any]) -> None:
    """Wait for several coroutine functions that only ever raise, and raise what the first does."""
    tasks = [asyncio.ensure_future(wait()) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def fail_early(
    updates: AsyncIterator[Any], raise_failure: Callable[[], Any]
) -> AsyncIterator[Any]:
    """Pass updates on, until they end or the failure is raised, whichever is first.

    Args:
        updates: what is being waited for.
        raise_failure: coroutine function that raises when there is a failure.
    """
    failure = asyncio.ensure_future(raise_failure())
    following: asyncio.Future[Any] | None = None
    try:
        while True:
            following = asyncio.ensure_future(anext(updates))
            await asyncio.wait((following, failure), return_when=asyncio.FIRST_COMPLETED)
            if failure.done():
                failure.result()
            try:
                update = await following
            except StopAsyncIteration:
                return
            yield update
    finally:
        pending = [f for f in (following, failure) if f is not None and not f.done()]
        for future in pending:
            future.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
