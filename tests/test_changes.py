"""Each change reaches its subscribers once, pulses included, as soon as somebody waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.changes import Change, ChangeError, ChangePoller, parse_line
from panda_ophyd.client import PandaAddress, PandaClient
from panda_ophyd.errors import CommandError, PandaConnectionError

NEVER = 3600.0
"""Seconds: a period that no test lives to see."""


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        ("TTLIN1.VAL=0", ("TTLIN1.VAL", "0", False)),
        ("TTLIN1.VAL=", ("TTLIN1.VAL", "", False)),
        ("PULSE1.DELAY.UNITS=s", ("PULSE1.DELAY.UNITS", "s", False)),
        ("SEQ1.TABLE<", ("SEQ1.TABLE", None, False)),
        ("SYSTEM.TEMP (error)", ("SYSTEM.TEMP", None, True)),
        ("INENC1.VAL.UNITS=x<", ("INENC1.VAL.UNITS", "x<", False)),
        ("INENC1.VAL.UNITS=x (error)", ("INENC1.VAL.UNITS", "x (error)", False)),
        ("LUT1.FUNC=A=B", ("LUT1.FUNC", "A=B", False)),
        ("*METADATA.DESIGN=a\rb", ("*METADATA.DESIGN", "a\rb", False)),
        ("*METADATA.LAYOUT<", ("*METADATA.LAYOUT", None, False)),
        ("", None),
        ("=1", None),
        ("TTLIN1.VAL", None),
        ("TTLIN1.VAL 0", None),
        ("TTLIN1.VAL (error) ", None),
        ("SEQ1.TABLE<1", None),
        ("TTLÎN1.VAL=0", None),
    ],
)
def test_a_line_is_read_by_its_first_delimiter(line, parsed):
    assert parse_line(line) == parsed


@given(st.text())
def test_any_value_is_read_whole(text):
    assert parse_line(f"LUT1.FUNC={text}") == ("LUT1.FUNC", text, False)


@given(st.text())
def test_garbage_is_read_or_refused_but_never_raises(line):
    parsed = parse_line(line)
    assert parsed is None or line.startswith(parsed[0])


class ScriptedClient:
    """A client whose `*CHANGES?` replies are a list, then empty; each poll is announced."""

    address = PandaAddress("127.0.0.1")
    where = "127.0.0.1:8888"

    def __init__(self, *replies):
        self.replies = list(replies)
        self.polls: asyncio.Queue[int] = asyncio.Queue()
        self.count = 0

    async def query_lines(self, target):
        assert target == "*CHANGES"
        await asyncio.sleep(0)
        self.count += 1
        self.polls.put_nowait(self.count)
        reply = self.replies.pop(0) if self.replies else ()
        if isinstance(reply, Exception):
            raise reply
        return tuple(reply)

    async def polled(self, times=1):
        for _ in range(times):
            await self.polls.get()


def slow(client, **periods):
    never = {"normal_period": NEVER, "fast_period": NEVER, "idle_period": NEVER}
    return ChangePoller(client, **(never | periods))


@asynccontextmanager
async def running(poller):
    task = asyncio.create_task(poller.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_the_first_poll_gives_everything_but_the_content_of_tables():
    client = ScriptedClient(["A.X=1", "SEQ1.TABLE<", "A.Y (error)", "A.Z="])
    poller = slow(client)
    first = await poller.first()
    assert first == {"A.X": "1", "A.Y": ChangeError("A.Y"), "A.Z": ""}
    assert dict(poller.values) == first


async def test_subscribers_get_the_changes_of_their_target_only():
    client = ScriptedClient(["A.X=1", "A.Y=1"], ["A.X=2", "SEQ1.TABLE<", "A.Y (error)"])
    poller = slow(client)
    got: list[Change] = []
    for target in ("A.X", "A.Y", "SEQ1.TABLE"):
        poller.subscribe(target, got.append)
    before = time.time()
    await poller.first()
    await poller.first()
    assert [(change.target, change.text, change.error, change.repeated) for change in got] == [
        ("A.X", "1", False, False),
        ("A.Y", "1", False, False),
        ("A.X", "2", False, False),
        ("SEQ1.TABLE", None, False, False),
        ("A.Y", None, True, False),
    ]
    assert all(before <= change.timestamp <= time.time() for change in got)


async def test_what_is_listed_again_with_the_same_text_is_repeated():
    client = ScriptedClient(["A.X=0", "T<"], ["A.X=0", "T<"], ["A.X=1"], ["A.X=0"], ["A.X (error)"])
    poller = slow(client)
    got: list[Change] = []
    poller.subscribe("A.X", got.append)
    poller.subscribe("T", got.append)
    for _ in range(5):
        await poller.first()
    assert [(change.target, change.repeated) for change in got] == [
        ("A.X", False),
        ("T", False),
        ("A.X", True),
        ("T", False),
        ("A.X", False),
        ("A.X", False),
        ("A.X", False),
    ]


async def test_values_are_all_noted_before_anybody_is_told():
    poller = slow(ScriptedClient(["A.X=1", "A.X.UNITS=ms"]))
    seen: list[object] = []
    poller.subscribe("A.X", lambda _: seen.append(poller.values["A.X.UNITS"]))
    await poller.first()
    assert seen == ["ms"]


async def test_several_subscribers_of_one_target_are_all_told_until_they_leave():
    client = ScriptedClient(["A.X=1"], ["A.X=2"], ["A.X=3"])
    poller = slow(client)
    first: list[str | None] = []
    second: list[str | None] = []
    leave_first = poller.subscribe("A.X", lambda change: first.append(change.text))
    leave_second = poller.subscribe("A.X", lambda change: second.append(change.text))
    await poller.first()
    leave_first()
    leave_first()
    await poller.first()
    leave_second()
    await poller.first()
    leave_first()
    assert (first, second) == (["1"], ["1", "2"])
    assert poller.values["A.X"] == "3"


async def test_a_subscriber_may_leave_while_it_is_told():
    poller = slow(ScriptedClient(["A.X=1"], ["A.X=2"]))
    got: list[Change] = []

    def once(change):
        got.append(change)
        leave()

    leave = poller.subscribe("A.X", once)
    await poller.first()
    await poller.first()
    assert len(got) == 1


async def test_a_subscriber_that_fails_does_not_keep_others_from_being_told():
    poller = slow(ScriptedClient(["A.X=1"]))
    failures: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    got: list[Change] = []

    def fail(_):
        raise ZeroDivisionError

    poller.subscribe("A.X", fail)
    poller.subscribe("A.X", got.append)
    await poller.first()
    assert len(got) == 1
    [failure] = failures
    assert failure["message"] == "A subscriber to A.X failed"
    assert isinstance(failure["exception"], ZeroDivisionError)


async def test_a_line_that_means_nothing_is_skipped_with_one_warning(caplog):
    poller = slow(ScriptedClient(["rubbish here", "A.X=1"], ["rubbish here", "A.X=2"]))
    await poller.first()
    await poller.first()
    assert poller.values["A.X"] == "2"
    [warning] = caplog.records
    assert warning.levelno == logging.WARNING
    assert "rubbish here" in warning.getMessage()


async def test_the_loop_polls_at_once_and_then_after_each_period():
    client = ScriptedClient()
    async with running(slow(client, idle_period=0.001)):
        await client.polled(4)


async def test_a_new_subscription_wakes_an_idle_loop_at_once():
    client = ScriptedClient([], ["A.X=1"])
    poller = slow(client, fast_period=0.0)
    got: asyncio.Queue[Change] = asyncio.Queue()
    async with running(poller):
        await client.polled()
        poller.subscribe("A.X", got.put_nowait)
        assert (await got.get()).text == "1"


async def test_subscribers_are_served_at_the_normal_period():
    client = ScriptedClient()
    poller = slow(client, normal_period=0.001)
    poller.subscribe("A.X", lambda _: None)
    async with running(poller):
        await client.polled(4)


async def test_who_expects_a_value_has_it_polled_for_at_once_and_fast():
    client = ScriptedClient()
    poller = slow(client, fast_period=0.001)
    poller.subscribe("A.X", lambda _: None)
    async with running(poller):
        await client.polled()
        poller.expect(NEVER)
        await client.polled(4)


async def test_a_shorter_expectation_does_not_end_a_longer_one():
    client = ScriptedClient()
    poller = slow(client, fast_period=0.001)
    poller.expect(NEVER)
    poller.expect(0.0)
    async with running(poller):
        await client.polled(4)


async def test_an_expectation_ends():
    client = ScriptedClient()
    poller = slow(client, fast_period=0.001, normal_period=0.001)
    poller.expect(0.0)
    assert poller._period() == NEVER
    poller.subscribe("A.X", lambda _: None)
    assert poller._period() == 0.001


async def test_the_loop_ends_with_what_ended_the_connection():
    lost = PandaConnectionError("127.0.0.1:8888: closed by the peer")
    with pytest.raises(PandaConnectionError, match="closed by the peer"):
        await slow(ScriptedClient([], lost), idle_period=0.0).run()


class ChangesServer:
    """A control port with one set of changes after another; hangs up after the last."""

    def __init__(self, *replies):
        self.replies = list(replies)

    async def serve(self, reader, writer):
        try:
            while line := await reader.readline():
                if line == b"*IDN?\n":
                    reply = "OK =PandA SW: 4.1 FPGA: 0.0.0 00000000 00000000 rootfs: Test\n"
                elif not self.replies:
                    return
                else:
                    reply = self.replies.pop(0)
                writer.write(reply.encode())
        finally:
            writer.close()

    @asynccontextmanager
    async def client(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            async with PandaClient(f"127.0.0.1:{port}") as client:
                yield client
        finally:
            server.close()
            await server.wait_closed()


async def test_over_a_connection_each_poll_is_one_round_trip_until_it_is_lost():
    server = ChangesServer("!A.X=0\n.\n", "!A.X=0\n.\n", "!A.X=1\n!T<\n.\n")
    async with server.client() as client:
        poller = ChangePoller(client, normal_period=0.0)
        got: list[tuple[str | None, bool]] = []
        poller.subscribe("A.X", lambda change: got.append((change.text, change.repeated)))
        before = client.round_trips
        assert await poller.first() == {"A.X": "0"}
        with pytest.raises(PandaConnectionError):
            await poller.run()
        assert client.round_trips - before == 4
    assert got == [("0", False), ("0", True), ("1", False)]


async def test_a_server_that_refuses_is_an_error():
    async with ChangesServer("ERR Unknown command\n").client() as client:
        with pytest.raises(CommandError, match="Unknown command"):
            await ChangePoller(client).first()
