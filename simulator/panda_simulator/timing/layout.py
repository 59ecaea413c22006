"""Where everything of a diagram goes, in inches and ticks, before anything is drawn.

All overlaps are settled here: texts that do not fit are left out or put on a row of
their own, and what changes faster than a line is wide becomes a busy stretch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from panda_simulator.timing.diagram import Diagram, Lane, Mark, Remark, Samples
from panda_simulator.timing.edges import Edges
from panda_simulator.timing.script import Style
from panda_simulator.timing.signals import SAMPLES, Kind

LABEL_SIZE = 8.5
CAPTION_SIZE = 6.5
TITLE_SIZE = 11.0
VALUE_SIZE = 7.0
NOTE_SIZE = 7.0

BIT_HEIGHT = 0.26
LINE_HEIGHT = 0.75
GAP = 0.14
STRIP = 0.19
"""Height of a row of texts."""

NARROW = 0.2
"""Inches: the arrows of a shorter distance point at it from outside."""

_POINTS = 72.0
_SMALL, _SMALLEST = 6.0, 5.2
_CHARACTER = 0.61
_CAPITAL = 0.1
"""Width of a character, and how much more a capital takes, in sizes of their font."""
_FINEST = 0.012
_NARROWEST_BIT = 0.03
"""Inches: bits that change faster than this are busy."""
_NARROWEST_VALUE = 0.02
_FEW = 4
_LINE_SHARE = 0.6
_FLAG_ROWS = 8


def text_width(text: str, size: float) -> float:
    """Estimate the width of a text, in inches."""
    wide = sum(character.isupper() for character in text)
    return (len(text) * _CHARACTER + wide * _CAPITAL) * size / _POINTS


@dataclass(frozen=True, slots=True)
class Stretch:
    """A value from one tick to another; None if it changes too fast to show."""

    start: float
    end: float
    value: float | None


@dataclass(frozen=True, slots=True)
class Placed:
    """A mark or remark on a row of texts, 0 being the uppermost; a bare one without its text."""

    row: int
    item: Mark | Remark
    bare: bool = False


@dataclass(slots=True)
class Band:
    """One lane and the notes below it; y is in inches from the lower border.

    Attributes:
        lane: what is drawn.
        line: whether its values are a line rather than a bus.
        bottom: of the waveform.
        height: of the waveform.
        notes: below it.
        rows: of notes.
        marked: ticks at which something is done to the signal.
    """

    lane: Lane | Samples
    line: bool
    height: float
    bottom: float = 0.0
    notes: list[Placed] = field(default_factory=list[Placed])
    rows: int = 0
    marked: list[int] = field(default_factory=list[int])

    @property
    def name(self) -> str:
        """Name of the signal."""
        return SAMPLES if isinstance(self.lane, Samples) else self.lane.edges.name


@dataclass(slots=True)
class Layout:
    """A laid out diagram.

    Attributes:
        diagram: what is laid out.
        width: of the time axis, in inches.
        height: of everything between both time axes, in inches.
        bands: from top to bottom.
        flags: texts above the lanes.
        flag_rows: of them.
    """

    diagram: Diagram
    width: float
    height: float = 0.0
    bands: list[Band] = field(default_factory=list[Band])
    flags: list[Placed] = field(default_factory=list[Placed])
    flag_rows: int = 0

    @property
    def ticks_per_inch(self) -> float:
        """Scale of the time axis."""
        return max(self.diagram.last - self.diagram.first, 1) / self.width

    def inside(self, tick: int) -> bool:
        """Tell whether a tick is between the borders."""
        return self.diagram.first <= tick <= self.diagram.last

    def band(self, name: str) -> Band | None:
        """Find the lane of a signal."""
        return next((band for band in self.bands if band.name == name), None)


def lay_out(diagram: Diagram, width: float) -> Layout:
    """Lay a diagram out on a time axis of so many inches."""
    layout = Layout(diagram, width)
    for lane in diagram.lanes:
        layout.bands.append(_band(lane, layout))
    _put_flags(layout)
    _put_notes(layout)
    y = GAP / 2
    for band in reversed(layout.bands):
        band.bottom = y + STRIP * band.rows
        y = band.bottom + band.height + GAP
    layout.height = y - GAP / 2 + STRIP * layout.flag_rows
    return layout


def _band(lane: Lane | Samples, layout: Layout) -> Band:
    if isinstance(lane, Samples):
        return Band(lane, line=False, height=BIT_HEIGHT + STRIP * len(lane.columns))
    kind = lane.edges.signal.kind
    line = kind is not Kind.BIT and _is_line(lane, layout)
    return Band(lane, line, LINE_HEIGHT if line else BIT_HEIGHT)


def _is_line(lane: Lane, layout: Layout) -> bool:
    kind = lane.edges.signal.kind
    if kind is Kind.AXIS or lane.style is Style.LINE:
        return True
    if kind is Kind.LABEL or lane.style is Style.BUS:
        return False
    parts = stretches(lane.edges, layout, _NARROWEST_VALUE)
    fits = sum(fitted_value(part, lane.edges, layout) is not None for part in parts)
    if any(part.value is None for part in parts):
        return True
    return len(parts) > _FEW and fits < _LINE_SHARE * len(parts)


def fitted_value(part: Stretch, edges: Edges, layout: Layout) -> tuple[str, float] | None:
    """Return the text to write into a stretch and the size of its letters, if there is room.

    Where there is little, letters become smaller, and labels are cut short; numbers never are.
    """
    if part.value is None:
        return None
    text = edges.text(part.value)
    room = (part.end - part.start) / layout.ticks_per_inch - 0.04
    for size in (VALUE_SIZE, _SMALL, _SMALLEST):
        if text_width(text, size) <= room:
            return text, size
    if edges.signal.kind is not Kind.LABEL:
        return None
    for length in range(len(text) - 1, 1, -1):
        short = text[:length] + "…"
        if text_width(short, _SMALLEST) <= room:
            return short, _SMALLEST
    return None


def busy_groups(ticks: NDArray[np.int64], finest: float) -> list[tuple[int, int]]:
    """Return index ranges (first, last) of edges that follow each other too fast to draw.

    Args:
        ticks: (n,) int64, ascending.
        finest: ticks that are still to be seen.
    """
    close = np.diff(ticks) < finest
    change = np.flatnonzero(np.diff(np.concatenate(([False], close, [False])).astype(np.int8)))
    return [
        (begin, end)
        for begin, end in zip(change[::2].tolist(), change[1::2].tolist(), strict=True)
        if end - begin >= _FEW - 1
    ]


def stretches(edges: Edges, layout: Layout, finest: float = _NARROWEST_BIT) -> list[Stretch]:
    """Cut a signal into stretches of one value, from border to border.

    Args:
        edges: of the signal.
        layout: for borders and scale.
        finest: inches; changes that are closer make a stretch without a value.
    """
    first, last = layout.diagram.first, layout.diagram.last
    shown = edges.window(first, last)
    ticks, values = shown.ticks, shown.values.tolist()
    parts = list[Stretch]()
    start: float = first - margin(layout)
    value: float | None = shown.initial
    at = 0
    for begin, end in busy_groups(ticks, finest * layout.ticks_per_inch):
        for index in range(at, begin + 1):
            parts.append(Stretch(start, int(ticks[index]), value))
            start, value = int(ticks[index]), values[index]
        parts.append(Stretch(start, int(ticks[end]), None))
        start, value = int(ticks[end]), values[end]
        at = end + 1
    for index in range(at, len(ticks)):
        parts.append(Stretch(start, int(ticks[index]), value))
        start, value = int(ticks[index]), values[index]
    parts.append(Stretch(start, last + margin(layout), value))
    return parts


def margin(layout: Layout) -> float:
    """Return the ticks drawn beyond each border, so that edges on it are seen."""
    return 0.06 * layout.ticks_per_inch


def thinned(
    ticks: NDArray[np.int64], values: NDArray[Any], layout: Layout
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Leave out points of a line that nobody could see: of each bin the extremes stay."""
    limit = _FEW * int(layout.width / _FINEST)
    if len(ticks) <= limit:
        return ticks, values
    bins = (ticks - ticks[0]) // max(int(_FINEST * layout.ticks_per_inch), 1)
    edges = [*np.flatnonzero(np.diff(bins, prepend=-1)).tolist(), len(ticks)]
    kept = set[int]()
    for begin, end in itertools.pairwise(edges):
        part = values[begin:end]
        kept.update((begin, end - 1, begin + int(np.argmin(part)), begin + int(np.argmax(part))))
    chosen = np.array(sorted(kept))
    return ticks[chosen], values[chosen]


def apart(ticks: Iterable[int], layout: Layout) -> list[float]:
    """Leave out markers that would be on top of the one before."""
    kept = list[float]()
    for tick in ticks:
        if not kept or tick - kept[-1] >= _NARROWEST_VALUE * layout.ticks_per_inch:
            kept.append(tick)
    return kept


def stack(spans: Iterable[tuple[float, float]]) -> list[int]:
    """Give each span the first row on which it overlaps none before it."""
    ends = list[float]()
    rows = list[int]()
    for start, end in spans:
        row = next((at for at, taken in enumerate(ends) if taken <= start), len(ends))
        if row == len(ends):
            ends.append(end)
        else:
            ends[row] = end
        rows.append(row)
    return rows


def edge_ticks(layout: Layout) -> list[int]:
    """Return the ticks of all edges that are drawn as such, for a grid."""
    found = set[int]()
    for band in layout.bands:
        if isinstance(band.lane, Lane) and not band.line:
            shown = band.lane.edges.window(layout.diagram.first, layout.diagram.last)
            found.update(shown.ticks.tolist())
    return sorted(found)


def _put_flags(layout: Layout) -> None:
    """Put what is done to no shown signal above the lanes, and mark the rest on its lane."""
    items = list[Mark | Remark]()
    for mark in layout.diagram.marks:
        if not layout.inside(mark.tick):
            continue
        band = layout.band(mark.signal)
        if band is None:
            items.append(mark)
        else:
            band.marked.append(mark.tick)
    items += [
        remark
        for remark in layout.diagram.remarks
        if remark.end is None and layout.band(remark.signal) is None and layout.inside(remark.tick)
    ]
    items.sort(key=lambda item: item.tick)
    texts = [item for item in items if isinstance(item, Remark) or not item.again]
    rows = stack(flag_span(item, layout) for item in texts)
    for row, item in zip(rows, texts, strict=True):
        bare = row >= _FLAG_ROWS and isinstance(item, Mark)
        layout.flags.append(Placed(0 if bare else row, item, bare))
    layout.flags += [
        Placed(0, item, bare=True) for item in items if isinstance(item, Mark) and item.again
    ]
    layout.flag_rows = max((placed.row for placed in layout.flags), default=-1) + 1


def flag_span(item: Mark | Remark, layout: Layout) -> tuple[float, float]:
    """Return the ticks that a text beside its tick takes; to the left where there is no room."""
    need = (text_width(item.text, NOTE_SIZE) + 0.12) * layout.ticks_per_inch
    if item.tick + need > layout.diagram.last and item.tick - need > layout.diagram.first:
        return item.tick - need, item.tick
    return item.tick, item.tick + need


def _put_notes(layout: Layout) -> None:
    """Put distances and notes of a signal below the lower of its lanes."""
    below: dict[str, list[Remark]] = {}
    for remark in layout.diagram.remarks:
        ends = [remark.tick] if remark.end is None else [remark.tick, remark.end]
        bands = [layout.band(name) for name in (remark.signal, remark.end_signal)]
        numbers = [layout.bands.index(band) for band in bands if band is not None]
        if remark.end is None and not numbers:
            continue
        if all(layout.inside(tick) for tick in ends):
            lowest = layout.bands[max(numbers, default=len(layout.bands) - 1)]
            below.setdefault(lowest.name, []).append(remark)
    for name, remarks in below.items():
        band = layout.band(name)
        if band is not None:
            remarks.sort(key=lambda remark: min(remark.tick, remark.end or remark.tick))
            rows = stack(note_span(remark, layout) for remark in remarks)
            band.notes = [Placed(row, item) for row, item in zip(rows, remarks, strict=True)]
            band.rows = max(rows) + 1


def note_span(remark: Remark, layout: Layout) -> tuple[float, float]:
    """Return the ticks that a note and its text take."""
    if remark.end is None:
        return flag_span(remark, layout)
    start, end = sorted((remark.tick, remark.end))
    if fits_inside(remark, layout):
        return start, end
    need = (
        text_width(remark.text, NOTE_SIZE) + 0.15 + 2 * NARROW * is_narrow(start, end, layout)
    ) * layout.ticks_per_inch
    if end + need > layout.diagram.last and start - need > layout.diagram.first:
        return start - need, end
    return start, end + need


def is_narrow(start: float, end: float, layout: Layout) -> bool:
    """Tell whether the arrows of a distance have to point at it from outside."""
    return end - start < NARROW * layout.ticks_per_inch


def fits_inside(remark: Remark, layout: Layout) -> bool:
    """Tell whether the text of a distance fits between its ends."""
    if remark.end is None:
        return False
    room = abs(remark.end - remark.tick) / layout.ticks_per_inch
    return text_width(remark.text, NOTE_SIZE) + 0.3 <= room


def sample_columns(samples: Samples, layout: Layout) -> dict[int, float]:
    """Return which samples have room for their values, by index, and where their middle goes."""
    shown = dict[int, float]()
    free = layout.diagram.first - margin(layout)
    for index, sample in enumerate(samples.samples):
        if not layout.inside(sample.tick):
            continue
        texts = sample.values or ("lost",)
        widest = max((text_width(text, VALUE_SIZE) for text in texts), default=0.0)
        half = (widest / 2 + 0.03) * layout.ticks_per_inch
        middle = max(sample.tick, free + half) if not shown else sample.tick
        if middle - half >= free:
            shown[index] = middle
            free = middle + half
    return shown
