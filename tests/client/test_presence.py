"""A peer that is silent is asked over another connection whether it is there at all."""

from __future__ import annotations

import asyncio

import pytest

from panda_ophyd import PandaClient, PandaConnectionError
from panda_ophyd.changes import ChangePoller
from panda_ophyd.client import answered, presence
from panda_ophyd.client.address import PandaAddress


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "SILENCE", 0.1)


async def late(value: str, seconds: float) -> str:
    await asyncio.sleep(seconds)
    return value


async def test_a_busy_peer_is_waited_for(simulator):
    address = PandaAddress.parse(simulator.address)
    assert await answered(late("here", 0.5), address) == "here"


async def test_a_peer_that_is_gone_is_not(simulator):
    address = PandaAddress.parse(simulator.address)
    await simulator.stop()
    with pytest.raises(PandaConnectionError, match=r"the PandA is not there any more: .*refused"):
        await asyncio.wait_for(answered(late("here", 60), address), 5)


async def test_what_the_answer_fails_with_is_raised(simulator):
    async def fails() -> str:
        raise ValueError("of mine")

    with pytest.raises(ValueError, match="of mine"):
        await answered(fails(), PandaAddress.parse(simulator.address))


async def test_giving_up_leaves_nothing_behind(simulator):
    address = PandaAddress.parse(simulator.address)
    waiting = asyncio.create_task(answered(late("here", 60), address))
    await asyncio.sleep(0.3)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_pulled_cable_is_noticed_long_before_the_time_out(simulator, monkeypatch):
    monkeypatch.setattr(presence, "PROBE_TIMEOUT", 0.3)
    async with PandaClient(simulator.address, timeout=60) as client:
        poller = ChangePoller(client)
        await poller.first()
        simulator.faults.inject("pull-cable", port="control", times=0)
        with pytest.raises(PandaConnectionError, match="the PandA is not there any more"):
            await asyncio.wait_for(poller.run(), 5)
        simulator.faults.clear()


async def test_a_connection_that_is_stuck_while_the_peer_is_there_has_its_time(simulator):
    async with PandaClient(simulator.address, timeout=1.0) as client:
        poller = ChangePoller(client)
        await poller.first()
        simulator.faults.inject("lost-reply", command="*CHANGES?")
        with pytest.raises(PandaConnectionError, match="what changed is not known") as caught:
            await asyncio.wait_for(poller.run(), 5)
        assert "stays open" not in str(caught.value)
