"""What real servers have sent, through the whole path: files hold the values that are known."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from panda_ophyd.capture import Capture
from panda_ophyd.client import PandaAddress
from panda_ophyd.columns import ColumnDecoder
from panda_ophyd.data import CaptureEnd, CaptureStart, DataProtocol, Payload

TRANSCRIPTS = Path(__file__).parent / "transcripts"
TICK = 8e-9

CUT = np.array([*range(1, 21), 5957])
"""Rows of the cut recording of a 2.x box, counted from 1: its first frame, and the odd one."""

COUNTED = (*range(1, 21), 10000)
"""The same of the one without a sample count."""


def recorded(name: str) -> bytes:
    return (TRANSCRIPTS / f"{name}.bin").read_bytes()


@contextlib.asynccontextmanager
async def playing(wire: bytes):
    """A data port that sends a recording to whoever asks for one of its kind."""

    async def session(reader, writer) -> None:
        await reader.readline()
        writer.write(wire)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(session, "127.0.0.1", 0)
    async with server:
        yield PandaAddress("127.0.0.1", data_port=server.sockets[0].getsockname()[1])


async def written(wire: bytes, path: Path, names=None) -> dict[str, np.ndarray]:
    """Let `Capture` write a recording, and read the file."""
    async with playing(wire) as address:
        capture = Capture(address, path, names=names)
        await capture.open()
        async with asyncio.timeout(20):
            await capture.wait_ended()
            await capture.close()
        assert capture.verdict.complete
    with h5py.File(path) as file:
        return {d.name: file[d.name][:] for d in capture.datasets}


def scaled(wire: bytes) -> dict[str, np.ndarray]:
    """Read a recording that the server has scaled itself."""
    protocol = DataProtocol("XML FRAMED SCALED")
    room = memoryview(bytearray(1 << 16))
    payload = bytearray()
    decoder = None
    left = memoryview(wire)
    while True:
        match protocol.next_event(room):
            case CaptureStart() as start:
                decoder = ColumnDecoder(start)
            case Payload(size):
                payload += room[:size]
            case CaptureEnd() as end:
                assert decoder
                assert len(payload) == end.samples * decoder.sample_bytes
                return decoder.decode(bytes(payload))
            case None:
                buffer = protocol.buffers(room)[0]
                size = min(len(buffer), len(left))
                buffer[:size], left = left[:size], left[size:]
                protocol.received(size)


def counting(word: int) -> np.ndarray:
    """Word k of sample n is k + 256 n."""
    return 256 * np.arange(12) + word


async def test_a_server_of_today_raw(tmp_path: Path) -> None:
    found = await written(recorded("pandabox-no-fmc.xml_framed_raw"), tmp_path / "a.h5")
    expected = {
        "PCAP.GATE_DURATION.Value": counting(0) * TICK,
        "PCAP.BITS0.Value": counting(1),
        "PCAP.BITS2.Value": counting(2),
        "INENC1.VAL.Value": 0.5 * counting(3) + 10,
        "INENC1.VAL.Diff": 0.5 * counting(4) + 10,
        "INENC1.VAL.Min": 0.5 * counting(5) + 10,
        "INENC1.VAL.Max": 0.5 * counting(6) + 10,
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, name)
    # the first sample has a count of 0, so nothing that could be averaged
    assert np.isnan(found["COUNTER1.OUT.Mean"]).tolist() == [True] + 11 * [False]


async def test_raw_scaled_here_is_what_the_server_itself_scaled(tmp_path: Path) -> None:
    names = {
        (field, option): f"{field}.{option}"
        for field, options in {
            "INENC1.VAL": "Value Diff Sum Min Max Mean",
            "COUNTER1.OUT": "Min Max Mean",
            "COUNTER2.OUT": "Value",
            "PCAP.TS_TRIG": "Value",
            "PCAP.TS_START": "Value",
            "PCAP.BITS0": "Value",
            "PCAP.BITS2": "Value",
        }.items()
        for option in options.split()
    }
    wire = recorded("pandabox-no-fmc.xml_framed_raw")
    found = await written(wire, tmp_path / "a.h5", names)
    found.pop("absolute_time")
    expected = scaled(recorded("pandabox-no-fmc.xml_framed_scaled"))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values, name)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("hardware-2x.raw_dump_cut", CUT),
        ("hardware-2x.raw_dump_no_duration_cut", np.array(COUNTED)),
    ],
    ids=["count listed", "count sent and not listed"],
)
async def test_a_2x_box_raw(tmp_path: Path, name: str, rows: np.ndarray) -> None:
    found = await written(recorded(name), tmp_path / "a.h5")
    expected = {
        "PCAP.BITS2.Value": 0 * rows,
        "COUNTER1.OUT.Min": rows,
        "COUNTER1.OUT.Max": rows,
        "COUNTER3.OUT.Value": 3 * rows,
        "COUNTER1.OUT.Mean": rows,
        "COUNTER2.OUT.Mean": 2 * rows,
        "PCAP.TS_START.Value": (9 + 250 * (rows - 1)) * TICK,
    }
    if "no_duration" not in name:
        expected["PCAP.GATE_DURATION.Value"] = 0 * rows + 125
    assert found.keys() == expected.keys()
    for dataset, values in expected.items():
        np.testing.assert_array_equal(found[dataset], values, dataset)


@pytest.mark.parametrize(("name", "rows"), [("fast_dump", 58), ("slow_dump", 5)])
def test_a_2x_box_scaled(name: str, rows: int) -> None:
    found = scaled(recorded(f"hardware-2x.{name}"))
    numbers = np.arange(1, rows + 1)
    for dataset, factor in {
        "COUNTER1.OUT.Min": 1,
        "COUNTER1.OUT.Max": 1,
        "COUNTER1.OUT.Mean": 1,
        "COUNTER2.OUT.Mean": 2,
        "COUNTER3.OUT.Value": 3,
    }.items():
        np.testing.assert_array_equal(found[dataset], factor * numbers, dataset)
    period = 0.01 if name == "fast_dump" else 1
    np.testing.assert_allclose(
        found["PCAP.TS_START.Value"], (numbers - 1) * period + 56e-9, rtol=0, atol=1e-12
    )
    assert set(found["PCAP.BITS2.Value"]) == {0, 8}
