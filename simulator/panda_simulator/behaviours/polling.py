"""An axis that is read by a serial protocol: a master, a cable, and an encoder that answers.

The encoder is like an OUTENC with the same settings on a cable. As long as something can
happen that is not the same in every frame both are played, edge by edge. Once frames go
well all of them are alike, and are a formula (`Frames`) until something changes.

Source: blocks.md 3.3, 3.4.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from panda_simulator.behaviours.base import MASK, Outputs, earliest, signed
from panda_simulator.behaviours.outenc import PIN_CLOCK, PINS, Outenc
from panda_simulator.behaviours.reading import Reading
from panda_simulator.behaviours.shifter import widened
from panda_simulator.behaviours.sources import Fixed, Frames, Value
from panda_simulator.behaviours.stretches import Track
from panda_simulator.behaviours.wired import WiredInput

_SETTINGS = ("PROTOCOL", "BITS", "ENCODING")
_KEPT = 4
_FRAMES_KEPT = 64
_PATTERN = 0x5555_5555_5555_5555
_REST = 20_000
"""Ticks that are enough for every rest between frames."""

_MOMENTS = ("fall", "shown", "waiting", "settled")

_OVERHEAD = 24
"""Clocks of a frame, at most, that are not bits of the word."""


Edges: TypeAlias = list[tuple[int, tuple[int, int, int]]]
"""Ticks, and the levels of A, B and Z from there on."""


class Pair:
    """Both ends of the cable of a serial encoder.

    Attributes:
        input: the end that has the clock.
        outputs: of the input, but VAL.
        played: the last tick that was played.
    """

    def __init__(self, registers: Mapping[str, int], word: int, homed: int) -> None:
        self._registers = dict(registers)
        self.input = WiredInput(self._registers, word=word, homed=homed)
        self.encoder = Outenc()
        self.outputs: Outputs = {}
        self.played = -1
        self._levels: dict[str, int] = dict.fromkeys((*PINS, PIN_CLOCK), 0)
        """Levels on the cable."""
        self._seen = dict(self._levels)
        """Levels that its ends have seen."""
        self.wakes: tuple[int | None, int | None] = None, None
        """When the input, and the encoder, have to be played next."""

    @property
    def lines(self) -> tuple[int, int, int]:
        """Levels of A, B and Z."""
        return self.outputs["A"], self.outputs["B"], self.outputs["Z"]

    def write(self, registers: Mapping[str, int]) -> None:
        """Have registers in force with the next tick."""
        self._registers.update(registers)

    def play(
        self, tick: int, track: Track, changes: Mapping[str, int], *, resets: bool = False
    ) -> None:
        """Take one tick, with a position to be measured."""
        self.played = tick
        now = {name for name in self._levels if self._levels[name] != self._seen[name]}
        self._seen = dict(self._levels)
        answer = {"VAL": signed(track.at(tick))}
        if PIN_CLOCK in now:
            answer[PIN_CLOCK] = self._seen[PIN_CLOCK]
        if resets:
            answer |= {"ENABLE": 1, **{name: self._registers[name] for name in _SETTINGS}}
        seen = {**changes, **{name: self._seen[name] for name in now if name != PIN_CLOCK}}
        self.outputs = self.input.step(tick, seen, resets=resets)
        made, encoder_wake = self.encoder.update(tick, answer)
        self._levels = {name: made[name] for name in PINS}
        self._levels["PIN_B"] = 0
        self._levels[PIN_CLOCK] = self.outputs[PIN_CLOCK]
        again = tick + 1 if self._levels != self._seen else None
        self.wakes = earliest(self.input.wake(tick), again), encoder_wake


class Polling:
    """One encoder input with an axis that has a serial encoder."""

    STATE: tuple[str, ...] = (
        "track", "listened", "value", "_registers", "_pair", "_next_track", "_frames", "_lines",
    )  # fmt: skip
    """What is not the same for ever, or made of the rest (fabric.states)."""

    def __init__(
        self,
        registers: Mapping[str, int],
        track: Track,
        *,
        word: int = 0,
        homed: int = 0,
        formula: bool = True,
    ) -> None:
        """Begin with the tick of a reset.

        Args:
            registers: of the block; kept, and looked at when needed.
            track: of the axis.
            word: that was read before.
            homed: whether a decoder before had an origin.
            formula: whether to stop playing when all frames are alike.
        """
        self._registers = registers
        self.track = self._next_track = track
        self._pair = Pair(registers, word, homed)
        self.listened = False
        self.value = Value(0, Fixed(word), Reading.of(registers))
        self._formula = formula
        self._frames: Frames | None = None
        self._edges: dict[int, Edges] = {}
        self._lines: deque[tuple[int, tuple[int, int, int]]] = deque(maxlen=_KEPT)

    def step(self, tick: int, changes: Mapping[str, int], *, resets: bool) -> Outputs:
        """Take one tick; return what is put out besides VAL (WiredInput.step)."""
        self._edges.clear()
        if resets or self._listens() or self._next_track is not self.track:
            self.resume(tick - 1)
        self._pair.write(self._registers)
        if self._frames is None:
            self.track = self._next_track
            self._play(tick, changes, resets=resets)
            self._show(tick, Fixed(self.input.shown), self.input.reading)
            self._frames = self._alike(tick)
        if self._frames is not None:
            self._show(tick, self._frames, Reading.of(self._registers))
        return self._pair.outputs

    @property
    def input(self) -> WiredInput:
        """The end of the cable that has the clock."""
        return self._pair.input

    @property
    def encoder(self) -> Outenc:
        """The other end."""
        return self._pair.encoder

    @property
    def word(self) -> int:
        """What was read, if it is played."""
        return self.input.word

    @property
    def homed(self) -> int:
        """Whether the decoder has an origin."""
        return self.input.homed

    @property
    def plays(self) -> bool:
        """Whether every edge is played, as not all frames are alike."""
        return self._frames is None

    @property
    def lines_changed_at(self) -> int | None:
        """The tick at which lines that are played changed last."""
        return self._lines[-1][0] if self._lines else None

    def replug(self, track: Track) -> None:
        """Measure another track from the next step on."""
        self._next_track = track

    def _show(self, tick: int, source: Fixed | Frames, reading: Reading) -> None:
        if (source, reading) != (self.value.source, self.value.reading):
            self.value = Value(tick, source, reading)

    def wake(self, tick: int) -> int | None:
        """Return the next tick that matters, if nothing comes in."""
        del tick
        return earliest(*self._pair.wakes) if self._frames is None else None

    def resume(self, tick: int) -> None:
        """Play the last of the frames that were not, so that all is as it is at a tick."""
        frames = self._frames
        if frames is None:
            return
        self._frames = None
        number = frames.begun(tick)
        if number >= 0:
            self._lines.clear()
            self._play(frames.pulse(max(number - 1, 0)), {}, resets=False)
        while (due := earliest(*self._pair.wakes)) is not None and due <= tick:
            self._play(due, {}, resets=False)

    def lines(self, tick: int) -> tuple[int, int, int]:
        """Return levels of A, B and Z at a tick."""
        frames = self._frames
        edges: Edges = [*self._lines]
        if frames is not None and tick >= frames.first:
            edges = self._frame_edges(frames, frames.begun(tick))
        for since, levels in reversed(edges):
            if since <= tick:
                return levels
        return edges[0][1] if edges else (0, 0, 0)

    def _frame_edges(self, frames: Frames, number: int) -> Edges:
        """Return the levels of lines from the beginning of a frame to that of the next."""
        edges = self._edges.pop(number, None)
        if edges is None:
            pair = deepcopy(self._pair)
            pair.play(frames.pulse(number), self.track, {})
            edges = [(pair.played, pair.lines)]
            while (due := earliest(*pair.wakes)) is not None and due < frames.pulse(number + 1):
                pair.play(due, self.track, {})
                edges.append((due, pair.lines))
            if len(self._edges) >= _FRAMES_KEPT:
                del self._edges[next(iter(self._edges))]
        self._edges[number] = edges
        return edges

    def _play(self, tick: int, changes: Mapping[str, int], *, resets: bool) -> None:
        """Play one tick."""
        self._edges.clear()
        self._pair.play(tick, self.track, changes, resets=resets)
        levels = self._pair.lines
        if not self._lines or self._lines[-1][1] != levels:
            self._lines.append((tick, levels))

    # Frames that are all alike

    def _alike(self, tick: int) -> Frames | None:
        """Return the frames to come, if they are a formula from now on."""
        master = self.input.master
        if not self._formula or self._listens() or master is None:
            return None
        start = master.frames.next_seen(tick)
        if start is None or self._pair.wakes != (start, None) or not self._goes_well():
            return None
        halves = master.halves
        bits = self._registers["BITS"]
        shape = frame_shape(self._registers["PROTOCOL"], bits, halves.period)
        if shape is None:
            return None
        period = master.frames.period
        count = -(-(halves.period + shape.settled + 1) // period)
        if (count - 1) * period > 1 + shape.waiting:
            return None  # which pulse begins a frame depends on where the clock is
        return Frames(
            self.track, start, count * period, halves, shape.latched, shape.shown, bits,
            self.input.word,
        )  # fmt: skip

    def _listens(self) -> bool:
        """Tell whether somebody wants each edge, or makes the clock."""
        return self.listened or bool(self._registers["CLK_SRC"] & 1)

    def _goes_well(self) -> bool:
        return bool(self._pair.outputs["CONN"]) and not self._pair.outputs["HEALTH"]


class Shape(NamedTuple):
    """Ticks of one frame, from the first fall of the clock on."""

    latched: int
    """The encoder takes its position."""
    shown: int
    """VAL is the one taken."""
    waiting: int
    """The master sees the next pulse after this."""
    settled: int
    """All is as before the frame, except for the word."""


class _Alternating:
    """A position with every bit different in every frame."""

    def __init__(self, period: int) -> None:
        self._period = period

    def at(self, tick: int) -> int:
        return _PATTERN << tick // self._period % 2

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        del tick, low, high
        return None


@lru_cache(maxsize=256)
def frame_shape(protocol: int, bits: int, half: int) -> Shape | None:
    """Return what is the same in all frames; None if words do not arrive as they are.

    Args:
        protocol: SSI or BISS.
        bits: of the word.
        half: ticks of half a period of the clock.
    """
    period = _REST + 2 * half * (bits + _OVERHEAD)
    registers = {
        "PROTOCOL": protocol, "ENCODING": 0, "CLK_SRC": 0, "CLK": 0, "CLK_PERIOD": 2 * half,
        "FRAME_PERIOD": period, "BITS": bits, "LSB_DISCARD": 0, "MSB_DISCARD": 0, "RST_ON_Z": 0,
    }  # fmt: skip
    track = _Alternating(period)
    pair = Polling(registers, track, formula=False)
    pair.step(0, {}, resets=True)
    shapes = [_shape(pair, number, period) for number in range(2, 5)]
    return shapes[0] if len({*shapes}) == 1 else None


def _shape(pair: Polling, number: int, period: int) -> Shape | None:
    """Play up to the end of a frame and return its shape."""
    master = pair.input.master
    begin, end = number * period, (number + 1) * period
    before = pair.input.word
    ticks: dict[str, int] = {}
    while (tick := pair.wake(0)) is not None and tick < end:
        outputs = pair.step(tick, {}, resets=False)
        if tick < begin or master is None:
            before = pair.input.word
            continue
        if not master.clock:
            ticks.setdefault("fall", tick)
        if pair.input.shown != before:
            ticks.setdefault("shown", tick)
        if "fall" in ticks and master.waiting:
            ticks.setdefault("waiting", tick)
        if "waiting" in ticks and (pair.wake(tick) or 0) > end:
            ticks["settled"] = tick
            if outputs["HEALTH"] or not outputs["CONN"]:
                return None
    latched = pair.encoder.latched_at
    expected = widened(pair.track.at(latched) & MASK, pair.input.bits)
    if len(ticks) < len(_MOMENTS) or pair.input.shown != expected:
        return None
    if not begin < latched < ticks["shown"]:
        return None
    fall, shown, waiting, settled = (ticks[name] for name in _MOMENTS)
    return Shape(latched - fall, shown - fall, waiting - fall, settled - fall)
