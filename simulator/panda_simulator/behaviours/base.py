"""A block is a synchronous machine: a tick and what changed in, outputs and the next wake-up out.

Nothing in this package knows a clock, a bus or a socket. A block is called when an
input or a register changes, and at the tick it asked for; between two calls nothing
of it changes. That makes the cost of a simulation grow with what happens, not with
the time that passes.

Names are those of the fields. In ``changes`` a bit input is 0 or 1, a position input
a signed 32-bit number, a register its unsigned 32-bit value; a register that is there
was written (a strobe), also with the value that it had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

Outputs: TypeAlias = dict[str, int]
Step: TypeAlias = tuple[Outputs, int | None]
"""Outputs, and the tick of the next wake-up (None: only when something changes)."""

Interval: TypeAlias = tuple[int, int]
"""Lowest and highest position, both included."""

MASK = 0xFFFFFFFF
LOWEST = -(1 << 31)
HIGHEST = (1 << 31) - 1
RISING, FALLING, EITHER = range(3)
ANYWHERE: Interval = (LOWEST, HIGHEST)


@runtime_checkable
class Behaviour(Protocol):
    """One instance of a block."""

    bit_inputs: tuple[str, ...]
    """Fields of class `bit_mux`."""
    position_inputs: tuple[str, ...]
    """Fields of class `pos_mux`."""

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Let the block take everything that happens at one tick.

        Args:
            tick: later than that of the call before; a first call with nothing, at
                tick 0, returns the outputs at power-up.
            changes: inputs and registers set at this tick; may be empty, and a call
                with nothing in it before the wake-up asked for changes nothing.

        Returns:
            Outputs as they are from this tick on (an output that is not named, or named
            with the value it had, did not change), and the next wake-up, a later tick.
        """
        ...


@runtime_checkable
class Watcher(Protocol):
    """A block that can say which changes of a position do not matter to it."""

    def quiet(self, name: str) -> Interval:
        """Return positions of an input among which no call is needed.

        Holds until the next call. A caller that knows how the position will move can
        skip to the tick at which it leaves them.
        """
        ...


@runtime_checkable
class TableBlock(Protocol):
    """A block that plays a table (blocks.md 1.9)."""

    def stage(self, words: Sequence[int]) -> None:
        """Put words where the next TABLE_LENGTH, at the next tick, will fetch them."""
        ...

    def wants_buffer(self, tick: int) -> bool:
        """Tell whether a further streaming buffer can be written without an overrun."""
        ...

    @property
    def queued_buffers(self) -> int:
        """Buffers that are not played to their end."""
        ...

    @property
    def queued_words(self) -> int:
        """Words of all buffers that are not played to their end."""
        ...

    @property
    def filling(self) -> bool:
        """Whether words of a fixed table are still to come."""
        ...

    @property
    def broken(self) -> bool:
        """Whether only an empty table revives the block: stream over, or a fault."""
        ...


def signed(value: int) -> int:
    """Read the low 32 bits as a two's complement number."""
    return (value + 0x80000000 & MASK) - 0x80000000


def is_edge(setting: int, before: int, now: int) -> bool:
    """Tell whether a level change is the edge selected: 0 rising, 1 falling, 2 either."""
    if before == now:
        return False
    return setting >= EITHER or now == 1 - setting


def earliest(*ticks: int | None) -> int | None:
    """Return the smallest tick that is one."""
    return min((tick for tick in ticks if tick is not None), default=None)
