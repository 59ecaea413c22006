"""A fibre from one SFP to the other carries bits and positions; without one the link is down."""

from __future__ import annotations

import pytest

from panda_simulator.behaviours import LATENCY
from panda_simulator.clock import SteppedClock
from panda_simulator.timing import SteppedBox
from panda_simulator.world import World


def linked(clock) -> World:
    world = World(clock)
    world.cable("SFP3_SYNC_OUT1", "SFP2_SYNC_IN1")
    return world


def received(box, *names: str) -> list[str]:
    return [box.get(f"SFP2_SYNC_IN.{name}") for name in names]


def test_without_a_fibre_the_link_is_down_and_nothing_comes():
    box = SteppedBox()
    box.set("SFP3_SYNC_OUT.BIT1", "ONE")
    box.run(1000)
    assert received(box, "LINKUP", "HEALTH", "ERR_CNT", "BIT1") == ["0", "Link down", "0", "0"]


def test_a_fibre_carries_bits_and_positions_after_its_latency():
    box = SteppedBox(world=linked)
    assert received(box, "LINKUP", "HEALTH") == ["1", "OK"]
    assert box.get("SFP3_SYNC_IN.LINKUP") == "0"
    box.set("SFP3_SYNC_OUT.BIT8", "TTLIN1.VAL")
    box.set("SFP3_SYNC_OUT.POS4", "INENC1.VAL")
    box.run(200)
    box.world.drive("TTLIN", 1, 1)
    box.world.axes["x"].place(0.01)
    driven = box.tick
    box.run_until(driven + LATENCY)
    assert box.get("SFP2_SYNC_IN.BIT8") == "0"
    box.run(1)
    assert box.get("SFP2_SYNC_IN.BIT8") == "1"
    box.run(1)
    assert box.get("SFP2_SYNC_IN.POS4") == "100"


def test_a_fibre_laid_later_brings_what_is_sent_by_then():
    box = SteppedBox()
    box.set("SFP2_SYNC_OUT.BIT3", "ONE")
    box.run(100)
    box.world.cable("SFP2_SYNC_OUT1", "SFP2_SYNC_IN1")
    box.run(LATENCY + 2)
    assert received(box, "LINKUP", "BIT3", "BIT4") == [
        "1",
        "1",
        "0",
    ]


@pytest.mark.parametrize(
    ("output", "target", "reason"),
    [
        ("SFP2_SYNC_OUT1", "TTLIN1", "no cable fits from SFP2_SYNC_OUT1 to TTLIN1"),
        ("TTLOUT1", "SFP2_SYNC_IN1", "no cable fits"),
        ("SFP2_SYNC_OUT1", "SFP9_SYNC_IN1", "this box has no SFP9_SYNC_IN1 for a fibre"),
    ],
)
def test_a_fibre_that_does_not_fit_is_refused(output, target, reason):
    box = SteppedBox()
    with pytest.raises(ValueError, match=reason):
        box.world.cable(output, target)


def test_a_world_with_a_fibre_for_another_box_is_refused():
    with pytest.raises(ValueError, match="this box has no SFP2_SYNC_IN1"):
        SteppedBox("pandabox-fmc-24vio", world=linked)
    assert linked(SteppedClock())


def test_what_repeats_over_a_fibre_is_the_same_with_leaps_and_without(make_bench):
    seen, calls = [], []
    for leaps in (True, False):
        bench = make_bench(leaps=leaps)
        bench.world.cable("SFP2_SYNC_OUT1", "SFP2_SYNC_IN1")
        bench.set("CLOCK", PERIOD=100, ENABLE="ONE")
        bench.set("COUNTER", TRIG="CLOCK1.OUT", ENABLE="ONE", STEP=3)
        bench.set("SFP2_SYNC_OUT", POS1="COUNTER1.OUT", BIT1="CLOCK1.OUT")
        rows = []
        for ticks in (1_000_003, 50, 77_777):
            bench.run(ticks)
            rows.append([bench.get("SFP2_SYNC_IN", name) for name in ("POS1", "BIT1")])
        seen.append(rows)
        calls.append(bench.fabric.calls)
    assert seen[0] == seen[1]
    assert seen[0][2][0] > seen[0][0][0] > 0
    assert calls[0] < calls[1] // 5
