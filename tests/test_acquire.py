"""One acquisition into one file: checked before, watched meanwhile, in order afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import h5py
import pytest
from typer.testing import CliRunner

from panda_ophyd import CaptureError, PandaClient, PandaConnectionError, PandaError, rescue
from panda_ophyd import acquire as acquiring
from panda_ophyd.acquire import Order, Progress, acquire
from panda_ophyd.capture import pcap_state
from panda_ophyd.capture import watch as watching
from panda_ophyd.check import State, check_file
from panda_ophyd.cli import app
from panda_ophyd.client import PandaAddress
from panda_ophyd.errors import PreflightError, StallError
from panda_ophyd.rescue import disarm_afresh
from panda_simulator import Simulator, serve_in_thread

CLOCKED = {
    "CLOCK1.PERIOD.UNITS": "us", "CLOCK1.PERIOD": "500", "CLOCK1.ENABLE": "PCAP.ACTIVE",
    "PCAP.TRIG": "CLOCK1.OUT", "PCAP.ENABLE": "ONE", "PCAP.TS_TRIG.CAPTURE": "Value",
    "PCAP.BITS0.CAPTURE": "Value",
}  # fmt: skip


async def set_up(address: str, settings: dict[str, str]) -> None:
    async with PandaClient(address) as client:
        for target, value in settings.items():
            await client.assign(target, value)


@pytest.fixture
async def address(simulator: Simulator) -> PandaAddress:
    await set_up(simulator.address, CLOCKED)
    return PandaAddress.parse(simulator.address)


def length(path: Path) -> int:
    with h5py.File(path) as file:
        return len(file["PCAP.TS_TRIG.Value"])


async def test_rows_that_were_asked_for_are_there_and_pcap_is_disarmed(address, tmp_path):
    seen: list[Progress] = []
    order = Order(arm=True, rows=100)
    result = await acquire(address, tmp_path / "a.h5", order, on_progress=seen.append)
    assert (result.rows, length(tmp_path / "a.h5")) == (100, 100)
    assert (seen[-1].rows, seen[-1].sample_bytes) == (100, 12)
    async with PandaClient(address) as client:
        assert (await pcap_state(client)).idle


async def test_fewer_rows_than_asked_for_is_an_error(simulator, address, tmp_path):
    simulator.faults.inject("end-reason", reason="ok", sample=50)
    with pytest.raises(CaptureError, match="'Ok' after 50 rows of the 100 that were asked for"):
        await acquire(address, tmp_path / "a.h5", Order(arm=True, rows=100))
    with h5py.File(tmp_path / "a.h5") as file:
        assert not file.attrs["complete"]
    assert length(tmp_path / "a.h5") == 50


async def test_fewer_rows_than_asked_for_when_time_is_up_is_an_error(address, tmp_path):
    path = tmp_path / "a.h5"
    order = Order(arm=True, rows=1_000_000, seconds=0.3)
    with pytest.raises(CaptureError, match=r"rows of the 1000000 .* within 0\.3 s") as caught:
        await acquire(address, path, order)
    assert caught.value.suspect_row == length(path) > 0
    report = check_file(path)
    assert report.state is State.BAD
    (problem,) = report.problems
    assert "within 0.3 s; allow more time, or ask for fewer" in problem
    async with PandaClient(address) as client:
        assert (await pcap_state(client)).completion == "Disarmed"


async def test_what_cannot_go_well_is_not_begun(address, tmp_path):
    await set_up(str(address), {"PCAP.TRIG": "ZERO"})
    with pytest.raises(PreflightError, match=r"PCAP\.TRIG is ZERO.*\[trigger\]"):
        await acquire(address, tmp_path / "a.h5", Order(arm=True, rows=1))
    assert not (tmp_path / "a.h5").exists()
    async with PandaClient(address) as client:
        assert (await pcap_state(client)).idle


async def test_a_stall_ends_with_its_report_and_disarms(address, tmp_path):
    await set_up(str(address), {"CLOCK1.ENABLE": "BITS.OUTA"})
    with pytest.raises(StallError, match=r"check that CLOCK1\.ENABLE is high \(BITS\.OUTA\)"):
        await acquire(address, tmp_path / "a.h5", Order(arm=True, rows=1, stall=0.6))
    async with PandaClient(address) as client:
        assert (await pcap_state(client)).completion == "Disarmed"


async def test_a_stuck_data_port_ends_without_any_time_given(
    simulator, address, tmp_path, monkeypatch
):
    monkeypatch.setattr(watching, "LOST_AFTER", 1.0)
    monkeypatch.setattr(acquiring, "GIVE_UP_TIMEOUT", 0.5)
    simulator.faults.inject("stall", port="data", after_samples=20)
    with pytest.raises(CaptureError, match="or the data connection is stuck"):
        await asyncio.wait_for(acquire(address, tmp_path / "a.h5", Order(arm=True)), 20)
    simulator.faults.clear()
    async with PandaClient(address) as client:
        assert (await pcap_state(client)).completion == "Disarmed"


async def test_somebody_elses_arm_is_waited_for_as_long_as_it_takes(simulator, address, tmp_path):
    order = Order(rows=10, stall=0.4)
    waiting = asyncio.create_task(acquire(address, tmp_path / "a.h5", order))
    await asyncio.sleep(1.2)
    assert not waiting.done()
    simulator._server.command("*PCAP.ARM=")
    result = await waiting
    assert result.rows == 10


@pytest.mark.parametrize("text", ["close:port=control", "reset:port=control"])
async def test_a_lost_control_link_leaves_nothing_armed(simulator, address, tmp_path, text, until):
    waiting = asyncio.create_task(acquire(address, tmp_path / "a.h5", Order(arm=True, stall=0.3)))
    await until(lambda: simulator._server.command("*PCAP.CAPTURED?") not in ("OK =0\n", ""))
    simulator.faults.inject_text(text)
    await set_up_elsewhere(simulator)
    with pytest.raises(PandaError) as caught:
        await asyncio.wait_for(waiting, 10)
    assert isinstance(caught.value, PandaConnectionError)
    assert caught.value.__notes__ == ["PCAP was left armed, and is disarmed now"]
    simulator.faults.clear()
    async with PandaClient(address) as client:
        assert (await pcap_state(client)).completion == "Disarmed"


async def set_up_elsewhere(simulator: Simulator) -> None:
    """Stop the triggers, so that the box is asked and the loss is noticed."""
    assert simulator._server.command("CLOCK1.ENABLE=ZERO") == "OK\n"


async def test_a_box_that_is_gone_is_said_to_be_left_armed(simulator, address, caplog):
    simulator.faults.inject("refuse", port="control", seconds=60)
    await asyncio.sleep(0.1)
    told = await disarm_afresh(address)
    assert "PCAP may still be armed and could not be disarmed" in told
    assert f"panda-ophyd put {address} '*PCAP.DISARM'" in told
    simulator.faults.clear()


async def test_a_box_that_is_not_armed_is_left_alone(address, monkeypatch):
    monkeypatch.setattr(rescue, "RESCUE_TIMEOUT", 1.0)
    assert await disarm_afresh(address) == "PCAP is not armed any more"


# The command


@pytest.fixture
def served() -> Any:
    with serve_in_thread() as simulator:
        asyncio.run(set_up(simulator.address, CLOCKED))
        yield simulator


def command(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["capture", *map(str, arguments)])


def test_a_check_can_be_waived_on_the_command_line(served, tmp_path):
    asyncio.run(set_up(served.address, {"PCAP.TRIG": "ZERO"}))
    path = tmp_path / "a.h5"
    refused = command(served.address, path, "--arm", "--seconds", "0.2")
    assert (refused.exit_code, "[trigger]" in refused.stderr) == (1, True)
    waived = command(served.address, path, "--arm", "--seconds", "0.2", "--waive", "trigger")
    assert "ended Disarmed, but it has no rows" in waived.stderr
    unknown = command(served.address, path, "--arm", "--waive", "trigge")
    assert "the checks are nothing-captured" in unknown.stderr


def test_a_stall_on_the_command_line_is_one_line(served, tmp_path):
    asyncio.run(set_up(served.address, {"CLOCK1.ENABLE": "ZERO"}))
    result = command(served.address, tmp_path / "a.h5", "--arm", "--timeout", "0.6")
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.strip()]
    assert "no row for" in line
    assert "check that CLOCK1.ENABLE is high (ZERO)" in line


def test_bits_are_unpacked_and_files_are_plain_on_request(served, tmp_path):
    command(served.address, tmp_path / "bits.h5", "--arm", "--rows", "5", "--bits")
    command(served.address, tmp_path / "plain.h5", "--arm", "--rows", "5", "--plain")
    with h5py.File(tmp_path / "bits.h5") as file:
        assert "TTLIN1.VAL" in file
    with h5py.File(tmp_path / "plain.h5") as file:
        assert set(file) == {"PCAP.TS_TRIG.Value", "PCAP.BITS0.Value"}
