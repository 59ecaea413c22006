"""Samples that count, as many as are asked for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re

import numpy as np
import pytest

from panda_simulator import Simulator
from panda_simulator.data.ring import Ring
from panda_simulator.firehose import CHUNK_BYTES, Firehose
from panda_simulator.hardware import Completion

WORDS = 4


class Sink:
    """Counts what it is given, and says how far behind its slowest client is."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.backlog: int | None = 0
        self.completion: Completion | None = None

    def started(self, start_time_ns: int, hardware_time_ns: int | None) -> None:
        raise AssertionError("whoever arms the firehose says that")

    def samples(self, data: bytes) -> None:
        self.data += data

    def ended(self, completion: Completion) -> None:
        self.completion = completion


class Bench:
    def __init__(self, rate: float, samples: int | None = None) -> None:
        self.now = 100.0
        self.sink = Sink()
        self.firehose = Firehose(rate, samples, clock=lambda: self.now)
        self.firehose.arm(WORDS, self.sink)

    def pump(self) -> int:
        """Let it make all that is due; return how many turns that took."""
        turns = 1
        while self.firehose.pump() == 0 and self.sink.completion is None:
            turns += 1
        return turns


def test_the_words_of_a_sample_count_through_all_chunks():
    bench = Bench(rate=10)
    for _ in range(7):
        bench.now += 0.11
        bench.pump()
    bench.firehose.disarm()
    rows = np.frombuffer(bench.sink.data, "<u4").reshape(-1, WORDS)
    assert len(bench.sink.data) == pytest.approx(7.7e6, abs=4 * WORDS)
    expected = 256 * np.arange(len(rows), dtype=np.uint32)[:, None] + np.arange(WORDS)
    assert np.array_equal(rows, expected)
    assert bench.sink.completion is Completion.DISARMED


def test_a_number_of_samples_ends_by_itself():
    bench = Bench(rate=1, samples=1000)
    bench.now += 0.4
    bench.pump()
    assert len(bench.sink.data) == 1000 * 4 * WORDS
    assert bench.sink.completion is Completion.OK
    bench.firehose.disarm()
    assert bench.sink.completion is Completion.OK
    assert bench.firehose.pump() == 0


def test_a_turn_makes_one_chunk_at_most():
    bench = Bench(rate=100)
    bench.now += 0.1
    before = 0
    while bench.firehose.pump() == 0:
        assert 0 < len(bench.sink.data) - before <= CHUNK_BYTES
        before = len(bench.sink.data)
    assert len(bench.sink.data) == pytest.approx(10e6, abs=4 * WORDS)


def test_without_a_rate_the_slowest_client_sets_the_pace():
    bench = Bench(rate=0)
    bench.sink.backlog = None
    assert bench.firehose.pump() > 0
    assert not bench.sink.data
    bench.sink.backlog = 0
    assert bench.firehose.pump() == 0
    assert len(bench.sink.data) == CHUNK_BYTES
    bench.sink.backlog = 4
    assert bench.firehose.pump() > 0
    assert len(bench.sink.data) == CHUNK_BYTES


def test_a_rate_that_cannot_be_held_is_said(caplog):
    bench = Bench(rate=100)
    with caplog.at_level(logging.WARNING):
        bench.now += 3.0
        bench.pump()
        bench.firehose.disarm()
    assert len(bench.sink.data) == pytest.approx(50e6, abs=4 * WORDS)
    assert "too slow for 100 MB/s: 2.5 s of its samples" in caplog.text


@pytest.mark.parametrize(
    ("rate", "samples", "message"),
    [(-1, None, "-1 MB/s"), (float("inf"), None, "inf MB/s"), (1, 0, "0 samples")],
)
def test_a_firehose_that_cannot_be_is_refused(rate, samples, message):
    with pytest.raises(ValueError, match=message):
        Firehose(rate, samples)


def test_a_rate_needs_the_firehose():
    with pytest.raises(ValueError, match="a firehose needs hardware 'firehose', not 'blocks'"):
        Simulator(firehose=10)


@contextlib.asynccontextmanager
async def pouring(
    options: str, rate: float = 0, samples: int | None = None, ring: Ring | None = None
):
    """Yield a simulator, its control connection and some data connections, armed."""
    async with (
        Simulator(hardware="firehose", firehose=rate, firehose_samples=samples) as simulator,
        contextlib.AsyncExitStack() as stack,
    ):
        simulator._server.acquisition.ring = ring or Ring()

        async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)

            async def close() -> None:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

            stack.push_async_callback(close)
            return reader, writer

        control = await connect(simulator.control_port)
        data = [await connect(simulator.data_port) for _ in range(2)]
        for reader, writer in data:
            writer.write(f"{options}\n".encode())
            assert await reader.readline() == b"OK\n"
        await ask(control, "INENC1.VAL.CAPTURE=Value Diff")
        await ask(control, "PCAP.BITS0.CAPTURE=Value")
        while await ask(control, "*PCAP.STATUS?") != "OK =Idle 2 0":  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await ask(control, "*PCAP.ARM=")
        yield simulator, control, *(reader for reader, _ in data)


async def ask(control: tuple[asyncio.StreamReader, asyncio.StreamWriter], line: str) -> str:
    control[1].write(f"{line}\n".encode())
    return (await control[0].readline()).decode().strip()


async def rows_of(reader: asyncio.StreamReader) -> tuple[np.ndarray, str]:
    """Read an acquisition in frames; return its words by row, and how it ended."""
    payload = bytearray()
    while (tag := await reader.readexactly(4)) == b"BIN ":
        length = int.from_bytes(await reader.readexactly(4), "little") - 8
        payload += await reader.readexactly(length)
    end = (tag + await reader.readline()).decode()
    return np.frombuffer(payload, "<u4").reshape(-1, 3), end.strip()


async def test_two_clients_get_every_sample():
    count = 400_000
    async with pouring("FRAMED RAW NO_HEADER", samples=count) as (_, control, *readers):
        expected = 256 * np.arange(count, dtype=np.uint32)[:, None] + np.arange(3)
        for rows, end in await asyncio.gather(*map(rows_of, readers)):
            assert end == f"END {count} Ok"
            assert np.array_equal(rows, expected)
        assert await ask(control, "*PCAP.CAPTURED?") == f"OK ={count}"


async def test_the_header_says_what_is_captured():
    async with pouring("ASCII RAW", samples=2) as (_, _, reader, _):
        text = (await reader.readuntil(b" Ok\n")).decode()
        assert [line.split()[0] for line in re.findall(r"(?m)^ [A-Z].*$", text)] == [
            "PCAP.BITS0",
            "INENC1.VAL",
            "INENC1.VAL",
        ]
        assert text.endswith(
            " 0x00000000 0x00000001 0x00000002\n 0x00000100 0x00000101 0x00000102\nEND 2 Ok\n"
        )


async def test_a_fixed_rate_does_not_wait_for_a_client_that_does_not_read():
    ring = Ring(blocks=16, margin=4)
    options = "UNFRAMED RAW NO_HEADER"
    async with pouring(options, rate=4000, ring=ring) as (_, control, fast, slow):
        taken = 0

        async def take() -> None:
            nonlocal taken
            while data := await fast.read(1 << 20):
                taken += len(data)

        taking = asyncio.create_task(take())
        async with asyncio.timeout(30):
            while ring.written < 40:  # noqa: ASYNC110 (it is another's state)
                await asyncio.sleep(0.005)
        assert (await ask(control, "*PCAP.STATUS?")).startswith("OK =Busy 2 ")
        await ask(control, "*PCAP.DISARM=")
        sent = bytearray()
        async with asyncio.timeout(30):
            while not (end := re.search(rb"END (\d+) Data overrun\n", sent[-100:])):
                sent += await slow.read(1 << 20)
        assert int(end[1]) * 12 == len(sent) - len(end[0])
        assert taken > len(sent)
        taking.cancel()
