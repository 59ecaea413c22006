"""An axis on a quadrature input, as a formula: filter, decoder and registers are a delay.

The position of an axis is the one that VAL shows; its lines are ahead of it by as much as the
box is behind. So an axis is counted as the box counts its lines, at the same ticks, but it
never loses a count: not where it jumps (lines and VAL at once) or moves faster than lines
can follow, and not to the glitch that a reset makes of lines that are high.

Source: blocks.md 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from panda_simulator.behaviours.base import Outputs, earliest, signed
from panda_simulator.behaviours.reading import Reading
from panda_simulator.behaviours.sources import Counted, Fixed, Value
from panda_simulator.behaviours.stretches import Track, look_up

QUADRATURE, SSI, BISS, ENDAT = range(4)
LINKUP_ERROR, TIMEOUT, NOT_IMPLEMENTED = 1, 2, 5

_LINES_LAG = -5
"""Ticks that lines are behind the axis; they are ahead of VAL."""

_SEEN = _LINES_LAG + 1
"""The same for the lines that the decoder sees."""

_DECODED = _SEEN + 2
"""The same for its count; there are two registers between it and VAL."""

_LINES = ((0, 0), (1, 0), (1, 1), (0, 1))


class Mark(NamedTuple):
    """Where line Z is high: at one count, or also at every so many from there."""

    place: int
    every: int = 0

    def high(self, count: int) -> bool:
        """Tell whether Z is high at a count."""
        distance = count - self.place
        return not (distance % self.every if self.every else distance)

    def all_high(self, counts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell at which of some counts Z is high."""
        distances = counts - self.place
        return (distances % self.every if self.every else distances) == 0

    def around(self, count: int) -> tuple[int, int]:
        """Return lowest and highest count to which Z is what it is at a count."""
        if self.high(count):
            return count, count
        if self.every:
            low = count - (count - self.place) % self.every + 1
            return low, low + self.every - 2
        far = 1 << 62
        return (self.place + 1, far) if count > self.place else (-far, self.place - 1)


@runtime_checkable
class Marked(Protocol):
    """A track with a line Z."""

    mark: Mark


class Counting:
    """One encoder input with an axis, or with nothing, that is not read by serial frames."""

    def __init__(
        self, registers: Mapping[str, int], track: Track | None, *, homed: int = 0
    ) -> None:
        """Begin at the count of the axis.

        Args:
            registers: of the block; kept, and looked at when needed.
            track: of the axis; None: nothing is there.
            homed: whether the count has a defined origin.
        """
        self._registers = registers
        self.track = track
        self._mark = track.mark if isinstance(track, Marked) else None
        self._count: Fixed | Counted = Counted(track, _DECODED, 0) if track else Fixed(0)
        self._held = False
        self.homed = homed
        self._word: Fixed | Counted = self._raw()
        self._bits = registers["BITS"]
        self._status = self._seen()
        self.value = Value(0, self._word.later(), Reading.of(registers))
        self.listened = False

    def show(self, word: int) -> None:
        """Have read a word, until the first step."""
        self._word = Fixed(word)
        self.value = Value(self.value.since, self._word, self.value.reading)

    def replug(self, track: Track) -> None:
        """Measure another track from now on; what was counted does not matter."""
        self.track = track
        self._mark = track.mark if isinstance(track, Marked) else None
        offset = self._count.offset if isinstance(self._count, Counted) else 0
        self._held = False
        self._count = Counted(track, _DECODED, offset)
        self._word = self._raw()

    def step(self, tick: int, changes: Mapping[str, int], *, resets: bool) -> Outputs:
        """Take one tick; return what is put out besides VAL (WiredInput.step)."""
        del resets
        reading = Reading.of({**self._registers, "BITS": self._bits})
        source = self._word.later()
        if (source, reading) != (self.value.source, self.value.reading):
            self.value = Value(tick, source, reading)
        self._bits = self._registers["BITS"]
        self._word = self._raw()
        self._status = self._seen()
        if self.track is not None:
            self._decode(tick, changes, self.track)
        a, b, z = self.lines(tick)
        return {**self._status, "A": a, "B": b, "Z": z, "DATA": a}

    def _raw(self) -> Fixed | Counted:
        return self._count.later() if self._registers["PROTOCOL"] == QUADRATURE else Fixed(0)

    def _seen(self) -> Outputs:
        protocol, plugged = self._registers["PROTOCOL"], self.track is not None
        if protocol == ENDAT:
            return {"CONN": 0, "HOMED": 1, "HEALTH": NOT_IMPLEMENTED}
        if protocol != QUADRATURE:
            return {"CONN": 0, "HOMED": 1, "HEALTH": TIMEOUT}
        health = 0 if plugged else LINKUP_ERROR
        return {"CONN": int(plugged), "HOMED": self.homed, "HEALTH": health}

    def _decode(self, tick: int, changes: Mapping[str, int], track: Track) -> None:
        held = self._registers["RST_ON_Z"] & 1 and self._mark is not None
        if held and self._mark is not None and self._mark.high(track.at(tick - _SEEN)):
            self._count, self.homed, self._held = Fixed(0), 1, True
        elif "SETP" in changes:
            count = signed(changes["SETP"]) - track.at(tick - _DECODED)
            self._count, self.homed, self._held = Counted(track, _DECODED, count), 1, False
        elif self._held:
            self._count = Counted(track, _DECODED, -track.at(tick - 1 - _DECODED))
            self._held = False

    def lines(self, tick: int) -> tuple[int, int, int]:
        """Return levels of A, B and Z at a tick."""
        if self.track is None or self._registers["PROTOCOL"] != QUADRATURE:
            return 0, 0, 0
        count = self.track.at(tick - _LINES_LAG)
        return *_LINES[count & 3], int(self._mark is not None and self._mark.high(count))

    def all_lines(self, ticks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return levels of A, B and Z at some ticks, (ticks, 3)."""
        levels = np.zeros((len(ticks), 3), np.bool_)
        if self.track is not None and self._registers["PROTOCOL"] == QUADRATURE:
            counts = look_up(self.track, ticks - _LINES_LAG)
            levels[:, :2] = np.array(_LINES, np.bool_)[counts & 3]
            if self._mark is not None:
                levels[:, 2] = self._mark.all_high(counts)
        return levels

    def rests(self, tick: int) -> bool:
        """Tell whether lines stay as they are at a tick, as things are."""
        if self.track is None or self._registers["PROTOCOL"] != QUADRATURE:
            return True
        count = self.track.at(tick - _LINES_LAG)
        return self.track.leaves(tick - _LINES_LAG, count, count) is None

    @property
    def word(self) -> Fixed | Counted:
        """What has been read, a register before VAL."""
        return self._word

    def wake(self, tick: int) -> int | None:
        """Return the next tick that matters, if nothing comes in."""
        reading = Reading.of(self._registers)
        if (
            self._word != self._raw()
            or self._word.later() != self.value.source
            or reading != self.value.reading
            or self._status != self._seen()
            or (self._held and not self._registers["RST_ON_Z"] & 1)
        ):
            return tick + 1
        track = self.track
        if track is None or self._registers["PROTOCOL"] == ENDAT:
            return None
        line = mark = None
        if self.listened:
            count = track.at(tick - _LINES_LAG)
            left = track.leaves(tick - _LINES_LAG, count, count)
            line = None if left is None else left + _LINES_LAG
        if self._mark is not None and self._registers["RST_ON_Z"] & 1:
            left = track.leaves(tick - _SEEN, *self._mark.around(track.at(tick - _SEEN)))
            mark = None if left is None else left + _SEEN
        return earliest(line, mark)
