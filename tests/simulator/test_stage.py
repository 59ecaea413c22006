"""The bench port moves axes, drives levels, lays cables and lets time pass."""

from __future__ import annotations

import pytest

from panda_simulator import Simulator
from panda_simulator.bench import Bench
from panda_simulator.stage import Stage


@pytest.fixture
async def answer():
    async with Simulator(speed="stepped") as simulator:
        bench = Bench(simulator.faults, lambda: "")
        bench.add(*Stage(simulator.world, lambda: simulator.tick, simulator.run_for).commands())
        yield bench.answer


async def test_an_axis_moves_and_stands_at_the_tick_that_was_said(answer):
    said = await answer("move x 2.5 velocity=5 acceleration=100")
    assert said.startswith("OK ")
    assert (await answer("axes")).startswith("OK x 0 moving; y 0 still")
    end = int(said.removeprefix("OK "))
    now = int((await answer("tick")).removeprefix("OK "))
    assert await answer(f"run {(end - now) * 8e-9!r}") == said
    assert (await answer("axes")).startswith("OK x 2.5 still")


async def test_a_stopped_axis_stands_before_its_target(answer):
    await answer("move y 5")
    await answer("run 1")
    await answer("stop y")
    await answer("run 10")
    position = float((await answer("axes")).split("; ")[1].split()[1])
    assert 0.9 < position < 1.5


async def test_levels_are_driven_and_read_and_cables_laid(answer):
    assert await answer("cable TTLOUT1 TTLIN2") == "OK"
    assert await answer("drive TTLIN1 1") == "OK"
    assert await answer("level TTLIN1") == "OK 1"
    assert await answer("level TTLOUT1") == "OK 0"


async def test_an_encoder_can_be_made_coarse_and_noisy(answer):
    assert await answer("encoder x 1 2000 offset=3 resolution=5 noise=2 seed=7") == "OK"
    assert await answer("place x 1.5") == "OK"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("move", "an axis is needed: choose one of x, y, z, a"),
        ("move q 1", "an axis is needed"),
        ("move x far", "target is a number, not 'far'"),
        ("move x 1e9", "target 1000000000.0 is outside"),
        ("move x 1 speed=3", "'speed=3' is none of velocity=, acceleration="),
        ("move x 1 velocity=-1", "have to be positive"),
        ("place x", "position is a number, not ''"),
        ("place x 1e300", "position 1e+300 is outside"),
        ("cable TTLOUT99 TTLIN1", "this box has no output TTLOUT99"),
        ("drive TTLIN1 high", "the level is 0 or 1"),
        ("level TTL", "'TTL' is no connector"),
        ("level", "is no connector"),
        ("cable TTLOUT1", "is no connector"),
        ("encoder x 1", "COUNTS_PER_UNIT is a number"),
        ("encoder x 1 0", "an encoder needs counts"),
        ("encoder x 9 1000", "this box has no INENC9"),
        ("drive TTLIN7 1", "this box has no input TTLIN7"),
        ("drive TTLOUT1 1", "this box has no input TTLOUT1"),
        ("cable TTLOUT1 LVDSIN3", "this box has no input LVDSIN3"),
        ("cable OUTENC1 TTLIN1", "an encoder cable goes from an OUTENC to an INENC"),
        ("cable OUTENC1 INENC9", "this box has no OUTENC1 or no INENC9"),
        ("encoder x 1 100 index=5 index_every=1", "comes every 1 counts"),
        ("run -1", "time does not go back by 1 s"),
        ("run soon", "seconds is a number"),
        ("run inf", "seconds is a number, not 'inf'"),
        ("run nan", "seconds is a number, not 'nan'"),
        ("move x nan", "target is a number, not 'nan'"),
        ("move x 1 velocity=nan", "velocity is a number, not 'nan'"),
        ("place x inf", "position is a number, not 'inf'"),
        ("encoder x inf 1", "INENC is a number, not 'inf'"),
        ("encoder x 1.5 1", "INENC is a whole number, not 1.5"),
        ("encoder x 1 1 resolution=1e999", "resolution is a number"),
        ("encoder x 1 1 noise=0.5", "noise is a whole number, not 0.5"),
    ],
)
async def test_a_command_that_makes_no_sense_says_why(answer, command, reason):
    reply = await answer(command)
    assert reply.startswith("ERR ")
    assert reason in reply


async def test_real_time_cannot_be_stepped():
    async with Simulator() as simulator:
        stage = Stage(simulator.world, lambda: simulator.tick, simulator.run_for)
        bench = Bench(simulator.faults, lambda: "")
        bench.add(*stage.commands())
        assert "stepped" in await bench.answer("run 1")


async def test_a_speed_that_is_refused_is_not_kept(answer):
    assert (await answer("move x 1 acceleration=5 velocity=0")).startswith("ERR ")
    assert (await answer("move x 1")).startswith("OK ")
    assert (await answer("move x -1")).startswith("OK ")
