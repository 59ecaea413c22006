"""A diagram is what there is to draw: lanes of edges, samples, marks and notes, on one time axis.

Ticks count from the start of the diagram, not from power-up of the box.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from panda_simulator.timing.edges import Edges
from panda_simulator.timing.recorder import Capture, Recording
from panda_simulator.timing.script import Style
from panda_simulator.timing.stepped import Rows


@dataclass(frozen=True, slots=True)
class Lane:
    """A signal over time.

    Attributes:
        label: its name, or what the script calls it.
        caption: what it is connected to, or its name if it is called something else.
        edges: its changes.
        style: how values are drawn.
    """

    label: str
    caption: str
    edges: Edges
    style: Style = Style.AUTO


@dataclass(frozen=True, slots=True)
class Sample:
    """A capture of PCAP: its tick, and its row; no row if it never came out."""

    tick: int
    values: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Samples:
    """The rows that PCAP took, each at the tick of its trigger."""

    label: str
    columns: tuple[str, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something done to the box, to which signal, if it is one, and whether once more."""

    tick: int
    text: str
    signal: str = ""
    again: bool = False


@dataclass(frozen=True, slots=True)
class Remark:
    """A note; with an end it is a distance, whose text names it."""

    text: str
    tick: int
    signal: str = ""
    end: int | None = None
    end_signal: str = ""


@dataclass(frozen=True, slots=True)
class Diagram:
    """All that is drawn; `first` and `last` are the ticks at its borders."""

    title: str
    first: int
    last: int
    lanes: tuple[Lane | Samples, ...]
    marks: tuple[Mark, ...] = ()
    remarks: tuple[Remark, ...] = ()

    def window(self, first: int | None = None, last: int | None = None) -> Diagram:
        """Return the same between two ticks.

        Raises:
            ValueError: there is nothing between them.
        """
        first = self.first if first is None else first
        last = self.last if last is None else last
        if not 0 <= first < last:
            raise ValueError(f"there is nothing to draw from tick {first} to tick {last}")
        return replace(self, first=first, last=min(last, self.last))

    def edges(self, name: str) -> Edges:
        """Return the edges of a signal.

        Raises:
            KeyError: it is not shown.
        """
        for lane in self.signals:
            if lane.edges.name == name:
                return lane.edges
        raise KeyError(name)

    @property
    def signals(self) -> tuple[Lane, ...]:
        """The lanes that show signals."""
        return tuple(lane for lane in self.lanes if isinstance(lane, Lane))

    @property
    def samples(self) -> Samples | None:
        """The rows of PCAP, if they are shown."""
        return next((lane for lane in self.lanes if isinstance(lane, Samples)), None)


def number_text(value: float) -> str:
    """Write a captured value, short."""
    return f"{value:.0f}" if value == round(value, 0) and abs(value) < 1e12 else f"{value:.6g}"  # noqa: PLR2004


def sample_lane(
    captures: Iterable[Capture], rows: list[Rows], label: str, columns: tuple[str, ...]
) -> Samples:
    """Put rows to the captures that made them.

    Args:
        captures: with ticks of the diagram.
        rows: of each acquisition.
        label: of the lane.
        columns: to show; all of them if there are none.

    Raises:
        KeyError: there is no such column.
    """
    known = rows[0].columns if rows else ()
    for column in columns:
        if rows and column not in known:
            raise KeyError(column)
    shown = columns or known
    samples = list[Sample]()
    counts = dict[int, int]()
    for capture in captures:
        number = counts.get(capture.acquisition, 0)
        counts[capture.acquisition] = number + 1
        table = rows[capture.acquisition] if capture.acquisition < len(rows) else None
        values = None
        if table is not None and number < len(table.values):
            row = dict(zip(table.columns, table.values[number].tolist(), strict=True))
            values = tuple(number_text(row[name]) if name in row else "" for name in shown)
        samples.append(Sample(capture.tick, values))
    return Samples(label, shown, tuple(samples))


def diagram_of(
    recording: Recording, first: int, last: int, *, title: str = "", zero: int | None = None
) -> Diagram:
    """Make a diagram of all signals of a recording.

    Args:
        recording: of a box.
        first: tick of the box at the left border.
        last: tick of the box at the right border.
        title: above it.
        zero: tick of the box that is called 0; `first` if not given.
    """
    zero = first if zero is None else zero
    lanes = tuple(Lane(name, "", e.since(zero)) for name, e in recording.edges().items())
    return Diagram(title, first - zero, last - zero, lanes)
