"""A data connection: all that is sent arrives, in order, and its end is never silent."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from panda_ophyd.client import CaptureStream, PandaAddress
from panda_ophyd.data import CapturedField, CaptureEnd, CaptureStart, Payload
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
EVENTS = [START, b"123456789abc", CaptureEnd(3, "Ok")]
"""The samples of an acquisition as one, for how they come in pieces is the network's affair."""

Event = CaptureStart | CaptureEnd | bytes | bytearray


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


class Reader:
    """Takes what comes, in a thread as it is meant to be, until a condition or an error."""

    def __init__(self, stream: CaptureStream, room: int = 64) -> None:
        self.stream = stream
        self.room = memoryview(bytearray(room))
        self.events: list[Event] = []

    async def take(self, count: int) -> list[Event]:
        """Return so many more events, neighbouring samples being one."""
        end = len(self.events) + count
        while not (len(self.events) == end and not isinstance(self.events[-1], bytearray)):
            assert len(self.events) <= end
            await self.step()
        return self.events[end - count :]

    async def step(self, timeout: float | None = 20) -> bool:
        event = await asyncio.to_thread(self.stream.next_event, self.room, timeout)
        if isinstance(event, Payload):
            samples = self.events[-1] if self.events else None
            if not isinstance(samples, bytearray):
                samples = bytearray()
                self.events.append(samples)
            samples += self.room[: event.size]
        elif event:
            self.events.append(event)
        return event is not None

    async def until_lost(self) -> PandaConnectionError:
        try:
            while await self.step():
                pass
        except PandaConnectionError as error:
            return error
        pytest.fail("nothing comes, and no error either")


async def test_acquisitions_follow_each_other_on_one_connection(serve) -> None:
    async with CaptureStream(await serve(sending(ACQUISITION * 3))) as stream:
        assert await Reader(stream).take(9) == EVENTS * 3


async def test_an_acquisition_may_come_in_single_bytes(serve) -> None:
    pieces = [bytes([byte]) for byte in ACQUISITION]
    async with CaptureStream(await serve(sending(*pieces))) as stream:
        assert await Reader(stream).take(3) == EVENTS


async def test_the_room_may_be_smaller_than_a_sample(serve) -> None:
    async with CaptureStream(await serve(sending(ACQUISITION * 2))) as stream:
        assert await Reader(stream, room=3).take(6) == EVENTS * 2


async def test_the_options_can_ask_for_scaled_samples(serve) -> None:
    async def session(peer) -> None:
        await peer.expect(b"XML FRAMED SCALED\n")
        await peer.say(b"OK\n" + ACQUISITION.replace(b"Raw", b"Scaled"))
        await peer.stay()

    async with CaptureStream(await serve(session), options="XML FRAMED SCALED") as stream:
        start, *_ = await Reader(stream).take(3)
        assert isinstance(start, CaptureStart)
        assert start.process == "Scaled"


async def test_nothing_within_the_time_out_is_no_event_and_nothing_is_lost(serve) -> None:
    go = asyncio.Event()

    async def session(peer) -> None:
        await sending(ACQUISITION[:-5], stay=False)(peer)
        await go.wait()
        await peer.say(ACQUISITION[-5:])
        await peer.stay()

    async with CaptureStream(await serve(session)) as stream:
        reader = Reader(stream)
        while await reader.step(timeout=0.05):
            pass
        go.set()
        assert await reader.take(1) == [EVENTS[-1]]
        assert reader.events == EVENTS


async def test_a_reader_that_waits_can_be_woken(serve) -> None:
    async with CaptureStream(await serve(sending(ACQUISITION))) as stream:
        reader = Reader(stream)
        await reader.take(3)
        waiting = asyncio.create_task(reader.step(timeout=None))
        await asyncio.sleep(0.01)
        stream.wake()
        assert not await waiting
        for _ in range(3):  # one that comes before is not forgotten, and many are one
            stream.wake()
        assert not await reader.step(timeout=None)


async def test_a_slow_reader_holds_the_server_back_and_loses_nothing(serve) -> None:
    size, count = 2**16, 1000  # far more than both kernel buffers hold
    said = 0

    async def session(peer) -> None:
        nonlocal said
        await sending(HEADER, stay=False)(peer)
        for number in range(count):
            await peer.say(framed(number.to_bytes(4, "little") * (size // 4)))
            said += 1
        await peer.say(b"END %d Ok\n" % (size * count // 4))
        await peer.stay()

    async with CaptureStream(await serve(session)) as stream:
        reader = Reader(stream, room=2**20)
        before = -1
        while said > before:  # until the server is stuck
            before = said
            await asyncio.sleep(0.1)
        assert said < count
        start, samples, end = await reader.take(3)
        assert (start, end) == (START, CaptureEnd(size * count // 4, "Ok"))
        expected = (number.to_bytes(4, "little") * (size // 4) for number in range(count))
        assert samples == b"".join(expected)


async def test_a_flood_of_empty_frames_takes_no_memory(serve) -> None:
    pieces = [HEADER, *itertools.repeat(framed(b"") * 10_000, 20), b"END 0 Ok\n"]
    async with CaptureStream(await serve(sending(*pieces))) as stream:
        assert await Reader(stream).take(2) == [START, CaptureEnd(0, "Ok")]


@pytest.mark.parametrize(
    ("wire", "count", "cause", "words"),
    [
        (b"", 0, EOFError, "the server closed it between acquisitions"),
        (ACQUISITION, 3, EOFError, "the server closed it between acquisitions"),
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
    stream = CaptureStream(await serve(sending(wire, stay=False)))
    await stream.open()
    reader = Reader(stream)
    error = await reader.until_lost()
    assert len(reader.events) == count
    assert isinstance(error.__cause__, cause)
    assert str(error).startswith(f"{stream.where}: connection lost: ")
    assert words in str(error)
    error = await reader.until_lost()
    assert isinstance(error.__cause__, cause)
    assert len(reader.events) == count
    assert words in str(error)
    await stream.close()


async def test_a_reset_connection_names_its_cause(serve) -> None:
    async def session(peer) -> None:
        await sending(HEADER, stay=False)(peer)
        await asyncio.sleep(0)
        peer.reset()

    stream = CaptureStream(await serve(session))
    await stream.open()
    error = await Reader(stream).until_lost()
    assert isinstance(error.__cause__, ConnectionResetError)
    await stream.close()


async def test_closing_wakes_the_reader_with_an_error(serve) -> None:
    stream = CaptureStream(await serve(sending(ACQUISITION)))
    await stream.open()
    reader = Reader(stream)
    await reader.take(3)
    waiting = asyncio.ensure_future(reader.step(timeout=None))
    await asyncio.sleep(0.01)
    await stream.close()
    with pytest.raises(PandaConnectionError, match=r"closed by this program"):
        await waiting
    await stream.close()
    stream.wake()


async def test_what_ended_it_first_is_what_the_reader_is_told(serve) -> None:
    async with CaptureStream(await serve(sending(ACQUISITION, stay=False))) as stream:
        stream.abort()
        error = await Reader(stream).until_lost()
        assert "closed by this program" in str(error)
        assert isinstance(error.__cause__, ConnectionAbortedError)


async def test_a_stream_that_was_given_up_does_not_open(serve) -> None:
    stream = CaptureStream(await serve(sending(ACQUISITION)))
    opening = asyncio.create_task(stream.open())
    await asyncio.sleep(0)
    await stream.close()
    with pytest.raises(PandaConnectionError, match=r"closed by this program"):
        await opening


async def test_a_stream_opens_once(serve) -> None:
    events = CaptureStream(await serve(sending()))
    with pytest.raises(PandaConnectionError, match=r"not open"):
        events.next_event(memoryview(b""))
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
