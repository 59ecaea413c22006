"""The control port without sockets: framing, order, and every answer of the reference."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panda_simulator.box import CommandError
from panda_simulator.control import ControlConnection, Facilities

from .box_files import EVERY_CLASS, echo_box, exchanges


class FakeCapture:
    """Remembers what was asked of it."""

    def __init__(self) -> None:
        self.calls = []
        self.status = "Idle 0 0"
        self.captured = 0
        self.completion = "Ok"

    def arm(self) -> None:
        self.calls.append("arm")
        raise CommandError("Nothing configured for capture")

    def disarm(self) -> None:
        self.calls.append("disarm")


@pytest.fixture
def facilities():
    return Facilities(echo_box(), FakeCapture(), lambda: ["one ", "two "], rootfs="Test Server")


@pytest.fixture
def connection(facilities):
    return ControlConnection(facilities)


def ask(connection: ControlConnection, *lines: str) -> list[str]:
    data = "".join(f"{line}\n" for line in lines).encode("latin-1")
    return connection.receive_data(data).decode("latin-1").split("\n")[:-1]


def test_a_fresh_box_answers_like_the_reference(connection):
    differences = [
        (sent, received, answer)
        for _, sent, received in exchanges("fresh_box.txt")
        if (answer := ask(connection, *(line.encode().decode("latin-1") for line in sent)))
        != [line.encode().decode("latin-1") for line in received]
    ]
    assert not [d for d in differences if "*CHANGES?" not in d[0]]
    for _, received, answer in differences:
        assert set(received) == set(answer)


def test_a_random_session_on_a_box_with_every_class_goes_like_the_reference():
    facilities = Facilities(echo_box(EVERY_CLASS), FakeCapture(), list)
    connections = [ControlConnection(facilities) for _ in range(3)]
    count = 0
    for who, sent, received in exchanges("every_class.session.txt"):
        lines = [json.loads(f'"{line}"') for line in sent]
        if lines[0].startswith("*PCAP"):
            continue
        answer = ask(connections[int(who)], *lines)
        if received != ["<*"]:
            assert answer == [json.loads(f'"{line}"') for line in received], lines
        count += 1
    assert count > 2000


def test_every_command_has_one_reply_in_the_order_sent(connection):
    assert ask(
        connection,
        "TTLIN1.TERM=50-Ohm",
        "BAD",
        "TTLIN2.TERM=oops",
        "PGEN1.TABLE<",
        "1",
        "x",
        "",
        "TTLIN1.TERM?",
    ) == [
        "OK",
        "ERR Unknown command",
        "ERR Invalid enumeration value",
        "ERR Number missing",
        "OK =50-Ohm",
    ]


@settings(max_examples=30)
@given(st.lists(st.integers(0, 200), max_size=12))
def test_how_bytes_are_split_does_not_matter(cuts):
    data = (
        b"*ECHO one?\nPGEN1.TABLE<\n1 2\n3\n\nPGEN1.TABLE?\nX\n\nPGEN1.TABLE<B\n!\n\n*ECHO two?\n"
    )
    whole = ControlConnection(Facilities(echo_box(), FakeCapture(), list)).receive_data(data)
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    pieces = [data[a:b] for a, b in pairwise(places)]
    connection = ControlConnection(Facilities(echo_box(), FakeCapture(), list))
    assert b"".join(connection.receive_data(piece) for piece in pieces) == whole


def test_a_partial_line_is_not_acted_on_and_delays_nothing(connection):
    assert connection.receive_data(b"*ECHO one?\n*ECHO t") == b"OK =one\n"
    assert connection.receive_data(b"wo?\n") == b"OK =two\n"


def test_replies_wait_for_the_end_of_a_table_body(connection):
    assert connection.receive_data(b"*ECHO one?\nPGEN1.TABLE<\n1 2 3\n") == b""
    assert connection.receive_data(b"\n") == b"OK =one\nOK\n"


def test_a_long_reply_is_written_piece_by_piece_of_what_the_table_was(facilities):
    reader, writer = ControlConnection(facilities), ControlConnection(facilities)
    numbers = [str(number) for number in range(100_000)]
    ask(writer, "PGEN1.TABLE<", *numbers, "")
    pieces: list[bytes] = []
    for piece in reader.replies(b"PGEN1.TABLE?\nPGEN1.TABLE.B?\nPGEN1.TABLE.LENGTH?\n"):
        if not pieces:
            ask(writer, "PGEN1.TABLE<", "1", "")
        pieces.append(piece)
    assert max(map(len, pieces)) < 100_000
    words, digits, length = b"".join(pieces).decode().split(".\n")
    assert words.split("\n")[:-1] == [f"!{number}" for number in numbers]
    assert digits == "!AQAAAA==\n"
    assert length == "OK =1\n"


def test_lines_have_1022_bytes_at_most(connection):
    text = b"*ECHO " + b"x" * 1015
    assert connection.receive_data(text + b"?\n") == b"ERR Result too long\n"
    assert not connection.closed
    assert connection.receive_data(b"*IDN?\n" + text + b"xx") == b""
    assert connection.closed
    assert connection.receive_data(b"*IDN?\n") == b""


def test_a_long_table_line_also_ends_the_connection(connection, facilities):
    connection.receive_data(b"PGEN1.TABLE<\n" + b"1 " * 512 + b"\n")
    assert connection.closed
    assert ask(ControlConnection(facilities), "PGEN1.TABLE<", "1", "") == ["OK"]


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("*IDN?\r", "ERR Unexpected text after command"),
        ("DIV1.DIVISOR=5\r", "ERR Unexpected character after input"),
        ("*ECHO a?\0foo", "OK =a"),
        ("\0*ECHO a?", "ERR Unknown command"),
        ("", "ERR Unknown command"),
        (" *IDN?", "ERR No name found"),
        ("*IDN? ", "ERR Unexpected text after command"),
        ("*idn?", "ERR Unknown command"),
        ("\xff\xfe?", "ERR No name found"),
        ("*ECHO \xff?", "OK =\xff"),
        ("INENC1.VAL.UNITS=mm\r", "OK"),
    ],
)
def test_odd_bytes_are_taken_as_the_server_takes_them(connection, line, reply):
    assert ask(connection, line) == [reply]


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("TTLIN.NOSUCH?", "No such field"),
        ("TTLIN.VAL.x?", "Missing block number"),
        ("NOSUCH<X", "Unexpected character after input"),
        ("TTLIN9.VAL?", "Invalid block number"),
        ("TTLOUT08.VAL?", "Invalid block number"),
        ("TTLIN1.VAL.NO?", "No such attribute"),
        ("TTLIN?", "Missing field name"),
        ("TTLIN.*=1", "Field not writeable"),
        ("TTLIN1.VAL=1", "Field not writeable"),
        ("TTLIN1.VAL.OFFSET=1", "Attribute not writeable"),
        ("PCAP.BITS0?", "Field not readable"),
        ("SRGATE1.FORCE_SET?", "Field not readable"),
        ("*BLOCKS=", "Command not writeable"),
        ("*VERBOSE?", "Command not readable"),
        ("*SAVESTATE=", "No persistence state configured"),
        ("*PCAP.NO?", "Invalid *PCAP field"),
        ("*DESC.TTLIN.*?", "No name found"),
    ],
)
def test_the_first_check_that_fails_gives_the_error(connection, line, reply):
    lines = (line, "") if "<" in line else (line,)
    assert ask(connection, *lines) == [f"ERR {reply}"]


def test_leading_zeros_of_a_block_number_make_it_octal(connection):
    ask(connection, "TTLOUT8.VAL=ONE")
    assert ask(connection, "TTLOUT010.VAL?", "TTLOUT01.VAL?") == ["OK =ONE", "OK =ZERO"]


def test_a_table_is_locked_from_header_to_blank_line(facilities):
    one, two = ControlConnection(facilities), ControlConnection(facilities)
    one.receive_data(b"SEQ1.TABLE<\n1 2 3 4\n")
    assert ask(two, "SEQ1.TABLE<", "5 6 7 8", "") == ["ERR Table currently being written"]
    assert ask(two, "SEQ1.TABLE.LENGTH?") == ["OK =0"]
    one.receive_eof()
    assert ask(two, "SEQ1.TABLE<", "5 6 7 8", "") == ["OK"]
    assert ask(two, "SEQ1.TABLE?") == ["!5", "!6", "!7", "!8", "."]


def test_the_end_of_input_inside_a_table_body_drops_it(facilities):
    one = ControlConnection(facilities)
    one.receive_data(b"PGEN1.TABLE<\n1 2\n")
    one.receive_eof()
    assert one.closed
    assert ask(ControlConnection(facilities), "PGEN1.TABLE.LENGTH?") == ["OK =0"]


def test_changes_are_told_to_each_connection_since_it_last_asked(facilities):
    one, two = ControlConnection(facilities), ControlConnection(facilities)
    assert len(ask(one, "*CHANGES.CONFIG?")) == 440
    ask(two, "*CHANGES=")
    ask(one, "TTLIN1.TERM=High-Z", "PULSE1.DELAY.UNITS=ms")
    expected = ["!TTLIN1.TERM=High-Z", "!PULSE1.DELAY=0", "."]
    assert sorted(ask(one, "*CHANGES.CONFIG?")) == sorted(expected)
    assert "!PULSE1.DELAY.UNITS=ms" in ask(two, "*CHANGES?")
    assert ask(one, "*CHANGES.CONFIG?") == ["."]
    ask(one, "*CHANGES.CONFIG=S")
    assert len(ask(one, "*CHANGES.CONFIG?")) == 440


def test_a_read_field_found_changed_is_reported_twice_to_who_found_it(facilities):
    one, two = ControlConnection(facilities), ControlConnection(facilities)
    for connection in (one, two):
        ask(connection, "*CHANGES?", "*CHANGES?")
    facilities.box.hardware.write_register("DIV", 2, "COUNT", 5)
    assert ask(one, "*CHANGES.READ?") == ["!DIV2.COUNT=5", "."]
    assert ask(one, "*CHANGES.READ?") == ["!DIV2.COUNT=5", "."]
    assert ask(one, "*CHANGES.READ?") == ["."]
    assert ask(two, "*CHANGES.READ?") == ["!DIV2.COUNT=5", "."]
    assert ask(two, "*CHANGES.READ?") == ["."]


def test_the_identity_shows_version_words_and_root_file_system(connection, facilities):
    facilities.box.hardware.version = (0x03040107, 0x86E5F0A2, 0x07D202F8)
    assert ask(connection, "*IDN?") == [
        "OK =PandA SW: 4.1 FPGA: 4.1.7C3 86e5f0a2 07d202f8 rootfs: Test Server"
    ]


def test_connections_and_capture_are_asked_for_what_they_know(connection, facilities):
    assert ask(connection, "*WHO?") == ["!one ", "!two ", "."]
    facilities.capture.status = "Busy 2 1"
    facilities.capture.captured = 7
    assert ask(connection, "*PCAP.STATUS1?", "*PCAP.CAPTURED?", "*PCAP.COMPLETION?") == [
        "OK =Busy 2 1",
        "OK =7",
        "OK =Ok",
    ]
    assert ask(connection, "*PCAP.ARM=", "*PCAP.DISARM1=", "*PCAP.ARM=x") == [
        "ERR Nothing configured for capture",
        "OK",
        "ERR Unexpected character after input",
    ]
    assert facilities.capture.calls == ["arm", "disarm"]


def test_a_description_is_that_of_the_box_and_an_attribute_has_a_fixed_one(connection):
    assert ask(connection, "*DESC.TTLIN1.TERM.INFO?") == ["OK =Class information for field"]
    assert ask(connection, "*DESC.SEQ.TABLE[].TIME1?") == ["OK =Length of the first phase"]
    assert ask(connection, "*DESC.SEQ.TABLE[].NO?") == ["ERR Table sub-field not found"]


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_garbage_gets_one_reply_a_line_and_never_anything_else(data):
    connection = ControlConnection(Facilities(echo_box(), FakeCapture(), list))
    reply = connection.receive_data(data.replace(b"<", b"") + b"\n*ECHO end?\n")
    assert reply.endswith(b"OK =end\n")
    assert all(line.startswith((b"OK", b"ERR ", b"!", b".")) for line in reply.splitlines())


def test_a_queue_found_changed_is_told_to_who_asked_before_the_finder_did_last(facilities):
    early, finder, late = (ControlConnection(facilities) for _ in range(3))
    for connection in (early, finder, late):
        ask(connection, "*CHANGES.ATTR?")
    facilities.box.hardware.queued_words = lambda block, _: 12 if block == "SEQ" else 0
    report = ["!SEQ1.TABLE.QUEUED_LINES=3", "!SEQ2.TABLE.QUEUED_LINES=3", "."]
    assert sorted(ask(finder, "*CHANGES.ATTR?")) == sorted(report)
    assert sorted(ask(early, "*CHANGES.ATTR?")) == sorted(report)
    assert ask(late, "*CHANGES.ATTR?") == ["."]
    assert ask(finder, "*CHANGES.ATTR?") == ["."]
