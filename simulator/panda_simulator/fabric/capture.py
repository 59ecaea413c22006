"""Carries what PCAP makes to whoever armed it.

Source: blocks.md 4.2; hardware.CaptureSink.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from panda_simulator.behaviours import OVERFLOW, TOO_CLOSE, Pcap, Track
from panda_simulator.fabric.buses import BitBus, PositionBus
from panda_simulator.fabric.latency import Later
from panda_simulator.hardware import CaptureSink, Completion

REPORTED = {TOO_CLOSE: Completion.FRAMING_ERROR, OVERFLOW: Completion.DMA_ERROR}
"""HEALTH of PCAP to what the driver hears of it; blocks.md 4.2."""


class BusView:
    """Both buses as PCAP sees them (behaviours.CaptureBus), some ticks later."""

    def __init__(self, bits: BitBus, positions: PositionBus, hop: int) -> None:
        self.position = positions.seen
        self.bits = bits.seen
        self._lit = bits.lit
        self._hop = hop
        self._tracks = positions.tracks
        self._later = hop - 1

    def lit(
        self, word: int, bits: NDArray[np.uint32], ticks: NDArray[np.int64]
    ) -> NDArray[np.uint32]:
        """Put the bits in that are functions of the tick (lookups.ComputedBits)."""
        return self._lit(word, bits, ticks - self._hop)

    def track(self, index: int) -> Track | None:
        """Return the track that a position is, if it is one, to be seen a tick later."""
        track = self._tracks.get(index)
        return Later(track, self._later) if track and self._later else track


class Acquisition:
    """One arming of PCAP, from ARM to its end."""

    STATE: tuple[str, ...] = ("_started", "_armed")

    def __init__(self, pcap: Pcap, sink: CaptureSink, date_ns: Callable[[int], int]) -> None:
        """Begin with ARM.

        Args:
            pcap: the block.
            sink: of who armed it.
            date_ns: the date of a tick, ns since 1970.
        """
        self._pcap = pcap
        self._sink = sink
        self._date_ns = date_ns
        self._started = False
        self._armed = False

    def follow(self, tick: int) -> bool:
        """Tell the sink what has happened by a tick; return whether it is over."""
        if self._pcap.running and not self._started:
            self._started = True
            self._sink.started(self._date_ns(int(tick)), None)
        if self._pcap.active:
            self._armed = True
            return False
        if not self._armed:  # a trigger came before ARM did, and ends nothing
            return False
        self.deliver(tick)
        self._sink.ended(self._completion())
        return True

    def deliver(self, tick: int) -> None:
        """Hand over the samples that are complete by a tick."""
        self.hand_over(self._pcap.take_samples(tick))

    def hand_over(self, data: bytes) -> None:
        """Hand over samples, if there are some."""
        if data:
            self._sink.samples(data)

    def _completion(self) -> Completion:
        if self._pcap.health:
            return REPORTED[self._pcap.health]
        return Completion.DISARMED if self._pcap.disarmed else Completion.OK
