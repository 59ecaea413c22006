"""Why does no row come? The report in one line, and the box it is about."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from ophyd_async.core import DetectorTrigger, TriggerInfo

from panda_ophyd import PandaError
from panda_ophyd.errors import StallError
from panda_ophyd.stall import Scene, report
from panda_simulator import Simulator

EDGE = DetectorTrigger.EXTERNAL_EDGE

SEQUENCED = {
    "PCAP.ENABLE": "SEQ1.ACTIVE", "PCAP.GATE": "ONE", "PCAP.TRIG": "SEQ1.OUTA",
    "PCAP.TRIG_EDGE": "Falling", "SEQ1.ACTIVE": "1", "SEQ1.OUTA": "0", "SEQ1.STATE": "WAIT_TRIGGER",
    "SEQ1.HEALTH": "OK", "SEQ1.TABLE_LINE": "3", "SEQ1.ENABLE": "BITS.OUTA", "BITS.OUTA": "1",
}  # fmt: skip


def told(settings: dict[str, str], ages: dict[str, float] | None = None, **known: Any) -> str:
    numbers: dict[str, Any] = {
        "quiet": 12.3, "rows": 37, "wanted": 100, "received": 37, "captured": 37,
        "completion": "Busy",
    }  # fmt: skip
    return report(Scene(**(numbers | known), settings=settings, ages=ages or {}))


def test_a_report_is_one_line_with_all_that_is_known():
    text = told(SEQUENCED, {"SEQ1.OUTA": 12.2, "TTLIN1.VAL": 1.0})
    assert text == (
        "no row for 12.3 s, 37 of 100 rows are on the disk; PCAP is armed and runs, has captured 37"
        " and sent 37; ENABLE is SEQ1.ACTIVE=1, GATE is ONE, TRIG is SEQ1.OUTA=0 (Falling); SEQ1"
        " STATE=WAIT_TRIGGER HEALTH=OK TABLE_LINE=3; the last change on the way to PCAP was"
        " SEQ1.OUTA=0, 12.2 s ago; check what line 3 of SEQ1's table waits for: its bit or position"
    )


@pytest.mark.parametrize(
    ("changes", "known", "words"),
    [
        ({}, {"completion": "Disarmed"}, "PCAP has ended (Disarmed)"),
        ({}, {"completion": "Ok"}, "who or what ended the acquisition"),
        ({}, {"received": 40}, "the disk: rows wait to be written"),
        ({"SEQ1.STATE": "UNREADY"}, {}, "that SEQ1 has a table"),
        ({"SEQ1.STATE": "WAIT_ENABLE"}, {}, "that SEQ1.ENABLE rises (BITS.OUTA)"),
        ({"SEQ1.ACTIVE": "0", "SEQ1.STATE": "PHASE1"}, {}, "what makes PCAP.ENABLE high"),
        ({"SEQ1.ACTIVE": "0"}, {}, "PCAP is armed and waits for ENABLE"),
        ({"PCAP.TRIG": "TTLIN1.VAL", "PCAP.ENABLE": "ONE"}, {}, "cable or block behind TTLIN1.VAL"),
        ({"PCAP.TRIG": "ZERO", "PCAP.ENABLE": "ONE"}, {}, "PCAP.TRIG, which is ZERO"),
        (
            {"PCAP.TRIG": "CLOCK1.OUT", "PCAP.ENABLE": "ONE", "CLOCK1.ENABLE": "ZERO"},
            {},
            "that CLOCK1.ENABLE is high (ZERO)",
        ),
        (
            {"PCAP.TRIG": "CLOCK1.OUT", "PCAP.ENABLE": "ONE", "CLOCK1.ENABLE": "ONE",
             "CLOCK1.PERIOD": "0", "CLOCK1.WIDTH": "0"},
            {},
            "CLOCK1.PERIOD, which is 0",
        ),
        (
            {"PCAP.TRIG": "PULSE1.OUT", "PCAP.ENABLE": "ONE", "PULSE1.ENABLE": "ONE",
             "PULSE1.TRIG": "TTLIN1.VAL", "PULSE1.DROPPED": "7"},
            {},
            "PULSE1, which has dropped 7 triggers",
        ),
        (
            {"PCAP.TRIG": "PCOMP1.OUT", "PCAP.ENABLE": "ONE", "PCOMP1.INP": "INENC1.VAL",
             "PCOMP1.STATE": "WAIT_RISING", "PCOMP1.HEALTH": "OK"},
            {},
            "that INENC1.VAL moves, and the right way",
        ),
        (
            {"PCAP.TRIG": "PCOMP1.OUT", "PCAP.ENABLE": "ONE",
             "PCOMP1.HEALTH": "Position jumped by more than STEP"},
            {},
            "PCOMP1: Position jumped",
        ),
    ],
)  # fmt: skip
def test_what_to_check_depends_on_what_is_seen(changes, known, words):
    text = told(SEQUENCED | changes, **known)
    assert words in text
    assert "\n" not in text


def test_a_box_that_says_nothing_gives_a_report_too():
    text = told({}, wanted=None, rows=0)
    assert "0 rows are on the disk" in text
    assert "ENABLE unknown, GATE unknown, TRIG unknown" in text
    assert "nothing has changed since" in text


def test_changes_elsewhere_are_told_if_there_are_none_on_the_way():
    assert "the last change was TTLIN4.VAL, 3.0 s ago" in told(SEQUENCED, {"TTLIN4.VAL": 3.0})


@pytest.fixture
async def flying(simulator: Simulator, panda: Any) -> Any:
    await panda.pcap.ts_trig_capture.set("Value")
    await panda.pcap.enable.set("ONE")

    async def begin(events: int = 3, exposure_timeout: float = 0.5) -> Any:
        await panda.stage()
        info = TriggerInfo(number_of_events=events, trigger=EDGE, exposure_timeout=exposure_timeout)
        await panda.prepare(info)
        await panda.kickoff()
        return panda.complete()

    yield begin
    with suppress(PandaError):
        await panda.unstage()


async def test_a_scan_without_its_clock_ends_with_what_to_check(panda, flying):
    await panda.pcap.trig.set("CLOCK1.OUT")
    await panda.clock[1].period.set(0.001)
    done = await flying()
    with pytest.raises(StallError) as caught:
        await asyncio.wait_for(done, 5)
    text = str(caught.value)
    assert text.startswith("panda: no row for ")
    assert "0 of 3 rows" in text
    assert "ENABLE is ONE, GATE is ZERO, TRIG is CLOCK1.OUT=0 (Rising)" in text
    assert "check that CLOCK1.ENABLE is high (ZERO)" in text


async def test_a_scan_that_stops_in_the_middle_says_how_far_it_got(panda, flying):
    await panda.pcap.trig.set("BITS.OUTA")
    done = await flying()
    await panda.bits.a.set(1)
    with pytest.raises(StallError) as caught:
        await asyncio.wait_for(done, 5)
    assert "1 of 3 rows" in str(caught.value)
    assert "the last change on the way to PCAP was BITS.OUTA=1" in str(caught.value)
    assert caught.value.suspect_row == 1


async def test_a_slow_trigger_that_settings_tell_of_is_waited_for(simulator, panda, monkeypatch):
    await panda.pcap.ts_trig_capture.set("Value")
    await panda.pcap.enable.set("ONE")
    await panda.pcap.trig.set("CLOCK1.OUT")
    await panda.clock[1].period.set(2.4)
    await panda.clock[1].enable.set("PCAP.ACTIVE")
    await panda.data.stall_timeout.set(2)
    await panda.stage()
    await panda.prepare(TriggerInfo(number_of_events=2, trigger=EDGE))
    await panda.kickoff()
    await asyncio.wait_for(panda.complete(), 10)
    await panda.unstage()
