"""A scan too long for a table, on a server that cannot stream: the plan takes two sequencers."""

from __future__ import annotations

import numpy as np
from scanspec.specs import Fly, Linspace  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.flyers import Loads
from panda_ophyd.loading import TurnWiring
from panda_ophyd.plans import fly_spec
from panda_ophyd.plans.scans import Sequencing

HOW = Sequencing(
    turns=TurnWiring(hand_over=2), loads=Loads(max_lines=10, least_seconds=0.3), speed=5.0
)


def snake():
    return Fly(0.1 @ (Linspace("y", 0, 0.4, 8) * ~Linspace("x", 0.5, 1.5, 10)))


def test_a_snake_of_more_lines_than_a_table_is_flown_by_turns(beamline):
    line = beamline(5.0, server_version="3.0")
    line.run(fly_spec(line.panda, snake(), line.axes, deadtime=1e-6, sequencing=HOW))
    assert line.exit_status == "success"
    assert line.ask("SEQ2.TABLE_LINE?") != "OK =0\n"
    rows = line.rows()
    within = np.arange(1, 80) % 10 != 0
    assert set(np.diff(rows.ticks("TS_START"))[within].tolist()) == {12_500_000}
    wanted = np.linspace(500, 1500, 10)
    for number, row in enumerate(rows["x"].reshape(8, 10) * 1000):
        assert abs(row - (wanted if number % 2 == 0 else wanted[::-1])).max() <= 1


def test_a_scan_that_fits_leaves_the_other_sequencer_alone(beamline):
    line = beamline(50.0, server_version="3.0")
    line.run(fly_spec(line.panda, snake(), line.axes))
    assert len(line.rows()) == 80
    assert line.ask("SEQ2.ENABLE?") == "OK =ZERO\n"
    assert line.ask("LUT3.FUNC?") != "OK =A|B\n"
