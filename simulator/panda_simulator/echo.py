"""Hardware that only remembers: registers keep what is written, nothing else ever happens.

It stands for the simulated hardware of the reference server: buses never change, and
while armed there is one sample every 100 ms, word k of sample n being k + 256 n.

Source: protocol.md 9 (last paragraph).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from panda_simulator.hardware import (
    BIT_BUS_SIZE,
    POSITION_BUS_SIZE,
    CaptureSink,
    Completion,
)

PERIOD = 0.1
_WORD_MASK = 0xFFFFFFFF


class EchoHardware:
    """The registers of a box, and samples that count (hardware.Hardware)."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Start with all registers at 0.

        Args:
            clock: seconds that pace the samples.
            now_ns: wall clock for the time of the start, ns since 1970.
        """
        self.clock_frequency = 0
        self.version: tuple[int, int, int] = (0, 0, 0)
        self.std_dev = True
        self._clock = clock
        self._now_ns = now_ns
        self._registers: dict[tuple[str, int, str], int] = {}
        self._sink: CaptureSink | None = None
        self._words = 0
        self._armed_at = 0.0
        self._sent = 0

    def advance(self) -> None:
        """Deliver the samples that are due; the first one is due at ARM."""
        while self._sink is not None and self._clock() >= self._armed_at + PERIOD * self._sent:
            first = np.uint32(256 * self._sent & _WORD_MASK)
            self._sent += 1
            words = np.arange(self._words, dtype=np.uint32) + first
            self._sink.samples(words.astype("<u4").tobytes())

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
        """Return a bus on which everything is 0 and nothing changes."""
        return np.zeros(BIT_BUS_SIZE, np.bool_), np.zeros(BIT_BUS_SIZE, np.bool_)

    def read_positions(self) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return a bus on which everything is 0 and nothing changes."""
        return np.zeros(POSITION_BUS_SIZE, np.int32), np.zeros(POSITION_BUS_SIZE, np.bool_)

    def arm(self, entries: Sequence[int], sink: CaptureSink) -> None:
        """Start at once: there is no ENABLE to wait for."""
        self._sink = sink
        self._words = len(entries)
        self._armed_at = self._clock()
        self._sent = 0
        sink.started(self._now_ns(), None)

    def disarm(self) -> None:
        """End, as if PCAP.ENABLE had fallen."""
        self.advance()
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.ended(Completion.OK)
