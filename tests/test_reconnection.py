"""After a lost link the same device comes back by itself: tried again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import h5py
import pytest
from ophyd_async.core import (
    AutoIncrementFilenameProvider,
    DetectorTrigger,
    StaticPathProvider,
    TriggerInfo,
)

from panda_ophyd import HDFPanda, PandaConnectionError, PandaError
from panda_ophyd import reconnection as reconnecting
from panda_ophyd.reconnection import Reconnection, differences
from panda_simulator import Simulator

EDGE = DetectorTrigger.EXTERNAL_EDGE


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnecting, "DELAYS", (0.05, 0.1))


async def test_it_is_tried_until_it_goes_well():
    tries = 0

    async def attempt() -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise PandaConnectionError("not yet")

    reconnection = Reconnection("box", attempt, lambda: tries < 4)
    reconnection.begin()
    reconnection.begin()
    assert reconnection._task is not None
    await reconnection._task
    assert tries == 4


async def test_nothing_is_tried_that_is_not_lost():
    async def attempt() -> None:
        raise AssertionError

    reconnection = Reconnection("box", attempt, lambda: False)
    reconnection.begin()
    assert reconnection._task is not None
    await reconnection._task


async def test_it_can_be_stopped():
    async def attempt() -> None:
        await asyncio.sleep(60)

    reconnection = Reconnection("box", attempt, lambda: True)
    reconnection.begin()
    await asyncio.sleep(0.1)
    await reconnection.stop()
    await reconnection.stop()


def test_settings_that_differ_are_named():
    assert differences({"A.B": "1", "C.D": "2"}, {"A.B": "1", "C.D": "2", "E.F": "3"}) == ""
    assert differences({"A.B": "1", "C.D": "2"}, {"A.B": "1"}) == ""
    told = differences({f"A{n}.B": "1" for n in range(10)}, {f"A{n}.B": "2" for n in range(10)})
    assert told.startswith("10 settings are not what they were (A0.B, A1.B, A2.B, ")
    assert "A7.B and 2 more" in told


@pytest.fixture
async def panda(simulator: Simulator, tmp_path) -> AsyncIterator[Any]:
    provider = StaticPathProvider(AutoIncrementFilenameProvider("scan"), tmp_path)
    panda: Any = HDFPanda(simulator.address, provider, name="panda")
    await panda.connect()
    await panda.pcap.enable.set("ONE")
    await panda.pcap.trig.set("BITS.OUTA")
    await panda.pcap.ts_trig_capture.set("Value")
    yield panda
    simulator.faults.clear()
    with suppress(PandaError):
        await panda.disconnect()


def session(panda: Any) -> Any:
    return panda._panda_connector.session


async def back(panda: Any, former: Any) -> None:
    async with asyncio.timeout(15):
        while session(panda) in (former, None) or session(panda).lost is not None:  # noqa: ASYNC110  nobody announces it
            await asyncio.sleep(0.02)
        await panda.connect()


async def scan(panda: Any, rows: int) -> None:
    await panda.stage()
    await panda.prepare(TriggerInfo(number_of_events=rows, trigger=EDGE))
    await panda.kickoff()
    for _ in range(rows):
        await panda.bits.a.set(1)
        await panda.bits.a.set(0)
    await asyncio.wait_for(panda.complete(), 5)
    await panda.unstage()


async def test_a_blip_between_scans_is_not_noticed_by_the_next(simulator, panda, tmp_path, caplog):
    await scan(panda, 2)
    before = session(panda)
    fault = simulator.faults.inject("close", port="control", connection=1)
    await fault.happened()
    await back(panda, before)
    assert await panda.data.num_captured.get_value() == 2
    assert panda.verdict is not None
    assert panda.verdict.complete
    await scan(panda, 3)
    assert len(list(tmp_path.iterdir())) == 2
    assert "not what they were" not in caplog.text


async def test_a_monitor_goes_on_after_a_blip(simulator, panda, until):
    seen: list[Any] = []
    panda.bits.outa.subscribe_reading(lambda reading: seen.append(reading["panda-bits-outa"]))
    await until(lambda: bool(seen))
    before = session(panda)
    fault = simulator.faults.inject("close", port="control", connection=1)
    await fault.happened()
    await back(panda, before)
    seen.clear()
    await panda.bits.a.set(1)
    await until(lambda: any(reading["value"] is True for reading in seen))


async def test_a_reboot_is_told_from_a_blip(simulator, panda, caplog):
    await panda.pulse[1].delay.set(3.5)
    before = session(panda)
    fault = simulator.faults.inject("reboot", seconds=0.4)
    await fault.happened()
    await back(panda, before)
    assert "settings are not what they were (" in caplog.text
    assert "PCAP.ENABLE" in caplog.text
    assert await panda.pulse[1].delay.get_value() == 0


async def test_a_scan_under_way_fails_and_the_next_one_works(simulator, panda, tmp_path):
    await panda.stage()
    await panda.prepare(TriggerInfo(number_of_events=5, trigger=EDGE, exposure_timeout=60))
    await panda.kickoff()
    done = panda.complete()
    await panda.bits.a.set(1)
    before = session(panda)
    fault = simulator.faults.inject("close", port="control", connection=1)
    await fault.happened()
    with pytest.raises(PandaConnectionError):
        await asyncio.wait_for(done, 5)
    await back(panda, before)
    assert simulator._server.command("*PCAP.COMPLETION?") == "OK =Disarmed\n"
    with suppress(PandaError):
        await panda.unstage()
    await panda.bits.a.set(0)
    await scan(panda, 4)
    files = sorted(tmp_path.iterdir())
    with h5py.File(files[0]) as file:
        assert len(file["PCAP.TS_TRIG.Value"]) == 1
    with h5py.File(files[1]) as file:
        assert len(file["PCAP.TS_TRIG.Value"]) == 4


async def test_a_device_that_was_disconnected_stays_so(simulator, panda):
    await panda.disconnect()
    await asyncio.sleep(0.3)
    assert session(panda) is None


async def test_a_device_that_shall_not_come_back_does_not(simulator, tmp_path):
    provider = StaticPathProvider(AutoIncrementFilenameProvider("scan"), tmp_path)
    panda = HDFPanda(simulator.address, provider, name="panda", reconnect=False)
    await panda.connect()
    before = session(panda)
    fault = simulator.faults.inject("close", port="control", connection=1)
    await fault.happened()
    await asyncio.sleep(0.4)
    assert session(panda) is before
    assert before.lost is not None
    await panda.disconnect()


async def test_connecting_by_hand_while_it_is_tried_is_one_connection(simulator, panda):
    before = session(panda)
    fault = simulator.faults.inject("close", port="control", connection=1)
    await fault.happened()
    await panda.connect(force_reconnect=True)
    await back(panda, before)
    now = session(panda)
    await asyncio.sleep(0.4)
    assert session(panda) is now
