"""Will this capture anything? Each check, the distance of triggers, and all of it over TCP."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ophyd_async.core import DetectorTrigger, StaticPathProvider, TriggerInfo

from panda_ophyd import CaptureError, FieldValueError, HDFPanda, PandaClient, PandaError
from panda_ophyd.errors import PreflightError
from panda_ophyd.preflight import CHECKS, Setup, Spacing, problems, spacing, waivers
from panda_simulator import Simulator

EDGE = DetectorTrigger.EXTERNAL_EDGE

SOUND = {
    "PCAP.ENABLE": "SEQ1.ACTIVE",
    "PCAP.GATE": "ONE",
    "PCAP.TRIG": "CLOCK1.OUT",
    "PCAP.TRIG_EDGE": "Rising",
    "CLOCK1.ENABLE": "ZERO",
    "CLOCK1.PERIOD": "0.001",
    "CLOCK1.PERIOD.UNITS": "s",
    "CLOCK1.WIDTH": "0",
    "CLOCK1.WIDTH.UNITS": "s",
    "SEQ1.ENABLE": "ZERO",
}

MANY = [(f"INENC{n}.VAL", ("Value", "Sum", "Mean")) for n in range(1, 12)]


def of(changes: dict[str, str] | None = None, **known: Any) -> Setup:
    captured = known.pop("captured", [("PCAP.TS_TRIG", ("Value",)), ("INENC1.VAL", ("Mean",))])
    return Setup(settings=SOUND | (changes or {}), captured=captured, **known)


def test_nothing_is_wrong_with_what_works():
    assert problems(of(rows=1000, free=10**9, written=1e6)) == {}


def test_what_is_not_known_is_no_problem():
    assert problems(Setup(settings={}, captured=[("X", ("Mean",))])) == {}


@pytest.mark.parametrize(
    ("name", "setup", "words"),
    [
        (
            "nothing-captured",
            of(captured=[], candidates=[f"A{n}.B" for n in range(14)]),
            "A10.B, A11.B and 2 more",
        ),
        ("enable", of({"PCAP.ENABLE": "ZERO"}), "PCAP.ENABLE is ZERO"),
        ("trigger", of({"PCAP.TRIG": "ZERO"}), "PCAP.TRIG is ZERO"),
        ("trigger", of({"PCAP.TRIG": "ONE"}), "PCAP.TRIG is ONE"),
        ("gate", of({"PCAP.GATE": "ZERO"}), "INENC1.VAL Mean would be without a value"),
        (
            "gate",
            of({"PCAP.GATE": "ZERO"}, captured=[("PCAP.TS_START", ("Value",))]),
            "PCAP.TS_START Value",
        ),
        ("too-many-words", of(captured=[(f"X{n}", ("Sum",)) for n in range(32)]), "64 words"),
        (
            "dangling",
            of({"PCAP.TRIG": "PULSE1.OUT", "PULSE1.TRIG": "ZERO"}),
            "PCAP.TRIG comes from PULSE1, whose TRIG is connected to nothing",
        ),
        (
            "dangling",
            of({"PCAP.ENABLE": "PCOMP1.ACTIVE", "PCOMP1.INP": "ZERO"}),
            "PCAP.ENABLE comes from PCOMP1, whose INP",
        ),
        (
            "dangling",
            of({"PCAP.TRIG": "DIV1.OUTD", "DIV1.INP": "PULSE2.OUT", "PULSE2.TRIG": "ZERO"}),
            "PULSE2, whose TRIG",
        ),
        (
            "too-close",
            of({"CLOCK1.PERIOD": "0.4", "CLOCK1.PERIOD.UNITS": "us"}, captured=MANY),
            "50 ticks apart (CLOCK1.PERIOD is 50 ticks), and a sample of 56 words",
        ),
        (
            "link",
            of({"CLOCK1.PERIOD": "1e-6"}, captured=MANY, rows=10_000_000),
            "10000000 rows at 1e+06 Hz",
        ),
        ("disk-space", of(rows=10**9, free=10**9), "1000000000 rows are 24 GB on the disk"),
        (
            "disk-speed",
            of({"CLOCK1.PERIOD": "1e-6"}, rows=10**8, written=10e6),
            "24 MB/s on the disk, which was seen to take 10 MB/s",
        ),
    ],
)
def test_each_check_finds_its_problem_and_can_be_waived(name, setup, words):
    found = problems(setup)
    assert list(found) == [name]
    assert words in found[name]
    assert problems(setup, [name]) == problems(setup, ["all"]) == {}


@pytest.mark.parametrize(
    "setup",
    [
        of(
            {"PCAP.GATE": "ZERO"}, captured=[("INENC1.VAL", ("Value",)), ("PCAP.BITS0", ("Value",))]
        ),
        of(captured=[(f"X{n}", ("Value",)) for n in range(63)]),
        of({"PCAP.TRIG": "PCOMP1.OUT", "PCOMP1.INP": "INENC1.VAL", "PCOMP1.ENABLE": "ZERO"}),
        of({"PCAP.TRIG": "SEQ1.OUTA", "SEQ1.ENABLE": "ZERO"}, captured=MANY),
        of({"PCAP.TRIG": "PULSE1.OUT", "PULSE1.TRIG": "TTLIN1.VAL", "PULSE1.WIDTH": "0"}),
        of({"CLOCK1.PERIOD": "1e-6"}, captured=MANY, rows=1000),
        of({"CLOCK1.PERIOD": "1e-6"}, captured=MANY, rows=None),
        of({"CLOCK1.PERIOD": "0"}),
        of({"CLOCK1.PERIOD": "0.456", "CLOCK1.PERIOD.UNITS": "us"}, captured=MANY),
        of({"PCAP.TRIG": "SRGATE1.OUT", "SRGATE1.SET": "ZERO"}),
        of({"PCAP.TRIG": "LUT1.OUT", "LUT1.INPA": "LUT1.OUT"}),
        of({"PCAP.ENABLE": "ZERO", "PCAP.TRIG": "ZERO", "PCAP.GATE": "ZERO"}, ticking=False),
    ],
)
def test_what_works_or_may_work_is_not_refused(setup):
    assert problems(setup) == {}


@pytest.mark.parametrize(
    ("captured", "words"),
    [
        ([("A.B", ("Value", "Diff", "Min", "Max"))], 4),
        ([("A.B", ("Sum",))], 2),
        ([("A.B", ("Mean",))], 3),
        ([("A.B", ("Mean",)), ("PCAP.GATE_DURATION", ("Value",))], 3),
        ([("A.B", ("Mean", "StdDev"))], 6),
        ([("A.B", ("StdDev",)), ("C.D", ("Mean",))], 8),
        ([("PCAP.TS_END", ("Value",)), ("PCAP.BITS2", ("Value",))], 3),
    ],
)
def test_words_are_counted_as_the_server_counts_them(captured, words):
    assert Setup(settings={}, captured=captured).words == words


def test_waivers_are_names_of_checks():
    assert waivers("gate, link  enable", "x") == {"gate", "link", "enable"}
    assert waivers(["all"], "x") == {"all"}
    assert waivers("", "x") == frozenset()
    with pytest.raises(FieldValueError, match="the checks are nothing-captured, too-many-words"):
        waivers("gate gats", "--waive")


def test_every_check_says_what_it_is_about():
    assert all(check.about for check in CHECKS.values())


def line(repeats: int, trigger: int, time1: int, time2: int, first: int, second: int) -> list[int]:
    return [repeats | trigger << 16 | first << 20 | second << 26, 0, time1, time2]


PULSE = {
    "PCAP.TRIG": "PULSE1.OUT", "PULSE1.TRIG": "CLOCK1.OUT", "PULSE1.TRIG_EDGE": "Rising",
    "PULSE1.WIDTH": "8e-8", "PULSE1.DELAY": "0", "PULSE1.STEP": "0", "PULSE1.PULSES": "0",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "edge", "closest", "mean"),
    [
        ({}, "Rising", 125_000, 125_000),
        ({"CLOCK1.PERIOD": "0", "CLOCK1.WIDTH": "8e-8"}, "Rising", 11, 11),
        ({"CLOCK1.PERIOD": "8e-9"}, "Rising", 2, 2),
        ({"CLOCK1.WIDTH": "8e-8"}, "Either", 10, 62_500),
        ({"CLOCK1.PERIOD": "2", "CLOCK1.PERIOD.UNITS": "us"}, "Falling", 250, 250),
        ({"PCAP.TRIG": "DIV1.OUTD", "DIV1.INP": "CLOCK1.OUT", "DIV1.DIVISOR": "5"}, "Rising",
         625_000, 625_000),
        ({"PCAP.TRIG": "DIV1.OUTN", "DIV1.INP": "CLOCK1.OUT", "DIV1.DIVISOR": "5"}, "Rising",
         125_000, 156_250),
        ({"PCAP.TRIG": "DIV1.OUTN", "DIV1.INP": "CLOCK1.OUT", "DIV1.DIVISOR": "2"}, "Rising",
         250_000, 250_000),
        (PULSE, "Rising", 125_000, 125_000),
        (PULSE, "Either", 10, 62_500),
        (PULSE | {"PULSE1.PULSES": "4", "PULSE1.STEP": "1.6e-7"}, "Rising", 20, 31_250),
        # a train longer than the distance of its triggers: every second one is dropped
        (PULSE | {"PULSE1.PULSES": "3", "PULSE1.STEP": "0.0005"}, "Rising", 62_500, 250_000 / 3),
        (PULSE | {"PULSE1.WIDTH": "0"}, "Rising", 125_000, 125_000),
        (PULSE | {"PULSE1.TRIG": "TTLIN1.VAL", "PULSE1.PULSES": "2", "PULSE1.STEP": "1.6e-7"},
         "Rising", 20, None),
    ],
)  # fmt: skip
def test_the_distance_of_triggers_follows_from_settings(changes, edge, closest, mean):
    found = spacing(SOUND | changes, {}, 125_000_000, "PCAP.TRIG", edge)
    assert found is not None
    assert (found.closest, found.mean) == (closest, pytest.approx(mean) if mean else None)


@pytest.mark.parametrize(
    ("rows", "edge", "closest", "mean"),
    [
        ([line(10, 0, 100, 25, 1, 0)], "Rising", 125, 125),
        ([line(10, 0, 100, 25, 1, 0)], "Falling", 125, 125),
        ([line(10, 0, 100, 25, 1, 0)], "Either", 25, 62.5),
        ([line(3, 0, 100, 25, 1, 0), line(2, 0, 30, 20, 1, 0)], "Rising", 50, 95),
        ([line(2, 2, 10, 10, 1, 0), line(3, 0, 30, 20, 1, 0)], "Rising", 20, None),
        ([line(1, 7, 10, 10, 1, 0), line(1, 7, 10, 10, 1, 0)], "Rising", None, None),
        ([line(5, 0, 0, 10, 1, 1)], "Rising", None, None),
        ([line(1, 0, 0, 7, 0, 1), line(1, 0, 5, 6, 0, 1)], "Rising", 12, 9),
    ],
)
def test_the_distance_of_triggers_follows_from_a_table(rows, edge, closest, mean):
    settings = SOUND | {"PCAP.TRIG": "SEQ1.OUTA", "SEQ1.PRESCALE": "0"}
    tables = {"SEQ1": np.asarray(rows, np.uint32)}
    found = spacing(settings, tables, 125_000_000, "PCAP.TRIG", edge)
    if closest is None:
        assert found is None
    else:
        assert found is not None
        assert (found.closest, found.mean) == (closest, pytest.approx(mean) if mean else None)


def test_a_circle_of_blocks_ends():
    circle = {"PCAP.TRIG": "DIV1.OUTD", "DIV1.INP": "DIV1.OUTD", "DIV1.DIVISOR": "2"}
    assert spacing(circle, {}, 125_000_000, "PCAP.TRIG", "Rising") is None
    assert problems(Setup(settings=circle, captured=[("A.B", ("Value",))])) == {}


def test_a_spacing_says_where_it_comes_from():
    found = of().spacing
    assert found == Spacing(125_000, 125_000.0, "CLOCK1.PERIOD is 125000 ticks")


# Over TCP


async def set_up(address: str, settings: dict[str, str]) -> None:
    async with PandaClient(address) as client:
        for target, value in settings.items():
            await client.assign(target, value)


CLOCKED = {
    "CLOCK1.PERIOD.UNITS": "us", "CLOCK1.PERIOD": "100", "CLOCK1.ENABLE": "PCAP.ACTIVE",
    "PCAP.TRIG": "CLOCK1.OUT", "PCAP.ENABLE": "ONE", "PCAP.GATE": "ONE",
    "PCAP.TS_TRIG.CAPTURE": "Value",
}  # fmt: skip


@pytest.fixture
async def clocked(simulator: Simulator, path_provider: StaticPathProvider) -> Any:
    await set_up(simulator.address, CLOCKED)
    panda = HDFPanda(simulator.address, path_provider, name="panda")
    await panda.connect()
    yield panda
    with suppress(PandaError):
        await panda.disconnect()


async def fly(panda: Any, rows: int = 20) -> None:
    try:
        await panda.stage()
        await panda.prepare(TriggerInfo(number_of_events=rows, trigger=EDGE))
        await panda.kickoff()
        await panda.complete()
    finally:
        await panda.unstage()


@pytest.mark.parametrize(
    ("settings", "check"),
    [
        ({"PCAP.TS_TRIG.CAPTURE": "No"}, "nothing-captured"),
        ({"PCAP.ENABLE": "ZERO"}, "enable"),
        ({"PCAP.TRIG": "ZERO"}, "trigger"),
        ({"PCAP.GATE": "ZERO", "COUNTER1.OUT.CAPTURE": "Mean"}, "gate"),
        ({"PCAP.TRIG": "PULSE1.OUT"}, "dangling"),
        (
            {f"COUNTER{n}.OUT.CAPTURE": "Value Diff Sum Min Max Mean" for n in range(1, 9)},
            "too-many-words",
        ),
        ({"CLOCK1.PERIOD": "0.024", "COUNTER1.OUT.CAPTURE": "Value Diff"}, "too-close"),
        ({"PCAP.TRIG": "PULSE1.OUT", "PULSE1.TRIG": "TTLIN1.VAL", "PULSE1.PULSES": "2",
          "PULSE1.WIDTH": "1e-7", "PULSE1.STEP": "1.6e-7",
          **{f"COUNTER{n}.OUT.CAPTURE": "Value Sum" for n in range(1, 9)}}, "too-close"),
    ],
)  # fmt: skip
async def test_what_cannot_go_well_is_refused_before_it_is_armed(
    simulator, clocked, tmp_path, settings, check
):
    await set_up(simulator.address, settings)
    with pytest.raises(PreflightError) as caught:
        await fly(clocked)
    assert list(caught.value.problems) == [check]
    assert simulator._server.command("*PCAP.COMPLETION?") != "OK =Busy\n"
    assert not (tmp_path / "scan.h5").exists()


async def test_a_check_is_waived_by_signal_or_by_the_constructor(
    simulator, path_provider, tmp_path
):
    await set_up(simulator.address, CLOCKED | {"PCAP.TRIG": "ZERO"})
    panda: Any = HDFPanda(simulator.address, path_provider, name="panda", waive="trigger gate")
    await panda.connect()
    assert await panda.data.waive.get_value() == "gate trigger"
    await panda.stage()
    await panda.prepare(TriggerInfo(number_of_events=1, trigger=EDGE))
    await panda.unstage()
    (tmp_path / "scan.h5").unlink()
    await panda.data.waive.set("")
    await panda.stage()
    with pytest.raises(PreflightError, match=r"\[trigger\]"):
        await panda.prepare(TriggerInfo(number_of_events=1, trigger=EDGE))
    with pytest.raises(FieldValueError, match="the checks are"):
        await panda.data.waive.set("triger")
    await panda.unstage()
    await panda.disconnect()
    with pytest.raises(FieldValueError, match="the checks are"):
        HDFPanda(simulator.address, path_provider, waive=["triger"])


async def test_what_was_set_just_before_is_what_is_looked_at(clocked, tmp_path):
    await clocked.pcap.trig.set("ZERO")
    await clocked.pcap.trig.set("CLOCK1.OUT")
    await fly(clocked)
    with h5py.File(tmp_path / "scan.h5") as file:
        assert len(file["PCAP.TS_TRIG.Value"]) >= 20


async def test_refused_for_being_too_close_is_what_the_box_would_have_failed_for(
    simulator, clocked, tmp_path
):
    words = {f"COUNTER{n}.OUT.CAPTURE": "Value Sum Min Max" for n in range(1, 6)}
    await set_up(simulator.address, words | {"CLOCK1.PERIOD": "0.208"})  # 26 ticks, 27 words
    with pytest.raises(PreflightError, match=r"26 ticks apart.*27 words"):
        await fly(clocked)
    await clocked.data.waive.set("too-close")
    with pytest.raises(CaptureError, match="Framing error"):
        await fly(clocked)
    (tmp_path / "scan.h5").unlink()
    await clocked.data.waive.set("")
    await set_up(simulator.address, {"CLOCK1.PERIOD": "0.216"})
    await fly(clocked)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"PCAP.TRIG_EDGE": "Either", "CLOCK1.WIDTH.UNITS": "us", "CLOCK1.WIDTH": "30"},
        {"PCAP.TRIG": "DIV1.OUTN", "DIV1.INP": "CLOCK1.OUT", "DIV1.DIVISOR": "3",
         "DIV1.ENABLE": "ONE"},
        {"PCAP.TRIG": "PULSE1.OUT", "PULSE1.TRIG": "CLOCK1.OUT", "PULSE1.ENABLE": "ONE",
         "PULSE1.WIDTH": "4e-6", "PULSE1.STEP": "9e-6", "PULSE1.PULSES": "3"},
        {"PCAP.TRIG": "PULSE1.OUT", "PULSE1.TRIG": "CLOCK1.OUT", "PULSE1.ENABLE": "ONE",
         "PULSE1.WIDTH": "4e-6", "PULSE1.STEP": "9e-5", "PULSE1.PULSES": "3"},
        {"PCAP.TRIG": "SEQ1.OUTA", "SEQ1.ENABLE": "PCAP.ACTIVE", "SEQ1.PRESCALE": "1e-6"},
    ],
)  # fmt: skip
async def test_triggers_are_as_far_apart_as_was_told(simulator, clocked, tmp_path, settings):
    await set_up(simulator.address, settings)
    async with PandaClient(simulator.address) as client:
        table = [*line(40, 0, 20, 10, 1, 0), *line(30, 0, 5, 15, 1, 0)]
        await client.assign_table("SEQ1.TABLE", [" ".join(map(str, table))])
    await fly(clocked, 60)
    state = clocked._panda_connector.data
    setup = await state.soundings.setup(tmp_path, None, final=True)
    with h5py.File(tmp_path / "scan.h5") as file:
        ticks = np.rint(np.asarray(file["PCAP.TS_TRIG.Value"]) * 125e6).astype(int)
    assert np.diff(ticks).min() == setup.spacing.closest


async def test_a_table_that_a_flyer_has_written_is_looked_at_at_kickoff(simulator, clocked):
    words = {f"COUNTER{n}.OUT.CAPTURE": "Value Sum Min Max" for n in range(1, 6)}
    await set_up(
        simulator.address, words | {"PCAP.TRIG": "SEQ1.OUTA", "PCAP.ENABLE": "SEQ1.ACTIVE"}
    )
    await clocked.stage()
    await clocked.prepare(TriggerInfo(number_of_events=100, trigger=EDGE))
    async with PandaClient(simulator.address) as client:
        table = line(100, 0, 10, 10, 1, 0)
        await client.assign_table("SEQ1.TABLE", [" ".join(map(str, table))])
    with pytest.raises(PreflightError, match=r"20 ticks apart \(SEQ1\.TABLE line 1\)"):
        await clocked.kickoff()
    await clocked.unstage()


def test_the_documents_tell_of_every_check():
    text = (Path(__file__).parents[1] / "docs" / "capture.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z][a-z-]+)` \|", text, re.MULTILINE)
    assert listed == list(CHECKS)
