"""How far apart triggers are, as far as settings tell: the chain of blocks in front of PCAP.TRIG.

In ticks. A question that the settings do not answer has the answer None, never a guess:
an encoder, an input, a position compare, a gate in between.

Source: blocks.md 4.4, 5.3 CLOCK, 5.5 DIV, 5.9 PULSE, 5.10 SEQ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from panda_ophyd.wiring import Settings, block_of, is_output, number, ticks, type_of

RISING, FALLING, EITHER = "Rising", "Falling", "Either"

SHORTEST_PULSE = 5
"""PULSE makes at least so many ticks of WIDTH and DELAY."""

OUTPUTS = "ABCDEF"

MOST_DEPTH = 16
"""Blocks in a chain after which nothing more is asked: it may go in a circle."""


@dataclass(frozen=True, slots=True)
class Spacing:
    """Distance of triggers.

    Attributes:
        closest: the two that are closest together, ticks.
        mean: ticks a trigger while they come, None if they come in bursts of unknown distance.
        why: how that is known: ``CLOCK1.PERIOD``, ``SEQ1.TABLE line 3``.
    """

    closest: int
    mean: float | None
    why: str


Tables = Mapping[str, NDArray[np.uint32]]
"""Rows of four words of the tables that will be played, by block: ``{"SEQ1": ...}``."""


def spacing(
    settings: Settings, tables: Tables, clock: int, target: str, edge: str, depth: int = 0
) -> Spacing | None:
    """Return how far apart the edges are that an input sees, None if that is not known.

    Args:
        settings: of the box.
        tables: of the sequencers that have theirs.
        clock: Hz.
        target: the input, ``PCAP.TRIG``.
        edge: ``Rising``, ``Falling`` or ``Either``.
        depth: how far back the caller has come.
    """
    source = settings.get(target, "")
    if not is_output(source) or depth > MOST_DEPTH:
        return None
    block = block_of(source)
    look = _BLOCKS.get(type_of(block))
    question = _Question(settings, tables, clock, block, source.partition(".")[2], edge, depth)
    return look(question) if look else None


@dataclass(frozen=True, slots=True)
class _Question:
    settings: Settings
    tables: Tables
    clock: int
    block: str
    output: str
    edge: str
    depth: int

    def of(self, name: str, edge: str) -> Spacing | None:
        """Ask the same of an input of this block."""
        target = f"{self.block}.{name}"
        return spacing(self.settings, self.tables, self.clock, target, edge, self.depth + 1)

    def ticks(self, name: str) -> int | None:
        return ticks(self.settings, f"{self.block}.{name}", self.clock)

    def number(self, name: str) -> float | None:
        return number(self.settings, f"{self.block}.{name}")


def _clock(ask: _Question) -> Spacing | None:
    period, width = ask.ticks("PERIOD"), ask.ticks("WIDTH")
    if period is None or width is None or (period == 0 and width == 0):
        return None
    if width and period <= width:
        period = width + 1
    period = max(period, 2)
    high = width or period // 2
    why = f"{ask.block}.PERIOD is {period} ticks"
    if ask.edge == EITHER:
        return Spacing(min(high, period - high), period / 2, why)
    return Spacing(period, float(period), why)


def _div(ask: _Question) -> Spacing | None:
    before = ask.of("INP", ask.edge)
    divisor = ask.number("DIVISOR")
    if before is None or divisor is None:
        return None
    by = max(int(divisor), 1)
    if by > 1 and before.mean != before.closest:
        return None  # which of them it picks decides
    if ask.output == "OUTN":
        if by == 1:
            return None
        closest = before.closest if by > 2 else 2 * before.closest  # noqa: PLR2004
        return Spacing(closest, before.closest * by / (by - 1), before.why)
    if ask.edge == EITHER and by > 1:  # the length of a pulse is not divided
        return Spacing(before.closest, before.closest * by / 2, before.why)
    every = before.closest * by
    return Spacing(every, float(every), f"{before.why}, divided by {by} in {ask.block}")


def _pulse(ask: _Question) -> Spacing | None:
    width, delay, step, pulses = (
        ask.ticks("WIDTH"), ask.ticks("DELAY"), ask.ticks("STEP"), ask.number("PULSES"),
    )  # fmt: skip
    if width is None or delay is None or step is None or pulses is None:
        return None
    if width == 0:
        return ask.of("TRIG", ask.edge)
    width = max(width, SHORTEST_PULSE)
    count = max(int(pulses), 1)
    step = step if step > width else width + 1
    train = (count - 1) * step
    found: list[Spacing] = []
    if count > 1:
        found.append(Spacing(step, None, f"{ask.block}.STEP is {step} ticks"))
    trigger_edge = ask.settings.get(f"{ask.block}.TRIG_EDGE", RISING)
    before = ask.of("TRIG", trigger_edge)
    if before is not None and before.mean == before.closest:  # as regular as a clock
        every = -(-(train + width + 1) // before.closest) * before.closest
        why = f"{before.why}, and {ask.block} makes {count} of each"
        found.append(Spacing(every - train, every / count, why))
    if not found:
        return None
    best = min(found, key=lambda each: each.closest)
    mean = next((each.mean for each in found if each.mean is not None), None)
    if ask.edge == EITHER:
        pause = min(width, best.closest - width)
        return Spacing(max(pause, 1), None if mean is None else mean / 2, best.why)
    return Spacing(best.closest, mean, best.why)


class _Walk:
    """Goes through a table and looks at the edges of one output.

    Args:
        edge: which edges count.
        bit: of the output, 0 for OUTA.
        unit: ticks of one count of TIME1 and TIME2.
    """

    def __init__(self, edge: str, bit: int, unit: int) -> None:
        self.closest: tuple[int, int] | None = None  # ticks, line
        self.edges = 0
        self.total = 0
        self.waits = False
        self._edge, self._bit, self._unit = edge, bit, unit
        self._level = False
        self._last: int | None = None

    def line(self, number: int, words: NDArray[np.uint32]) -> None:
        """Play a line with all its repeats."""
        word, time1, time2 = int(words[0]), int(words[2]), int(words[3])
        phases = [(bool(word >> (20 + self._bit) & 1), time1 * self._unit)] if time1 else []
        phases.append((bool(word >> (26 + self._bit) & 1), max(time2, 1) * self._unit))
        repeats, immediate = word & 0xFFFF, (word >> 16 & 0xF) == 0
        self.waits = self.waits or not immediate or not repeats
        self._play(number, phases, immediate, 1)
        if repeats != 1:
            # Of many equal repeats two tell all distances; the rest only adds to the count
            self._play(number, phases, immediate, max(repeats - 1, 1))
            skipped = max(repeats - 2, 0) * sum(length for _, length in phases)
            self.total += skipped
            self._last = None if self._last is None else self._last + skipped

    def _play(
        self, number: int, phases: list[tuple[bool, int]], immediate: bool, count: int
    ) -> None:
        if not immediate:
            self._last = None  # it waits for somebody, for as long as that takes
        for high, length in phases:
            wanted = FALLING if self._level else RISING
            if high != self._level and self._edge in (wanted, EITHER):
                self._note(number)
                self.edges += count
            self._level = high
            self.total += length

    def _note(self, number: int) -> None:
        distance = None if self._last is None else self.total - self._last
        if distance is not None and (self.closest is None or distance < self.closest[0]):
            self.closest = (distance, number)
        self._last = self.total


def _seq(ask: _Question) -> Spacing | None:
    table, prescale = ask.tables.get(ask.block), ask.ticks("PRESCALE")
    if table is None or prescale is None or ask.output[-1] not in OUTPUTS:
        return None
    walk = _Walk(ask.edge, OUTPUTS.index(ask.output[-1]), max(prescale, 1))
    for place, words in enumerate(table, 1):
        walk.line(place, words)
    if walk.closest is None:
        return None
    mean = None if walk.waits else walk.total / walk.edges
    return Spacing(walk.closest[0], mean, f"{ask.block}.TABLE line {walk.closest[1]}")


_BLOCKS: Mapping[str, Callable[[_Question], Spacing | None]] = {
    "CLOCK": _clock,
    "DIV": _div,
    "PULSE": _pulse,
    "SEQ": _seq,
}
"""Blocks whose settings tell the distance of what they put out. Of others only time can tell."""
