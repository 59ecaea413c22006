"""Faults by name, and those of the bytes of a connection, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time

import pytest

from panda_simulator import Simulator
from panda_simulator.faults import FAULTS, describe_faults, make_effect, parse_fault
from panda_simulator.faults.parameters import build

from .sockets import Peer, acquired, arm, counting, peer, refused, served

HELLO = "OK =hello\n"


async def echoes(simulator: Simulator) -> bool:
    """Tell whether a new connection is served as if nothing had happened."""
    async with peer(simulator.control_port) as fresh:
        return await fresh.ask("*ECHO hello?") == HELLO[:-1]


def test_every_fault_can_be_made_with_its_defaults_and_is_described():
    required = {"field-error": {"field": "PULSE1.DELAY"}, "unknown-class": {"field": "A.B"}}
    described = "\n".join(describe_faults())
    for name, kind in FAULTS.items():
        effect = make_effect(name, required.get(name, {}))
        assert f"\n{name}: {kind.description}. " in described
        for parameter in kind.parameters:
            assert hasattr(effect, parameter.name)
            assert f"{parameter.name}=" in described


@pytest.mark.parametrize(
    ("text", "name", "settings"),
    [
        ("stall", "stall", {}),
        ("stall:after_bytes=100,seconds=inf", "stall", {"after_bytes": "100", "seconds": "inf"}),
        ("stall:after-bytes=100", "stall", {"after_bytes": "100"}),
        (
            "wrong-reply:text=OK =1,2:3,command=*IDN?",
            "wrong-reply",
            {"text": "OK =1,2:3", "command": "*IDN?"},
        ),
        ("someone-else:command=A.B=1", "someone-else", {"command": "A.B=1"}),
    ],
)
def test_a_fault_is_a_name_and_parameters_whose_values_may_hold_commas(text, name, settings):
    assert parse_fault(text) == (name, settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flood", "no fault 'flood': choose one of close, reset, stall, pull-cable, "),
        ("", "no fault '': choose one of close, "),
        ("stall:foo=1", "fault stall has no parameter 'foo': choose from times, port, "),
        ("stall:foo", "fault stall: 'foo' has to be a parameter as key=value"),
        ("stall:", "fault stall: '' has to be a parameter as key=value"),
        ("stall:after_bytes=x", "fault stall: after_bytes is 'x', but has to be a whole number"),
        ("stall:after_bytes=-1", "after_bytes is '-1', but has to be a whole number from 0"),
        ("stall:seconds=nan", "fault stall: seconds is 'nan', but has to be seconds or inf"),
        ("delay:seconds=-1", "fault delay: seconds is '-1', but has to be seconds or inf"),
        ("close:port=both of them", "port is 'both of them', but has to be one of control, data"),
        ("garble:probability=2", "probability is '2', but has to be a number from 0 to 1"),
        ("field-error", "fault field-error needs field=…"),
    ],
)
def test_what_is_wrong_with_a_fault_is_said_in_one_line(text, message):
    with pytest.raises(ValueError) as refusal:
        make_effect(*parse_fault(text))
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_parameters_are_taken_as_values_as_well():
    effect = build("stall", FAULTS["stall"].effect, {"after_bytes": 10, "seconds": math.inf})
    assert effect == make_effect("stall", {"after_bytes": "0xA", "seconds": "inf"})
    reason = make_effect("end-reason", {"reason": "DMA data error"})
    assert reason == make_effect("end-reason", {"reason": "dma-data-error"})


def test_a_simulator_with_a_fault_that_does_not_exist_is_not_made():
    with pytest.raises(ValueError, match="no fault 'flood': choose one of"):
        Simulator(faults=["flood:seconds=1"])


@pytest.mark.parametrize(("name", "reset"), [("close", False), ("reset", True)])
async def test_a_connection_ends_after_so_many_bytes(name, reset):
    async with served() as (simulator, control):
        fault = simulator.faults.inject(name, after_bytes=len(HELLO) + 4)
        assert await control.ask("*ECHO hello?") == HELLO[:-1]
        control.tell("*ECHO hello?\n")
        assert await control.exactly(4) == b"OK ="
        if reset:
            with pytest.raises(ConnectionResetError):
                await control.rest()
        else:
            assert await control.rest() == b""
        await fault.happened()
        assert fault.fired == 1
        assert await echoes(simulator)
        simulator.faults.clear()
        assert simulator.faults.active == ()
        assert await echoes(simulator)


@pytest.mark.parametrize("name", ["close", "reset"])
async def test_a_connection_ends_when_so_much_has_come(name):
    async with served() as (simulator, control):
        simulator.faults.inject(name, after_received=20)
        assert await control.ask("*ECHO hello?") == HELLO[:-1]
        control.tell("*ECHO hello?\n")
        with contextlib.suppress(ConnectionResetError):
            assert await control.rest() == b""
        assert await echoes(simulator)


async def test_a_connection_ends_at_once_although_nothing_is_sent():
    async with served() as (simulator, control):
        fault = simulator.faults.inject("close", port="control")
        assert await control.rest() == b""
        assert fault.fired == 1
        assert await echoes(simulator)


async def test_every_connection_ends_as_it_comes_until_the_fault_is_cleared():
    async with served(faults=["reset:times=0"]) as (simulator, control):
        with pytest.raises(ConnectionResetError):
            await control.rest()
        for port in (simulator.control_port, simulator.data_port):
            async with peer(port) as other:
                with pytest.raises(ConnectionResetError):
                    await other.rest()
        [fault] = simulator.faults.active
        assert fault.fired == 3
        fault.clear()
        assert await echoes(simulator)


async def test_a_fault_may_be_of_the_nth_connection_to_one_port():
    async with served() as (simulator, control):
        simulator.faults.inject("close", port="control", connection=3)
        async with peer(simulator.data_port) as data, peer(simulator.control_port) as second:
            async with peer(simulator.control_port) as third:
                assert await third.rest() == b""
            for connection in (control, second):
                assert await connection.ask("*ECHO hello?") == HELLO[:-1]
            assert await data.silent()
        assert await echoes(simulator)


async def test_a_stalled_connection_sends_the_rest_when_its_time_is_over():
    async with served() as (simulator, control):
        simulator.faults.inject("stall", after_bytes=4, seconds=0.3)
        control.tell("*ECHO hello?\n")
        assert await control.exactly(4) == b"OK ="
        assert await control.silent(0.1)
        assert await control.line() == "hello\n"
        assert await control.ask("*ECHO hello?") == HELLO[:-1]


async def test_a_connection_stalls_for_ever_until_the_fault_is_cleared():
    async with served() as (simulator, control):
        fault = simulator.faults.inject("stall", after_bytes=0, port="control")
        control.tell("*ECHO hello?\nTTLIN1.TERM=50-Ohm\n")
        await fault.happened()
        assert await control.silent()
        assert await echoes(simulator)
        fault.clear()
        assert await control.line() == HELLO
        assert await control.line() == "OK\n"


@pytest.mark.parametrize("name", ["stall", "pull-cable", "never-answer"])
async def test_a_client_that_goes_away_during_a_fault_leaves_nothing_behind(name):
    async with served(faults=[f"{name}:port=control,connection=2"]) as (simulator, control):
        async with peer(simulator.control_port) as second:
            second.tell("*ECHO hello?\n")
            [fault] = simulator.faults.active
            await fault.happened()
            assert await second.silent()
            assert len((await control.ask("*WHO?")).splitlines()) == 3
        async with asyncio.timeout(5):
            while len((await control.ask("*WHO?")).splitlines()) != 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", ["stall", "pull-cable", "never-answer", "trickle", "delay"])
async def test_a_simulator_stops_during_a_fault(name):
    async with served(faults=[name]) as (simulator, control):
        control.tell("*IDN?\n" * 1000)
        [fault] = simulator.faults.active
        await fault.happened()
    before = asyncio.all_tasks()
    assert [task for task in before if task is not asyncio.current_task()] == []


async def test_nothing_passes_a_pulled_cable_until_it_is_plugged_in_again():
    async with served() as (simulator, control):
        assert await control.ask("TTLIN1.TERM=High-Z") == "OK"
        fault = simulator.faults.inject("pull-cable", port="control", connection=1)
        control.tell("TTLIN1.TERM=50-Ohm\nTTLIN1.TERM?\n")
        assert await control.silent()
        async with peer(simulator.control_port) as other:
            # unlike a stalled server, this one does not hear either
            assert await other.ask("TTLIN1.TERM?") == "OK =High-Z"
        fault.clear()
        assert await control.line() == "OK\n"
        assert await control.line() == "OK =50-Ohm\n"


async def test_a_cable_may_be_pulled_in_the_middle_of_a_frame():
    async with counting() as (simulator, control, data):
        fault = simulator.faults.inject("pull-cable", port="data", after_bytes=500)
        await arm(control)
        assert len(await data.exactly(500)) == 500
        assert await data.silent(0.3)
        assert await control.ask("*PCAP.COMPLETION?") == "OK =Busy"
        fault.clear()
        async with peer(simulator.data_port) as other:
            other.tell("XML FRAMED RAW\n")
            assert await other.line() == "OK\n"
            await acquired(other, control, 10)


async def test_a_connection_may_be_accepted_and_never_answered():
    async with served(faults=["never-answer:connection=2,port=control"]) as (simulator, control):
        async with peer(simulator.control_port) as mute:
            mute.tell("TTLIN1.TERM=50-Ohm\n")
            assert await mute.silent()
            assert await control.ask("TTLIN1.TERM?") == "OK =High-Z"
        assert await echoes(simulator)


async def test_new_connections_are_refused_for_a_time_and_old_ones_live_on():
    async with served() as (simulator, control):
        started = time.monotonic()
        fault = simulator.faults.inject("refuse", port="control", seconds=0.5)
        await fault.happened()
        while not await refused(simulator.control_port):  # noqa: ASYNC110
            await asyncio.sleep(0)
        while await refused(simulator.control_port):
            assert await control.ask("*ECHO hello?") == HELLO[:-1]
            async with peer(simulator.data_port) as data:
                data.tell("FRAMED\n")
                assert await data.line() == "OK\n"
            await asyncio.sleep(0.01)
        assert time.monotonic() - started >= 0.5
        assert await echoes(simulator)


async def test_two_outages_of_a_port_end_with_the_longer_one():
    async with served() as (simulator, _):
        long = simulator.faults.inject("refuse", seconds=2)
        short = simulator.faults.inject("refuse", seconds=0.01)
        await long.happened()
        await short.happened()
        await asyncio.sleep(0.2)
        assert await refused(simulator.control_port)
        assert await refused(simulator.data_port)
        while await refused(simulator.data_port):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert await echoes(simulator)


async def arrivals(control: Peer, size: int) -> list[bytes]:
    pieces = list[bytes]()
    async with asyncio.timeout(10):
        while sum(map(len, pieces)) < size:
            pieces.append(await control.reader.read(1000))
    return pieces


async def test_replies_trickle_byte_by_byte():
    async with served() as (simulator, control):
        fault = simulator.faults.inject("trickle", delay=0.02)
        control.tell("*ECHO hello?\n")
        pieces = await arrivals(control, len(HELLO))
        assert b"".join(pieces) == HELLO.encode()
        assert len(pieces) > 5
        fault.clear()
        assert await control.ask("*ECHO hello?") == HELLO[:-1]


async def test_replies_are_split_at_random_places_the_same_for_the_same_seed():
    cuts = list[list[bytes]]()
    for seed in (1, 1, 2):
        async with served(faults=[f"split:pieces=4,delay=0.05,seed={seed}"]) as (_, control):
            control.tell(f"*ECHO {'x' * 200}?\n")
            cuts.append(await arrivals(control, 205))
    assert len(cuts[0]) == 4
    assert cuts[0] == cuts[1] != cuts[2]


async def test_every_reply_is_late():
    async with served() as (simulator, control):
        fault = simulator.faults.inject("delay", port="control", seconds=0.1, jitter=0.1)
        started = time.monotonic()
        for _ in range(3):
            assert await control.ask("*ECHO hello?") == HELLO[:-1]
        assert time.monotonic() - started >= 0.3
        assert fault.fired == 3


async def test_a_byte_is_changed_and_the_others_are_not():
    async with served() as (simulator, control):
        simulator.faults.inject("garble", at=len(HELLO) + 5, how="replace")
        assert await control.ask("*ECHO hello?") == HELLO[:-1]
        control.tell("*ECHO hello?\n")
        garbled = await control.exactly(len(HELLO))
        assert [n for n, byte in enumerate(garbled) if byte != HELLO.encode()[n]] == [5]
        assert await control.ask("*ECHO hello?") == HELLO[:-1]


async def test_bytes_are_changed_at_random_the_same_for_the_same_seed():
    garbled = list[bytes]()
    for seed in (1, 1, 2):
        fault = f"garble:times=0,probability=0.1,seed={seed}"
        async with served(faults=[fault]) as (_, control):
            control.tell(f"*ECHO {'x' * 200}?\n")
            garbled.append(await control.exactly(205))
    clean = f"OK ={'x' * 200}\n".encode()
    differences = [sum(a != b for a, b in zip(line, clean, strict=True)) for line in garbled]
    assert all(5 < count < 50 for count in differences)
    assert garbled[0] == garbled[1] != garbled[2]


async def test_a_fault_happens_as_often_as_it_is_told_to():
    async with served() as (simulator, control):
        fault = simulator.faults.inject("lost-reply", command="*ECHO*", times=2)
        control.tell("*ECHO 1?\n*ECHO 2?\n*ECHO 3?\n")
        assert await control.line() == "OK =3\n"
        assert fault.fired == 2
        assert fault.spent
        assert simulator.faults.active == (fault,)


async def test_faults_are_cleared_by_name_number_or_all():
    async with served() as (simulator, control):
        faults = simulator.faults
        first, second, third = (faults.inject("delay") for _ in range(3))
        other = faults.inject("split")
        assert [str(fault) for fault in (first, other)] == ["1 delay", "4 split"]
        assert faults.clear(second.number) == 1
        first.clear()
        assert faults.active == (third, other)
        assert faults.clear("delay") == 1
        with pytest.raises(ValueError, match=r"fault delay is not active: 4 split"):
            faults.clear("delay")
        assert faults.clear() == 1
        assert faults.clear() == 0
        assert await control.ask("*ECHO hello?") == HELLO[:-1]


async def test_faults_of_bytes_add_up():
    async with served() as (simulator, control):
        simulator.faults.inject("garble", at=0)
        simulator.faults.inject("trickle", size=4, delay=0)
        simulator.faults.inject("close", after_bytes=6)
        control.tell("*ECHO hello?\n")
        got = await control.rest()
        assert len(got) == 6
        assert got[:1] != b"O"
        assert got[1:] == b"K =he"


@pytest.mark.parametrize("name", FAULTS)
async def test_no_fault_ends_a_session_by_an_exception_whatever_its_texts(name):
    odd = {"command": "*ECHO*", "before": "*ECHO*", "field": "PULSE.DELAY"}
    texts = {
        parameter.name: odd.get(parameter.name, r"\1 \g<0>\nπ (")
        for parameter in FAULTS[name].parameters
        if parameter.kind == "text"
    }
    texts |= {"length": "1000"} if name == "long-line" else {}
    wrong = list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    async with served() as (simulator, control), peer(simulator.data_port) as data:
        simulator.faults.inject(name, **texts)
        with contextlib.suppress(OSError):
            data.tell("XML FRAMED RAW\n")
            control.tell("*ECHO a?\nPULSE.*?\n*CHANGES?\nPCAP.BITS0.CAPTURE=Value\n*PCAP.ARM=\n")
            for one in (control, data):
                await one.silent()
            control.tell("*PCAP.DISARM=\n")
            for one in (control, data):
                await one.silent()
        simulator.faults.clear()
    assert not wrong
