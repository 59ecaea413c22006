"""Faults of commands and their replies, over real sockets."""

from __future__ import annotations

import time

import pytest

from panda_simulator.faults.replies import ARM_REFUSALS

from .sockets import peer, served

HELLO = "OK =hello"


@pytest.mark.parametrize(("reason", "text"), ARM_REFUSALS.items())
async def test_arm_is_refused_as_often_as_told_and_then_works(reason, text):
    async with served() as (simulator, control):
        assert await control.ask("PCAP.BITS0.CAPTURE=Value") == "OK"
        fault = simulator.faults.inject("refuse-arm", reason=reason, times=2)
        for _ in range(2):
            assert await control.ask("*PCAP.ARM=") == f"ERR {text}"
            assert await control.ask("*PCAP.COMPLETION?") == "OK =Ok"
        assert await control.ask("*PCAP.ARM=") == "OK"
        assert await control.ask("*PCAP.COMPLETION?") == "OK =Busy"
        assert fault.fired == 2


async def test_a_refused_command_is_not_done():
    async with served() as (simulator, control):
        simulator.faults.inject("refuse-command", command="TTLIN*.TERM=*", error="Broken pipe")
        assert await control.ask("TTLIN1.TERM=50-Ohm") == "ERR Broken pipe"
        assert await control.ask("TTLIN1.TERM?") == "OK =High-Z"
        assert await control.ask("TTLIN1.TERM=50-Ohm") == "OK"


async def test_a_refused_table_is_read_to_its_end_and_not_written():
    async with served() as (simulator, control):
        simulator.faults.inject("refuse-command", command="SEQ1.TABLE<*", error="Write error")
        control.tell("SEQ1.TABLE<\n1\n2\n3\n4\n\n*ECHO hello?\n")
        assert await control.line() == "ERR Write error\n"
        assert await control.line() == f"{HELLO}\n"
        assert await control.ask("SEQ1.TABLE.LENGTH?") == "OK =0"


async def test_a_field_in_error_fails_when_read_and_in_changes_until_cleared():
    async with served() as (simulator, control):
        fault = simulator.faults.inject("field-error", field="PULSE1.DELAY", error="I/O error")
        assert await control.ask("PULSE1.DELAY?") == "ERR I/O error"
        assert await control.ask("PULSE2.DELAY?") == "OK =0"
        changes = (await control.ask("*CHANGES.CONFIG?")).splitlines()
        assert "!PULSE1.DELAY (error)" in changes
        assert "!PULSE2.DELAY=0" in changes
        assert not any(line.startswith("!PULSE1.DELAY=") for line in changes)
        fault.clear()
        assert await control.ask("PULSE1.DELAY?") == "OK =0"


async def test_a_slow_command_holds_up_its_own_connection_only():
    async with served() as (simulator, control):
        fault = simulator.faults.inject("slow-command", command="*IDN?", seconds="inf")
        control.tell("*IDN?\n*ECHO hello?\n")
        async with peer(simulator.control_port) as other:
            assert await other.ask("*ECHO hello?") == HELLO
        assert await control.silent()
        fault.clear()
        assert (await control.line()).startswith("OK =PandA SW")
        assert await control.line() == f"{HELLO}\n"


async def test_a_slow_command_takes_as_long_as_it_was_told():
    async with served() as (simulator, control):
        simulator.faults.inject("slow-command", command="*IDN?", seconds=0.2)
        started = time.monotonic()
        assert (await control.ask("*IDN?")).startswith("OK =PandA SW")
        assert time.monotonic() - started >= 0.2


async def test_a_command_is_done_and_gets_a_wrong_reply():
    async with served() as (simulator, control):
        simulator.faults.inject("wrong-reply", command="TTLIN1.TERM=*", text=r"!one\n!two\n.")
        control.tell("TTLIN1.TERM=50-Ohm\n")
        assert [await control.line() for _ in range(3)] == ["!one\n", "!two\n", ".\n"]
        assert await control.ask("TTLIN1.TERM?") == "OK =50-Ohm"


async def test_a_command_is_done_and_its_reply_is_lost():
    async with served() as (simulator, control):
        fault = simulator.faults.inject("lost-reply", command="TTLIN1.TERM=*")
        control.tell("TTLIN1.TERM=50-Ohm\n")
        assert await control.silent()
        assert fault.fired == 1
        assert await control.ask("TTLIN1.TERM?") == "OK =50-Ohm"


async def test_a_reply_comes_twice():
    async with served() as (simulator, control):
        simulator.faults.inject("extra-reply", command="*ECHO*")
        control.tell("*ECHO hello?\n*ECHO 2?\n")
        assert [await control.line() for _ in range(3)] == [f"{HELLO}\n"] * 2 + ["OK =2\n"]


async def test_half_a_line_comes_and_then_the_end():
    async with served() as (simulator, control):
        simulator.faults.inject("half-line", command="*ECHO hello?")
        control.tell("*ECHO 1?\n*ECHO hello?\n*ECHO 2?\n")
        assert await control.rest() == b"OK =1\nOK ="
        async with peer(simulator.control_port) as other:
            assert await other.ask("*ECHO hello?") == HELLO


async def test_half_a_line_comes_and_then_nothing_more():
    async with served() as (simulator, control):
        fault = simulator.faults.inject("half-line", command="*ECHO hello?", then="stall")
        control.tell("*ECHO hello?\n*ECHO 2?\n")
        assert await control.exactly(4) == b"OK ="
        control.tell("*ECHO 3?\n")
        assert await control.silent()
        fault.clear()
        assert await control.ask("*ECHO hello?") == HELLO


async def test_a_line_is_much_too_long():
    async with served() as (simulator, control):
        simulator.faults.inject("long-line", command="*ECHO hello?", length=100_000)
        control.tell("*ECHO hello?\n")
        assert await control.exactly(100_005) == b"OK =" + b"x" * 100_000 + b"\n"
        assert await control.ask("*ECHO hello?") == HELLO


async def test_a_field_is_of_a_class_that_nobody_knows():
    async with served() as (simulator, control):
        fault = simulator.faults.inject("unknown-class", field="PULSE.DELAY", shown="quark top")
        assert await control.ask("PULSE1.DELAY.INFO?") == "OK =quark top"
        assert await control.ask("PULSE1.WIDTH.INFO?") == "OK =time"
        fields = (await control.ask("PULSE.*?")).splitlines()
        assert [line for line in fields if "quark" in line] == ["!DELAY 2 quark top"]
        assert (await control.ask("COUNTER.*?")).find("quark") < 0
        fault.clear()
        assert "!DELAY 2 time" in (await control.ask("PULSE.*?")).splitlines()


async def test_changes_have_an_entry_that_nobody_expects():
    async with served() as (simulator, control):
        await control.ask("*CHANGES?")
        simulator.faults.inject("changes-entry", entry="NOSUCH1.FIELD (error)")
        assert await control.ask("*CHANGES?") == "!NOSUCH1.FIELD (error)\n."
        assert await control.ask("*CHANGES?") == "."


async def test_texts_of_faults_are_sent_as_utf8_and_taken_as_they_are():
    async with served() as (simulator, control):
        simulator.faults.inject("wrong-reply", command="*ECHO π*", text="OK =π ü")
        simulator.faults.inject("refuse-command", command="*IDN?", error="über")
        simulator.faults.inject("unknown-class", field="PULSE.DELAY", shown=r"\1 \g<x> π")
        assert await control.ask("*ECHO π!?") == "OK =π ü"
        assert await control.ask("*IDN?") == "ERR über"
        assert r"!DELAY 2 \1 \g<x> π" in (await control.ask("PULSE.*?")).splitlines()


async def test_a_fault_shows_its_texts_on_one_line_as_they_were_given():
    async with served() as (simulator, _):
        fault = simulator.faults.inject_text(r"wrong-reply:text=OK =π\nOK =2")
        assert str(fault) == r"1 wrong-reply:text=OK =π\nOK =2"
