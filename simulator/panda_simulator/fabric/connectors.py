"""Connectors are numbered within their kind of block, whichever instance they belong to.

So TTLIN 3 is the one of the third TTLIN, and FMC_24V_IN 3 the third of the one block.
"""

from __future__ import annotations

from collections.abc import Iterable

from panda_simulator.behaviours import PIN_CLOCK, PINS, InputPort, OutputPort
from panda_simulator.fabric.agenda import Agenda, Instance
from panda_simulator.world import World


class Connectors:
    """Where the levels of the world meet the blocks of the box."""

    def __init__(self, instances: Iterable[Instance], world: World) -> None:
        self._world = world
        self.inputs: dict[tuple[str, int], tuple[Instance, str]] = {}
        """Block and number of a connector to its instance and register."""
        self.registers: set[tuple[Instance, str]] = set()
        """Registers that are connectors, and no inputs that follow a bus."""
        self.outputs: set[tuple[str, int]] = set()
        """Block and number of each connector that is driven."""
        self.telling = False
        """Whether the world is being told of a level, in the middle of a tick."""
        for instance in instances:
            if isinstance(instance.behaviour, InputPort):
                for number, name in self._numbered(instance, instance.behaviour):
                    self.inputs[instance.block, number] = instance, name
                    self.registers.add((instance, name))
            elif isinstance(instance.behaviour, OutputPort):
                self.outputs.update(
                    (instance.block, number)
                    for number, _ in self._numbered(instance, instance.behaviour)
                )

    @staticmethod
    def _numbered(instance: Instance, port: InputPort | OutputPort) -> Iterable[tuple[int, str]]:
        first = (instance.number - 1) * len(port.levels) + 1
        return enumerate(port.levels, start=first)

    def find_input(self, block: str, number: int) -> tuple[Instance, str]:
        """Return instance and register of an input.

        Raises:
            ValueError: there is no such input.
        """
        if (block, number) not in self.inputs:
            raise ValueError(f"this box has no input {block}{number}")
        return self.inputs[block, number]

    def check_output(self, block: str, number: int) -> None:
        """Raise a ValueError if there is no such output."""
        if (block, number) not in self.outputs:
            raise ValueError(f"this box has no output {block}{number}")

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
                self.telling = True
                try:
                    self._world.output_changed(instance.block, number, tick, level)
                finally:
                    self.telling = False


class EncoderCables:
    """Cables from encoder outputs to encoder inputs; a level takes one tick to the other end.

    What an end has seen last is in its registers, under the name of the pin.
    """

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._from: dict[Instance, list[Instance]] = {}
        self._to: dict[Instance, Instance] = {}

    def lay(self, source: Instance, target: Instance, tick: int) -> None:
        """Lay a cable from an output to an input, whose levels are there at a tick."""
        self.pull(target, tick)
        self._from.setdefault(source, []).append(target)
        self._to[target] = source
        self._agenda.at(tick, source)
        for pin in PINS:
            target.registers[pin] = 0
        self._carry(source, target, PINS, tick - 1)

    def pull(self, target: Instance, tick: int) -> None:
        """Pull the cable out of an input, if there is one."""
        source = self._to.pop(target, None)
        if source is not None:
            self._from[source].remove(target)
            if source.registers.get(PIN_CLOCK):
                source.registers[PIN_CLOCK] = 0
                self._agenda.at(tick, source)[PIN_CLOCK] = 0

    def carry(self, end: Instance, tick: int) -> None:
        """Take what one end has put out to the others."""
        for target in self._from.get(end, ()):
            self._carry(end, target, PINS, tick)
        source = self._to.get(end)
        if source is not None:
            self._carry(end, source, (PIN_CLOCK,), tick)

    def _carry(self, source: Instance, target: Instance, pins: Iterable[str], tick: int) -> None:
        for pin in pins:
            level = source.outputs.get(pin, 0)
            if level != target.registers.get(pin, 0):
                target.registers[pin] = level
                self._agenda.at(tick + 1, target)[pin] = level
