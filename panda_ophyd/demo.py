"""The main job from beginning to end: discover a box, fly a scan, prove the file.

One of the few rooms that know both the driver and the simulator; it reaches the
simulator only through its public face.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (ophyd-async leaves the parameters of its generics open in these calls)

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from datetime import datetime
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import h5py
import numpy as np
from bluesky.run_engine import RunEngine, call_in_bluesky_event_loop
from bluesky.utils import MsgGenerator
from ophyd_async.core import (
    DetectorTrigger,
    Device,
    Signal,
    StaticFilenameProvider,
    StaticPathProvider,
    TriggerInfo,
    init_devices,
)
from ophyd_async.fastcs.panda import PandaPcompDirection, PcompInfo, StaticPcompFlyableLogic
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as ConsoleTable

from panda_ophyd.detector import HDFPanda

out = Console(highlight=False, emoji=False)

FIRST_POSITION = 1.0
"""mm; the compare positions of the demo's scan, as `position_compare` has them."""
STEP = 0.05
POINTS = 100

CLOCK_PERIOD = 0.01
"""s, between the triggers of the capture from a real box."""
CLOCK_ROWS = 50


class DemoError(Exception):
    """The demo did not show what it is there to show."""


def signals_below(device: Device) -> int:
    """Count the signals and commands of a device tree."""
    return sum(
        1 if isinstance(child, Signal) or not list(child.children()) else signals_below(child)
        for _, child in device.children()
    )


def describe(panda: HDFPanda, seconds: float) -> None:
    """Print what was discovered."""
    box = panda.box
    if box is None:
        msg = f"{panda.name} is not connected"
        raise DemoError(msg)
    table = ConsoleTable(
        "block", "instances", "fields", "what it is", box=None, header_style="bold"
    )
    for block in box.blocks:
        table.add_row(block.name, str(block.count), str(len(block.fields)), block.description)
    out.print(table)
    out.print(
        f"Connected to a PandA with server {box.sw_version}: {len(box.blocks)} block types, "
        f"{sum(block.count for block in box.blocks)} blocks, {signals_below(panda)} signals "
        f"in {seconds * 1e3:.0f} ms, without an IOC\n",
        soft_wrap=True,
    )


@contextlib.contextmanager
def progress_bar(panda: HDFPanda, rows: int, what: str) -> Generator[None]:
    """Show how many rows are on disk while the block runs."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out) as progress:
        task = progress.add_task(what, total=rows)

        def show(reading: dict[str, Any]) -> None:
            captured = reading[panda.data.num_captured.name]["value"]
            progress.update(task, completed=min(captured, rows))

        async def subscribe() -> None:
            panda.data.num_captured.subscribe(show)

        async def unsubscribe() -> None:
            panda.data.num_captured.clear_sub(show)

        call_in_bluesky_event_loop(subscribe())
        try:
            yield
        finally:
            call_in_bluesky_event_loop(unsubscribe())


def position_compare(
    panda: Any,
    motor: Any,
    counts_per_mm: float,
    *,
    first: float = 1.0,
    step: float = 0.05,
    points: int = 100,
    velocity: float = 2.0,
) -> MsgGenerator[None]:
    """Fly a motor upwards through equidistant positions; PCOMP1 triggers a row at each.

    Args:
        panda: connected `HDFPanda`, its INENC1 following the motor.
        motor: Movable with a ``velocity`` signal, in mm.
        counts_per_mm: of that encoder, which reads 0 where the motor does.
        first: position of the first row, mm.
        step: to the next, mm.
        points: how many.
        velocity: during the scan, mm/s; set back afterwards.
    """
    flyer = StaticPcompFlyableLogic(panda.pcomp[1]).with_device(name="compare")
    info = PcompInfo(
        start_position=round(first * counts_per_mm),
        rising_edge_step=round(step * counts_per_mm),
        pulse_width=round(step * counts_per_mm / 2),
        number_of_pulses=points,
        direction=PandaPcompDirection.POSITIVE,
    )
    run_up = 10 * step
    yield from bps.mv(
        panda.pcomp[1].inp, "INENC1.VAL", panda.pcomp[1].relative, "Absolute",
        panda.pcomp[1].pre_start, 0,
        panda.pcap.enable, "PCOMP1.ACTIVE", panda.pcap.trig, "PCOMP1.OUT",
        panda.pcap.trig_edge, "Rising",
        panda.inenc[1].val_scale, 1 / counts_per_mm, panda.inenc[1].val_offset, 0,
        panda.inenc[1].val_units, "mm",
        panda.inenc[1].val_capture, "Value", panda.inenc[1].val_dataset, "x",
        panda.pcap.ts_trig_capture, "Value", panda.pcap.ts_trig_dataset, "time",
    )  # fmt: skip
    usual = yield from bps.rd(motor.velocity)

    @bpp.stage_decorator([panda, flyer])
    @bpp.run_decorator(md={"plan_name": "position_compare"})
    def fly() -> MsgGenerator[None]:
        yield from bps.mv(motor, first - run_up)
        yield from bps.mv(motor.velocity, velocity)
        yield from bps.prepare(flyer, info, group="prepare")
        yield from bps.prepare(
            panda,
            TriggerInfo(number_of_events=points, trigger=DetectorTrigger.EXTERNAL_EDGE),
            group="prepare",
        )
        yield from bps.wait("prepare")
        yield from bps.declare_stream(panda, name="primary", collect=True)
        yield from bps.kickoff_all(panda, flyer, wait=True)
        yield from bps.abs_set(motor, first + step * points + run_up, group="move")
        yield from bps.collect_while_completing(
            flyers=[flyer, panda], dets=[panda], flush_period=0.2, stream_name="primary"
        )
        yield from bps.wait("move")

    def set_back() -> MsgGenerator[None]:
        yield from bps.mv(motor.velocity, usual)

    yield from bpp.finalize_wrapper(fly(), set_back())


def clock_triggered(panda: Any, rows: int) -> MsgGenerator[None]:
    """Capture rows at the rate of CLOCK1; what was set before is set again afterwards.

    Args:
        panda: connected.
        rows: to capture.
    """
    wanted: list[tuple[Any, Any]] = [
        (panda.clock[1].enable, "ZERO"),
        (panda.clock[1].period_units, "s"),
        (panda.clock[1].period, CLOCK_PERIOD),
        (panda.pcap.enable, "ONE"),
        (panda.pcap.trig, "CLOCK1.OUT"),
        (panda.pcap.ts_trig_capture, "Value"),
    ]
    before: list[tuple[Any, Any]] = []
    for signal, _ in wanted:
        before.append((signal, (yield from bps.rd(signal))))

    @bpp.stage_decorator([panda])
    @bpp.run_decorator(md={"plan_name": "clock_triggered"})
    def fly() -> MsgGenerator[None]:
        for signal, value in wanted:
            yield from bps.mv(signal, value)
        yield from bps.prepare(
            panda,
            TriggerInfo(number_of_events=rows, trigger=DetectorTrigger.EXTERNAL_EDGE),
            wait=True,
        )
        yield from bps.declare_stream(panda, name="primary", collect=True)
        yield from bps.kickoff(panda, wait=True)
        yield from bps.mv(panda.clock[1].enable, "ONE")
        yield from bps.complete(panda, group="complete")
        yield from bps.wait("complete")
        yield from bps.collect(panda, name="primary", return_payload=False)

    def restore() -> MsgGenerator[None]:
        for signal, value in before:
            yield from bps.mv(signal, value)

    yield from bpp.finalize_wrapper(fly(), restore())


def run_plan(
    engine: RunEngine, panda: HDFPanda, plan: MsgGenerator[None], rows: int, what: str
) -> list[tuple[str, Any]]:
    """Run a plan with a progress bar and return the documents it made."""
    documents: list[tuple[str, Any]] = []
    with progress_bar(panda, rows, what):
        engine(plan, lambda name, doc: documents.append((name, doc)))
    return documents


def plot(times: Any, positions: Any, expected: Any, path: Path) -> None:
    """Save a picture of captured against requested positions.

    Args:
        times: (n,) float64, s.
        positions: (n,) float64, mm.
        expected: (n,) float64, mm.
        path: of the PNG.
    """
    import matplotlib as mpl  # noqa: PLC0415  the demo extra

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (upper, lower) = plt.subplots(
        2, 1, sharex=True, figsize=(8, 6), height_ratios=(3, 1), layout="constrained"
    )
    upper.plot(times, expected, color="0.7", lw=4, label="requested compare positions")
    upper.plot(times, positions, ".", ms=4, label="captured at the trigger")
    upper.set(ylabel="x / mm", title=f"Position compare: {len(positions)} rows")
    upper.legend()
    lower.plot(times, (positions - expected) * 1e3, ".", ms=4)
    lower.set(xlabel="time since start / s", ylabel="difference / µm", ylim=(-1, 1))
    figure.savefig(path, dpi=120)
    plt.close(figure)


def prove(path: Path, counts_per_mm: float) -> None:
    """Read the file back with plain h5py and compare it with what was asked for.

    Raises:
        DemoError: a row is missing or is not where it should be.
    """
    with h5py.File(path, "r") as file:
        positions = np.asarray(file["x"])
        times = np.asarray(file["time"])
        datasets = {
            name: (item.shape, item.dtype)
            for name, item in file.items()
            if isinstance(item, h5py.Dataset)
        }
    for name, (shape, dtype) in datasets.items():
        out.print(f"  /{name}: shape {shape}, {dtype}")
    expected = FIRST_POSITION + STEP * np.arange(POINTS)
    if positions.shape != expected.shape:
        msg = f"{path}: {len(positions)} rows where {POINTS} positions were asked for"
        raise DemoError(msg)
    wrong = np.flatnonzero(np.rint(positions * counts_per_mm) != np.rint(expected * counts_per_mm))
    if len(wrong):
        first = wrong[0]
        msg = f"{path}: row {first} is at {positions[first]} mm and not at {expected[first]} mm"
        raise DemoError(msg)
    out.print(
        f"All {POINTS} captured positions are exactly the requested ones, "
        f"{positions[0]:g} to {positions[-1]:g} mm"
    )
    picture = path.with_suffix(".png")
    plot(times, positions, expected, picture)
    out.print(f"File: {path}\nPlot: {picture}", soft_wrap=True)


def new_path(directory: Path) -> Path:
    """Return the file to write: its name holds the time, so that no earlier one is in the way."""
    return directory.resolve() / f"scan-{datetime.now():%Y%m%d-%H%M%S}.h5"  # noqa: DTZ005  local


def connect(host: str, path: Path) -> HDFPanda:
    """Connect a PandA in the RunEngine's event loop, and print what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    provider = StaticPathProvider(StaticFilenameProvider(path.stem), path.parent)
    begun = time.perf_counter()
    with init_devices():
        panda = HDFPanda(host, provider, name="panda")
    describe(panda, time.perf_counter() - begun)
    return panda


def on_simulator(engine: RunEngine, directory: Path) -> None:
    """Run the position-compare scan on the built-in simulator."""
    # imported here, because a real box needs none of it
    from panda_simulator import serve_in_thread  # noqa: PLC0415
    from panda_simulator.motor import SimMotor  # noqa: PLC0415
    from panda_simulator.world import COUNTS_PER_MM  # noqa: PLC0415

    path = new_path(directory)
    with serve_in_thread() as simulator:
        out.print(f"Simulator: panda://{simulator.address}")
        with init_devices():
            motor = SimMotor(simulator.world.axes["x"], simulator.call, name="x")
        panda = connect(simulator.address, path)
        try:
            plan = position_compare(panda, motor, COUNTS_PER_MM)
            documents = run_plan(engine, panda, plan, POINTS, "position compare")
            documented = max(
                doc["indices"]["stop"] for name, doc in documents if name == "stream_datum"
            )
            out.print(f"{len(documents)} documents, which name {documented} rows")
            if documented != POINTS:
                raise DemoError(f"the documents name {documented} rows, not {POINTS}")
            prove(path, COUNTS_PER_MM)
        finally:
            call_in_bluesky_event_loop(panda.disconnect())


def on_box(engine: RunEngine, host: str, directory: Path) -> None:
    """Discover a real box and capture from it at the rate of a clock of its own."""
    path = new_path(directory)
    panda = connect(host, path)
    try:
        run_plan(engine, panda, clock_triggered(panda, CLOCK_ROWS), CLOCK_ROWS, "clock triggered")
        with h5py.File(path, "r") as file:
            rows = {n: len(item) for n, item in file.items() if isinstance(item, h5py.Dataset)}
        out.print(f"Rows by dataset: {rows}")
        if not rows or set(map(bool, rows.values())) != {True} or min(rows.values()) < CLOCK_ROWS:
            msg = f"{path}: fewer than {CLOCK_ROWS} rows"
            raise DemoError(msg)
        out.print(f"File: {path}", soft_wrap=True)
    finally:
        call_in_bluesky_event_loop(panda.disconnect())


def main(panda: str | None, directory: Path) -> None:
    """Run the demo.

    Args:
        panda: a real box, None for the simulator.
        directory: where file and plot go; made if it is not there.

    Raises:
        DemoError: it did not show what it should.
        PandaError: something on the way failed.
    """
    engine = RunEngine()
    if panda is None:
        on_simulator(engine, directory)
    else:
        on_box(engine, panda, directory)
