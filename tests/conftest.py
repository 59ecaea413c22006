"""What every test may ask for: a simulated box, a place for files, a connected device."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ophyd_async.core import StaticFilenameProvider, StaticPathProvider

from panda_ophyd import HDFPanda
from panda_simulator import Simulator


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--panda",
        metavar="HOST[:CONTROL[:DATA]]",
        help="run tests/conformance on this PandA instead of on the simulator",
    )


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A standard box with ticking blocks and moving axes, on ports of its own."""
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
def path_provider(tmp_path: Path) -> StaticPathProvider:
    """Every file is ``scan.h5`` in the test's own directory."""
    return StaticPathProvider(StaticFilenameProvider("scan"), tmp_path)


@pytest.fixture
async def panda(simulator: Simulator, path_provider: StaticPathProvider) -> AsyncIterator[HDFPanda]:
    """A device connected to the simulated box."""
    panda = HDFPanda(simulator.address, path_provider, name="panda")
    await panda.connect()
    yield panda
    await panda.disconnect()
