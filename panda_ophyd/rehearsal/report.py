"""What a rehearsal has found: numbers, and a text to read. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from panda_ophyd.preflight.checks import LINK_BYTES, RING_BYTES

PEAK_TIME = 0.1
"""Seconds over which the peak of the data rate is taken: how often the server hands rows over."""

MOST_LINES = 6
"""How many entries of a kind the text names."""

Row = tuple[str, str]


@dataclass(frozen=True, slots=True)
class TableUse:
    """What was loaded into a table.

    Attributes:
        target: ``SEQ1.TABLE``.
        lines: of the longest load.
        max_lines: that the table holds at once.
        streamed: loaded while it was played.
        loads: how often it was loaded anew.
    """

    target: str
    lines: int
    max_lines: int
    streamed: bool
    loads: int = 1

    @override
    def __str__(self) -> str:
        kind = "streamed" if self.streamed else "fixed"
        times = f", {self.loads} loads" if self.loads > 1 else ""
        return f"{self.lines} lines {kind}, the table holds {self.max_lines}{times}"


@dataclass(frozen=True)
class Rehearsal:
    """What a plan would do on a box.

    Attributes:
        ok: the plan ended well, with all rows it asked for, and nothing is wrong.
        source: the box.
        rows: that were captured and are on disk.
        rows_asked: by `prepare` and `trigger`, None if the plan did not say how many.
        verdict: on each file, a line each.
        end_reason: of the last acquisition, as the box says.
        problems: what is wrong, a line each, the first cause first.
        preflight: name of a pre-flight check to what it found.
        warnings: what may go wrong, or is not the same as on the box.
        duration: of the plan in the time of the box, s; what the software takes is not in it.
        trigger_times: of every trigger that PCAP took, s from the start of the plan, (n,);
            where nobody looked, its time stamps, s from the start of the acquisition, and
            empty without these.
        clock: ticks a second.
        bytes_per_row: on the wire.
        tables: that were loaded.
        compares: block to pulses made and asked for, at the end.
        health: block to HEALTH, the first that was not OK if there was one.
        health_before: the same as it was before the plan.
        dropped: block to triggers dropped.
        data: dataset to its rows, (n,) each, of all files.
        files: that were kept.
        documents: that the plan emitted.
        result: what the plan returned.
        exception: that the plan failed with.
    """

    ok: bool
    source: str
    rows: int = 0
    rows_asked: int | None = None
    verdict: tuple[str, ...] = ()
    end_reason: str = ""
    problems: tuple[str, ...] = ()
    preflight: Mapping[str, str] = field(default_factory=dict[str, str])
    warnings: tuple[str, ...] = ()
    duration: float = 0.0
    trigger_times: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    clock: int = 125_000_000
    bytes_per_row: int = 0
    tables: tuple[TableUse, ...] = ()
    compares: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, "tuple[int, int]"])
    health: Mapping[str, str] = field(default_factory=dict[str, str])
    health_before: Mapping[str, str] = field(default_factory=dict[str, str])
    dropped: Mapping[str, int] = field(default_factory=dict[str, int])
    data: Mapping[str, NDArray[Any]] = field(default_factory=dict[str, "NDArray[Any]"])
    files: tuple[Path, ...] = ()
    documents: tuple[tuple[str, dict[str, Any]], ...] = ()
    result: Any = None
    exception: BaseException | None = None

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Seconds from trigger to trigger, (n - 1,)."""
        return np.diff(self.trigger_times)

    @property
    def rate(self) -> float:
        """Bytes a second on the wire from the first trigger to the last, 0 if there are none."""
        return mean_rate(self.trigger_times, self.bytes_per_row)

    @property
    def peak_rate(self) -> float:
        """Bytes a second in the `PEAK_TIME` that had most of them."""
        return peak_rate(self.trigger_times, self.bytes_per_row)

    @property
    def worse(self) -> dict[str, str]:
        """Block to HEALTH, of those that the plan has made worse."""
        before = self.health_before
        return {b: w for b, w in self.health.items() if w not in ("OK", before.get(b))}

    def lines(self) -> list[Row]:
        """Return the report as pairs of what and how much."""
        asked = f" of {self.rows_asked} asked for" if self.rows_asked else ""
        found: list[Row] = [
            ("box", f"{self.source} (copied; nothing was written to it)"),
            ("verdict", "would go well" if self.ok else "would NOT go well"),
            *(("problem", text) for text in _some(self.problems)),
            ("rows", f"{self.rows}{asked}"),
            *(("file", text) for text in _some(self.verdict)),
            ("PCAP ended", self.end_reason or "not begun"),
            ("box time", f"{self.duration:.6g} s"),
        ]
        times = self.trigger_times
        if times.size:
            span = f"{times.size}, from {times[0]:.9g} to {times[-1]:.9g} s"
            found.append(("triggers", span))
        if times.size > 1:
            gaps = self.spacing
            found.append(
                ("spacing", f"{gaps.min():.9g} to {gaps.max():.9g} s, mean {gaps.mean():.9g} s")
            )
        if self.bytes_per_row:
            rates = f", {self.rate / 1e6:.3g} MB/s, peak {self.peak_rate / 1e6:.3g} MB/s"
            found.append(("data", f"{self.bytes_per_row} bytes/row" + rates * (times.size > 1)))
        found += [(use.target, str(use)) for use in self.tables]
        found += [(name, f"{made} of {of} pulses") for name, (made, of) in self.compares.items()]
        bad = [f"{block} {word}" for block, word in self.worse.items()]
        well = all(word == "OK" for word in self.health.values())
        found.append(("health", ", ".join(bad) or ("all OK" if well else "as before")))
        found += [(block, f"dropped {count} triggers") for block, count in self.dropped.items()]
        found += [("warning", text) for text in _some(self.warnings)]
        return found + [("kept", str(path)) for path in self.files]

    @override
    def __str__(self) -> str:
        pairs = self.lines()
        width = max(len(name) for name, _ in pairs)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in pairs)


def _some(texts: tuple[str, ...]) -> list[str]:
    more = len(texts) - MOST_LINES
    return [*texts[:MOST_LINES], *([f"and {more} more"] if more > 0 else [])]


def mean_rate(times: NDArray[np.float64], size: int) -> float:
    """Return bytes a second from the first to the last of times (n,), each of so many bytes."""
    span = float(times[-1] - times[0]) if times.size > 1 else 0.0
    return size * (times.size - 1) / span if span else 0.0


def peak_rate(times: NDArray[np.float64], size: int, window: float = PEAK_TIME) -> float:
    """Return the most bytes a second in any window of time; of a short scan the mean."""
    if times.size < 2 or times[-1] - times[0] <= window:  # noqa: PLR2004  one has no rate
        return mean_rate(times, size)
    within = np.arange(1, times.size + 1) - np.searchsorted(times, times - window, side="right")
    return max(float(within.max()) * size / window, mean_rate(times, size))


def overrun_row(
    times: NDArray[np.float64], size: int, drain: float = LINK_BYTES, ring: float = RING_BYTES
) -> int | None:
    """Return the row at which the server's memory would be full, None if it never is.

    Args:
        times: of rows, ascending, (n,) s.
        size: bytes of a row.
        drain: bytes a second that get away.
        ring: bytes that the server holds.
    """
    if not times.size or not size:
        return None
    # made less drained, above the lowest that was: what waits then
    level = size * np.arange(1, times.size + 1) - drain * times
    waiting = level - np.minimum.accumulate(level - size)
    full = np.flatnonzero(waiting > ring)
    return int(full[0]) if full.size else None
