"""A control connection: who asked gets the answer, and a wrong peer is found out at once."""

from __future__ import annotations

import asyncio
import socket

import pytest

from panda_ophyd.client import PandaAddress, PandaClient
from panda_ophyd.client.wire import dial
from panda_ophyd.control import Assign, AssignTable, Err, Lines, Ok, Query
from panda_ophyd.errors import (
    CommandError,
    FieldValueError,
    PandaConnectionError,
    PandaTimeoutError,
)


async def echo(peer) -> None:
    """Answer every `*ECHO x?` with x, and count nothing."""
    await peer.identify()
    while data := await peer.reader.read(65536):
        if not data.endswith(b"\n"):
            data += await peer.reader.readline()
        lines = data.split(b"\n")[:-1]
        await peer.say(b"".join(b"OK =%b\n" % line[6:-1] for line in lines))


def answering(*answers: bytes):
    """A session that answers one line of anything with each of these."""

    async def session(peer) -> None:
        await peer.identify()
        for answer in answers:
            await peer.reader.readline()
            await peer.say(answer)
        await peer.stay()

    return session


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


# Asking


async def test_connecting_tells_who_is_there(serve) -> None:
    client = PandaClient(await serve(answering()))
    assert not client.connected
    await client.connect()
    assert client.connected
    assert client.identity.startswith("PandA SW: 4.1 FPGA: 4.1.7 ")
    assert client.round_trips == 1
    await client.close()
    assert not client.connected


async def test_every_verb_returns_what_the_server_said(serve) -> None:
    answers = (b"OK =1\n", b"!a\n!b\n.\n", b"OK\n", b"OK =\n")
    async with PandaClient(await serve(answering(*answers))) as client:
        assert await client.query("A") == "1"
        assert await client.query_lines("A") == ("a", "b")
        await client.assign("A", "1")
        assert await client.request(Query("A")) == Ok("")


async def test_a_table_is_sent_in_one_piece(serve) -> None:
    async def session(peer) -> None:
        await peer.identify()
        await peer.expect(b"SEQ1.TABLE<B\nAQAAAA==\n\n")
        await peer.say(b"OK\n")
        await peer.expect(b"*METADATA.L<\n\n")
        await peer.say(b"OK\n")
        await peer.stay()

    async with PandaClient(await serve(session)) as client:
        await client.assign_table("SEQ1.TABLE", ["AQAAAA=="], "B")
        await client.assign_table("*METADATA.L", [])


async def test_err_is_returned_by_request_and_raised_by_the_verbs(serve) -> None:
    no = b"ERR No such field\n"
    async with PandaClient(await serve(answering(*[no] * 5))) as client:
        assert await client.request(Query("A.B")) == Err("No such field")
        for verb, line in [
            (client.query("A.B"), "A.B?"),
            (client.query_lines("A.B"), "A.B?"),
            (client.assign("A.B", "1"), "A.B=1"),
            (client.assign_table("A.B", ["1"]), "A.B<"),
        ]:
            with pytest.raises(CommandError) as caught:
                await verb
            assert (caught.value.request, caught.value.message) == (line, "No such field")


async def test_one_value_where_lines_were_expected_is_an_error_and_the_other_way(serve) -> None:
    async with PandaClient(await serve(answering(b".\n", b"OK =1\n", b"OK =2\n"))) as client:
        with pytest.raises(CommandError, match=r"with lines, not with one value"):
            await client.query("A")
        with pytest.raises(CommandError, match=r"with one value, not with lines"):
            await client.query_lines("A")
        assert await client.query("A") == "2"


async def test_many_requests_are_one_write_and_one_round_trip(serve) -> None:
    async def session(peer) -> None:
        await peer.identify()
        await peer.expect(b"A?\nB=1\nC<\n1\n\nD?\n")
        await peer.say(b"OK =1\nERR no\nOK\n!x\n.\n")
        await peer.stay()

    async with PandaClient(await serve(session)) as client:
        before = client.round_trips
        replies = await client.request_all(
            [Query("A"), Assign("B", "1"), AssignTable("C", ("1",)), Query("D")]
        )
        assert replies == [Ok("1"), Err("no"), Ok(None), Lines(("x",))]
        assert client.round_trips == before + 1
        assert await client.request_all([]) == []
        assert client.round_trips == before + 1


async def test_twenty_thousand_pipelined_requests_are_answered_in_order(serve) -> None:
    async with PandaClient(await serve(echo)) as client:
        replies = await client.request_all([Query(f"*ECHO {i}") for i in range(20_000)])
    assert replies == [Ok(str(i)) for i in range(20_000)]


async def test_concurrent_callers_each_get_their_own_answer(serve) -> None:
    async with PandaClient(await serve(echo)) as client:
        names = [f"{task} {i}" for i in range(20) for task in range(50)]
        answers = await asyncio.gather(*(client.query(f"*ECHO {name}") for name in names))
    assert answers == names


async def test_a_big_reply_arrives_whole_however_the_network_cuts_it(serve) -> None:
    lines = [f"BLOCK{i}.FIELD=µ{i}" for i in range(60)]
    wire = "".join(f"!{line}\n" for line in lines).encode() + b".\n"

    async def session(peer) -> None:
        await peer.identify()
        await peer.reader.readline()
        for byte in wire:
            await peer.say(bytes([byte]))
            await asyncio.sleep(0)
        await peer.stay()

    async with PandaClient(await serve(session)) as client:
        assert list(await client.query_lines("*CHANGES")) == lines


async def test_callers_wait_while_the_server_takes_no_more_bytes(serve) -> None:
    reading = asyncio.Event()

    async def session(peer) -> None:
        await peer.identify()
        await reading.wait()
        for _ in range(6):
            while await peer.reader.readline() != b"\n":
                pass
            await peer.say(b"OK\n")
        await peer.stay()

    lines = ["x" * 1000] * 4000
    async with PandaClient(await serve(session)) as client:
        writes = [asyncio.create_task(client.assign_table(f"T{i}", lines)) for i in range(6)]
        await asyncio.sleep(0)
        held = client.round_trips
        assert held < 1 + len(writes)  # the rest have not even been written
        reading.set()
        await asyncio.gather(*writes)
        assert client.round_trips == 1 + len(writes)


async def test_a_request_that_cannot_be_sent_leaves_nothing_behind(serve) -> None:
    async with PandaClient(await serve(echo)) as client:
        with pytest.raises(FieldValueError, match=r"1022"):
            await client.request_all([Query("*ECHO a"), Assign("A", "x" * 1022)])
        assert await client.query("*ECHO b") == "b"


async def test_every_request_has_the_clients_timeout_by_default(serve) -> None:
    async with PandaClient(await serve(answering())) as client:
        client._timeout = 0.01  # only now: a busy machine may take longer to connect
        with pytest.raises(PandaTimeoutError, match=r"A=1 and 1 more not answered within 0.01 s"):
            await client.request_all([Assign("A", "1"), Query("B")])


# Connecting


async def test_a_client_connects_once(serve) -> None:
    client = PandaClient(await serve(answering()))
    with pytest.raises(PandaConnectionError, match=r"not connected"):
        await client.query("A")
    await client.connect()
    with pytest.raises(PandaConnectionError, match=r"make a new one"):
        await client.connect()
    await client.close()
    with pytest.raises(PandaConnectionError, match=r"make a new one"):
        await client.connect()


async def test_a_refused_connection_is_one_clear_line() -> None:
    port = free_port()
    with pytest.raises(PandaConnectionError) as caught:
        await PandaClient(PandaAddress("127.0.0.1", port)).connect()
    assert str(caught.value) == (
        f"127.0.0.1:{port}: connection refused; is the PandA's TCP server running,"
        " and is this its port?"
    )


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "unknown host .Name or service not"),
        (OSError(113, "No route to host"), "cannot connect .*No route to host"),
        (TimeoutError(110, "Connection timed out"), "no answer within 1 s; is the PandA on"),
        (UnicodeError("label too long"), "this cannot be a host name"),
    ],
)
async def test_each_failure_to_connect_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, words: str
) -> None:
    async def fail(*args, **kwargs):
        raise raised

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", fail)
    with pytest.raises(PandaConnectionError, match=rf"^panda:8888: {words}") as caught:
        await PandaClient("panda", timeout=1).connect()
    assert caught.value.__cause__ is raised


async def test_a_box_that_does_not_answer_at_all_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        asyncio.get_running_loop(), "create_connection", lambda *a, **k: asyncio.Event().wait()
    )
    with pytest.raises(PandaConnectionError, match=r"^panda:8888: no answer within 0.01 s"):
        await PandaClient("panda", timeout=0.01).connect()


async def banner(peer) -> None:
    await peer.say(b"SSH-2.0-OpenSSH_9.2\r\n")
    await peer.stay()


async def website(peer) -> None:
    await peer.reader.readline()
    await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def data_port(peer) -> None:
    await peer.reader.readline()
    await peer.say(b"ERR No name found\n")


async def hang_up(peer) -> None:
    await peer.reader.readline()


async def mute(peer) -> None:
    await peer.stay()


async def other_box(peer) -> None:
    await peer.reader.readline()
    await peer.say(b"OK =Zebra\n")
    await peer.stay()


@pytest.mark.parametrize(
    ("session", "words"),
    [
        (banner, "does not behave as a PandA's control port: .*SSH-2.0"),
        (website, "does not behave as a PandA's control port: .*HTTP/1.1 400"),
        (hang_up, "does not behave as a PandA's control port: the server closed it"),
        (data_port, "is no PandA's control port .*No name found"),
        (other_box, "is no PandA's control port .*Zebra"),
        (mute, "no answer to .IDN. within 0.3 s; is this a PandA's control port"),
    ],
)
async def test_a_wrong_peer_is_found_out_while_connecting(serve, session, words: str) -> None:
    lost: list[Exception] = []
    address = await serve(session)
    client = PandaClient(address, timeout=0.3 if session is mute else 10, on_lost=lost.append)
    with pytest.raises(PandaConnectionError, match=words) as caught:
        await client.connect()
    assert str(caught.value).startswith(f"127.0.0.1:{address.control_port}: ")
    assert "\n" not in str(caught.value)
    assert not client.connected
    assert lost == []
    await client.close()


async def test_a_cancelled_connect_leaves_no_socket_behind(serve) -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def session(peer) -> None:
        await peer.reader.readline()
        arrived.set()
        await peer.stay()
        gone.set()

    connecting = asyncio.create_task(PandaClient(await serve(session)).connect())
    await arrived.wait()
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await gone.wait()


async def test_the_kernel_is_asked_to_send_at_once_and_to_notice_dead_peers(serve) -> None:
    from panda_ophyd.client.control_wire import ControlWire

    address = await serve(mute)
    wire = await dial(lambda: ControlWire("x"), address.host, address.control_port, 1)
    connection = wire.transport.get_extra_info("socket")
    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await wire.close()
