"""One connected box: both connections live and die together."""

from __future__ import annotations

import asyncio

import pytest

from panda_ophyd import CommandError, PandaConnectionError
from panda_ophyd.client import PandaAddress
from panda_ophyd.control import Assign, Query
from panda_ophyd.session import PandaSession


@pytest.fixture
async def session(simulator):
    session = PandaSession(PandaAddress.parse(simulator.address))
    await session.connect()
    yield session
    await session.close()


async def test_it_knows_the_box_and_every_reported_value(session):
    assert len(session.box.blocks) == 24
    assert session.latest("PULSE1.DELAY") == "0"
    assert session.latest("NOPE.X") is None


async def test_a_refused_write_is_an_error_that_names_it(session):
    with pytest.raises(CommandError, match=r"PULSE1\.DELAY=x"):
        await session.write(Assign("PULSE1.DELAY", "x"))


async def test_the_loss_of_either_connection_is_the_end_of_both(session):
    told: list[Exception] = []
    session.on_loss(told.append)
    session._change_client.abandon(EOFError("the server closed it"))
    session._fail(EOFError("the server closed it"))
    assert len(told) == 1
    with pytest.raises(PandaConnectionError, match="the server closed it"):
        await session.client.request(Query("*IDN"))


async def test_a_listener_that_raises_does_not_keep_the_news_from_the_others(session):
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    told: list[Exception] = []

    def raising(_: Exception) -> None:
        raise RuntimeError("mine")

    session.on_loss(raising)
    session.on_loss(told.append)
    session._fail(EOFError("gone"))
    assert len(told) == 1


async def test_what_ends_a_listener_may_be_called_after_the_loss(session):
    forget = session.on_loss(lambda _: None)
    session._fail(EOFError("gone"))
    forget()


async def test_a_failed_connect_leaves_no_connection_behind(simulator):
    address = PandaAddress.parse(simulator.address)
    async with asyncio.timeout(5):
        await simulator.stop()
    session = PandaSession(address)
    with pytest.raises(PandaConnectionError):
        await session.connect()
    assert not session.client.connected


async def test_closing_tells_whoever_waits(session):
    told: list[Exception] = []
    session.on_loss(told.append)
    await session.close()
    await session.close()
    assert "closed by this program" in str(told[0])
