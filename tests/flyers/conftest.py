"""A free running box whose SEQ1 gates and triggers PCAP (flyscan.md 5), and how to fly it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ophyd_async.core import DetectorTrigger, StaticPathProvider, TriggerInfo

from panda_ophyd import HDFPanda, PandaError
from panda_simulator import Simulator

TICKS = 125_000_000


@dataclass
class Rows:
    """What a file holds.

    Attributes:
        columns: name of the dataset to its values.
        attributes: of the file.
    """

    columns: dict[str, Any]
    attributes: dict[str, Any]

    def __len__(self) -> int:
        (length,) = {len(column) for column in self.columns.values()}
        return length

    def ticks(self, name: str) -> list[int]:
        """Return a column of times in ticks, stamps from the first TS_START on."""
        seconds = self.columns[f"PCAP.{name}.Value"]
        if name.startswith("TS_"):
            seconds = seconds - self.columns["PCAP.TS_START.Value"][0]
        return np.rint(seconds * TICKS).astype(int).tolist()

    def spacing(self, name: str = "TS_START") -> list[int]:
        return np.diff(self.ticks(name)).tolist()


def read(path: Path) -> Rows:
    with h5py.File(path, "r") as file:
        columns = {
            name: item[:]
            for name, item in file.items()
            if isinstance(item, h5py.Dataset) and name != "absolute_time"
        }
        return Rows(columns, dict(file.attrs.items()))


async def set_all(panda: Any, *pairs: tuple[Any, Any]) -> None:
    for signal, value in pairs:
        await signal.set(value)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(speed="free") as simulator:
        yield simulator


@pytest.fixture
async def panda(simulator: Simulator, path_provider: StaticPathProvider) -> AsyncIterator[Any]:
    panda: Any = HDFPanda(simulator.address, path_provider, name="panda")
    await panda.connect()
    await set_all(
        panda,
        (panda.pcap.enable, "SEQ1.ACTIVE"), (panda.pcap.gate, "SEQ1.OUTA"),
        (panda.pcap.trig, "SEQ1.OUTA"), (panda.pcap.trig_edge, "Falling"),
        (panda.pcap.ts_start_capture, "Value"), (panda.pcap.ts_end_capture, "Value"),
        (panda.pcap.ts_trig_capture, "Value"), (panda.pcap.gate_duration_capture, "Value"),
    )  # fmt: skip
    yield panda
    with suppress(PandaError):
        await panda.disconnect()


Fly = Callable[..., Awaitable[Rows]]


@pytest.fixture
def fly(panda: Any, tmp_path: Path) -> Fly:
    """Fly a logic as a plan does, and return what is in the file."""

    async def fly(
        logic: Any, value: Any, rows: int, *, meanwhile: Awaitable[None] | None = None
    ) -> Rows:
        flyer = logic.with_device(name="flyer")
        await asyncio.gather(panda.stage(), flyer.stage())
        try:
            await flyer.prepare(value)
            await panda.prepare(
                TriggerInfo(number_of_events=rows, trigger=DetectorTrigger.EXTERNAL_LEVEL)
            )
            await panda.kickoff()
            await flyer.kickoff()
            if meanwhile is not None:
                await meanwhile
            await flyer.complete()
            await panda.complete()
        finally:
            await asyncio.gather(panda.unstage(), flyer.unstage())
        return read(tmp_path / "scan.h5")

    return fly
