"""The hosts that the suite judges: our simulator, or any PandA with ``--panda``.

On a PandA that is given everything is left as found, and it is armed only with ``--arms``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from panda_simulator import serve_in_thread

from .keeper import Keeper, differences, settings
from .rig import Rig
from .survey import Survey
from .wire import Address, Control, Data

REPORTS = pytest.StashKey[list[str]]()
"""Lines that tests want to be printed at the end."""
BOTH = ("test_capture", "test_changes", "test_data_port", "test_data_clients", "test_random")
"""Modules for which it matters what is behind the registers."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "host_kind" in metafunc.fixturenames:
        config = metafunc.config
        given = config.getoption("--panda")
        usual = ["blocks", "echo"] if metafunc.definition.path.stem in BOTH else ["blocks"]
        kinds = [given] if given else (config.getoption("--hardware") or usual)
        metafunc.parametrize("host_kind", kinds, scope="session")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in terminalreporter.config.stash.get(REPORTS, []):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def address(host_kind: str, request: pytest.FixtureRequest) -> Iterator[Address]:
    """Ports of the box under test."""
    given: str | None = request.config.getoption("--panda")
    if given:
        yield Address.parse(given)
        return
    directory: str | None = request.config.getoption("--box-config")
    with serve_in_thread(
        hardware="echo" if host_kind == "echo" else "blocks",
        config_dir=Path(directory) if directory else None,
    ) as simulator:
        yield Address.parse(simulator.address)


@pytest.fixture(scope="session")
def box(address: Address, request: pytest.FixtureRequest) -> Iterator[Survey]:
    """What the box under test has; afterwards it must be set as before."""
    given = request.config.getoption("--panda")
    scratch = bool(request.config.getoption("--scratch"))
    survey = Survey(address, ours=scratch or not given, simulated=not given)
    before = settings(survey)
    yield survey
    changed = list(differences(before, settings(survey)))
    assert not changed, "not left as found:\n" + "\n".join(changed)


@pytest.fixture
def connect(address: Address) -> Iterator[Callable[[], Control]]:
    """Open control connections."""
    opened: list[Control] = []

    def connect() -> Control:
        opened.append(Control(address))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def control(box: Survey, connect: Callable[[], Control]) -> Control:
    """Return a fresh control connection."""
    return connect()


@pytest.fixture
def keep(box: Survey) -> Iterator[Keeper]:
    """Remember what a test touches, and put it back."""
    keeper = Keeper(box)
    yield keeper
    keeper.put_back()


@pytest.fixture
def open_data(address: Address) -> Iterator[Callable[..., Data]]:
    """Open data connections."""
    opened: list[Data] = []

    def open_data(options: str | None = None) -> Data:
        opened.append(Data(address, options))
        return opened[-1]

    yield open_data
    for connection in opened:
        connection.close()


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the driver is judged: the PandA given, else a simulator with samples of its own."""
    given: str | None = request.config.getoption("--panda")
    if given:
        yield given
        return
    with serve_in_thread(hardware="echo") as simulator:
        yield simulator.address


@pytest.fixture
def rig(box: Survey, keep: Keeper, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Return what arms the box, if it may be armed."""
    config = request.config
    if config.getoption("--panda") and not config.getoption("--arms"):
        pytest.skip("arms the box (--arms allows it)")
    rig = Rig(box, keep)
    yield rig
    rig.close()
