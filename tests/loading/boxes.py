"""A session with a simulated box."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from panda_ophyd.client import PandaAddress
from panda_ophyd.session import PandaSession
from panda_simulator import Simulator


@contextlib.asynccontextmanager
async def connected(simulator: Simulator) -> AsyncGenerator[PandaSession]:
    session = PandaSession(PandaAddress.parse(simulator.address))
    await session.connect()
    try:
        yield session
    finally:
        await session.close()
