"""Time that runs freely or in steps: the same stimuli give the same data every time."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from panda_simulator import Simulator
from panda_simulator.box.boxfile import BoxFile
from panda_simulator.builtin import DEFAULT_BOX, box_directory
from panda_simulator.clock import EPOCH_NS, TICKS_PER_SECOND
from panda_simulator.identity import Identity
from panda_simulator.timing.document import ScriptError
from panda_simulator.timing.play import play
from panda_simulator.timing.script import parse_script


class Client:
    """Speaks to a simulator, a line or a stream at a time."""

    def __init__(self, simulator):
        self.simulator = simulator

    async def __aenter__(self):
        host = self.simulator.host
        self.control = await asyncio.open_connection(host, self.simulator.control_port)
        self.data = await asyncio.open_connection(host, self.simulator.data_port)
        return self

    async def __aexit__(self, *_):
        for _, writer in (self.control, self.data):
            writer.close()
            await writer.wait_closed()

    async def ask(self, *lines):
        reader, writer = self.control
        writer.write("".join(f"{line}\n" for line in lines).encode())
        return [(await reader.readline()).decode().rstrip("\n") for _ in lines]

    async def listen(self, options=""):
        reader, writer = self.data
        writer.write(f"{options}\n".encode())
        assert await reader.readline() == b"OK\n"
        while (await self.ask("*PCAP.STATUS?")) != ["OK =Idle 1 0"]:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def acquisition(self):
        text = ""
        while not text.rpartition("\n")[0].rpartition("\n")[2].startswith("END"):
            async with asyncio.timeout(10):
                text += (await self.data[0].readline()).decode()
        return text


CLOCKED = (
    "CLOCK1.PERIOD=1e-3",
    "CLOCK1.ENABLE=ONE",
    "COUNTER1.TRIG=CLOCK1.OUT",
    "COUNTER1.ENABLE=PCAP.ACTIVE",
    "COUNTER1.OUT.CAPTURE=Value",
    "PCAP.TS_TRIG.CAPTURE=Value",
    "PCAP.ENABLE=ONE",
    "PCAP.GATE=ONE",
    "PCAP.TRIG=CLOCK1.OUT",
)


async def test_stepped_time_stands_while_nobody_lets_it_pass():
    async with Simulator(speed="stepped") as simulator, Client(simulator) as client:
        assert await client.ask(*CLOCKED) == ["OK"] * len(CLOCKED)
        before = simulator.tick
        await asyncio.sleep(0.05)
        await client.ask("*PCAP.STATUS?", "COUNTER1.OUT?")
        assert simulator.tick == before


async def test_stepped_time_gives_data_of_exactly_the_time_that_passed():
    async with Simulator(speed="stepped") as simulator, Client(simulator) as client:
        await client.ask(*CLOCKED)
        await client.listen()
        await client.ask("*PCAP.ARM=")
        await simulator.run_for(0.0105)
        await client.ask("*PCAP.DISARM=")
        text = await client.acquisition()
        rows = [line for line in text.splitlines() if line.startswith(" ")][2:]
        times = [float(row.split()[1]) for row in rows]
        # the clock is high when PCAP begins, which is a trigger too (blocks.md 4.3)
        assert times[0] == 0.0
        assert times[1:] == pytest.approx([n * 1e-3 - 24e-9 for n in range(1, 11)], abs=1e-12)
        assert text.splitlines()[-1] == "END 11 Disarmed"


async def test_dates_are_those_of_the_ticks():
    async with Simulator(speed="stepped") as simulator, Client(simulator) as client:
        await client.ask(*CLOCKED)
        await client.listen()
        await simulator.run_until(TICKS_PER_SECOND)
        await client.ask("*PCAP.ARM=")
        await simulator.run_for(0.002)
        await client.ask("*PCAP.DISARM=")
        header = (await client.acquisition()).splitlines()
        assert header[0] == "arm_time: 2000-01-01T00:00:01.000000000Z"
        assert header[1] == "start_time: 2000-01-01T00:00:01.000000008Z"


async def test_time_cannot_be_set_back_nor_set_at_all_when_it_is_real():
    async with Simulator(speed="stepped") as simulator:
        await simulator.run_until(1000)
        with pytest.raises(ValueError, match="cannot run until tick 10: it is 1000 already"):
            await simulator.run_until(10)
    async with Simulator() as simulator:
        with pytest.raises(RuntimeError, match="stepped"):
            await simulator.run_until(10)


async def test_free_time_stands_while_nothing_happens_and_jumps_to_what_is_next():
    async with Simulator(speed="free") as simulator, Client(simulator) as client:
        await client.ask("PULSE1.ENABLE=ONE", "PULSE1.DELAY=3600", "PULSE1.WIDTH=1")
        before = simulator.tick
        await asyncio.sleep(0.02)
        assert simulator.tick == before
        await client.ask("PULSE1.TRIG=ONE")
        async with asyncio.timeout(5):
            while simulator.tick < 3601 * TICKS_PER_SECOND:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert simulator.tick < 3601 * TICKS_PER_SECOND + 1000


async def test_in_free_time_a_row_comes_although_nothing_happens_after_its_trigger():
    async with Simulator(speed="free") as simulator, Client(simulator) as client:
        await client.ask("PCAP.TRIG=BITS.OUTA", "PCAP.ENABLE=ONE", "PCAP.TS_TRIG.CAPTURE=Value")
        await client.listen("UNFRAMED NO_HEADER ASCII RAW")
        await client.ask("*PCAP.ARM=", "BITS.A=1")
        async with asyncio.timeout(10):
            assert (await client.data[0].readline()).split()
        assert await client.ask("*PCAP.CAPTURED?") == ["OK =1"]


async def test_an_axis_that_nobody_watches_arrives_in_free_time():
    async with Simulator(speed="free") as simulator:
        axis = simulator.world.axes["x"]
        end = axis.move(5.0)
        async with asyncio.timeout(5):
            while axis.moving():  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert axis.position() == 5.0
        assert simulator.tick == end


async def captured_in_free_time():
    async with Simulator(speed="free") as simulator, Client(simulator) as client:
        await client.ask(
            *CLOCKED[2:6], "CLOCK1.PERIOD=1e-4", "PCAP.TRIG=CLOCK1.OUT", "PCAP.GATE=ONE"
        )
        await client.ask(
            "PULSE1.ENABLE=ONE",
            "PULSE1.WIDTH=0.5",
            "PULSE1.TRIG=BITS.OUTA",
            "PCAP.ENABLE=PULSE1.OUT",
            "CLOCK1.ENABLE=PULSE1.OUT",
        )
        await client.listen("XML FRAMED RAW")
        await client.ask("*PCAP.ARM=", "BITS.A=1")
        reader, _ = client.data
        data = b""
        while b"END " not in data[-40:]:
            async with asyncio.timeout(20):
                data += await reader.read(1 << 20)
        return data


async def test_the_same_run_in_free_time_gives_the_same_bytes():
    first, second = await captured_in_free_time(), await captured_in_free_time()
    assert first.partition(b"</header>")[0] == second.partition(b"</header>")[0]
    assert first[-20:] == second[-20:]
    assert b"END 5000 Ok" in first[-20:]


def test_the_epoch_is_the_year_2000():
    assert EPOCH_NS == 946_684_800 * 10**9


def recorded_box(path, frequency):
    """Write a recording of a standard box with a clock of its own."""
    config, registers, description = (
        (box_directory(DEFAULT_BOX) / name).read_text("latin-1").splitlines()
        for name in ("config", "registers", "description")
    )
    recording = BoxFile(
        identity=Identity("4.1", (0, 0, 0), "Test"),
        clock_frequency=frequency,
        std_dev=False,
        config=config,
        registers=registers,
        description=description,
        state=(),
    )
    path.write_text(recording.dumps())
    return path


@pytest.mark.parametrize("frequency", [100_000_000, 156_250_000, 0])
async def test_a_box_with_another_clock_ticks_with_it(tmp_path, frequency):
    path = recorded_box(tmp_path / "box.json", frequency)
    second = frequency or TICKS_PER_SECOND
    async with Simulator(box_file=path, speed="stepped") as simulator, Client(simulator) as client:
        assert await client.ask("*CLOCK_FREQ?") == [f"OK ={second}"]
        await client.ask(*CLOCKED)
        assert await client.ask("CLOCK1.PERIOD.RAW?") == [f"OK ={second // 1000}"]
        await client.listen()
        await simulator.run_until(second)
        axis = simulator.world.axes["x"]
        end = axis.move(1.0)  # 0.1 s to 1 mm/s, 0.9 s there, 0.1 s to rest
        assert end - second == pytest.approx(1.1 * second, abs=5)
        await client.ask("*PCAP.ARM=")
        await simulator.run_for(0.0105)
        await client.ask("*PCAP.DISARM=")
        text = (await client.acquisition()).splitlines()
        assert text[0] == "arm_time: 2000-01-01T00:00:01.000000000Z"
        tick = 1_000_000_000 // second
        assert text[1] == f"start_time: 2000-01-01T00:00:01.{tick:09d}Z"
        rows = [line for line in text if line.startswith(" ")][2:]
        times = [float(row.split()[1]) for row in rows]
        assert np.diff(times[1:]) == pytest.approx([1e-3] * 9, abs=1e-12)


def test_a_timing_script_for_another_clock_is_refused(tmp_path):
    recorded_box(tmp_path / "box.json", 100_000_000)
    script = "box_file: box.json\nshow: [PULSE1.OUT]\nuntil: 1us\n"
    with pytest.raises(ScriptError, match="line 1: box_file: its clock has 100000000 Hz"):
        play(parse_script(script, tmp_path / "script.yaml"))
