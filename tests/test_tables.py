"""Table words, columns and base64 lines survive every round trip, and nothing wrong gets in."""

import contextlib
from enum import Enum, StrEnum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from panda_ophyd.errors import FieldValueError, ProtocolError
from panda_ophyd.tables import (
    TableColumn,
    TableLayout,
    from_base64_lines,
    parse_fields,
    to_base64_lines,
)

TRIGGERS = ("Immediate", "BITA=0", "BITA=1", "BITB=0", "BITB=1", "BITC=0", "BITC=1")
SEQ_LINES = (
    "15:0 REPEATS uint",
    "19:16 TRIGGER enum",
    "63:32 POSITION int",
    "95:64 TIME1 uint",
    "20:20 OUTA1 uint",
    "127:96 TIME2 uint",
    "26:26 OUTA2 uint",
)
SEQ = parse_fields(SEQ_LINES, 4, {"TRIGGER": TRIGGERS}, max_words=1048576)


def words_of(*values):
    return np.array(values, dtype=np.uint32)


def test_columns_come_in_the_order_of_the_configuration_with_the_smallest_type():
    columns = SEQ.unpack(words_of(3 | 2 << 16 | 1 << 20, 2**32 - 5, 100, 200))
    assert list(columns) == ["repeats", "trigger", "position", "time1", "outa1", "time2", "outa2"]
    types = {key: column.dtype for key, column in columns.items() if key != "trigger"}
    assert types == {
        "repeats": np.uint16,
        "position": np.int32,
        "time1": np.uint32,
        "outa1": np.bool_,
        "time2": np.uint32,
        "outa2": np.bool_,
    }
    assert columns["repeats"].tolist() == [3]
    assert columns["trigger"] == ["BITA=1"]
    assert columns["position"].tolist() == [-5]
    assert columns["outa1"].tolist() == [True]
    assert columns["outa2"].tolist() == [False]


def test_an_empty_table_has_empty_columns_of_the_same_types():
    columns = SEQ.unpack(words_of())
    assert columns["trigger"] == []
    assert columns["position"].dtype == np.int32
    assert SEQ.pack(columns, "SEQ1.TABLE").size == 0
    assert SEQ.pack({}, "SEQ1.TABLE").size == 0


def test_a_code_without_label_is_its_number_as_text_both_ways():
    words = words_of(13 << 16, 0, 0, 0, 1 << 16, 0, 0, 0)
    columns = SEQ.unpack(words)
    assert columns["trigger"] == ["13", "BITA=0"]
    assert_array_equal(SEQ.pack(columns, "SEQ1.TABLE"), words)


class Trigger(Enum):
    HIGH = "BITA=1"


class StrTrigger(StrEnum):
    HIGH = "BITA=1"


@pytest.mark.parametrize(
    "triggers",
    [
        ["BITA=1"],
        ("BITA=1",),
        [Trigger.HIGH],
        [StrTrigger.HIGH],
        np.array(["BITA=1"]),
        np.array(["BITA=1"], dtype=object),
        ["2"],
        [2],
        [np.str_("BITA=1")],
        [np.int64(2)],
        np.array([2], dtype=np.uint8),
    ],
    ids=repr,
)
def test_an_enum_column_takes_labels_members_and_numbers(triggers):
    packed = SEQ.pack({"trigger": triggers}, "SEQ1.TABLE")
    assert packed.tolist() == [2 << 16, 0, 0, 0]


@pytest.mark.parametrize(
    "repeats",
    [
        [7],
        [7.0],
        ["7"],
        np.array([7.0]),
        np.array([7], np.int8),
        [np.uint64(7)],
        np.array(["7"]),
        np.array([7.0], dtype=object),
    ],
    ids=repr,
)
def test_a_number_column_takes_whole_numbers_in_any_guise(repeats):
    assert SEQ.pack({"repeats": repeats}, "SEQ1.TABLE").tolist() == [7, 0, 0, 0]


def test_columns_that_are_not_given_are_zeros():
    packed = SEQ.pack({"time2": [1, 2]}, "SEQ1.TABLE")
    assert packed.tolist() == [0, 0, 0, 1, 0, 0, 0, 2]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"repeats": [1, 65536]}, r"SEQ1.TABLE\[\].REPEATS cannot be 65536: row 1 .* 0 to 65535"),
        ({"repeats": [-1]}, "row 0 does not fit 16 bits"),
        ({"position": [2**31]}, "row 0 does not fit 32 bits"),
        ({"position": np.array([2**63], np.uint64)}, "row 0 does not fit 32 bits"),
        ({"time1": [2**64]}, "too large for any table"),
        ({"time1": ["1", str(2**64)]}, "too large for any table"),
        ({"outa1": [2]}, "row 0 does not fit 1 bits"),
        ({"trigger": [16]}, "row 0 does not fit 4 bits"),
        ({"trigger": ["99"]}, "row 0 does not fit 4 bits"),
        ({"trigger": ["BITA = 1"]}, "it takes 'Immediate', 'BITA=0'"),
        ({"trigger": [None]}, "whole numbers"),
        ({"trigger": [["BITA=1"]]}, "whole numbers"),
        ({"repeats": [1.5]}, "row 0 is no whole number"),
        ({"repeats": [float("nan")]}, "row 0 is no whole number"),
        ({"repeats": [1, float("inf")]}, "row 1 is no whole number"),
        ({"repeats": ["seven"]}, "whole numbers"),
        ({"repeats": ["7", 1.5]}, "whole numbers"),
        ({"repeats": 7}, "one dimension"),
        ({"repeats": [[7]]}, "one dimension"),
        ({"repeats": [1], "time1": [1, 2]}, "equally long"),
        ({"repeat": [1]}, "no such column, only repeats, trigger"),
        ({"repeats": np.zeros(262145)}, "holds 262144 rows"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(columns, says):
    with pytest.raises(FieldValueError, match=says):
        SEQ.pack(columns, "SEQ1.TABLE")


def test_a_table_without_columns_has_one_for_each_word():
    layout = parse_fields((), 2, {})
    assert [column.name for column in layout.columns] == ["WORD0", "WORD1"]
    assert layout.unpack(words_of(1, 2, 3, 4))["word1"].tolist() == [2, 4]
    assert layout.max_rows is None


def test_words_that_are_not_whole_rows_are_refused():
    with pytest.raises(ProtocolError, match="5 words is not a whole number of rows of 4"):
        SEQ.unpack(words_of(1, 2, 3, 4, 5))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "15:0",
        "0:15 X uint",
        "128:0 X uint",
        "64:0 X uint",
        "3:0 X float",
        "3:0 X uint more",
        "a:b X",
    ],
)
def test_a_column_that_cannot_be_is_refused(line):
    with pytest.raises(ProtocolError):
        parse_fields([line], 4, {})


@pytest.mark.parametrize("row_words", [0, -1, 10**9])
def test_a_row_of_impossible_width_is_refused(row_words):
    with pytest.raises(ProtocolError, match="row"):
        parse_fields((), row_words, {})


@given(st.lists(st.text(max_size=20), min_size=1, max_size=3))
def test_garbage_in_place_of_columns_is_refused_as_such(lines):
    with contextlib.suppress(ProtocolError):
        parse_fields(lines, 4, {})


def test_a_column_without_subtype_is_uint():
    assert parse_fields(["7:0 X"], 1, {}).columns == (TableColumn("X", 7, 0, "uint"),)


def test_base64_lines_have_64_characters_but_the_last():
    lines = to_base64_lines(np.arange(20, dtype=np.uint32))
    assert [len(line) for line in lines] == [64, 44]
    assert_array_equal(from_base64_lines(lines), np.arange(20))
    assert to_base64_lines(words_of(1, 2)) == ("AQAAAAIAAAA=",)
    assert to_base64_lines(words_of()) == ()
    assert from_base64_lines(()).size == 0


def test_lines_padded_on_their_own_or_not_at_all_are_read():
    assert from_base64_lines(["AQAAAA==", "AgAAAA=="]).tolist() == [1, 2]
    assert from_base64_lines(["AQAAAA", "AgAAAA"]).tolist() == [1, 2]


@pytest.mark.parametrize("line", ["AQAA", "A", "AQ==AAAA", "AQAA AA=", "é", "=", "AQAAAA======"])
def test_a_line_that_is_not_words_in_base64_is_refused(line):
    with pytest.raises(ProtocolError):
        from_base64_lines([line])


@given(st.lists(st.text(max_size=70), max_size=4))
def test_garbage_in_place_of_base64_is_refused_or_words(lines):
    with contextlib.suppress(ProtocolError):
        assert from_base64_lines(lines).dtype == np.uint32


@given(st.lists(st.integers(0, 2**32 - 1), max_size=200))
def test_words_survive_base64(words):
    array = np.array(words, dtype=np.uint32)
    assert_array_equal(from_base64_lines(to_base64_lines(array)), array)


@st.composite
def layouts(draw):
    """Row layouts without gaps, columns across word boundaries among them."""
    row_words = draw(st.integers(1, 4))
    columns = []
    bit = 0
    while bit < 32 * row_words:
        width = draw(st.integers(1, min(64, 32 * row_words - bit)))
        kind = draw(st.sampled_from(["uint", "int", "enum"] if width < 8 else ["uint", "int"]))
        labels = ("zero", "one") if kind == "enum" else ()
        columns.append(TableColumn(f"C{bit}", bit + width - 1, bit, kind, labels))
        bit += width
    return TableLayout(row_words, tuple(draw(st.permutations(columns))))


@settings(deadline=None)
@given(st.data())
def test_words_survive_columns_whatever_the_layout(data):
    layout = data.draw(layouts())
    count = data.draw(st.integers(0, 4)) * layout.row_words
    values = data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=count, max_size=count))
    words = np.array(values, dtype=np.uint32)
    columns = layout.unpack(words)
    for column in layout.columns:
        if column.dtype is not None:
            assert columns[column.key].dtype == column.dtype
    assert_array_equal(layout.pack(columns, "X.TABLE"), words)


def test_the_largest_table_survives():
    generator = np.random.default_rng(1)
    rows = generator.integers(0, 2**32, (262144, 4), dtype=np.uint32)
    rows[:, 0] &= 0x0416FFFF
    words = rows.reshape(-1)
    lines = to_base64_lines(words)
    columns = SEQ.unpack(from_base64_lines(lines))
    assert_array_equal(SEQ.pack(columns, "SEQ1.TABLE"), words)
