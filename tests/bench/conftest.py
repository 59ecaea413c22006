"""A RunEngine, a simulated stage and a connected PandA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from bluesky.run_engine import RunEngine, call_in_bluesky_event_loop
from ophyd_async.core import StaticFilenameProvider, StaticPathProvider, init_devices

from panda_ophyd import HDFPanda, PandaError
from panda_simulator import Simulator, serve_in_thread
from panda_simulator.motor import SimMotor


@pytest.fixture(scope="session")
def engine() -> Iterator[RunEngine]:
    engine = RunEngine(call_returns_result=True)
    yield engine
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    engine._th.join()
    engine.loop.close()


@pytest.fixture
def run(engine: RunEngine) -> Callable[[Any], Any]:
    """Run a plan and return its result."""
    return lambda plan: cast("Any", engine(plan)).plan_result


@pytest.fixture
def bench(engine: RunEngine, tmp_path: Path) -> Iterator[tuple[Simulator, Any, SimMotor]]:
    """A simulator, a PandA, and a motor that its INENC1 follows by 10 000 counts a mm."""
    with ExitStack() as stack:
        simulator = stack.enter_context(serve_in_thread(speed="free"))
        provider = StaticPathProvider(StaticFilenameProvider("scan"), tmp_path)
        with init_devices():
            panda = HDFPanda(simulator.address, provider, name="panda")
            x = SimMotor(simulator.world.axes["x"], simulator.call, name="x")

        def disconnect() -> None:
            with suppress(PandaError):
                call_in_bluesky_event_loop(panda.disconnect())

        stack.callback(disconnect)
        yield simulator, panda, x
