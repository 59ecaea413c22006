"""LUT expressions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_simulator.box.errors import CommandError
from panda_simulator.box.lut import parse_lut


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("A&B", 0xFF000000),
        ("A==B", 0xFF0000FF),
        ("A=>B", 0xFF00FFFF),
        ("A|B&C^D", 0xFFFF3CCC),
        ("A=>B=>C", 0xF0FFF0F0),
        ("A?B?C:D:E", 0xF0CCAAAA),
        ("A?B:C?D:E", 0xFF00CACA),
        ("~A=B", 0x00FFFF00),
        ("0", 0),
        (" 1 ", 0xFFFFFFFF),
        ("A=>B?C:D", 0xF0CCF0F0),
        ("0x12345678", 0x12345678),
        ("0xFFFFFFFFF", 0xFFFFFFFF),
        ("(" * 38 + "A" + ")" * 38, 0xFFFF0000),
    ],
)
def test_an_expression_becomes_its_table(text, table):
    assert parse_lut(text) == table


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Missing value"),
        ("A&", "Missing value"),
        ("()", "Missing value"),
        ("A B", "Missing operator between values"),
        ("A(B)", "Missing operator between values"),
        ("(A", "Missing close bracket"),
        ("A)", "Missing open bracket"),
        ("A?B", "Missing : after ?"),
        ("(A?B)", "Missing : after ?"),
        ("A:B", "Missing ? before :"),
        ("(A:B)", "Missing ? before :"),
        ("a", "Invalid token"),
        ("A\t", "Invalid token"),
        ("0X1", "Invalid token"),
        ("0x", "Bad LUT number"),
        ("0xG", "Bad LUT number"),
        ("0x1 ", "Bad LUT number"),
        ("(" * 39 + "A" + ")" * 39, "Expression too complex"),
    ],
)
def test_a_bad_expression_is_refused_with_its_reason(text, message):
    with pytest.raises(CommandError) as refusal:
        parse_lut(text)
    assert refusal.value.message == message


@given(st.text("ABCDE01()~&^|=?:> ", max_size=20))
def test_any_expression_has_a_table_or_a_reason(text):
    try:
        table = parse_lut(text)
    except CommandError:
        return
    assert 0 <= table <= 0xFFFFFFFF
    assert parse_lut(f"~({text})") == table ^ 0xFFFFFFFF
