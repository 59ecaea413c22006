"""A probe looks at one block of a fabric, at every call of it, and changes nothing.

Between two calls nothing of a block changes, so that who sees every call has seen
everything, except for positions that follow a track: these can be computed at any tick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from panda_simulator.behaviours import Behaviour, Inenc, Outputs, Step, Track
from panda_simulator.fabric.agenda import Instance
from panda_simulator.fabric.wiring import Wiring

Before: TypeAlias = Callable[[int], None]
After: TypeAlias = Callable[[int, Mapping[str, int], Outputs], None]


class Probe:
    """What can be seen of one block.

    Attributes:
        behaviour: the block itself.
        outputs: as they are, by field.
        registers: as written, by register.
    """

    def __init__(self, wiring: Wiring, instance: Instance) -> None:
        self.behaviour: Behaviour = instance.behaviour
        self.outputs: Mapping[str, int] = instance.outputs
        self.registers: Mapping[str, int] = instance.registers
        self._instance = instance
        self._wiring = wiring

    def watch(self, before: Before, after: After) -> None:
        """Be told of every call of the block.

        Args:
            before: called with the tick; the block is as it was at the tick before.
            after: called with the tick, what was new in the block's inputs and
                registers, and its outputs.
        """
        self._wiring.watched = True
        update = self._instance.update

        def watched(tick: int, changes: Mapping[str, int]) -> Step:
            before(tick)
            step = update(tick, changes)
            after(tick, changes, step[0])
            return step

        self._instance.update = watched

    @property
    def position_hop(self) -> int:
        """Ticks after which the block sees a position that is on the bus."""
        return self._wiring.hops.position

    def on_bus(self, name: str) -> int:
        """Return what the source of an input has on its bus now, which the block sees a hop later.

        Raises:
            KeyError: it is no input of the block.
        """
        instance = self._instance
        if name in instance.bit_sources:
            return self._wiring.bits.levels[instance.bit_sources[name][0]]
        return self._wiring.positions.value(instance.position_sources[name])

    def track(self, name: str) -> Track | None:
        """Return the track that a position input follows, if it does."""
        return self._instance.tracked.get(name)

    def followed(self, name: str) -> Probe | None:
        """Return the encoder input whose VAL a position input follows, if it does."""
        track = self.track(name)
        for instance in self._wiring.instances.values():
            if isinstance(instance.behaviour, Inenc) and instance.behaviour is track:
                return Probe(self._wiring, instance)
        return None

    def put_out_lines(self, tick: int) -> None:
        """Have an encoder input put its lines out change by change from a tick on."""
        if isinstance(self.behaviour, Inenc):
            for index in self._instance.bits.values():
                self._wiring.put_out_line(index, tick)
