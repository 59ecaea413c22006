"""Clients that are slow, greedy or late, and a server that stops under them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncGenerator

import pytest

from panda_simulator import Simulator, serve_in_thread
from panda_simulator.echo import EchoHardware

FULL_BLOCK = bytes(1 << 21)
BUSY = "ERR Unexpected error at data_server.c:254"


class Peer:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, *lines: str) -> str:
        self.writer.write("".join(f"{line}\n" for line in lines).encode())
        return [await self.reader.readline() for _ in lines][-1].decode().rstrip("\n")

    async def until(self, query: str, expected: str) -> None:
        async with asyncio.timeout(20):
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
async def served_to(clients: int):
    """Yield a simulator and some control connections."""
    async with Simulator(hardware="echo") as simulator, contextlib.AsyncExitStack() as stack:
        opened = await stack.enter_async_context(peers(*[simulator.control_port] * clients))
        yield simulator, *opened


async def drain(peer: Peer) -> None:
    while await peer.reader.read(1 << 16):
        pass


@contextlib.asynccontextmanager
async def armed(options: str, send_timeout: float):
    """Yield a simulator that captures one word, a control and a data connection."""
    async with Simulator(hardware="echo") as simulator:
        simulator._server._send_timeout = send_timeout
        async with peers(simulator.control_port, simulator.data_port) as (control, data):
            assert await data.ask(options) == "OK"
            assert await control.ask("PCAP.BITS0.CAPTURE=Value", "*PCAP.ARM=") == "OK"
            yield simulator, control, data


async def test_several_hundred_clients_are_served_and_none_outlives_the_simulator():
    simulator = Simulator(hardware="echo")
    await simulator.start()
    ports = [simulator.control_port] * 300 + [simulator.data_port] * 50
    async with peers(*ports) as opened:
        control, data = opened[:300], opened[300:]
        echoes = (peer.ask(f"*ECHO {number}?") for number, peer in enumerate(control))
        assert await asyncio.gather(*echoes) == [f"OK ={number}" for number in range(300)]
        assert set(await asyncio.gather(*(peer.ask("RAW NO_HEADER") for peer in data))) == {"OK"}
        await control[0].until("*PCAP.STATUS?", "OK =Idle 50 0")
        assert await control[0].ask("PCAP.BITS0.CAPTURE=Value", "*PCAP.ARM=") == "OK"
        firsts = await asyncio.gather(*(peer.reader.readline() for peer in data))
        assert set(firsts) == {b" 0x00000000\n"}
        await simulator.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        for peer in opened:
            with contextlib.suppress(ConnectionResetError):
                await asyncio.wait_for(drain(peer), 5)


async def test_a_stalled_data_client_keeps_the_box_from_arming_until_it_is_dropped():
    async with armed("RAW FRAMED NO_HEADER", 0.5) as (simulator, control, _):
        # more than all buffers on the way can hold
        for _ in range(8):
            simulator._server.acquisition.ring.write(FULL_BLOCK)
        assert await control.ask("*PCAP.DISARM=", "*PCAP.COMPLETION?") == "OK =Ok"
        assert await control.ask("*PCAP.STATUS?") == "OK =Busy 1 1"
        assert await control.ask("*PCAP.ARM=") == BUSY
        await control.until("*PCAP.STATUS?", "OK =Idle 0 0")
        assert await control.ask("*PCAP.ARM=") == "OK"


async def test_a_data_client_that_takes_a_little_in_every_send_is_kept():
    async with armed("RAW FRAMED NO_HEADER", 0.5) as (simulator, control, _):
        # the kernel tells of room in its buffers only when a good part of them is free
        for door in simulator._server._doors.values():
            door._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 15)
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
            slow.connect(("127.0.0.1", simulator.data_port))
            slow.sendall(b"RAW FRAMED NO_HEADER NO_STATUS ONE_SHOT\n")
            slow.setblocking(False)
            loop = asyncio.get_running_loop()
            await control.until("*PCAP.STATUS?", "OK =Busy 2 2")
            simulator._server.acquisition.ring.write(FULL_BLOCK)
            await control.ask("*PCAP.DISARM=")
            received = 0
            begun = time.monotonic()
            while piece := await loop.sock_recv(slow, 1 << 14):
                received += len(piece)
                if time.monotonic() - begun < 1.5:
                    await asyncio.sleep(0.02)
            assert received > len(FULL_BLOCK)


async def test_a_stalled_control_client_is_dropped_in_the_middle_of_its_replies():
    async with served_to(2) as (simulator, greedy, other):
        simulator._server._send_timeout = 0.2
        greedy.writer.write(b"*CHANGES=S\n*CHANGES?\n" * 300)
        async with asyncio.timeout(20):
            while len(simulator._server._sessions) > 1:  # noqa: ASYNC110 (it is another's state)
                await asyncio.sleep(0.01)
        assert await other.ask("*ECHO alive?") == "OK =alive"


async def test_a_client_is_served_between_the_commands_of_another():
    async with served_to(2) as (_, greedy, other):
        commands = [f"*CHANGES=S\n*CHANGES?\nDIV1.DIVISOR={n}\n" for n in range(1, 101)]
        taking = asyncio.create_task(drain(greedy))
        greedy.writer.write("".join(commands).encode())
        seen = set[str]()
        while (value := await other.ask("DIV1.DIVISOR?")) != "OK =100":
            seen.add(value)
        assert len(seen) > 2
        taking.cancel()


async def test_words_that_waited_when_the_simulator_stopped_arrive_after_it_starts_again():
    simulator = Simulator(hardware="echo")
    assert isinstance(simulator.hardware, EchoHardware)
    simulator.hardware._source.advance = lambda: None
    for number in range(3):
        async with simulator:
            if not number:
                async with peers(simulator.control_port) as (control,):
                    assert await control.ask("PCAP.BITS0.CAPTURE=Value", "*PCAP.ARM=") == "OK"
            for word in range(2):
                data = (2 * number + word).to_bytes(4, "little")
                simulator._server.acquisition.samples(data)
    async with simulator, peers(simulator.data_port) as (late,):
        simulator._server.acquisition.samples(b"\6\0\0\0")
        assert await late.ask("RAW NO_HEADER") == "OK"
        async with asyncio.timeout(5):
            lines = [await late.reader.readline() for _ in range(7)]
        assert lines == [f" 0x{n:08x}\n".encode() for n in range(7)]


def test_words_that_came_while_the_simulator_stopped_arrive_in_the_next_loop(tmp_path):
    simulator = Simulator(hardware="echo", state=tmp_path / "state")
    assert isinstance(simulator.hardware, EchoHardware)
    source, taken = simulator.hardware._source, simulator._server.acquisition

    async def stop_while_words_come() -> None:
        async with simulator:
            async with peers(simulator.control_port) as (control,):
                source.advance = lambda: None
                assert await control.ask("PCAP.BITS0.CAPTURE=Value", "*PCAP.ARM=") == "OK"
            taken.samples(b"\0\0\0\0")
            # looked at last when the settings are saved, when all sessions have ended
            source.advance = lambda: taken.samples(b"\1\0\0\0")
        source.advance = lambda: None

    async def take() -> list[bytes]:
        async with simulator, peers(simulator.data_port) as (late,):
            assert await late.ask("RAW NO_HEADER") == "OK"
            taken.samples(b"\2\0\0\0")
            async with asyncio.timeout(5):
                return [await late.reader.readline() for _ in range(3)]

    asyncio.run(stop_while_words_come())
    lines = asyncio.run(take())
    assert lines[0] == b" 0x00000000\n"
    assert lines[1] == b" 0x00000001\n"


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_accepted_while_the_simulator_stops_does_not_outlive_it(turns):
    simulator = Simulator(hardware="echo")
    for _ in range(2):
        await simulator.start()
        with socket.create_connection(("127.0.0.1", simulator.control_port)) as late:
            for _ in range(turns):
                await asyncio.sleep(0)
            await simulator.stop()
            assert asyncio.all_tasks() == {asyncio.current_task()}
            late.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                assert late.recv(1) == b""
    assert not simulator._server._sessions
    assert not simulator._server._tasks


def test_a_call_from_another_thread_stays_on_the_loop_until_the_simulator_has_stopped():
    stopping, seen = threading.Event(), list[threading.Thread]()
    with contextlib.ExitStack() as stack:
        simulator = stack.enter_context(serve_in_thread(hardware="echo"))
        stop = simulator._server.stop

        async def slow_stop() -> None:
            stopping.set()
            while not seen:  # noqa: ASYNC110 (it is another thread's)
                await asyncio.sleep(0.005)
            await stop()

        simulator._server.stop = slow_stop

        def ask() -> None:
            stopping.wait(10)
            seen.append(simulator.call(threading.current_thread))

        asking = threading.Thread(target=ask)
        asking.start()
    asking.join()
    assert seen[0].name == "panda-simulator"
