"""Attributes of every class, muxes, positions, free text, and LUT expressions.

Source: protocol.md 4.4, 4.6 to 4.9, 4.11, 4.12, appendix B.
"""

from __future__ import annotations

import pytest

from .survey import Survey, readable
from .wire import Control, to_text

LEFT = "Unexpected character after input"
ACCESS = {
    "UNITS": "RW", "RAW": "RW", "SCALE": "RW", "OFFSET": "RW", "CAPTURE": "RW", "DELAY": "RW",
}  # fmt: skip


def test_read_only_attributes_refuse_to_be_written(control, box: Survey):
    for field in box.fields:
        for name in control.lines(f"{field.bare}.*"):
            writeable = name in ACCESS and not (
                (field.subtype == "scalar" and name != "RAW")
                or (field.subtype == "lut" and name == "RAW")
                or (field.cls == "bit_out")
            )
            if not writeable:
                reply = control.error(f"{field.instances[0]}.{name}=1")
                assert reply == "Attribute not writeable", f"{field.bare}.{name}"


def test_bits_know_the_word_that_captures_them(control, box: Survey):
    words = {field.instances[0]: field for field in box.of("ext_out bits")}
    for name in box.bits:
        word, offset = control.value(f"{name}.CAPTURE_WORD"), control.value(f"{name}.OFFSET")
        assert 0 <= int(offset) < 32
        if word == "(null)":
            continue
        assert word in words
        lines = control.lines(f"{word}.BITS")
        assert len(lines) == 32
        assert lines[int(offset)] == name


def test_bits_are_0_or_1(control, box: Survey):
    assert {control.value(name) for name in box.bits} <= {"0", "1"}


def test_positions_are_signed_integers(control, box: Survey):
    for name in box.positions:
        assert -(2**31) <= int(control.value(name)) < 2**31


def test_bit_muxes_take_reported_names(control, box: Survey, keep):
    target = keep(box.one("bit_mux"))
    for name in (*box.bits[:3], box.bits[-1], "ONE", "ZERO"):
        control.ok(f"{target}={name}")
        assert control.value(target) == name
    for text in ("", "0", "128", "zero", " ZERO", "ZERO ", "TTLIN", *box.positions[:1]):
        assert control.error(f"{target}={text}") == "Invalid bit bus selection", text
    assert control.value(target) == "ZERO"


def test_the_delay_of_a_mux(control, box: Survey, keep):
    target = keep(f"{box.one('bit_mux')}.DELAY")
    assert control.value(target.replace(".DELAY", ".MAX_DELAY")) == "31"
    for text, value in (("31", "31"), ("0x10", "16"), (" 7", "7"), ("010", "8"), ("0", "0")):
        control.ok(f"{target}={text}")
        assert control.value(target) == value
    for text, error in (
        ("32", "Delay too long"), ("-1", "Delay too long"), ("", "Number missing"),
        ("1.5", LEFT), ("1 ", LEFT),
    ):  # fmt: skip
        assert control.error(f"{target}={text}") == error, text
    assert control.value(target) == "0"


def test_position_muxes_take_reported_names(control, box: Survey, keep):
    target = keep(box.one("pos_mux"))
    for name in (*box.positions[:3], box.positions[-1], "ZERO"):
        control.ok(f"{target}={name}")
        assert control.value(target) == name
    for text in ("", "0", "32", "ONE", " ZERO", "ZERO ", box.bits[0]):
        assert control.error(f"{target}={text}") == "Invalid position selection", text
    assert control.value(target) == "ZERO"


UNITS = [
    "", "mm", "µm", "°", "a b  c", " lead", "trail ", "=?<", "!", ".", "OK =", "ERR x", "x" * 255,
    "\x01\x1f\x7f", "\U0001f600", "\ufffd", "(null)", "x (error)", "x<",
]  # fmt: skip
MALFORMED = [
    b"\xff", b"\x80", b"\xc3", b"\xc3(", b"\xc0\xaf", b"\xe0\x80\x80", b"\xed\xa0\x80",
    b"\xef\xbf\xbe", b"\xef\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x88\x80\x80",
    b"mm\xe2\x82", b"\xe2\x28\xa1",
]  # fmt: skip


def test_units_are_any_text(control, box: Survey, keep):
    target = keep(f"{box.one('pos_out')}.UNITS")
    for text in UNITS:
        control.ok(f"{target}={text}")
        assert control.value(target) == text
    control.ok(f"{target}={'y' * 256}")
    assert control.error(f"{target}?") == "Result too long"


def test_units_must_be_utf_8(control, box: Survey, keep):
    target = keep(f"{box.one('pos_out')}.UNITS")
    control.ok(f"{target}=before")
    for data in MALFORMED:
        assert control.error(f"{target}={to_text(data)}") == "Malformed UTF-8 encoding", data
    assert control.value(target) == "before"


def test_only_free_text_is_checked_to_be_utf_8(control, box: Survey):
    assert control.error(f"{box.one('bit_mux')}=\udcff") == "Invalid bit bus selection"


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("A", "FFFF0000"),
        ("B", "FF00FF00"),
        ("C", "F0F0F0F0"),
        ("D", "CCCCCCCC"),
        ("E", "AAAAAAAA"),
        ("0", "00000000"),
        ("1", "FFFFFFFF"),
        ("A&B", "FF000000"),
        ("A==B", "FF0000FF"),
        ("A=B", "FF0000FF"),
        ("A=>B", "FF00FFFF"),
        ("A|B&C^D", "FFFF3CCC"),
        ("A=>B=>C", "F0FFF0F0"),
        ("A?B?C:D:E", "F0CCAAAA"),
        ("A?B:C?D:E", "FF00CACA"),
        ("~A=B", "00FFFF00"),
        ("A=>B?C:D", "F0CCF0F0"),
        ("  A  &  ( B|~C ) ", "FF0F0000"),
        ("~~A", "FFFF0000"),
        ("(" * 38 + "A" + ")" * 38, "FFFF0000"),
        ("0x1", "00000001"),
        ("0xdeadBEEF", "DEADBEEF"),
        ("0xFFFFFFFFF", "FFFFFFFF"),
        ("0x123456789A", "3456789A"),
    ],
)
def test_lut_expressions(control, box: Survey, keep, text, raw):
    target = keep(box.one("param lut", readable))
    control.ok(f"{target}={text}")
    assert control.value(f"{target}.RAW") == f"0x{raw}"
    assert control.value(target) == text


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "Missing value"),
        ("A&", "Missing value"),
        ("()", "Missing value"),
        ("&A", "Missing value"),
        ("~", "Missing value"),
        ("A B", "Missing operator between values"),
        ("A~B", "Missing operator between values"),
        ("A(B)", "Missing operator between values"),
        ("(A", "Missing close bracket"),
        ("A)", "Missing open bracket"),
        ("A?B", "Missing : after ?"),
        ("A:B", "Missing ? before :"),
        ("a", "Invalid token"),
        ("F", "Invalid token"),
        ("A\t&B", "Invalid token"),
        ("A+B", "Invalid token"),
        ("2", "Invalid token"),
        ("0X1", "Invalid token"),
        ("0x", "Bad LUT number"),
        ("0xG", "Bad LUT number"),
        ("0x1 ", "Bad LUT number"),
        ("(" * 39 + "A" + ")" * 39, "Expression too complex"),
    ],
)
def test_lut_expressions_that_are_refused(control, box: Survey, keep, text, error):
    target = keep(box.one("param lut", readable))
    control.ok(f"{target}=A&B")
    assert control.error(f"{target}={text}") == error
    assert control.value(target) == "A&B"
    assert control.value(f"{target}.RAW") == "0xFF000000"


def test_the_text_of_a_lut_has_255_bytes_at_most(control, box: Survey, keep):
    target = keep(box.one("param lut", readable))
    control.ok(f"{target}={'A' + ' ' * 254}")
    assert control.value(target) == "A" + " " * 254
    control.ok(f"{target}={'A' + ' ' * 255}")
    assert control.error(f"{target}?") == "Result too long"


def test_capture_options_are_kept_in_their_order(control, box: Survey, keep):
    target = keep(f"{box.one('pos_out')}.CAPTURE")
    options = control.lines("*CAPTURE.OPTIONS")
    assert options[:6] == ["Value", "Diff", "Sum", "Min", "Max", "Mean"]
    for text, value in (
        ("Max Min", "Min Max"),
        (" ".join(reversed(options)), " ".join(options)),
        ("Value  \t Value", "Value"),
        ("Mean ", "Mean"),
        ("No", "No"),
        ("Sum\tDiff", "Diff Sum"),
        ("", "No"),
    ):
        control.ok(f"{target}={text}")
        assert control.value(target) == value
    control.ok(f"{target}=Min")
    for text, error in (
        ("MinMax", 'Unknown capture option "MinMax"'),
        ("No Value", 'Unknown capture option "No"'),
        ("Value No", 'Unknown capture option "No"'),
        ("value", 'Unknown capture option "value"'),
        ("No ", 'Unknown capture option "No"'),
        (" Min", "No name found"),
        ("Min,Max", "No name found"),
        ("Min Max, Mean", "No name found"),
        ("Min " + "X" * 32, "Name too long"),
    ):
        assert control.error(f"{target}={text}") == error, text
    assert control.value(target) == "Min"


def test_external_fields_are_captured_or_not(control, box: Survey, keep):
    for info in ("ext_out timestamp", "ext_out samples", "ext_out bits"):
        for name in box.targets(info)[:1]:
            target = keep(f"{name}.CAPTURE")
            control.ok(f"{target}=Value")
            assert control.value(target) == "Value"
            for text in ("", "value", "Value ", " Value", "Min", "No Value"):
                assert control.error(f"{target}={text}") == "Invalid capture option", text
            control.ok(f"{target}=No")
            assert control.value(target) == "No"


def test_attributes_of_external_fields(control: Control, box: Survey):
    for field in box.of("ext_out"):
        names = control.lines(f"{field.bare}.*")
        assert sorted(names) == sorted(
            ["CAPTURE", "INFO", *(["BITS"] if field.subtype == "bits" else [])]
        )
        assert control.value(f"{field.instances[0]}.INFO") == f"ext_out {field.subtype}"
