"""INENC: an encoder's position, looked up when needed rather than counted.

The encoder of a simulation is a function of the tick (a `Track`), so VAL is one too:
who wants to know when it passes a threshold computes that tick, and a fast axis that
nobody watches costs nothing. Lines A and B follow the same count; they are put out
change by change only while something is connected to them.

Source: blocks.md 3.3. In quadrature the real box shows VAL five ticks after the lines;
here both change at the tick at which the encoder does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from panda_simulator.behaviours.base import MASK, Outputs, Step, signed

QUADRATURE, SSI, BISS, ENDAT = range(4)
_LINKUP_ERROR, _TIMEOUT, _NOT_IMPLEMENTED = 1, 2, 5
_SERIAL = (SSI, BISS)
_ENCODER_CONTROL = 1
_SIGNED_ENCODINGS = (2, 3)
_LINES = ((0, 0), (1, 0), (1, 1), (0, 1))
_PATIENCE = 64
_WORD = 32
_RESETS = frozenset(("PROTOCOL", "ENCODING", "CLK_PERIOD", "FRAME_PERIOD", "BITS"))


class Track(Protocol):
    """A whole number that is a function of the tick."""

    def at(self, tick: int) -> int:
        """Return the value at a tick."""
        ...

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        """Return the first tick after `tick` with a value outside low … high.

        It may be an earlier tick with a value inside: ask again then. None: never, as
        things are.
        """
        ...


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

    @property
    def plain(self) -> bool:
        """Whether VAL is the count itself."""
        return self.keep == _WORD and not self.shift and self.protocol == QUADRATURE

    def sampled(self, tick: int) -> int:
        """Return the tick at which the value shown at a tick was read."""
        if self.protocol == QUADRATURE or not self.period:
            return tick
        return tick - (tick - self.since) % self.period

    def value(self, raw: int) -> int:
        """Return VAL of a raw count."""
        if self.protocol == ENDAT or self.keep <= 0:
            return 0
        word = (raw + self.offset & MASK) >> self.shift & (1 << self.keep) - 1
        if self.extends_sign and word >> self.keep - 1:
            word -= 1 << self.keep
        return signed(word)


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
        self._before = self._now = self._reading(0, 0)
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
            self._before = self._now
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

    def at(self, tick: int) -> int:
        """Return VAL (Track.at)."""
        reading = self._now if tick >= self._now.since else self._before
        return reading.value(self._track.at(reading.sampled(tick)))

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        """Return when VAL leaves an interval (Track.leaves)."""
        reading = self._now
        if tick < reading.since:
            return reading.since
        if reading.plain:
            return self._track.leaves(tick, low - reading.offset, high - reading.offset)
        for _ in range(_PATIENCE):
            read = reading.sampled(tick)
            raw = self._track.at(read)
            change = self._track.leaves(read, raw, raw)
            if change is None:
                return None
            shown = reading.sampled(change)
            tick = shown if shown == change else shown + reading.period
            if not low <= self.at(tick) <= high:
                break
        return tick

    def _reading(self, tick: int, offset: int) -> _Reading:
        now = self._set
        low = now["LSB_DISCARD"] & 31
        keep = (now["BITS"] % _WORD or _WORD) - (now["MSB_DISCARD"] & 31) - low
        return _Reading(
            since=tick,
            protocol=now["PROTOCOL"] & 3,
            offset=offset,
            keep=keep,
            shift=low,
            extends_sign=now["ENCODING"] in _SIGNED_ENCODINGS,
            period=now["FRAME_PERIOD"],
        )

    def _health(self) -> int:
        if self._now.protocol == ENDAT:
            return _NOT_IMPLEMENTED
        if self._connected:
            return 0
        return _TIMEOUT if self._now.protocol in _SERIAL else _LINKUP_ERROR
