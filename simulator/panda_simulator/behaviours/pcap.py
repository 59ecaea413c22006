"""PCAP: a sample of chosen positions, sums, times and bits at every trigger.

Positions and bits are not inputs: PCAP looks them up when it needs them, and says
which positions it must be told about (`watched`), so that a captured position costs
nothing while no value of it goes into a sum.

Source: blocks.md 4.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

from panda_simulator.behaviours.backlog import Backlog
from panda_simulator.behaviours.base import Step, earliest, is_edge
from panda_simulator.behaviours.frames import CaptureBus, Frame
from panda_simulator.behaviours.lookups import COMPLETE, MARKS, MOST, Marks, Ticks, Words

TOO_CLOSE, OVERFLOW = 1, 2
_LATENCY = 4
_DRAIN = 2
_NEVER_ENABLED = -1
_ACTIONS = frozenset(("START_WRITE", "WRITE", "ARM", "DISARM"))


class _Sample:
    """The words of one capture; word k comes out at first + k."""

    __slots__ = ("first", "last", "marks", "words")

    def __init__(self, tick: int, words: list[int], marks: Marks) -> None:
        self.words = words
        self.marks = marks
        self.first = tick + _LATENCY
        self.last = self.first + len(words) - 1


class Pcap:
    """The capture engine: armed, running, and the words on their way out."""

    bit_inputs: tuple[str, ...] = ("ENABLE", "GATE", "TRIG")
    position_inputs: tuple[str, ...] = ()

    def __init__(self, bus: CaptureBus, *, word_by_word: bool = False) -> None:
        """Make a PCAP.

        Args:
            bus: where positions and bits come from.
            word_by_word: put each word out as DATA at its tick; otherwise words are
                only taken as whole samples, with `take_samples`, which costs no wake-ups.
        """
        self._bus = bus
        self._word_by_word = word_by_word
        self._set: dict[str, int] = dict.fromkeys((*self.bit_inputs, "TRIG_EDGE", "SHIFT_SUM"), 0)
        self._entries: list[int] = []
        self._frame = Frame([], bus)
        self._samples: deque[_Sample] = deque()
        self._done: list[int] = []
        self._marks: list[int] = []
        self._trigger_level = 0
        self._armed_at = 0
        self._zero = _NEVER_ENABLED
        self._paused_time: int | None = None
        self._draining = False
        self._last_capture: int | None = None
        self._last_word: int | None = None
        self._fault_at: int | None = None
        self._full_at: int | None = None
        self._end_at: int | None = None
        self._found = 0
        self.backlog: Backlog | None = None
        """Of words, if the memory does not take all there are."""
        self.active = False
        self.health = 0
        self.disarmed = False

    @property
    def running(self) -> bool:
        """Whether ENABLE has been high since the last ARM."""
        return self._zero != _NEVER_ENABLED

    @property
    def captured_at(self) -> int | None:
        """The tick of the last capture of the acquisition."""
        return self._last_capture

    @property
    def watched(self) -> frozenset[int]:
        """Positions of which PCAP needs to be told every change, as things are."""
        return self._frame.watched

    @property
    def opened_at(self) -> int | None:
        """The tick at which the gate opened, or a frame began with an open one; None if closed."""
        return self._frame.opened_at

    def settle(self, tick: int) -> None:
        """Add up tracks before this tick, which go on differently or are read differently."""
        self._frame.settle(tick)
        for sample in self._samples:
            sample.words = self._complete(sample.words, sample.marks).tolist()
            sample.marks = COMPLETE
        if any(self._marks):
            self._done = self._complete(self._done, self._marks).tolist()
            self._marks = [0] * len(self._marks)

    def break_off(self, health: int) -> None:
        """Let the next DISARM be an end with this HEALTH, if there is an acquisition."""
        self._found = health if self.active else 0

    def load(self, entries: Sequence[int]) -> None:
        """Replace the capture list (START_WRITE and WRITEs)."""
        self._entries = list(entries)
        self._frame = Frame(self._entries, self._bus)

    def take_words(self, tick: int) -> tuple[list[int], list[int]]:
        """Hand over the words of the samples whose last word is out at the tick.

        Returns:
            The words, and the marks of each sample if something is to be looked up.
        """
        if self.active:
            self._drain(tick)
        taken = self._done, self._marks
        self._done, self._marks = [], []
        return taken

    def take_samples(self, tick: int) -> bytes:
        """Hand over the samples whose last word is out at the tick, little-endian."""
        words, marks = self.take_words(tick)
        if not marks:
            return struct.pack(f"<{len(words)}I", *words)
        return self._complete(words, marks).astype("<u4", copy=False).tobytes()

    @property
    def due(self) -> int | None:
        """The tick at which the last word of the samples that are on their way is out."""
        return self._samples[-1].last if self._samples else None

    @property
    def at_once(self) -> int:
        """How many samples should be completed at once, as that keeps others waiting."""
        return self._frame.lookups.at_once if self._frame.lookups else MOST

    def complete(self, words: Words, marks: Ticks) -> Words:
        """Look up what is left to be looked up of samples (lookups.Lookups.complete)."""
        lookups = self._frame.lookups
        return lookups.complete(words, marks) if lookups else words

    def _complete(self, words: Sequence[int], marks: Sequence[int]) -> Words:
        count = len(marks) // MARKS
        samples = np.array(words, np.uint32).reshape(count, len(words) // count)
        return self.complete(samples, np.array(marks, np.int64).reshape(count, MARKS)).reshape(-1)

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        now = self._set
        enable = now["ENABLE"]
        now.update(changes)
        if not _ACTIONS.isdisjoint(changes):
            self._write_list(changes)
            self._arm(tick, changes)
        if self.active:
            self._follow_enable(tick, enable, now["ENABLE"])
        level = now["TRIG"] & now["ENABLE"]
        triggered = is_edge(now["TRIG_EDGE"], self._trigger_level, level)
        self._trigger_level = level
        if not self.active:
            return {"ACTIVE": 0, "HEALTH": self.health}, None
        self._follow_gate(tick, triggered)
        if self._draining:
            self._end_at = self._drained_at(tick)
        outputs = {"ACTIVE": 1, "HEALTH": self.health}
        if self._word_by_word and (data := self._word(tick)) is not None:
            outputs["DATA"] = data
        self._finish(tick, outputs)
        return outputs, self._wake(tick)

    def _write_list(self, changes: Mapping[str, int]) -> None:
        if "START_WRITE" in changes:
            self.load([])
        if "WRITE" in changes:
            self.load([*self._entries, changes["WRITE"] & 0x3FF])

    def _arm(self, tick: int, changes: Mapping[str, int]) -> None:
        if self.active:
            if "DISARM" in changes:
                self._end_at = tick
                self._draining = False
                self.disarmed = True
                self.health, self._found = self._found, 0
        elif "ARM" in changes:
            self.active = True
            self.health = 0
            self.disarmed = False
            self._armed_at = tick
            self._zero = _NEVER_ENABLED
            self._paused_time = None
            self._draining = False
            self._last_capture = self._last_word = self._end_at = None
            self._fault_at = self._full_at = None
            if self.backlog:
                self.backlog.clear()
            self._samples.clear()
            self._frame.clear()

    def _follow_enable(self, tick: int, before: int, now: int) -> None:
        if now and not self.running:
            self._zero = tick
        elif now and self._paused_time is not None:
            self._zero = tick - self._paused_time
            self._paused_time = None
        elif before and not now and self.running:
            self._paused_time = tick - self._zero
            # DISARM waits for nothing; the fall on the tick after ARM is not seen as an end
            ends = not self.disarmed and tick != self._armed_at + 1
            self._draining = self._draining or ends

    def _drained_at(self, tick: int) -> int:
        """Return when ACTIVE falls after ENABLE did: when no word follows without a gap."""
        last = tick - 1 if self._last_word == tick - 1 else None
        for sample in self._samples:
            coming_out = sample.first <= tick - 1 <= sample.last
            if coming_out if last is None else sample.first == last + 1:
                last = sample.last
        return tick if last is None else last + _DRAIN

    def _time(self, tick: int) -> int:
        """Return the ticks with ENABLE high since the first one after ARM."""
        if self._paused_time is not None:
            return self._paused_time
        return tick - self._zero if self.running else 0

    def _follow_gate(self, tick: int, triggered: bool) -> None:
        time = self._time(tick)
        gate = self._set["GATE"] & self._set["ENABLE"]
        if not triggered:
            self._frame.gate(tick, gate, time)
            return
        if self._last_capture is not None and tick < self._last_capture + len(self._entries):
            self._fault_at = self._fault_at or tick + _LATENCY
        self._last_capture = tick
        words, marks = self._frame.capture(tick, gate, time, self._set["SHIFT_SUM"])
        self._samples.append(_Sample(tick, words, marks))
        if self.backlog and self._full_at is None:
            self._full_at = self.backlog.add(tick + _LATENCY, len(words))

    def _word(self, tick: int) -> int | None:
        """Return the word that comes out at the tick."""
        for sample in self._samples:
            if sample.first <= tick <= sample.last:
                return self._in_place(tick, sample).words[tick - sample.first]
        return None

    def _in_place(self, tick: int, sample: _Sample) -> _Sample:
        """Return the sample whose words are read: with the fault, the one that came too close."""
        if tick != self._fault_at:
            return sample
        return next(other for other in self._samples if other.first == tick)

    def _drain(self, tick: int) -> None:
        """Move the samples that are out by the tick to where they are taken from."""
        while self._samples and self._samples[0].last <= tick:
            sample = self._samples.popleft()
            self._last_word = sample.last
            words = sample.words
            if not self._word_by_word:
                self._done += words
                if self._frame.lookups:
                    self._marks += sample.marks

    def _finish(self, tick: int, outputs: dict[str, int]) -> None:
        if self._fault_at is not None and tick >= self._fault_at:
            self.health = TOO_CLOSE
            self._end_at = tick
        if self._full_at is not None and tick >= self._full_at:
            self.health = OVERFLOW
            self._end_at = tick
            # the word for which there is no room is lost, and with it its sample
            self._drain(tick - 1)
            self._samples.clear()
        if self._word_by_word:
            self._drain(tick - 1)
        if self._end_at is not None and tick >= self._end_at:
            self._drain(tick)
            self._samples.clear()
            self.active = False
            self._frame.clear()
            outputs.update(ACTIVE=0, HEALTH=self.health)

    def _wake(self, tick: int) -> int | None:
        if not self.active:
            return None
        if self._word_by_word:
            word = max(self._samples[0].first, tick + 1) if self._samples else None
            return earliest(self._end_at, self._fault_at, self._full_at, word)
        if self._fault_at is None and self._full_at is None:
            return self._end_at
        return earliest(self._end_at, self._fault_at, self._full_at)
