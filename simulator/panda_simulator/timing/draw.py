"""Draws a diagram: as a Figure for notebooks, into a file for everyone else.

The same diagram gives the same bytes: no dates, no random names.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from panda_simulator.clock import TICKS_PER_SECOND
from panda_simulator.timing.canvas import Canvas, reproducible, write
from panda_simulator.timing.diagram import Diagram, Lane, Mark, Remark
from panda_simulator.timing.export import to_json
from panda_simulator.timing.layout import (
    CAPTION_SIZE,
    GAP,
    LABEL_SIZE,
    NARROW,
    NOTE_SIZE,
    STRIP,
    TITLE_SIZE,
    Band,
    Layout,
    Placed,
    apart,
    edge_ticks,
    fits_inside,
    flag_span,
    is_narrow,
    lay_out,
    margin,
    note_span,
    text_width,
)
from panda_simulator.timing.paint import paint_lane
from panda_simulator.timing.palette import DONE, FAINT, GRID, NOTE, WORLD, ZEBRA, block_colours
from panda_simulator.timing.scale import pick_step
from panda_simulator.timing.signals import Kind
from panda_simulator.timing.times import unit_for

FORMATS = (".svg", ".png", ".pdf")

_LEFT_LEAST, _LEFT_MOST = 0.9, 3.0
_RIGHT, _RIGHT_OF_LINES = 0.45, 0.75
_BOTTOM, _TOP, _TITLE = 0.32, 0.32, 0.26
_PER_NUMBER = 0.75
_MOST_EDGES = 120
_CLOSEST_EDGES = 0.045
_MILLI = 1000


def draw(diagram: Diagram, *, width: float = 10.0) -> Figure:
    """Draw a diagram.

    Args:
        diagram: with the window to draw.
        width: of the figure, in inches; 10 fits a landscape page.

    Returns:
        The figure; its `savefig` writes a file, but `save` does so reproducibly.
    """
    with reproducible():
        return _draw(diagram, width).figure


def save(diagram: Diagram, path: Path, *, width: float = 10.0, dpi: int = 150) -> None:
    """Draw a diagram into a file, which holds the `digest` of the diagram as its description.

    Args:
        diagram: with the window to draw.
        path: whose suffix says whether it is SVG, PNG or PDF.
        width: of the figure, in inches.
        dpi: of a PNG.

    Raises:
        OSError: the file cannot be written.
        ValueError: the suffix is none of these.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"{path}: the suffix of a picture is one of {', '.join(FORMATS)}")
    with reproducible():
        write(_draw(diagram, width).figure, path, diagram.title, digest(diagram), dpi)


def digest(diagram: Diagram) -> str:
    """Return a text that is another one if anything drawn in the diagram is."""
    return "edges " + hashlib.sha256(to_json(diagram).encode()).hexdigest()


def _draw(diagram: Diagram, width: float) -> Canvas:
    left = _label_width(diagram)
    kinds = {lane.edges.signal.kind for lane in diagram.signals}
    right = _RIGHT if kinds.isdisjoint((Kind.AXIS, Kind.POSITION)) else _RIGHT_OF_LINES
    layout = lay_out(diagram, max(width - left - right, 1.0))
    height = _BOTTOM + layout.height + _TOP + _TITLE * bool(diagram.title)
    beyond = margin(layout)
    canvas = Canvas(
        (width, height),
        (left, _BOTTOM, layout.width, layout.height),
        (diagram.first - beyond, diagram.last + beyond),
    )
    # a bold text is wider
    size = TITLE_SIZE * layout.width / max(text_width(diagram.title, TITLE_SIZE) * 1.1, 0.1)
    canvas.title(diagram.title, max(min(size, TITLE_SIZE), NOTE_SIZE))
    numbers = list(_ticks(layout))
    canvas.scale("bottom", numbers, "ticks")
    unit, length = unit_for(diagram.last)
    canvas.scale("top", _seconds(layout, length), unit)
    _grid(canvas, layout, [tick for tick, _ in numbers])
    colours = block_colours(diagram)
    for number, band in enumerate(layout.bands):
        colour = colours.get(band.name, WORLD)
        if number % 2 == 0:
            bottom = band.bottom - STRIP * band.rows - GAP / 2
            canvas.stripe(bottom, band.bottom + band.height + GAP / 2, ZEBRA)
        _label(canvas, band, colour)
        paint_lane(canvas, band, layout, colour)
        marked = apart(band.marked, layout)
        canvas.markers(marked, band.bottom + band.height + 0.035, "v", DONE, 3.5)
        for placed in band.notes:
            _note(canvas, placed, band, layout, ZEBRA if number % 2 == 0 else "white")
    for placed in layout.flags:
        _flag(canvas, placed, layout)
    return canvas


def _label_width(diagram: Diagram) -> float:
    widest = 0.0
    for lane in diagram.lanes:
        captions = [lane.caption] if isinstance(lane, Lane) else lane.columns
        widths = [text_width(text, CAPTION_SIZE) for text in captions]
        widest = max([widest, text_width(lane.label, LABEL_SIZE), *widths])
    return min(max(widest + 0.2, _LEFT_LEAST), _LEFT_MOST)


def _ticks(layout: Layout) -> Iterator[tuple[float, str]]:
    step = pick_step(max(round(layout.ticks_per_inch * _PER_NUMBER), 1))
    first, last = layout.diagram.first, layout.diagram.last
    for tick in range(-(-first // step) * step, last + 1, step):
        yield tick, f"{tick:,}".replace(",", "\u2009")


def _seconds(layout: Layout, length: float) -> Iterator[tuple[float, str]]:
    unit = TICKS_PER_SECOND * length
    step = pick_step(max(round(_MILLI * layout.ticks_per_inch * _PER_NUMBER / unit), 1)) / _MILLI
    first = int(-(-layout.diagram.first / unit // step))
    for count in range(first, int(layout.diagram.last / unit / step) + 1):
        yield count * step * unit, f"{count * step:g}"


def _grid(canvas: Canvas, layout: Layout, numbers: list[float]) -> None:
    """Draw vertical lines at edges if they can be told apart, else at the numbers of the axis."""
    ticks = edge_ticks(layout)
    closest = min((b - a for a, b in itertools.pairwise(ticks)), default=1)
    clear = closest / layout.ticks_per_inch >= _CLOSEST_EDGES and len(ticks) <= _MOST_EDGES
    top = layout.height - STRIP * layout.flag_rows
    canvas.upright(ticks if clear else numbers, 0, top, GRID)


def _label(canvas: Canvas, band: Band, colour: str) -> None:
    lane = band.lane
    if not isinstance(lane, Lane):
        y = band.bottom + band.height - 0.13
        canvas.beside("left", y, _short(lane.label), size=LABEL_SIZE, colour=colour)
        return
    middle = band.bottom + band.height / 2
    y = middle + 0.055 if lane.caption else middle
    canvas.beside("left", y, _short(lane.label), size=LABEL_SIZE, colour=colour)
    if lane.caption:
        canvas.beside("left", middle - 0.08, lane.caption, size=CAPTION_SIZE, colour=FAINT)


def _short(label: str) -> str:
    """Cut a label that is too long for its place."""
    if text_width(label, LABEL_SIZE) <= _LEFT_MOST - 0.2:
        return label
    length = len(label)
    while text_width(label[:length] + "…", LABEL_SIZE) > _LEFT_MOST - 0.2:
        length -= 1
    return label[:length] + "…"


def _flag(canvas: Canvas, placed: Placed, layout: Layout) -> None:
    item = placed.item
    colour = DONE if isinstance(item, Mark) else NOTE
    y = layout.height - STRIP * (placed.row + 0.5)
    if placed.bare:
        canvas.markers([item.tick], layout.height - STRIP * layout.flag_rows, "v", colour, 2.5)
        return
    canvas.upright([item.tick], 0, y, colour, dashes="long")
    canvas.markers([item.tick], y, "v", colour, 4)
    to_left = flag_span(item, layout)[0] < item.tick
    _beside(canvas, item.tick, y, item.text, colour=colour, to_left=to_left, on="white")


def _beside(
    canvas: Canvas, tick: float, y: float, text: str, *, colour: str, to_left: bool, on: str
) -> None:
    align, shift = ("right", -6) if to_left else ("left", 6)
    canvas.text(tick, y, text, size=NOTE_SIZE, colour=colour, align=align, shift=shift, on=on)


def _note(canvas: Canvas, placed: Placed, band: Band, layout: Layout, ground: str) -> None:
    remark = placed.item
    if isinstance(remark, Mark):
        return
    y = band.bottom - 0.03 - STRIP * (placed.row + 0.5)
    ends = [(remark.tick, remark.signal)]
    if remark.end is not None:
        ends.append((remark.end, remark.end_signal))
    for tick, signal in ends:
        source = layout.band(signal) or band
        # not through the values of a sample, which are below its marker
        top = source.bottom + source.height * isinstance(source.lane, Lane)
        canvas.upright([tick], y, top, NOTE, dashes="short", above=True)
    if remark.end is None:
        canvas.markers([remark.tick], y, "^", NOTE, 4)
        to_left = flag_span(remark, layout)[0] < remark.tick
        _beside(canvas, remark.tick, y, remark.text, colour=NOTE, to_left=to_left, on=ground)
    else:
        _distance(canvas, remark, (remark.tick, remark.end), y, layout, ground)


def _distance(
    canvas: Canvas,
    remark: Remark,
    ends: tuple[int, int],
    y: float,
    layout: Layout,
    ground: str,
) -> None:
    start, end = (float(tick) for tick in sorted(ends))
    to_left = note_span(remark, layout)[0] < start
    if is_narrow(start, end, layout):
        tail = NARROW * layout.ticks_per_inch
        canvas.arrow(start, y, start - tail, NOTE)
        canvas.arrow(end, y, end + tail, NOTE)
        start, end = start - tail, end + tail
    else:
        canvas.arrow(start, y, end, NOTE, heads=2)
    if fits_inside(remark, layout):
        middle = (start + end) / 2
        canvas.text(middle, y, remark.text, size=NOTE_SIZE, colour=NOTE, on=ground)
    else:
        tick = start if to_left else end
        _beside(canvas, tick, y, remark.text, colour=NOTE, to_left=to_left, on=ground)
