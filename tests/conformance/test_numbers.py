"""Numbers: how they are read, printed, cut to 32 bits, and refused.

Source: protocol.md 4.2 to 4.5.
"""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .survey import Survey, readable, restorable_position
from .wire import Control

RANGE = "Error converting number: (34) Numerical result out of range"
LEFT = "Unexpected character after input"
UNITS = {"min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
SCALES = st.floats(-1e6, 1e6, allow_subnormal=False)
QUICK = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def printed(value: float) -> str:
    """C's ``%.10g``."""
    return f"{value:.10g}"


def unlimited(control: Control, target: str) -> bool:
    reply = control.ask(f"{target}.MAX?")
    return readable(control, target) and reply == "OK =4294967295"


def limited(control: Control, target: str) -> bool:
    return readable(control, target) and not unlimited(control, target)


def nearest(ticks: float) -> int:
    """C's llround: half away from zero."""
    whole = math.floor(ticks)
    return whole + (ticks - whole >= 0.5)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("5", 5),
        (" 5", 5),
        ("\t5", 5),
        ("+5", 5),
        (" \t+5", 5),
        ("0x1F", 31),
        ("0X1f", 31),
        ("010", 8),
        ("00", 0),
        ("-1", 4294967295),
        ("-0x1", 4294967295),
        ("4294967295", 4294967295),
        ("4294967296", 0),
        ("4294967301", 5),
        ("18446744073709551615", 4294967295),
        ("-18446744073709551615", 1),
    ],
)
def test_unsigned_numbers_that_are_taken(control, box: Survey, keep, text, value):
    target = keep(box.one("param uint", unlimited))
    control.ok(f"{target}={text}")
    assert control.value(target) == str(value)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "Number missing"),
        (" ", "Number missing"),
        ("x", "Number missing"),
        ("+", "Number missing"),
        ("-", "Number missing"),
        ("+-1", "Number missing"),
        ("5 ", LEFT),
        ("5.0", LEFT),
        ("5\r", LEFT),
        ("08", LEFT),
        ("0x", LEFT),
        ("0xG", LEFT),
        ("1e3", LEFT),
        ("1,5", LEFT),
        ("18446744073709551616", RANGE),
        ("99999999999999999999999 x", RANGE),
    ],
)
def test_unsigned_numbers_that_are_refused(control, box: Survey, keep, text, error):
    target = keep(box.one("param uint", unlimited))
    control.ok(f"{target}=7")
    assert control.error(f"{target}={text}") == error
    assert control.value(target) == "7"


def test_a_maximum_counts_after_the_cut_to_32_bits(control, box: Survey, keep):
    target = keep(box.one("param uint", limited))
    most = int(control.value(f"{target}.MAX"))
    control.ok(f"{target}={most}")
    assert control.error(f"{target}={most + 1}") == "Number out of range"
    assert control.error(f"{target}=-1") == "Number out of range"
    control.ok(f"{target}={(1 << 32) + 1}")
    assert control.value(target) == "1"
    assert control.error(f"{target}={most + 1}x") in {"Number out of range", LEFT}
    assert control.error(f"{target}.MAX=1") == "Attribute not writeable"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-1", -1),
        ("2147483647", 2147483647),
        ("2147483648", -2147483648),
        ("-2147483648", -2147483648),
        ("-2147483649", 2147483647),
        ("4294967295", -1),
        ("0xFFFFFFFF", -1),
        ("9223372036854775807", -1),
        ("-9223372036854775808", 0),
        ("-010", -8),
    ],
)
def test_signed_numbers(control, box: Survey, keep, text, value):
    target = keep(box.one("param int", readable))
    control.ok(f"{target}={text}")
    assert control.value(target) == str(value)


def test_signed_numbers_beyond_64_bits(control, box: Survey, keep):
    target = keep(box.one("param int", readable))
    for text in ("9223372036854775808", "-9223372036854775809", "1" + "0" * 30):
        assert control.error(f"{target}={text}") == RANGE
    assert control.error(f"{target}=") == "Number missing"
    assert control.error(f"{target}=1.5") == LEFT


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "Invalid bit value"),
        ("2", "Invalid bit value"),
        ("-1", "Invalid bit value"),
        ("x", "Invalid bit value"),
        (" 1", "Invalid bit value"),
        ("01", LEFT),
        ("1 ", LEFT),
        ("11", LEFT),
    ],
)
def test_bits(control, box: Survey, keep, text, error):
    target = keep(box.one("param bit", readable))
    for value in "101":
        control.ok(f"{target}={value}")
        assert control.value(target) == value
    assert control.error(f"{target}={text}") == error
    assert control.value(target) == "1"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0.1", "0.1"),
        ("1e-7", "1e-07"),
        ("12345678901.5", "1.23456789e+10"),
        ("0.123456789012345", "0.123456789"),
        ("1e10", "1e+10"),
        ("9999999999.5", "1e+10"),
        ("100000", "100000"),
        ("1234567890", "1234567890"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("-0.0", "-0"),
        ("nan", "nan"),
        ("NaN", "nan"),
        ("-nan", "-nan"),
        ("inf", "inf"),
        ("-INFINITY", "-inf"),
        ("0x1p-3", "0.125"),
        ("0x.8", "0.5"),
        (" \t5", "5"),
        ("+.5", "0.5"),
        ("5.", "5"),
        ("1e300", "1e+300"),
        (f"0.0e-{'9' * 30}", "0"),
    ],
)
def test_reals_that_are_taken(control, box: Survey, keep, text, shown):
    target = keep(f"{box.one('pos_out', restorable_position)}.OFFSET")
    control.ok(f"{target}={text}")
    assert control.value(target) == shown


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "Number missing"),
        (" ", "Number missing"),
        ("x", "Number missing"),
        (".", "Number missing"),
        ("e5", "Number missing"),
        ("1,5", LEFT),
        ("1 ", LEFT),
        ("1e", LEFT),
        ("1e+", LEFT),
        ("0x", LEFT),
        ("1.5.5", LEFT),
        ("infinit", LEFT),
        ("nanx", LEFT),
        ("1e400", RANGE),
        ("-1e400", RANGE),
        ("1e-400", RANGE),
        (f"1e{'9' * 30}", RANGE),
        (f"1e-{'9' * 30}", RANGE),
        (f"0x1p-{'9' * 30}", RANGE),
        ("5\r", LEFT),
    ],
)
def test_reals_that_are_refused(control, box: Survey, keep, text, error):
    target = keep(f"{box.one('pos_out', restorable_position)}.SCALE")
    before = control.value(target)
    assert control.error(f"{target}={text}") == error
    assert control.value(target) == before


def test_any_double_is_printed_with_ten_digits(control, box: Survey, keep):
    target = keep(f"{box.one('pos_out', restorable_position)}.SCALE")

    @QUICK
    @given(st.floats(allow_nan=False, allow_subnormal=False))
    def every(value: float) -> None:
        control.ok(f"{target}={value!r}")
        assert control.value(target) == printed(value)

    every()


def test_any_integer_is_kept_modulo_2_to_the_32(control, box: Survey, keep):
    target = keep(box.one("param uint", unlimited))

    @QUICK
    @given(st.integers(-(1 << 64) + 1, (1 << 64) - 1), st.sampled_from(["d", "#x", "+d"]))
    def every(value: int, form: str) -> None:
        control.ok(f"{target}={value:{form}}")
        assert control.value(target) == str(value % (1 << 32))

    every()


def test_enumerations_take_their_labels_only(control, box: Survey, keep):
    for target in box.targets("param enum", readable)[:3]:
        keep(target)
        labels = control.lines(f"*ENUMS.{target}")
        for label in labels:
            control.ok(f"{target}={label}")
            assert control.value(target) == label
        for text in ("", "0", f" {labels[0]}", f"{labels[0]} ", labels[0].swapcase(), "nothing"):
            if text not in labels:
                assert control.error(f"{target}={text}") == "Invalid enumeration value"
        assert control.value(target) == labels[-1]


def test_actions_take_nothing(control, box: Survey, keep):
    target = box.one("write action")
    assert control.error(f"{target}=1") == LEFT
    assert control.error(f"{target}= ") == LEFT
    keep.irreversible(target)
    control.ok(f"{target}=")


def test_a_written_value_cannot_be_read(control, box: Survey, keep):
    fields = [f for f in box.of("write") if f.subtype in {"uint", "int"}]
    if not fields:
        pytest.skip("this box has no write field with a number")
    for field in fields:
        target = field.instances[0]
        assert control.error(f"{target}=") == "Number missing"
        assert control.error(f"{target}=1x") == LEFT
        assert control.error(f"{target}?") == "Field not readable"
    keep.irreversible(fields[0].bare)
    replies = {control.ask(f"{field.instances[0]}=1") for field in fields}
    # such a field may be served by a process that is not there
    assert replies <= {"OK", "ERR Extension server exception"}
    assert "OK" in replies


@pytest.mark.parametrize(("info", "bits"), [("time", 48), ("param time", 32)])
@pytest.mark.parametrize("units", UNITS)
def test_times_are_whole_ticks(control, box: Survey, keep, info, bits, units):
    target = keep(box.one(info, readable))
    control.ok(f"{target}.UNITS={units}")
    assert control.value(f"{target}.UNITS") == units
    most = (1 << bits) - 3  # the very last ones may be a rounding error beyond the limit

    @QUICK
    @given(st.integers(0, most) | st.integers(0, 4).map(lambda n: n + 0.5))
    def every(ticks: float) -> None:
        text = repr(ticks / UNITS[units] / box.clock)
        # the server's order of operations
        expected = nearest(float(text) * (UNITS[units] * box.clock))
        control.ok(f"{target}={text}")
        raw = int(control.value(f"{target}.RAW"))
        assert abs(raw - expected) <= (1 if ticks > 1e6 else 0)
        assert control.value(target) == printed(raw / (UNITS[units] * box.clock))

    every()


@pytest.mark.parametrize(("info", "bits"), [("time", 48), ("param time", 32)])
def test_times_out_of_range(control, box: Survey, keep, info, bits):
    target = keep(box.one(info, readable))
    control.ok(f"{target}.UNITS=s")
    most = (1 << bits) - 2
    control.ok(f"{target}={most / box.clock:.17g}")
    assert control.value(f"{target}.RAW") == str(most)
    for text in (f"{(1 << bits) / box.clock:.17g}", "-1", "nan", "inf", "-1e-9", "1e300"):
        assert control.error(f"{target}={text}") == "Time setting out of range", text
    assert control.value(f"{target}.RAW") == str(most)
    for text, error in (("", "Number missing"), ("1 s", LEFT), ("1e400", RANGE)):
        assert control.error(f"{target}={text}") == error


@pytest.mark.parametrize("info", ["time", "param time"])
def test_half_a_tick_rounds_up(control, box: Survey, keep, info):
    target = keep(box.one(info, readable))
    control.ok(f"{target}.UNITS=s")
    for ticks, raw in ((0.49, 0), (0.51, 1), (1.49, 1), (1.51, 2)):
        control.ok(f"{target}={ticks / box.clock:.17g}")
        assert control.value(f"{target}.RAW") == str(raw)


@pytest.mark.parametrize(("info", "bits"), [("time", 64), ("param time", 32)])
def test_ticks_have_no_range_but_that_of_their_register(control, box: Survey, keep, info, bits):
    target = keep(box.one(info, readable))
    for text, value in (("5", 5), (f"{1 << 48}", 1 << 48), ("-1", -1), ("0x10", 16)):
        control.ok(f"{target}.RAW={text}")
        assert control.value(f"{target}.RAW") == str(value % (1 << bits))
    assert control.error(f"{target}.RAW=1.5") == LEFT
    assert control.error(f"{target}.RAW=") == "Number missing"
    for text in ("", "S", "m", "ns", "s ", "1"):
        assert control.error(f"{target}.UNITS={text}") == "Invalid time units"


def test_units_change_the_reading_and_not_the_ticks(control, box: Survey, keep):
    target = keep(box.one("time", readable))
    control.ok(f"{target}.RAW={box.clock}")
    for units, shown in (("min", "0.01666666667"), ("s", "1"), ("ms", "1000"), ("us", "1000000")):
        control.ok(f"{target}.UNITS={units}")
        assert control.value(f"{target}.RAW") == str(box.clock)
        assert control.value(target) == shown


def test_scalars_are_scaled_integers(control, box: Survey, keep):
    for target in box.targets("read scalar", readable)[:5]:
        raw = int(control.value(f"{target}.RAW"))
        scale, offset = (float(control.value(f"{target}.{k}")) for k in ("SCALE", "OFFSET"))
        assert math.isclose(
            float(control.value(target)), scale * raw + offset, rel_tol=0.2, abs_tol=abs(scale) * 99
        )
        assert control.error(f"{target}.RAW=1") == "Register cannot be written"
        assert control.error(f"{target}.SCALE=1") == "Attribute not writeable"
        assert control.error(f"{target}=1") == "Field not writeable"
    target = keep(box.one("param scalar", readable))
    scale, offset = (float(control.value(f"{target}.{k}")) for k in ("SCALE", "OFFSET"))
    for raw in (0, 1, -1, 1000, 2147483647, -2147483648):
        control.ok(f"{target}.RAW={raw}")
        assert control.value(f"{target}.RAW") == str(raw)
        assert control.value(target) == printed(scale * raw + offset)
        control.ok(f"{target}={scale * raw + offset:.17g}")
        assert control.value(f"{target}.RAW") == str(raw)
    for text in ("nan", "inf", repr(scale * 2.0**32 + offset)):
        assert control.error(f"{target}={text}") == "Value out of range"


def test_raw_scaled_and_position_agree(control, box: Survey, keep):
    """SCALED is of the last snapshot, which a pipelined reading has just taken."""
    target = box.one("pos_out", restorable_position)
    keep(f"{target}.SCALE", f"{target}.OFFSET")

    @QUICK
    @given(SCALES, SCALES)
    def every(scale: float, offset: float) -> None:
        control.ok(f"{target}.SCALE={scale!r}")
        control.ok(f"{target}.OFFSET={offset!r}")
        raw, scaled = control.ask_all([f"{target}?", f"{target}.SCALED?"])
        value = int(str(raw).removeprefix("OK ="))
        assert struct.pack("<i", value)
        if value == 0:
            assert scaled == f"OK ={printed(scale * value + offset)}"

    every()
    assert control.error(f"{target}.SCALED=1") == "Attribute not writeable"
