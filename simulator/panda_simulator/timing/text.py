"""A timing diagram in characters: for terminals, mails, and to compare in tests."""

from __future__ import annotations

from dataclasses import dataclass

from panda_simulator.timing.diagram import Diagram, Lane, Samples
from panda_simulator.timing.edges import Edges
from panda_simulator.timing.scale import pick_step
from panda_simulator.timing.signals import Kind
from panda_simulator.timing.times import format_ticks

_WIDEST_TICK = 4
_LABEL_LIMIT = 36
_SHORTEST = 20
_PULSE = 2


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters of a diagram; pairs are of the upper and the lower row."""

    low: str
    high: str
    rise: str
    fall: str
    pulse: str
    busy: str
    bar: str
    ruler: str
    mark: str
    sample: str
    lost: str
    more: str


UNICODE = Glyphs(" ─", "─ ", "┌┘", "┐└", "││", "▒▒", "│", "─", "┴", "◆", "✗", "…")
ASCII = Glyphs(" _", "_ ", "_|", " |", "||", "##", "|", "-", "+", "^", "x", "~")


class _Grid:
    """Which column of text a tick is in."""

    def __init__(self, diagram: Diagram, columns: int) -> None:
        self.first = diagram.first
        self.last = diagram.last
        ticks = diagram.last - diagram.first + 1
        room = max(columns, _SHORTEST)
        self.per_tick = min(max(room // ticks, 1), _WIDEST_TICK)
        self.per_column = pick_step(-(-ticks // room)) if ticks > room else 1
        self.width = -(-ticks * self.per_tick // self.per_column)

    def column(self, tick: int) -> int:
        return (tick - self.first) * self.per_tick // self.per_column

    def groups(self, edges: Edges) -> list[tuple[int, list[float]]]:
        """Return the columns with changes, and what the value becomes in each."""
        groups: list[tuple[int, list[float]]] = []
        for tick, value in edges.pairs():
            column = self.column(tick)
            if not groups or groups[-1][0] != column:
                groups.append((column, []))
            groups[-1][1].append(value)
        return groups


def text_diagram(diagram: Diagram, *, columns: int = 100, glyphs: Glyphs = UNICODE) -> str:
    """Draw a diagram in characters.

    Args:
        diagram: with the window to draw.
        columns: width of the text, at most.
        glyphs: to draw with.

    Returns:
        Lines, the last one with its end.
    """
    width = min(max((len(lane.label) for lane in diagram.lanes), default=0), _LABEL_LIMIT)
    grid = _Grid(diagram, columns - width - 1)
    lines = [diagram.title, ""] if diagram.title else []
    for lane in diagram.lanes:
        for label, row in _rows(lane, grid, glyphs):
            lines.append(f"{label[:width]:<{width}} {row}".rstrip())
    lines += [f"{'':<{width}} {row}".rstrip() for row in _ruler(grid, glyphs)]
    unit = "column" if grid.per_column > 1 else "tick"
    span = format_ticks(grid.per_column)
    many = f"{grid.per_column} ticks, " if grid.per_column > 1 else ""
    lines.append(f"{'':<{width}} 1 {unit} = {many}{span}")
    lines += _listing(diagram, glyphs)
    return "\n".join(lines) + "\n"


def _rows(lane: Lane | Samples, grid: _Grid, glyphs: Glyphs) -> list[tuple[str, str]]:
    if isinstance(lane, Samples):
        row = [" "] * grid.width
        for sample in lane.samples:
            if grid.first <= sample.tick <= grid.last:
                column = grid.column(sample.tick)
                row[column] = glyphs.lost if sample.values is None else glyphs.sample
        return [(lane.label, "".join(row))]
    edges = lane.edges.window(grid.first, grid.last)
    if edges.signal.kind is Kind.BIT:
        upper, lower = _bits(edges, grid, glyphs)
        return [("", upper), (lane.label, lower)]
    return [(lane.label, _values(edges, grid, glyphs))]


def _bits(edges: Edges, grid: _Grid, glyphs: Glyphs) -> tuple[str, str]:
    cells = list[str]()
    level = edges.initial
    for column, values in grid.groups(edges):
        cells += [glyphs.high if level else glyphs.low] * (column - len(cells))
        level = values[-1]
        if len(values) == 1:
            cells.append(glyphs.rise if level else glyphs.fall)
        else:
            cells.append(glyphs.pulse if len(values) == _PULSE else glyphs.busy)
    cells += [glyphs.high if level else glyphs.low] * (grid.width - len(cells))
    return "".join(cell[0] for cell in cells), "".join(cell[1] for cell in cells)


def _values(edges: Edges, grid: _Grid, glyphs: Glyphs) -> str:
    row = ""
    value = edges.initial
    begin = " "
    for column, values in [*grid.groups(edges), (grid.width, [0.0])]:
        text = edges.text(value)
        room = column - len(row)
        if begin:
            row += begin[:room]
            room = column - len(row)
        fits = text if len(text) <= room else text[: max(room - 1, 0)] + glyphs.more[:room]
        row += f"{fits:<{room}}"
        begin = glyphs.bar if len(values) == 1 else glyphs.busy[0]
        value = values[-1]
    return row


def _ruler(grid: _Grid, glyphs: Glyphs) -> tuple[str, str]:
    step = pick_step(max(12 * grid.per_column // grid.per_tick, 1))
    line = [glyphs.ruler] * grid.width
    numbers = [" "] * (grid.width + 12)
    for tick in range(-(-grid.first // step) * step, grid.last + 1, step):
        column = grid.column(tick)
        line[column] = glyphs.mark
        numbers[column : column + len(str(tick))] = str(tick)
    return "".join(line), "".join(numbers)


def _listing(diagram: Diagram, glyphs: Glyphs) -> list[str]:
    lines = list[str]()
    inside = [mark for mark in diagram.marks if diagram.first <= mark.tick <= diagram.last]
    if inside:
        lines += ["", "What is done to it:"]
        lines += [f"{mark.tick:>10}  {mark.text}" for mark in inside]
    if diagram.remarks:
        lines += ["", "Notes:"]
        for remark in diagram.remarks:
            where = f", {remark.signal}" if remark.signal else ""
            to = f" to {remark.end}, {remark.end_signal}" if remark.end is not None else ""
            lines.append(f"{remark.tick:>10}  {remark.text}  [{remark.tick}{where}{to}]")
    samples = diagram.samples
    if samples:
        lines += ["", f"{samples.label}:", f"{'tick':>10}  {'  '.join(samples.columns)}".rstrip()]
        for sample in samples.samples:
            row = "lost" if sample.values is None else _cells(samples.columns, sample.values)
            lines.append(f"{sample.tick:>10}  {row}")
    return (
        [line.replace("µ", "u").replace("←", "<-") for line in lines] if glyphs is ASCII else lines
    )


def _cells(columns: tuple[str, ...], values: tuple[str, ...]) -> str:
    return "  ".join(
        f"{value:>{len(column)}}" for column, value in zip(columns, values, strict=True)
    )
