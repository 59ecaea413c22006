"""Whoever waits for rows is told when they will not come: early ends, lost rows, others' arms."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import h5py
import pytest
from ophyd_async.core import DetectorTrigger, NotConnectedError, TriggerInfo

from panda_ophyd import CaptureError, HDFPanda, PandaConnectionError, PandaError
from panda_ophyd.capture import Capture
from panda_ophyd.capture import watch as watching
from panda_ophyd.check import State, check_file
from panda_ophyd.errors import StallError
from panda_ophyd.progress import Rate
from panda_simulator import Simulator

EDGE = DetectorTrigger.EXTERNAL_EDGE


@pytest.fixture
async def armed(panda: HDFPanda) -> Any:
    """A device that takes a row at each rise of BITS.A, while BITS.B is high."""
    children: Any = panda
    await children.pcap.enable.set("BITS.OUTB")
    await children.pcap.trig.set("BITS.OUTA")
    await children.pcap.ts_trig_capture.set("Value")
    await children.bits.b.set(1)
    yield children
    with suppress(PandaError):
        await panda.unstage()


async def rows(panda: Any, number: int) -> None:
    for _ in range(number):
        await panda.bits.a.set(1)
        await panda.bits.a.set(0)


async def flying(panda: Any, events: int, **info: Any) -> Any:
    await panda.stage()
    await panda.prepare(TriggerInfo(number_of_events=events, trigger=EDGE, **info))
    await panda.kickoff()
    return panda.complete()


async def others_command(simulator: Simulator, command: str) -> None:
    assert simulator._server.command(command) == "OK\n"


async def test_an_enable_that_falls_too_early_fails_the_wait_at_once(armed, tmp_path):
    done = await flying(armed, 10, exposure_timeout=60)
    await rows(armed, 4)
    await armed.bits.b.set(0)
    with pytest.raises(CaptureError, match=r"'Ok' after 4 rows of the 10.*ENABLE fell") as caught:
        await asyncio.wait_for(done, 5)
    assert (caught.value.reason, caught.value.suspect_row) == ("Ok", 4)
    with pytest.raises(CaptureError):
        await armed.unstage()
    with h5py.File(tmp_path / "scan.h5") as file:
        assert not file.attrs["complete"]
        assert (file.attrs["end_reason"], file.attrs["suspect_row"]) == (b"Ok", -1)
        assert len(file["PCAP.TS_TRIG.Value"]) == 4


async def test_a_disarm_of_somebody_else_fails_the_wait_at_once(simulator, armed):
    done = await flying(armed, 10, exposure_timeout=60)
    await others_command(simulator, "*PCAP.DISARM=")
    with pytest.raises(CaptureError, match=r"after 0 rows of the 10.*somebody else disarmed it"):
        await asyncio.wait_for(done, 5)


async def test_the_plans_own_disarm_is_not_taken_for_somebody_elses(armed, tmp_path):
    done = await flying(armed, 6, exposure_timeout=60)
    for _ in range(2):
        await rows(armed, 3)
        await armed.pcap.arm.set(False)
        await armed.pcap.arm.set(True)
    await asyncio.wait_for(done, 5)
    await armed.unstage()
    with h5py.File(tmp_path / "scan.h5") as file:
        assert file.attrs["complete"]
        assert len(file["PCAP.TS_TRIG.Value"]) == 6


async def test_many_arms_into_one_file_are_watched_by_one(armed, tmp_path):
    await flying(armed, 60, exposure_timeout=60)
    before = len(asyncio.all_tasks())
    for _ in range(20):
        await rows(armed, 3)
        await armed.pcap.arm.set(False)
        await armed.pcap.arm.set(True)
    # One that stayed for each arm would be twenty; a question under way has some of its own
    assert len(asyncio.all_tasks()) < before + 10
    await armed.unstage()
    with h5py.File(tmp_path / "scan.h5") as file:
        assert len(file["PCAP.TS_TRIG.Value"]) == 60
        assert file.attrs["complete"]


async def test_disarming_is_over_when_the_rows_are_on_the_disk(armed):
    await flying(armed, 10)
    await rows(armed, 7)
    await armed.pcap.arm.set(False)
    assert await armed.data.num_captured.get_value() == 7


async def test_an_acquisition_of_somebody_else_in_our_file_is_an_error(simulator, armed, until):
    done = await flying(armed, 3)
    await rows(armed, 3)
    await done
    await armed.pcap.arm.set(False)
    await others_command(simulator, "*PCAP.ARM=")
    await rows(armed, 2)
    await others_command(simulator, "*PCAP.DISARM=")
    capture = armed._panda_connector.data.flight.capture
    await until(lambda: capture.error is not None)
    with pytest.raises(CaptureError, match=r"somebody else has armed PCAP: rows from row 3 on"):
        await armed.unstage()
    assert "somebody else" in await armed.data.verdict.get_value()


async def test_rows_of_somebody_elses_acquisition_are_told_of_at_once(simulator, armed):
    done = await flying(armed, 10, exposure_timeout=60)
    await rows(armed, 3)
    await armed.pcap.arm.set(False)
    await others_command(simulator, "*PCAP.ARM=")
    await rows(armed, 1)
    with pytest.raises(CaptureError, match=r"somebody else has armed PCAP: rows from row 3 on"):
        await asyncio.wait_for(done, 5)
    assert simulator._server.command("*PCAP.COMPLETION?") == "OK =Busy\n"  # no END has come
    assert armed.verdict.acquisitions[-1].first_row == 3
    await others_command(simulator, "*PCAP.DISARM=")


@pytest.mark.parametrize("waiting", [True, False])
async def test_a_row_lost_on_the_way_is_told_before_unstage(simulator, armed, monkeypatch, waiting):
    monkeypatch.setattr(watching, "LOST_AFTER", 0.8)
    simulator.faults.inject("drop-rows", sample=2, count=1)
    done = await flying(armed, 5, exposure_timeout=60)
    await rows(armed, 5)
    if waiting:
        with pytest.raises(CaptureError, match=r"captured 5 rows, 4 of them came.*1 were lost"):
            await asyncio.wait_for(done, 5)
        return

    async def collect() -> None:
        while True:
            await armed.get_index()
            await asyncio.sleep(0.1)

    with pytest.raises(CaptureError, match="captured 5 rows, 4 of them came"):
        await asyncio.wait_for(collect(), 10)


async def test_rows_lost_and_replaced_by_later_ones_fail_complete(simulator, armed, monkeypatch):
    monkeypatch.setattr(watching, "LOST_AFTER", 0.8)
    simulator.faults.inject("drop-rows", sample=2, count=1)
    done = await flying(armed, 4)
    await rows(armed, 5)
    with pytest.raises(CaptureError, match="captured 5 rows, 4 of them came"):
        await asyncio.wait_for(done, 5)


async def test_no_row_in_time_is_a_stall_and_a_timeout(armed):
    done = await flying(armed, 2, exposure_timeout=0.3)
    with pytest.raises(StallError) as caught:
        await asyncio.wait_for(done, 5)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.suspect_row == 0


async def test_with_the_time_out_off_a_scan_waits(armed):
    await armed.data.stall_timeout.set(0)
    done = await flying(armed, 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(done.task), 1.2)
    await rows(armed, 1)
    await asyncio.wait_for(done, 5)


async def test_the_verdict_is_a_signal_and_a_value(armed):
    assert await armed.data.verdict.get_value() == ""
    assert armed.verdict is None
    done = await flying(armed, 2)
    assert "NOT complete: 0 rows of 0 acq" in await armed.data.verdict.get_value()
    await rows(armed, 2)
    await done
    await armed.unstage()
    told = "complete: 2 rows of 1 acquisition, ended Disarmed"
    assert await armed.data.verdict.get_value() == str(armed.verdict) == told
    assert armed.verdict is not None
    assert armed.verdict.complete


async def test_progress_has_rows_and_the_time_left(armed):
    from ophyd_async.core import WatcherUpdate

    updates: list[Any] = []
    done = await flying(armed, 4)
    done.watch(lambda **update: updates.append(update))
    for _ in range(4):
        await rows(armed, 1)
        await asyncio.sleep(0.15)
    await done
    assert updates[-1]["current"] == updates[-1]["target"] == 4
    assert updates[-1]["unit"] == " rows"
    assert updates[-1]["fraction"] == 1.0
    rate = Rate()
    assert rate(WatcherUpdate(current=0, initial=0, target=9)).time_remaining is None
    assert rate(WatcherUpdate(current=3, initial=0, target=9)).time_remaining is None
    remaining = rate(WatcherUpdate(current=6, initial=0, target=9)).time_remaining
    assert remaining is not None
    assert remaining >= 0


async def test_a_box_left_armed_by_a_lost_link_is_disarmed_over_another(simulator, armed):
    done = await flying(armed, 10, exposure_timeout=60)
    fault = simulator.faults.inject("close", port="control", connection=1)
    await fault.happened()
    with pytest.raises(PandaConnectionError, match=r"the server closed it; PCAP was armed, and"):
        await asyncio.wait_for(done, 5)
    with pytest.raises(PandaConnectionError, match="PCAP was left armed, and is disarmed now"):
        await armed.pcap.arm.set(False)
    assert simulator._server.command("*PCAP.COMPLETION?") == "OK =Disarmed\n"
    assert "is disarmed now" in await armed.data.status.get_value()


async def test_a_wait_that_was_left_alone_does_no_harm_to_the_next_scan(
    armed, tmp_path, monkeypatch
):
    monkeypatch.setattr(watching, "LOST_AFTER", 0.3)
    left = await flying(armed, 10, exposure_timeout=60)
    await rows(armed, 2)
    await armed.unstage()  # as a plan does that is aborted
    (tmp_path / "scan.h5").unlink()
    done = await flying(armed, 30, exposure_timeout=60)
    for _ in range(10):
        await rows(armed, 3)
        await asyncio.sleep(0.1)
    await asyncio.wait_for(done, 5)
    await armed.unstage()
    assert armed.verdict.complete
    assert await armed.data.status.get_value() == "OK"
    assert not left.done  # its own patience is not over
    left.task.cancel()


async def test_a_wait_whose_file_was_closed_ends(armed, monkeypatch):
    monkeypatch.setattr(watching, "LOST_AFTER", 0.3)
    done = await flying(armed, 10, exposure_timeout=0.3)
    await rows(armed, 2)
    await armed.unstage()
    assert not done.done  # the plan that closes it goes on with what it has to clean up
    with pytest.raises(CaptureError, match="the file was closed with 2 rows of the 10"):
        await asyncio.wait_for(done, 5)
    assert armed.verdict.complete
    assert await armed.data.status.get_value() == "OK"


async def test_a_file_is_closed_when_unstaging_has_failed(simulator, armed, tmp_path, monkeypatch):
    await flying(armed, 10, exposure_timeout=60)
    await rows(armed, 3)
    closing = asyncio.Event()
    original = Capture.close

    async def slow(self: Capture, **options: Any) -> Any:
        closing.set()
        await asyncio.sleep(0.3)
        return await original(self, **options)

    monkeypatch.setattr(Capture, "close", slow)
    fault = simulator.faults.inject("reboot", seconds=60)
    await fault.happened()
    with pytest.raises(PandaConnectionError):
        await armed.unstage()
    assert closing.is_set()
    report = check_file(tmp_path / "scan.h5")
    assert report.state is State.BAD
    assert not any("never closed" in problem for problem in report.problems)


async def test_a_box_that_stays_away_is_disarmed_when_it_comes_back(simulator, armed):
    done = await flying(armed, 10, exposure_timeout=60)
    simulator.faults.inject("refuse", port="control", seconds=3)
    await asyncio.sleep(0.1)
    session = armed._panda_connector.session
    assert session is not None
    session._fail(PandaConnectionError("the link is gone"))
    with pytest.raises(PandaConnectionError):
        await asyncio.wait_for(done, 5)
    with pytest.raises(PandaConnectionError, match="PCAP may still be armed"):
        await armed.pcap.arm.set(False)
    assert simulator._server.command("*PCAP.COMPLETION?") == "OK =Busy\n"
    async with asyncio.timeout(10):
        while True:
            with suppress(NotConnectedError):
                await armed.connect(force_reconnect=True)
                break
            await asyncio.sleep(0.05)
    assert simulator._server.command("*PCAP.COMPLETION?") == "OK =Disarmed\n"
