"""INENC: an encoder's position, looked up when needed rather than counted.

An axis of the world is a function of the tick (a `Track`), so VAL is one too: who wants
to know when it passes a threshold computes that tick, and a fast axis that nobody watches
costs nothing. Lines are put out change by change only while something is connected to
them. What comes in by a cable is played line by line, as in the box.

Source: blocks.md 3.3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from panda_simulator.behaviours.base import MASK, Outputs, Step
from panda_simulator.behaviours.counting import BISS, SSI, Counting
from panda_simulator.behaviours.outenc import ENCODER_CONTROL, PINS
from panda_simulator.behaviours.polling import Polling
from panda_simulator.behaviours.reading import Reading
from panda_simulator.behaviours.sources import Fixed, Value
from panda_simulator.behaviours.stretches import EMPTY, Stretch, Stretches, Track, is_even
from panda_simulator.behaviours.wired import PIN_CLOCK, WiredInput

_KEPT = 4
"""Earlier readings: who adds up the past is told before there is one more."""

_REGISTERS = (
    "PROTOCOL", "ENCODING", "CLK_SRC", "CLK_PERIOD", "FRAME_PERIOD", "BITS", "LSB_DISCARD",
    "MSB_DISCARD", "RST_ON_Z", "CLK",
)  # fmt: skip
_RESETS = frozenset(("PROTOCOL", "ENCODING", "CLK_PERIOD", "FRAME_PERIOD", "BITS"))


class Inenc:
    """One encoder input; also the track of its VAL."""

    bit_inputs: tuple[str, ...] = ("CLK",)
    position_inputs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._set: dict[str, int] = dict.fromkeys(_REGISTERS, 0)
        self._front: Counting | Polling | Cabled = Counting(self._set, None)
        self._fresh = False
        self._taken: Value = self._front.value
        self._now: Value = self._taken
        self._earlier: deque[Value] = deque([self._now], maxlen=_KEPT)

    def connect(self, track: Track) -> None:
        """Plug the encoder of an axis in; takes effect with the next update."""
        front = self._front
        if isinstance(front, Polling) or (isinstance(front, Counting) and front.track is not None):
            front.replug(track)
        elif self._set["PROTOCOL"] in (SSI, BISS):
            self._begin(Polling(self._set, track))
        else:
            self._begin(Counting(self._set, track))

    def cable(self) -> None:
        """Plug a cable in, whose levels come as changes of `PINS`; from the next update on."""
        self._begin(Cabled(self._set))

    def _begin(self, front: Counting | Polling | Cabled) -> None:
        front.listened = self._front.listened
        self._front = front
        self._fresh = True

    @property
    def listened(self) -> bool:
        """Whether lines must be put out at each change."""
        return self._front.listened

    @listened.setter
    def listened(self, listened: bool) -> None:
        self._front.listened = listened

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        resets = self._fresh or not _RESETS.isdisjoint(changes)
        self._fresh = False
        self._set.update((name, changes[name]) for name in _REGISTERS if name in changes)
        if "PROTOCOL" in changes:
            self._choose(tick)
        outputs = self._front.step(tick, changes, resets=resets)
        value = self._front.value
        if value is not self._taken and (value.source, value.reading) != (
            self._now.source,
            self._now.reading,
        ):
            self._earlier.append(self._now)
            self._now = Value(tick, value.source, value.reading)
        self._taken = value
        outputs["DCARD_TYPE"] = ENCODER_CONTROL
        return outputs, self._front.wake(tick)

    def _choose(self, tick: int) -> None:
        """Take what plays the protocol of an axis."""
        front = self._front
        serial = self._set["PROTOCOL"] in (SSI, BISS)
        if isinstance(front, Cabled) or front.track is None:
            return
        if isinstance(front, Counting) and serial:
            word = front.word.at(tick - 1) & MASK
            self._front = Polling(self._set, front.track, word=word, homed=front.homed)
        elif isinstance(front, Polling) and not serial:
            front.resume(tick - 1)
            self._front = Counting(self._set, front.track, homed=front.homed)
            self._front.show(front.word)
        self._front.listened = front.listened

    @property
    def set_at(self) -> int:
        """The tick at which VAL began to be made of something else."""
        return self._now.since

    @property
    def lines_changed_at(self) -> int | None:
        """The tick at which lines that are played changed last; None if they are a formula."""
        front = self._front
        if isinstance(front, Counting) or (isinstance(front, Polling) and not front.plays):
            return None
        return front.lines_changed_at

    def lines(self, tick: int) -> tuple[int, int, int]:
        """Return levels of A, B and Z."""
        return self._front.lines(tick)

    def all_lines(self, ticks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return levels of A, B and Z at some ticks, (ticks, 3)."""
        front = self._front
        if isinstance(front, Counting):
            return front.all_lines(ticks)
        return np.array([front.lines(tick) for tick in ticks.tolist()], np.bool_)

    def is_even(self, tick: int) -> bool:
        """Tell whether the encoder may go on evenly (stretches.is_even)."""
        front = self._front
        return isinstance(front, Cabled) or front.track is None or is_even(front.track, tick)

    def rests(self, tick: int) -> bool:
        """Tell whether lines stay for ever what they are at a tick, as things are."""
        front = self._front
        return isinstance(front, Counting) and front.rests(tick)

    def at(self, tick: int) -> int:
        """Return VAL (Track.at)."""
        value = self._now
        if tick < value.since:
            value = self._value_at(tick)
        return value.at(tick)

    def look_up(self, ticks: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return VAL at some ticks (stretches.look_up)."""
        return self._now.look_up(ticks)

    def add_up_all(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> Stretches | None:
        """Add up stretches of VAL (stretches.add_up_all)."""
        return self._now.add_up_all(first, last)

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        """Return when VAL leaves an interval (Track.leaves)."""
        if tick < self._now.since:
            return self._now.since
        return self._now.leaves(tick, low, high)

    def stretch(self, first: int, last: int) -> Stretch:
        """Add up VAL from first to the tick before last (stretches.add_up)."""
        whole = EMPTY
        end = last
        for value in (self._now, *reversed(self._earlier)):
            oldest = value is self._earlier[0]
            begin = first if oldest else max(first, value.since)
            if begin < end:
                whole = whole.joined(value.stretch(begin, end))
                end = begin
        return whole

    def _value_at(self, tick: int) -> Value:
        """Return how VAL was made at an earlier tick."""
        for value in reversed(self._earlier):
            if tick >= value.since:
                return value
        return self._earlier[0]


class Cabled:
    """One encoder input on a cable: every change of a line is played."""

    def __init__(self, registers: Mapping[str, int]) -> None:
        self.input = WiredInput(registers)
        self.listened = False
        self._shown = 0, Reading.of(registers)
        self.value = Value(0, Fixed(0), self._shown[1])
        self._lines: deque[tuple[int, tuple[int, int, int]]] = deque([(0, (0, 0, 0))], _KEPT)

    def step(self, tick: int, changes: Mapping[str, int], *, resets: bool) -> Outputs:
        """Take one tick; return what is put out besides VAL."""
        outputs = self.input.step(tick, changes, resets=resets)
        if (self.input.shown, self.input.reading) != self._shown:
            self._shown = self.input.shown, self.input.reading
            self.value = Value(tick, Fixed(self.input.shown), self.input.reading)
        levels = outputs["A"], outputs["B"], outputs["Z"]
        if levels != self._lines[-1][1]:
            self._lines.append((tick, levels))
        return outputs

    @property
    def lines_changed_at(self) -> int:
        """The tick at which lines changed last."""
        return self._lines[-1][0]

    def wake(self, tick: int) -> int | None:
        """Return the next tick that matters, if nothing comes in."""
        return self.input.wake(tick)

    def lines(self, tick: int) -> tuple[int, int, int]:
        """Return levels of A, B and Z at a tick that was played, or one before."""
        for since, levels in reversed(self._lines):
            if since <= tick:
                return levels
        return self._lines[0][1]


__all__ = ["PINS", "PIN_CLOCK", "Cabled", "Inenc"]
