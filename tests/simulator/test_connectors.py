"""Connectors of the box: one a block, or eight on the FMC card."""

from __future__ import annotations

import pytest


@pytest.fixture
def outputs(bench):
    """What the outputs of the card put out: connector and level, as they come."""
    seen: list[tuple[int, int]] = []
    for number in range(1, 9):
        bench.world.observe(
            "FMC_24V_OUT", number, lambda tick, level, number=number: seen.append((number, level))
        )
    return seen


def test_each_input_of_the_card_is_a_bit_of_its_own(bench):
    for number in (1, 8):
        bench.world.drive("FMC_24V_IN", number, 1)
    bits = [bench.bit(f"FMC_24V_IN1.VAL{number}") for number in range(1, 9)]
    assert bits == [True, *[False] * 6, True]
    bench.world.drive("FMC_24V_IN", 1, 0)
    assert not bench.bit("FMC_24V_IN1.VAL1")


def test_a_level_from_before_the_box_is_there_at_once(make_bench):
    bench = make_bench()
    bench.world.drive("FMC_24V_IN", 3, 1)
    assert bench.get("FMC_24V_IN", "FMC_PRSNT") == 1
    assert bench.bit("FMC_24V_IN1.VAL3")


def test_a_connector_that_no_block_has_cannot_be_driven(bench):
    bench.fabric.read_bits()
    with pytest.raises(ValueError, match="this box has no input FMC_24V_IN9"):
        bench.world.drive("FMC_24V_IN", 9, 1)
    with pytest.raises(ValueError, match="this box has no input NOSUCH1"):
        bench.world.drive("NOSUCH", 1, 1)
    assert not bench.fabric.read_bits()[1].any()
    assert bench.world.level("NOSUCH", 1) == 0


def test_outputs_of_the_card_are_off_until_powered_and_enabled(bench, outputs):
    bench.set("FMC_24V_OUT", VAL2="ONE", VAL5="BITS1.OUTA")
    bench.run(5)
    bench.set("FMC_24V_OUT", PWR_ON=1)
    bench.run(5)
    assert outputs == []
    bench.set("FMC_24V_OUT", EN=1)
    assert outputs == [(2, 1)]
    bench.set("BITS", A=1)
    bench.run(5)
    assert outputs == [(2, 1), (5, 1)]
    bench.set("FMC_24V_OUT", PWR_ON=0)
    assert outputs == [(2, 1), (5, 1), (2, 0), (5, 0)]
