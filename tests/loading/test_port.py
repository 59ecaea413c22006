"""One table over TCP: what it holds, what its server can do, what refusals mean."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from panda_ophyd.client import control_wire
from panda_ophyd.errors import (
    CommandError,
    FieldValueError,
    PandaConnectionError,
    SequenceError,
)
from panda_ophyd.loading import SessionTablePort, load
from panda_ophyd.loading import port as port_module
from panda_ophyd.sequences import Frames, LineBuilder, SeqLines, Timing
from panda_simulator import Simulator
from panda_simulator.builtin import box_directory

from .boxes import connected
from .stage import Batch, batch, batches

TICKS = 125_000_000
LONG = "long 2^10 8 11 12"


@pytest.fixture
async def box():
    async with Simulator(speed="stepped") as simulator, connected(simulator) as session:
        yield simulator, session, SessionTablePort(session, "SEQ1.TABLE")


async def mode(session) -> str:
    return await session.client.query("SEQ1.TABLE.MODE")


async def test_it_knows_how_many_lines_the_box_says_it_holds(box):
    assert box[2].max_lines == 262_144


@pytest.mark.parametrize("target", ["SEQ9.TABLE", "SEQ.TABLE", "SEQ1.NOPE", "PULSE1.DELAY", "X"])
async def test_a_table_that_is_not_there_is_refused(box, target):
    with pytest.raises(FieldValueError, match="no such table"):
        SessionTablePort(box[1], target)


async def test_a_table_of_another_kind_is_refused(box):
    with pytest.raises(FieldValueError, match="rows have 1 words"):
        SessionTablePort(box[1], "PGEN1.TABLE")


@pytest.mark.parametrize(
    ("version", "streams"), [("2.0", False), ("3.0", False), ("4.0", False), ("4.1", True)]
)
async def test_streaming_is_found_by_what_the_server_lists(version, streams):
    async with Simulator(server_version=version) as simulator, connected(simulator) as session:
        port = SessionTablePort(session, "SEQ1.TABLE")
        assert await port.supports_streaming() is streams
        assert await port.mode() == ("INIT" if streams else "")
        assert await port.queued_lines() == 0
        assert (await port.status()).state == "UNREADY"
        loading = await load(port, batches(10))
        assert loading.kind == "fixed"
        assert await session.client.query("SEQ1.TABLE.LENGTH") == "40"


async def test_modes_are_those_of_a_fixed_table_a_stream_and_nothing(box):
    _, session, port = box
    assert await mode(session) == "INIT"
    loading = await load(port, batches(10))
    assert await mode(session) == "FIXED"
    await loading.abandon()
    assert await mode(session) == "INIT"
    port.max_lines = 100
    loading = await load(port, batches(1000, ticks=TICKS))
    assert await mode(session) == "STREAMING"
    # whatever was there: the next run begins with a clear
    loading = await load(port, batches(110, ticks=1000), wanted_seconds=1)
    assert await mode(session) == "STREAMING_LAST"
    assert loading.handed_over
    await loading.feed()
    loading = await load(port, batches(10))
    assert await mode(session) == "FIXED"


async def test_words_come_as_they_were(box):
    lines = Batch(np.arange(2, 5002), np.ones(5000, np.int64))
    await load(box[2], iter([lines]))
    words = [int(word) for word in await box[1].client.query_lines("SEQ1.TABLE")]
    assert words == lines.words().tolist()


async def test_a_buffer_too_many_is_refused_with_the_place(box):
    port = box[2]
    await port.clear()
    for _ in range(8):
        await port.write(batch(1).words(), append=True)
    with pytest.raises(SequenceError, match="no buffer was free for 3 more lines"):
        await port.write(batch(3).words(), append=True)


async def test_a_segment_after_the_end_of_the_stream_is_refused(box):
    port = box[2]
    await port.clear()
    await port.write(batch(1).words(), append=True, last=True)
    with pytest.raises(CommandError, match="Last streaming table was sent; clear it first"):
        await port.write(batch(1).words(), append=True)


async def test_a_segment_for_a_stream_that_ran_dry_is_refused_with_its_health(box):
    simulator, session, port = box
    await port.clear()
    await port.write(batch(3).words(), append=True)
    await simulator.run_for(0.001)
    await session.client.assign("SEQ1.ENABLE", "ONE")
    await simulator.run_for(0.001)
    with pytest.raises(SequenceError, match="had ended or failed") as caught:
        await port.write(batch(3).words(), append=True)
    assert (caught.value.health, caught.value.line) == ("DMA underrun", 3)


async def test_a_short_table_cannot_stream(tmp_path):
    for path in box_directory("pandabox-no-fmc").iterdir():
        text = path.read_text()
        if path.name == "registers":
            assert text.count(LONG) == 1
            text = text.replace(LONG, "short 16384 60 11 12")
        (tmp_path / path.name).write_text(text)
    async with (
        Simulator(config_dir=tmp_path, hardware="echo") as simulator,
        connected(simulator) as session,
    ):
        port = SessionTablePort(session, "SEQ1.TABLE")
        assert (await load(port, batches(4096))).kind == "fixed"
        with pytest.raises(FieldValueError, match=r"short one.* at most 4096 lines"):
            await load(port, batches(4097))


async def test_the_loop_gets_turns_while_a_million_lines_are_encoded(box, monkeypatch):
    port = box[2]
    turns = 0
    during: list[int] = []

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    def watched(function):
        """Hold a function up, if it is about many lines, until the loop had turns, or 5 s."""

        def call(subject):
            lines = subject if isinstance(subject, np.ndarray) else getattr(subject, "lines", ())
            if len(lines) < 1000:
                return function(subject)
            before, end = turns, time.monotonic() + 5
            result = function(subject)
            while turns < before + 2 and time.monotonic() < end:
                time.sleep(0.001)
            during.append(turns - before)
            return result

        return call

    monkeypatch.setattr(port_module, "to_base64_lines", watched(port_module.to_base64_lines))
    monkeypatch.setattr(control_wire, "encode", watched(control_wire.encode))
    counting = asyncio.create_task(count())
    words = batch(62_500).words()
    for _ in range(16):
        await port.write(words)
    counting.cancel()
    assert len(during) == 32  # as text, and as a request, each
    assert min(during) >= 2


async def test_lines_of_a_builder_come_as_they_are(box):
    builder = LineBuilder(Timing(), inputs={})
    lines = SeqLines.concat([builder.lines(Frames.timed([1e-3, 1e-3, 2e-3])), builder.close()])
    loading = await load(box[2], iter([lines]))
    words = [int(word) for word in await box[1].client.query_lines("SEQ1.TABLE")]
    assert words == lines.words().tolist()
    assert loading.total_frames == 3


async def test_a_link_that_is_lost_in_the_middle_ends_the_feed():
    async with Simulator(speed="stepped") as simulator, connected(simulator) as session:
        port = SessionTablePort(session, "SEQ1.TABLE")
        port.max_lines = 100
        loading = await load(port, batches(1000, ticks=TICKS))
        feeding = asyncio.create_task(loading.feed())
        await asyncio.sleep(0.05)
        assert not feeding.done()
        await simulator.restart()
        with pytest.raises(PandaConnectionError):
            await feeding
        with pytest.raises(PandaConnectionError):
            await loading.abandon()
