"""The engine plays the agenda: it calls blocks, puts out what they make, and follows up.

One who follows an encoder is called at the ticks at which the position will matter to it,
a block with a table is fed, an output port shows the world its level, PCAP's samples go
to whoever armed it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heappop

from panda_simulator.behaviours import Inenc, OutputPort, TableBlock
from panda_simulator.clock import FOREVER
from panda_simulator.fabric.agenda import Agenda, Instance
from panda_simulator.fabric.capture import Acquisition
from panda_simulator.fabric.connectors import Connectors
from panda_simulator.fabric.feeds import Feed
from panda_simulator.fabric.wiring import Wiring
from panda_simulator.world import World


class Engine:
    """The blocks of a box in motion.

    Attributes:
        tick: the last tick that is simulated completely.
        calls: of blocks so far: the measure of what a simulation costs.
        acquisition: the one that runs.
        feeds: of the blocks with a table, by name and number.
        connectors: of the box.
    """

    def __init__(self, agenda: Agenda, wiring: Wiring, world: World) -> None:
        """Power up: every block is due at tick 0."""
        self.tick = 0
        self.calls = 0
        self.acquisition: Acquisition | None = None
        self.feeds: dict[tuple[str, int], Feed] = {}
        self._agenda = agenda
        self._wiring = wiring
        self._world = world
        self.connectors = Connectors(wiring.instances.values(), world)
        for key, instance in wiring.instances.items():
            self._prepare(key, instance)

    def _prepare(self, key: tuple[str, int], instance: Instance) -> None:
        behaviour = instance.behaviour
        if isinstance(behaviour, Inenc) and key[1] in self._world.encoders:
            behaviour.connect(self._world.encoders[key[1]])
        if behaviour is self._wiring.pcap:
            instance.after = self._after_pcap
        elif isinstance(behaviour, OutputPort):
            instance.after = self.connectors.put_out
        elif isinstance(behaviour, TableBlock):
            self.feeds[key] = Feed(behaviour)
            instance.after = self._after_table
        elif isinstance(behaviour, Inenc):
            instance.after = self._after_encoder
        self._agenda.at(0, instance).update(self.connectors.levels(instance))

    def play(
        self, tick: int, deadline: float = math.inf, seconds: Callable[[], float] = float
    ) -> bool:
        """Simulate up to a tick, or until it is late.

        Args:
            tick: to come to.
            deadline: when to stop before, after one tick with calls at the earliest.
            seconds: what tells the time.

        Returns:
            Whether it came there; `FOREVER` is at the last call.
        """
        ticks, pending, call = self._agenda.ticks, self._agenda.calls, self._call
        while ticks and ticks[0] <= tick:
            due = self.tick = heappop(ticks)
            due_calls = pending.pop(due)
            self.calls += len(due_calls)
            for instance, changes in due_calls.items():
                call(instance, due, changes)
            if seconds() >= deadline:
                break
        else:
            if tick < FOREVER:
                self.tick = max(self.tick, tick)
            return True
        return self.tick >= tick

    def _call(self, instance: Instance, tick: int, changes: dict[str, int]) -> None:
        if instance.tracked:
            for name, track in instance.tracked.items():
                changes[name] = track.at(tick - 1)
        outputs, wake = instance.update(tick, changes)
        if wake != instance.wake:
            instance.wake = wake
            if wake is not None:
                self._agenda.at(wake, instance)
        if outputs != instance.outputs:
            self._wiring.put_out(instance, tick, outputs)
        if instance.tracked:
            self._watch(instance, tick, changes)
        if instance.after is not None:
            instance.after(instance, tick)

    def _watch(self, instance: Instance, tick: int, changes: dict[str, int]) -> None:
        """Ask for the ticks at which followed positions will matter to a block again."""
        for name, track in instance.tracked.items():
            if instance.watcher:
                low, high = instance.watcher.quiet(name)
            else:
                low = high = changes[name]
            leaves = track.leaves(tick - 1, low, high)
            if leaves is not None:
                self._agenda.at(max(leaves + 1, tick + 1), instance)

    def look_again(self, encoder: Instance, tick: int) -> None:
        """Call who follows an encoder that goes on differently from a tick on."""
        for index in encoder.positions.values():
            self._wiring.positions.flag(index)
        for follower in self._wiring.followers(encoder.behaviour):
            self._agenda.at(tick + 1, follower)
        if self._wiring.pcap.watched and self._wiring.pcap_instance is not None:
            self._agenda.at(tick + 1, self._wiring.pcap_instance)

    def _after_encoder(self, instance: Instance, tick: int) -> None:
        if isinstance(instance.behaviour, Inenc) and instance.behaviour.set_at == tick:
            self.look_again(instance, tick)

    def _after_pcap(self, instance: Instance, tick: int) -> None:
        pcap, positions = self._wiring.pcap, self._wiring.positions
        for index in pcap.watched:
            if (track := positions.tracks.get(index)) is not None:
                now = track.at(tick - 1)
                leaves = track.leaves(tick - 1, now, now)
                if leaves is not None:
                    self._agenda.at(max(leaves + 1, tick + 1), instance)
        if self.acquisition and self.acquisition.follow(tick):
            self.acquisition = None

    def _after_table(self, instance: Instance, tick: int) -> None:
        def strobe(length: int) -> None:
            self._agenda.at(tick + 1, instance)["TABLE_LENGTH"] = length

        self.feeds[instance.block, instance.number].push(tick + 1, strobe)

    def deliver(self) -> None:
        """Hand over the samples that are complete."""
        if self.acquisition:
            self.acquisition.deliver(self.tick)
