"""The option line of the data port, and what comes before and after it.

Source: protocol.md 8.1, 8.2, 8.9.
"""

from __future__ import annotations

import itertools

import pytest

from .rig import wait_until
from .survey import Survey, data_clients
from .wire import Control, Data, to_bytes

TRANSPORTS = ("ASCII", "BASE64", "FRAMED", "UNFRAMED")
PROCESSES = ("RAW", "SCALED")


@pytest.fixture
def before(control: Control, box: Survey) -> int:
    """How many data clients there are without ours."""
    return box.strangers(control)


def test_nothing_is_said_before_the_option_line(open_data):
    data: Data = open_data()
    assert not data.arrives(0.05)
    data.send(b"XML FRAMED")
    assert not data.arrives(0.05)
    data.send(b"\n")
    assert data.line() == b"OK"


@pytest.mark.parametrize(
    "options",
    [
        "", " ", "ASCII", "  XML", "\tXML", "XML\t FRAMED  RAW", "RAW RAW SCALED RAW", "DEFAULT",
        "ONE_SHOT NO_HEADER", "BARE DEFAULT", "BARE ASCII XML DEFAULT", "NO_STATUS DEFAULT",
        *(" ".join(words) for words in itertools.product(TRANSPORTS, PROCESSES, ("XML",))),
    ],
)  # fmt: skip
def test_options_that_are_taken(open_data, options):
    data: Data = open_data(options)
    if options == " ":
        assert data.rest() == b"ERR No name found\n"
    else:
        assert data.line() == b"OK"
        assert not data.arrives(0)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (b"UNSCALED", b"Invalid data capture option"),
        (b"xml", b"Invalid data capture option"),
        (b"XMLX", b"Invalid data capture option"),
        (b"XML NOTHING", b"Invalid data capture option"),
        (b"8", b"No name found"),
        (b"XML ", b"No name found"),
        (b"XML\t", b"No name found"),
        (b"XML,RAW", b"No name found"),
        (b"XML RAW!", b"No name found"),
        (b"X" * 32, b"Name too long"),
        (b"XML\r", b"Cannot process CR character"),
        (b"\r", b"Cannot process CR character"),
        (b"XML \r", b"Cannot process CR character"),
        (b"NO_STATUS UNSCALED", b"Invalid data capture option"),
        (b"BARE UNSCALED", b"Invalid data capture option"),
    ],
)
def test_options_that_are_refused_end_the_connection(open_data, options, error):
    data: Data = open_data()
    data.send(options + b"\n")
    assert data.rest() == b"ERR " + error + b"\n"


def test_a_nul_ends_the_option_line(open_data):
    data: Data = open_data()
    data.send(b"XML\0 NOTHING\n")
    assert data.line() == b"OK"


@pytest.mark.parametrize("ending", [b"", b"\n"], ids=["without end", "with end"])
def test_an_option_line_of_1023_bytes_hangs_up(open_data, ending):
    data: Data = open_data()
    data.send(b" " * 1020 + b"XML" + ending)
    assert data.rest() == b""


def test_an_option_line_may_have_1022_bytes(open_data):
    data: Data = open_data()
    data.send(b" " * 1019 + b"XML\n")
    assert data.line() == b"OK"


def test_options_may_come_byte_by_byte(open_data):
    data: Data = open_data()
    for byte in b"XML FRAMED RAW\n":
        data.send(bytes([byte]))
    assert data.line() == b"OK"


@pytest.mark.parametrize("options", ["NO_STATUS", "BARE"])
def test_success_may_be_silent(control, open_data, before, options):
    data: Data = open_data(options)
    wait_until(lambda: data_clients(control) == before + 1, "the client is known")
    assert not data.arrives(0.02)


def test_a_client_counts_once_its_options_are_known(control, open_data, before):
    data: Data = open_data()
    assert not data.arrives(0.05)
    assert data_clients(control) == before
    data.send(b"\n")
    assert data.line() == b"OK"
    wait_until(lambda: data_clients(control) == before + 1, "the client is known")
    data.close()
    wait_until(lambda: data_clients(control) == before, "the client is forgotten")


def test_what_follows_the_option_line_is_thrown_away(control, open_data, before):
    data: Data = open_data()
    data.send(to_bytes("XML\nNOTHING\n") + bytes(10_000) + b"*IDN?\n")
    assert data.line() == b"OK"
    wait_until(lambda: data_clients(control) == before + 1, "the client is known")
    data.send(b"x" * 5000)
    assert not data.arrives(0.05)


def test_who_leaves_before_the_option_line_leaves_nothing(control, open_data, before):
    for leave in ("close", "reset"):
        data: Data = open_data()
        data.send(b"XML")
        getattr(data, leave)()
    data = open_data()
    data.send(b"XML")
    data.half_close()
    assert data.rest() == b""
    assert data_clients(control) == before


def test_half_closing_when_idle_ends_the_connection(control, open_data, before):
    if control.value("*PCAP.COMPLETION") == "Busy":
        pytest.skip("this box is acquiring for somebody")
    data: Data = open_data("XML")
    assert data.line() == b"OK"
    data.half_close()
    assert data.rest() == b""
    wait_until(lambda: data_clients(control) <= before, "the client is forgotten")
