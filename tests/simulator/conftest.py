"""A wired box for tests of the fabric, driven by short names, and a sink that remembers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from panda_simulator.clock import Clock, SteppedClock
from panda_simulator.fabric import Fabric
from panda_simulator.hardware import BIT_ONE, Completion
from panda_simulator.world import World

BLOCKS = {
    "TTLIN": 6, "TTLOUT": 10, "INENC": 4, "OUTENC": 4, "PCAP": 1, "BITS": 1, "CALC": 2,
    "CLOCK": 2, "COUNTER": 8, "DIV": 2, "FILTER": 2, "LUT": 8, "PCOMP": 2, "PULSE": 4,
    "SEQ": 2, "PGEN": 2, "SRGATE": 4, "SYSTEM": 1, "SFP2_SYNC_IN": 1, "SFP2_SYNC_OUT": 1,
    "FMC_24V_IN": 1, "FMC_24V_OUT": 1, "FUTURE": 1,
}  # fmt: skip
_BITS = {
    "TTLIN": ["VAL"], "INENC": ["A", "B", "Z", "DATA", "CONN"], "OUTENC": ["CLK"],
    "PCAP": ["ACTIVE"], "BITS": ["OUTA", "OUTB", "OUTC", "OUTD"], "CLOCK": ["OUT"],
    "COUNTER": ["CARRY"], "DIV": ["OUTD", "OUTN"], "FILTER": ["READY"], "LUT": ["OUT"],
    "PCOMP": ["ACTIVE", "OUT"], "PULSE": ["OUT"],
    "SEQ": ["ACTIVE", "OUTA", "OUTB", "OUTC", "OUTD", "OUTE", "OUTF"], "PGEN": ["ACTIVE"],
    "SRGATE": ["OUT"], "FMC_24V_IN": [f"VAL{channel}" for channel in range(1, 9)],
}  # fmt: skip
_POSITIONS = {
    "INENC": ["VAL"], "CALC": ["OUT"], "COUNTER": ["OUT"], "FILTER": ["OUT"], "PGEN": ["OUT"],
}  # fmt: skip


def _number(fields: dict[str, list[str]]) -> dict[tuple[str, int, str], int]:
    keys = [
        (block, number, field)
        for block, names in fields.items()
        for field in names
        for number in range(1, BLOCKS[block] + 1)
    ]
    return {key: index for index, key in enumerate(keys)}


BIT = _number(_BITS)
POSITION = _number(_POSITIONS)


class Bench:
    """A fabric with a stepped clock, driven by short names."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        leaps: bool = True,
        hardware_latency: bool = False,
        memory_rate: int | None = None,
    ) -> None:
        self.clock = SteppedClock() if clock is None else clock
        self.world = World(self.clock)
        self.fabric = Fabric(
            BLOCKS, BIT, POSITION, clock=self.clock, world=self.world, leaps=leaps,
            hardware_latency=hardware_latency, memory_rate=memory_rate,
        )  # fmt: skip

    def set(self, block: str, number: int = 1, **registers: int | str) -> None:
        """Write registers; ``"PCOMP1.OUT"`` selects a source, ``"ONE"`` the constant."""
        for name, value in registers.items():
            self.fabric.write_register(block, number, name, self.source(value))

    @staticmethod
    def source(value: int | str) -> int:
        if not isinstance(value, str):
            return value
        if value == "ONE":
            return BIT_ONE
        name, field = value.split(".")
        key = name.rstrip("0123456789"), int(name[-1]), field
        return BIT[key] if key in BIT else POSITION[key]

    def get(self, block: str, register: str, number: int = 1) -> int:
        return self.fabric.read_register(block, number, register)

    def bit(self, name: str) -> bool:
        return bool(self.fabric.read_bits()[0][self.source(name)])

    def position(self, name: str) -> int:
        return int(self.fabric.read_positions()[0][self.source(name)])

    def run(self, ticks: int) -> None:
        self.fabric.run_until(self.fabric.tick + ticks)

    def compare(self, entries: list[int], **pcomp: int) -> Sink:
        """Wire and arm a position compare on axis x; entries are those of a capture list."""
        self.set("PCOMP", INP="INENC1.VAL", **pcomp)
        self.set("PCAP", ENABLE="PCOMP1.ACTIVE", TRIG="PCOMP1.OUT", GATE="PCOMP1.ACTIVE")
        sink = Sink()
        self.fabric.arm(entries, sink)
        self.set("PCOMP", ENABLE="ONE")
        return sink

    def finish_move(self, target: float) -> None:
        """Let axis x go to a target."""
        self.fabric.run_until(self.world.axes["x"].move(target) + 1000)

    @staticmethod
    def bit_index(name: str) -> int:
        return Bench.source(name)

    @staticmethod
    def sink() -> Sink:
        return Sink()


class Sink:
    """Remembers an acquisition (hardware.CaptureSink)."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.data = b""
        self.completion: Completion | None = None

    def started(self, start_time_ns: int, hardware_time_ns: int | None) -> None:
        assert start_time_ns > 0
        assert hardware_time_ns is None
        self.calls.append("started")

    def samples(self, data: bytes) -> None:
        self.calls.append("samples")
        self.data += data

    def ended(self, completion: Completion) -> None:
        self.calls.append("ended")
        self.completion = completion

    def rows(self, words: int) -> list[list[int]]:
        return np.frombuffer(self.data, "<i4").reshape(-1, words).tolist()


@pytest.fixture
def bench() -> Bench:
    """A box at power-up under a stepped clock."""
    return Bench()


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    """Make a box; under a stepped clock if no other is given."""
    return Bench
