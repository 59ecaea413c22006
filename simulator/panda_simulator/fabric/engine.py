"""The engine plays the agenda: it calls blocks, puts out what they make, and follows up.

One who follows an encoder is called at the ticks at which the position will matter to it,
a block with a table is fed, an output port shows the world its level, PCAP's samples go
to whoever armed it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from heapq import heappop

from panda_simulator.behaviours import (
    ANYWHERE,
    LATENCY,
    LINK,
    Inenc,
    Outenc,
    OutputPort,
    Pcap,
    SyncOutput,
    TableBlock,
    is_even,
)
from panda_simulator.clock import FOREVER
from panda_simulator.fabric.agenda import Agenda, Instance
from panda_simulator.fabric.capture import Acquisition
from panda_simulator.fabric.connectors import Connectors, EncoderCables
from panda_simulator.fabric.feeds import Feed
from panda_simulator.fabric.leaps import Leaps
from panda_simulator.fabric.ramps import Number
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
        cables: between its encoder connectors.
    """

    def __init__(self, agenda: Agenda, wiring: Wiring, world: World, *, leaps: bool = True) -> None:
        """Power up: every block is due at tick 0."""
        self.tick = 0
        self.calls = 0
        self.acquisition: Acquisition | None = None
        self.feeds: dict[tuple[str, int], Feed] = {}
        self.leaps = Leaps(self, enabled=leaps)
        self.agenda = agenda
        self.wiring = wiring
        self._hop = wiring.hops.position
        self._world = world
        self.connectors = Connectors(wiring.instances.values(), world)
        self.cables = EncoderCables(agenda)
        for key, instance in wiring.instances.items():
            self._prepare(key, instance)
        self._looked_at = [
            instance
            for instance in wiring.instances.values()
            if isinstance(instance.behaviour, Inenc | Pcap)
        ]
        """Blocks with which something may happen without a call."""

    def _prepare(self, key: tuple[str, int], instance: Instance) -> None:
        behaviour = instance.behaviour
        if isinstance(behaviour, Inenc) and key[1] in self._world.encoders:
            behaviour.connect(self._world.encoders[key[1]])
        if behaviour is self.wiring.pcap:
            instance.after = self._after_pcap
        elif isinstance(behaviour, OutputPort):
            instance.after = self.connectors.put_out
        elif isinstance(behaviour, TableBlock):
            self.feeds[key] = Feed(behaviour)
            instance.after = self._after_table
        elif isinstance(behaviour, Inenc):
            instance.after = self._after_encoder
        elif isinstance(behaviour, Outenc):
            instance.after = self.cables.carry
        self.agenda.at(0, instance).update(self.connectors.levels(instance))

    def play(
        self,
        tick: int,
        deadline: float = math.inf,
        seconds: Callable[[], float] = float,
        *,
        rests: bool = False,
    ) -> bool:
        """Simulate up to a tick, or until it is late.

        Args:
            tick: to come to.
            deadline: when to stop before, after one tick with calls at the earliest.
            seconds: what tells the time.
            rests: whether time stands where nothing is due any more, as it does before
                `FOREVER`.

        Returns:
            Whether it came there; `FOREVER` is at the last call.
        """
        rests = rests or tick >= FOREVER
        while True:
            stop = self.leaps.stop(tick)
            there = self._play(stop, deadline, seconds)
            if there and stop < FOREVER and (not rests or self.agenda.ticks):
                self.tick = max(self.tick, stop)
            if there and stop == tick:
                return True
            if there:
                self.leaps.look(tick)
            if seconds() >= deadline:
                return self.tick >= tick

    def _play(self, tick: int, deadline: float, seconds: Callable[[], float]) -> bool:
        """Play up to a tick, or until it is late, or until leaps have something to say."""
        ticks, pending, leaps, call = self.agenda.ticks, self.agenda.calls, self.leaps, self.call
        while ticks and ticks[0] <= tick:
            due = self.tick = heappop(ticks)
            due_calls = pending.pop(due)
            self.calls += len(due_calls)
            for instance, changes in due_calls.items():
                call(instance, due, changes)
            if self.calls >= leaps.wanted and leaps.tell(due, due_calls):
                return False
            if seconds() >= deadline:
                return False
        return True

    def call(self, instance: Instance, tick: int, changes: dict[str, int]) -> None:
        """Call a block and put out what it makes (proofs.Machine)."""
        if instance.tracked:
            for name, track in instance.tracked.items():
                changes[name] = track.at(tick - self._hop)
        outputs, wake = instance.update(tick, changes)
        if wake != instance.wake:
            instance.wake = wake
            if wake is not None:
                self.agenda.at(wake, instance)
        if outputs != instance.outputs:
            self.wiring.put_out(instance, tick, outputs)
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
            if (low, high) == ANYWHERE:
                continue
            leaves = track.leaves(tick - self._hop, low, high)
            if leaves is not None:
                self.agenda.at(max(leaves + self._hop, tick + 1), instance)

    def look_again(self, encoder: Instance, tick: int) -> None:
        """Call who follows an encoder that goes on differently from a tick on."""
        for index in encoder.positions.values():
            self.wiring.positions.flag(index)
        for follower in self.wiring.followers(encoder.behaviour):
            self.agenda.at(tick + self._hop, follower)
        self._settle(tick)

    def _settle(self, tick: int) -> None:
        for lines in self.wiring.bits.computed:
            lines.disturb()
        self.wiring.pcap.settle(tick)

    def _after_encoder(self, instance: Instance, tick: int) -> None:
        if isinstance(instance.behaviour, Inenc) and instance.behaviour.set_at == tick:
            self.look_again(instance, tick)
        elif isinstance(instance.behaviour, Inenc) and instance.behaviour.lines_changed_at == tick:
            self._settle(tick)
        self.cables.carry(instance, tick)

    def _after_pcap(self, instance: Instance, tick: int) -> None:
        if self.wiring.pcap.opened_at == tick:
            self._look_back(instance, tick)
        if self.acquisition and self.acquisition.follow(tick):
            self.acquisition = None

    def _look_back(self, pcap: Instance, tick: int) -> None:
        """Call PCAP for positions that were put on the bus when it did not watch, not seen yet."""
        hop = self.wiring.hops.sample
        if self.wiring.positions.moved(self.wiring.pcap.watched, tick - hop + 1):
            for later in range(1, hop + 1):
                self.agenda.at(tick + later, pcap)

    def _after_table(self, instance: Instance, tick: int) -> None:
        def strobe(length: int) -> None:
            self.agenda.at(tick + 1, instance)["TABLE_LENGTH"] = length

        self.feeds[instance.block, instance.number].push(tick + 1, strobe)

    def lay_fibre(self, sender: Instance, receiver: Instance, tick: int) -> None:
        """Send from a tick on what comes to one end of a fibre to the other."""
        output = sender.behaviour
        if not isinstance(output, SyncOutput):
            return

        def send(_: Instance, tick: int) -> None:
            if output.sent:
                self.agenda.at(tick + LATENCY, receiver).update(output.sent)

        sender.after = send
        self.agenda.at(tick, receiver)[LINK] = 1
        self.agenda.at(tick + LATENCY, receiver).update(output.levels)

    def deliver(self) -> None:
        """Hand over the samples that are complete."""
        if self.acquisition:
            self.acquisition.deliver(self.tick)

    def take_words(self, tick: int) -> tuple[Sequence[Number], Sequence[Number]]:
        """Return words and marks of the samples that are complete (proofs.Machine)."""
        return self.wiring.pcap.take_words(tick) if self.acquisition else ((), ())

    def hand_over(self, samples: bytes) -> None:
        """Give samples to whoever armed PCAP (proofs.Machine)."""
        if self.acquisition:
            self.acquisition.hand_over(samples)

    def observed(self, instances: Collection[Instance]) -> bool:
        """Tell whether the world or a probe observes some blocks (proofs.Machine)."""
        return any(
            instance.update != instance.behaviour.update or self.connectors.observed(instance)
            for instance in instances
        )

    def uneven(self, instances: Collection[Instance]) -> bool:
        """Tell whether an axis speeds up, say, or a table comes in (proofs.Machine)."""
        behaviours = (instance.behaviour for instance in instances)
        if any(isinstance(one, TableBlock) and one.filling for one in behaviours):
            return True
        tracks = (track for instance in instances for track in instance.tracked.values())
        return not all(is_even(track, self.tick) for track in tracks)

    def parts(self, instances: Collection[Instance]) -> list[object]:
        """Return everything that changes when some blocks are called (proofs.Machine)."""
        touched = sorted({*instances, *self._looked_at}, key=lambda one: (one.block, one.number))
        feeds = [self.feeds.get((instance.block, instance.number)) for instance in touched]
        return [*touched, *feeds, self.wiring.bits, self.wiring.positions, self.acquisition]
