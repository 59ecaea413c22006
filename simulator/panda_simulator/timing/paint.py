"""Paints the lanes of a laid out diagram."""

from __future__ import annotations

from typing import Any

import numpy as np

from panda_simulator.timing.canvas import Canvas
from panda_simulator.timing.diagram import Samples
from panda_simulator.timing.edges import Edges
from panda_simulator.timing.layout import (
    BIT_HEIGHT,
    CAPTION_SIZE,
    STRIP,
    VALUE_SIZE,
    Band,
    Layout,
    Stretch,
    apart,
    fitted_value,
    margin,
    sample_columns,
    stretches,
    thinned,
)
from panda_simulator.timing.palette import FAINT, LOST, TEXT
from panda_simulator.timing.signals import Kind

_SLANT = 0.035
_NARROWEST = 0.02
_ROOM = 0.06


def paint_lane(canvas: Canvas, band: Band, layout: Layout, colour: str) -> None:
    """Paint one lane."""
    if isinstance(band.lane, Samples):
        _samples(canvas, band.lane, band, layout)
    elif band.lane.edges.signal.kind is Kind.BIT:
        _bits(canvas, band.lane.edges, band, layout, colour)
    elif band.line:
        _line(canvas, band.lane.edges, band, layout, colour)
    else:
        _values(canvas, band.lane.edges, band, layout, colour)


def _bits(canvas: Canvas, edges: Edges, band: Band, layout: Layout, colour: str) -> None:
    low, high = band.bottom + 0.03, band.bottom + band.height - 0.02
    xs = list[float]()
    ys = list[float]()
    for part in stretches(edges, layout):
        if part.value is None:
            canvas.box(part.start, part.end, low, high, colour, 0.6)
            canvas.line(xs, ys, colour)
            xs, ys = [], []
            continue
        y = high if part.value else low
        xs += [part.start, part.end]
        ys += [y, y]
        if part.value:
            canvas.box(part.start, part.end, low, high, colour, 0.13)
    canvas.line(xs, ys, colour)


def _values(canvas: Canvas, edges: Edges, band: Band, layout: Layout, colour: str) -> None:
    parts = stretches(edges, layout, _NARROWEST)
    for number, part in enumerate(parts):
        first, last = number == 0, number == len(parts) - 1
        _cell(canvas, part, edges, band, layout, colour, open_ends=(first, last))
        fitted = fitted_value(part, edges, layout)
        if fitted:
            text, size = fitted
            middle = (part.start + part.end) / 2
            canvas.text(middle, band.bottom + band.height / 2, text, size=size)


def _cell(
    canvas: Canvas,
    part: Stretch,
    edges: Edges,
    band: Band,
    layout: Layout,
    colour: str,
    *,
    open_ends: tuple[bool, bool],
) -> None:
    """Draw a stretch of a bus: two lines that meet where the value changes."""
    low, high = band.bottom + 0.015, band.bottom + band.height - 0.015
    middle = (low + high) / 2
    slant = min(_SLANT * layout.ticks_per_inch, (part.end - part.start) / 2)
    begin, end = (0.0 if is_open else slant for is_open in open_ends)
    upper = [(part.start + begin, high), (part.end - end, high)]
    lower = [(part.end - end, low), (part.start + begin, low)]
    right = [] if open_ends[1] else [(part.end, middle)]
    left = [] if open_ends[0] else [(part.start, middle)]
    busy = part.value is None
    quiet = part.value == 0 and edges.signal.kind is not Kind.POSITION
    fill = "white" if busy or quiet else _tint(colour)
    canvas.shape([*left, *upper, *right, *lower], fill, colour, hatched=busy)
    for outline in ([*left, *upper, *right], [*right, *lower, *left]):
        canvas.line([x for x, _ in outline], [y for _, y in outline], colour, width=0.9)


def _tint(colour: str) -> str:
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(255 - (255 - part) * 0.15):02x}" for part in parts)


def _line(canvas: Canvas, edges: Edges, band: Band, layout: Layout, colour: str) -> None:
    shown = edges.window(layout.diagram.first, layout.diagram.last)
    every: Any = np.concatenate(([shown.initial], shown.values))
    low, high = every.min().item(), every.max().item()
    ticks, values = thinned(shown.ticks, shown.values, layout)
    left, right = layout.diagram.first - margin(layout), layout.diagram.last + margin(layout)
    xs: Any = np.concatenate(([left], ticks, [right]))
    ys: Any = np.concatenate(([shown.initial], values, every[-1:]))
    room = band.height - 2 * _ROOM
    heights = band.bottom + _ROOM + (ys - low) * (room / (high - low) if high > low else 0.0)
    canvas.line(xs.tolist(), heights.tolist(), colour, steps=edges.signal.kind is not Kind.AXIS)
    for value, place in {low: 0.0, high: room}.items() if high > low else [(low, 0.0)]:
        y = band.bottom + _ROOM + place
        text = f"{value:.4g}" if edges.signal.kind is Kind.AXIS else edges.text(value)
        canvas.beside("right", y, text, size=CAPTION_SIZE, colour=colour)


def _samples(canvas: Canvas, lane: Samples, band: Band, layout: Layout) -> None:
    top = band.bottom + band.height - BIT_HEIGHT / 2
    rows = [top - BIT_HEIGHT / 2 - STRIP * (row + 0.5) for row in range(len(lane.columns))]
    written = sample_columns(lane, layout)
    shown = [sample for sample in lane.samples if layout.inside(sample.tick)]
    taken = [sample.tick for sample in shown if sample.values is not None]
    lost = [sample.tick for sample in shown if sample.values is None]
    canvas.markers(apart(taken, layout), top, "D", TEXT, 4.0)
    canvas.markers(apart(lost, layout), top, "X", LOST, 5.5)
    for index, middle in written.items():
        values = lane.samples[index].values
        for y, text in zip(rows, values or ("lost",), strict=False):
            canvas.text(middle, y, text, size=VALUE_SIZE, colour=TEXT if values else LOST)
    for y, column in zip(rows, lane.columns, strict=True):
        canvas.beside("left", y, column, size=CAPTION_SIZE, colour=FAINT)
