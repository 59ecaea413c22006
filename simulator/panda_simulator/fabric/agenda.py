"""The agenda: which block is called at which tick, and with what.

All that reaches a block at one tick is collected into one call (blocks.md 7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import heappush
from typing import TypeAlias

from panda_simulator.behaviours import Behaviour, Step, Track, Watcher


class Instance:
    """One block in the fabric: its behaviour and its connections.

    Attributes:
        outputs: every output as it is.
        after: called with the tick after each call of the block, if set.
        bits: output to its index on the bit bus.
        positions: output to its index on the position bus.
        sources: bit input to bus index and delay in ticks; position input to bus index.
        tracked: position inputs that follow a track, looked up whenever the block is called.
        wake: the wake-up asked for last.
    """

    STATE: tuple[str, ...] = ("behaviour", "outputs", "wake")

    __slots__ = (
        "after", "behaviour", "bit_sources", "bits", "block", "number", "outputs",
        "position_sources", "positions", "registers", "tracked", "update", "wake", "watcher",
    )  # fmt: skip

    def __init__(self, block: str, number: int, behaviour: Behaviour) -> None:
        self.block = block
        self.number = number
        self.behaviour = behaviour
        self.update: Callable[[int, Mapping[str, int]], Step] = behaviour.update
        self.after: Callable[[Instance, int], None] | None = None
        self.watcher = behaviour if isinstance(behaviour, Watcher) else None
        self.outputs: dict[str, int] = {}
        self.registers: dict[str, int] = {}
        self.bits: dict[str, int] = {}
        self.positions: dict[str, int] = {}
        self.bit_sources: dict[str, tuple[int, int]] = {}
        self.position_sources: dict[str, int] = {}
        self.tracked: dict[str, Track] = {}
        self.wake: int | None = None


Calls: TypeAlias = dict[Instance, dict[str, int]]


class Agenda:
    """Ticks in order, each with the blocks to call and their changes.

    Attributes:
        ticks: a heap of the ticks that have calls, each once.
        calls: tick to the calls at it.
    """

    def __init__(self) -> None:
        self.ticks: list[int] = []
        self.calls: dict[int, Calls] = {}

    def at(self, tick: int, instance: Instance) -> dict[str, int]:
        """Return the changes of the call of a block at a tick; makes the call if needed."""
        calls = self.calls.get(tick)
        if calls is None:
            calls = self.calls[tick] = {}
            heappush(self.ticks, tick)
        changes = calls.get(instance)
        if changes is None:
            changes = calls[instance] = {}
        return changes

    def next_tick(self) -> int | None:
        """Return the first tick with a call."""
        return self.ticks[0] if self.ticks else None

    def forget(self, instance: Instance, name: str, first: int, last: int) -> None:
        """Drop what was under way to one input between two ticks, both included."""
        for tick in range(first, last + 1):
            self.calls.get(tick, {}).get(instance, {}).pop(name, None)
