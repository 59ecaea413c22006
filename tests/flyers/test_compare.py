"""Position compare over TCP: exact positions, and every way in which it does not end well (S4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ophyd_async.core import (
    DetectorTrigger,
    StaticPathProvider,
    TriggerInfo,
    callback_on_mock_put,
    set_mock_value,
)
from ophyd_async.fastcs.panda import PandaPcompDirection, PcompInfo

from panda_ophyd import FieldValueError, HDFPanda, PandaError
from panda_ophyd.errors import CompareError
from panda_ophyd.flyers import StaticPcompFlyableLogic
from panda_simulator import Simulator

UP, DOWN = PandaPcompDirection.POSITIVE, PandaPcompDirection.NEGATIVE


def info(start: int = 100, step: int = 50, width: int = 10, pulses: int = 20, way: Any = UP) -> Any:
    return PcompInfo(
        start_position=start,
        rising_edge_step=step,
        pulse_width=width,
        number_of_pulses=pulses,
        direction=way,
    )


@pytest.fixture
async def box(path_provider: StaticPathProvider) -> AsyncIterator[tuple[Simulator, Any]]:
    """A counter counts microseconds up or down while CLOCK1 runs; PCOMP1 compares it."""
    async with Simulator(speed="free") as simulator:
        panda: Any = HDFPanda(simulator.address, path_provider, name="panda")
        await panda.connect()
        for signal, value in (
            (panda.clock[1].period_units, "us"), (panda.clock[1].period, 1),
            (panda.counter[1].trig, "CLOCK1.OUT"),
            (panda.counter[1].out_capture, "Value"),
            (panda.pcomp[1].inp, "COUNTER1.OUT"),
            (panda.pcap.enable, "PCOMP1.ACTIVE"), (panda.pcap.trig, "PCOMP1.OUT"),
            (panda.pcap.ts_trig_capture, "Value"),
        ):  # fmt: skip
            await signal.set(value)
        yield simulator, panda
        with suppress(PandaError):
            await panda.disconnect()


async def fly(
    panda: Any, value: PcompInfo, rows: int | None = None, clock: str = "ONE", **options: Any
) -> Any:
    """Fly as a plan does; return the flyer, over."""
    options = {"patience": 0.5} | options
    await panda.counter[1].enable.set("ONE")
    flyer = StaticPcompFlyableLogic(panda.pcomp[1], **options).with_device(name="compare")
    await asyncio.gather(panda.stage(), flyer.stage())
    try:
        await flyer.prepare(value)
        number = value.number_of_pulses if rows is None else rows
        await panda.prepare(
            TriggerInfo(number_of_events=number, trigger=DetectorTrigger.EXTERNAL_EDGE)
        )
        await panda.kickoff()
        await flyer.kickoff()
        await panda.clock[1].enable.set(clock)
        await flyer.complete()
        await panda.complete()
    finally:
        await asyncio.gather(panda.unstage(), flyer.unstage())
    return flyer


def captured(directory: Path) -> tuple[list[int], list[int]]:
    with h5py.File(directory / "scan.h5") as file:
        counts = np.rint(file["COUNTER1.OUT.Value"][:]).astype(int).tolist()
        ticks = np.rint(file["PCAP.TS_TRIG.Value"][:] * 125e6).astype(int)
        return counts, np.diff(ticks).tolist()


async def test_rows_are_taken_at_exactly_the_positions_asked_for(box, tmp_path):
    _, panda = box
    await fly(panda, info())
    assert captured(tmp_path) == ([*range(100, 1051, 50)], [6250] * 19)
    assert await panda.pcomp[1].produced.get_value() == 20


async def test_downwards_too(box, tmp_path):
    _, panda = box
    await panda.counter[1].start.set(2000)
    await panda.counter[1].dir.set("ONE")
    await fly(panda, info(start=1900, way=DOWN))
    assert captured(tmp_path) == ([*range(1900, 949, -50)], [6250] * 19)


async def test_what_an_earlier_user_has_left_changes_nothing(box, tmp_path):
    _, panda = box
    await panda.pcomp[1].relative.set("Relative")
    await panda.pcomp[1].pre_start.set(200)
    await panda.counter[1].start.set(50)
    await fly(panda, info())
    assert captured(tmp_path)[0] == [*range(100, 1051, 50)]


async def fly_and_stall(panda: Any, value: PcompInfo, after: int) -> None:
    """Fly with a clock that stops after so many counts, and the stage with it."""
    for signal, setting in (
        (panda.counter[2].enable, "BITS.OUTA"), (panda.counter[2].trig, "CLOCK1.OUT"),
        (panda.counter[2].max, after - 1), (panda.srgate[1].enable, "ONE"),
        (panda.srgate[1].set_, "BITS.OUTA"), (panda.srgate[1].rst, "COUNTER2.CARRY"),
        (panda.bits.a, 1),
    ):  # fmt: skip
        await signal.set(setting)
    await fly(panda, value, clock="SRGATE1.OUT")


async def test_a_stage_that_is_past_the_start_already_is_told(box):
    _, panda = box
    await panda.counter[1].start.set(150)
    with pytest.raises(
        CompareError,
        match=r"PCOMP1: 0 of 20 pulses.*COUNTER1.OUT below START, 100; COUNTER1.OUT is 4\d\d",
    ) as told:
        await fly_and_stall(panda, info(), after=300)
    assert (told.value.block, told.value.produced) == ("PCOMP1", 0)


async def test_a_stage_that_stops_on_the_last_pulse_is_told(box):
    _, panda = box
    with pytest.raises(
        CompareError, match=r"20 of 20 pulses.*COUNTER1.OUT >= 1060 to end pulse 20"
    ):
        await fly_and_stall(panda, info(), after=1052)


async def test_a_jump_of_the_position_is_an_error_and_the_rows_before_it_are_kept(box, tmp_path):
    _, panda = box
    # 20 µs after the fourth pulse the position is 200 further: the second counter starts there
    for signal, setting in (
        (panda.div[1].enable, "ONE"), (panda.div[1].inp, "PCOMP1.OUT"), (panda.div[1].divisor, 4),
        (panda.pulse[1].enable, "ONE"), (panda.pulse[1].trig, "DIV1.OUTD"),
        (panda.pulse[1].delay_units, "us"), (panda.pulse[1].delay, 20),
        (panda.pulse[1].width_units, "s"), (panda.pulse[1].width, 1),
        (panda.counter[2].start, 200), (panda.counter[2].enable, "PULSE1.OUT"),
        (panda.calc[1].inpa, "COUNTER1.OUT"), (panda.calc[1].inpb, "COUNTER2.OUT"),
        (panda.pcomp[1].inp, "CALC1.OUT"),
    ):  # fmt: skip
        await signal.set(setting)
    with pytest.raises(CompareError, match="Position jumped by more than STEP") as told:
        await fly(panda, info())
    assert told.value.health == "Position jumped by more than STEP"
    assert told.value.produced == 4
    assert captured(tmp_path)[0] == [100, 150, 200, 250]


async def test_a_compare_that_somebody_disables_is_no_success(box):
    simulator, panda = box

    async def disable() -> None:
        while "WAIT_RISING" not in simulator._server.command("PCOMP1.STATE?"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert simulator._server.command("PCOMP1.ENABLE=ZERO") == "OK\n"

    somebody = asyncio.create_task(disable())
    with pytest.raises(CompareError, match="0 of 20 pulses: it was disabled before its last"):
        await fly(panda, info(), clock="ZERO", patience=None)
    await somebody


async def test_an_input_that_is_connected_to_nothing_is_refused(box):
    _, panda = box
    await panda.pcomp[1].inp.set("ZERO")
    with pytest.raises(CompareError, match="PCOMP1: INP is connected to nothing"):
        await StaticPcompFlyableLogic(panda.pcomp[1]).on_prepare(info())


async def test_the_input_can_be_the_logics_affair(box, tmp_path):
    _, panda = box
    await panda.pcomp[1].inp.set("ZERO")
    await fly(panda, info(), inp="COUNTER1.OUT")
    assert len(captured(tmp_path)[0]) == 20


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"step": 10, "width": 10}, "the next pulse begins 10 counts after it"),
        ({"start": 2**31 - 500}, "a position has 32 bits"),
        ({"start": -(2**31) + 500, "way": DOWN}, "a position has 32 bits"),
    ],
)
async def test_what_the_block_cannot_do_is_refused(box, wrong, words):
    _, panda = box
    with pytest.raises(FieldValueError, match=words):
        await StaticPcompFlyableLogic(panda.pcomp[1]).on_prepare(info(**wrong))


async def test_in_mock_mode_only_signals_are_set(path_provider):
    panda: Any = HDFPanda("nowhere", path_provider, name="panda")
    await panda.connect(mock=True)
    pcomp = panda.pcomp[1]
    flyer = StaticPcompFlyableLogic(pcomp).with_device(name="compare")
    callback_on_mock_put(
        pcomp.enable, lambda value, **_: set_mock_value(pcomp.active, value == "ONE")
    )
    await flyer.stage()
    await flyer.prepare(info())
    assert (await pcomp.start.get_value(), await pcomp.step.get_value()) == (100, 50)
    await flyer.kickoff()
    done = flyer.complete()
    assert not done.done
    set_mock_value(pcomp.active, False)
    await done
