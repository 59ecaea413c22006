"""Hardware that only remembers: registers keep what is written, nothing else ever happens.

It stands for the simulated hardware of the reference server: buses never change, and
while armed there is one sample every 100 ms, word k of sample n being k + 256 n. Another
source may take the place of that trickle.

Source: protocol.md 9 (last paragraph).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from panda_simulator.hardware import (
    BIT_BUS_SIZE,
    POSITION_BUS_SIZE,
    CaptureSink,
    Completion,
)

PERIOD = 0.1
_SHORTEST_WAIT = 0.001
_WORD_MASK = 0xFFFFFFFF


class SampleSource(Protocol):
    """What makes the samples of an acquisition."""

    def arm(self, words: int, sink: CaptureSink) -> None:
        """Begin, with samples of so many words."""

    def disarm(self) -> None:
        """End, if it has begun."""

    def advance(self) -> None:
        """Deliver what is due by now; called before the server acts on a request."""

    async def run(self) -> None:
        """Deliver what is due whenever it is, until cancelled."""
        ...


class Trickle:
    """A sample every 100 ms (SampleSource)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start disarmed.

        Args:
            clock: seconds that pace the samples.
        """
        self._clock = clock
        self._sink: CaptureSink | None = None
        self._armed = asyncio.Event()
        self._words = 0
        self._armed_at = 0.0
        self._sent = 0

    def arm(self, words: int, sink: CaptureSink) -> None:
        """Begin; the first sample is due at once (SampleSource.arm)."""
        self._sink = sink
        self._words = words
        self._armed_at = self._clock()
        self._sent = 0
        self._armed.set()

    def disarm(self) -> None:
        """End, as if PCAP.ENABLE had fallen (SampleSource.disarm)."""
        self.advance()
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.ended(Completion.OK)

    def advance(self) -> None:
        """Deliver what is due (SampleSource.advance)."""
        while self._sink is not None and self._clock() >= self._due():
            first = np.uint32(256 * self._sent & _WORD_MASK)
            self._sent += 1
            words = np.arange(self._words, dtype=np.uint32) + first
            self._sink.samples(words.astype("<u4").tobytes())

    async def run(self) -> None:
        """Deliver until cancelled (SampleSource.run)."""
        self._armed = asyncio.Event()
        while True:
            self.advance()
            if self._sink is None:
                self._armed.clear()
                await self._armed.wait()
            else:
                await asyncio.sleep(max(self._due() - self._clock(), _SHORTEST_WAIT))

    def _due(self) -> float:
        return self._armed_at + PERIOD * self._sent


class EchoHardware:
    """The registers of a box, and samples that count (hardware.Hardware)."""

    def __init__(
        self,
        source: SampleSource | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Start with all registers at 0.

        Args:
            source: of the samples; a `Trickle` if not given.
            clock: seconds that pace the trickle.
            now_ns: wall clock for the time of the start, ns since 1970.
        """
        self.clock_frequency = 0
        self.version: tuple[int, int, int] = (0, 0, 0)
        self.std_dev = True
        self._source = source or Trickle(clock)
        self._now_ns = now_ns
        self._registers: dict[tuple[str, int, str], int] = {}
        self._bits = np.zeros(BIT_BUS_SIZE, np.bool_)
        self._positions = np.zeros(POSITION_BUS_SIZE, np.int32)

    def hold(
        self,
        registers: Mapping[tuple[str, int, str], int],
        bits: Mapping[tuple[str, int, str], int],
        positions: Mapping[tuple[str, int, str], int],
    ) -> None:
        """Hold values from the start, on the buses for ever.

        Args:
            registers: block, number and field to value, unsigned 32-bit.
            bits: the same to an index on the bit bus.
            positions: the same to an index on the position bus.
        """
        self._registers.update(registers)
        for key, index in bits.items():
            self._bits[index] = bool(registers.get(key, 0))
        for key, index in positions.items():
            self._positions[index] = np.uint32(registers.get(key, 0)).astype(np.int32)

    def advance(self) -> None:
        """Deliver the samples that are due (Hardware.advance)."""
        self._source.advance()

    async def run(self) -> None:
        """Deliver samples until cancelled (Hardware.run)."""
        await self._source.run()

    def write_register(self, block: str, number: int, register: str, value: int) -> None:
        """Remember a value."""
        self._registers[block, number, register] = value & _WORD_MASK

    def read_register(self, block: str, number: int, register: str) -> int:
        """Return the value last written."""
        return self._registers.get((block, number, register), 0)

    def write_table(
        self, block: str, number: int, words: NDArray[np.uint32], *, streaming: bool, last: bool
    ) -> None:
        """Take any table."""

    def queued_words(self, block: str, number: int) -> int:  # noqa: ARG002 (none)
        """Return 0: a table is gone at once."""
        return 0

    def read_bits(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return a bus on which nothing changes."""
        return self._bits, np.zeros(BIT_BUS_SIZE, np.bool_)

    def read_positions(self) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return a bus on which nothing changes."""
        return self._positions, np.zeros(POSITION_BUS_SIZE, np.bool_)

    def arm(self, entries: Sequence[int], sink: CaptureSink) -> None:
        """Start at once: there is no ENABLE to wait for."""
        sink.started(self._now_ns(), None)
        self._source.arm(len(entries), sink)

    def disarm(self, found: Completion = Completion.DISARMED) -> None:
        """End the acquisition (Hardware.disarm)."""
        del found
        self._source.disarm()
