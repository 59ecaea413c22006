"""Every fault of the simulator against the driver: a clear error in bounded time, no wrong file.

Time-outs are cut short (`impatient`), so that what would take ten seconds takes one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ophyd_async.core import (
    DetectorTrigger,
    NotConnectedError,
    StaticFilenameProvider,
    StaticPathProvider,
    TriggerInfo,
)
from typer.testing import CliRunner

from panda_ophyd import (
    Capture,
    CaptureError,
    CommandError,
    HDFPanda,
    PandaClient,
    PandaConnectionError,
    PandaError,
    PandaTimeoutError,
)
from panda_ophyd import acquire as acquiring
from panda_ophyd import cli as command_line
from panda_ophyd.capture import arm
from panda_ophyd.client import CaptureStream
from panda_ophyd.errors import StallError
from panda_simulator import Simulator, serve_in_thread
from panda_simulator.faults import FAULTS

IMPATIENCE = 1.0
BOUND = 8.0
"""Seconds within which everything here is over, though machines be slow."""

COUNTING = {
    "CLOCK1.PERIOD.UNITS": "s",
    "CLOCK1.PERIOD": "0.001",
    "CLOCK1.ENABLE": "PCAP.ACTIVE",
    "COUNTER1.ENABLE": "PCAP.ACTIVE",
    "COUNTER1.TRIG": "CLOCK1.OUT",
    "PCAP.TRIG": "CLOCK1.OUT",
    "PCAP.TRIG_EDGE": "Falling",
    "PCAP.ENABLE": "ONE",
    "COUNTER1.OUT.CAPTURE": "Value",
}
"""A box that captures consecutive numbers at 1 kHz while it is armed."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    patient: list[Any] = [
        PandaClient.__init__,
        PandaClient.request_all,
        CaptureStream.__init__,
        Capture.close,
        arm,
    ]
    for function in patient:
        defaults: dict[str, Any] = dict(function.__kwdefaults__)
        if defaults["timeout"] is not None:
            monkeypatch.setattr(function, "__kwdefaults__", defaults | {"timeout": IMPATIENCE})
    monkeypatch.setattr(acquiring, "GIVE_UP_TIMEOUT", IMPATIENCE)


async def set_counting(address: str) -> None:
    async with PandaClient(address) as client:
        for target, value in COUNTING.items():
            await client.assign(target, value)


def nobody_there(simulator: Simulator) -> bool:
    return not simulator._server._sessions


class File:
    """What a capture has left."""

    def __init__(self, path: Path) -> None:
        self.exists = path.exists()
        self.complete = False
        self.rows: list[int] = []
        self.suspect = -1
        if self.exists:
            with h5py.File(path) as file:
                self.complete = bool(file.attrs["complete"])
                self.suspect = int(file.attrs["suspect_row"])
                self.rows = np.asarray(file["COUNTER1.OUT.Value"]).astype(int).tolist()

    @property
    def consecutive(self) -> bool:
        return self.rows == list(range(1, len(self.rows) + 1))

    def is_honest(self) -> bool:
        """Tell whether rows that are not in doubt are right, and all there if it says so."""
        sound = self.rows if self.suspect < 0 else self.rows[: self.suspect]
        right = sound == list(range(1, len(sound) + 1))
        return right and not (self.complete and self.suspect >= 0)


CAPTURED = [
    # the data connection
    ("close:port=data,after_samples=100", "ended inside an acquisition"),
    ("close:port=data,after_bytes=500", "ended inside an acquisition"),
    ("close:port=data", "behave as a PandA's data port"),
    ("reset:port=data,after_samples=100", "reset by peer"),
    ("stall:port=data,after_samples=100", "END did not come"),
    ("stall:port=data,after_bytes=500", "END did not come"),
    ("stall:port=data,after_samples=100,seconds=0.5", None),
    ("pull-cable:port=data,after_samples=50", "END did not come"),
    ("never-answer:port=data", "no answer to 'XML FRAMED RAW'"),
    ("refuse:port=data,seconds=60", "connection refused"),
    ("trickle:port=data,size=16,delay=0", None),
    ("split:port=data,pieces=9", None),
    ("delay:port=data,seconds=0.1,jitter=0.05", None),
    ("garble:port=data,at=5", "does not begin with an XML header"),
    # what is in it
    ("missed:samples=10", "10 samples were missed"),
    ("bad-header:how=broken", "a header is not XML"),
    ("bad-header:how=no-fields", "lists no columns"),
    ("bad-header:how=no-process", "lacks the attribute 'process'"),
    ("bad-header:how=bad-type", "unknown type 'quaternion'"),
    ("bad-header:how=endless", "a header has more than"),
    ("truncate-frame", "ended inside an acquisition"),
    ("truncate-frame:number=2,keep=30", "ended inside an acquisition"),
    ("frame-length", "claims 4294967295 bytes"),
    ("frame-length:length=7", "claims 7 bytes"),
    ("frame-length:length=13", "not whole samples"),
    ("frame-length:length=100000", "END did not come"),
    ("drop-rows:sample=50,count=5", "those from row 0 on are in doubt"),
    ("duplicate-rows:sample=50", "those from row 0 on are in doubt"),
    ("data-overrun:sample=70", "'Data overrun' after 70 samples"),
    ("duplicate-end", "does not begin with an XML header"),
    ("missing-end", "END did not come"),
    ("wrong-end:by=1", "take them again"),
    ("wrong-end:by=-3", "take them again"),
    ("odd-end", "'Out of cheese'"),
    # the hardware
    ("end-reason:reason=ok,sample=120", None),
    ("end-reason:reason=disarmed,sample=120", None),
    ("end-reason:reason=framing-error,sample=120", "'Framing error' after 120 samples"),
    ("end-reason:reason=driver-data-overrun,sample=120", "'Driver data overrun' after 120"),
    ("end-reason:reason=dma-data-error,sample=120", "'DMA data error' after 120 samples"),
    ("end-reason:reason=unexpected-completion-error,sample=120", "'Unexpected completion"),
    ("no-start", "it has no rows: nothing triggered PCAP"),
    # the control connection
    ("refuse:port=control,seconds=60", "connection refused"),
    ("never-answer:port=control", "no answer to *IDN?"),
    ("close:port=control,after_received=60", "the server closed it"),
    ("reset:port=control,after_received=60", "reset by peer"),
    ("stall:port=control,after_received=60", "not answered within 1 s"),
    ("pull-cable:port=control,after_received=60", "not answered within 1 s"),
    ("refuse-arm:times=2", None),
    ("refuse-arm:times=0", "somebody has armed it; disarm it first"),
    ("refuse-arm:times=0,reason=draining", "a data client still reads the last acquisition"),
    ("refuse-arm:reason=nothing", "set one of the *_capture signals"),
    ("refuse-arm:reason=too-many", "capture fewer fields"),
    ("refuse-arm:reason=not-supported", "has no PCAP block"),
    ("refuse-command:command=*PCAP.DISARM=", "*PCAP.DISARM= refused by the PandA"),
    ("slow-command:command=*PCAP.ARM=,seconds=0.5", None),
    ("slow-command:command=*PCAP.ARM=,seconds=30", "*PCAP.ARM= not answered within 1 s"),
    ("slow-command:command=*PCAP.DISARM=,seconds=30", "*PCAP.DISARM= not answered within"),
    ("lost-reply:command=*PCAP.ARM=", "*PCAP.ARM= not answered within 1 s"),
    ("lost-reply:command=*PCAP.DISARM=", "*PCAP.DISARM= not answered within 1 s"),
    ("wrong-reply:command=*PCAP.STATUS?,text=OK =Busy", "it means nothing to this driver"),
    ("wrong-reply:command=*PCAP.STATUS?,times=0,text=OK =Idle 0 0", "does not count our"),
    ("wrong-reply:command=*PCAP.ARM=,text=OK =3", "cannot be the answer to *PCAP.ARM="),
    ("extra-reply:command=*PCAP.ARM=", "an answer without a question"),
    ("half-line:command=*PCAP.ARM=", "connection ended inside a reply"),
    ("half-line:command=*PCAP.ARM=,then=stall", "*PCAP.ARM= not answered within 1 s"),
    ("long-line:command=*PCAP.STATUS?,length=100000", "a line of a reply exceeds 65536 bytes"),
    # the box, and others
    ("reboot:sample=150,seconds=60", ""),
    ("restart:sample=150,seconds=60", ""),
    ("clock-jump:before=*PCAP.ARM=,seconds=-1e6", None),
    ("someone-else:sample=100", None),
    ("someone-else:before=*PCAP.ARM=,command=*PCAP.ARM=", "somebody has armed it"),
    ("someone-else:before=*PCAP.ARM=,command=*CAPTURE=", "Nothing configured for capture"),
    ("someone-else:sample=50,command=*CAPTURE=", None),
]
"""A fault, and what ``panda-ophyd capture --arm`` says of it; None if it is to go well."""

ELSEWHERE = {"field-error", "unknown-class", "changes-entry"}
"""Faults that a capture does not meet; see the tests of the device."""

UNDETECTABLE = {"corrupt-rows"}
"""There are no check sums, so nobody can find out."""


def test_every_fault_is_driven_against_the_driver():
    assert {text.partition(":")[0] for text, _ in CAPTURED} | ELSEWHERE | UNDETECTABLE == set(
        FAULTS
    )


@pytest.fixture
def served() -> Iterator[Simulator]:
    with serve_in_thread() as simulator:
        asyncio.run(set_counting(simulator.address))
        while not simulator.call(nobody_there, simulator):
            time.sleep(0.005)
        yield simulator


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("text", "words"), CAPTURED)
def test_a_capture_says_what_is_wrong_and_leaves_no_wrong_file(served, tmp_path, text, words):
    fault = served.call(served.faults.inject_text, text)
    if text.startswith("refuse:"):
        while not fault.fired:
            time.sleep(0.005)
        time.sleep(0.05)
    path = tmp_path / "captured.h5"
    started = time.monotonic()
    command = ["capture", served.address, str(path), "--arm", "--seconds", "0.4"]
    result = CliRunner().invoke(command_line.app, command)
    assert time.monotonic() - started < BOUND
    assert fault.fired, result.output
    file = File(path)
    assert file.is_honest(), file.rows
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    if words is None:
        assert (result.exit_code, lines) == (0, [])
        assert file.complete
        assert f"{len(file.rows)} rows, ended" in " ".join(result.stdout.split())
    else:
        assert (result.exit_code, len(lines)) == (1, 1), result.output
        assert lines[0].startswith("panda-ophyd: ")
        assert words in lines[0]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "text",
    ["stall:port=data,after_samples=100", "missed:samples=10", "lost-reply:command=*PCAP.ARM="],
)
def test_a_capture_that_failed_leaves_the_box_disarmed(served, tmp_path, text):
    served.call(served.faults.inject_text, text)
    command = ["capture", served.address, str(tmp_path / "a.h5"), "--arm", "--seconds", "0.2"]
    assert CliRunner().invoke(command_line.app, command).exit_code == 1
    served.call(served.faults.clear)
    assert served.call(served._server.command, "*PCAP.COMPLETION?") == "OK =Disarmed\n"


@pytest.mark.usefixtures("impatient")
def test_a_capture_that_may_not_arm_leaves_the_acquisition_of_another_alone(served, tmp_path):
    assert served.call(served._server.command, "*PCAP.ARM=") == "OK\n"
    command = ["capture", served.address, str(tmp_path / "a.h5"), "--arm", "--seconds", "0.2"]
    result = CliRunner().invoke(command_line.app, command)
    assert "somebody has armed it" in result.stderr
    assert served.call(served._server.command, "*PCAP.COMPLETION?") == "OK =Busy\n"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("text", ["corrupt-rows:sample=50", "garble:port=data,at=600"])
def test_what_is_changed_within_a_row_cannot_be_known(served, tmp_path, text):
    fault = served.call(served.faults.inject_text, text)
    path = tmp_path / "captured.h5"
    command = ["capture", served.address, str(path), "--arm", "--seconds", "0.3"]
    assert CliRunner().invoke(command_line.app, command).exit_code == 0
    assert fault.fired == 1
    file = File(path)
    assert file.complete
    wrong = [n for n, value in enumerate(file.rows, start=1) if value != n]
    assert len(wrong) == 1


# The control connection by itself


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("close:after_received=20", PandaConnectionError, "the server closed it"),
        ("reset:after_received=20", PandaConnectionError, "reset by peer"),
        ("stall:after_received=20", PandaTimeoutError, "the connection stays open"),
        ("pull-cable:after_received=20", PandaTimeoutError, "the connection stays open"),
        ("lost-reply:command=TTLIN1*", PandaTimeoutError, "not answered within"),
        ("slow-command:command=TTLIN1*,seconds=9", PandaTimeoutError, "not answered within"),
        ("garble:at=88", PandaConnectionError, "cannot be part of a reply"),
        ("refuse-command:command=TTLIN1*,error=No such luck", CommandError, "No such luck"),
        ("field-error:field=TTLIN1.TERM,error=I/O error", CommandError, "I/O error"),
        ("half-line:command=TTLIN1*", PandaConnectionError, "ended inside a reply"),
        ("half-line:command=TTLIN1*,then=stall", PandaTimeoutError, "not answered within"),
        ("long-line:command=TTLIN1*", PandaConnectionError, "exceeds 65536 bytes"),
        ("wrong-reply:command=TTLIN1*,text=.", CommandError, "answers with lines"),
        ("wrong-reply:command=TTLIN1*,text=OK", PandaConnectionError, "cannot be the answer"),
        ("wrong-reply:command=TTLIN1*,text=ok =1", PandaConnectionError, "cannot be part"),
    ],
)
async def test_a_request_fails_for_the_reason_there_is(simulator, text, error, words):
    async with PandaClient(simulator.address, timeout=0.5) as client:
        simulator.faults.inject_text(text)

        async def ask_on() -> None:
            for _ in range(9):
                assert await client.query("TTLIN1.TERM") == "High-Z"

        with pytest.raises(error) as caught:
            await ask_on()
        assert words in str(caught.value)
        simulator.faults.clear()


@pytest.mark.parametrize(
    "text", ["trickle:delay=0", "split:pieces=4", "delay:seconds=0.02,jitter=0.02"]
)
async def test_slow_and_cut_replies_are_replies(simulator, text):
    async with PandaClient(simulator.address) as client:
        fault = simulator.faults.inject_text(text)
        for _ in range(3):
            assert await client.query("TTLIN1.TERM") == "High-Z"
            assert "PULSE 4" in await client.query_lines("*BLOCKS")
        assert fault.fired >= 6


async def test_a_slow_reply_that_comes_at_last_is_not_taken_for_the_next(simulator):
    async with PandaClient(simulator.address, timeout=0.2) as client:
        simulator.faults.inject("slow-command", command="*ECHO 1?", seconds=0.4)
        with pytest.raises(PandaTimeoutError):
            await client.query("*ECHO 1")
        await asyncio.sleep(0.3)
        assert await client.query("*ECHO 2") == "2"


async def test_after_a_lost_reply_no_answer_is_given_to_the_wrong_question(simulator):
    async with PandaClient(simulator.address, timeout=0.2) as client:
        simulator.faults.inject("lost-reply", command="*ECHO 1?")
        with pytest.raises(PandaTimeoutError):
            await client.query("*ECHO 1")
        for number in range(2, 6):
            assert await client.query(f"*ECHO {number}") == str(number)


async def test_after_many_lost_replies_pipelined_questions_are_answered(simulator):
    async with PandaClient(simulator.address, timeout=0.3) as client:
        simulator.faults.inject("lost-reply", command="*ECHO 1?", times=3)
        for _ in range(3):
            with pytest.raises(PandaTimeoutError):
                await client.query("*ECHO 1")
        asked = [client.query(f"*ECHO {number}") for number in range(20)]
        assert await asyncio.gather(*asked) == [str(number) for number in range(20)]
        await client.assign("PULSE1.PULSES", "3")
        assert await client.query("PULSE1.PULSES") == "3"


# The device


Connected = Callable[[], Any]


@pytest.fixture
async def counting_panda(
    simulator: Simulator, path_provider: StaticPathProvider, until: Any
) -> AsyncIterator[Any]:
    await set_counting(simulator.address)
    await until(lambda: nobody_there(simulator))
    panda = HDFPanda(simulator.address, path_provider, name="panda")
    yield panda
    simulator.faults.clear()
    with suppress(PandaError):  # a capture that was made to fail says so once more
        await panda.disconnect()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("refuse:port=control,seconds=60", "connection refused"),
        ("never-answer:port=control,times=0", "no answer"),
        ("close:port=control,after_bytes=5000", "connection ended inside a reply"),
        ("stall:port=control,after_bytes=5000", "no answer within 1 s"),
        ("garble:port=control,probability=0.01,times=0", "cannot be"),
        ("refuse-command:command=*BLOCKS?", "*BLOCKS? refused"),
        ("refuse-command:command=*CHANGES?", "*CHANGES? refused"),
        ("wrong-reply:command=*IDN?,text=OK =HAL 9000", "it answered *IDN? with 'HAL 9000'"),
        ("wrong-reply:command=*BLOCKS?,text=OK =3", "is no PandA"),
        ("half-line:command=*BLOCKS?", "connection ended inside a reply"),
        ("lost-reply:command=PULSE.*?", "no answer within 1 s"),
        ("extra-reply:command=*BLOCKS?", "an answer without a question"),
        ("long-line:command=*BLOCKS?", "exceeds 65536 bytes"),
        ("slow-command:command=*CHANGES?,seconds=60", "no answer within 1 s"),
    ],
)
async def test_a_device_does_not_connect_and_says_why(simulator, counting_panda, text, words):
    fault = simulator.faults.inject_text(text)
    if text.startswith("refuse:"):
        await fault.happened()
        await asyncio.sleep(0.05)
    async with asyncio.timeout(BOUND):
        with pytest.raises(NotConnectedError) as caught:
            await counting_panda.connect(timeout=1 if "no answer" in words else 5)
    assert words in str(caught.value)
    simulator.faults.clear()
    if not text.startswith("refuse:"):
        await counting_panda.connect(force_reconnect=True)


@pytest.mark.parametrize(
    "text",
    [
        "unknown-class:field=FILTER.MODE",
        "unknown-class:field=PCAP.TRIG,shown=bit_mux quark",
        "field-error:field=TTLIN1.TERM",
        "changes-entry",
        "changes-entry:entry=PULSE1.DELAY=7=8 (error)",
        "refuse-command:command=*DESC.*,times=0",
        "refuse-command:command=PULSE.*?",
        "refuse-command:command=SEQ.*?",
        "trickle:port=control,size=999,delay=0",
        "split:port=control",
    ],
)
async def test_a_device_connects_although_something_is_odd(simulator, counting_panda, text, caplog):
    fault = simulator.faults.inject_text(text)
    async with asyncio.timeout(BOUND):
        await counting_panda.connect()
        assert fault.fired
        assert await counting_panda.pcap.enable.get_value() == "ONE"
        assert await counting_panda.counter[1].enable.get_value() == "PCAP.ACTIVE"


async def test_a_field_that_comes_into_error_raises_when_read_and_recovers(
    simulator, counting_panda
):
    await counting_panda.connect()
    fault = simulator.faults.inject("field-error", field="PULSE1.DELAY", error="I/O error")
    with pytest.raises(CommandError, match=r"PULSE1\.DELAY\? refused by the PandA: I/O error"):
        await counting_panda.pulse[1].delay.get_value()
    fault.clear()
    assert await counting_panda.pulse[1].delay.get_value() == 0


async def fly(panda: HDFPanda, rows: int = 200) -> None:
    trigger = DetectorTrigger.EXTERNAL_EDGE
    try:
        await panda.stage()
        info = TriggerInfo(number_of_events=rows, trigger=trigger, exposure_timeout=IMPATIENCE)
        await panda.prepare(info)
        await panda.kickoff()
        await panda.complete()
    except BaseException:
        with suppress(PandaError, TimeoutError):
            await panda.unstage()
        raise
    await panda.unstage()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("close:port=data,after_samples=100", PandaConnectionError, "inside an acquisition"),
        ("close:port=control,connection=1", PandaConnectionError, "the server closed it"),
        ("reset:port=control,connection=2", PandaConnectionError, "reset by peer"),
        ("stall:port=data,after_samples=100", CaptureError, "or the data connection is stuck"),
        ("stall:port=control,connection=1", (PandaError, TimeoutError), ""),
        ("pull-cable:port=both,times=0", (PandaError, TimeoutError), ""),
        ("refuse:port=data,seconds=60", PandaConnectionError, "connection refused"),
        ("never-answer:port=data", (PandaError, TimeoutError), ""),
        ("bad-header", PandaConnectionError, "a header is not XML"),
        ("missed:samples=5", CaptureError, "5 samples were missed"),
        ("drop-rows:sample=50", CaptureError, "those from row 0 on are in doubt"),
        ("duplicate-rows:sample=50", CaptureError, "those from row 0 on are in doubt"),
        ("missing-end", CaptureError, "END did not come"),
        ("wrong-end", CaptureError, "take them again"),
        ("data-overrun:sample=50", CaptureError, "'Data overrun' after 50 samples"),
        ("end-reason:reason=dma-data-error,sample=100", CaptureError, "'DMA data error'"),
        (
            "end-reason:reason=ok,sample=100",
            CaptureError,
            "ended with 'Ok' after 100 rows of the 1000 that were asked for: PCAP.ENABLE fell",
        ),
        ("someone-else:sample=500", CaptureError, "somebody else disarmed it; rows from row "),
        ("no-start", StallError, "PCAP is armed and runs, has captured 0 and sent 0"),
        (
            "someone-else:before=*PCAP.ARM=,command=COUNTER1.OUT.CAPTURE=Min",
            CaptureError,
            "does not capture COUNTER1.OUT Value; its settings have changed",
        ),
        ("someone-else:before=*PCAP.ARM=,command=*PCAP.ARM=", CaptureError, "somebody has armed"),
        ("refuse-arm:times=0", CaptureError, "somebody has armed it"),
        ("lost-reply:command=*PCAP.ARM=", (PandaError, TimeoutError), "*PCAP.ARM"),
        ("reboot:sample=100,seconds=60", PandaConnectionError, ""),
        ("restart:sample=100,seconds=60", PandaConnectionError, ""),
    ],
)
async def test_a_flight_fails_for_the_reason_there_is(
    simulator, counting_panda, tmp_path, text, error, words
):
    await counting_panda.connect()
    fault = simulator.faults.inject_text(text)
    if text.startswith("refuse:"):
        await fault.happened()
        await asyncio.sleep(0.05)
    async with asyncio.timeout(25):
        # many more rows than until the fault, which may come late on a busy machine
        with pytest.raises(error) as caught:
            await fly(counting_panda, rows=1000)
    assert fault.fired
    assert words in str(caught.value)
    with suppress(PandaError):
        await counting_panda.disconnect()
    assert File(tmp_path / "scan.h5").is_honest()


@pytest.mark.parametrize(
    "text",
    [
        "refuse-arm:times=3",
        "trickle:port=data,size=64,delay=0",
        "stall:port=data,after_samples=50,seconds=0.3",
        "delay:port=both,seconds=0.05",
        "lost-reply:command=*CHANGES*",
        "clock-jump:sample=50",
    ],
)
async def test_a_flight_goes_well_although_something_is_odd(
    simulator, counting_panda, tmp_path, text
):
    await counting_panda.connect()
    fault = simulator.faults.inject_text(text)
    async with asyncio.timeout(25):
        await fly(counting_panda)
    assert fault.fired
    file = File(tmp_path / "scan.h5")
    assert file.complete
    assert file.consecutive
    assert len(file.rows) >= 200


@pytest.mark.parametrize("kind", ["reboot", "restart"])
async def test_a_device_sees_the_box_go_and_finds_it_as_it_came_back(
    simulator, tmp_path, until, kind
):
    files = StaticPathProvider(StaticFilenameProvider("scan"), tmp_path)
    await set_counting(simulator.address)
    panda: Any = HDFPanda(simulator.address, files, name="panda")
    await panda.connect()
    await panda.pulse[1].delay.set(3.5)
    session = panda._panda_connector.session
    assert session is not None
    fault = simulator.faults.inject(kind, seconds=0.3)
    await fault.happened()
    await until(lambda: session.lost is not None)
    with pytest.raises(PandaConnectionError):
        await panda.pulse[1].delay.get_value()
    with pytest.raises(NotConnectedError, match="connection refused"):
        await panda.connect(force_reconnect=True)
    async with asyncio.timeout(20):
        while True:
            try:
                await panda.connect(force_reconnect=True)
                break
            except NotConnectedError:
                await asyncio.sleep(0.05)
    kept = kind == "restart"
    assert await panda.pulse[1].delay.get_value() == (3.5 if kept else 0)
    assert await panda.pcap.enable.get_value() == ("ONE" if kept else "ZERO")
    assert await panda.counter[1].out_capture.get_value() == ("Value" if kept else "No")
    await set_counting(simulator.address)
    await fly(panda)
    await panda.disconnect()
    file = File(tmp_path / "scan.h5")
    assert file.complete
    assert file.consecutive


async def test_a_declared_field_that_nobody_understands_does_not_stop_a_connect(
    simulator, counting_panda
):
    simulator.faults.inject_text("unknown-class:field=PCOMP.START")
    await counting_panda.connect()
    with pytest.raises(NotConnectedError, match=r"PCOMP1\.START cannot be used: this driver does"):
        await counting_panda.pcomp[1].start.get_value()
    with pytest.raises(NotConnectedError, match=r"PCOMP1\.START cannot be used"):
        await counting_panda.pcomp[1].start.set(3)
    assert await counting_panda.pcomp[1].step.get_value() == 0
    await fly(counting_panda)


async def test_a_declared_field_in_error_raises_until_it_recovers(simulator, counting_panda):
    fault = simulator.faults.inject("field-error", field="PULSE1.DELAY", error="I/O error")
    await counting_panda.connect()
    with pytest.raises(CommandError, match=r"PULSE1\.DELAY\? refused by the PandA: I/O error"):
        await counting_panda.pulse[1].delay.get_value()
    fault.clear()
    assert await counting_panda.pulse[1].delay.get_value() == 0
    await counting_panda.pulse[1].delay.set(0.5)
    assert await counting_panda.pulse[1].delay.get_value() == 0.5
