"""A box is copied by asking it; nobody who uses it notices."""

from __future__ import annotations

import socket

import bluesky.plan_stubs as bps
import pytest

from panda_ophyd.errors import FieldValueError, RehearsalError
from panda_ophyd.rehearsal import copy_box, rehearse
from panda_simulator import Simulator, serve_in_thread

from .conftest import SET_UP, Tap, state_of, tell


def nothing(panda):
    """Do nothing, as a plan."""
    yield from ()


class Client:
    """Somebody else's control connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._file = self._socket.makefile("rw", encoding="latin-1", newline="\n")

    def lines(self, query: str) -> list[str]:
        self._file.write(query + "\n")
        self._file.flush()
        found: list[str] = []
        while (line := self._file.readline().rstrip("\n")) != ".":
            found.append(line)
        return found

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def test_a_rehearsal_sends_nothing_but_queries(real: Simulator, tap: Tap):
    assert rehearse(nothing, f"127.0.0.1:{tap.port}:{real.data_port}").ok
    assert len(tap.lines) > 1000
    assert [line for line in tap.lines if not line.endswith("?")] == []


def test_what_the_box_is_set_to_is_the_same_before_and_after(real):
    before = state_of(real)
    assert "PULSE3" in before
    copy_box(real.address)
    assert state_of(real) == before


def test_the_changes_that_others_wait_for_are_still_theirs(real):
    other = Client(real.control_port)
    other.lines("*CHANGES?")
    tell(real, "PULSE1.PULSES=9")
    copy_box(real.address)
    assert other.lines("*CHANGES.CONFIG?") == ["!PULSE1.PULSES=9"]
    assert other.lines("*CHANGES.CONFIG?") == []
    other.close()


def test_a_box_that_is_running_runs_on(real):
    for command in ("PCAP.ENABLE=ONE", "PCAP.TRIG=CLOCK1.OUT", "CLOCK1.PERIOD=0.001",
                    "CLOCK1.ENABLE=ONE", "*PCAP.ARM="):  # fmt: skip
        assert tell(real, command) == "OK\n"
    copied = copy_box(real.address)
    assert tell(real, "*PCAP.COMPLETION?") == "OK =Busy\n"
    before = int(tell(real, "*PCAP.CAPTURED?").removeprefix("OK ="))
    assert rehearse(nothing, real.address).ok
    assert int(tell(real, "*PCAP.CAPTURED?").removeprefix("OK =")) > before
    assert tell(real, "*PCAP.COMPLETION?") == "OK =Busy\n"
    assert copied.file.state
    tell(real, "*PCAP.DISARM=")


def test_a_copy_has_settings_tables_labels_and_positions(real):
    copied = copy_box(real.address)
    assert copied.doubts == ()
    assert copied.position("INENC1.VAL") == 5000
    assert copied.position("INENC2.VAL") == -12500
    assert copied.position("INENC3.VAL") == 0
    lines = "\n".join(copied.file.state)
    assert "PULSE3.WIDTH.RAW=77" in lines or "PULSE3.WIDTH=" in lines
    assert "SEQ2.TABLE<B" in lines
    assert SET_UP[5].encode().decode("latin-1") in lines


def test_a_copy_that_was_saved_is_rehearsed_on_without_the_box(real, tmp_path):
    copy_box(real.address).save(tmp_path / "box.json")

    def plan(panda):
        return (yield from positions(panda))

    found = rehearse(plan, tmp_path / "box.json")
    assert found.ok
    assert found.result == [5000, -12500, 0, 0]
    assert found.source == str(tmp_path / "box.json")


def positions(panda):
    """Return what the encoders of a panda read."""
    first = yield from bps.rd(panda.inenc[1].val)
    second = yield from bps.rd(panda.inenc[2].val)
    third = yield from bps.rd(panda.inenc[3].val)
    fourth = yield from bps.rd(panda.inenc[4].val)
    return [first, second, third, fourth]


def test_every_encoder_reads_what_it_does_on_the_box(real):
    found = rehearse(positions, real.address)
    assert found.result == [5000, -12500, 0, 0]
    assert found.warnings == ()


def test_an_input_that_is_high_is_high_in_the_rehearsal(real):
    def plan(panda):
        third = yield from bps.rd(panda.ttlin[3].val)
        fourth = yield from bps.rd(panda.ttlin[4].val)
        return third, fourth

    assert rehearse(plan, real.address).result == (True, False)


def test_a_position_that_cannot_be_taken_over_is_told(real):
    for command in ("COUNTER1.ENABLE=ONE", "COUNTER1.STEP=5", "COUNTER1.TRIG=BITS.OUTA",
                    "BITS.A=1"):  # fmt: skip
        assert tell(real, command) == "OK\n"
    assert tell(real, "COUNTER1.OUT?") == "OK =5\n"
    tell(real, "BITS.A=0")
    tell(real, "BITS.A=1")
    (told,) = rehearse(nothing, real.address).warnings
    assert told.startswith("COUNTER1.OUT was 10 on the box and begins with ")


def test_an_older_server_is_copied_as_the_older_server_it_is():
    with serve_in_thread(server_version="3.0") as old:
        found = rehearse(identity, old.address)
    assert found.result == "3.0"


def identity(panda):
    """Return the version of the server."""
    yield from ()
    return panda.box.sw_version


def test_a_box_that_is_not_there_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(RehearsalError, match=f"cannot copy the box: 127.0.0.1:{port}: connect"):
        rehearse(nothing, f"127.0.0.1:{port}")


def test_an_address_that_is_none_is_refused():
    with pytest.raises(FieldValueError, match="address"):
        rehearse(nothing, "a:b:c:d")


def test_a_box_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "box.json").write_text("{}")
    with pytest.raises(RehearsalError, match=r"box.json"):
        rehearse(nothing, tmp_path / "box.json")
