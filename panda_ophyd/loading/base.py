"""What every way of loading has in common: it feeds, it is given up, it knows how far it is."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from panda_ophyd.loading.port import TablePort, TableStatus

Kind = Literal["fixed", "streamed", "double-buffered"]

LONGEST_POLL = 0.5
SHORTEST_POLL = 0.01
"""Bounds of the seconds between two looks at a sequencer."""

_LOOKS = 4


def poll_period(queued: float) -> float:
    """Return when to look again, s, while lines of so many seconds wait in the box.

    Four times before they are played, so that what is left is refilled well before.
    """
    return min(max(queued / _LOOKS, SHORTEST_POLL), LONGEST_POLL)


class Loading(ABC):
    """Lines on their way into a box; `load` makes it, with the first of them in.

    The user enables and disables the sequencer: disabled before `load`, enabled after it;
    and, when something went wrong, disabled before `abandon`.
    """

    kind: ClassVar[Kind]

    def __init__(self, port: TablePort) -> None:
        self.port = port
        # a look that is as old as the write before last would free what is not free
        self._busy = asyncio.Lock()

    @property
    @abstractmethod
    def lines(self) -> int:
        """Lines handed over so far."""

    @property
    @abstractmethod
    def total_frames(self) -> int:
        """Frames of the scan that the lines handed over so far make."""

    @property
    @abstractmethod
    def handed_over(self) -> bool:
        """Whether nothing is left to hand over."""

    @abstractmethod
    async def feed(self) -> None:
        """Hand over the rest while it is played; return when everything was handed over.

        It may be cancelled and called again, unless it was cancelled inside a write.

        Raises:
            SequenceError: the sequencer stopped, or the lines came too late.
            PandaError: the link was lost, or a request was refused.
            Exception: whatever the generator of the lines raises. What was handed over is
                then still played, and the sequencer stops when it has no more.
        """

    @abstractmethod
    async def check(self) -> TableStatus:
        """Return where the sequencer is, also when all was handed over, or beside `feed`.

        Raises:
            SequenceError: it stopped because of a fault.
            PandaError: it could not be asked.
        """

    @abstractmethod
    def frames_done(self, status: TableStatus) -> int | None:
        """Return how many frames were complete at a status, None if not known."""

    def is_over(self, status: TableStatus) -> bool:
        """Return whether a status that `check` gave is one after which nothing is played."""
        return not status.active

    def place(self, status: TableStatus) -> tuple[int, int, int]:
        """Return run, line and repeat of a line at a status, of the lines that were given.

        They are those of the table unless lines had to be split to be loaded.
        """
        return status.place

    async def abandon(self) -> None:
        """Drop every table, whatever its mode, also in the middle of `feed` once cancelled.

        Raises:
            PandaError: the link is lost, or another connection is writing the table.
        """
        await self.port.clear()
