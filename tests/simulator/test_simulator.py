"""The simulator over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator

import pytest

from panda_simulator import Simulator, serve_in_thread
from panda_simulator.echo import EchoHardware
from panda_simulator.fabric import Fabric
from panda_simulator.simulator import HardwareName

from .box_files import found


class Peer:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, line: str) -> str:
        self.writer.write(line.encode() + b"\n")
        reply = b""
        while not reply or reply.startswith(b"!"):
            reply = await self.line()
        return reply.decode().rstrip("\n")

    async def line(self) -> bytes:
        return await self.reader.readline()

    async def until(self, query: str, expected: str) -> None:
        async with asyncio.timeout(10):
            while await self.ask(query) != expected:  # noqa: ASYNC110 (it is another's state)
                await asyncio.sleep(0.005)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def peers(*ports: int) -> AsyncGenerator[list[Peer]]:
    opened = [Peer(*(await asyncio.open_connection("127.0.0.1", port))) for port in ports]
    try:
        yield opened
    finally:
        for peer in opened:
            await peer.close()


@contextlib.asynccontextmanager
async def served(hardware: HardwareName = "echo", data_clients=0):
    """Yield a simulator, a control connection and some data connections."""
    async with Simulator(hardware=hardware) as simulator:
        ports = simulator.control_port, *[simulator.data_port] * data_clients
        async with peers(*ports) as opened:
            yield simulator, *opened


@pytest.mark.parametrize(("name", "kind"), [("blocks", Fabric), ("echo", EchoHardware)])
async def test_both_kinds_of_hardware_are_served_on_free_ports(name, kind):
    async with served(name) as (simulator, control):
        assert isinstance(simulator.hardware, kind)
        assert simulator.address == f"127.0.0.1:{simulator.control_port}:{simulator.data_port}"
        assert (await control.ask("*IDN?")).startswith("OK =PandA SW: 4.1 FPGA: 0.0.0")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", simulator.control_port)


async def test_two_simulators_live_side_by_side():
    async with served() as (one, control_one), served() as (two, control_two):
        assert len({one.control_port, one.data_port, two.control_port, two.data_port}) == 4
        await control_one.ask("*METADATA.DESIGN=A")
        await control_two.ask("*METADATA.DESIGN=B")
        assert await control_one.ask("*METADATA.DESIGN?") == "OK =A"


async def test_a_port_that_is_taken_is_an_error_and_nothing_is_left_open():
    async with Simulator() as first:
        second = Simulator(data_port=first.control_port)
        with pytest.raises(OSError, match="address already in use"):
            await second.start()


@pytest.mark.parametrize(
    ("hardware", "reply"), [("blocks", "OK =45"), ("echo", "ERR Extension server exception")]
)
async def test_extension_fields_have_constants_with_blocks_and_fail_without(hardware, reply):
    async with served(hardware) as (_, control):
        assert await control.ask("SYSTEM.TEMP_ZYNQ?") == reply


async def test_who_lists_the_connections_and_forgets_the_closed_ones():
    async with served(data_clients=1) as (_, control, data):
        assert await data.ask("") == "OK"
        control.writer.write(b"*WHO?\n")
        lines = [(await control.line()).decode() for _ in range(3)]
        pattern = r"!\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (config|data) 127\.0\.0\.1:(\d+) \n"
        matches = [found(pattern, line) for line in lines[:2]]
        assert [match[1] for match in matches] == ["config", "data"]
        assert int(matches[0][2]) == control.writer.get_extra_info("sockname")[1]
        await data.close()
        await control.until("*PCAP.STATUS?", "OK =Idle 0 0")


async def test_a_half_closed_control_connection_gets_all_its_replies():
    async with served() as (_, control):
        control.writer.write(b"*ECHO one?\n*ECHO two?\n*ECHO thr")
        control.writer.write_eof()
        assert await control.reader.read() == b"OK =one\nOK =two\n"


async def test_a_line_too_long_closes_the_connection():
    async with served() as (_, control):
        control.writer.write(b"x" * 1023)
        assert await control.reader.read() == b""


async def test_an_acquisition_reaches_its_clients_as_it_goes():
    async with served(data_clients=1) as (_, control, data):
        assert await data.ask("RAW NO_HEADER") == "OK"
        assert await control.ask("PCAP.BITS0.CAPTURE=Value") == "OK"
        assert await control.ask("*PCAP.ARM=") == "OK"
        assert await data.line() == b" 0x00000000\n"
        assert await data.line() == b" 0x00000100\n"
        assert await control.ask("*PCAP.COMPLETION?") == "OK =Busy"
        assert await control.ask("*PCAP.DISARM=") == "OK"
        rest = await data.reader.readuntil(b" Ok\n")
        count = int(found(rb"END (\d+) Ok\n", rest)[1])
        assert count >= 2
        assert await control.ask("*PCAP.CAPTURED?") == f"OK ={count}"
        await control.until("*PCAP.STATUS?", "OK =Idle 1 0")


async def test_one_shot_clients_are_closed_after_one_acquisition():
    async with served(data_clients=1) as (_, control, data):
        assert await data.ask("ONE_SHOT NO_HEADER RAW") == "OK"
        await control.ask("PCAP.BITS0.CAPTURE=Value")
        await control.ask("*PCAP.ARM=")
        await control.ask("*PCAP.DISARM=")
        assert (await data.reader.read()).endswith(b" Ok\n")
        await control.until("*PCAP.STATUS?", "OK =Idle 0 0")


async def test_a_data_client_that_takes_nothing_is_dropped():
    async with served(data_clients=1) as (simulator, control, data):
        simulator._server._send_timeout = 0.2
        assert await data.ask("RAW FRAMED NO_HEADER") == "OK"
        await control.ask("PCAP.BITS0.CAPTURE=Value")
        await control.ask("*PCAP.ARM=")
        # this is more than what all buffers on the way can hold
        for _ in range(8):
            simulator._server.acquisition.ring.write(bytes(1 << 21))
        await control.until("*PCAP.STATUS?", "OK =Busy 0 0")


async def test_stopping_closes_connections_in_the_middle_of_an_acquisition():
    simulator = Simulator(hardware="echo")
    await simulator.start()
    async with peers(simulator.control_port, simulator.data_port) as (control, data):
        await data.ask("RAW NO_HEADER")
        await control.ask("PCAP.BITS0.CAPTURE=Value")
        await control.ask("*PCAP.ARM=")
        await data.line()
        await simulator.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with contextlib.suppress(ConnectionResetError):
            assert await control.reader.read() == b""


async def test_hardware_that_fails_is_reported_when_the_simulator_stops(caplog):
    simulator = Simulator(hardware="echo")

    async def fail() -> None:
        raise RuntimeError("broken")

    simulator.hardware.run = fail
    await simulator.start()
    await simulator.wait_failed()
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="broken"):
        await simulator.stop()
    assert "the simulated hardware has stopped: broken" in caplog.text


def test_a_thread_of_its_own_serves_users_without_a_loop():
    threads = threading.active_count()
    with serve_in_thread() as simulator:
        assert exchange(simulator, b"TTLIN1.TERM=50-Ohm\nTTLIN1.TERM?\n", 2) == [
            b"OK\n",
            b"OK =50-Ohm\n",
        ]
        assert simulator.call(threading.current_thread).name == "panda-simulator"
        assert simulator.call(simulator.hardware.read_register, "TTLIN", 1, "TERM") == 1
    assert threading.active_count() == threads


def test_blocks_work_behind_the_ports():
    with serve_in_thread() as simulator:
        commands = b"*CHANGES=\nTTLOUT1.VAL=BITS.OUTA\nBITS.A=1\nBITS.OUTA?\n*CHANGES.BITS?\n"
        assert exchange(simulator, commands, 6) == [
            b"OK\n",
            b"OK\n",
            b"OK\n",
            b"OK =1\n",
            b"!BITS.OUTA=1\n",
            b".\n",
        ]
        assert simulator.call(simulator.world.level, "TTLOUT", 1) == 1


def exchange(simulator: Simulator, commands: bytes, lines: int) -> list[bytes]:
    with (
        socket.create_connection((simulator.host, simulator.control_port)) as connection,
        connection.makefile("rb") as replies,
    ):
        connection.sendall(commands)
        return [replies.readline() for _ in range(lines)]


def test_a_box_that_is_not_built_in_is_refused():
    with pytest.raises(ValueError, match=r"choose one of .*pandabox-no-fmc"):
        Simulator("nosuch")


async def test_a_simulator_that_is_started_twice_goes_on_serving():
    async with Simulator(hardware="echo") as simulator:
        with pytest.raises(RuntimeError, match=f"serves {simulator.address} already"):
            await simulator.start()
        async with peers(simulator.control_port) as [client]:
            assert await client.ask("*ECHO hello?") == "OK =hello"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"hardware": "blcoks"}, "no hardware 'blcoks': choose one of blocks, echo, firehose"),
        ({"control_port": -1}, "no port -1: they are 0 to 65535"),
        ({"bench_port": 65536}, "no port 65536"),
        ({"speed": 1e9}, r"speed 1e\+09: it has to be above 0, and at most 1e\+06"),
        ({"speed": "fast"}, "speed 'fast': it is a number, 'free' or 'stepped'"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_listens(options, reason):
    with pytest.raises(ValueError, match=reason):
        Simulator(**options)


async def test_stepped_time_comes_to_whole_ticks_of_the_future():
    async with Simulator(speed="stepped") as simulator:
        await simulator.run_until(1000)
        assert simulator.tick == 1000
        with pytest.raises(TypeError, match="float"):
            await simulator.run_until(1000.5)  # pyright: ignore[reportArgumentType]
        with pytest.raises(ValueError, match="cannot run until tick 999: it is 1000 already"):
            await simulator.run_until(999)
        assert simulator.tick == 1000


def test_a_motor_comes_with_the_simulator_and_is_not_loaded_unless_used():
    code = (
        "import sys, panda_simulator as p\n"
        "assert 'ophyd_async' not in sys.modules\n"
        "assert p.SimMotor.__module__ == 'panda_simulator.motor'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
