"""Everything that can go wrong with a capture: what the user sees, and what the file holds.

The table of docs/failures.md, a test for each of its rows. What a file holds is derived from the
file alone, as ``panda-ophyd check`` does it; rows that are not in doubt are right.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ophyd_async.core import (
    DetectorTrigger,
    StaticPathProvider,
    TriggerInfo,
)
from typer.testing import CliRunner

from panda_ophyd import (
    Capture,
    CaptureError,
    HDFPanda,
    PandaClient,
    PandaConnectionError,
    PandaError,
    WriterError,
)
from panda_ophyd import cli as command_line
from panda_ophyd.capture import Verdict, arm
from panda_ophyd.client import CaptureStream
from panda_simulator import Simulator, serve_in_thread

PATIENCE = 1.0
ROWS = 200
DATASET = "COUNTER1.OUT.Value"
DOCUMENT = Path(__file__).parents[1] / "docs" / "failures.md"

COUNTING = {
    "CLOCK1.PERIOD.UNITS": "s",
    "CLOCK1.PERIOD": "0.001",
    "CLOCK1.ENABLE": "PCAP.ACTIVE",
    "COUNTER1.ENABLE": "PCAP.ACTIVE",
    "COUNTER1.TRIG": "CLOCK1.OUT",
    "PCAP.TRIG": "CLOCK1.OUT",
    "PCAP.TRIG_EDGE": "Falling",
    "PCAP.ENABLE": "ONE",
    "COUNTER1.OUT.CAPTURE": "Value",
}
"""A box that captures 1, 2, 3, ... at 1 kHz while it is armed."""


class Found:
    """What is known of a file from the file alone."""

    def __init__(self, path: Path) -> None:
        result = CliRunner().invoke(command_line.app, ["check", "--json", str(path)])
        self.status = result.exit_code
        self.report: dict[str, Any] = json.loads(result.stdout)
        self.state: str = self.report["state"]
        self.problems = "; ".join(self.report["problems"])
        self.values = np.zeros(0)
        if path.exists():
            with h5py.File(path, "r", swmr="never closed" in self.problems) as file:
                self.values = np.asarray(file[DATASET])

    @property
    def sound(self) -> np.ndarray[Any, Any]:
        """Rows that are not in doubt."""
        doubt = self.report["suspect_rows"]
        return self.values[: doubt[0]] if doubt else self.values

    def holds_right_rows(self) -> bool:
        return bool(np.array_equal(self.sound, np.arange(1, len(self.sound) + 1)))


@dataclass(frozen=True)
class Row:
    """One failure.

    Attributes:
        name: as in docs/failures.md.
        faults: what the simulator does.
        error: class of what the awaited status raises.
        words: in its text.
        problems: pattern of what check says.
        doubt: where doubt begins: "none", "first" row, in the "last" rows.
        late: it happens after kickoff, and many rows are asked for.
    """

    name: str
    faults: Sequence[str]
    error: type[Exception]
    words: str
    problems: str
    doubt: str = "last"
    late: bool = False


def ends(reason: str, words: str, doubt: str = "last") -> Row:
    fault = f"end-reason:reason={reason.lower().replace(' ', '-')},sample=120"
    return Row(f"END {reason}", [fault], CaptureError, words, f"'{reason}' after 120", doubt)


def ends_early(reason: str, words: str) -> Row:
    # While somebody waits for more, or it is another failure
    fault = f"end-reason:reason={reason.lower()}"
    return Row(f"END {reason}", [fault], CaptureError, words, f"'{reason}' after", "none", True)


STREAM = [
    ends_early("Ok", "PCAP.ENABLE fell; let it stay high"),
    ends_early("Disarmed", "somebody else disarmed it"),
    ends("Framing error", "triggers came closer together"),
    ends("Driver data overrun", "the PandA's processor was too slow"),
    ends("DMA data error", "the FPGA got no memory in time"),
    ends("Unexpected completion error", "take them again"),
    Row(
        "END Early disconnect",
        ["odd-end:reason=Early disconnect"],
        CaptureError,
        "our data connection was closed",
        "ended with 'Early disconnect'",
    ),
    Row(
        "END of no known reason",
        ["odd-end"],
        CaptureError,
        "'Out of cheese'",
        "ended with 'Out of cheese'",
    ),
    Row(
        "END Data overrun",
        ["data-overrun:sample=120"],
        CaptureError,
        "'Data overrun' after 120 samples",
        "ended with 'Data overrun'",
    ),
    Row(
        "Data overrun, last frame corrupt",
        ["data-overrun:sample=120", "corrupt-rows:sample=119"],
        CaptureError,
        "are in doubt",
        "ended with 'Data overrun'",
    ),
    Row(
        "Samples missed",
        ["missed:samples=10"],
        CaptureError,
        "10 samples were missed because the data connection came too late",
        "10 samples missed before it",
        "first",
    ),
    Row(
        "Connection ends inside a frame",
        ["truncate-frame:number=1,keep=30"],
        PandaConnectionError,
        "ended inside an acquisition",
        "no END came after",
    ),
    Row(
        "Connection ends between frames",
        ["close:port=data,after_samples=100"],
        PandaConnectionError,
        "ended inside an acquisition",
        "no END came after 100 samples",
    ),
    Row(
        "Connection is reset",
        ["reset:port=data,after_samples=100"],
        PandaConnectionError,
        "reset by peer",
        "no END came after",
    ),
    Row(
        "Frame of no whole samples",
        ["frame-length:number=1,length=13"],
        PandaConnectionError,
        "not whole samples of 4 bytes",
        "no END came after",
    ),
    Row(
        "Frame of impossible length",
        ["frame-length:number=1"],
        PandaConnectionError,
        "a frame claims 4294967295 bytes",
        "no END came after",
    ),
    Row(
        "Frame length too long",
        ["frame-length:number=1,length=100000"],
        CaptureError,
        "its END did not come",
        "no END came after",
    ),
    Row(
        "Short by one row",
        ["drop-rows:sample=50,count=1"],
        CaptureError,
        "those from row 0 on are in doubt",
        r"(\d+) samples sent but \d+ received",
        "first",
    ),
    Row(
        "One row too many",
        ["duplicate-rows:sample=50,count=1"],
        CaptureError,
        "those from row 0 on are in doubt",
        r"(\d+) samples sent but \d+ received",
        "first",
    ),
    Row(
        "END does not come",
        ["missing-end"],
        CaptureError,
        "its END did not come",
        "no END came after",
    ),
    Row(
        "Data connection stands still",
        ["stall:port=data,after_samples=100"],
        CaptureError,
        "were lost on the way, or the data connection is stuck",
        "no END came after 100 samples",
    ),
    Row(
        "Server reboots",
        ["reboot:sample=150,seconds=60"],
        PandaConnectionError,
        "connection lost",
        "no END came after",
    ),
    Row(
        "Server restarts",
        ["restart:sample=150,seconds=60"],
        PandaConnectionError,
        "connection lost",
        "no END came after",
    ),
]

WRITER = [
    "Disk full",
    "Quota reached",
    "Directory removed",
    "Directory moved",
    "File removed",
    "File replaced",
    "No permission",
    "File locked by a reader",
    "Process killed",
    "Process terminated",
]


def test_every_row_of_the_document_is_tested_and_the_other_way_round():
    rows = re.findall(r"^\| ([^|]+?) +\|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    listed = [row for row in rows if row not in ("Failure", "---") and not row.startswith("--")]
    assert listed == [*WRITER, *(row.name for row in STREAM)]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    patient: list[Any] = [
        PandaClient.__init__,
        PandaClient.request_all,
        CaptureStream.__init__,
        Capture.close,
        arm,
    ]
    for function in patient:
        defaults: dict[str, Any] = dict(function.__kwdefaults__)
        if defaults["timeout"] is not None:
            monkeypatch.setattr(function, "__kwdefaults__", defaults | {"timeout": PATIENCE})


# The stream


def set_up(simulator: Simulator, **changes: str) -> None:
    for target, value in (COUNTING | changes).items():
        assert simulator._server.command(f"{target}={value}") == "OK\n"


@pytest.fixture
async def flyer(simulator: Simulator, path_provider: StaticPathProvider) -> AsyncIterator[HDFPanda]:
    set_up(simulator)
    panda = HDFPanda(simulator.address, path_provider, name="panda")
    await panda.connect()
    yield panda
    simulator.faults.clear()
    with suppress(PandaError):  # a capture that was made to fail says so once more
        await panda.disconnect()


async def fly(panda: HDFPanda, rows: int, then: Callable[[], object]) -> None:
    info = TriggerInfo(
        number_of_events=rows, trigger=DetectorTrigger.EXTERNAL_EDGE, exposure_timeout=PATIENCE
    )
    try:
        await panda.stage()
        await panda.prepare(info)
        await panda.kickoff()
        then()
        await panda.complete()
    except BaseException:
        with suppress(PandaError, TimeoutError):
            await panda.unstage()
        raise
    await panda.unstage()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("row", STREAM, ids=lambda row: row.name)
async def test_a_stream_that_fails_fails_the_status_and_marks_the_file(
    simulator, flyer, tmp_path, row
):
    faults: list[Any] = []

    def happen() -> None:
        faults.extend(map(simulator.faults.inject_text, row.faults))

    if not row.late:
        happen()
    async with asyncio.timeout(25):
        with pytest.raises(row.error) as caught:
            await fly(flyer, *((60_000, happen) if row.late else (ROWS, lambda: None)))
    assert all(fault.fired for fault in faults)
    assert row.words in str(caught.value)
    data = flyer._panda_connector.data
    assert data is not None
    with suppress(PandaError):
        await flyer.disconnect()  # where the box is gone the file is closed while unstage fails
    verdict: Verdict | None = data.judged
    assert verdict is not None
    assert not verdict.complete
    found = Found(tmp_path / "scan.h5")
    assert (found.status, found.state) == (1, "bad")
    assert re.search(row.problems, found.problems), found.problems
    assert found.holds_right_rows()
    rows, doubt = len(found.values), found.report["suspect_rows"]
    assert found.report["rows"] == rows > 0
    match row.doubt:
        case "none":
            assert doubt is None
        case "first":
            assert doubt == [0, rows]
        case _:
            assert 0 <= doubt[0] < doubt[1] == rows
    # what the program said while it ran, the file says too
    assert doubt == (
        [verdict.suspect_row, verdict.suspect_stop] if verdict.suspect_row >= 0 else None
    )


# The writer: a process of its own, in a place of its own


@pytest.fixture
def served() -> Iterator[Simulator]:
    with serve_in_thread() as simulator:
        simulator.call(set_up, simulator)
        yield simulator


PROGRAM = ("-m", "panda_ophyd")
HEEDLESS = (
    "import panda_ophyd.cli, panda_ophyd.writers.hdf5 as writer;"
    "writer.RESERVE_BYTES = -1 << 40; panda_ophyd.cli.main()"
)
"""The same, but for that it does not look how much room is left."""


class Capturing:
    """``panda-ophyd capture --arm`` at work."""

    def __init__(
        self, simulator: Simulator, path: Path, *prefix: str, program: Sequence[str] = PROGRAM
    ) -> None:
        self.path = path
        command = [*prefix, sys.executable, *program, "capture", simulator.address, str(path)]
        self.process = subprocess.Popen(  # noqa: S603  our own words
            [*command, "--arm"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait_for_rows(self, count: int) -> None:
        """Look into the file until it has so many."""
        for _ in range(1000):
            assert self.process.poll() is None, self.process.communicate()
            with suppress(OSError, KeyError), h5py.File(self.path, "r", swmr=True) as file:
                if len(file[DATASET]) >= count:
                    return
            time.sleep(0.02)
        pytest.fail("no rows came")

    def end(self) -> tuple[int, str]:
        """Wait for the exit status and what was said."""
        try:
            said = self.process.communicate(timeout=30)[1]
        finally:
            self.process.kill()
        return self.process.returncode, " ".join(said.split())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(place)]
    mounted = shutil.which("mount") and subprocess.run(command, check=False, capture_output=True)  # noqa: S603
    if not mounted or mounted.returncode:
        pytest.skip("no file system of its own can be mounted here: that takes a privilege")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)  # noqa: S603, S607


def test_a_full_disk_ends_the_capture_and_keeps_the_rows(served, small_disk):
    path = small_disk / "scan.h5"
    capturing = Capturing(served, path)
    capturing.wait_for_rows(50)
    room = shutil.disk_usage(small_disk).free
    with (small_disk / "somebody's").open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, room - (1 << 20))
    status, said = capturing.end()
    assert status == 1
    assert "are left on the disk" in said
    assert "make room" in said
    found = Found(path)
    assert (found.status, found.state) == (1, "bad")
    assert "no END came" in found.problems
    assert "make room" in found.problems
    assert len(found.sound) >= 1
    assert found.holds_right_rows()


def test_a_quota_that_nobody_foresees_ends_the_capture_and_not_the_process(served, tmp_path):
    if not shutil.which("prlimit"):
        pytest.skip("needs prlimit")
    served.call(served._server.command, "CLOCK1.PERIOD=0.00002")
    path = tmp_path / "scan.h5"
    capturing = Capturing(served, path, "prlimit", f"--fsize={1 << 20}")
    status, said = capturing.end()
    assert status == 1
    assert re.search(r"scan\.h5: cannot (take rows|be flushed)[^:]*: File too large", said), said
    assert CliRunner().invoke(command_line.app, ["check", str(path)]).exit_code == 1


def test_a_disk_that_is_full_all_of_a_sudden_keeps_what_was_flushed(served, small_disk):
    served.call(served._server.command, "CLOCK1.PERIOD=0.00002")
    path = small_disk / "scan.h5"
    capturing = Capturing(served, path, program=("-c", HEEDLESS))
    capturing.wait_for_rows(1000)
    room = shutil.disk_usage(small_disk).free
    with (small_disk / "somebody's").open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, room - (512 << 10))
    status, said = capturing.end()
    assert status == 1
    assert re.search(r"cannot (take rows|be flushed)[^:]*: No space left on device", said), said
    found = Found(path)
    assert (found.status, found.state) == (1, "bad")
    assert len(found.sound) >= 1000
    assert found.holds_right_rows()


def remove_directory(place: Path) -> None:
    shutil.rmtree(place)


def move_directory(place: Path) -> None:
    place.rename(place.with_name("moved"))


def remove_file(place: Path) -> None:
    (place / "scan.h5").unlink()


def replace_file(place: Path) -> None:
    (place / "another.h5").write_bytes(b"mine")
    (place / "another.h5").replace(place / "scan.h5")


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (remove_directory, "was removed or moved while it was written"),
        (move_directory, "was removed or moved while it was written"),
        (remove_file, "was removed or moved while it was written"),
        (replace_file, "was replaced by another file"),
    ],
)
def test_rows_are_not_written_into_nowhere(served, tmp_path, act: Callable[[Path], None], words):
    place = tmp_path / "data"
    place.mkdir()
    capturing = Capturing(served, place / "scan.h5")
    capturing.wait_for_rows(50)
    act(place)
    status, said = capturing.end()
    assert status == 1
    assert words in said
    moved = place.with_name("moved") / "scan.h5"
    if moved.exists():
        found = Found(moved)
        assert (found.status, found.state) == (1, "bad")
        assert words in found.problems
        assert found.holds_right_rows()
        assert len(found.values) >= 50
    elif act is replace_file:
        assert (place / "scan.h5").read_bytes() == b"mine"
    else:
        assert Found(place / "scan.h5").problems == "it cannot be opened: No such file or directory"
    assert served.call(served._server.command, "*PCAP.COMPLETION?") == "OK =Disarmed\n"


def test_without_permission_nothing_is_armed(served):
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o555)
        command = ["capture", served.address, str(place / "scan.h5"), "--arm"]
        user = os.geteuid()
        # whatever is imported on the way is not for everybody
        CliRunner().invoke(command_line.app, [*command[:2], "/not/there/a.h5", "--arm"])
        if user == 0:
            os.seteuid(65534)  # to the superuser everything is permitted
        try:
            result = CliRunner().invoke(command_line.app, command)
        finally:
            if user == 0:
                os.seteuid(0)
        assert result.exit_code == 1
        assert "this process may not write there; choose another place" in result.stderr
        assert list(place.iterdir()) == []
    assert served.call(served._server.command, "*PCAP.COMPLETION?") == "OK =Ok\n"


def test_a_reader_that_locks_the_file_stops_nothing(served, tmp_path):
    path = tmp_path / "scan.h5"
    capturing = Capturing(served, path)
    capturing.wait_for_rows(50)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        before = path.stat().st_mtime_ns
        assert served.call(served._server.command, "*PCAP.DISARM=") == "OK\n"
        status, said = capturing.end()
        assert path.stat().st_mtime_ns > before
    assert (status, said) == (0, "")
    found = Found(path)
    assert (found.status, found.state) == (0, "good")
    assert found.holds_right_rows()
    assert len(found.values) >= 50


def test_a_process_that_is_killed_leaves_every_row_that_was_flushed(served, tmp_path):
    path = tmp_path / "scan.h5"
    capturing = Capturing(served, path)
    capturing.wait_for_rows(150)
    capturing.process.kill()
    status, _ = capturing.end()
    assert status == -signal.SIGKILL
    found = Found(path)
    assert (found.status, found.state) == (1, "bad")
    assert re.search(r"its writer died: it was never closed by process \d+", found.problems)
    assert "no END came" in found.problems
    assert len(found.values) >= 150
    assert np.array_equal(found.values, np.arange(1, len(found.values) + 1))


def test_a_process_that_is_terminated_disarms_and_closes_the_file(served, tmp_path):
    path = tmp_path / "scan.h5"
    capturing = Capturing(served, path)
    capturing.wait_for_rows(50)
    capturing.process.terminate()
    status, said = capturing.end()
    assert (status, said) == (130, "panda-ophyd: interrupted")
    assert served.call(served._server.command, "*PCAP.COMPLETION?") == "OK =Disarmed\n"
    found = Found(path)
    assert (found.status, found.state) == (0, "good")
    assert found.holds_right_rows()


# The same through the device


@pytest.mark.usefixtures("impatient")
async def test_a_file_that_is_removed_fails_the_flight(flyer, tmp_path):
    info = TriggerInfo(number_of_events=60_000, trigger=DetectorTrigger.EXTERNAL_EDGE)
    await flyer.stage()
    await flyer.prepare(info)
    await flyer.kickoff()
    status = flyer.complete()
    path = tmp_path / "scan.h5"
    captured: Any = flyer
    rows: asyncio.Queue[int] = asyncio.Queue()
    captured.data.num_captured.subscribe(
        lambda reading: rows.put_nowait(reading["panda-data-num_captured"]["value"])
    )
    async with asyncio.timeout(20):
        while await rows.get() < 50:
            pass
    path.unlink()
    with pytest.raises(WriterError, match="was removed or moved while it was written"):
        await asyncio.wait_for(status, 20)
    with suppress(PandaError):
        await flyer.unstage()
    assert "was removed or moved" in await captured.data.verdict.get_value()
    assert not path.exists()
