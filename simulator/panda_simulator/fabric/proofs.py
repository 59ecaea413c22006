"""Proves that a period repeats, by playing it once with ramps in the place of numbers.

At the beginning every number of the state that differs from a period ago becomes a ramp
with that difference for slope, ticks included. Then the period is played, by the blocks'
own code: every result is that of the first of all coming periods, and of the others as
long as the proof says (ramps.py). If the state at the end is the one at the beginning with
every ramp one step further, then the end of one period is the beginning of the next: by
induction all periods go like this one, as long as the proof says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from heapq import heapify, heappop
from itertools import pairwise
from typing import Any, Protocol

from panda_simulator.behaviours import Behaviour, Step
from panda_simulator.fabric.agenda import Agenda, Instance
from panda_simulator.fabric.periods import Period
from panda_simulator.fabric.ramps import Number, Proof, Ramp, parts, ramp
from panda_simulator.fabric.samples import Samples
from panda_simulator.fabric.states import State
from panda_simulator.fabric.wiring import Flags, Wiring


class Machine(Protocol):
    """What is played (engine.Engine)."""

    agenda: Agenda
    wiring: Wiring
    tick: int
    calls: int

    def call(self, instance: Instance, tick: int, changes: dict[str, int]) -> None:
        """Call a block and put out what it makes."""

    def observed(self, instances: Collection[Instance]) -> bool:
        """Tell whether somebody outside is told of each change that some blocks make."""
        ...

    def uneven(self, instances: Collection[Instance]) -> bool:
        """Tell whether some blocks follow a position that does not go on as it did, or fill up."""
        ...

    def parts(self, instances: Collection[Instance]) -> list[object]:
        """Return everything that changes when some blocks are called, but the agenda."""
        ...

    def deliver(self) -> None:
        """Give the samples that are complete to whoever armed PCAP."""

    def take_words(self, tick: int) -> tuple[Sequence[Number], Sequence[Number]]:
        """Return words and marks of all samples that are out at a tick, and forget them."""
        ...

    def hand_over(self, samples: bytes) -> None:
        """Give samples to whoever armed PCAP."""


class Snapshot:
    """The state of a machine at the end of a tick, as far as some blocks touch it.

    Attributes:
        parts: of the state, always in the same order.
    """

    def __init__(
        self, machine: Machine, instances: Collection[Instance], only: Collection[int] | None = None
    ) -> None:
        """Look at it.

        Args:
            machine: at the end of a tick.
            instances: that may have been called since the snapshot before.
            only: numbers of the parts to look at, if not all.

        Raises:
            UnknownStateError: a block holds something of which nobody knows what it does.
        """
        self._agenda = machine.agenda
        self._entries: list[list[Any]] = [[*entry] for entry in sorted(self._agenda.calls.items())]
        roots = [self._entries, *machine.parts(instances)]
        self.parts = [State(root) for n, root in enumerate(roots) if only is None or n in only]

    @property
    def size(self) -> int:
        """How much there was to look at."""
        return sum(part.size for part in self.parts)

    @property
    def shape(self) -> list[list[object]]:
        """The shape of each part."""
        return [part.shape for part in self.parts]

    @property
    def numbers(self) -> list[list[Number]]:
        """The numbers of each part."""
        return [part.numbers for part in self.parts]

    def continues(self, first: Snapshot, second: Snapshot) -> bool:
        """Tell whether numbers have changed as they did between two snapshots of this shape."""
        return all(
            parts(a)[0] + parts(c)[0] == 2 * parts(b)[0]
            for part in zip(first.numbers, second.numbers, self.numbers, strict=True)
            for a, b, c in zip(*part, strict=True)
        )

    def put(self, numbers: Sequence[Sequence[Number]]) -> None:
        """Replace the numbers, of a machine that has not been played since."""
        for part, now in zip(self.parts, numbers, strict=True):
            part.put(now)
        agenda = self._agenda
        agenda.calls.clear()
        for tick, calls in self._entries:
            agenda.calls[tick] = calls
        agenda.ticks[:] = agenda.calls
        heapify(agenda.ticks)


class Law:
    """What a machine is at the end of each period, from the end of the one that was proven.

    Attributes:
        period: that repeats.
        start: end of period 0.
        last: the last period that goes like this.
        touched: what changes on the buses in each.
    """

    def __init__(
        self,
        period: Period,
        start: int,
        last: int,
        end: Snapshot,
        samples: Samples,
        touched: Flags,
    ) -> None:
        self.period = period
        self.start = start
        self.last = last
        self.touched = touched
        numbers = [[parts(number) for number in part] for part in end.numbers]
        self.moving = [n for n, part in enumerate(numbers) if n == 0 or any(s for _, s in part)]
        """Parts of the state that are not always the same; the agenda is the first."""
        self._shape = [end.shape[n] for n in self.moving]
        self._numbers = [numbers[n] for n in self.moving]
        self._samples = samples

    @property
    def most(self) -> int:
        """For how many periods samples should be computed at once, if there are any."""
        return self._samples.most

    def end(self, number: int) -> int:
        """Return the tick at which a period is over."""
        return self.start + number * self.period.ticks

    def following(self, tick: int) -> int:
        """Return the first period that ends at a tick or later."""
        return max(0, -((self.start - tick) // self.period.ticks))

    def holds(self, now: Snapshot, number: int) -> bool:
        """Tell whether the moving parts are as they have to be at the end of a period."""
        return now.shape == self._shape and now.numbers == self.state(number)

    def state(self, number: int) -> list[list[int]]:
        """Return the numbers of the moving parts at the end of a period."""
        return [[base + number * slope for base, slope in part] for part in self._numbers]

    def samples(self, first: int, count: int) -> bytes:
        """Return what is captured in some periods, little-endian words."""
        return self._samples.of(first, count)


def prove(machine: Machine, period: Period, before: Snapshot, begin: Snapshot) -> Law | None:
    """Play one period of a machine and see what it proves.

    Args:
        machine: at the end of a tick.
        period: that is believed to repeat.
        before: what the machine was a period ago.
        begin: what it is, of the same shape.

    Returns:
        What holds from the end of the period on, if anything does. If not, less than the
        period may have been played.

    Raises:
        UnknownStateError: a block has come to hold something of which nobody knows what it
            does, and the machine cannot go on.
    """
    proof = Proof()
    proof.keys = True
    numbers = [
        [
            ramp(parts(now)[0], parts(now)[0] - parts(then)[0], proof)
            for then, now in zip(*two, strict=True)
        ]
        for two in zip(before.numbers, begin.numbers, strict=True)
    ]
    flags = machine.wiring.take_flags()
    begin.put(numbers)
    end: Any = Ramp(machine.tick + period.ticks, period.ticks, proof)
    with _guarded(period.instances, proof):
        arrived = _play(machine, period, end)
    taken = machine.take_words(end) if arrived else ((), ())
    samples = Samples(*taken, machine.wiring.pcap)
    final = Snapshot(machine, period.instances)
    same = (
        arrived and final.shape == begin.shape and _further(numbers) == _further(final.numbers, 0)
    )
    final.put([[parts(number)[0] for number in part] for part in final.numbers])
    machine.hand_over(samples.of(0, 1))
    touched = machine.wiring.take_flags()
    machine.wiring.add_flags(flags)
    machine.wiring.add_flags(touched)
    return Law(period, machine.tick, proof.last, final, samples, touched) if same else None


def _further(numbers: Sequence[Sequence[Number]], periods: int = 1) -> list[list[tuple[int, int]]]:
    """Return base and slope of numbers some periods later."""
    split = [[parts(number) for number in part] for part in numbers]
    return [[(base + periods * slope, slope) for base, slope in part] for part in split]


def _play(machine: Machine, period: Period, end: Any) -> bool:
    """Play up to a ramp of a tick, or until a stranger is called; return whether it came there."""
    agenda = machine.agenda
    while agenda.ticks and agenda.ticks[0] <= end:
        due: Any = agenda.ticks[0]
        if not agenda.calls[due].keys() <= period.instances:
            return False
        heappop(agenda.ticks)
        _comes_before(due, agenda.ticks)
        calls = agenda.calls.pop(due)
        machine.calls += len(calls)
        machine.tick = parts(due)[0]
        for instance, changes in calls.items():
            machine.call(instance, due, changes)
    machine.tick = parts(end)[0]
    left = sorted(agenda.ticks)
    for tick, later in pairwise([end, *left]):
        _comes_before(tick, [later])
    return True


def _comes_before(tick: Any, others: Sequence[Any]) -> None:
    """Let the proof note for how long a tick comes before others."""
    if not all(tick < other for other in others):
        raise ValueError(f"the calls at tick {tick} are out of order")


@contextmanager
def _guarded(instances: Collection[Instance], proof: Proof) -> Generator[None]:
    """Let ramps be keys of the agenda, but not of what blocks keep."""

    def guard(behaviour: Behaviour) -> Callable[[int, Mapping[str, int]], Step]:
        def update(tick: int, changes: Mapping[str, int]) -> Step:
            proof.keys = False
            step = behaviour.update(tick, changes)
            proof.keys = True
            return step

        return update

    for instance in instances:
        instance.update = guard(instance.behaviour)
    yield
    for instance in instances:
        instance.update = instance.behaviour.update
