"""Specs flown by a plan through the RunEngine: every row is where its frame is (S5, S6)."""

from __future__ import annotations

import numpy as np
import pytest
from scanspec.specs import Concat, Fly, Linspace  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.plans import fly_spec
from panda_ophyd.regions import Circle

TIME = "absolute_time"
"""The dataset that is derived, not captured."""


def slide():
    return Fly(0.1 @ (Linspace("y", 2.1, 3.8, 12) * ~Linspace("x", 0.5, 1.5, 10)))


def in_counts(values):
    return np.rint(np.asarray(values) * 1000).astype(int)


def test_a_line_is_flown_with_exact_times_and_bounds(beamline):
    line = beamline(20.0)
    spec = Fly(0.01 @ Linspace("x", 1.0, 2.0, 11))
    line.run(fly_spec(line.panda, spec, line.axes, deadtime=50e-6))
    assert line.exit_status == "success"
    rows = line.rows()
    assert np.diff(rows.ticks("TS_START")).tolist() == [1_250_000] * 10
    assert rows.ticks("GATE_DURATION").tolist() == [1_243_750] * 11
    lows, highs = in_counts(rows["x-min"]), in_counts(rows["x-max"])
    assert lows.tolist() == [950 + 100 * k for k in range(11)]
    assert abs(highs - [1049 + 100 * k for k in range(11)]).max() <= 1
    middles = 0.95 + 0.1 * np.arange(11) + 0.05 * 0.995
    assert rows["x"] == pytest.approx(middles, abs=0.001)
    assert rows.attributes == {"end_reason": b"Disarmed", "complete": True}
    documented = [doc["parameters"]["dataset"] for doc in line.named("stream_resource")]
    assert sorted(documented) == sorted(f"/{name}" for name in rows.columns if name != TIME)


def test_a_snake_has_each_row_where_the_spec_says(beamline):
    line = beamline(50.0)
    line.run(fly_spec(line.panda, slide(), line.axes))
    rows = line.rows()
    assert len(rows) == 120
    x = rows["x"].reshape(12, 10) * 1000
    wanted = np.linspace(500, 1500, 10)
    for row, positions in enumerate(x):
        assert abs(positions - (wanted if row % 2 == 0 else wanted[::-1])).max() <= 1
    y = in_counts(rows["y"]).reshape(12, 10)
    assert (np.ptp(y, axis=1) == 0).all()
    assert y[:, 0].tolist() == in_counts(2.1 + np.arange(12) * 1.7 / 11).tolist()


def test_a_region_takes_the_frames_in_it(beamline):
    line = beamline(50.0)
    region = Circle("x", "y", 1.0, 2.8, 0.5)
    line.run(fly_spec(line.panda, slide(), line.axes, region=region))
    rows = line.rows()
    assert len(rows) == 44
    y = in_counts(rows["y"])
    starts = np.flatnonzero(np.diff(y, prepend=0))
    assert starts.tolist() == [0, 6, 14, 22, 30, 38]
    begins = in_counts(rows["x-min"]), in_counts(rows["x-max"])
    compares = [(begins[k % 2])[start] for k, start in enumerate(starts)]
    assert abs(np.array(compares) - [667, 1444, 556, 1444, 556, 1333]).max() <= 1


def test_without_a_guard_a_snake_goes_wrong_which_is_why_there_is_one(beamline):
    line = beamline(50.0)
    line.run(fly_spec(line.panda, slide(), line.axes, guard=None))
    x = in_counts(line.rows()["x"]).reshape(12, 10)
    assert abs(x[1] - np.linspace(1500, 500, 10)).max() > 20


def test_windows_may_differ_and_none_of_their_frames_is_lost(beamline):
    line = beamline(50.0)
    spec = Concat(Linspace.bounded("x", 1, 2, 2), Linspace.bounded("x", 0, 1, 2))
    line.run(fly_spec(line.panda, Fly(0.1 @ spec), line.axes))
    assert in_counts(line.rows()["x"]) == pytest.approx([1250, 1750, 250, 750], abs=1)


def test_a_motor_that_is_not_given_is_told_before_anything_moves(beamline):
    line = beamline("free")
    with pytest.raises(ValueError, match="the scan moves it, and motors are given for x"):
        line.run(fly_spec(line.panda, slide(), {"x": line.axes["x"]}))
    assert line.documents == []
    assert line.ask("INENC1.VAL?") == "OK =0\n"


def test_with_a_dwell_each_frame_is_entered_from_rest(beamline):
    line = beamline(50.0)
    line.run(fly_spec(line.panda, Linspace("x", 1.0, 2.0, 6), line.axes, dwell=0.1))
    rows = line.rows()
    assert rows["x"] == pytest.approx(np.linspace(1, 2, 6), abs=0.001)
    # it stands between two of them, which takes its ramps
    assert np.diff(rows.ticks("TS_START")).min() > 0.3 * 125e6
    assert line.named("start")[0]["num_windows"] == 6
