"""A recording of chosen signals of a wired box, edge by edge, at the cost of their events.

Nothing is polled: the recorder is told of every call of the blocks concerned, and
computes what follows an encoder. It never changes what the box does, with one
exception that no signal shows: lines A and B of an encoder input that is recorded are
put out change by change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from panda_simulator.behaviours import Inenc, Outputs, Pcap, Track
from panda_simulator.box import Box
from panda_simulator.fabric import Fabric, Probe
from panda_simulator.timing.edges import Edges
from panda_simulator.timing.signals import Kind, Place, Signal, find_signal
from panda_simulator.timing.tracks import AxisHistory, TrackHistory
from panda_simulator.world import World

MOST_EDGES = 5_000_000
"""Of a signal: more would fill the memory, and nobody can see them."""


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Capture:
    """A capture that PCAP took: the number of its acquisition, from 0, and its tick."""

    acquisition: int
    tick: int


@dataclass(frozen=True, slots=True)
class TableWrite:
    """What was written to a table: as a whole, no words being to clear it, or as a segment."""

    block: str
    number: int
    words: int
    streaming: bool


class _Lane:
    """Changes of one signal as they come."""

    def __init__(self, initial: float) -> None:
        self.initial = initial
        self.ticks: list[int] = []
        self.values: list[float] = []
        self.exact = True
        self._last = initial

    def put(self, tick: int, value: float) -> None:
        if value != self._last:
            if len(self.ticks) >= MOST_EDGES:
                raise ValueError(
                    f"a signal has more than {MOST_EDGES} edges until tick {tick}: "
                    "record a shorter time, or signals that are slower"
                )
            self._last = value
            self.ticks.append(tick)
            self.values.append(value)


class _Words(_Lane):
    """A value made of the words of one or more registers."""

    def __init__(self, signal: Signal, known: Mapping[str, int]) -> None:
        self._signal = signal
        self._words = {name: known.get(name, 0) for name in signal.registers}
        super().__init__(self._value())

    def take(self, tick: int, changes: Mapping[str, int]) -> None:
        hit = False
        for name in self._words:
            if name in changes:
                self._words[name] = changes[name]
                hit = True
        if hit:
            self.put(tick, self._value())

    def _value(self) -> int:
        raw = sum((word & 0xFFFFFFFF) << 32 * at for at, word in enumerate(self._words.values()))
        return self._signal.value(raw)


class _Followed(_Lane):
    """A position input: what it is given, or stretches of an encoder's VAL, a hop later."""

    def __init__(self, recording: Recording, probe: Probe, name: str, tick: int) -> None:
        self._recording = recording
        self._probe = probe
        self._name = name
        self._hop = probe.position_hop
        self._track: Track | None = None
        self._history: TrackHistory | None = None
        self._at = 0
        self._follow(tick, probe.track(name))
        track = self._track
        super().__init__(track.at(tick - self._hop) if track else probe.on_bus(name))

    def take(self, tick: int, changes: Mapping[str, int]) -> None:
        track = self._probe.track(self._name)
        if track is not self._track:
            self.settle(tick - 1)
            self._follow(tick, track)
        if self._name in changes:
            self.settle(tick - 1)
            self.put(tick, changes[self._name])

    def settle(self, last: int) -> None:
        """Take over what the encoder did up to a tick."""
        history = self._history
        if history is None:
            return
        history.follow(last - self._hop)
        while self._at < len(history.ticks) and history.ticks[self._at] <= last - self._hop:
            self.put(history.ticks[self._at] + self._hop, history.values[self._at])
            self._at += 1
        self.exact = self.exact and history.exact

    def _follow(self, tick: int, track: Track | None) -> None:
        self._track = track
        self._history = None
        source = self._probe.followed(self._name)
        if source is not None:
            self._history = self._recording.history(source, tick - self._hop)
            self._history.follow(tick - self._hop)
            self._at = len(self._history.ticks)


class Recording:
    """Signals of a box from the tick at which it was made on."""

    def __init__(self, box: Box, world: World, signals: Iterable[str]) -> None:
        """Start to record.

        Args:
            box: whose hardware has blocks that tick.
            world: around it, for axes.
            signals: names, as the box has them.

        Raises:
            CommandError: a name is none; as the server says it.
            KeyError: there is no such axis.
            TypeError: the hardware of the box has no blocks that tick.
        """
        fabric = box.hardware
        if not isinstance(fabric, Fabric):
            raise TypeError("cannot record: this hardware has no blocks that tick")
        self._fabric = fabric
        self.signals: dict[str, Signal] = {}
        self.captures: list[Capture] = []
        self.tables: list[TableWrite] = []
        self._lanes: dict[str, _Lane] = {}
        self._axes: dict[str, AxisHistory] = {}
        self._outputs: dict[str, TrackHistory] = {}
        self._histories: dict[Track, TrackHistory] = {}
        self._acquisition = -1
        self._box = box
        self._world = world
        for name in signals:
            self.add(name)

    def add(self, name: str) -> Signal:
        """Record a further signal, from now on.

        Raises:
            CommandError: there is no such signal; as the server says it.
            KeyError: there is no such axis.
        """
        signal = find_signal(self._box, name)
        if signal.name not in self.signals:
            if signal.kind is Kind.AXIS:
                axis = self._world.axes[signal.field]
                self._axes[signal.name] = AxisHistory(axis, self._fabric.tick)
            else:
                self._record(signal)
            self.signals[signal.name] = signal
        return signal

    def watch_captures(self) -> None:
        """Record from now on when PCAP captures, into `captures`."""
        probe = self._fabric.probe("PCAP", 1)
        pcap = probe.behaviour
        active = probe.outputs.get("ACTIVE", 0)

        def after(tick: int, changes: Mapping[str, int], outputs: Outputs) -> None:
            nonlocal active
            if "ARM" in changes and not active:
                self._acquisition += 1
            active = outputs["ACTIVE"]
            if isinstance(pcap, Pcap) and pcap.captured_at == tick:
                self.captures.append(Capture(self._acquisition, tick))

        probe.watch(_ignore, after)

    def watch_tables(self) -> None:
        """Record from now on what is written to tables, into `tables`."""
        write = self._fabric.write_table

        def watched(
            block: str, number: int, words: NDArray[np.uint32], *, streaming: bool, last: bool
        ) -> None:
            write(block, number, words, streaming=streaming, last=last)
            self.tables.append(TableWrite(block, number, len(words), streaming))

        self._fabric.write_table = watched

    def __getitem__(self, name: str) -> Edges:
        """Return the edges of a signal up to now.

        Raises:
            KeyError: it is not recorded.
        """
        signal = self.signals[name]
        now = self._fabric.tick
        source: _Lane | AxisHistory | TrackHistory
        exact = True
        if name in self._axes:
            source = self._axes[name]
            source.follow(now)
        elif name in self._outputs:
            source = self._outputs[name]
            source.follow(now)
            exact = source.exact
        else:
            source = self._lanes[name]
            if isinstance(source, _Followed):
                source.settle(now)
            exact = source.exact
        form = np.float64 if signal.kind is Kind.AXIS else np.int64
        ticks = np.array(source.ticks, np.int64)
        return Edges(signal, source.initial, ticks, np.array(source.values, form), exact)

    def edges(self) -> dict[str, Edges]:
        """Return the edges of all signals up to now."""
        return {name: self[name] for name in self.signals}

    def history(self, source: Probe, tick: int) -> TrackHistory:
        """Return the history of an encoder input's VAL, which begins at a tick if it is new."""
        track = source.behaviour
        if not isinstance(track, Inenc):
            raise TypeError(f"{track} is no encoder input")
        if track not in self._histories:
            history = self._histories[track] = TrackHistory(track, tick)
            source.watch(lambda now: history.follow(now - 1), _ignore)
        return self._histories[track]

    def _record(self, signal: Signal) -> None:
        probe = self._fabric.probe(*signal.key)
        tick = self._fabric.tick
        if isinstance(probe.behaviour, Inenc) and signal.place is Place.OUTPUT:
            if signal.field == "VAL":
                self._outputs[signal.name] = self.history(probe, tick)
                return
            if signal.field in {"A", "B", "Z", "DATA"}:
                probe.put_out_lines(tick)
        if signal.place is Place.INPUT and signal.kind is Kind.POSITION:
            followed = _Followed(self, probe, signal.field, tick)
            probe.watch(_ignore, lambda now, changes, _: followed.take(now, changes))
            self._lanes[signal.name] = followed
            return
        known = probe.outputs if signal.place is Place.OUTPUT else probe.registers
        if signal.place is Place.INPUT:
            known = {signal.field: probe.on_bus(signal.field)}
        words = _Words(signal, known)
        if signal.place is Place.OUTPUT:
            probe.watch(_ignore, lambda now, _, outputs: words.take(now, outputs))
        else:
            probe.watch(_ignore, lambda now, changes, _: words.take(now, changes))
        self._lanes[signal.name] = words
