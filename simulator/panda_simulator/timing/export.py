"""The edges of a diagram as CSV or JSON: for tests, and for whoever draws differently."""

from __future__ import annotations

import csv
import json
from io import StringIO
from typing import Any

from panda_simulator.clock import TICKS_PER_SECOND
from panda_simulator.timing.diagram import Diagram, Lane
from panda_simulator.timing.signals import Kind


def to_csv(diagram: Diagram) -> str:
    """Write one line a change, ordered by tick; the value before all of them comes first.

    Columns are the tick, the time in seconds, the signal, its value as a number, and as
    the box writes it.
    """
    lines = list[tuple[int, int, tuple[str, ...]]]()
    for order, lane in enumerate(diagram.signals):
        edges = lane.edges.window(diagram.first, diagram.last)
        start = (diagram.first, edges.initial)
        # a change at the very first tick replaces the value before it
        pairs = (
            edges.pairs() if edges.at(diagram.first) != edges.initial else [start, *edges.pairs()]
        )
        for tick, value in pairs:
            time = f"{tick / TICKS_PER_SECOND:.9g}"
            lines.append(
                (tick, order, (str(tick), time, edges.name, f"{value}", edges.text(value)))
            )
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("tick", "seconds", "signal", "value", "text"))
    writer.writerows(line for _, _, line in sorted(lines, key=lambda line: line[:2]))
    return out.getvalue()


def to_dict(diagram: Diagram) -> dict[str, Any]:
    """Return everything in a diagram as plain lists, dicts, numbers and texts."""
    first, last = diagram.first, diagram.last
    samples = diagram.samples
    return {
        "title": diagram.title,
        "first": first,
        "last": last,
        "ticks_per_second": TICKS_PER_SECOND,
        "signals": [_lane(lane, first, last) for lane in diagram.signals],
        "samples": {
            "columns": list(samples.columns),
            "rows": [
                {"tick": sample.tick, "values": sample.values and list(sample.values)}
                for sample in samples.samples
                if first <= sample.tick <= last
            ],
        }
        if samples
        else None,
        "stimuli": [
            {"tick": mark.tick, "text": mark.text}
            for mark in diagram.marks
            if first <= mark.tick <= last
        ],
        "notes": [
            {"tick": remark.tick, "end": remark.end, "text": remark.text}
            for remark in diagram.remarks
        ],
    }


def to_json(diagram: Diagram) -> str:
    """Write `to_dict` as JSON, one signal a line."""
    parts = to_dict(diagram)
    signals = ",\n  ".join(json.dumps(signal) for signal in parts["signals"])
    rest = [
        f"{json.dumps(key)}: {json.dumps(value)}"
        for key, value in parts.items()
        if key != "signals"
    ]
    return "{" + ",\n ".join(rest) + ',\n "signals": [\n  ' + signals + "\n ]}\n"


def _lane(lane: Lane, first: int, last: int) -> dict[str, Any]:
    edges = lane.edges.window(first, last)
    known = [edges.initial, *edges.values.tolist()]
    values = {str(value): edges.text(value) for value in sorted(set(known))}
    labels = {"values": values} if edges.signal.kind is Kind.LABEL else {}
    return {
        "name": edges.name,
        "label": lane.label,
        "kind": edges.signal.kind.name.lower(),
        **labels,
        "exact": edges.exact,
        "initial": edges.initial,
        "edges": edges.pairs(),
    }
