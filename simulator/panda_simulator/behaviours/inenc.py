"""INENC: an encoder's position, looked up when needed rather than counted.

The encoder of a simulation is a function of the tick (a `Track`), so VAL is one too:
who wants to know when it passes a threshold computes that tick, and a fast axis that
nobody watches costs nothing. Lines A and B follow the same count; they are put out
change by change only while something is connected to them.

Source: blocks.md 3.3. In quadrature the real box shows VAL five ticks after the lines;
here both change at the tick at which the encoder does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from panda_simulator.behaviours.base import HIGHEST, LOWEST, MASK, Outputs, Step, signed
from panda_simulator.behaviours.stretches import (
    EMPTY,
    Stretch,
    Stretches,
    Track,
    add_up,
    add_up_all,
    is_even,
    look_up,
)

QUADRATURE, SSI, BISS, ENDAT = range(4)
_LINKUP_ERROR, _TIMEOUT, _NOT_IMPLEMENTED = 1, 2, 5
_SERIAL = (SSI, BISS)
_ENCODER_CONTROL = 1
_SIGNED_ENCODINGS = (2, 3)
_LINES = ((0, 0), (1, 0), (1, 1), (0, 1))
_PATIENCE = 64
_KEPT = 4
"""Earlier readings: who adds up the past is told before there is one more."""
_WORD = 32
_SIGN = 1 << 31
_RESETS = frozenset(("PROTOCOL", "ENCODING", "CLK_PERIOD", "FRAME_PERIOD", "BITS"))


class _Nothing:
    """An encoder that is not there."""

    def at(self, tick: int) -> int:
        del tick
        return 0

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        del tick, low, high
        return None


@dataclass(frozen=True, slots=True)
class _Reading:
    """How a raw count becomes VAL, from one tick on."""

    since: int
    protocol: int
    offset: int
    keep: int
    shift: int
    extends_sign: bool
    period: int
    plain: bool
    """Whether VAL is the count itself."""

    def sampled(self, tick: int) -> int:
        """Return the tick at which the value shown at a tick was read."""
        if self.protocol == QUADRATURE or not self.period:
            return tick
        return tick - (tick - self.since) % self.period

    def value(self, raw: int) -> int:
        """Return VAL of a raw count."""
        if self.plain:
            return signed(raw + self.offset)
        if self.protocol == ENDAT or self.keep <= 0:
            return 0
        word = (raw + self.offset & MASK) >> self.shift & (1 << self.keep) - 1
        if self.extends_sign and word >> self.keep - 1:
            word -= 1 << self.keep
        return signed(word)

    def next_change(self, track: Track, tick: int) -> int | None:
        """Return a tick up to which VAL stays what it is at a tick, None for ever."""
        read = self.sampled(tick)
        raw = track.at(read)
        change = track.leaves(read, raw, raw)
        if change is None:
            return None
        shown = self.sampled(change)
        return shown if shown == change else shown + self.period

    def stretch(self, track: Track, first: int, last: int) -> Stretch:
        """Add up VAL from first to the tick before last."""
        if self.plain:
            total, lowest, highest = add_up(track, first, last)
            if lowest + self.offset >= LOWEST and highest + self.offset <= HIGHEST:
                ticks = last - first
                return Stretch(
                    total + ticks * self.offset, lowest + self.offset, highest + self.offset
                )
        whole = EMPTY
        while first < last:
            value = self.value(track.at(self.sampled(first)))
            change = self.next_change(track, first)
            end = last if change is None else min(change, last)
            whole = whole.joined(Stretch(value * (end - first), value, value))
            first = end
        return whole


class Inenc:
    """One encoder input; also the track of its VAL."""

    bit_inputs: tuple[str, ...] = ("CLK",)
    position_inputs: tuple[str, ...] = ()

    def __init__(self) -> None:
        names = ("PROTOCOL", "ENCODING", "FRAME_PERIOD", "BITS", "LSB_DISCARD", "MSB_DISCARD")
        self._set: dict[str, int] = dict.fromkeys(names, 0)
        self._track: Track = _Nothing()
        self._connected = False
        self._homed = 0
        self._now = self._reading(0, 0)
        self._earlier: deque[_Reading] = deque([self._now], maxlen=_KEPT)
        self.listened = False
        """Whether A and B must be put out at each change."""

    def connect(self, track: Track) -> None:
        """Plug an encoder in; takes effect with the next update."""
        self._track = track
        self._connected = True

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        registers = {name: value for name, value in changes.items() if name in self._set}
        if registers or "SETP" in changes:
            self._set.update(registers)
            self._earlier.append(self._now)
            offset = self._now.offset
            if "SETP" in changes and self._connected:
                offset = signed(changes["SETP"]) - self._track.at(tick)
                self._homed = 1
            elif not _RESETS.isdisjoint(registers) and registers.get("PROTOCOL"):
                offset = 0
            self._now = self._reading(tick, offset)
        line_a, line_b = self.lines(tick)
        serial = self._now.protocol != QUADRATURE
        outputs: Outputs = {
            "A": line_a,
            "B": line_b,
            "Z": 0,
            "DATA": line_a if serial else 0,
            "CONN": int(self._connected and self._now.protocol != ENDAT),
            "HOMED": 1 if serial else self._homed,
            "HEALTH": self._health(),
            "DCARD_TYPE": _ENCODER_CONTROL,
        }
        wake = None
        if self.listened:
            raw = self._track.at(tick)
            wake = self._track.leaves(tick, raw, raw)
        return outputs, wake

    @property
    def set_at(self) -> int:
        """The tick of the last write that changed how VAL is made of counts."""
        return self._now.since

    def lines(self, tick: int) -> tuple[int, int]:
        """Return levels of A and B; low for a serial encoder."""
        if self._now.protocol != QUADRATURE:
            return 0, 0
        return _LINES[self._track.at(tick) & 3]

    def is_even(self, tick: int) -> bool:
        """Tell whether the encoder may go on evenly (stretches.is_even)."""
        return is_even(self._track, tick)

    def rests(self, tick: int) -> bool:
        """Tell whether lines and VAL stay for ever what they are at a tick, as things are."""
        raw = self._track.at(tick)
        return tick >= self._now.since and self._track.leaves(tick, raw, raw) is None

    def at(self, tick: int) -> int:
        """Return VAL (Track.at)."""
        reading = self._now
        if tick < reading.since:
            reading = self._reading_at(tick)
        if reading.plain:
            return (self._track.at(tick) + reading.offset + _SIGN & MASK) - _SIGN
        return reading.value(self._track.at(reading.sampled(tick)))

    def look_up(self, ticks: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return VAL at some ticks (stretches.look_up)."""
        reading = self._now
        if not reading.plain or ticks.min() < reading.since:
            return None
        return (look_up(self._track, ticks) + reading.offset + _SIGN & MASK) - _SIGN

    def add_up_all(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> Stretches | None:
        """Add up stretches of VAL (stretches.add_up_all)."""
        reading = self._now
        if not reading.plain or first.min() < reading.since:
            return None
        totals, lowest, highest = add_up_all(self._track, first, last)
        offset = reading.offset
        if lowest.min() + offset < LOWEST or highest.max() + offset > HIGHEST:
            return None
        ticks = (last - first).tolist()
        totals = [total + offset * count for total, count in zip(totals, ticks, strict=True)]
        return Stretches(totals, lowest + offset, highest + offset)

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        """Return when VAL leaves an interval (Track.leaves)."""
        reading = self._now
        if tick < reading.since:
            return reading.since
        if reading.plain:
            return self._track.leaves(tick, low - reading.offset, high - reading.offset)
        for _ in range(_PATIENCE):
            change = reading.next_change(self._track, tick)
            if change is None:
                return None
            tick = change
            if not low <= self.at(tick) <= high:
                break
        return tick

    def stretch(self, first: int, last: int) -> Stretch:
        """Add up VAL from first to the tick before last (stretches.add_up)."""
        whole = EMPTY
        end = last
        for reading in (self._now, *reversed(self._earlier)):
            oldest = reading is self._earlier[0]
            begin = first if oldest else max(first, reading.since)
            if begin < end:
                whole = whole.joined(reading.stretch(self._track, begin, end))
                end = begin
        return whole

    def _reading_at(self, tick: int) -> _Reading:
        """Return how a count became VAL at an earlier tick."""
        for reading in reversed(self._earlier):
            if tick >= reading.since:
                return reading
        return self._earlier[0]

    def _reading(self, tick: int, offset: int) -> _Reading:
        now = self._set
        low = now["LSB_DISCARD"] & 31
        protocol = now["PROTOCOL"] & 3
        keep = (now["BITS"] % _WORD or _WORD) - (now["MSB_DISCARD"] & 31) - low
        return _Reading(
            since=tick,
            protocol=protocol,
            offset=offset,
            keep=keep,
            shift=low,
            extends_sign=now["ENCODING"] in _SIGNED_ENCODINGS,
            period=now["FRAME_PERIOD"],
            plain=keep == _WORD and not low and protocol == QUADRATURE,
        )

    def _health(self) -> int:
        if self._now.protocol == ENDAT:
            return _NOT_IMPLEMENTED
        if self._connected:
            return 0
        return _TIMEOUT if self._now.protocol in _SERIAL else _LINKUP_ERROR
