"""Scans too long for a table of a server that cannot stream: two sequencers by turns."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from ophyd_async.core import StaticPathProvider
from scanspec.specs import Linspace  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd import HDFPanda, PandaError
from panda_ophyd.errors import FieldValueError, SequenceError
from panda_ophyd.flyers import (
    Loads,
    ScanInfo,
    ScanSpecSeqTableFlyableLogic,
    TimeInfo,
    TimeResolvedFlyableLogic,
)
from panda_ophyd.loading import TurnWiring
from panda_ophyd.sequences import GateGuard
from panda_ophyd.wires import signal_of
from panda_ophyd.wires.techniques import spec_in_turns
from panda_simulator import Simulator

WIRING = TurnWiring(hand_over=2)
"""Two hops of blocks as documented."""

LOADS = Loads(max_lines=50, least_seconds=0.4)
"""Tables of half a second, so that there are many hand-overs and a busy machine is in time."""


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(speed=1.0, server_version="3.0") as simulator:
        yield simulator


@pytest.fixture
async def panda(simulator: Simulator, path_provider: StaticPathProvider) -> AsyncIterator[Any]:
    panda: Any = HDFPanda(simulator.address, path_provider, name="panda")
    await panda.connect()
    wires = spec_in_turns(WIRING.settings(), run="SRGATE1.OUT", live="LUT3.OUT")
    for target, value in wires.items():
        await signal_of(panda, target).set(_like(await signal_of(panda, target).get_value(), value))
    for name in ("ts_start", "ts_end", "gate_duration"):
        field = getattr(panda.pcap, f"{name}_capture", None)
        if field is not None:
            await field.set("Value")
    yield panda
    with suppress(PandaError):
        await panda.disconnect()


def _like(before: Any, text: str) -> Any:
    return type(before)(float(text)) if type(before) in (int, float) else text


def differing(frames: int) -> list[tuple[int, float, float]]:
    """Groups of one frame, no two in a row alike."""
    return [(1, 9e-3 + 8e-9 * (k % 2), 1e-3) for k in range(frames)]


def by_turns(panda: Any, loads: Loads = LOADS) -> TimeResolvedFlyableLogic:
    return TimeResolvedFlyableLogic(panda.seq[1], turns=WIRING, loads=loads)


async def test_rows_are_spaced_to_the_tick_over_every_hand_over(panda, fly):
    logic = by_turns(panda)
    rows = await fly(logic, TimeInfo(differing(400)), 400)
    assert await panda.seq[2].table_line.get_value() == 40  # which takes every other table
    assert rows.spacing() == [1_250_000, 1_250_001] * 199 + [1_250_000]
    assert logic.progress() == (400, 400)
    assert rows.attributes["end_reason"] == b"Ok"


async def test_frames_are_counted_where_a_line_was_split_for_a_hand_over(panda, fly):
    """Each line is 30 equal frames; a table ends after the first of two halves of a line."""
    loads = Loads(max_lines=3, least_seconds=0.4)
    logic = by_turns(panda, loads=loads)
    groups = [(30, 9e-3 + 8e-9 * (k % 2), 1e-3) for k in range(8)]
    rows = await fly(logic, TimeInfo(groups), 240)
    assert logic.progress() == (240, 240)
    assert await panda.seq[2].table_line.get_value() > 0
    assert Counter(rows.spacing()) == {1_250_000: 120, 1_250_001: 119}


async def test_what_fits_is_played_by_the_first_one_with_the_same_wiring(panda, fly, tmp_path):
    logic = by_turns(panda)
    for _ in range(2):
        rows = await fly(logic, TimeInfo([(7, 9e-4, 1e-4)], repeats=3), 21)
        assert await panda.seq[2].table_line.get_value() == 0
        assert rows.spacing() == [125_000] * 20
        assert rows.attributes["end_reason"] == b"Ok"
        (tmp_path / "scan.h5").unlink()


async def test_a_run_gate_that_somebody_resets_is_no_success(simulator, panda, fly):
    async def reset() -> None:
        assert simulator._server.command("SRGATE1.FORCE_RST=") == "OK\n"

    with pytest.raises(SequenceError, match=r"it was (stopped|disabled)") as caught:
        await fly(by_turns(panda), TimeInfo(differing(400)), 400, meanwhile=reset())
    assert caught.value.line is not None
    assert caught.value.line < 50


async def test_wiring_that_was_changed_is_told_before_anything_is_played(panda, fly):
    await panda.lut[2].func.set("A&B")
    with pytest.raises(FieldValueError, match=r"LUT2.FUNC is A&B and not A&B&~C"):
        await fly(by_turns(panda), TimeInfo(differing(400)), 400)


async def test_a_pause_ends_it_where_it_is_and_it_goes_on_at_a_frame(panda, fly):
    logic = by_turns(panda)
    flyer = logic.with_device(name="flyer")
    await flyer.prepare(TimeInfo(differing(400)))
    await flyer.kickoff()
    flight = flyer.complete()
    while (done := (logic.progress() or (0,))[0]) < 60:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    await flyer.pause()
    await flight
    assert logic.interrupted
    assert done <= (logic.frames_begun or 0) < 400
    rows = await fly(logic, TimeInfo(differing(400), start=300), 100)
    assert rows.spacing() == [1_250_000, 1_250_001] * 49 + [1_250_000]


async def test_a_gate_that_does_not_open_is_told_with_its_input(panda, fly):
    """Both sequencers have the inputs of the scan; what is waited for is told as of one."""
    logic = ScanSpecSeqTableFlyableLogic(
        panda.seq[1], guard=GateGuard(), turns=replace(WIRING, inputs={"BITA": "BITS.OUTA"}),
        loads=Loads(max_lines=10, least_seconds=0.4), patience=1.0,
    )  # fmt: skip
    for sequencer in (1, 2):
        await panda.seq[sequencer].bita.set("BITS.OUTA")
    info = ScanInfo(0.01 @ (Linspace("y", 0, 1, 20) * Linspace("x", 0, 1, 2)), deadtime=1e-3)
    with pytest.raises(SequenceError, match=r"0 of 40 .*waiting for BITA=1 \(BITA is BITS.OUTA"):
        await fly(logic, info, 40)
