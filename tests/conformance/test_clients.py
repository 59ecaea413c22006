"""The `pandablocks` client, which knows nothing of us, works with the simulator.

It knows no other ports than 8888 and 8889, so the simulator takes these on a loopback
address of its own; where they are taken on all addresses the tests are skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pandablocks.asyncio import AsyncioClient  # pyright: ignore[reportMissingTypeStubs]
from pandablocks.blocking import BlockingClient  # pyright: ignore[reportMissingTypeStubs]
from pandablocks.commands import (  # pyright: ignore[reportMissingTypeStubs]
    Append,
    Arm,
    ChangeGroup,
    CommandError,
    Disarm,
    Get,
    GetBlockInfo,
    GetChanges,
    GetFieldInfo,
    GetLine,
    GetMultiline,
    GetPcapBitsLabels,
    GetState,
    Identify,
    Put,
    SetState,
)
from pandablocks.responses import EndData, EndReason, FrameData, ReadyData, StartData  # pyright: ignore[reportMissingTypeStubs]

from panda_simulator import Simulator, serve_in_thread

from .rig import wait_until
from .wire import Address, Control

LOOPBACK = [f"127.0.8.{number}" for number in range(1, 9)]


@pytest.fixture
def simulator(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """A box on the ports that the client knows, whose samples count."""
    if request.config.getoption("--panda"):
        pytest.skip("the simulator is what these tests judge")
    with contextlib.ExitStack() as stack:
        for host in LOOPBACK:
            with contextlib.suppress(OSError):
                serving = serve_in_thread(
                    hardware="echo", host=host, control_port=8888, data_port=8889
                )
                simulator = stack.enter_context(serving)
                break
        else:
            pytest.skip("ports 8888 and 8889 are taken")
        yield simulator


@pytest.fixture
def control(simulator: Simulator) -> Iterator[Control]:
    with Control(Address.parse(simulator.address)) as control:
        yield control


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pandablocks", *arguments]


def run(*arguments: str, stdin: str = "") -> tuple[str, str]:
    """Run the client's own command line, and return what it prints and what it warns of."""
    done = subprocess.run(  # noqa: S603 (our own interpreter)
        command(*arguments), input=stdin, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


async def test_the_asyncio_client_discovers_everything(simulator: Simulator):
    async with AsyncioClient(simulator.host) as client:
        identity = await client.send(Identify())
        assert identity.software == "4.1"
        blocks = await client.send(GetBlockInfo())
        assert blocks["SEQ"].number == 2
        fields = await asyncio.gather(*(client.send(GetFieldInfo(block)) for block in blocks))
        assert sum(map(len, fields)) == 257
        table: Any = dict(zip(blocks, fields, strict=True))["SEQ"]["TABLE"]
        assert table.row_words == 4
        assert table.fields["TRIGGER"].labels[1] == "BITA=0"
        labels = await client.send(GetPcapBitsLabels())
        assert {len(names) for names in labels.values()} == {32}


async def test_the_asyncio_client_reads_and_writes(simulator: Simulator):
    async with AsyncioClient(simulator.host) as client:
        await client.send(Put("TTLIN1.TERM", "50-Ohm"))
        assert await client.send(Get("TTLIN1.TERM")) == "50-Ohm"
        with pytest.raises(CommandError, match="Invalid enumeration value"):
            await client.send(Put("TTLIN1.TERM", "nothing"))
        await client.send(Put("SEQ1.TABLE", ["1 2 3 4", "5 6 7 8"]))
        assert await client.send(GetMultiline("SEQ1.TABLE")) == list("12345678")
        await client.send(Put("SEQ1.TABLE", []))
        await client.send(Append("SEQ1.TABLE", ["1 2 3 4"]))
        await client.send(Append("SEQ1.TABLE", ["5 6 7 8"], last=True))
        assert await client.send(GetLine("SEQ1.TABLE.MODE")) == "STREAMING_LAST"
        await client.send(Put("SEQ1.TABLE", []))
        changes = await client.send(GetChanges(ChangeGroup.CONFIG))
        assert changes.values["TTLIN1.TERM"] == "50-Ohm"
        await client.send(Put("TTLIN1.TERM", "High-Z"))
        changes = await client.send(GetChanges(ChangeGroup.CONFIG))
        assert changes.values == {"TTLIN1.TERM": "High-Z"}


@pytest.mark.parametrize("scaled", [True, False])
async def test_the_asyncio_client_captures(simulator: Simulator, scaled):
    async with AsyncioClient(simulator.host) as client:
        await client.send(Put("COUNTER1.OUT.CAPTURE", "Min Max"))
        await client.send(Put("COUNTER1.OUT.SCALE", "0.5"))
        await client.send(Put("PCAP.TS_TRIG.CAPTURE", "Value"))
        rows: list[np.ndarray] = []
        samples = 0
        async with contextlib.aclosing(client.data(scaled=scaled, frame_timeout=10)) as stream:
            async for data in stream:
                if isinstance(data, ReadyData):
                    while await client.send(Get("*PCAP.STATUS")) == "Idle 0 0":  # noqa: ASYNC110 (as it is)
                        await asyncio.sleep(0.01)
                    await client.send(Arm())
                elif isinstance(data, StartData):
                    assert [field.capture for field in data.fields] == ["Min", "Max", "Value"]
                elif isinstance(data, FrameData):
                    rows.append(data.data)
                    if len(rows) == 2:
                        await client.send(Disarm())
                elif isinstance(data, EndData):
                    assert data.reason == EndReason.OK
                    samples = data.samples
                    break
    found = np.concatenate(rows)
    assert len(found) == samples
    factor = 0.5 if scaled else 1
    assert found["COUNTER1.OUT.Min"].tolist() == [factor * 256 * n for n in range(samples)]
    assert found["COUNTER1.OUT.Max"].tolist() == [factor * (256 * n + 1) for n in range(samples)]


def test_the_blocking_client_does_the_same(simulator: Simulator, control: Control):
    with BlockingClient(simulator.host) as client:
        blocks = client.send(GetBlockInfo())
        infos = client.send([GetFieldInfo(block) for block in blocks])
        assert sum(map(len, infos)) == 257
        client.send(Put("PCAP.BITS0.CAPTURE", "Value"))
        frames = 0
        for data in client.data(scaled=False, frame_timeout=10):
            if isinstance(data, ReadyData):
                while control.value("*PCAP.STATUS") == "Idle 0 0":
                    time.sleep(0.01)
                client.send(Arm())
            elif isinstance(data, FrameData):
                frames += 1
                client.send(Disarm())
            elif isinstance(data, EndData):
                assert data.samples >= frames >= 1
                break


def test_the_console_prints_replies(simulator: Simulator):
    stdin = "*ECHO hello?\nSEQ1.TABLE<\n1 2 3 4\n\nSEQ1.TABLE?\nNOSUCH?\n"
    printed, _ = run("control", simulator.host, "--no-readline", "--prompt", "", stdin=stdin)
    lines = printed.split("\n")
    expected = "OK =hello|OK|!1|!2|!3|!4|.|ERR No such block"
    assert "|".join(line for line in lines if line) == expected


def test_a_state_is_saved_and_loaded(simulator: Simulator, control: Control, tmp_path: Path):
    saved, again = tmp_path / "one.sav", tmp_path / "two.sav"
    control.ok("PULSE1.DELAY.UNITS=ms")
    control.ok("PULSE1.DELAY=2.5")
    control.ok("LUT1.FUNC=A&B")
    control.ok("*METADATA.LABEL_PULSE1=µ text")
    assert control.table("SEQ1.TABLE", "", "1 2 3 4") == "OK"
    run("save", simulator.host, str(saved))
    control.ok("PULSE1.DELAY.UNITS=s")
    control.ok("PULSE1.DELAY=0")
    control.ok("LUT1.FUNC=0x0")
    control.ok("*METADATA.LABEL_PULSE1=")
    assert control.table("SEQ1.TABLE", "") == "OK"
    _, warnings = run("load", simulator.host, str(saved))
    # the client saves them, and no server takes them back
    assert all(".QUEUED_LINES=0'" in line for line in warnings.splitlines())
    assert control.value("PULSE1.DELAY") == "2.5"
    assert control.value("LUT1.FUNC") == "A&B"
    assert control.value("*METADATA.LABEL_PULSE1") == "µ text"
    assert control.lines("SEQ1.TABLE") == list("1234")
    run("save", simulator.host, str(again))
    assert sorted(saved.read_text().split("\n")) == sorted(again.read_text().split("\n"))


def test_the_tutorial_is_loaded(simulator: Simulator, control: Control):
    run("load", simulator.host, "--tutorial")
    assert control.value("PCAP.ENABLE") != "ZERO"


async def test_states_are_given_and_taken_by_the_client(simulator: Simulator):
    async with AsyncioClient(simulator.host) as client:
        state = await client.send(GetState())
        assert len(state) > 800
        await client.send(SetState([line for line in state if "QUEUED_LINES" not in line]))


def test_files_are_written_of_two_acquisitions(simulator: Simulator, control: Control, tmp_path):
    control.ok("COUNTER1.OUT.CAPTURE=Value Mean")
    control.ok("COUNTER1.OUT.SCALE=0.5")
    arguments = command("hdf", simulator.host, f"{tmp_path}/%d.h5", "--num", "2", "--arm")
    writing = subprocess.Popen(arguments, stderr=subprocess.PIPE)  # noqa: S603 (as above)
    try:
        for _ in range(2):
            wait_until(lambda: control.value("*PCAP.COMPLETION") == "Busy", "armed")
            wait_until(lambda: int(control.value("*PCAP.CAPTURED")) >= 2, "two samples")
            control.ok("*PCAP.DISARM=")
            wait_until(lambda: control.value("*PCAP.COMPLETION") == "Ok", "the end")
        _, errors = writing.communicate(timeout=20)
        assert writing.returncode == 0, errors
    finally:
        if writing.poll() is None:
            writing.kill()
            writing.communicate()
    for number in (1, 2):
        with h5py.File(tmp_path / f"{number}.h5") as file:
            values = np.asarray(file["COUNTER1.OUT.Value"])
            assert len(values) >= 2
            # behind the hidden count, which is the first word
            assert values.tolist() == [0.5 * (1 + 256 * n) for n in range(len(values))]
            assert len(np.asarray(file["COUNTER1.OUT.Mean"])) == len(values)
