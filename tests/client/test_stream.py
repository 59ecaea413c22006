"""A data connection: every event arrives, in order, and its end is never silent."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from panda_ophyd.client import CaptureStream, PandaAddress, stream
from panda_ophyd.data import CapturedField, CaptureEnd, CaptureStart, DataEvent, Frame
from panda_ophyd.errors import CommandError, FieldValueError, PandaConnectionError, ProtocolError

HEADER = (
    b'<header>\n<data missed="0" process="Raw" format="Framed" sample_bytes="4" />\n<fields>\n'
    b'<field name="A.B" type="int32" capture="Value" scale="1" offset="0" units="" />\n'
    b"</fields>\n</header>\n\n"
)
START = CaptureStart(
    fields=(CapturedField("A.B", "int32", "Value", 1.0, 0.0, "", scaled=True),),
    sample_bytes=4,
    missed=0,
    process="Raw",
    format="Framed",
    arm_time=None,
    start_time=None,
    hw_time_offset_ns=None,
)


def framed(payload: bytes) -> bytes:
    return b"BIN " + (len(payload) + 8).to_bytes(4, "little") + payload


ACQUISITION = HEADER + framed(b"1234") + framed(b"") + framed(b"56789abc") + b"END 3 Ok\n"
EVENTS = [START, Frame(b"1234"), Frame(b""), Frame(b"56789abc"), CaptureEnd(3, "Ok")]


def sending(*pieces: bytes, stay: bool = True):
    """A session that accepts the options and sends these pieces."""

    async def session(peer) -> None:
        await peer.expect(b"XML FRAMED RAW\n")
        await peer.say(b"OK\n")
        for piece in pieces:
            await peer.say(piece)
            await asyncio.sleep(0)
        if stay:
            await peer.stay()

    return session


async def until_lost(events: CaptureStream) -> tuple[list[DataEvent], PandaConnectionError]:
    got: list[DataEvent] = []
    try:
        async for event in events:
            got.append(event)  # noqa: PERF401, these are wanted although an error follows
    except PandaConnectionError as error:
        return got, error
    pytest.fail("the iteration ended without an error")


async def take(events: CaptureStream, count: int) -> list[DataEvent]:
    return [await anext(events) for _ in range(count)]


async def test_acquisitions_follow_each_other_on_one_connection(serve) -> None:
    async with CaptureStream(await serve(sending(ACQUISITION * 3))) as events:
        assert await take(events, 15) == EVENTS * 3


async def test_an_acquisition_may_come_in_single_bytes(serve) -> None:
    pieces = [bytes([byte]) for byte in ACQUISITION]
    async with CaptureStream(await serve(sending(*pieces))) as events:
        assert await take(events, 5) == EVENTS


async def test_the_options_can_ask_for_scaled_samples(serve) -> None:
    async def session(peer) -> None:
        await peer.expect(b"XML FRAMED SCALED\n")
        await peer.say(b"OK\n" + ACQUISITION.replace(b"Raw", b"Scaled"))
        await peer.stay()

    async with CaptureStream(await serve(session), options="XML FRAMED SCALED") as events:
        start = await anext(events)
        assert isinstance(start, CaptureStart)
        assert start.process == "Scaled"


async def test_waiting_may_be_cancelled_without_losing_an_event(serve) -> None:
    go = asyncio.Event()

    async def session(peer) -> None:
        await sending(stay=False)(peer)
        await go.wait()
        await peer.say(ACQUISITION)
        await peer.stay()

    async with CaptureStream(await serve(session)) as events:
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go.set()
        assert await take(events, 5) == EVENTS


async def test_a_slow_consumer_holds_the_server_back_and_loses_nothing(
    serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "READ_AHEAD_BYTES", 2**20)
    size, count = 2**16, 1000  # far more than the bound and both kernel buffers hold
    said = 0
    paused = asyncio.Event()

    def data_received(wire, data: bytes) -> None:
        receive(wire, data)
        if not wire.transport.is_reading():
            paused.set()

    receive = stream._DataWire.data_received
    monkeypatch.setattr(stream._DataWire, "data_received", data_received)

    async def session(peer) -> None:
        nonlocal said
        await sending(HEADER, stay=False)(peer)
        for number in range(count):
            await peer.say(framed(number.to_bytes(4, "little") * (size // 4)))
            said += 1
        await peer.say(b"END %d Ok\n" % (size * count // 4))
        await peer.stay()

    async with CaptureStream(await serve(session)) as events:
        assert await anext(events) == START
        wire = events._wire
        assert wire is not None
        await paused.wait()
        assert wire._held < 2**20 + 2**19
        assert said < count
        for number in range(count):
            event = await anext(events)
            assert isinstance(event, Frame)
            assert event.payload == number.to_bytes(4, "little") * (size // 4)
            assert wire._held < 2**20 + 2**19
        assert await anext(events) == CaptureEnd(size * count // 4, "Ok")
        assert wire._held == 0


async def test_a_flood_of_empty_frames_is_bounded_too(
    serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "READ_AHEAD_BYTES", 2**20)
    pieces = [HEADER, *itertools.repeat(framed(b"") * 10_000, 20), b"END 0 Ok\n"]
    async with CaptureStream(await serve(sending(*pieces))) as events:
        assert await anext(events) == START
        got = await take(events, 200_000)
        assert got == [Frame(b"")] * 200_000
        assert await anext(events) == CaptureEnd(0, "Ok")


@pytest.mark.parametrize(
    ("wire", "count", "cause", "words"),
    [
        (b"", 0, EOFError, "the server closed it between acquisitions"),
        (ACQUISITION, 5, EOFError, "the server closed it between acquisitions"),
        (ACQUISITION[:30], 0, ProtocolError, "inside the header"),
        (HEADER, 1, ProtocolError, "inside an acquisition, after 0 frames with 0 samples"),
        (
            HEADER + framed(b"12345678") + framed(b"1234")[:-1],
            2,
            ProtocolError,
            "after 1 frames with 2 samples and 11 bytes of the next",
        ),
        (HEADER + framed(b"1234") + b"junk", 2, ProtocolError, "neither a frame nor END"),
    ],
)
async def test_an_end_comes_after_the_last_event_and_says_how_far_it_got(
    serve, wire: bytes, count: int, cause: type[Exception], words: str
) -> None:
    events = CaptureStream(await serve(sending(wire, stay=False)))
    await events.open()
    got, error = await until_lost(events)
    assert len(got) == count
    assert isinstance(error.__cause__, cause)
    assert str(error).startswith(f"{events.where}: connection lost: ")
    assert words in str(error)
    again, error = await until_lost(events)
    assert again == []
    assert words in str(error)
    await events.close()


async def test_a_reset_connection_names_its_cause(serve) -> None:
    async def session(peer) -> None:
        await sending(HEADER, stay=False)(peer)
        await asyncio.sleep(0)
        peer.reset()

    events = CaptureStream(await serve(session))
    await events.open()
    _, error = await until_lost(events)
    assert isinstance(error.__cause__, ConnectionResetError)
    await events.close()


async def test_closing_wakes_the_consumer_with_an_error(serve) -> None:
    events = CaptureStream(await serve(sending(ACQUISITION)))
    await events.open()
    await take(events, 5)
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    await events.close()
    with pytest.raises(PandaConnectionError, match=r"closed by this program"):
        await waiting
    await events.close()


async def test_a_stream_opens_once(serve) -> None:
    events = CaptureStream(await serve(sending()))
    with pytest.raises(PandaConnectionError, match=r"not open"):
        await anext(events)
    await events.open()
    with pytest.raises(PandaConnectionError, match=r"make a new one"):
        await events.open()
    await events.close()


async def test_options_of_another_grammar_are_refused_before_connecting() -> None:
    with pytest.raises(FieldValueError, match=r"cannot be 'ASCII'"):
        CaptureStream("panda", options="ASCII")


async def test_nobody_there_is_one_clear_line() -> None:
    with pytest.raises(PandaConnectionError, match=r"^127.0.0.1:1: connection refused; "):
        await CaptureStream(PandaAddress("127.0.0.1", data_port=1)).open()


async def refusing(peer) -> None:
    await peer.reader.readline()
    await peer.say(b"ERR Unknown command\n")


async def greeting(peer) -> None:
    await peer.say(b"220 ftp ready\r\n")
    await peer.stay()


async def hang_up(peer) -> None:
    await peer.reader.readline()


async def mute(peer) -> None:
    await peer.stay()


@pytest.mark.parametrize(
    ("session", "cause", "words"),
    [
        (refusing, CommandError, "XML FRAMED RAW refused by the PandA: Unknown command"),
        (greeting, ProtocolError, "220 ftp"),
        (hang_up, ProtocolError, "before 'XML FRAMED RAW' was accepted"),
        (mute, TimeoutError, "no answer to 'XML FRAMED RAW' within 0.3 s"),
    ],
)
async def test_a_wrong_peer_is_found_out_while_opening(
    serve, session, cause: type[Exception], words: str
) -> None:
    events = CaptureStream(await serve(session), timeout=0.3 if session is mute else 10)
    with pytest.raises(PandaConnectionError, match=words) as caught:
        await events.open()
    assert str(caught.value).startswith(f"{events.where}: ")
    assert "PandA's data port" in str(caught.value)
    assert isinstance(caught.value.__cause__, cause)
    await events.close()
