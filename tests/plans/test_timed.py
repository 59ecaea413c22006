"""Scans in time as plans, with detectors that have a PULSE of their own (S1, S8, S9)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bluesky.utils import FailedStatus

from panda_ophyd.plans import Sequencing, externally_triggered, gated, time_resolved


def meanwhile(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()


def test_frames_are_taken_one_after_the_other(beamline):
    line = beamline("free")
    line.run(time_resolved(line.panda, 10, 0.8e-3, 0.2e-3))
    rows = line.rows()
    assert rows.ticks("TS_START").tolist() == [k * 125_000 for k in range(10)]
    assert rows.ticks("GATE_DURATION").tolist() == [100_000] * 10
    assert line.exit_status == "success"
    assert line.named("start")[0]["plan_name"] == "time_resolved"


def test_a_scan_that_is_not_to_be_paused_ends_by_itself(beamline):
    line = beamline("free")
    line.run(time_resolved(line.panda, 10, 0.8e-3, 0.2e-3, pausable=False))
    assert line.rows().attributes["end_reason"] == b"Ok"


def test_groups_have_times_of_their_own(beamline):
    line = beamline("free")
    groups = [(3, 0.9e-3, 0.1e-3), (2, 1.9e-3, 0.1e-3), (4, 0.4e-3, 0.1e-3)]
    line.run(time_resolved(line.panda, 0, 0, 0, groups=groups, repeats=2))
    assert (
        line.rows().ticks("GATE_DURATION").tolist()
        == ([112_500] * 3 + [237_500] * 2 + [50_000] * 4) * 2
    )


def armed(line: Any) -> None:
    while line.ask("SEQ1.STATE?") != "OK =WAIT_TRIGGER\n":
        time.sleep(0.001)


def bursts(line: Any, number: int) -> None:
    for _ in range(number):
        armed(line)
        line.ask("BITS.A=1")
        while line.ask("SEQ1.TABLE_LINE?") != "OK =3\n":
            time.sleep(0.001)
        line.ask("BITS.A=0")


def test_bursts_come_with_their_gates(beamline):
    line = beamline("free")
    meanwhile(lambda: bursts(line, 4))
    line.run(gated(line.panda, "BITS.OUTA", 5, 1e-3, 4, dead=1e-4))
    spacing = np.diff(line.rows().ticks("TS_START"))
    assert len(spacing) == 19
    assert set(np.delete(spacing, [4, 9, 14]).tolist()) == {125_000}


def test_a_gate_that_does_not_come_is_told(beamline):
    line = beamline("free")
    meanwhile(lambda: bursts(line, 3))
    plan = gated(
        line.panda, "BITS.OUTA", 5, 1e-3, 4, dead=1e-4, sequencing=Sequencing(patience=0.5)
    )
    with pytest.raises(FailedStatus) as failed:
        line.run(plan)
    assert "15 of 20 frames" in str(failed.value.__cause__)
    assert "waiting for BITA=1" in str(failed.value.__cause__)
    assert len(line.rows()) == 15


def test_each_trigger_of_another_gives_a_frame(beamline):
    line = beamline("free")

    def trigger() -> None:
        while line.ask("PULSE1.ENABLE?") != "OK =ONE\n":
            time.sleep(0.001)
        for _ in range(7):
            line.ask("BITS.B=1")
            time.sleep(0.01)
            line.ask("BITS.B=0")

    meanwhile(trigger)
    line.run(externally_triggered(line.panda, "BITS.OUTB", 7, 1e-3, 2e-4))
    assert line.rows().ticks("GATE_DURATION").tolist() == [125_000] * 7
