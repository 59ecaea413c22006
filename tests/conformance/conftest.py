"""The host that the driver is judged on: our simulator, or any PandA with ``--panda``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from panda_simulator import serve_in_thread


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of a PandA: the one given, else a simulator that gives samples of its own."""
    given: str | None = request.config.getoption("--panda")
    if given:
        yield given
        return
    with serve_in_thread(hardware="echo") as simulator:
        yield simulator.address
