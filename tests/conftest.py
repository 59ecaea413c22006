"""What every test may ask for: a simulated box, a place for files, a connected device."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import settings
from ophyd_async.core import StaticFilenameProvider, StaticPathProvider

from panda_ophyd import HDFPanda
from panda_simulator import Simulator

# a test says what happens, never how fast: a busy machine is no reason to fail
settings.register_profile("panda", deadline=None)
settings.load_profile("panda")


def pytest_addoption(parser: pytest.Parser) -> None:
    place = "HOST[:CONTROL[:DATA]]"
    option = parser.getgroup("conformance", "conformance with the PandA protocols").addoption
    option(
        "--panda",
        metavar=place,
        help="run tests/conformance on this PandA instead of on the simulator",
    )
    option("--arms", action="store_true", help="arm the PandA of --panda")
    option(
        "--scratch",
        action="store_true",
        help="do to the PandA of --panda also what cannot be put back",
    )
    option(
        "--hardware",
        action="append",
        choices=["blocks", "echo"],
        help="of the simulator, if no PandA is given (default: where it matters both)",
    )
    option("--box-config", metavar="DIR", help="files of the box that the simulator serves")
    option("--reference", metavar=place, help="compare random commands with this PandA's")
    option("--commands", type=int, default=400, metavar="N", help="random commands (%(default)s)")
    option("--seed", type=int, default=0, metavar="S", help="of the random commands")
    option("--except", metavar="REGEX", help="blocks that random commands leave alone")
    option("--captures", type=int, default=5, metavar="N", help="compared with it (%(default)s)")
    option("--transcript", metavar="FILE", help="replay exchanges, and report differences")


Until = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture
def until() -> Until:
    """Wait for something that nobody announces, for 5 s at most."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110  what is waited for sets no event
                await asyncio.sleep(0.01)

    return wait


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
