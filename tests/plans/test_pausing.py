"""A scan is paused in the middle of a frame and goes on, or is given up (S10)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted
from scanspec.specs import Fly, Linspace  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.plans import fly_spec

FRAMES = 100


def scan() -> Any:
    return Fly(0.01 @ Linspace("x", 1.0, 10.9, FRAMES))


def counts_off(x: Any) -> float:
    """Return how far rows are from the middle of their frames, in counts, at most."""
    return float(np.round(abs(x - (1.0 + 0.1 * np.arange(FRAMES))).max() * 1000, 6))


def interrupted(line: Any, plan: Any, rows: int = 37) -> None:
    line.pause_after(rows)
    with pytest.raises(RunEngineInterrupted):
        line.run(plan)


def test_a_paused_scan_has_every_frame_once_and_whole(beamline):
    line = beamline(0.5)
    interrupted(line, fly_spec(line.panda, scan(), line.axes, deadtime=1e-4))
    assert line.ask("*PCAP.COMPLETION?") == "OK =Disarmed\n"
    assert line.ask("SEQ1.ENABLE?") == "OK =ZERO\n"
    before = line.get(line.panda.data.num_captured)
    assert 37 <= before < FRAMES
    line.engine.resume()
    rows = line.rows()
    assert len(rows) == FRAMES
    assert counts_off(rows["x"]) <= 1
    assert set(rows.ticks("GATE_DURATION").tolist()) == {1_237_500}
    times = rows["absolute_time"]
    assert (np.diff(times) > 0).all()
    assert line.exit_status == "success"
    resources = line.named("stream_resource")
    assert len(resources) == len({doc["data_key"] for doc in resources})
    tiles = sorted(
        {(doc["indices"]["start"], doc["indices"]["stop"]) for doc in line.named("stream_datum")}
    )
    assert [start for start, _ in tiles] == [0, *(stop for _, stop in tiles[:-1])]
    assert tiles[-1][1] == FRAMES
    # it began again where it had to, with the compare of the first frame that was missing
    table = line.get(line.panda.seq[1].table)
    assert table.position[0] == round(1000 * (1.0 + 0.1 * before - 0.05))


def test_a_scan_can_be_paused_again_and_again(beamline):
    line = beamline(0.5)
    interrupted(line, fly_spec(line.panda, scan(), line.axes, deadtime=1e-4), 10)
    for rows in (35, 60):
        line.pause_after(rows)
        with pytest.raises(RunEngineInterrupted):
            line.engine.resume()
    line.engine.resume()
    rows = line.rows()
    assert counts_off(rows["x"]) <= 1
    assert set(rows.ticks("GATE_DURATION").tolist()) == {1_237_500}


def test_a_scan_that_is_given_up_leaves_box_and_file_in_order(beamline):
    line = beamline(0.5)
    velocity = line.get(line.axes["x"].motor.velocity)
    interrupted(line, fly_spec(line.panda, scan(), line.axes, deadtime=1e-4))
    line.engine.abort("had enough")
    assert line.exit_status == "abort"
    assert line.ask("*PCAP.COMPLETION?") == "OK =Disarmed\n"
    assert line.ask("SEQ1.ENABLE?") == "OK =ZERO\n"
    rows = line.rows()
    assert len(rows) == line.get(line.panda.data.num_captured)
    assert rows.attributes["complete"]
    assert line.get(line.axes["x"].motor.velocity) == velocity
    # and the next scan just works
    line.documents.clear()
    (line.directory / "scan.h5").unlink()
    line.run(fly_spec(line.panda, scan(), line.axes, deadtime=1e-4))
    assert len(line.rows()) == FRAMES
