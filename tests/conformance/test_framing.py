"""Lines on the control port: limits, odd bytes, order, and what closing does.

Source: protocol.md 1, 2.1, 2.2, 9.
"""

from __future__ import annotations

import itertools

import pytest

from .survey import fixed_table
from .wire import Control, HungUpError, to_bytes

LIMIT = 1022


def test_nothing_is_said_before_the_first_command(control):
    assert not control.arrives(0.05)


def test_a_line_may_have_1022_bytes(control):
    line = "x" * LIMIT
    assert control.error(line) == "Unknown command"
    assert control.error(f"*ECHO {'y' * (LIMIT - 7)}?") == "Result too long"
    assert control.ask(f"*ECHO {'z' * 255}?") == "OK =" + "z" * 255
    assert control.error(f"*ECHO {'z' * 256}?") == "Result too long"


@pytest.mark.parametrize("ending", ["", "\n"], ids=["without end", "with end"])
def test_a_line_of_1023_bytes_hangs_up_and_takes_earlier_replies_along(control, ending):
    control.send(b"*IDN?\n" + b"x" * (LIMIT + 1) + ending.encode())
    assert control.rest() == b""


def test_a_line_of_a_table_body_has_the_same_limit(control, box):
    table = box.one("table", fixed_table)
    assert control.table(table, "", "x" * LIMIT) == "ERR Number missing"
    control.send(to_bytes(f"{table}<\n") + b"x" * (LIMIT + 1) + b"\n")
    assert control.rest() == b""


def test_bytes_may_come_one_by_one(control):
    command = b"*ECHO byte by byte?\n*IDN?\nx\n"
    for byte in command:
        control.send(bytes([byte]))
    assert control.reply() == "OK =byte by byte"
    assert str(control.reply()).startswith("OK =PandA SW: ")
    assert control.reply() == "ERR Unknown command"


def test_nothing_happens_before_the_line_feed(control):
    control.send(b"*ECHO wait?")
    assert not control.arrives(0.05)
    control.send(b"\n")
    assert control.reply() == "OK =wait"


def test_an_unfinished_line_does_not_delay_the_replies_before_it(control):
    control.send(b"*ECHO first?\n*ECHO sec")
    assert control.reply() == "OK =first"
    control.send(b"ond?\n")
    assert control.reply() == "OK =second"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("*IDN?\r", "Unexpected text after command"),
        (" *IDN?", "No name found"),
        ("*IDN? ", "Unexpected text after command"),
        ("*idn?", "Unknown command"),
        ("", "Unknown command"),
        ("\r", "Unknown command"),
        ("x", "Unknown command"),
        ("*", "Unknown command"),
        ("?", "No name found"),
        ("=", "No name found"),
        ("*?", "No name found"),
        ("*=", "No name found"),
        ("*IDN?x", "Unexpected text after command"),
        ("\udcff\udcfe?", "No name found"),
        ("\0*IDN?", "Unknown command"),
        ("*IDN\0?", "Unknown command"),
    ],
)
def test_odd_lines_are_refused_and_the_connection_goes_on(control, line, text):
    assert control.error(line) == text
    assert control.ask("*ECHO on?") == "OK =on"


def test_a_nul_ends_the_line(control):
    assert control.ask("*ECHO a?\0 b c") == "OK =a"
    assert control.ask("*IDN?\0foo") == control.ask("*IDN?")


def test_bytes_that_are_no_utf_8_come_back_as_they_went(control):
    control.send(b"*ECHO \xff\xc3\x28\x80?\n")
    assert control.line() == b"OK =\xff\xc3\x28\x80"


def test_a_carriage_return_is_a_character_of_the_value(control, box, keep):
    target = box.one("pos_out")
    keep(f"{target}.UNITS")
    control.ok(f"{target}.UNITS=mm\r")
    assert control.value(f"{target}.UNITS") == "mm\r"
    if params := box.targets("param enum"):
        value = control.lines(f"*ENUMS.{params[0]}")[0]
        assert control.error(f"{params[0]}={value}\r") == "Invalid enumeration value"


def test_names_are_case_sensitive(control, box):
    block = box.fields[0].block
    assert control.error(f"{block.lower()}.*?") == "No such block"
    assert control.error(f"{block}1.{box.fields[0].name.lower()}?") in {
        "No such field",
        "Invalid block number",
    }


def test_pipelined_commands_have_their_replies_in_order_and_errors_abort_nothing(control, box):
    table = box.one("table", fixed_table)
    control.put("*ECHO 1?", "BAD", f"{table}<", "1", "x", "", "*ECHO 2?", "")
    assert [control.reply() for _ in range(5)] == [
        "OK =1",
        "ERR Unknown command",
        "ERR Number missing",
        "OK =2",
        "ERR Unknown command",
    ]


def test_2000_pipelined_commands_are_answered(control):
    texts = [f"{n}" for n in range(2000)]
    assert control.ask_all(f"*ECHO {text}?" for text in texts) == [f"OK ={t}" for t in texts]


def test_replies_may_be_longer_than_any_buffer(control):
    count = 60
    control.put(*itertools.repeat("*CHANGES=S\n*CHANGES?", count))
    replies = [control.reply() for _ in range(2 * count)]
    assert set(map(str, replies[::2])) == {"OK"}
    lengths = {len(reply) for reply in replies[1::2]}
    assert min(lengths) > 10


def test_replies_wait_for_the_end_of_a_table_body(control, box):
    table = box.one("table", fixed_table)
    control.put("*ECHO one?", f"{table}<", "x")
    assert not control.arrives(0.1)
    control.put("", "*ECHO two?")
    assert [control.reply() for _ in range(3)] == ["OK =one", "ERR Number missing", "OK =two"]


def test_a_table_that_cannot_be_written_still_takes_its_body(control):
    assert control.ask("NOSUCH<X", "1 2 3", "*IDN?", "") == "ERR Unexpected character after input"
    assert control.ask("NOSUCH.X<", "1", "") == "ERR No such block"
    assert control.ask("*IDN<", "1", "") == "ERR Not a table"
    assert control.ask("*ECHO in step?") == "OK =in step"


def test_a_carriage_return_does_not_end_a_table(control, box):
    table = box.one("table", fixed_table)
    control.send(to_bytes(f"{table}<\n\r\n"))
    assert not control.arrives(0.1)
    control.put("")
    assert control.reply() == "ERR Number missing"


def test_a_nul_makes_a_line_of_a_table_blank(control, box):
    table = box.one("table", fixed_table)
    assert control.ask(f"{table}<", "x", "\0more") == "ERR Number missing"
    assert control.ask("*ECHO in step?") == "OK =in step"


def test_half_close_is_answered_to_the_end(control):
    control.send(b"*ECHO 1?\nBAD\n*ECHO 2?\n*ECHO cut")
    control.half_close()
    assert control.rest() == b"OK =1\nERR Unknown command\nOK =2\n"


def test_the_end_inside_a_table_discards_it_without_a_reply(control, box, connect):
    table = box.one("table", fixed_table)
    before = control.lines(f"{table}.B"), control.value(f"{table}.MODE")
    writer: Control = connect()
    writer.put("*ECHO last?", f"{table}<", "1 2 3 4")
    writer.half_close()
    assert writer.rest() in {b"OK =last\n", b""}
    assert (control.lines(f"{table}.B"), control.value(f"{table}.MODE")) == before
    # nobody holds it any more
    assert control.table(table, "", "x") == "ERR Number missing"


def test_connections_do_not_wait_for_each_other(control, connect, box):
    table = box.one("table", fixed_table)
    writer: Control = connect()
    writer.put(f"{table}<", "x")
    others = [connect() for _ in range(20)]
    for number, other in enumerate(others):
        other.put(f"*ECHO {number}?")
    assert [other.reply() for other in others] == [f"OK ={n}" for n in range(20)]
    writer.put("")
    assert writer.reply() == "ERR Number missing"


def test_a_reset_connection_leaves_the_server_well(control, connect):
    victim: Control = connect()
    victim.put("*IDN?")
    victim.reset()
    assert control.ask("*ECHO well?") == "OK =well"


def test_a_client_that_is_hung_up_can_come_back(control, connect):
    control.send(b"x" * 2000)
    with pytest.raises(HungUpError):
        control.reply()
    assert connect().ask("*ECHO back?") == "OK =back"
