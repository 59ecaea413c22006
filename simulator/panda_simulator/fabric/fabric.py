"""Fabric calls blocks at the ticks at which something happens to them, and nothing between.

Its cost grows with events, not with ticks: a call of a block takes some microseconds
of real time, however long the simulated time since the one before.

Register writes take one tick each, as on the box: a write is at the tick after the last
one that was simulated, all that it does in its block is done when it returns, and other
blocks see it a hop later. After many writes in a row the fabric is some ticks ahead of
its clock, and waits for it.

When a busy box is too slow for real time, each command waits for a part of the past only
(pace.py), and the clock is set back (`Clock.fall_back`): simulated time lags, no tick is
skipped and nothing is lost.
"""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from panda_simulator.behaviours import Backlog, Inenc, Track
from panda_simulator.clock import Clock
from panda_simulator.fabric.agenda import Agenda, Instance
from panda_simulator.fabric.alarm import Alarm
from panda_simulator.fabric.capture import REPORTED, Acquisition
from panda_simulator.fabric.engine import Engine
from panda_simulator.fabric.latency import DOCUMENTED, HARDWARE
from panda_simulator.fabric.pace import Pace, seconds_to_wait
from panda_simulator.fabric.probe import Probe
from panda_simulator.fabric.slices import Slices
from panda_simulator.fabric.turns import shared_turns
from panda_simulator.fabric.wiring import Wiring
from panda_simulator.hardware import CaptureSink, Completion
from panda_simulator.world import World

_MASK = 0xFFFFFFFF
_SETTLING = 1_000
"""Calls of blocks that a change may set off before it is taken for something that goes on."""


class Fabric:
    """The FPGA of a box (hardware.Hardware), its blocks wired and ticking."""

    clock_frequency: int
    version: tuple[int, int, int] = (0, 0, 0)
    std_dev: bool = False

    def __init__(
        self,
        blocks: Mapping[str, int],
        bit_index: Mapping[tuple[str, int, str], int],
        position_index: Mapping[tuple[str, int, str], int],
        *,
        clock: Clock,
        world: World,
        readings: Mapping[tuple[str, int, str], int] = MappingProxyType({}),
        leaps: bool = True,
        hardware_latency: bool = False,
        memory_rate: int | None = None,
        hand_on: Callable[[], None] = lambda: None,
    ) -> None:
        """Make a box in its power-up state.

        Args:
            blocks: name to number of instances; a block without a behaviour is a
                register file.
            bit_index: (block, number, field) to index on the bit bus.
            position_index: the same for the position bus.
            clock: that the fabric follows.
            world: around the box.
            readings: (block, number, field) to what it reads if no behaviour puts it out.
            leaps: whether periods that are all alike may be computed rather than played;
                it makes no difference but in speed.
            memory_rate: bytes a second that PCAP can write to memory; None for any number.
            hardware_latency: whether a hop takes the ticks that real hardware needs, not one.
            hand_on: called at ticks that do not depend on the wall clock if time runs freely:
                what was captured by then can go on to those who read it.
        """
        self.clock_frequency = clock.frequency
        self._clock = clock
        self._world = world
        self._agenda = Agenda()
        hops = HARDWARE if hardware_latency else DOCUMENTED
        self._wiring = Wiring(blocks, bit_index, position_index, self._agenda, hops)
        if memory_rate is not None:
            self._wiring.pcap.backlog = Backlog(memory_rate, clock.frequency)
        self._engine = Engine(self._agenda, self._wiring, world, leaps=leaps)
        self._slices = Slices(self._engine, clock, hand_on)
        self._pace = Pace()
        self._work = asyncio.Event()
        self._alarm = Alarm(self._agenda, self._engine.connectors)
        for (block, number, name), value in readings.items():
            self._wiring.hold(self._wiring.instances[block, number], name, value)
        world.attach(self)
        self.run_until(0)
        for number, output in world.encoder_cables.items():
            if ("INENC", number) in self._wiring.instances:
                self.encoder_cabled(number, output)

    @property
    def tick(self) -> int:
        """The last tick that is simulated completely."""
        return self._engine.tick

    @property
    def calls(self) -> int:
        """Calls of blocks so far: the measure of what a simulation costs."""
        return self._engine.calls

    # Hardware: time

    def advance(self) -> None:
        """Catch up with the clock, if there is time for it now (Hardware.advance)."""
        if self._engine.connectors.telling:
            return
        # the target stays: a real clock has gone on a few ticks whenever it is asked again
        self._catch_up(self._clock.now())
        self._engine.deliver()

    def run_until(self, tick: int) -> None:
        """Simulate up to a tick, whatever the clock says and however long it takes."""
        self._play(tick)
        self._engine.deliver()

    def simulate(self, tick: int) -> bool:
        """Simulate towards a tick for one turn; return whether it came there."""
        there = self._play(tick, self._pace.turn())
        self._engine.deliver()
        return there

    async def run(self) -> None:
        """Follow the clock until cancelled, in slices that leave the event loop responsive."""
        self._work = asyncio.Event()  # it belongs to the loop that runs now
        with shared_turns():
            while True:
                target = self._clock.horizon()
                if self.simulate(target):
                    await self._wait()
                else:
                    self._lag(target)
                    await asyncio.sleep(0)

    async def _wait(self) -> None:
        """Wait for the next event or for somebody to bring work."""
        self._work.clear()
        try:
            async with asyncio.timeout(seconds_to_wait(self._engine, self._clock)):
                await self._work.wait()
        except TimeoutError:
            return

    # Hardware: registers

    def write_register(self, block: str, number: int, register: str, value: int) -> None:
        """Write a register at a tick of its own (Hardware.write_register).

        Raises:
            KeyError: there is no such block.
        """
        self._write(self._wiring.instances[block, number], {register: value & _MASK})

    def read_register(self, block: str, number: int, register: str) -> int:
        """Return an output as it is, or what was written (Hardware.read_register)."""
        instance = self._wiring.instances[block, number]
        stored = instance.registers.get(register, 0)
        return instance.outputs.get(register, stored) & _MASK

    def read_bits(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return bits and their change flags (Hardware.read_bits)."""
        return self._wiring.bits.snapshot(self._engine.tick)

    def read_positions(self) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return positions and their change flags (Hardware.read_positions)."""
        return self._wiring.positions.snapshot(self._engine.tick)

    # Hardware: tables

    def write_table(
        self, block: str, number: int, words: NDArray[np.uint32], *, streaming: bool, last: bool
    ) -> None:
        """Load a table or append to a stream (Hardware.write_table).

        Raises:
            OSError: ENOMEM or EPIPE, as protocol.md 5.5 has it.
        """
        feed = self._engine.feeds.get((block, number))
        if feed is None:
            return
        instance = self._wiring.instances[block, number]
        numbers = array("I", words.astype(np.uintc, copy=False).tobytes())

        def strobe(length: int) -> None:
            self._write(instance, {"TABLE_LENGTH": length})

        if streaming:
            self._engine.leaps.forget()
            feed.write_segment(numbers, strobe, last=last)
            tick = self._begin()
            feed.push(tick, lambda length: self._write_at(tick, instance, {"TABLE_LENGTH": length}))
        else:
            feed.write_fixed(numbers, strobe)

    def queued_words(self, block: str, number: int) -> int:
        """Return words of the table not released (Hardware.queued_words)."""
        feed = self._engine.feeds.get((block, number))
        return feed.queued_words if feed else 0

    # Hardware: capture

    def arm(self, entries: Sequence[int], sink: CaptureSink) -> None:
        """Load the capture list and arm PCAP (Hardware.arm).

        Raises:
            RuntimeError: an acquisition is running; nothing has changed.
        """
        instance = self._pcap()
        if self._engine.acquisition:
            raise RuntimeError("cannot arm PCAP: an acquisition is running; disarm it first")
        tick = self._begin()
        self._wiring.pcap.load(entries)
        self._engine.acquisition = Acquisition(self._wiring.pcap, sink, self._clock.date_ns)
        self._write_at(tick, instance, {"ARM": 0})

    def disarm(self, found: Completion = Completion.DISARMED) -> None:
        """Stop the acquisition, if there is one (Hardware.disarm)."""
        health = next((fault for fault, told in REPORTED.items() if told in found), 0)
        self._wiring.pcap.break_off(health)
        self._write(self._pcap(), {"DISARM": 0})

    def _pcap(self) -> Instance:
        if self._wiring.pcap_instance is None:
            raise RuntimeError("cannot capture: this box has no PCAP")
        return self._wiring.pcap_instance

    # Box: what the world does to it

    def present(self) -> int:
        """Catch up and return the tick come to (world.Box.present)."""
        self.advance()
        now, due = self._clock.now(), self._agenda.next_tick()
        if self._engine.connectors.telling:
            return self._engine.tick
        return max(self._engine.tick, now if due is None or due > now else due - 1)

    def begin_change(self) -> int:
        """Catch up and return the next tick (world.Box.begin_change)."""
        self.advance()
        return self._begin()

    def encoder_changed(self, number: int, tick: int) -> None:
        """Look at everything again that follows an encoder (world.Box.encoder_changed)."""
        instance = self._wiring.instances.get(("INENC", number))
        if instance is not None:
            self._engine.leaps.forget()
            self._agenda.at(tick, instance)
            self._engine.look_again(instance, tick)
            self._work.set()

    def wake_at(self, tick: int, then: Callable[[int], None] | None = None) -> None:
        """Let time come to a tick at which no block has anything to do (world.Box.wake_at)."""
        self._engine.leaps.forget()
        self._alarm.set(max(tick, self._engine.tick + 1), then)
        self._work.set()

    def encoder_plugged(self, number: int, track: Track) -> None:
        """Read another encoder from now on (world.Box.encoder_plugged)."""
        instance = self._wiring.instances.get(("INENC", number))
        if instance is None:
            raise ValueError(f"this box has no INENC{number}")
        if isinstance(instance.behaviour, Inenc):
            tick = self.begin_change()
            self._wiring.pcap.settle(tick)
            self._engine.cables.pull(instance, tick)
            instance.behaviour.connect(track)
            self.encoder_changed(number, tick)

    def encoder_cabled(self, number: int, output: int) -> None:
        """Read an encoder output from now on (world.Box.encoder_cabled)."""
        source = self._wiring.instances.get(("OUTENC", output))
        target = self._wiring.instances.get(("INENC", number))
        if source is None or target is None or not isinstance(target.behaviour, Inenc):
            raise ValueError(f"this box has no OUTENC{output} or no INENC{number}")
        tick = self.begin_change()
        self._wiring.pcap.settle(tick)
        target.behaviour.cable()
        self._engine.cables.lay(source, target, tick)
        self.encoder_changed(number, tick)

    def output_observed(self, block: str, number: int) -> None:
        """Tell of an output from now on (world.Box.output_observed)."""
        self._engine.connectors.check_output(block, number)

    def level_driven(self, block: str, number: int, level: int, tick: int | None = None) -> None:
        """Drive an input, at a tick of its own or a given one (world.Box.level_driven)."""
        instance, register = self._engine.connectors.find_input(block, number)
        if tick is None:
            self.advance()
            self._write(instance, {register: level})
        elif tick <= self._engine.tick:
            raise ValueError(f"tick {tick} is over: this box has come to {self._engine.tick}")
        else:
            self._engine.leaps.forget()
            instance.registers[register] = level
            self._agenda.at(tick, instance)[register] = level
            self._work.set()

    def fibre_laid(self, source: tuple[str, int], target: tuple[str, int]) -> None:
        """Let a receiver have what a transmitter sends (world.Box.fibre_laid)."""
        instances = self._wiring.instances
        sender, receiver = instances.get(source), instances.get(target)
        if sender is None or receiver is None:
            block, number = source if sender is None else target
            raise ValueError(f"this box has no {block}{number} for a fibre")
        self._engine.lay_fibre(sender, receiver, self.begin_change())
        self._work.set()

    def probe(self, block: str, number: int) -> Probe:
        """Look at a block without changing what it does."""
        return Probe(self._wiring, self._wiring.instances[block, number])

    # The engine

    def _next_tick(self) -> int:
        return max(self._clock.now(), self._engine.tick + 1)

    def _begin(self) -> int:
        """Catch up and return the tick of a change that is made now.

        The clock is asked once: it goes on while the past is simulated, and whoever looked
        again would never be done on a busy box. If the past is too much for one command,
        the change comes next after what was simulated. In the middle of a tick, whoever is
        told of an output changes something at the next one.
        """
        if self._engine.connectors.telling:
            self._engine.leaps.forget()
            return self._engine.tick + 1
        if self._clock.free:
            self._come_to_rest()
        tick = self._next_tick()
        there = self._catch_up(tick - 1)
        self._engine.leaps.forget()
        return tick if there else self._engine.tick + 1

    def _come_to_rest(self) -> None:
        """Let what the change before has set off be over, if it soon is.

        So the tick of a change does not depend on how fast it came, where time runs freely.
        """
        last = self._engine.calls + _SETTLING
        while (due := self._agenda.next_tick()) is not None and self._engine.calls < last:
            self._play(due)

    def _catch_up(self, tick: int) -> bool:
        """Simulate up to a tick, as far as there is time; return whether it came there."""
        if self._clock.waits:
            return self._play(tick)
        done = self._play(tick, self._pace.share())
        if not done:
            self._lag(tick)
        self._pace.rest()
        return done

    def _lag(self, target: int) -> None:
        """Leave what is not simulated for later, or set the clock back if it is too much."""
        if (self._engine.leaps.proven_to or 0) >= target:
            return  # what is computed is soon there
        if self._pace.hopeless((target - self._engine.tick) / self._clock.frequency):
            self._clock.fall_back(self._engine.tick)

    def _write(self, instance: Instance, changes: dict[str, int]) -> None:
        self._write_at(self._begin(), instance, changes)

    def _write_at(self, tick: int, instance: Instance, changes: dict[str, int]) -> None:
        if isinstance(instance.behaviour, Inenc):
            self._wiring.pcap.settle(tick)
        for register, value in changes.items():
            instance.registers[register] = value
            writer = self._wiring.register_writer(instance, register, tick)
            if writer is None or (instance, register) in self._engine.connectors.registers:
                self._agenda.at(tick, instance)[register] = value
            else:
                writer(value)
        self._play(tick)
        self._work.set()

    def _play(self, tick: int, deadline: float = math.inf) -> bool:
        """Simulate up to a tick, or to a time of the pace; return whether it came there."""
        if self._engine.connectors.telling:
            return False  # that goes on when whoever is told has returned
        player = self._slices if self._clock.free else self._engine
        there = player.play(tick, deadline, self._pace.seconds)
        self._clock.reached(self._engine.tick)
        return there
