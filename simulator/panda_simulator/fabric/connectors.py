"""Connectors are numbered within their kind of block, whichever instance they belong to.

So TTLIN 3 is the one of the third TTLIN, and FMC_24V_IN 3 the third of the one block.
"""

from __future__ import annotations

from collections.abc import Iterable

from panda_simulator.behaviours import InputPort, OutputPort
from panda_simulator.fabric.agenda import Instance
from panda_simulator.world import World


class Connectors:
    """Where the levels of the world meet the blocks of the box."""

    def __init__(self, instances: Iterable[Instance], world: World) -> None:
        self._world = world
        self.inputs: dict[tuple[str, int], tuple[Instance, str]] = {}
        """Block and number of a connector to its instance and register."""
        self.registers: set[tuple[Instance, str]] = set()
        """Registers that are connectors, and no inputs that follow a bus."""
        for instance in instances:
            if isinstance(instance.behaviour, InputPort):
                for number, name in self._numbered(instance, instance.behaviour):
                    self.inputs[instance.block, number] = instance, name
                    self.registers.add((instance, name))

    @staticmethod
    def _numbered(instance: Instance, port: InputPort | OutputPort) -> Iterable[tuple[int, str]]:
        first = (instance.number - 1) * len(port.levels) + 1
        return enumerate(port.levels, start=first)

    def levels(self, instance: Instance) -> dict[str, int]:
        """Return the levels at the inputs of an instance by register."""
        return {
            name: self._world.level(*key)
            for key, (owner, name) in self.inputs.items()
            if owner is instance
        }

    def observed(self, instance: Instance) -> bool:
        """Tell whether somebody is told of each level that an instance puts out."""
        port = instance.behaviour
        return isinstance(port, OutputPort) and any(
            self._world.observed(instance.block, number)
            for number, _ in self._numbered(instance, port)
        )

    def put_out(self, instance: Instance, tick: int) -> None:
        """Tell the world which outputs of an instance have changed."""
        port = instance.behaviour
        if not isinstance(port, OutputPort):
            return
        for number, name in self._numbered(instance, port):
            level = instance.outputs.get(name, 0)
            if level != self._world.level(instance.block, number):
                self._world.output_changed(instance.block, number, tick, level)
