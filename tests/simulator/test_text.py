"""Numbers and names are read and written as the C library does it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_simulator.box.errors import CommandError
from panda_simulator.box.text import (
    Cursor,
    bytewise,
    check_utf8,
    format_real,
    legible,
    one_result,
    round_half_away,
    to_signed,
)

RANGE = "Error converting number: (34) Numerical result out of range"


@pytest.mark.parametrize(
    ("text", "value", "left"),
    [
        ("0", 0, ""),
        ("12x", 12, "x"),
        (" \t7 ", 7, " "),
        ("+5", 5, ""),
        ("-1", 0xFFFFFFFF, ""),
        ("4294967296", 0, ""),
        ("0x1F", 31, ""),
        ("0X1f", 31, ""),
        ("010", 8, ""),
        ("08", 0, "8"),
        ("0x", 0, "x"),
        ("18446744073709551615", 0xFFFFFFFF, ""),
        ("-18446744073709551615", 1, ""),
    ],
)
def test_an_unsigned_number_is_read_as_by_strtoul(text, value, left):
    cursor = Cursor(text)
    assert cursor.unsigned() == value
    assert cursor.rest() == left


@pytest.mark.parametrize("text", ["", "abc", "-", "--5", "- 5", "+-3", " "])
def test_a_number_without_digits_is_missing(text):
    with pytest.raises(CommandError, match=r"^Number missing$"):
        Cursor(text).unsigned()
    with pytest.raises(CommandError, match=r"^Number missing$"):
        Cursor(text).real()


def test_integers_beyond_64_bits_are_out_of_range():
    for text in ("18446744073709551616", "-18446744073709551616"):
        with pytest.raises(CommandError) as refusal:
            Cursor(text).unsigned()
        assert refusal.value.message == RANGE
    for text in ("9223372036854775808", "-9223372036854775809"):
        with pytest.raises(CommandError) as refusal:
            Cursor(text).signed()
        assert refusal.value.message == RANGE


def test_signed_numbers_wrap_silently_at_32_bits():
    assert Cursor("2147483648").signed() == -(1 << 31)
    assert Cursor("-9223372036854775808").signed() == 0


@given(st.integers(-(1 << 31), (1 << 31) - 1))
def test_what_fits_32_bits_is_read_as_it_is(number):
    assert Cursor(str(number)).signed() == number
    assert Cursor(str(number)).unsigned() == number % (1 << 32)
    assert to_signed(number) == number


@pytest.mark.parametrize(
    ("text", "value", "left"),
    [
        ("1.5", 1.5, ""),
        (".5x", 0.5, "x"),
        ("5.", 5.0, ""),
        ("1e", 1.0, "e"),
        ("1e-7", 1e-7, ""),
        ("1,5", 1.0, ",5"),
        (" -inf", -math.inf, ""),
        ("InFiNiTy", math.inf, ""),
        ("infx", math.inf, "x"),
        ("0x1p3", 8.0, ""),
        ("0x.8p-1", 0.25, ""),
        ("0x1p-1074", 5e-324, ""),
        ("0x", 0.0, "x"),
        ("nan(12)!", math.nan, "!"),
        ("nan(", math.nan, "("),
        ("2.2250738585072014e-308", 2.2250738585072014e-308, ""),
        (f"0.0e-{'9' * 30}", 0.0, ""),
        (f"0x0p-{'9' * 30}", 0.0, ""),
    ],
)
def test_a_real_number_is_read_as_by_strtod(text, value, left):
    cursor = Cursor(text)
    assert cursor.real() == pytest.approx(value, rel=0, abs=0, nan_ok=True)
    assert cursor.rest() == left


@pytest.mark.parametrize(
    "text",
    [
        *("1e400", "1e-400", "1e-310", "-1e999999999", "0x1p2000", "0x1p-1080", "0x3p-1075"),
        *(f"1e{'9' * 30}", f"1e-{'9' * 30}", f"0x1p{'9' * 30}", f"0x1p-{'9' * 30}"),
    ],
)
def test_a_real_number_too_big_or_too_small_is_out_of_range(text):
    with pytest.raises(CommandError) as refusal:
        Cursor(text).real()
    assert refusal.value.message == RANGE


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1e-7, "1e-07"),
        (12345678901.5, "1.23456789e+10"),
        (0.123456789012345, "0.123456789"),
        (1e10, "1e+10"),
        (100000.0, "100000"),
        (-0.0, "-0"),
        (math.nan, "nan"),
        (-math.nan, "-nan"),
        (-math.inf, "-inf"),
    ],
)
def test_reals_have_ten_digits(value, text):
    assert format_real(value) == text


def test_halves_are_rounded_away_from_zero():
    assert [round_half_away(value) for value in (0.5, 1.5, -0.5, -2.5, 0.49999999999999994)] == [
        1,
        2,
        -1,
        -3,
        0,
    ]


def test_names_end_where_their_characters_end():
    assert Cursor("SFP2_SYNC_IN1.X").block_name() == "SFP2_SYNC_IN"
    cursor = Cursor("TTLIN12.X")
    assert (cursor.block_name(), cursor.unsigned(), cursor.rest()) == ("TTLIN", 12, ".X")
    assert Cursor("A1 b").name() == "A1"
    assert Cursor("A1").letters() == "A"


@pytest.mark.parametrize("text", ["", "1A", ".A", "é"])
def test_a_name_begins_with_a_letter(text):
    with pytest.raises(CommandError, match=r"^No name found$"):
        Cursor(text).name()


def test_a_name_has_31_characters_at_most():
    assert Cursor("x" * 31).name() == "x" * 31
    with pytest.raises(CommandError, match=r"^Name too long$"):
        Cursor("x" * 32).letters()


def test_texts_are_checked_for_utf8():
    for good in ("", "plain\x01", "µm", "\U0001f600"):
        check_utf8(good.encode().decode("latin-1"))
    for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbf\xbe", b"\xef\xbf\xbf", b"\xc2"):
        with pytest.raises(CommandError, match=r"^Malformed UTF-8 encoding$"):
            check_utf8(bad.decode("latin-1"))


def test_a_single_value_has_255_bytes_at_most():
    assert one_result("x" * 255)
    with pytest.raises(CommandError, match=r"^Result too long$"):
        one_result("x" * 256)


@given(st.text().filter(lambda text: text.isprintable()))
def test_a_text_of_a_person_is_its_utf8_a_character_a_byte(text):
    assert bytewise(text).encode("latin-1") == text.encode()
    assert legible(bytewise(text)) == text
