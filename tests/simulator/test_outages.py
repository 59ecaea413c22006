"""The box goes away and comes back; other clients and clocks get in the way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime

import pytest

from panda_simulator import Simulator, serve_in_thread
from panda_simulator.builtin import box_directory

from .sockets import Peer, acquired, arm, counting, peer, refused, served


async def lost(connection: Peer, *, reset: bool) -> None:
    if reset:
        with pytest.raises(ConnectionResetError):
            await connection.rest()
    else:
        assert await connection.rest() == b""


async def away(simulator: Simulator) -> None:
    """Wait until the box is back; both ports are refused until then."""
    async with asyncio.timeout(20):
        while not await refused(simulator.data_port):  # noqa: ASYNC110
            await asyncio.sleep(0)
        while await refused(simulator.control_port):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        while await refused(simulator.data_port):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("hardware", ["blocks", "echo", "firehose"])
async def test_a_reboot_drops_all_connections_and_all_settings(hardware):
    async with served(hardware) as (simulator, control), peer(simulator.data_port) as data:
        ports = simulator.control_port, simulator.data_port
        data.tell("FRAMED\n")
        assert await data.line() == "OK\n"
        await control.ask("TTLIN1.TERM=50-Ohm")
        await control.ask("*METADATA.LAYOUT=mine")
        before = simulator.box
        started = time.monotonic()
        fault = simulator.faults.inject("reboot", seconds=0.3)
        await fault.happened()
        await lost(control, reset=True)
        await lost(data, reset=True)
        await away(simulator)
        assert time.monotonic() - started >= 0.3
        assert (simulator.control_port, simulator.data_port) == ports
        assert simulator.box is not before
        async with peer(simulator.control_port) as again:
            assert await again.ask("TTLIN1.TERM?") == "OK =High-Z"
            assert await again.ask("*PCAP.STATUS?") == "OK =Idle 0 0"
            assert len((await again.ask("*WHO?")).splitlines()) == 2
            assert await again.ask("PCAP.BITS0.CAPTURE=Value") == "OK"
            assert await again.ask("*PCAP.ARM=") == "OK"


async def test_a_box_that_has_rebooted_ticks_and_captures():
    async with counting() as (simulator, control, data):
        await arm(control)
        await data.until(b"\n\n")
        await simulator.reboot()
        async with peer(simulator.control_port) as again, peer(simulator.data_port) as stream:
            assert await again.ask("*PCAP.COMPLETION?") == "OK =Ok"
            assert await again.ask("*PCAP.CAPTURED?") == "OK =0"
            assert await again.ask("CLOCK1.ENABLE?") == "OK =ZERO"
            for line in ("CLOCK1.PERIOD.RAW=125000", "CLOCK1.ENABLE=ONE", "PCAP.TRIG=CLOCK1.OUT"):
                assert await again.ask(line) == "OK"
            assert await again.ask("PCAP.BITS0.CAPTURE=Value") == "OK"
            stream.tell("XML FRAMED RAW\n")
            assert await stream.line() == "OK\n"
            await arm(again)
            got = await acquired(stream, again, 50)
            assert got.end == b"END %d Disarmed\n" % len(got.rows)


async def test_a_reboot_comes_back_with_the_state_file_and_without_what_was_not_saved(tmp_path):
    state = tmp_path / "box.state"
    async with served(state=state) as (simulator, control):
        await control.ask("TTLIN1.TERM=50-Ohm")
        assert await control.ask("*SAVESTATE=") == "OK"
        await control.ask("TTLIN2.TERM=50-Ohm")
        await simulator.reboot()
        async with peer(simulator.control_port) as again:
            assert await again.ask("TTLIN1.TERM?") == "OK =50-Ohm"
            assert await again.ask("TTLIN2.TERM?") == "OK =High-Z"
            # what is changed from now on is noticed and kept
            await again.ask("TTLIN3.TERM=50-Ohm")
    assert "TTLIN3.TERM=50-Ohm" in state.read_text()


async def test_a_restart_keeps_the_settings():
    async with served(faults=["restart:before=*IDN?,seconds=0.2"]) as (simulator, control):
        await control.ask("TTLIN1.TERM=50-Ohm")
        before = simulator.box
        control.tell("*IDN?\n")
        assert (await control.rest()).startswith(b"OK =PandA SW")
        await away(simulator)
        assert simulator.box is before
        async with peer(simulator.control_port) as again:
            assert await again.ask("TTLIN1.TERM?") == "OK =50-Ohm"
            assert await again.ask("*PCAP.COMPLETION?") == "OK =Ok"


async def test_a_reboot_may_come_in_the_middle_of_an_acquisition():
    async with counting() as (simulator, control, data):
        fault = simulator.faults.inject("reboot", sample=150, seconds=0.05, drop="close")
        await arm(control)
        assert b"END" not in await data.rest()
        assert fault.fired == 1
        assert await control.rest() == b""


async def test_a_simulator_may_stop_and_start_again_around_an_outage():
    simulator = Simulator(hardware="echo")
    async with simulator:
        fault = simulator.faults.inject("reboot", seconds=60)
        await fault.happened()
        while not await refused(simulator.control_port):  # noqa: ASYNC110
            await asyncio.sleep(0)
    simulator.faults.clear()
    async with simulator, peer(simulator.control_port) as control:
        assert await control.ask("*ECHO hello?") == "OK =hello"


async def test_two_reboots_at_once_end_in_a_box_that_serves():
    async with served() as (simulator, _):
        await asyncio.gather(simulator.reboot(0.05), simulator.reboot(), simulator.restart(0.1))
        async with peer(simulator.control_port) as control:
            assert await control.ask("*ECHO hello?") == "OK =hello"
        assert not await refused(simulator.data_port)


async def test_the_hardware_may_be_waited_for_across_a_reboot():
    async with served() as (simulator, _):
        waiting = asyncio.create_task(simulator.wait_failed())
        await simulator.reboot()
        await asyncio.sleep(0.05)
        assert not waiting.done()
    await waiting


def stamps(header: bytes) -> tuple[float, float]:
    text = header.decode()
    arm_time, start_time = (
        datetime.strptime(text.split(f'{name}="')[1][:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
        for name in ("arm_time", "start_time")
    )
    return arm_time.timestamp(), start_time.timestamp()


@pytest.mark.parametrize("seconds", [86400, -86400])
async def test_the_clock_of_the_box_jumps_between_arm_and_start(seconds):
    async with counting() as (simulator, control, data):
        assert await control.ask("*PCAP.ARM=") == "OK"
        fault = simulator.faults.inject("clock-jump", seconds=seconds)
        await fault.happened()
        assert await control.ask("PCAP.ENABLE=ONE") == "OK"
        got = await acquired(data, control, 5)
        armed, started = stamps(got.header)
        assert abs(started - armed - seconds) < 60
        assert await control.ask("PCAP.ENABLE=ZERO") == "OK"
        await arm(control)
        armed, started = stamps((await acquired(data, control, 5)).header)
        assert abs(started - armed) < 60
        assert abs(armed - time.time() - seconds) < 60


async def test_somebody_else_disarms():
    async with counting() as (simulator, control, data):
        simulator.faults.inject("someone-else", command="*PCAP.DISARM=", sample=120)
        await arm(control)
        got = await acquired(data)
        assert len(got.rows) >= 120
        assert got.end == b"END %d Disarmed\n" % len(got.rows)


async def test_somebody_else_changes_what_is_captured_just_before_arm():
    async with counting() as (simulator, control, data):
        fault = simulator.faults.inject(
            "someone-else",
            command=r"COUNTER1.OUT.CAPTURE=Min Max\nPCAP.BITS0.CAPTURE=Value",
            before="*PCAP.ARM=",
        )
        await arm(control)
        header = await data.until(b"\n\n")
        assert fault.fired == 1
        assert [header.count(f'capture="{c}"'.encode()) for c in ("Value", "Min", "Max")] == [1] * 3
        changes = await control.ask("*CHANGES.ATTR?")
        assert "!COUNTER1.OUT.CAPTURE=Min Max" in changes.splitlines()


async def test_somebody_else_arms_first():
    async with counting() as (simulator, control, data):
        simulator.faults.inject("someone-else", command="*PCAP.ARM=", before="*PCAP.ARM=")
        assert await control.ask("*PCAP.ARM=") == "ERR Data capture already in progress"
        assert await control.ask("PCAP.ENABLE=ONE") == "OK"
        assert (await acquired(data, control, 5)).end.endswith(b" Disarmed\n")


async def test_something_happens_some_time_after_it_was_asked_for_unless_it_is_cleared():
    async with served() as (simulator, control):
        fault = simulator.faults.inject("someone-else", command="TTLIN1.TERM=50-Ohm", delay=0.05)
        cleared = simulator.faults.inject("someone-else", command="TTLIN2.TERM=50-Ohm", delay=0.05)
        assert await control.ask("TTLIN1.TERM?") == "OK =High-Z"
        cleared.clear()
        await fault.happened()
        assert await control.ask("TTLIN1.TERM?") == "OK =50-Ohm"
        await asyncio.sleep(0.05)
        assert await control.ask("TTLIN2.TERM?") == "OK =High-Z"
        assert cleared.fired == 0


def test_faults_can_be_injected_from_another_thread():
    with serve_in_thread(hardware="echo") as simulator:
        fault = simulator.call(simulator.faults.inject, "close", port="data")
        assert fault.fired == 0
        simulator.call(fault.clear)
        assert simulator.call(lambda: simulator.faults.active) == ()


@pytest.mark.parametrize("seconds", ["inf", "-inf", "nan", "1e300", "1e12"])
def test_a_clock_jumps_to_no_date_that_cannot_be_written(seconds):
    simulator = Simulator(hardware="echo")
    with pytest.raises(ValueError, match=r"^fault clock-jump: seconds is .*, but has to be"):
        simulator.faults.inject("clock-jump", seconds=seconds)


async def test_a_box_without_pcap_comes_back_as_any_other(tmp_path):
    (tmp_path / "config").write_text("TTLIN[6]\n    VAL bit_out\n")
    registers = (box_directory("pandabox-no-fmc") / "registers").read_text("utf-8")
    head = registers[: registers.index("*REG")]
    control = registers[registers.index("*REG") :].partition("\n\n")[0]
    ttlin = "TTLIN 2\n    VAL 2 3 4 5 6 7\n"
    (tmp_path / "registers").write_text(f"{head}{control}\n\n{ttlin}")
    (tmp_path / "description").write_text("")
    async with served(hardware="blocks", config_dir=tmp_path) as (simulator, _):
        await simulator.reboot()
        await simulator.restart()
        async with peer(simulator.control_port) as again:
            assert await again.ask("*BLOCKS?") == "!TTLIN 6\n."
            assert await again.ask("*PCAP.ARM=") == (
                "ERR PCAP not supported with this configuration"
            )


@pytest.mark.parametrize("turns", range(12))
async def test_a_simulator_that_stops_while_it_goes_away_leaves_nothing(turns):
    simulator = Simulator(hardware="echo")
    async with simulator:
        rebooting = asyncio.create_task(simulator.reboot(60))
        for _ in range(turns):
            await asyncio.sleep(0)
    # one that had not begun is refused
    with contextlib.nullcontext() if turns else pytest.raises(RuntimeError, match="does not run"):
        await rebooting
    assert asyncio.all_tasks() == {asyncio.current_task()}
    # the ports can be had again
    async with simulator, peer(simulator.control_port) as control:
        assert await control.ask("*ECHO hello?") == "OK =hello"
