"""However many samples come, each is in the file, and memory does not grow.

The long version, 100 million samples and 9 GB, is `pytest -m soak tests/test_capture_long.py`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from panda_ophyd.capture import IN_FLIGHT_BYTES, Capture, arm
from panda_ophyd.client import PandaClient

CAPTURED = {
    "PCAP.GATE_DURATION": "Value",
    "PCAP.BITS0": "Value",
    "INENC1.VAL": "Value Min Max Sum Mean",
    "INENC2.VAL": "Value",
    "COUNTER1.OUT": "Value",
    "PCAP.TS_TRIG": "Value",
    "PCAP.TS_START": "Value",
}
"""Eleven columns of 60 bytes."""

WORDS: dict[str, tuple[int, ...]] = {
    "PCAP.BITS0.Value": (0,),
    "INENC1.VAL.Value": (1,),
    "INENC1.VAL.Min": (2,),
    "INENC1.VAL.Max": (3,),
    "INENC2.VAL.Value": (4,),
    "PCAP.GATE_DURATION.Value": (5,),
    "COUNTER1.OUT.Value": (6,),
    "INENC1.VAL.Sum": (7, 8),
    "PCAP.TS_START.Value": (9, 10),
    "PCAP.TS_TRIG.Value": (11, 12),
    "INENC1.VAL.Mean": (13, 14),
}
"""Which words of a sample a column is made of, low before high."""

COUNT = 5
"""The word that means are divided by."""

TICK = 8e-9
BLOCK = 1 << 20


@pytest.fixture
def firehose(samples: int) -> Iterator[str]:
    """A box in a process of its own, which sends so many samples as fast as they are taken."""
    command = [sys.executable, "-m", "panda_simulator", "serve"]
    options = ["--control-port", "0", "--data-port", "0", "--firehose", "0"]
    options += ["--firehose-samples", str(samples)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE) as process:  # noqa: S603
        assert process.stdout
        words = process.stdout.readline().decode().split()
        try:
            yield f"{words[2]}:{words[4].rpartition(':')[2]}"
        finally:
            process.terminate()


def resident() -> int:
    """Bytes of memory of this process now."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("this system does not say how much memory there is")
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


def integers(words: tuple[int, ...], first: int, stop: int) -> np.ndarray:
    """What is sent of rows: word k of sample n is k + 256 n, in 32 bits."""
    numbers = 256 * np.arange(first, stop, dtype=np.uint64)
    parts = [(numbers + np.uint64(word)).astype(np.uint32) for word in words]
    if len(parts) == 1:
        return parts[0].view(np.int32)
    return (parts[0] | parts[1].astype(np.uint64) << np.uint64(32)).view(np.int64)


def expected(name: str, first: int, stop: int) -> np.ndarray:
    values = integers(WORDS[name], first, stop)
    if name.startswith("PCAP.BITS"):
        return values.view(np.uint32)
    if name.startswith("PCAP."):
        return values * TICK
    return values / integers((COUNT,), first, stop).view(np.uint32) if "Mean" in name else values


def check(path: Path, samples: int) -> None:
    with h5py.File(path) as file:
        assert file.attrs["complete"]
        for name in WORDS:
            assert len(file[name]) == samples
            for first in range(0, samples, BLOCK):
                stop = min(first + BLOCK, samples)
                np.testing.assert_array_equal(
                    file[name][first:stop], expected(name, first, stop), name
                )


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(3_000_000, id="short"),
        pytest.param(100_000_000, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
async def test_all_rows_are_right_and_memory_is_flat(
    firehose: str, tmp_path: Path, samples: int
) -> None:
    path = tmp_path / "long.h5"
    memory: list[tuple[int, int]] = []
    capture = Capture(firehose, path, on_rows=lambda rows: memory.append((rows, resident())))
    async with PandaClient(firehose) as client:
        for field, options in CAPTURED.items():
            await client.assign(f"{field}.CAPTURE", options)
        await capture.open()
        await arm(client, readers=1)
        result = await capture.wait_ended()
        await capture.close()
    try:
        check(path, samples)
    finally:
        path.unlink()  # pytest keeps the files of its last runs, and this one is big
    assert (result.rows, result.samples_sent, capture.rows) == (samples,) * 3
    assert capture.most_in_flight <= IN_FLIGHT_BYTES
    # What buffers there are may be taken into use at any time; nothing else grows
    early = max(size for rows, size in memory if rows <= samples // 3)
    assert max(size for _, size in memory) - early <= IN_FLIGHT_BYTES
