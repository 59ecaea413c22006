"""Settings over restarts, in the file of the reference server, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panda_simulator import Simulator
from panda_simulator.control import ControlConnection
from panda_simulator.server import Server
from panda_simulator.state import StateError, StateFile, StateTimes, replay, state_lines

from .box_files import TRANSCRIPTS, echo_box
from .test_simulator import Peer, peers

REFERENCE = TRANSCRIPTS / "pandabox-no-fmc.state"
COMMANDS = TRANSCRIPTS / "pandabox-no-fmc.state.commands.txt"
SOON = (0.01, 0.01, 0.01)
QUIET = (3600.0, 0.0, 0.0)


@contextlib.asynccontextmanager
async def served(path: Path, times: tuple[float, float, float]) -> AsyncGenerator[Peer]:
    async with (
        Simulator(state=path, state_times=times) as simulator,
        peers(simulator.control_port) as [client],
    ):
        yield client


class Kept:
    """A box with a state file and one client, without sockets."""

    def __init__(self, path: Path) -> None:
        self.server = Server(echo_box())
        self.connection = ControlConnection(self.server.facilities)
        self.file = StateFile(path, self.server.facilities, StateTimes())
        self.server.facilities.save_state = self.file.save

    def do(self, *lines: str) -> str:
        return self.connection.receive_data(
            "".join(f"{line}\n" for line in lines).encode()
        ).decode()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state"


def test_the_file_is_that_of_the_reference_server(path):
    kept = Kept(path)
    replies = kept.connection.receive_data(COMMANDS.read_bytes())
    assert set(replies.split()) == {b"OK"}
    assert kept.do("*SAVESTATE=") == "OK\n"
    assert path.read_bytes() == REFERENCE.read_bytes()


def test_the_file_of_the_reference_server_loads(path, caplog):
    path.write_bytes(REFERENCE.read_bytes())
    kept = Kept(path)
    kept.file.restore()
    assert not caplog.records
    kept.file.save()
    # what could not be written in a line was lost before
    expected = REFERENCE.read_bytes().replace(b"INENC2.VAL.UNITS (error)", b"INENC2.VAL.UNITS=")
    assert path.read_bytes() == expected


def test_a_saved_box_comes_back(path):
    first = Kept(path)
    first.connection.receive_data(COMMANDS.read_bytes())
    first.file.save()
    second = Kept(path)
    second.file.restore()
    questions = ("PULSE1.DELAY?", "PULSE1.DELAY.UNITS?", "LUT1.FUNC?", "SEQ1.TABLE?")
    assert second.do(*questions) == first.do(*questions)
    assert second.do("*METADATA.LAYOUT?") == '!line 1\n!  <xml a="b"/>\n.\n'


def test_without_a_file_savestate_is_refused():
    connection = ControlConnection(Server(echo_box()).facilities)
    assert connection.receive_data(b"*SAVESTATE=\n") == b"ERR No persistence state configured\n"


def test_savestate_takes_nothing(path):
    kept = Kept(path)
    assert kept.do("*SAVESTATE=1") == "ERR Unexpected character after input\n"
    assert not path.exists()


def test_no_file_yet_is_no_error(path, caplog):
    Kept(path).file.restore()
    assert not caplog.records


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("PULSE1.WIDTH=much", "line 1 (PULSE1.WIDTH=much): Number missing"),
        ("NOSUCH.FIELD=1", "line 1 (NOSUCH.FIELD=1): No such block"),
        ("*PCAP.ARM=", "line 1 (*PCAP.ARM=): not a setting"),
        ("*IDN?", "line 1 (*IDN?): not a setting"),
        ("\x00\x01\x02", "not a setting"),
        ("*METADATA.DESIGN=" + "x" * 1022, "a line of more than 1022 bytes"),
        ("SEQ1.TABLE<B\n????", "line 1 (SEQ1.TABLE<B): Malformed base64 string"),
    ],
)
def test_what_does_not_load_is_told_and_skipped_and_the_file_kept(path, caplog, line, reason):
    content = f"{line}\n\nTTLIN1.TERM=50-Ohm\n"
    path.write_bytes(content.encode())
    kept = Kept(path)
    kept.file.restore()
    assert reason in caplog.text
    assert "1 line not loaded" in caplog.text
    assert kept.do("TTLIN1.TERM?") == "OK =50-Ohm\n"
    kept.file.save()
    rejected = path.with_name("state.rejected1")
    assert rejected.read_bytes() == content.encode()
    assert str(rejected) in caplog.text


def test_what_was_rejected_is_kept_once_and_never_overwritten(path):
    for content in (b"wrong\n", b"wrong\n", b"other\n"):
        path.write_bytes(content)
        Kept(path).file.restore()
    kept = sorted(path.parent.glob("state.rejected*"))
    assert [file.read_bytes() for file in kept] == [b"wrong\n", b"other\n"]


def test_a_line_that_was_cut_off_is_not_believed(path, caplog):
    path.write_bytes(b"TTLIN1.TERM=50-Ohm\nPULSE1.WIDTH=12")
    kept = Kept(path)
    kept.file.restore()
    assert kept.do("TTLIN1.TERM?", "PULSE1.WIDTH?") == "OK =50-Ohm\nOK =0\n"
    assert "line 2 (PULSE1.WIDTH=12): the line has no end" in caplog.text


def test_a_table_that_was_cut_off_is_not_believed(path):
    path.write_bytes(b"SEQ1.TABLE<B\nAQAAAAIAAAADAAAABAAAAA==\nAQAA")
    kept = Kept(path)
    kept.file.restore()
    assert kept.do("SEQ1.TABLE?") == ".\n"


def test_the_lines_every_file_holds_and_no_server_takes_are_no_failure(path, caplog):
    path.write_bytes(b"SEQ1.TABLE.QUEUED_LINES=0\nINENC1.VAL.UNITS (error)\n")
    Kept(path).file.restore()
    assert not caplog.records
    assert [file.name for file in path.parent.iterdir()] == ["state"]


@given(content=st.binary(max_size=300))
@settings(max_examples=50, deadline=None)
def test_any_bytes_are_loaded_or_refused_but_never_an_exception(content):
    box = echo_box()
    list(replay(box, content))
    assert list(state_lines(box))


@pytest.mark.parametrize("place", ["", "none/state"])
def test_a_file_that_cannot_be_kept_stops_before_anything_is_served(tmp_path, place):
    with pytest.raises(StateError, match=f"^state file {tmp_path / place}: [^\n]+$"):
        Simulator(hardware="echo", state=tmp_path / place)


def test_a_failed_write_is_told_keeps_the_old_file_and_is_tried_again(path, caplog):
    kept = Kept(path)
    kept.file.save()
    before = path.read_bytes()
    obstacle = path.with_name("state.backup")
    obstacle.mkdir()
    kept.do("TTLIN1.TERM=50-Ohm")
    assert kept.do("*SAVESTATE=") == "OK\n"
    assert f"state file {path} not written: Is a directory" in caplog.text
    assert path.read_bytes() == before
    obstacle.rmdir()
    kept.file.save_changes()
    assert b"TTLIN1.TERM=50-Ohm\n" in path.read_bytes()


def test_nothing_is_written_without_a_change(path):
    kept = Kept(path)
    kept.file.save()
    path.unlink()
    kept.file.save_changes()  # the first look at the queues counts as one
    path.unlink(missing_ok=True)
    kept.do("TTLIN1.TERM?", "*CHANGES?", "*IDN?")
    kept.file.save_changes()
    assert not path.exists()


async def test_changes_are_written_while_it_runs(path):
    async with served(path, SOON) as client:
        await client.ask("TTLIN1.TERM=50-Ohm")
        while not path.exists() or b"TTLIN1.TERM=50-Ohm\n" not in path.read_bytes():
            await client.ask("*IDN?")


async def test_changes_are_written_at_stop_and_come_back(path):
    async with served(path, QUIET) as client:
        assert await client.ask("COUNTER1.START=5") == "OK"
    assert not path.with_name("state.backup").exists()
    async with served(path, QUIET) as client:
        assert await client.ask("COUNTER1.START?") == "OK =5"


async def test_the_poller_of_the_file_takes_changes_of_queued_lines_from_clients(path):
    async with Simulator(hardware="echo", state=path, state_times=SOON) as simulator:
        while not path.exists():  # noqa: ASYNC110 (a file tells nobody that it is there)
            await asyncio.sleep(0.001)
        async with peers(simulator.control_port) as [client]:
            await client.ask("*CHANGES.ATTR=")
            # without a state file the first look at the queues would be a change
            assert await client.ask("*CHANGES.ATTR?") == "."


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("", (20, 30, 60)),
        ("1", (1, 30, 60)),
        ("1:2:3", (1, 2, 3)),
        (":5", (20, 5, 60)),
        ("::0", (20, 30, 0)),
    ],
)
def test_times_are_written_as_for_the_server(text, times):
    assert StateTimes.parse(text) == times


@pytest.mark.parametrize(
    "times", [(0, 30, 60), (-1, 0, 0), (1, -1, 0), (1, 0, -1), (math.nan, 0, 0), (math.inf, 0, 0)]
)
def test_a_simulator_does_not_look_without_pause(path, times):
    with pytest.raises(ValueError, match="the first has to be above 0, the others not below"):
        Simulator(hardware="echo", state=path, state_times=times)


@pytest.mark.parametrize("text", ["x", "1:2:3:4", "-1", "1.5", "1:x"])
def test_other_times_are_refused(text):
    with pytest.raises(ValueError, match="POLL:HOLDOFF:BACKOFF"):
        StateTimes.parse(text)


@pytest.fixture(autouse=True)
def levels(caplog):
    caplog.set_level(logging.WARNING)
