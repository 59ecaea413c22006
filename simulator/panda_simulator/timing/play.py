"""Plays a script on a box in stepped time, through the commands that a client would send.

What is refused comes back in the server's own words, with the line of the script.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import groupby

from panda_simulator.box import CommandError, ConfigError
from panda_simulator.clock import TICKS_PER_SECOND, Clock
from panda_simulator.timing.actions import Actor, encoder_owners, make_world
from panda_simulator.timing.diagram import Diagram, Lane, Mark, Samples, sample_lane
from panda_simulator.timing.document import Items, Scalar, ScriptError
from panda_simulator.timing.edges import Edges
from panda_simulator.timing.points import remark
from panda_simulator.timing.recorder import Capture, Recording
from panda_simulator.timing.script import MOST_TIMES, Action, Script, Shown, Stimulus
from panda_simulator.timing.signals import AXIS, SAMPLES, Kind, Place, find_signal
from panda_simulator.timing.stepped import SteppedBox
from panda_simulator.timing.times import format_ticks
from panda_simulator.world import World

_SETTLING = 64
"""Ticks between the last setting and the diagram: longer than any input delay."""


def play(script: Script, *, hardware_latency: bool = False) -> Diagram:
    """Run a script.

    Args:
        script: what to run.
        hardware_latency: whether hops take the ticks that real hardware needs, whatever the
            script says.

    Raises:
        ScriptError: something in it is not of the box, or is refused by it.
    """
    return _Player(script, late=hardware_latency or script.hardware_latency).play()


class _Player:
    """One run of a script."""

    def __init__(self, script: Script, *, late: bool) -> None:
        self._script = script
        self._late = late
        self._marks: list[Mark] = []
        self._zero = 0
        self._before: dict[str, str] = {}
        self._bench = self._make_bench()
        self._lay_cables()
        self._actor = Actor(self._bench, encoder_owners(script.axes))
        self._recording = self._record()

    def _make_bench(self) -> SteppedBox:
        script = self._script
        try:
            bench = SteppedBox(
                script.box,
                config_dir=script.config_dir,
                box_file=script.box_file,
                world=self._world,
                hardware_latency=self._late,
            )
        except (ConfigError, ValueError, OSError) as problem:
            reason = f"{script.box_key}: {problem}"
            raise ScriptError(script.path, script.box_line, reason) from None
        if bench.frequency != TICKS_PER_SECOND:
            reason = (
                f"{script.box_key}: its clock has {bench.frequency} Hz, but times in a script, "
                f"and in a diagram, are those of {TICKS_PER_SECOND} Hz"
            )
            raise ScriptError(script.path, script.box_line, reason)
        return bench

    def _world(self, clock: Clock) -> World:
        script = self._script
        try:
            return make_world(clock, script.axes)
        except ValueError as problem:
            raise ScriptError(script.path, script.axes[0].line, str(problem)) from None

    def _lay_cables(self) -> None:
        """Lay the cables of the script, to a box that says if it has no such connector."""
        for cable in self._script.cables:
            try:
                self._bench.world.cable(cable.output, cable.target)
            except ValueError as problem:
                raise ScriptError(self._script.path, cable.line, f"cable: {problem}") from None

    def _record(self) -> Recording:
        recording = Recording(self._bench.box, self._bench.world, ())
        for shown in self._script.shown:
            try:
                if shown.name == SAMPLES:
                    recording.watch_captures()
                else:
                    recording.add(shown.name)
            except CommandError as problem:
                raise self._refused(shown, problem.message) from None
            except KeyError:
                known = ", ".join(self._bench.world.axes)
                raise self._refused(shown, f"there is no such axis, but {known}") from None
        return recording

    def play(self) -> Diagram:
        script, bench = self._script, self._bench
        for action in script.settings:
            port = self._actor.port(action)
            if port:
                self._actor.drive(action, port, bench.tick + 1)
                bench.run_until(bench.tick + 1)
            else:
                self._actor.do(action)
        bench.run_until(bench.tick + _SETTLING + self._actor.loading)
        self._zero = bench.tick + 1
        for signal in self._recording.signals.values():
            if signal.place is Place.INPUT:
                self._before[signal.name] = str(bench.get(signal.name))
        self._drive()
        self._write()
        bench.run_until(self._zero + script.until)
        lanes = tuple(self._lane(shown) for shown in script.shown)
        marks = tuple(sorted(self._marks, key=lambda mark: mark.tick))
        title = script.title or script.path.stem
        plain = Diagram(title, 0, script.until, lanes, marks)
        remarks = tuple(remark(note, plain, script.path) for note in script.notes)
        return Diagram(title, 0, script.until, lanes, marks, remarks)

    def _occurrences(self) -> Iterator[tuple[int, Stimulus]]:
        """Yield when which stimulus happens, in the order of time."""
        until = self._script.until
        for stimulus in self._script.stimuli:
            if stimulus.tick > until:
                reason = f"stimulus: tick {stimulus.tick} is after the end, tick {until}"
                raise ScriptError(self._script.path, stimulus.line, reason)
        return merge(
            *(_repeats(stimulus, until) for stimulus in self._script.stimuli),
            key=lambda occurrence: occurrence[0],
        )

    def _drive(self) -> None:
        """Set all levels for their ticks, before time passes; each input has one at a time."""
        driven = dict[tuple[str, int], tuple[int, int]]()
        for tick, stimulus in self._occurrences():
            for action in stimulus.actions:
                if port := self._actor.port(action):
                    free, line = driven.get(port, (0, 0))
                    if tick < free:
                        reason = f"tick {tick} is taken: line {line} drives it until tick {free}"
                        raise ScriptError(
                            self._script.path, action.line, f"{action.name}: {reason}"
                        )
                    ticks = self._actor.drive(action, port, self._zero + tick)
                    driven[port] = tick + ticks, action.line
                    self._mark(tick, action, stimulus)

    def _write(self) -> None:
        """Do everything else, in the order of time; what moves comes first at its tick."""
        bench, actor, before = self._bench, self._actor, 0
        for tick, occurrences in groupby(self._occurrences(), key=lambda pair: pair[0]):
            todo = [
                (action, stimulus)
                for _, stimulus in occurrences
                for action in stimulus.actions
                if not actor.port(action)
            ]
            if not todo:
                continue
            bench.run_until(self._zero + tick - 1)
            if bench.tick >= self._zero + tick:
                taken = bench.tick - self._zero
                raise ScriptError(
                    self._script.path,
                    todo[0][0].line,
                    f"{todo[0][0].name}: tick {tick} is taken: what is written in and above line "
                    f"{before} lasts until tick {taken}, as every register takes a tick of its own",
                )
            for action, stimulus in sorted(todo, key=lambda pair: not actor.moves(pair[0])):
                self._mark(bench.tick + 1 - self._zero, action, stimulus)
                actor.do(action)
            before = todo[-1][0].line

    def _mark(self, tick: int, action: Action, stimulus: Stimulus) -> None:
        value, name = action.value, action.name
        if isinstance(value, Items):
            text = f"{name}: {len(value.nodes)} row{'s' * (len(value.nodes) != 1)}"
        elif not isinstance(value, Scalar) or not value.text:
            text = name
        elif AXIS.fullmatch(name) or name == "PCAP":
            # no signal: where something moves to is told even if it is shown
            text, name = f"{name}: {value.text}", ""
        else:
            text = f"{name} = {value.text}"
        again = tick >= stimulus.tick + stimulus.every > stimulus.tick
        if stimulus.every and not again:
            times = f", {stimulus.times} times" if stimulus.times else ""
            text = f"{text} (every {format_ticks(stimulus.every)}{times})"
        self._marks.append(Mark(tick, text, name, again))

    def _lane(self, shown: Shown) -> Lane | Samples:
        if shown.name == SAMPLES:
            return self._samples(shown)
        signal = find_signal(self._bench.box, shown.name)  # again: scale and units are set by now
        edges = self._recording[shown.name if signal.kind is Kind.AXIS else signal.name]
        edges = edges.since(self._zero).window(0, self._script.until)
        edges = Edges(signal, edges.initial, edges.ticks, edges.values, edges.exact)
        caption = signal.name if shown.label else ""
        if signal.place is Place.INPUT:
            delay = self._bench.get(f"{signal.name}.DELAY") if signal.kind is Kind.BIT else "0"
            later = "" if delay == "0" else f" +{delay}"
            caption = f"{caption} ← {self._sources(signal.name)}{later}".strip()
        return Lane(shown.label or signal.name, caption, edges, shown.style)

    def _sources(self, name: str) -> str:
        """Return what an input is connected to, one after the other."""
        written = [
            action.value.text
            for stimulus in self._script.stimuli
            for action in stimulus.actions
            if action.name == name and isinstance(action.value, Scalar)
        ]
        first = self._before.get(name, "ZERO")
        return ", ".join(dict.fromkeys([first, *written]))

    def _samples(self, shown: Shown) -> Samples:
        captures = [
            Capture(capture.acquisition, capture.tick - self._zero)
            for capture in self._recording.captures
        ]
        try:
            label = shown.label or "PCAP samples"
            return sample_lane(captures, self._bench.rows(), label, shown.columns)
        except KeyError as problem:
            known = ", ".join(self._bench.rows()[0].columns)
            raise self._refused(shown, f"no column {problem}, but {known}") from None

    def _refused(self, shown: Shown, reason: str) -> ScriptError:
        return ScriptError(self._script.path, shown.line, f"show: {shown.name}: {reason}")


def _repeats(stimulus: Stimulus, until: int) -> Iterator[tuple[int, Stimulus]]:
    every = stimulus.every or until + 1
    last = stimulus.tick + every * ((stimulus.times or MOST_TIMES) - 1)
    for tick in range(stimulus.tick, min(last, until) + 1, every):
        yield tick, stimulus
