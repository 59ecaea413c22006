"""A client of a simulator whose time is stepped, and what it expects in closed form.

Nothing here is taken from the simulator: motion is Newton's, in fractions, and what comes
out of the sockets is read by what its own header says.
"""

from __future__ import annotations

import contextlib
import math
import re
import struct
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, TypeAlias

from panda_simulator import Simulator

from .sockets import Peer, peer

TICKS = 125_000_000
"""Ticks in a second."""

COUNTS = 10_000
"""Counts in a millimetre, of the standard axes."""

Number: TypeAlias = int | float | Fraction

_CODES = {"int32": "i", "uint32": "I", "int64": "q", "uint64": "Q", "double": "d"}
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Trapezoid:
    """A move from rest to rest at constant acceleration, speed and deceleration.

    Attributes:
        begin: tick at which it sets off.
        start: in mm.
        target: in mm.
        velocity: in mm/s, as text or number that is exact.
        acceleration: in mm/s².
    """

    begin: int
    start: Fraction
    target: Fraction
    velocity: Fraction
    acceleration: Fraction

    @classmethod
    def of(cls, begin: int, *numbers: str | float) -> Trapezoid:
        """Make one of decimal numbers: start, target, velocity, acceleration."""
        return cls(begin, *(Fraction(str(number)) for number in numbers))

    @property
    def ramp(self) -> Fraction:
        """Ticks of acceleration."""
        return self.velocity / self.acceleration * TICKS

    @property
    def end(self) -> int:
        """The tick at which it stands; of a move that takes whole ticks."""
        distance = abs(self.target - self.start)
        ticks = distance / self.velocity * TICKS + self.ramp
        assert ticks.denominator == 1
        return self.begin + int(ticks)

    def position(self, tick: int) -> Fraction:
        """Return the position at a tick, in mm."""
        total, t = self.end - self.begin, min(max(tick, self.begin), self.end) - self.begin
        ramp, per_tick = self.ramp, self.velocity / TICKS
        if t <= ramp:
            way = per_tick * t * t / ramp / 2
        elif t <= total - ramp:
            way = per_tick * (t - ramp / 2)
        else:
            left = total - t
            way = abs(self.target - self.start) - per_tick * left * left / ramp / 2
        return self.start + (way if self.target > self.start else -way)

    def count(self, tick: int, per_mm: int = COUNTS) -> int:
        """Return what an encoder counts at a tick, halves rounded up."""
        return math.floor(self.position(tick) * per_mm + Fraction(1, 2))

    def first(self, reached: Callable[[int], bool]) -> int:
        """Return the first tick at which a count is such, that it stays such being known."""
        low, high = self.begin, self.end
        assert reached(self.count(high))
        while low < high:
            middle = (low + high) // 2
            if reached(self.count(middle)):
                high = middle
            else:
                low = middle + 1
        return low

    def arrives(self, count: int) -> int:
        """Return the tick at which a count is reached or passed, in the direction of the move."""
        if self.target > self.start:
            return self.first(lambda now: now >= count)
        return self.first(lambda now: now <= count)


@dataclass
class Captured:
    """One acquisition as a client has it.

    Attributes:
        columns: `BLOCK.FIELD capture` to its numbers.
        start: tick at which PCAP started, of the date in the header.
        armed: tick at which it was armed, of the date in the header.
        end: the last line.
    """

    columns: dict[str, list[Any]] = field(default_factory=dict)
    start: int = 0
    armed: int = 0
    end: str = ""

    def __getitem__(self, name: str) -> list[Any]:
        return self.columns[name if " " in name else f"{name} Value"]

    @property
    def triggers(self) -> list[int]:
        """Ticks of the triggers."""
        return [self.start + time for time in self["PCAP.TS_TRIG"]]


class Rehearsal:
    """A box, a control and a data connection; time passes only when `run` says so."""

    def __init__(self, simulator: Simulator, control: Peer, data: Peer) -> None:
        self.simulator = simulator
        self.world = simulator.world
        self.ask = control.ask
        self._control = control
        self._data = data

    async def set(self, *lines: str) -> None:
        for line in lines:
            assert await self.ask(line) == "OK", line

    async def value(self, name: str) -> str:
        reply = await self.ask(f"{name}?")
        assert reply.startswith("OK ="), reply
        return reply.removeprefix("OK =")

    async def table(self, name: str, rows: Sequence[Sequence[int]], how: str = "<") -> str:
        """Write a table as words; return the reply."""
        words = "".join(f"{word & 0xFFFFFFFF}\n" for row in rows for word in row)
        return await self.ask(f"{name}{how}\n{words}")

    async def arm(self) -> None:
        await self.set("*PCAP.ARM=")

    async def run(self, ticks: int) -> None:
        await self.simulator.run_until(self.simulator.tick + ticks)

    async def move(self, axis: str, target: float) -> Trapezoid:
        """Set an axis off and let time pass until it stands; return what it should do."""
        motion = self.start_move(axis, target)
        await self.simulator.run_until(motion.end + 1000)
        return motion

    def start_move(self, axis: str, target: float) -> Trapezoid:
        moved = self.world.axes[axis]
        expected = Trapezoid.of(
            self.simulator.tick + 1, moved.position(), target, moved.velocity, moved.acceleration
        )
        assert moved.move(target) == expected.end
        return expected

    async def acquired(self) -> Captured:
        """Read an acquisition up to its last line."""
        header = (await self._data.until(b"\n\n")).decode()
        fields = re.findall(r'<field name="(\S+)" type="(\S+)" capture="(\S+)"', header)
        row = struct.Struct("<" + "".join(_CODES[kind] for _, kind, _ in fields))
        got = Captured({f"{name} {capture}": [] for name, _, capture in fields})
        got.start, got.armed = _tick(header, "start_time"), _tick(header, "arm_time")
        while (mark := await self._data.exactly(4)) == b"BIN ":
            (length,) = struct.unpack("<I", await self._data.exactly(4))
            for values in row.iter_unpack(await self._data.exactly(length - 8)):
                for column, value in zip(got.columns.values(), values, strict=True):
                    column.append(value)
        got.end = (mark + await self._data.until(b"\n")).decode().rstrip("\n")
        return got


def _tick(header: str, name: str) -> int:
    match = re.search(rf'{name}="([^".]+)\.(\d{{9}})Z"', header)
    assert match, header
    seconds = (datetime.fromisoformat(f"{match[1]}+00:00") - _EPOCH).total_seconds()
    nanoseconds = int(seconds) * 10**9 + int(match[2])
    assert nanoseconds % 8 == 0
    return nanoseconds // 8


@contextlib.asynccontextmanager
async def rehearsed(
    *settings: str, options: str = "XML FRAMED RAW", **box: Any
) -> AsyncGenerator[Rehearsal]:
    """Yield a box that is set and a data client that waits for its first acquisition."""
    async with (
        Simulator(speed="stepped", **box) as simulator,
        peer(simulator.control_port) as control,
        peer(simulator.data_port) as data,
    ):
        rehearsal = Rehearsal(simulator, control, data)
        await rehearsal.set(*settings)
        data.tell(f"{options}\n")
        assert await data.line() == "OK\n"
        yield rehearsal


def seq_row(
    repeats: int = 1,
    trigger: int = 0,
    position: int = 0,
    time1: int = 0,
    out1: str = "",
    time2: int = 0,
    out2: str = "",
) -> tuple[int, int, int, int]:
    """Return the words of a line of SEQ (blocks.md 5.10), outputs as letters."""
    first = sum(1 << 20 + "ABCDEF".index(letter) for letter in out1)
    second = sum(1 << 26 + "ABCDEF".index(letter) for letter in out2)
    return repeats | trigger << 16 | first | second, position, time1, time2
