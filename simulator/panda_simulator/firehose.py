"""Load on the data port: samples that count, as many as are asked for.

The words of a sample are those of the echo hardware, word k of sample n being k + 256 n, so
that who receives them can check every one.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from panda_simulator.hardware import CaptureSink, Completion

CHUNK_BYTES = 1 << 19
"""What one turn of the event loop makes at most: some tenths of a millisecond."""

_INTERVAL = 0.005
"""Seconds between two chunks of a slow stream."""

_POLL = 0.001
_AHEAD = 4
"""Blocks that wait for the slowest client when clients set the pace."""

_LONGEST_LAG = 0.5
"""Seconds that are made up for; what is more is lost to the rate."""

_MEGABYTE = 1_000_000
_LOG = logging.getLogger(__name__)


@runtime_checkable
class PacedSink(Protocol):
    """A sink that knows how far its clients are."""

    @property
    def backlog(self) -> int | None:
        """Blocks that the slowest client has still to take; None without clients."""
        ...


class Firehose:
    """Makes samples while armed (echo.SampleSource)."""

    def __init__(
        self,
        rate: float = 0.0,
        samples: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start disarmed.

        Args:
            rate: MB/s of raw samples, whether clients take them or not; 0 is as fast as
                the slowest client takes them, and nothing without a client.
            samples: after which an acquisition ends by itself; None goes on until
                disarmed.
            clock: seconds.

        Raises:
            ValueError: a rate that is negative or not finite, or a number of samples
                that is not positive.
        """
        if not 0 <= rate < math.inf:
            raise ValueError(f"firehose of {rate} MB/s: has to be 0 or more, and finite")
        if samples is not None and samples < 1:
            raise ValueError(f"firehose of {samples} samples: has to be 1 or more")
        self._rate = rate * _MEGABYTE
        self._limit = math.inf if samples is None else samples
        self._clock = clock
        self._sink: CaptureSink | None = None
        self._armed = asyncio.Event()
        self._pattern: NDArray[np.uint32] = np.empty((0, 0), np.uint32)
        self._begun = 0.0
        self._armed_at = 0.0
        self._made = 0

    def arm(self, words: int, sink: CaptureSink) -> None:
        """Begin a stream of samples."""
        count = max(CHUNK_BYTES // (4 * words), 1)
        samples = 256 * np.arange(count, dtype=np.uint32)[:, None]
        self._pattern = samples + np.arange(words, dtype=np.uint32)
        self._sink = sink
        self._begun = self._armed_at = self._clock()
        self._made = 0
        self._armed.set()

    def disarm(self) -> None:
        """End the stream."""
        self._end(Completion.DISARMED)

    def advance(self) -> None:
        """Make nothing: `run` does, lest a command wait for a load that it did not ask for."""

    async def run(self) -> None:
        """Make samples, a chunk in a turn of the event loop, until cancelled."""
        self._armed = asyncio.Event()
        while True:
            if self._sink is None:
                self._armed.clear()
                await self._armed.wait()
            await asyncio.sleep(self.pump())

    def pump(self) -> float:
        """Make a chunk of what is due; return the seconds until there is more to do."""
        if self._sink is None:
            return 0.0
        due = min(self._due(), self._limit - self._made)
        count = int(min(due, len(self._pattern)))
        if count:
            first = np.uint32(256 * self._made & 0xFFFFFFFF)
            self._made += count
            self._sink.samples((self._pattern[:count] + first).astype("<u4").tobytes())
            if self._made >= self._limit:
                self._end(Completion.OK)
        if due > count or (count and not self._rate):
            return 0.0
        return _INTERVAL if self._rate else _POLL

    def _due(self) -> float:
        if not self._rate:
            backlog = self._sink.backlog if isinstance(self._sink, PacedSink) else 0
            return len(self._pattern) if backlog is not None and backlog < _AHEAD else 0
        per_second = self._rate / (4 * self._pattern.shape[1])
        due = math.floor((self._clock() - self._begun) * per_second) - self._made
        if due > (limit := _LONGEST_LAG * per_second):
            self._begun += (due - limit) / per_second
            due = limit
        return due

    def _end(self, completion: Completion) -> None:
        sink, self._sink = self._sink, None
        if sink is None:
            return
        lost = self._begun - self._armed_at
        if lost > 0:
            _LOG.warning(
                "the firehose was too slow for %g MB/s: %.1f s of its samples were not made",
                self._rate / _MEGABYTE,
                lost,
            )
        sink.ended(completion)
