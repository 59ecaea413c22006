"""The control grammar: what goes out is one request, what comes in is replies however it is cut."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd import control
from panda_ophyd.control import (
    Assign,
    AssignTable,
    Err,
    Lines,
    Ok,
    Query,
    Reply,
    ReplyParser,
    Request,
    encode,
    first_line,
    parse_request,
)
from panda_ophyd.errors import FieldValueError, ProtocolError

# Any text that a line can hold, and any bytes as surrogateescape makes them text.
LINE = st.one_of(
    st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=40),
    st.binary(max_size=40)
    .filter(lambda raw: not set(raw) & set(b"\n\r\0"))
    .map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)
TARGET = LINE.filter(lambda text: not set(text) & set("?=<"))
REQUEST = st.one_of(
    st.builds(Query, TARGET),
    st.builds(Assign, TARGET, LINE),
    st.builds(
        AssignTable,
        TARGET,
        st.lists(LINE.filter(bool), max_size=5).map(tuple),
        st.sampled_from(control.TABLE_MODIFIERS),
    ),
)
REPLY = st.one_of(
    st.builds(Ok, st.none() | LINE),
    st.builds(Err, LINE),
    st.builds(Lines, st.lists(LINE, max_size=5).map(tuple)),
)


def spoken(replies: list[Reply]) -> bytes:
    """What a server sends for these replies."""
    text = ""
    for reply in replies:
        match reply:
            case Ok(None):
                text += "OK\n"
            case Ok(value):
                text += f"OK ={value}\n"
            case Err(message):
                text += f"ERR {message}\n"
            case Lines(lines):
                text += "".join(f"!{line}\n" for line in lines) + ".\n"
    return text.encode("utf-8", "surrogateescape")


def byte_by_byte(parser: ReplyParser, data: bytes) -> list[Reply]:
    return [reply for byte in data for reply in parser.receive_data(bytes([byte]))]


@pytest.mark.parametrize(
    ("request_", "wire"),
    [
        (Query("*IDN"), b"*IDN?\n"),
        (Query("*ECHO hello world"), b"*ECHO hello world?\n"),
        (Assign("*PCAP.ARM"), b"*PCAP.ARM=\n"),
        (Assign("INENC1.VAL.UNITS", "µm=<?"), b"INENC1.VAL.UNITS=\xc2\xb5m=<?\n"),
        (Assign("X", "\udcff"), b"X=\xff\n"),
        (AssignTable("SEQ1.TABLE", ()), b"SEQ1.TABLE<\n\n"),
        (AssignTable("SEQ1.TABLE", ("1 2", "3 4")), b"SEQ1.TABLE<\n1 2\n3 4\n\n"),
        (AssignTable("SEQ1.TABLE", ("AQAAAA==",), "B"), b"SEQ1.TABLE<B\nAQAAAA==\n\n"),
        (AssignTable("PGEN1.TABLE", ("1",), "<"), b"PGEN1.TABLE<<\n1\n\n"),
        (AssignTable("PGEN1.TABLE", ("1",), "<|B"), b"PGEN1.TABLE<<|B\n1\n\n"),
        (AssignTable("*METADATA.L", ("é", "<xml/>")), b"*METADATA.L<\n\xc3\xa9\n<xml/>\n\n"),
    ],
)
def test_a_request_is_written_as_the_server_reads_it(request_: Request, wire: bytes) -> None:
    assert encode(request_) == wire
    assert wire.startswith(first_line(request_).encode("utf-8", "surrogateescape") + b"\n")


@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\ud800"])
@pytest.mark.parametrize(
    "make",
    [
        lambda bad: Query(f"TTL{bad}IN"),
        lambda bad: Assign("A.B", f"1{bad}2"),
        lambda bad: Assign(f"A{bad}.B"),
        lambda bad: AssignTable("A.B", ("1", f"2{bad}3")),
        lambda bad: AssignTable("A.B", (bad,)),
        lambda bad: AssignTable(f"A.B{bad}", ()),
    ],
)
def test_what_the_server_would_misread_is_refused_before_sending(make, character: str) -> None:
    with pytest.raises(FieldValueError, match=r"cannot"):
        encode(make(character))


@pytest.mark.parametrize(
    ("longest", "too_long"),
    [
        (Assign("A.B", "x" * 1018), Assign("A.B", "x" * 1019)),
        (Query("x" * 1021), Query("x" * 1022)),
        (AssignTable("A", ("x" * 1022,)), AssignTable("A", ("1", "x" * 1023))),
        (Assign("A.B", "µ" * 509), Assign("A.B", "µ" * 510)),
        (AssignTable("A", ("µ" * 511,)), AssignTable("A", ("µ" * 512,))),
    ],
)
def test_a_line_of_1022_bytes_is_sent_and_a_longer_one_refused(
    longest: Request, too_long: Request
) -> None:
    assert max(map(len, encode(longest).split(b"\n"))) == 1022
    with pytest.raises(FieldValueError, match=r"the server takes 1022"):
        encode(too_long)


def test_a_blank_line_in_a_table_is_refused() -> None:
    for lines in (("",), ("1", "", "2"), ("1", ""), ("", "µ")):
        with pytest.raises(FieldValueError, match=r"would end the table early"):
            encode(AssignTable("SEQ1.TABLE", lines))


@pytest.mark.parametrize("modifiers", ["|", "B<", "<B|", "b", "<<", " "])
def test_unknown_table_modifiers_are_refused(modifiers: str) -> None:
    with pytest.raises(FieldValueError, match=r"modifiers are one of"):
        encode(AssignTable("SEQ1.TABLE", ("1",), modifiers))


@pytest.mark.parametrize("target", ["A?", "A=1", "A<", "=?"])
def test_a_target_that_would_change_the_form_is_refused(target: str) -> None:
    for request in (Query(target), Assign(target), AssignTable(target, ())):
        with pytest.raises(FieldValueError, match=r"cannot contain"):
            encode(request)


@given(REQUEST)
def test_a_request_survives_the_wire(request_: Request) -> None:
    lines = encode(request_).decode("utf-8", "surrogateescape").split("\n")[:-1]
    assert parse_request(lines) == request_


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        ["BAD"],
        ["*IDN?foo"],
        ["A?", "B?"],
        ["A=1", ""],
        ["SEQ1.TABLE<"],
        ["SEQ1.TABLE<", "1"],
        ["SEQ1.TABLE>", "1", ""],
    ],
)
def test_lines_that_are_not_one_request_are_refused(lines: list[str]) -> None:
    with pytest.raises(FieldValueError):
        parse_request(lines)


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        (b"OK\n", Ok(None)),
        (b"OK =\n", Ok("")),
        (b"OK =x = y\n", Ok("x = y")),
        (b"OK =mm\r\n", Ok("mm\r")),
        (b"OK =\xff\n", Ok("\udcff")),
        (b"ERR Unknown command\n", Err("Unknown command")),
        (b".\n", Lines(())),
        (b"!a\n!.\n!\n!!\n.\n", Lines(("a", ".", "", "!"))),
        (b"!OK\n!ERR no\n.\n", Lines(("OK", "ERR no"))),
    ],
)
def test_a_reply_is_read_whole_byte_by_byte_and_with_more_behind_it(
    wire: bytes, reply: Reply
) -> None:
    assert ReplyParser().receive_data(wire) == [reply]
    assert byte_by_byte(ReplyParser(), wire) == [reply]
    parser = ReplyParser()
    assert parser.receive_data(wire + b"OK =ne") == [reply]
    assert parser.receive_data(b"xt\n") == [Ok("next")]
    parser.receive_eof()


@given(st.lists(REPLY, max_size=6), st.lists(st.integers(0, 400), max_size=6))
def test_replies_do_not_depend_on_how_the_bytes_are_cut(
    replies: list[Reply], cuts: list[int]
) -> None:
    wire = spoken(replies)
    parser = ReplyParser()
    got: list[Reply] = []
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    for start, stop in pairwise(edges):
        got += parser.receive_data(wire[start:stop])
    assert got == replies
    parser.receive_eof()
    assert parser.error is None


@given(st.binary())
def test_garbage_is_a_protocol_error_and_never_another(garbage: bytes) -> None:
    parser = ReplyParser()
    with suppress(ProtocolError):
        parser.receive_data(garbage)
        parser.receive_eof()
    assert parser.error is None or 0 < len(parser.error.near) <= 64


@pytest.mark.parametrize(
    "wire",
    [b"\n", b"HTTP/1.1 400 Bad Request\r\n", b"ok\n", b"OK \n", b"OK=1\n", b"ERR\n", b"..\n"],
)
def test_a_line_that_is_no_reply_is_an_offence_with_its_bytes_shown(wire: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"cannot be part of a reply") as caught:
        ReplyParser().receive_data(wire)
    assert caught.value.near


def test_a_single_reply_inside_a_multi_line_one_is_an_offence() -> None:
    with pytest.raises(ProtocolError, match=r"multi-line"):
        ReplyParser().receive_data(b"!a\nOK =1\n")


@pytest.mark.parametrize("cut", [False, True])
def test_replies_before_an_offence_are_returned_and_nothing_after_it(cut: bool) -> None:
    parser = ReplyParser()
    wire = b"OK =1\nOK\nnonsense\nOK =2\n"
    if cut:
        assert parser.receive_data(wire[:9]) == [Ok("1"), Ok(None)]
        with pytest.raises(ProtocolError, match=r"nonsense"):
            parser.receive_data(wire[9:])
    else:
        assert parser.receive_data(wire) == [Ok("1"), Ok(None)]
    assert parser.error is not None
    with pytest.raises(ProtocolError, match=r"nonsense"):
        parser.receive_data(b"OK\n")


@pytest.mark.parametrize("wire", [b"O", b"OK", b"!a\n", b"!a\n.", b"OK\nERR "])
def test_eof_inside_a_reply_is_an_offence(wire: bytes) -> None:
    parser = ReplyParser()
    parser.receive_data(wire)
    with pytest.raises(ProtocolError, match=r"inside a reply"):
        parser.receive_eof()


def test_a_peer_cannot_make_the_parser_hold_an_endless_line() -> None:
    parser = ReplyParser()
    parser.receive_data(b"x" * control.MAX_REPLY_LINE)
    with pytest.raises(ProtocolError, match=r"line of a reply exceeds"):
        parser.receive_data(b"x")


@pytest.mark.parametrize("before", [b"", b"OK =1\n", b"OK =1\n!a\n"])
@pytest.mark.parametrize("size", [1, 100, 1_000_000])
def test_a_line_that_is_too_long_is_refused_however_it_is_cut(
    before: bytes, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_REPLY_LINE", 1000)
    data = before + b"OK =" + b"x" * 997 + b"\nOK\n"
    parser, replies = ReplyParser(), list[object]()

    def feed() -> None:
        for start in range(0, len(data) + size, size):
            replies.extend(parser.receive_data(data[start : start + size]))

    with pytest.raises(ProtocolError, match="line of a reply exceeds 1000 bytes"):
        feed()
    assert replies == [control.Ok("1")] * before.count(b"OK")
    just_fits = b"OK =" + b"x" * 996 + b"\n"
    assert ReplyParser().receive_data(just_fits) == [control.Ok("x" * 996)]


def test_a_peer_cannot_make_the_parser_hold_an_endless_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control, "MAX_REPLY_BYTES", 10_000)
    parser = ReplyParser()
    parser.receive_data(b"!x\n" * 3000)
    with pytest.raises(ProtocolError, match=r"a reply exceeds"):
        parser.receive_data(b"!x\n" * 3000)


def test_many_replies_together_may_pass_the_bound_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_REPLY_BYTES", 10_000)
    parser = ReplyParser()
    for _ in range(3):
        assert len(parser.receive_data(b"!x\n.\n" * 1500)) == 1500
        assert len(parser.receive_data(b"OK =1\n" * 1500)) == 1500
