"""Who gives up loses only his own answer; and when the connection dies, everybody knows why."""

from __future__ import annotations

import asyncio

import pytest

from panda_ophyd.client import PandaClient
from panda_ophyd.control import AssignTable, Query
from panda_ophyd.errors import PandaConnectionError, PandaTimeoutError, ProtocolError


def unanswered(*, then):
    """A session that reads three requests, answers none and does something else."""

    async def session(peer) -> None:
        await peer.identify()
        for _ in range(3):
            await peer.reader.readline()
        await then(peer)

    return session


# Giving up


@pytest.mark.parametrize("batch", [1, 3])
async def test_the_reply_after_a_cancel_is_eaten(serve, batch: int) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def session(peer) -> None:
        await peer.identify()
        for _ in range(batch):
            await peer.reader.readline()
        asked.set()
        await peer.say(b"OK =late\n" * (batch - 1))
        await answer.wait()
        await peer.say(b"OK =late\n")
        await peer.reader.readline()
        await peer.say(b"OK =mine\n")
        await peer.stay()

    async with PandaClient(await serve(session)) as client:
        waiting = asyncio.create_task(client.request_all([Query("A")] * batch))
        await asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        answer.set()
        assert await client.query("B") == "mine"


async def test_the_reply_after_a_timeout_is_eaten_and_the_connection_lives_on(serve) -> None:
    answer = asyncio.Event()

    async def session(peer) -> None:
        await peer.identify()
        await peer.reader.readline()
        await answer.wait()
        await peer.say(b"OK =late\n")
        await peer.echo()
        await peer.reader.readline()
        await peer.say(b"OK =mine\n")
        await peer.stay()

    async with PandaClient(await serve(session)) as client:
        with pytest.raises(PandaTimeoutError, match=r"A\? not answered within 0.01 s") as caught:
            await client.request(Query("A"), timeout=0.01)
        assert f":{client.address.control_port}" in str(caught.value)
        assert client.connected
        answer.set()
        assert await client.query("B") == "mine"


async def test_a_reply_that_never_comes_is_not_waited_for_by_those_after_it(serve) -> None:
    async def session(peer) -> None:
        await peer.identify()
        await peer.reader.readline()
        await peer.reader.readline()
        await peer.echo()
        await peer.say(b"OK =other\n")
        await peer.say(b"OK =mine\n")
        await peer.stay()

    async with PandaClient(await serve(session)) as client:
        impatient = asyncio.create_task(client.request(Query("A"), timeout=0.01))
        patient = asyncio.create_task(client.query("B"))
        with pytest.raises(PandaTimeoutError, match=r"A\? not answered"):
            await impatient
        last = [asyncio.create_task(client.query(name)) for name in "CD"]
        with pytest.raises(PandaTimeoutError, match=r"the reply to B\? is lost, as a later one"):
            await patient
        assert [await task for task in last] == ["other", "mine"]


# Dying


async def close(peer) -> None:
    """End of file: what a server does that is stopped."""


async def half_a_reply(peer) -> None:
    await peer.say(b"!one\n!tw")


async def half_a_reply_and_reset(peer) -> None:
    await peer.say(b"OK =1")
    peer.reset()


async def nonsense(peer) -> None:
    await peer.say(b"what?\n")
    await peer.stay()


async def wrong_shape(peer) -> None:
    await peer.say(b"OK\n")
    await peer.stay()


@pytest.mark.parametrize(
    ("end", "cause", "words"),
    [
        (close, EOFError, "the server closed it"),
        (half_a_reply, ProtocolError, "inside a reply"),
        (half_a_reply_and_reset, (ConnectionResetError, ProtocolError), ""),
        (nonsense, ProtocolError, "what?"),
        (wrong_shape, ProtocolError, "cannot be the answer to A0?"),
    ],
)
async def test_whatever_ends_the_connection_fails_every_waiter_with_the_first_cause(
    serve, end, cause: type[Exception], words: str
) -> None:
    lost: list[Exception] = []
    client = PandaClient(await serve(unanswered(then=end)), on_lost=lost.append)
    await client.connect()
    results = await asyncio.gather(
        *(client.query(f"A{i}") for i in range(3)), return_exceptions=True
    )
    assert len(results) == 3
    for i, error in enumerate(results):
        assert isinstance(error, PandaConnectionError)
        assert isinstance(error.__cause__, cause)
        assert f"A{i}? has no answer: {client.where}: connection lost: " in str(error)
        assert words in str(error)
        assert "\n" not in str(error)
    assert not client.connected
    assert lost == [client.lost]

    with pytest.raises(PandaConnectionError, match=r"B\? has no answer.*connection lost") as later:
        await client.query("B")
    assert isinstance(later.value.__cause__, cause)
    await client.close()
    assert len(lost) == 1


async def test_an_end_is_noticed_at_once_when_nobody_waits(serve) -> None:
    connected = asyncio.Event()

    async def session(peer) -> None:
        await peer.identify()
        await connected.wait()

    lost: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    client = PandaClient(await serve(session), on_lost=lost.set_result)
    await client.connect()
    connected.set()
    error = await lost
    assert error is client.lost
    assert isinstance(error, PandaConnectionError)
    await client.close()


@pytest.mark.parametrize("words", [b"OK =unasked\n", b"Welcome\n"])
async def test_an_answer_without_a_question_ends_the_connection(serve, words: bytes) -> None:
    connected = asyncio.Event()

    async def session(peer) -> None:
        await peer.identify()
        await connected.wait()
        await peer.say(words)
        await peer.stay()

    lost: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    client = PandaClient(await serve(session), on_lost=lost.set_result)
    await client.connect()
    connected.set()
    assert isinstance((await lost).__cause__, ProtocolError)
    await client.close()


async def test_a_connection_that_dies_while_connecting_never_counts_as_connected(serve) -> None:
    async def session(peer) -> None:
        await peer.expect(b"*IDN?\n")
        await peer.say(b"OK =PandA SW: 4.1 FPGA: 0.0.0\nWelcome\n")
        await peer.stay()

    lost: list[Exception] = []
    client = PandaClient(await serve(session), on_lost=lost.append)
    with pytest.raises(PandaConnectionError, match=r"Welcome"):
        await client.connect()
    assert not client.connected
    assert lost == []


async def test_replies_before_an_offence_reach_their_callers(serve) -> None:
    client = PandaClient(await serve(unanswered(then=lambda peer: peer.say(b"OK =1\nOK =2\nX\n"))))
    await client.connect()
    one, two, three = await asyncio.gather(
        *(client.query(f"A{i}") for i in range(3)), return_exceptions=True
    )
    assert (one, two) == ("1", "2")
    assert isinstance(three, PandaConnectionError)
    await client.close()


async def test_a_loss_wakes_callers_that_wait_to_write(serve) -> None:
    async def session(peer) -> None:
        await peer.identify()
        await peer.reader.readline()
        peer.reset()

    client = PandaClient(await serve(session))
    await client.connect()
    table = AssignTable("T", ("x" * 1000,) * 8000)
    results = await asyncio.gather(
        *(client.request(table) for _ in range(3)), return_exceptions=True
    )
    assert [type(error) for error in results] == [PandaConnectionError] * 3
    await client.close()


async def test_closing_fails_pending_requests_and_is_no_loss(serve) -> None:
    asked = asyncio.Event()

    async def session(peer) -> None:
        await peer.identify()
        await peer.reader.readline()
        asked.set()
        await peer.stay()

    lost: list[Exception] = []
    client = PandaClient(await serve(session), on_lost=lost.append)
    await client.connect()
    pending = asyncio.create_task(client.query("A"))
    await asked.wait()
    await client.close()
    with pytest.raises(PandaConnectionError, match=r"closed by this program"):
        await pending
    with pytest.raises(PandaConnectionError, match=r"closed by this program"):
        await client.query("B")
    await client.close()
    assert lost == []
