"""Data clients that come, stay, fall behind and go.

Source: protocol.md 8.1, 8.7 to 8.9.
"""

from __future__ import annotations

import re

import pytest

from .forms import started
from .rig import ENDINGS, Rig, wait_until
from .survey import Survey
from .wire import Data, HungUpError


def test_one_connection_takes_one_acquisition_after_another(rig: Rig, open_data):
    rig.trigger()
    client = started(open_data, "XML FRAMED SCALED")
    once = started(open_data, "ONE_SHOT")
    for number, name in enumerate(rig.box.positions[:3]):
        rig.control.ok("*CAPTURE=")
        rig.capture(**{name: "Value"})
        rig.acquire(1 + (number == 0))
        header = client.header()
        assert [column.name for column in header.columns] == [name]
        _, end = client.frames()
        assert end.startswith("END ")
        if number == 0:
            assert once.rest().endswith(f"{end}\n".encode())
            wait_until(lambda: rig.readers == rig.strangers + 1, "the client has left")
    assert not client.arrives(0)


def test_who_joins_late_gets_everything_that_is_kept(rig: Rig, open_data):
    rig.trigger()
    rig.capture(**{rig.box.positions[0]: "Value Diff"})
    early = started(open_data, "XML FRAMED RAW")
    rig.arm(1)
    rig.wait_captured(2)
    late = started(open_data, "XML FRAMED RAW")
    wait_until(lambda: rig.readers == rig.strangers + 2, "two data clients")
    rig.wait_captured(3)
    rig.disarm()
    headers = [client.header() for client in (early, late)]
    assert headers[0].raw == headers[1].raw
    (first, end), (second, same) = early.frames(), late.frames()
    assert b"".join(first) == b"".join(second)
    assert end == same


def test_who_half_closes_during_an_acquisition_is_told(rig: Rig, open_data):
    rig.trigger()
    rig.capture(**{rig.box.positions[0]: "Value"})
    leaving, staying = (started(open_data, "NO_HEADER") for _ in range(2))
    rig.arm(2)
    rig.wait_captured(1)
    leaving.half_close()
    rest = leaving.rest()
    match = re.search(rb"END (\d+) Early disconnect\n$", rest)
    assert match
    assert rest.count(b"\n") - 1 == int(match[1])
    wait_until(lambda: rig.readers == rig.strangers + 1, "one data client")
    assert rig.control.value("*PCAP.COMPLETION") == "Busy"
    rig.disarm()
    assert staying.text()[1].split(" ")[2] in ENDINGS


@pytest.mark.parametrize("how", ["close", "reset"])
def test_who_disappears_is_forgotten(rig: Rig, open_data, how):
    rig.trigger()
    rig.capture(**{rig.box.positions[0]: "Value"})
    client = started(open_data, "")
    rig.arm(1)
    wait_until(lambda: rig.status[1:] == (rig.strangers + 1, rig.strangers + 1), "served")
    getattr(client, how)()
    wait_until(lambda: rig.readers == rig.strangers, "the client is forgotten")
    rig.disarm()


def test_samples_come_while_the_acquisition_goes_on(rig: Rig, open_data):
    rig.trigger()
    rig.capture(**{rig.box.positions[0]: "Value"})
    client = started(open_data, "NO_HEADER RAW")
    rig.arm(1)
    for _ in range(3):
        assert re.fullmatch(rb" 0x[0-9a-f]{8}", client.line())
    assert rig.control.value("*PCAP.COMPLETION") == "Busy"
    rig.disarm()


def test_twenty_clients_get_the_same(rig: Rig, open_data):
    rig.trigger()
    rig.capture(**dict.fromkeys(rig.box.captured[:20], "Value"))
    clients = [started(open_data, "XML FRAMED RAW ONE_SHOT") for _ in range(20)]
    rig.acquire(20, samples=2)
    assert len({client.rest() for client in clients}) == 1


def test_a_client_that_reads_late_hinders_no_other_and_misses_nothing(rig: Rig, open_data):
    rig.trigger()
    rig.capture(**{rig.box.positions[0]: "Value"})
    lazy, client = started(open_data, "NO_HEADER"), started(open_data, "NO_HEADER")
    rig.arm(2)
    lines = [client.line() for _ in range(2)]
    rig.disarm()
    more, end = client.text()
    assert lines + more == lazy.text()[0]
    assert end.startswith(f"END {len(lines + more)} ")


def test_the_port_of_data_knows_no_commands(open_data, box: Survey):
    data: Data = open_data("*IDN?")
    assert data.line().startswith(b"ERR ")
    with pytest.raises(HungUpError):
        data.line()
