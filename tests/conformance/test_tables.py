"""Tables: what can be read of them, the six forms of writing, modes, and locking.

Source: protocol.md 5.
"""

from __future__ import annotations

import base64
import re
import struct
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .survey import Survey, fixed_table, short_table, streaming_table
from .wire import Control

ROWS = "ERR Table write is not a whole number of rows"
QUICK = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def row_words(control: Control, table: str) -> int:
    return int(control.value(f"{table}.ROW_WORDS"))


def row(control: Control, table: str, first: int = 1) -> str:
    """One row as a line of numbers."""
    return " ".join(str(first + n) for n in range(row_words(control, table)))


def encoded(words: list[int], size: int = 48) -> list[str]:
    """Lines of base64 of so many bytes each; 48 as the server writes them, 764 at most."""
    data = struct.pack(f"<{len(words)}I", *words)
    return [base64.b64encode(data[at : at + size]).decode() for at in range(0, len(data), size)]


@pytest.fixture
def table(box: Survey, keep, control: Control) -> str:
    """Return a table that can be put back, and is empty."""
    target = keep(box.one("table", fixed_table))
    assert control.table(target, "") == "OK"
    return target


@pytest.fixture
def stream(box: Survey, keep, control: Control) -> str:
    """Return a table that takes streams, and is empty."""
    target = keep(box.one("table", streaming_table))
    assert control.table(target, "") == "OK"
    return target


@pytest.fixture
def short(box: Survey, keep, control: Control) -> str:
    """Return a table that takes no streams, and is empty."""
    target = keep(box.one("table", short_table))
    assert control.table(target, "") == "OK"
    return target


def test_an_empty_table(control, table):
    assert control.lines(table) == []
    assert control.lines(f"{table}.B") == []
    assert control.value(f"{table}.LENGTH") == "0"
    assert control.value(f"{table}.MODE") == "INIT"
    assert control.value(f"{table}.QUEUED_LINES") == "0"


def test_columns_of_a_table_do_not_overlap(control, box: Survey):
    for field in box.of("table"):
        target = field.instances[-1]
        words = row_words(control, target)
        assert int(control.value(f"{target}.MAX_LENGTH")) >= words
        used: set[int] = set()
        for line in control.lines(f"{target}.FIELDS"):
            match = re.fullmatch(r"(\d+):(\d+) [A-Za-z_]\w* (uint|int|enum)", line)
            assert match, line
            left, right = int(match[1]), int(match[2])
            bits = set(range(right, left + 1))
            assert bits
            assert not bits & used
            used |= bits
            assert left < 32 * words


def test_words_are_written_and_read(control, table):
    words = row_words(control, table)
    assert control.table(table, "", *(row(control, table, n) for n in (1, 100))) == "OK"
    expected = [*range(1, words + 1), *range(100, 100 + words)]
    assert control.lines(table) == [str(n) for n in expected]
    assert control.lines(f"{table}.B") == encoded(expected)
    assert control.value(f"{table}.LENGTH") == str(2 * words)
    assert control.value(f"{table}.MODE") == "FIXED"
    assert control.table(table, "") == "OK"
    assert control.lines(table) == []


@pytest.mark.parametrize("binary", [False, True], ids=["decimal", "base64"])
def test_any_words_come_back(control, table, binary):
    words = row_words(control, table)
    most = min(int(control.value(f"{table}.MAX_LENGTH")), 50 * words) // words

    @QUICK
    @given(st.data())
    def every(data: st.DataObject) -> None:
        count = data.draw(st.integers(0, most)) * words
        values = data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=count, max_size=count))
        if binary:
            lines = encoded(values)
        else:
            width = data.draw(st.integers(1, 20))
            lines = [" ".join(map(str, values[at : at + width])) for at in range(0, count, width)]
        assert control.table(table, "B" if binary else "", *lines) == "OK"
        assert control.lines(table) == [str(value) for value in values]
        assert control.lines(f"{table}.B") == encoded(values)

    every()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("  1 2", [1, 2]),
        ("\t1\t\t2", [1, 2]),
        ("0x10 010", [16, 8]),
        ("-1 +1", [4294967295, 1]),
        ("4+5", [4, 5]),
        ("1-2", [1, 4294967294]),
        ("4294967296 4294967297", [0, 1]),
    ],
)
def test_numbers_on_a_line(control, table, line, words):
    filler = " 0" * (-len(words) % row_words(control, table))
    assert control.table(table, "", line + filler) == "OK"
    assert control.lines(table)[: len(words)] == [str(word) for word in words]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("1 ", "Number missing"),
        (" ", "Number missing"),
        ("x", "Number missing"),
        ("1 x", "Number missing"),
        ("1,2", "Number missing"),
        ("1.5", "Number missing"),
        ("08", "Number missing"),
        ("1\r", "Number missing"),
        ("99999999999999999999", "Error converting number: (34) Numerical result out of range"),
    ],
)
def test_numbers_that_are_refused_leave_the_table_alone(control, table, line, error):
    first = row(control, table)
    assert control.table(table, "", first) == "OK"
    before = control.lines(table)
    reply = control.table(table, "", first, line, first, "x y")
    assert reply == f"ERR {error}"
    assert control.lines(table) == before
    assert control.value(f"{table}.MODE") == "FIXED"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("AQAAAA!=", "Malformed base64 string"),
        ("AQAAA", "Malformed base64 string"),
        ("AQAA AA=", "Malformed base64 string"),
        ("AQAAAA==\r", "Malformed base64 string"),
        ("AQA=", "Invalid data length"),
        ("AQAAAAA=", "Invalid data length"),
        ("AQ==", "Invalid data length"),
        ("=", "Malformed base64 string"),
        (" AQAAAA==", "Malformed base64 string"),
    ],
)
def test_base64_that_is_refused_leaves_the_table_alone(control, table, line, error):
    assert control.table(table, "", row(control, table)) == "OK"
    before = control.lines(table)
    assert control.table(table, "B", line) == f"ERR {error}"
    assert control.lines(table) == before


def test_padding_of_base64_is_optional(control, table):
    words = row_words(control, table)
    for word in ("AQAAAA==", "AQAAAA"):
        assert control.table(table, "B", *[word] * words) == "OK"
        assert control.lines(table) == ["1"] * words


def test_a_line_of_base64_may_have_1020_characters(control, table):
    words = row_words(control, table)
    if int(control.value(f"{table}.MAX_LENGTH")) < 192:
        pytest.skip("this table is too small")
    line = base64.b64encode(bytes(764)).decode()
    assert len(line) == 1020
    rest = base64.b64encode(bytes(4 * (-191 % words))).decode()
    assert control.table(table, "B", line, *([rest] if rest else [])) == "OK"
    assert int(control.value(f"{table}.LENGTH")) >= 191


def test_tables_hold_whole_rows(control, box: Survey, keep):
    target = keep(box.one("table", lambda c, t: fixed_table(c, t) and row_words(c, t) > 1))
    assert control.table(target, "", "1") == ROWS
    assert control.table(target, "B", "AQAAAA==") == ROWS
    assert control.table(target, "", "1 x") == "ERR Number missing"


def test_tables_have_a_size(control, box: Survey, keep):
    def capacity(target: str) -> int:
        return int(control.value(f"{target}.MAX_LENGTH"))

    found = box.targets("table", fixed_table)
    if not found:
        pytest.skip("this box has no table that can be put back")
    table = keep(min(found, key=capacity))
    most, words = capacity(table), row_words(control, table)
    full = encoded([7] * most, 764)
    assert control.table(table, "B", *full) == "OK"
    assert control.value(f"{table}.LENGTH") == str(most)
    assert control.table(table, "B", *full, *encoded([8] * words)) == (
        "ERR Input string too long for output buffer"
    )
    lines = [" ".join(["9"] * 500)] * (most // 500 + 1)
    assert control.table(table, "", *lines) == "ERR Too many points for table"
    assert control.lines(f"{table}.B") == encoded([7] * most)


def test_illegal_modifiers(control, table):
    body = row(control, table)
    for modifiers in (
        "|",
        "|B",
        "<|B|",
        "<B|",
        "b",
        "BB",
        "B ",
        " ",
        " B",
        "<<",
        "<||",
        "<|b",
        "X",
    ):
        assert control.table(table, modifiers, body) == ("ERR Unexpected character after input"), (
            modifiers
        )
    assert control.value(f"{table}.MODE") == "INIT"


# mode before, modifiers, whether there are data: reply and mode after
FIXED_DATA, FIXED_NONE, MORE, LAST, NONE, LAST_NONE = (
    ("", True), ("", False), ("<", True), ("<|", True), ("<", False), ("<|", False),
)  # fmt: skip
NEEDS_DATA = "ERR Streaming table must have data"
STREAMING = "ERR Table is in streaming mode"
WAS_LAST = "ERR Last streaming table was sent"
TRANSITIONS = {
    "INIT": {
        FIXED_DATA: ("OK", "FIXED"), MORE: ("OK", "STREAMING"), LAST: ("OK", "STREAMING_LAST"),
        FIXED_NONE: ("OK", "INIT"), NONE: (NEEDS_DATA, "INIT"), LAST_NONE: (NEEDS_DATA, "INIT"),
    },
    "FIXED": {
        FIXED_DATA: ("OK", "FIXED"), MORE: ("OK", "STREAMING"), LAST: ("OK", "STREAMING"),
        FIXED_NONE: ("OK", "INIT"), NONE: (NEEDS_DATA, "FIXED"), LAST_NONE: (NEEDS_DATA, "FIXED"),
    },
    "STREAMING": {
        FIXED_DATA: (STREAMING, "STREAMING"), MORE: ("OK", "STREAMING"),
        LAST: ("OK", "STREAMING_LAST"), FIXED_NONE: ("OK", "INIT"),
        NONE: (NEEDS_DATA, "STREAMING"), LAST_NONE: (NEEDS_DATA, "STREAMING"),
    },
    "STREAMING_LAST": {
        FIXED_DATA: (WAS_LAST, "STREAMING_LAST"), MORE: (WAS_LAST, "STREAMING_LAST"),
        LAST: (WAS_LAST, "STREAMING_LAST"), FIXED_NONE: ("OK", "INIT"),
        NONE: (NEEDS_DATA, "STREAMING_LAST"), LAST_NONE: (NEEDS_DATA, "STREAMING_LAST"),
    },
}  # fmt: skip
ENTRY = {"INIT": [], "FIXED": [""], "STREAMING": ["<"], "STREAMING_LAST": ["<|"]}


@pytest.mark.parametrize("binary", ["", "B"], ids=["decimal", "base64"])
@pytest.mark.parametrize("before", TRANSITIONS)
def test_modes(control, stream, before, binary):
    words = row_words(control, stream)
    body = encoded([5] * words) if binary else [row(control, stream)]
    for (modifiers, data), (reply, after) in TRANSITIONS[before].items():
        assert control.table(stream, "") == "OK"
        for step in ENTRY[before]:
            assert control.table(stream, step, row(control, stream)) == "OK"
        assert control.value(f"{stream}.MODE") == before
        case = f"{before} {modifiers}{binary} {data}"
        assert control.table(stream, modifiers + binary, *(body if data else [])) == reply, case
        assert control.value(f"{stream}.MODE") == after, case
        assert control.value(f"{stream}.LENGTH") == (str(words) if after == "FIXED" else "0"), case
        if after != "FIXED":
            assert control.lines(stream) == []
            assert control.lines(f"{stream}.B") == []


def test_a_mistake_in_the_body_comes_before_one_of_the_mode(control, stream):
    assert control.table(stream, "<|", row(control, stream)) == "OK"
    assert control.table(stream, "", "x") == "ERR Number missing"
    assert control.table(stream, "<", row(control, stream)) == WAS_LAST


def test_short_tables_do_not_stream(control, short):
    refused = "ERR Table do not support streaming mode"
    for modifiers in ("<", "<B", "<|", "<|B"):
        assert control.table(short, modifiers) == refused
    assert control.table(short, "<", row(control, short)) == refused
    assert control.value(f"{short}.MODE") == "INIT"
    assert control.table(short, "", row(control, short)) == "OK"
    assert control.value(f"{short}.QUEUED_LINES") == "0"


def until_held(control: Control, table: str, *, held: bool) -> None:
    """Wait until somebody holds a table, or nobody does: a wrong body tells, and harms nothing."""
    wanted = "ERR Table currently being written" if held else "ERR Number missing"
    deadline = time.monotonic() + 5
    while control.table(table, "", "x") != wanted:
        assert time.monotonic() < deadline


def test_who_writes_a_table_holds_it(control, connect, table):
    writer: Control = connect()
    body = row(control, table)
    assert control.table(table, "", body) == "OK"
    before = control.lines(table)
    writer.put(f"{table}<", row(control, table, 50))
    until_held(control, table, held=True)
    for modifiers in ("", "B", "<", "<B"):
        assert control.table(table, modifiers, body) == "ERR Table currently being written"
    assert control.table(table, "") == "ERR Table currently being written"
    assert control.table(table, "X") == "ERR Unexpected character after input"
    assert control.lines(table) == before
    assert control.value(f"{table}.MODE") == "FIXED"
    writer.put("")
    assert writer.reply() == "OK"
    assert control.lines(table)[0] == "50"
    assert control.table(table, "", body) == "OK"


@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
def test_who_leaves_lets_go_of_the_table(control, connect, table, how):
    writer: Control = connect()
    writer.put(f"{table}<", row(control, table))
    until_held(control, table, held=True)
    getattr(writer, how)()
    until_held(control, table, held=False)
    assert control.value(f"{table}.MODE") == "INIT"


def test_instances_are_held_one_by_one(control, connect, box: Survey, keep):
    first, second = box.two("table", fixed_table)
    keep(first, second)
    writer: Control = connect()
    writer.put(f"{first}<", "x")
    until_held(control, first, held=True)
    assert control.table(second, "", row(control, second)) == "OK"
    writer.put("")
    assert writer.reply() == "ERR Number missing"
