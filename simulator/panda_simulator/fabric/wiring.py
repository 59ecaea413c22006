"""Which instances there are, where their outputs go and what their inputs follow.

Source: blocks.md 1.2, 1.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeAlias

from panda_simulator.behaviours import BEHAVIOURS, Behaviour, Inenc, Pcap, RegisterFile, signed
from panda_simulator.fabric.agenda import Agenda, Instance
from panda_simulator.fabric.buses import BitBus, PositionBus
from panda_simulator.fabric.capture import BusView
from panda_simulator.fabric.latency import DOCUMENTED, Hops, LateBitBus, LatePositionBus
from panda_simulator.fabric.lines import Lines
from panda_simulator.hardware import BIT_ONE, BIT_ZERO, POSITION_ZERO

Flags: TypeAlias = tuple[list[bool], list[bool]]
"""What has changed: bits and positions."""

MAX_DELAY = 31
_DELAY = "_DELAY"
_LINES = {"A": 0, "B": 1, "Z": 2, "DATA": 0}
"""Encoder lines, and their places among Inenc.lines."""


class Wiring:
    """All instances of a box, both buses, and who is connected to what."""

    def __init__(
        self,
        blocks: Mapping[str, int],
        bit_index: Mapping[tuple[str, int, str], int],
        position_index: Mapping[tuple[str, int, str], int],
        agenda: Agenda,
        hops: Hops = DOCUMENTED,
    ) -> None:
        late = hops.sample > DOCUMENTED.sample
        self.hops = hops
        self.bits = LateBitBus() if late else BitBus()
        self.positions = LatePositionBus() if late else PositionBus()
        self.watched = False
        """Whether somebody is told of every call of a block: none may be left out."""
        self._agenda = agenda
        self._bit_sinks: list[list[tuple[Instance, str, int]]] = [[] for _ in range(BIT_ONE + 1)]
        self._position_sinks: list[list[tuple[Instance, str]]] = [
            [] for _ in range(POSITION_ZERO + 1)
        ]
        self.pcap = Pcap(BusView(self.bits, self.positions, hops.sample))
        self.instances = {
            (block, number): Instance(block, number, self._behaviour(block))
            for block, count in blocks.items()
            for number in range(1, count + 1)
        }
        self.pcap_instance = self.instances.get(("PCAP", 1))
        self.lines: dict[int, Instance] = {}
        for (block, number, field), index in bit_index.items():
            if (instance := self.instances.get((block, number))) is not None:
                instance.bits[field] = index
        for (block, number, field), index in position_index.items():
            if (instance := self.instances.get((block, number))) is not None:
                instance.positions[field] = index
        for instance in self.instances.values():
            self._connect_inputs(instance)
            self._connect_track(instance)

    def _behaviour(self, block: str) -> Behaviour:
        return self.pcap if block == "PCAP" else BEHAVIOURS.get(block, RegisterFile)()

    def _connect_inputs(self, instance: Instance) -> None:
        for name in instance.behaviour.bit_inputs:
            instance.bit_sources[name] = BIT_ZERO, 0
            instance.registers[name] = BIT_ZERO
        for name in instance.behaviour.position_inputs:
            instance.position_sources[name] = POSITION_ZERO
            instance.registers[name] = POSITION_ZERO

    def _connect_track(self, instance: Instance) -> None:
        inenc = instance.behaviour
        if not isinstance(inenc, Inenc):
            return
        if "VAL" in instance.positions:
            self.positions.tracks[instance.positions["VAL"]] = inenc
        indices = {instance.bits[name]: n for name, n in _LINES.items() if name in instance.bits}
        self.lines.update(dict.fromkeys(indices, instance))
        self.bits.computed.append(Lines(inenc, indices))

    def hold(self, instance: Instance, name: str, value: int) -> None:
        """Let a field read a value from the start, unless its block knows better."""
        if not isinstance(instance.behaviour, RegisterFile):
            instance.registers[name] = value
        elif name in instance.positions:
            instance.behaviour.hold(name, signed(value))
        else:
            instance.behaviour.hold(name, value)

    def register_writer(
        self, instance: Instance, register: str, tick: int
    ) -> Callable[[int], None] | None:
        """Return what a write of a register does if it is of a mux, at a tick; else None."""
        if register in instance.bit_sources:
            return partial(self._select_bit, instance, register, tick)
        name = register.removesuffix(_DELAY)
        if name != register and name in instance.bit_sources:
            return partial(self._set_delay, instance, name, tick)
        if register in instance.position_sources:
            return partial(self._select_position, instance, register, tick)
        return None

    def _select_bit(self, instance: Instance, name: str, tick: int, index: int) -> None:
        delay = self._unlisten(instance, name)
        self._listen(instance, name, (min(index, BIT_ONE), delay), tick)

    def _set_delay(self, instance: Instance, name: str, tick: int, delay: int) -> None:
        index, _ = instance.bit_sources[name]
        # The tap moves: what is still in the line would come at times of the old tap.
        self._agenda.forget(instance, name, tick + 1, tick + self._hop(instance) + MAX_DELAY)
        self._unlisten(instance, name)
        self._listen(instance, name, (index, delay & MAX_DELAY), tick)

    def _unlisten(self, instance: Instance, name: str) -> int:
        """Disconnect a bit input; return its delay."""
        index, delay = instance.bit_sources[name]
        sink = instance, name, self._hop(instance) + delay
        if sink in self._bit_sinks[index]:
            self._bit_sinks[index].remove(sink)
        return delay

    def _listen(self, instance: Instance, name: str, source: tuple[int, int], tick: int) -> None:
        index, delay = source
        hop = self._hop(instance) + delay
        instance.bit_sources[name] = source
        self._bit_sinks[index].append((instance, name, hop))
        self.put_out_line(index, tick)
        self._agenda.at(tick + hop, instance)[name] = self.bits.levels[index]

    def _hop(self, instance: Instance) -> int:
        """Return the ticks of a hop to a bit input of a block."""
        return self.hops.capture if instance.behaviour is self.pcap else self.hops.bit

    def put_out_line(self, index: int, tick: int) -> None:
        """Begin to put an encoder line out change by change: somebody listens to it."""
        source = self.lines.get(index)
        if source is None or not isinstance(source.behaviour, Inenc):
            return
        if not source.behaviour.listened:
            source.behaviour.listened = True
            self.pcap.settle(tick)
            self.bits.snapshot_computed(tick)
            own = source.bits.values()
            self.bits.computed = [one for one in self.bits.computed if not one.touches(own)]
            self._agenda.at(tick + 1, source)

    def _select_position(self, instance: Instance, name: str, tick: int, index: int) -> None:
        index = min(index, POSITION_ZERO)
        old = instance.position_sources[name]
        if (instance, name) in self._position_sinks[old]:
            self._position_sinks[old].remove((instance, name))
        instance.position_sources[name] = index
        track = self.positions.tracks.get(index)
        changes = self._agenda.at(tick + self.hops.position, instance)
        if track is None:
            instance.tracked.pop(name, None)
            self._position_sinks[index].append((instance, name))
            changes[name] = self.positions.value(index)
        else:
            instance.tracked[name] = track

    def put_out(self, instance: Instance, tick: int, outputs: Mapping[str, int]) -> None:
        """Put what changed of a block's outputs on the buses and send it to who is connected."""
        known = instance.outputs
        for name, value in outputs.items():
            before = known.get(name)
            if before == value:
                continue
            known[name] = value
            if before is None and not value:
                continue
            if name in instance.bits:
                self._put_bit(instance.bits[name], tick, value)
            elif name in instance.positions:
                self._put_position(instance.positions[name], tick, value)

    def _put_bit(self, index: int, tick: int, level: int) -> None:
        self.bits.put(index, tick, level)
        for instance, name, hop in self._bit_sinks[index]:
            self._agenda.at(tick + hop, instance)[name] = level

    def _put_position(self, index: int, tick: int, value: int) -> None:
        self.positions.put(index, tick, value)
        for instance, name in self._position_sinks[index]:
            self._agenda.at(tick + self.hops.position, instance)[name] = value
        if index in self.pcap.watched and self.pcap_instance is not None:
            self._agenda.at(tick + self.hops.sample, self.pcap_instance)

    def take_flags(self) -> Flags:
        """Return which bits and positions changed since the last snapshot, and clear that."""
        flags = self.bits.changed, self.positions.changed
        self.bits.changed = [False] * len(flags[0])
        self.positions.changed = [False] * len(flags[1])
        return flags

    def add_flags(self, flags: Flags) -> None:
        """Let bits and positions have changed as well."""
        bits, positions = self.bits, self.positions
        bits.changed = [a or b for a, b in zip(bits.changed, flags[0], strict=True)]
        positions.changed = [a or b for a, b in zip(positions.changed, flags[1], strict=True)]

    def followers(self, track: object) -> Iterator[Instance]:
        """Yield the instances that follow a track."""
        for instance in self.instances.values():
            if any(followed is track for followed in instance.tracked.values()):
                yield instance
