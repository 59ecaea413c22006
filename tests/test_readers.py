"""Who reads a file while it is written stops nobody, and sees only what is right.

Each reader is a process of its own, and begins before there is a file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from panda_ophyd.check import State, check_file
from panda_simulator import Simulator, serve_in_thread

ROWS = 60_000
DATASET = "COUNTER1.OUT.Value"
WIRING = {
    "CLOCK1.PERIOD.UNITS": "s",
    "CLOCK1.PERIOD": "0.00005",
    "CLOCK1.ENABLE": "PCAP.ACTIVE",
    "COUNTER1.ENABLE": "PCAP.ACTIVE",
    "COUNTER1.TRIG": "CLOCK1.OUT",
    "COUNTER1.OUT.CAPTURE": "Value",
    "PCAP.TRIG": "CLOCK1.OUT",
    "PCAP.TRIG_EDGE": "Falling",
    "PCAP.TS_TRIG.CAPTURE": "Value",
    "PCAP.BITS0.CAPTURE": "Value",
    "PCAP.ENABLE": "ONE",
}
"""A box that captures 1, 2, 3, ... at 20 kHz while it is armed."""

BEGIN = f"""
import json, os, sys, time
import h5py, numpy as np
path, stop = sys.argv[1:]
told = dict(opened=0, refused=0, sizes=[])

def right(values, first=0):
    assert np.array_equal(values, np.arange(first + 1, first + 1 + len(values))), values

def seen(rows):
    assert not told["sizes"] or rows >= told["sizes"][-1], (rows, told)
    if not told["sizes"] or rows > told["sizes"][-1]:
        told["sizes"].append(rows)

def over():
    time.sleep(0.005)
    return os.path.exists(stop)

DATASET = {DATASET!r}
"""

FOLLOWS = """
file = None
while not over():
    if file is None:
        try:
            file = h5py.File(path, "r", swmr=True)
            data = file[DATASET]
            told["opened"] += 1
        except (OSError, KeyError):
            file = None
            told["refused"] += 1
            continue
    data.refresh()
    rows = len(data)
    right(data[:rows])
    seen(rows)
print(json.dumps(told))
"""

OPENS_AND_CLOSES = """
while not over():
    try:
        with h5py.File(path, "r", **OPTIONS) as file:
            told["opened"] += 1
            if DATASET not in file:
                continue
            rows = len(file[DATASET])
            for first in range(0, rows, 10_000):
                stop_at = min(first + 10_000, rows)
                right(file[DATASET][first:stop_at], first)
            seen(rows)
    except OSError:
        told["refused"] += 1
print(json.dumps(told))
"""

RUNS = """
import subprocess
while not over():
    result = subprocess.run([*COMMAND, path], capture_output=True)
    told["opened" if result.returncode == 0 else "refused"] += 1
print(json.dumps(told))
"""

READERS: dict[str, tuple[str, dict[str, str]]] = {
    "follows with SWMR": (FOLLOWS, {}),
    "opens with SWMR again and again": ("OPTIONS = {'swmr': True}" + OPENS_AND_CLOSES, {}),
    "opens with SWMR, and locks": (
        "OPTIONS = {'swmr': True, 'locking': True}" + OPENS_AND_CLOSES,
        {"HDF5_USE_FILE_LOCKING": "TRUE"},
    ),
    "knows nothing of SWMR": ("OPTIONS = {}" + OPENS_AND_CLOSES, {}),
    "knows nothing of SWMR, and does not lock": (
        "OPTIONS = {'locking': False}" + OPENS_AND_CLOSES,
        {"HDF5_USE_FILE_LOCKING": "FALSE"},
    ),
    "h5dump": ("COMMAND = ['h5dump', '-H']" + RUNS, {}),
    "h5ls": ("COMMAND = ['h5ls', '-r']" + RUNS, {}),
}
"""What it does, and what its environment adds."""


@pytest.fixture
def served() -> Iterator[Simulator]:
    with serve_in_thread() as simulator:
        for target, value in WIRING.items():
            assert simulator.call(simulator._server.command, f"{target}={value}") == "OK\n"
        yield simulator


def watched_capture(simulator: Simulator, directory: Path, names: list[str]) -> dict[str, Any]:
    """Capture while these readers look, and return what they saw."""
    path, stop = directory / "scan.h5", directory / "stop"
    readers = {
        name: subprocess.Popen(  # noqa: S603  our own words
            [sys.executable, "-c", BEGIN + READERS[name][0], str(path), str(stop)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | READERS[name][1],
        )
        for name in names
    }
    command = [sys.executable, "-m", "panda_ophyd", "capture", simulator.address, str(path)]
    try:
        result = subprocess.run(  # noqa: S603  our own words
            [*command, "--arm", "--rows", str(ROWS)],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        stop.touch()
        said = {name: process.communicate(timeout=30) for name, process in readers.items()}
    assert (result.returncode, result.stderr) == (0, "")
    report = check_file(path)
    assert report.state is State.GOOD, report
    assert report.rows == ROWS
    with h5py.File(path) as file:
        assert np.array_equal(file[DATASET][:], np.arange(1, ROWS + 1))
    for name, process in readers.items():
        assert process.returncode == 0, (name, said[name][1])
    return {name: json.loads(out) for name, (out, _) in said.items()}


@pytest.mark.parametrize("name", [name for name in READERS if "SWMR" in name])
def test_a_reader_stops_no_writer_and_sees_right_rows(served, tmp_path, name):
    told = watched_capture(served, tmp_path, [name])[name]
    if "knows nothing" in name:
        assert told["opened"] + told["refused"] > 1
    else:
        assert told["opened"] > 0
        # it has seen the file grow
        assert len([rows for rows in told["sizes"] if 0 < rows < ROWS]) > 1, told


@pytest.mark.parametrize("name", ["h5dump", "h5ls"])
def test_a_tool_of_hdf5_stops_no_writer(served, tmp_path, name: str):
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    told = watched_capture(served, tmp_path, [name])[name]
    assert told["opened"] + told["refused"] > 1


def test_all_readers_at_once_stop_no_writer(served, tmp_path):
    names = [name for name in READERS if "SWMR" in name]
    names += [name for name in ("h5dump", "h5ls") if shutil.which(name)]
    told = watched_capture(served, tmp_path, names)
    assert all(each["opened"] + each["refused"] > 1 for each in told.values()), told
