"""Faults of acquisitions, as a data client sees them over a real socket."""

from __future__ import annotations

import re
import struct

import pytest

from panda_simulator.faults.machine import COMPLETIONS

from .sockets import acquired, arm, consecutive, counting, peer

TEXTS = {
    "ok": "Ok",
    "disarmed": "Disarmed",
    "framing-error": "Framing error",
    "driver-data-overrun": "Driver data overrun",
    "dma-data-error": "DMA data error",
    "unexpected-completion-error": "Unexpected completion error",
}


async def sound(simulator, control) -> None:
    """Check that a new data client gets an acquisition as if nothing had happened."""
    simulator.faults.clear()
    assert await control.ask("PCAP.ENABLE=ZERO") == "OK"
    async with peer(simulator.data_port) as data:
        data.tell("XML FRAMED RAW\n")
        assert await data.line() == "OK\n"
        await arm(control)
        got = await acquired(data, control, 20)
        assert consecutive(got.rows)
        assert got.end == b"END %d Disarmed\n" % len(got.rows)


def test_there_is_a_fault_for_every_reason_of_the_hardware():
    assert COMPLETIONS.keys() == TEXTS.keys()


@pytest.mark.parametrize(("reason", "text"), TEXTS.items())
async def test_the_hardware_ends_an_acquisition_at_a_sample(reason, text):
    async with counting() as (simulator, control, data):
        fault = simulator.faults.inject("end-reason", reason=reason, sample=137)
        await arm(control)
        got = await acquired(data)
        assert len(got.rows) == 137
        assert consecutive(got.rows)
        assert got.end == f"END 137 {text}\n".encode()
        assert await control.ask("*PCAP.COMPLETION?") == f"OK ={text}"
        assert await control.ask("*PCAP.CAPTURED?") == "OK =137"
        assert fault.fired == 1
        # and the hardware can be armed at once
        await arm(control)
        again = await acquired(data, control, 5)
        assert again.end.endswith(b" Disarmed\n")


async def test_the_hardware_ends_an_acquisition_before_its_first_sample():
    async with counting() as (simulator, control, data):
        simulator.faults.inject("end-reason", reason="DMA data error")
        await arm(control)
        assert (await acquired(data)).end == b"END 0 DMA data error\n"


async def test_a_client_is_called_too_slow_and_has_the_next_acquisition_whole():
    async with counting() as (simulator, control, data):
        simulator.faults.inject("data-overrun", sample=50)
        await arm(control)
        got = await acquired(data)
        assert (len(got.rows), got.end) == (50, b"END 50 Data overrun\n")
        assert consecutive(got.rows)
        assert await control.ask("*PCAP.COMPLETION?") == "OK =Busy"
        assert await control.ask("*PCAP.DISARM=") == "OK"
        assert await control.ask("PCAP.ENABLE=ZERO") == "OK"
        await arm(control)
        got = await acquired(data, control, 100)
        assert got.end == b"END %d Disarmed\n" % len(got.rows)


async def test_a_client_misses_samples():
    async with counting() as (simulator, control, data):
        async with peer(simulator.data_port) as other:
            other.tell("XML FRAMED RAW\n")
            assert await other.line() == "OK\n"
            simulator.faults.inject("missed", samples=30, connection=1)
            await arm(control)
            got = await acquired(data, control, 100)
            whole = await acquired(other)
        assert b' missed="30" ' in got.header
        assert b' missed="0" ' in whole.header
        assert got.rows == whole.rows[30:]
        assert got.end == b"END %d Disarmed\n" % len(got.rows)


async def test_the_start_of_an_acquisition_never_comes():
    async with counting() as (simulator, control, data):
        fault = simulator.faults.inject("no-start")
        await arm(control)
        await fault.happened()
        assert await data.silent(0.3)
        assert await control.ask("*PCAP.COMPLETION?") == "OK =Busy"
        assert await control.ask("*PCAP.CAPTURED?") == "OK =0"
        assert await control.ask("*PCAP.DISARM=") == "OK"
        got = await acquired(data)
        assert b'start_time="1970-01-01T00:00:00.000000000Z"' in got.header
        assert got.end == b"END 0 Disarmed\n"
        await sound(simulator, control)


@pytest.mark.parametrize(
    ("how", "pattern"),
    [
        ("broken", rb"<fields\n</header>\n\n$"),
        ("no-fields", rb"<fields>\n</fields>"),
        ("no-process", rb'missed="0" format="Framed"'),
        ("bad-type", rb'type="quaternion"'),
    ],
)
async def test_a_header_is_wrong(how, pattern):
    async with counting() as (simulator, control, data):
        simulator.faults.inject("bad-header", how=how)
        await arm(control)
        header = await data.until(b"\n\n")
        assert re.search(pattern, header), header
        await sound_after_disarm(simulator, control)


async def sound_after_disarm(simulator, control) -> None:
    assert await control.ask("*PCAP.DISARM=") == "OK"
    async with peer(simulator.control_port):
        await sound(simulator, control)


async def test_a_header_never_ends():
    async with counting() as (simulator, control, data):
        simulator.faults.inject("bad-header", how="endless")
        await arm(control)
        assert b"\n\n" not in await data.exactly(100_000)


async def test_rows_are_lost_although_they_are_counted():
    async with counting() as (simulator, control, data):
        fault = simulator.faults.inject("drop-rows", sample=95, count=20)
        await arm(control)
        got = await acquired(data, control, 200)
        count = int(got.end.split()[1])
        assert len(got.rows) == count - 20
        start = got.rows[0]
        assert got.rows == [start + n for n in range(count) if not 95 <= n < 115]
        assert fault.fired == 1


async def test_rows_come_twice_although_they_are_counted_once():
    async with counting() as (simulator, control, data):
        simulator.faults.inject("duplicate-rows", sample=10, count=2)
        await arm(control)
        got = await acquired(data, control, 100)
        start = got.rows[0]
        assert got.rows[9:15] == [start + n for n in (9, 10, 10, 11, 11, 12)]
        assert len(got.rows) == int(got.end.split()[1]) + 2


async def test_a_bit_of_some_rows_is_flipped_and_all_are_there():
    async with counting() as (simulator, control, data):
        simulator.faults.inject("corrupt-rows", sample=10, count=3)
        await arm(control)
        got = await acquired(data, control, 100)
        start = got.rows[0]
        wrong = [n for n, value in enumerate(got.rows) if value != start + n]
        assert wrong == [10, 11, 12]
        assert all((got.rows[n] ^ (start + n)).bit_count() == 1 for n in wrong)
        assert len(got.rows) == int(got.end.split()[1])


async def test_rows_are_meddled_with_in_one_acquisition_only():
    async with counting() as (simulator, control, data):
        simulator.faults.inject("drop-rows", sample=5)
        for lost in (1, 0):
            await arm(control)
            got = await acquired(data, control, 20)
            assert int(got.end.split()[1]) - len(got.rows) == lost
            assert await control.ask("PCAP.ENABLE=ZERO") == "OK"


@pytest.mark.parametrize("option", ["XML FRAMED SCALED", "RAW", "BASE64 RAW"])
async def test_rows_are_lost_in_every_form(option):
    async with counting(option) as (simulator, control, data):
        simulator.faults.inject("drop-rows", sample=5, count=3)
        simulator.faults.inject("end-reason", reason="ok", sample=40)
        await arm(control)
        await data.until(b"\n\n")
        body = await data.until(b"END 40 Ok\n")
        rows = {"XML FRAMED SCALED": (len(body) - 10) // 8, "RAW": body.count(b" 0x")}
        if option in rows:
            # framed rows come with eight bytes for each frame
            frames = body.count(b"BIN ") if "FRAMED" in option else 0
            assert rows[option] - frames == 37


async def test_a_frame_is_cut_and_the_connection_closes():
    async with counting() as (simulator, control, data):
        simulator.faults.inject("truncate-frame", number=1, keep=20)
        await arm(control)
        await data.until(b"\n\n")
        mark, length = struct.unpack("<4sI", await data.exactly(8))
        await data.exactly(length - 8)
        rest = await data.rest()
        mark, length = struct.unpack("<4sI", rest[:8])
        assert (mark, len(rest)) == (b"BIN ", 20)
        assert length > 20
        await sound_after_disarm(simulator, control)


@pytest.mark.parametrize("length", [0, 7, 9, 0xFFFFFFFF])
async def test_a_frame_has_a_wrong_length(length):
    async with counting() as (simulator, control, data):
        simulator.faults.inject("frame-length", length=length)
        await arm(control)
        await data.until(b"\n\n")
        assert struct.unpack("<4sI", await data.exactly(8)) == (b"BIN ", length)
        await sound_after_disarm(simulator, control)


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("duplicate-end", {}, b"END 30 Ok\nEND 30 Ok\n"),
        ("wrong-end", {}, b"END 31 Ok\n"),
        ("wrong-end", {"by": -1}, b"END 29 Ok\n"),
        ("wrong-end", {"by": -100}, b"END 0 Ok\n"),
        ("odd-end", {}, b"END 30 Out of cheese\n"),
        ("odd-end", {"reason": "Käse"}, "END 30 Käse\n".encode()),
    ],
)
@pytest.mark.parametrize("reason", ["ok", "framing-error"])
async def test_an_end_is_wrong(name, settings, expected, reason):
    if reason != "ok":
        expected = expected.replace(b" Ok\n", b" Framing error\n")
    async with counting() as (simulator, control, data):
        simulator.faults.inject("end-reason", reason=reason, sample=30)
        simulator.faults.inject(name, **settings)
        await arm(control)
        got = await acquired(data)
        rest = expected[len(got.end) :]
        assert got.end + (await data.exactly(len(rest))) == expected
        assert await data.silent()


async def test_an_end_does_not_come_and_the_next_header_does():
    async with counting() as (simulator, control, data):
        simulator.faults.inject("end-reason", reason="ok", sample=30)
        simulator.faults.inject("missing-end")
        await arm(control)
        await data.until(b"\n\n")
        rows = 0
        while rows < 30:
            (length,) = struct.unpack("<4xI", await data.exactly(8))
            rows += len(await data.exactly(length - 8)) // 4
        assert await data.silent()
        assert await control.ask("*PCAP.STATUS?") == "OK =Idle 1 0"
        await arm(control)
        assert (await data.line()) == "<header>\n"


@pytest.mark.parametrize(("name", "reset"), [("close", False), ("reset", True)])
async def test_a_connection_ends_after_a_whole_frame_with_so_many_samples(name, reset):
    async with counting() as (simulator, control, data):
        simulator.faults.inject(name, port="data", after_samples=123)
        await arm(control)
        await data.until(b"\n\n")
        rows = 0
        while rows < 123:
            mark, length = struct.unpack("<4sI", await data.exactly(8))
            assert mark == b"BIN "
            rows += len(await data.exactly(length - 8)) // 4
        assert rows == 123
        if reset:
            with pytest.raises(ConnectionResetError):
                await data.rest()
        else:
            assert await data.rest() == b""
        await sound_after_disarm(simulator, control)


async def test_a_stall_after_samples_lasts_its_time_and_loses_nothing():
    async with counting() as (simulator, control, data):
        fault = simulator.faults.inject("stall", port="data", after_samples=20, seconds=0.3)
        await arm(control)
        got = await acquired(data, control, 300)
        assert consecutive(got.rows)
        assert got.end == b"END %d Disarmed\n" % len(got.rows)
        assert fault.fired == 1


async def test_a_fault_may_begin_in_the_middle_of_an_acquisition():
    async with counting() as (simulator, control, data):
        await arm(control)
        await data.until(b"\n\n")
        await data.exactly(8)
        simulator.faults.inject("end-reason", reason="dma data error")
        await data.until(b"DMA data error\n")
