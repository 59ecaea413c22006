"""A note points at ticks, or at edges that are found once the box has run."""

from __future__ import annotations

from pathlib import Path

from panda_simulator.timing.diagram import Diagram, Remark
from panda_simulator.timing.document import ScriptError
from panda_simulator.timing.script import Note, Point
from panda_simulator.timing.signals import SAMPLES
from panda_simulator.timing.times import format_ticks


def remark(note: Note, diagram: Diagram, path: Path) -> Remark:
    """Find out where a note belongs; a distance is measured.

    Raises:
        ScriptError: there is no such signal in the diagram, or no such edge.
    """
    tick, signal = _find(note.start, diagram, path)
    if note.end is None:
        if note.on and note.on not in _shown(diagram):
            raise ScriptError(path, note.line, f"note: {note.on} is not shown")
        return Remark(note.text, tick, note.on or signal)
    end, end_signal = _find(note.end, diagram, path)
    return Remark(f"{note.text} {distance(end - tick)}".strip(), tick, signal, end, end_signal)


def distance(ticks: int) -> str:
    """Write a distance in ticks and in seconds."""
    return f"{ticks} tick{'s' * (abs(ticks) != 1)} ({format_ticks(ticks)})"


def _shown(diagram: Diagram) -> list[str]:
    names = [lane.edges.name for lane in diagram.signals]
    return [*names, SAMPLES] if diagram.samples else names


def _find(point: Point, diagram: Diagram, path: Path) -> tuple[int, str]:
    if not point.signal:
        if point.tick > diagram.last:
            reason = f"note: tick {point.tick} is after the end, tick {diagram.last}"
            raise ScriptError(path, point.line, reason)
        return point.tick, ""
    name = point.signal
    if name not in _shown(diagram):
        raise ScriptError(path, point.line, f"note: {name} is not shown")
    ticks = _ticks(point, diagram)
    if len(ticks) < point.count:
        what = f"value {point.value}" if point.edge == "=" else point.edge
        raise ScriptError(
            path,
            point.line,
            f"note: {name} has no {what} number {point.count}, but {len(ticks)} "
            f"until tick {diagram.last}",
        )
    return ticks[point.count - 1], name


def _ticks(point: Point, diagram: Diagram) -> list[int]:
    samples = diagram.samples
    if point.signal == SAMPLES:
        captures = samples.samples if samples else ()
        return [sample.tick for sample in captures]
    edges = diagram.edges(point.signal)
    found = {
        "rise": edges.rises,
        "fall": edges.falls,
        "change": lambda: edges.ticks,
        "capture": lambda: edges.ticks[:0],
        "=": lambda: edges.becomes(point.value),
    }
    return found[point.edge]().tolist()
