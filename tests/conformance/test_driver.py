"""The driver on any PandA: it discovers all, reads all, and captures what the incumbent does.

Runs on the simulator; ``pytest tests/conformance --panda HOST[:CONTROL[:DATA]]`` runs it on
another. What is captured and scaled there is set back; the last test arms the box.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
from ophyd_async.core import (
    Command,
    Device,
    Signal,
    SignalR,
    StaticFilenameProvider,
    StaticPathProvider,
)

from panda_ophyd import BoxInfo, Capture, HDFPanda, PandaClient, introspect
from panda_ophyd.capture import arm, disarm
from panda_ophyd.client import PandaAddress

CAPTURED = {
    "INENC1.VAL.CAPTURE": "Value Diff Sum Min Max Mean",
    "COUNTER1.OUT.CAPTURE": "Min Max Mean",
    "COUNTER2.OUT.CAPTURE": "Value",
    "PCAP.TS_TRIG.CAPTURE": "Value",
    "PCAP.TS_START.CAPTURE": "Value",
    "PCAP.BITS0.CAPTURE": "Value",
    "INENC1.VAL.SCALE": "0.5",
    "INENC1.VAL.OFFSET": "10",
    "INENC1.VAL.UNITS": "mm",
}

OF_OLD = {"INENC1.VAL.CAPTURE": "Min Max Mean"}
"""Servers before 3.0 take one of nine choices."""

UNLISTED = {"PCAP.SAMPLES.Value"}
"""What pandablocks calls the sample count that servers before 2.1 send without listing it."""

OURS = {"absolute_time", "entry"}
"""What a file of ours holds beside the captured datasets."""


def below(device: Device) -> list[Device]:
    return [d for _, child in device.children() for d in (child, *below(child))]


async def box_of(host: str) -> BoxInfo:
    async with PandaClient(host) as client:
        return await introspect(client)


@asynccontextmanager
async def settings(client: PandaClient, wanted: dict[str, str]) -> AsyncGenerator[None]:
    before = {target: await client.query(target) for target in wanted}
    for target, value in wanted.items():
        await client.assign(target, value)
    try:
        yield
    finally:
        for target, value in before.items():
            await client.assign(target, value)


async def test_introspection_takes_six_round_trips_at_most(host):
    async with PandaClient(host) as client:
        box = await introspect(client)
        assert client.round_trips <= 6
    assert box.blocks


async def test_the_standard_box_has_24_block_types_and_257_fields(host):
    box = await box_of(host)
    if box.application not in ("", "pandabox-no-fmc"):
        pytest.skip(f"this box is a {box.application}")
    assert len(box.blocks) == 24
    assert sum(len(block.fields) for block in box.blocks) == 257


async def test_every_field_instance_is_a_child_and_every_readable_one_reads(host, tmp_path):
    provider = StaticPathProvider(StaticFilenameProvider("unused"), tmp_path)
    panda = HDFPanda(host, provider, name="panda")
    await panda.connect()
    leaves = [child for child in below(panda) if isinstance(child, Signal | Command)]
    sources = {leaf.source for leaf in leaves}
    root = f"panda://{PandaAddress.parse(host)}"
    box = await box_of(host)
    missing = [
        f"{root}/{block.reported(number)}.{field.name}"
        for block in box.blocks
        for number in range(1, block.count + 1)
        for field in block.fields
        if field.cls != "ext_out"  # which has no value of its own, only its capture
        if f"{root}/{block.reported(number)}.{field.name}" not in sources
    ]
    assert missing == []
    readable = [child for child in below(panda) if isinstance(child, SignalR)]
    await asyncio.gather(*(signal.read() for signal in readable))
    await panda.disconnect()


async def test_a_capture_equals_what_pandablocks_writes_of_the_same_acquisition(host, tmp_path):
    address = PandaAddress.parse(host)
    if (address.control_port, address.data_port) != (8888, 8889):
        pytest.skip("pandablocks' own command knows no other ports than 8888 and 8889")
    command = ["-m", "pandablocks", "hdf", address.host, f"{tmp_path}/theirs%d.h5", "--num=1"]
    theirs = await asyncio.create_subprocess_exec(sys.executable, *command)
    try:
        captured = CAPTURED if (await box_of(host)).combines_captures else CAPTURED | OF_OLD
        async with PandaClient(address) as client, settings(client, captured):
            ours = Capture(address, tmp_path / "ours.h5")
            await ours.open()
            await arm(client, readers=2, timeout=10)
            await asyncio.sleep(2)
            await disarm(client)
            await ours.wait_ended()
            await ours.close()
        assert await asyncio.wait_for(theirs.wait(), 10) == 0
    finally:
        if theirs.returncode is None:
            theirs.kill()
    compare(tmp_path / "ours.h5", tmp_path / "theirs1.h5")


def compare(ours: Path, theirs: Path) -> None:
    with h5py.File(ours) as mine, h5py.File(theirs) as other:
        captured = set(mine) - OURS
        assert captured - UNLISTED == set(other) - UNLISTED
        for name in captured:
            a, b = np.asarray(mine[name]), np.asarray(other[name])
            assert a.dtype == b.dtype
            # With no gated sample a mean is undefined: NaN as the server itself has it,
            # where pandablocks divides by zero.
            defined = np.isfinite(b) if name.endswith(".Mean") else np.full(b.shape, True)
            assert np.array_equal(a[defined], b[defined])
            assert not np.isfinite(a[~defined]).any()
