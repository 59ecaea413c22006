"""One piece of work that a thread does ahead, never two at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Makes the next item in a thread while the one before is in use.

    Args:
        make: makes one; it runs in a thread, and a user who is cancelled leaves it running:
            a generator cannot be stopped in the middle, and what it makes is not lost.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: asyncio.Future[T] | None = None

    def begin(self) -> asyncio.Future[T]:
        """Return the item under way or made and not yet taken, which is begun if there is none."""
        if self._made is None:
            self._made = asyncio.ensure_future(asyncio.to_thread(self._make))
            self._made.add_done_callback(_heard)
        return self._made

    def taken(self) -> None:
        """Say that the item is used up."""
        self._made = None


def _heard(made: asyncio.Future[T]) -> None:
    # an error is told when the item is wanted, and to nobody if it is not
    if not made.cancelled():
        made.exception()
