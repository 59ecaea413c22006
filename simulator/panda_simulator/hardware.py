"""What the server sees of the FPGA: registers, two buses, tables and one capture engine.

Two things implement `Hardware`: `fabric.Fabric`, whose blocks tick, and
`echo.EchoHardware`, which only remembers registers as the reference server's own
simulation does, and may have a firehose of samples. The server side of the simulator
(control port, data port, box) knows nothing else about either.

Registers are addressed by the names of `blocks.md`: a field's own name for
one-register fields (``("PULSE", 1, "TRIG_EDGE")``); ``NAME_L`` and ``NAME_H``
for the two halves of a `time` class field; for a `bit_mux` the name holds the bus
index (128 = ZERO, 129 = ONE) and ``NAME_DELAY`` the delay in ticks; for a `pos_mux` the name
holds the bus index (32 = ZERO). All values are unsigned 32-bit; instances count from 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

BIT_BUS_SIZE = 128
POSITION_BUS_SIZE = 32
BIT_ZERO = 128
BIT_ONE = 129
POSITION_ZERO = 32


class Completion(IntFlag):
    """How an acquisition ended: bits that the hardware reports, 0 = Ok.

    Source: protocol.md 7.1 and 8.7, in order of priority.
    """

    OK = 0
    DISARMED = 1
    FRAMING_ERROR = 2
    DRIVER_OVERRUN = 4
    DMA_ERROR = 8


class CaptureSink(Protocol):
    """Where the capture engine delivers an acquisition, in this order of calls."""

    def started(self, start_time_ns: int, hardware_time_ns: int | None) -> None:
        """PCAP is armed and enabled: ns since 1970, and the hardware's own if it has one."""

    def samples(self, data: bytes) -> None:
        """Hand over whole samples, 32-bit little-endian words in the order of the capture list."""

    def ended(self, completion: Completion) -> None:
        """The acquisition is over; nothing follows."""


class Hardware(Protocol):
    """The FPGA as the server sees it. Not thread safe: everything on one event loop."""

    clock_frequency: int
    """Hz; 0 means the hardware does not say."""
    version: tuple[int, int, int]
    """FPGA version, build and user words, unsigned 32-bit."""
    std_dev: bool
    """Whether the capture engine offers the sum of squares."""

    def advance(self) -> None:
        """Catch up with the clock; called before the server acts on a request."""

    async def run(self) -> None:
        """Follow the clock until cancelled; leaves the event loop responsive."""
        ...

    def write_register(self, block: str, number: int, register: str, value: int) -> None:
        """Write an unsigned 32-bit value; being written is a strobe."""

    def read_register(self, block: str, number: int, register: str) -> int:
        """Return the unsigned 32-bit value of a readable register (0 if it has none)."""
        ...

    def write_table(
        self, block: str, number: int, words: NDArray[np.uint32], *, streaming: bool, last: bool
    ) -> None:
        """Load a whole fixed table or one segment of a streamed one; empty words clear it.

        Raises:
            OSError: no free buffer (ENOMEM) or the stream has ended (EPIPE); protocol.md 5.5.
        """

    def queued_words(self, block: str, number: int) -> int:
        """Words of the table that the hardware still holds (protocol.md 5.4)."""
        ...

    def read_bits(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Snapshot of the bit bus: values (128,), and which changed since the last snapshot."""
        ...

    def read_positions(self) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Snapshot of the position bus: values (32,), and which changed since the last snapshot."""
        ...

    def arm(self, entries: Sequence[int], sink: CaptureSink) -> None:
        """Load the capture list (10-bit entries, blocks.md 4.1) and arm PCAP."""

    def disarm(self, found: Completion = Completion.DISARMED) -> None:
        """Ask the running acquisition to stop; its sink is told when it has.

        Args:
            found: what the hardware is to have found, if it is to be at fault itself.
        """
