"""How fast samples reach the file, beside the incumbent and beside the floor, in the same run.

    python benchmarks/capture.py [--samples N] [--repeats R] [--seconds S] [--directory DIR]

The stream is the same for all: 60-byte samples of 11 columns over loopback. The peers are
``pandablocks hdf``, the released client, and the floor, which receives the bytes and writes the
same bytes. "plain" is our `Capture` writing what ``pandablocks hdf`` writes, and no absolute
times besides. Repeats take turns; of each figure the best and the median are shown, for the
machine has other things to do. A box that only sends a recording comes first, so that its
own work is no limit; then the simulator's firehose, which an `HDFPanda` can connect to, also
one whose live rows and rates somebody watches.
Files go to a temporary directory, so it is the page cache that takes them unless they are
many; "closing" is until ours are on the disk.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
from recording import SAMPLE_BYTES, recording
from servers import Box, Client, client, simulator

CAPTURED = (
    "PCAP.GATE_DURATION.CAPTURE=Value", "PCAP.BITS0.CAPTURE=Value",
    "INENC1.VAL.CAPTURE=Value Sum Min Max Mean", "INENC2.VAL.CAPTURE=Value",
    "COUNTER1.OUT.CAPTURE=Value", "PCAP.TS_TRIG.CAPTURE=Value", "PCAP.TS_START.CAPTURE=Value",
    "INENC1.VAL.SCALE=0.5", "INENC1.VAL.OFFSET=10", "INENC2.VAL.SCALE=0.001",
)  # fmt: skip
"""Eleven columns, 60 bytes."""

RATE = 120
"""MB/s at which the event loop is watched: twice what a PandA sends."""

_GB, _MB, _MIB = 1e9, 1e6, 2**20
Run = dict[str, float]


def child(kind: str, box: Box, path: Path, samples: int, *more: object) -> Run:
    """Run one capture in a process of its own and return its figures."""
    where = f"{box.host}:{box.control}:{box.data}"
    script = Path(__file__).with_name("captors.py")
    command = [sys.executable, script, kind, where, path, samples, *more]
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, check=True)  # noqa: S603
    figures: Run = json.loads(done.stdout)
    return figures


class Field:
    """Runs of several kinds that take turns on one box."""

    def __init__(self, box: Box, directory: Path, samples: int) -> None:
        self.box = box
        self.samples = samples
        self.size = samples * SAMPLE_BYTES
        self.runs: dict[str, list[Run]] = {}
        self._directory = directory

    def path(self, kind: str) -> Path:
        """Where a kind writes."""
        return self._directory / f"{kind}.h5"

    def run(self, kinds: tuple[str, ...], repeats: int) -> None:
        """Let all kinds take turns; the files of the last turn stay."""
        for _ in range(repeats):
            for kind in kinds:
                self.path(kind).unlink(missing_ok=True)
                before = self.box.cpu()
                run = child(kind, self.box, self.path(kind), self.samples)
                run["server"] = self.box.cpu() - before
                self.runs.setdefault(kind, []).append(run)

    def best(self, kind: str, figure: str) -> float:
        """Return the least of a figure."""
        return min(run[figure] for run in self.runs[kind])

    def median(self, kind: str, figure: str) -> float:
        """Return the middle of a figure."""
        return statistics.median(run[figure] for run in self.runs[kind])

    def lines(self) -> Iterator[str]:
        """Yield a line for each kind."""
        yield (
            f"{'':<17}{'MB/s':>8}{'median':>8}{'s/GB CPU':>10}{'median':>8}"
            f"{'max RSS':>10}{'closing':>9}{'server':>12}"
        )
        for kind in self.runs:
            seconds, cpu = (
                (self.best(kind, of), self.median(kind, of)) for of in ("seconds", "cpu")
            )
            rss = max(run["rss"] for run in self.runs[kind])
            yield (
                f"{NAMES[kind]:<17}{self.size / seconds[0] / _MB:>8.0f}"
                f"{self.size / seconds[1] / _MB:>8.0f}"
                f"{cpu[0] / self.size * _GB:>10.2f}{cpu[1] / self.size * _GB:>8.2f}"
                f"{rss / _MIB:>6.0f} MiB{self.best(kind, 'closing'):>7.2f} s"
                f"{self.best(kind, 'server') / self.size * _GB:>7.2f} s/GB"
            )

    def against(self, ours: str, kind: str) -> str:
        """Compare speed and processor time with a peer's, best with best and by medians."""
        text = f"{NAMES[ours]} beside {NAMES[kind]}:"
        for what, of in (("best", self.best), ("median", self.median)):
            faster = of(kind, "seconds") / of(ours, "seconds")
            cheaper = of(ours, "cpu") / of(kind, "cpu")
            text += f" {what} {faster:.2f} times the speed, {cheaper:.2f} of the CPU;"
        return text.rstrip(";")


NAMES = {
    "floor": "floor",
    "capture": "Capture",
    "plain": "Capture plain",
    "hdfpanda": "HDFPanda",
    "watched": "HDFPanda watched",
    "pandablocks": "pandablocks hdf",
}


def compare(ours: Path, theirs: Path) -> str:
    """Say in what two files differ."""
    rows = 0
    with h5py.File(ours) as mine, h5py.File(theirs) as other:
        for name in other:
            rows = len(other[name])
            if len(mine[name]) != rows:
                return f"{name} has {len(mine[name])} rows here and {rows} there"
            for start in range(0, rows, 1 << 20):
                part = slice(start, start + (1 << 20))
                if not np.array_equal(mine[name][part], other[name][part], equal_nan=True):
                    return f"{name} differs from row {start} on"
        return f"the same {rows} rows in all {len(other)} datasets"


def armed_with(control: Client) -> None:
    """Set what is captured."""
    for line in ("*CAPTURE=", *CAPTURED):
        if control.ask(line) != b"OK\n":
            raise ValueError(line)


def throughput(directory: Path, samples: int, repeats: int) -> None:
    """Compare all that write."""
    print(f"a recording, {samples * SAMPLE_BYTES / _MB:.0f} MB, written to {directory}")
    with recording(samples) as box:
        field = Field(box, directory, samples)
        field.run(("floor", "capture", "plain", "pandablocks"), repeats)
        print(*field.lines(), sep="\n")
        for ours in ("capture", "plain"):
            for peer in ("pandablocks", "floor"):
                print(field.against(ours, peer))
        print("files:", compare(field.path("capture"), field.path("pandablocks")), flush=True)
    print(f"\nthe simulator's firehose, {samples * SAMPLE_BYTES / _MB:.0f} MB")
    with simulator("--firehose", "0", "--firehose-samples", str(samples)) as box:
        with client(box) as control:
            armed_with(control)
        field = Field(box, directory, samples)
        field.run(("floor", "capture", "hdfpanda", "watched", "pandablocks"), repeats)
        print(*field.lines(), sep="\n")
        for kind in ("pandablocks", "floor"):
            print(field.against("hdfpanda", kind))
        print(field.against("watched", "hdfpanda"))
        print("files:", compare(field.path("hdfpanda"), field.path("pandablocks")), flush=True)


def memory(directory: Path, samples: int) -> None:
    """Show that memory does not depend on the length."""
    text = "\nmax RSS of Capture by length:"
    for count in (samples // 10, samples, samples * 4):
        with recording(count) as box:
            path = directory / "long.h5"
            run = child("capture", box, path, count)
            path.unlink()
        text += f" {count * SAMPLE_BYTES / _MB:.0f} MB: {run['rss'] / _MIB:.0f} MiB;"
    print(text.rstrip(";"), flush=True)


def responsiveness(directory: Path, seconds: float) -> None:
    """Watch the event loop while an `HDFPanda` captures, and the processor while it does not."""
    with simulator("--firehose", str(RATE)) as box, ThreadPoolExecutor() as pool:
        with client(box) as control:
            armed_with(control)
        path = directory / "late.h5"
        run = child("latency", box, path, 0, seconds)
        path.unlink()
        # Again, as the third process on the machine: what of that is of the machine
        beside = pool.submit(child, "bare", box, path, 0, seconds)
        again = child("latency", box, path, 0, seconds)
        path.unlink()
        for name, of in (
            (f"HDFPanda capturing {RATE} MB/s", run),
            ("again, with a loop beside it that only watches", again),
            ("that loop", beside.result()),
        ):
            print(
                f"{name}: event loop late by {of['late'] * 1e3:.1f} ms,"
                f" control round trip {of['trip'] * 1e3:.1f} ms (p99)",
            )
        print(f"wanted: < 5 ms and < 10 ms; the capture took {run['cpu'] / seconds:.0%} of a core")
    with simulator() as box:
        run = child("idle", box, directory / "idle.h5", 0, seconds)
        print(
            f"HDFPanda idle, every signal monitored: {run['cpu'] / seconds:.2%} of a core"
            " (wanted: < 1 %)"
        )


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--samples", type=float, default=5e6, metavar="N", help="of an acquisition (%(default)g)")
    add("--repeats", type=int, default=3, metavar="R", help="of each (%(default)s)")
    add("--seconds", type=float, default=10.0, metavar="S", help="of watching (%(default)s)")
    add("--directory", type=Path, metavar="DIR", help="for the files (a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        throughput(Path(directory), int(options.samples), options.repeats)
        with suppress(FileNotFoundError):
            for file in Path(directory).iterdir():
                file.unlink()
        memory(Path(directory), int(options.samples))
        responsiveness(Path(directory), options.seconds)


if __name__ == "__main__":
    main()
