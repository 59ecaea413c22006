"""How fast frames become lines, beside how ophyd-async builds its table, in the same run.

    python benchmarks/sequences.py [--frames N] [--repeats R]

"merged" are frames of one duration, "all differ" have a duration each, "windows" are rows of ten
frames with a position guard; "spec" is a snake through scanspec. ophyd-async adds one row to its
table at a time, here as many windows (of three rows and the frames) as fit its 4096 lines. Repeats
take turns; the best is shown. Memory is the most that Python held while lines were made.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
from ophyd_async.fastcs.panda import SeqTable, SeqTrigger
from scanspec.specs import Fly, Linspace  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.scanframes import AxisScale, batches
from panda_ophyd.sequences import Frames, LineBuilder, PositionGuard, Timing

BATCH = 20_000
UPSTREAM_WINDOWS = 1024
Case = Callable[[int], tuple[int, int]]


def played(builder: LineBuilder, source: Iterator[Frames]) -> tuple[int, int]:
    """Return frames and lines."""
    lines = sum(len(builder.lines(frames)) for frames in source)
    return builder.frames, lines + len(builder.close())


def merged(frames: int) -> tuple[int, int]:
    """One duration."""
    part = Frames.timed(np.full(BATCH, 1e-3))
    return played(LineBuilder(Timing(deadtime=1e-5)), (part for _ in range(0, frames, BATCH)))


def all_differ(frames: int) -> tuple[int, int]:
    """A duration each."""
    part = Frames.timed(1e-3 + 1e-7 * np.arange(BATCH, dtype=np.float64))
    return played(LineBuilder(Timing(deadtime=1e-5)), (part for _ in range(0, frames, BATCH)))


def windows(frames: int) -> tuple[int, int]:
    """Rows of ten frames."""
    at = np.asarray(np.arange(BATCH) % 10 * 10, np.float64)
    gap = at == 0
    part = Frames({"x": at}, {"x": at + 5}, {"x": at + 10}, gap, np.full(BATCH, 1e-3))
    builder = LineBuilder(Timing(deadtime=1e-5), inputs={"x": "A"}, guard=PositionGuard(5))
    return played(builder, (part for _ in range(0, frames, BATCH)))


def spec(frames: int) -> tuple[int, int]:
    """A snake with rows of 2000."""
    scan = Fly(1e-3 @ (Linspace("y", 0, 1, frames // 2000) * ~Linspace("x", 0, 1, 2000)))
    builder = LineBuilder(Timing(deadtime=1e-5), inputs={"x": "A"}, guard=PositionGuard(5))
    return played(builder, batches(scan, {"x": AxisScale(1e-6)}, size=BATCH))


def upstream(_: int) -> tuple[int, int]:
    """The rows of ophyd-async's ScanSpecSeqTableFlyableLogic."""
    rows = SeqTable.empty()
    for _window in range(UPSTREAM_WINDOWS):
        rows += SeqTable.row(trigger=SeqTrigger.BITA_0)
        rows += SeqTable.row(trigger=SeqTrigger.BITA_1)
        rows += SeqTable.row(trigger=SeqTrigger.POSA_GT, position=100)
        rows += SeqTable.row(repeats=10, time1=990, time2=10, outa1=True)
    return 10 * UPSTREAM_WINDOWS, len(rows.repeats)


CASES: dict[str, Case] = {
    "merged": merged,
    "all differ": all_differ,
    "windows": windows,
    "spec": spec,
    "ophyd-async": upstream,
}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    best = dict.fromkeys(CASES, float("inf"))
    made: dict[str, tuple[int, int]] = {}
    for _ in range(options.repeats):
        for name, case in CASES.items():
            begin = time.perf_counter()
            made[name] = case(options.frames)
            best[name] = min(best[name], time.perf_counter() - begin)
    print(f"{'':12} {'frames':>10} {'lines':>10} {'frames/s':>12} {'lines/s':>12} {'MB':>6}")
    for name, case in CASES.items():
        frames, lines = made[name]
        tracemalloc.start()
        case(min(options.frames, 200_000))
        most = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        speed = f"{frames / best[name]:12,.0f} {lines / best[name]:12,.0f}"
        print(f"{name:12} {frames:10,} {lines:10,} {speed} {most:6.1f}")


if __name__ == "__main__":
    main()
