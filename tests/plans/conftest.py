"""A beamline in virtual time: a simulated stage and box, the driver, a RunEngine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pytest
from bluesky.run_engine import RunEngine, call_in_bluesky_event_loop
from ophyd_async.core import StaticFilenameProvider, StaticPathProvider, init_devices
from ophyd_async.fastcs import panda as upstream

import panda_ophyd.flyers
from panda_ophyd import HDFPanda, PandaError
from panda_ophyd.encoders import BoundAxis, Encoder
from panda_simulator import Simulator, serve_in_thread
from panda_simulator.motor import SimMotor

TICKS = 125_000_000
COUNTS = 1000
"""Counts in a millimetre, of the axes that scans here compare with: SCALE is 0.001."""


@dataclass
class Beamline:
    """Everything a plan needs, and what it has left.

    Attributes:
        simulator: the box.
        panda: connected.
        axes: motor and encoder, by name.
        documents: name and document, in order.
    """

    engine: RunEngine
    simulator: Simulator
    panda: Any
    axes: dict[str, BoundAxis]
    directory: Path
    documents: list[tuple[str, Any]] = field(default_factory=list)

    def run(self, plan: Any) -> None:
        """Run a plan to its end."""
        self.engine(plan, lambda name, doc: self.documents.append((name, doc)))

    def set(self, *pairs: tuple[Any, Any]) -> None:
        async def all_of() -> None:
            for signal, value in pairs:
                await signal.set(value)

        call_in_bluesky_event_loop(all_of())

    def pause_after(self, rows: int) -> None:
        """Ask for a pause, as somebody at the keyboard does, once so many rows are there."""

        def watch() -> None:
            while self.engine.state != "running" or self.get(self.panda.data.num_captured) < rows:
                time.sleep(0.005)
            self.engine.request_pause()

        threading.Thread(target=watch, daemon=True).start()

    def get(self, signal: Any) -> Any:
        return call_in_bluesky_event_loop(signal.get_value())

    def ask(self, command: str) -> str:
        return self.simulator.call(self.simulator._server.command, command)

    def named(self, name: str) -> list[Any]:
        return [doc for kind, doc in self.documents if kind == name]

    @property
    def exit_status(self) -> str:
        return self.named("stop")[-1]["exit_status"]

    def rows(self) -> Rows:
        """Read the file, checking that it and the documents agree."""
        with h5py.File(self.directory / "scan.h5", "r") as file:
            columns = {
                name: item[:] for name, item in file.items() if isinstance(item, h5py.Dataset)
            }
            rows = Rows(columns, {name: file.attrs[name] for name in ("end_reason", "complete")})
        for stop in {doc["indices"]["stop"] for doc in self.named("stream_datum")[-1:]}:
            assert stop == len(rows)
        return rows


@dataclass
class Rows:
    """What a file holds: name of the dataset to its values, and what is said of the whole."""

    columns: dict[str, Any]
    attributes: dict[str, Any]

    def __len__(self) -> int:
        (length,) = {len(column) for column in self.columns.values()}
        return length

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]

    def ticks(self, name: str) -> Any:
        """Return a column of times in ticks, stamps from the first TS_START on."""
        seconds = self.columns[f"PCAP.{name}.Value"]
        if name.startswith("TS_"):
            seconds = seconds - self.columns["PCAP.TS_START.Value"][0]
        return np.rint(seconds * TICKS).astype(int)


Speed = float | Literal["free"]
Make = Callable[..., Beamline]


@pytest.fixture(scope="session")
def engine() -> Iterator[RunEngine]:
    engine = RunEngine()
    yield engine
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    engine._th.join()
    engine.loop.close()


@pytest.fixture
def beamline(engine: RunEngine, tmp_path: Path) -> Iterator[Make]:
    """Make a beamline whose axes x, y and z follow INENC1 to 3, 1000 counts in a millimetre."""
    with ExitStack() as stack:

        def make(speed: Speed = 50.0, **options: Any) -> Beamline:
            simulator = stack.enter_context(serve_in_thread(speed=speed, **options))
            provider = StaticPathProvider(StaticFilenameProvider("scan"), tmp_path)
            for name in "xyz":  # which come quickly to where a scan begins
                axis = simulator.world.axes[name]
                simulator.call(vars(axis).update, {"velocity": 20.0, "acceleration": 100.0})
            with init_devices():
                panda: Any = HDFPanda(simulator.address, provider, name="panda")
                motors = {
                    name: SimMotor(simulator.world.axes[name], simulator.call, name=name)
                    for name in "xyz"
                }

            def disconnect() -> None:
                with suppress(PandaError):
                    call_in_bluesky_event_loop(panda.disconnect())

            stack.callback(disconnect)
            axes: dict[str, BoundAxis] = {}
            for number, (name, motor) in enumerate(motors.items(), 1):
                simulator.call(simulator.world.connect, name, number, COUNTS)
                axes[name] = BoundAxis(motor, panda, Encoder(f"INENC{number}.VAL", 1 / COUNTS))
            line = Beamline(engine, simulator, panda, axes, tmp_path)
            for number in (1, 2, 3):
                line.set((panda.inenc[number].val_scale, 1 / COUNTS))
            return line

        yield make


@pytest.fixture(params=[upstream, panda_ophyd.flyers], ids=["upstream", "ours"])
def logics(request: pytest.FixtureRequest) -> Any:
    """Where a plan takes its logics from."""
    return request.param
