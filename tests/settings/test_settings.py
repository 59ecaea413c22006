"""Settings files of real beamlines on our device: what is applied, and what is told of the rest."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np
import pytest
import yaml
from bluesky.run_engine import RunEngine, call_in_bluesky_event_loop
from ophyd_async.core import (
    StaticFilenameProvider,
    StaticPathProvider,
    YamlSettingsProvider,
    init_devices,
    walk_rw_signals,
)
from ophyd_async.fastcs.panda import apply_panda_settings
from ophyd_async.plan_stubs import retrieve_settings, store_settings

from panda_ophyd import HDFPanda
from panda_ophyd.settings import (
    PandaSettingsProvider,
    SettingsReport,
    Stage,
    apply_settings,
    present_name,
    restore_settings,
    stage_of,
)
from panda_simulator import serve_in_thread

BEAMLINES = [
    ("panda-gridscan", 832, 785),
    ("pcomp_auto_reset", 883, 825),
    ("seq_table", 883, 825),
    ("seq_table_panda1", 803, 745),
    ("seq_table_panda2", 803, 745),
]
OLD_FIRMWARE = {
    *(f"calc.{n}.func" for n in (1, 2)),
    *(f"pcap.samples_{what}" for what in ("capture", "dataset")),
    *(f"sfp3_sync_out.bit{n}{delay}" for n in range(9, 17) for delay in ("", "_delay")),
    "system.ext_clock",
}


def stored(directory: Path, name: str) -> dict[str, Any]:
    return yaml.full_load((directory / f"{name}.yaml").read_text())


def plain(value: Any) -> Any:
    """Return a value as files have it."""
    if hasattr(value, "model_dump"):
        return {name: plain(column) for name, column in value.model_dump().items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list):
        return [plain(item) for item in value]
    value = getattr(value, "value", value)
    return str(int(value)) if isinstance(value, bool) else value


def same(read: Any, wanted: Any) -> bool:
    """Compare with a file, where a bit is "0" or "1", and a whole number may have a fraction."""
    if isinstance(wanted, dict):
        return all(plain(getattr(read, name)) == column for name, column in wanted.items())
    return plain(read) == plain(wanted)


@pytest.mark.parametrize(("name", "total", "known"), BEAMLINES)
async def test_a_box_is_as_the_file_of_a_beamline_says_and_what_it_has_not_is_named(
    panda, beamline_files, name, total, known
):
    values = stored(beamline_files, name)
    report = await apply_settings(panda, values, state=True)
    assert (len(values), len(report.applied), len(report.unknown)) == (total, known, total - known)
    assert (report.state, report.refused) == ((), {})
    others = {name for name in report.unknown if not name.startswith("fmc_")}
    assert others == (OLD_FIRMWARE if name == "panda-gridscan" else set())
    assert f"{known} of {total} settings applied" in str(report)
    assert all(name in str(report) for name in report.unknown)
    signals = walk_rw_signals(panda)
    read = await asyncio.gather(
        *(signals[present_name(name, signals) or ""].get_value() for name in report.applied)
    )
    wrong = [
        name
        for name, value in zip(report.applied, read, strict=True)
        if not same(value, values[name])
    ]
    assert wrong == []


async def test_state_is_left_out_and_named_so_that_encoders_keep_their_position(
    simulator, panda, beamline_files
):
    await panda.inenc[1].setp.set(1234)
    report = await apply_settings(panda, stored(beamline_files, "seq_table"))
    assert simulator._server.command("INENC1.VAL?") == "OK =1234\n"
    assert set(report.state) == {
        *(f"inenc.{n}.setp" for n in range(1, 5)), *(f"counter.{n}.set" for n in range(1, 9)),
        "pcap.arm", "data.capture", "data.capture_mode", "data.create_directory",
        "data.flush_period", "data.hdf_directory", "data.hdf_file_name", "data.num_capture",
    }  # fmt: skip
    assert "20 are state, not settings, and left out: " in str(report)
    assert "inenc.1.setp" in str(report)


async def test_state_is_applied_on_request_and_presets_encoders(simulator, panda, beamline_files):
    await panda.inenc[1].setp.set(1234)
    await apply_settings(panda, stored(beamline_files, "seq_table"), state=True)
    assert simulator._server.command("INENC1.VAL?") == "OK =0\n"


async def test_a_field_that_is_called_like_a_method_is_found_by_both_names(panda):
    report = await apply_settings(panda, {"srgate.1.set": "ONE", "srgate.2.set_": "ZERO"})
    assert report.applied == ("srgate.1.set", "srgate.2.set_")
    assert await panda.srgate[1].set_.get_value() == "ONE"


async def test_what_newer_firmware_has_in_place_of_a_field_is_told(panda):
    report = await apply_settings(panda, {"pcap.samples_capture": "Value"})
    assert not report.complete
    assert "pcap.samples_capture (now pcap.gate_duration_capture)" in str(report)
    assert await panda.pcap.gate_duration_capture.get_value() == "No"


async def test_a_value_that_the_box_refuses_stops_no_other(panda, caplog):
    values = {"pulse.1.pulses": -3, "pulse.2.pulses": 3, "pcap.trig_edge": "Sideways"}
    with caplog.at_level(logging.WARNING):
        report = await apply_settings(panda, values)
    assert report.applied == ("pulse.2.pulses",)
    assert set(report.refused) == {"pulse.1.pulses", "pcap.trig_edge"}
    assert "2 were refused: pulse.1.pulses: " in caplog.text
    assert await panda.pulse[2].pulses.get_value() == 3


async def test_units_come_first_so_that_values_are_in_them(panda):
    await apply_settings(panda, {"pulse.1.width": 250.0, "pulse.1.width_units": "us"})
    assert await panda.pulse[1].width.get_value() == 250.0
    assert await panda.pulse[1].width_units.get_value() == "us"


async def test_a_block_is_enabled_when_all_else_is_in_place(simulator, panda, monkeypatch):
    asked: list[str] = []
    write = panda._connector.session.write

    async def noted(request: Any) -> None:
        asked.append(request.target)
        await write(request)

    monkeypatch.setattr(panda._connector.session, "write", noted)
    table = {"position": [1, 2]}
    await apply_settings(
        panda,
        {
            "bits.a": "1", "pgen.1.enable": "BITS.OUTA", "pgen.1.table": table,
            "pgen.1.repeats": 2.0, "clock.1.period_units": "ms",
        },
    )  # fmt: skip
    assert asked == [
        "CLOCK1.PERIOD.UNITS", "PGEN1.REPEATS", "PGEN1.TABLE", "PGEN1.ENABLE", "BITS.A",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("seq.1.prescale_units", Stage.UNITS),
        ("seq.1.prescale", Stage.VALUES),
        ("seq.1.enable_delay", Stage.VALUES),
        ("seq.1.table", Stage.TABLES),
        ("pcap.enable", Stage.ENABLES),
        ("bits.label", Stage.VALUES),
        ("bits.outa_capture", Stage.VALUES),
        ("bits.d", Stage.BITS),
        ("pcap.arm", Stage.STATE),
        ("data.capture", Stage.STATE),
    ],
)
def test_what_starts_something_comes_late(name, stage):
    assert stage_of(name, 0) is stage


async def test_a_lost_link_is_an_error_and_no_refusal(simulator, panda):
    await simulator.stop()
    with pytest.raises(ConnectionError):
        await apply_settings(panda, {"pulse.1.pulses": 3})


def test_a_report_of_all_is_complete():
    assert SettingsReport(("a",), (), ("b",)).complete
    assert str(SettingsReport(("a",))) == "1 of 1 settings applied"


@pytest.fixture
def box(tmp_path: Path) -> Any:
    """A RunEngine and a device of the loop it has."""
    engine = RunEngine()
    with serve_in_thread(speed="free") as simulator:
        provider = StaticPathProvider(StaticFilenameProvider("scan"), tmp_path)
        with init_devices():
            panda = HDFPanda(simulator.address, provider, name="panda")
        yield engine, panda
        call_in_bluesky_event_loop(panda.disconnect())
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    engine._th.join()
    engine.loop.close()


def test_upstreams_plans_refuse_a_beamlines_file_and_apply_it_with_our_provider(
    box, beamline_files
):
    engine, panda = box

    def restore(provider: Any) -> Any:
        settings = yield from retrieve_settings(provider, "panda-gridscan", panda)
        yield from apply_panda_settings(settings)

    with pytest.raises(NameError, match=r"calc\.1\.func"):
        engine(restore(YamlSettingsProvider(beamline_files)))
    engine(restore(PandaSettingsProvider(beamline_files, panda)))
    assert call_in_bluesky_event_loop(panda.seq[1].posa.get_value()) == "INENC1.VAL"


def test_upstreams_plans_store_and_restore_all_of_a_box(box, tmp_path):
    engine, panda = box
    provider = YamlSettingsProvider(tmp_path)
    engine(store_settings(provider, "own", panda))

    def restore() -> Any:
        settings = yield from retrieve_settings(provider, "own", panda)
        yield from apply_panda_settings(settings)

    engine(bps.mv(panda.pulse[1].pulses, 7))
    engine(restore())
    assert call_in_bluesky_event_loop(panda.pulse[1].pulses.get_value()) != 7


def test_our_provider_stores_no_state(box, tmp_path):
    engine, panda = box
    engine(store_settings(PandaSettingsProvider(tmp_path, panda), "own", panda))
    names = set(stored(tmp_path, "own"))
    left_out = set(walk_rw_signals(panda)) - names
    assert {"inenc.1.setp", "counter.1.set_", "pcap.arm", "data.capture"} <= left_out
    assert {name.split(".")[0] for name in left_out} == {"inenc", "counter", "pcap", "data"}
    assert "srgate.1.set_" in names


def test_a_plan_restores_what_fits_and_reports_the_rest(box, beamline_files):
    engine, panda = box
    reports = []

    def plan() -> Any:
        provider = YamlSettingsProvider(beamline_files)
        reports.append((yield from restore_settings(provider, "pcomp_auto_reset", panda)))

    engine(plan())
    assert len(reports[0].unknown) == 58
    assert len(reports[0].applied) == 825 - 20
