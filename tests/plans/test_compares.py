"""Scans of one axis by its position: equidistant, or a list (S4, extras (g) and (h))."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted
from scanspec.specs import Fly, Linspace  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.errors import FieldValueError
from panda_ophyd.plans import pcomp_scan, position_list, sweeps


def counts(line: Any, name: str = "x") -> list[int]:
    return np.rint(line.rows()[name] * 1000).astype(int).tolist()


@pytest.mark.parametrize(("start", "stop"), [(1.0, 2.9), (2.9, 1.0)])
def test_a_row_is_taken_at_each_of_equidistant_positions(beamline, start, stop):
    line = beamline(20.0)
    line.run(pcomp_scan(line.panda, line.axes["x"], start, stop, 20, velocity=4.0))
    assert counts(line) == np.rint(np.linspace(start, stop, 20) * 1000).astype(int).tolist()
    assert line.exit_status == "success"


def test_an_encoder_that_counts_the_other_way_is_compared_the_other_way(beamline):
    line = beamline(20.0)
    turn_encoder_round(line)
    line.run(pcomp_scan(line.panda, line.axes["x"], 1.0, 2.9, 20, velocity=4.0))
    assert counts(line) == [*range(1000, 2901, 100)]
    assert line.get(line.panda.pcomp[1].start) == -1000


def turn_encoder_round(line: Any) -> None:
    from panda_ophyd.encoders import BoundAxis, Encoder

    line.simulator.call(line.simulator.world.connect, "x", 1, -1000)
    line.set((line.panda.inenc[1].val_scale, -0.001))
    motor = line.axes["x"].motor
    line.axes["x"] = BoundAxis(motor, line.panda, Encoder("INENC1.VAL", -0.001))


def test_steps_that_are_no_whole_counts_are_refused_with_what_to_do(beamline):
    line = beamline("free")
    with pytest.raises(FieldValueError, match=r"steps of PCOMP are whole ones: take steps of 0.1"):
        line.run(pcomp_scan(line.panda, line.axes["x"], 0, 1, 11 - 4))
    assert line.documents == []


def test_a_paused_compare_goes_on_at_the_position_that_is_next(beamline):
    line = beamline(0.5)
    line.pause_after(8)
    with pytest.raises(RunEngineInterrupted):
        line.run(pcomp_scan(line.panda, line.axes["x"], 1.0, 2.9, 20, velocity=2.0))
    assert 8 <= line.get(line.panda.data.num_captured) < 20
    line.engine.resume()
    assert counts(line) == [*range(1000, 2901, 100)]


def unequal(number: int = 50) -> Any:
    return np.round(1 + np.cumsum(np.linspace(0.01, 0.1, number)), 3)


def test_each_position_of_a_list_gives_a_row_there_and_back(beamline):
    line = beamline(20.0)
    positions = unequal()
    plan = position_list(line.panda, line.axes["x"], positions, both_ways=True, velocity=4.0)
    line.run(plan)
    wanted = np.rint(np.concatenate([positions, positions[::-1]]) * 1000).astype(int)
    assert counts(line) == wanted.tolist()
    # at the turn the stage has to brake and come back: no row of the way out counts
    stamps = np.rint(line.rows()["PCAP.TS_TRIG.Value"] * 125e6)
    assert np.diff(stamps)[49] > 0.1 * 125e6


def test_a_list_is_repeated_from_its_first_position(beamline):
    line = beamline(20.0)
    line.run(position_list(line.panda, line.axes["x"], [1, 1.3, 2.2], repeats=3, velocity=4.0))
    assert counts(line) == [1000, 1300, 2200] * 3


def test_a_list_downwards_with_an_encoder_that_counts_the_other_way(beamline):
    line = beamline(20.0)
    turn_encoder_round(line)
    line.run(position_list(line.panda, line.axes["x"], [2.2, 1.3, 1], velocity=4.0))
    assert counts(line) == [2200, 1300, 1000]


def test_positions_that_are_too_close_at_that_speed_are_refused(beamline):
    line = beamline("free")
    with pytest.raises(FieldValueError, match="go slower or make the pulse shorter"):
        line.run(position_list(line.panda, line.axes["x"], [1, 1.001, 2], 0.1, velocity=4.0))


def test_sweeps_go_on_in_one_stream(beamline):
    line = beamline(20.0)
    spec = Fly(0.02 @ ~Linspace("x", 1.0, 2.9, 20))
    line.run(sweeps(line.panda, spec, 5, line.axes))
    wanted = np.linspace(1.0, 2.9, 20) * 1000
    x = line.rows()["x"].reshape(5, 20) * 1000
    for sweep, positions in enumerate(x):
        assert abs(positions - (wanted[::-1] if sweep % 2 else wanted)).max() <= 1
    assert len(line.named("start")) == 1
    assert line.named("stop")[0]["num_events"] == {"primary": 100}
