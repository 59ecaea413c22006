"""A field makes the signals of its class, and its text means one value and one only."""

from __future__ import annotations

import math
from dataclasses import replace
from enum import Enum, StrEnum
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.errors import FieldValueError
from panda_ophyd.fields import (
    FIELD_CLASSES,
    Access,
    BlockInfo,
    BoxInfo,
    CaptureWord,
    FieldInfo,
    MetadataInfo,
    block_signals,
    codecs,
)
from panda_ophyd.tables import parse_fields

TRANSCRIPTS = Path(__file__).parent / "transcripts"
LAYOUT = parse_fields(["31:0 POSITION int"], 1, {}, max_words=8)
BITS = ("TTLIN1.VAL", "TTLIN2.VAL", "PCAP.ACTIVE")
BOX = BoxInfo(
    sw_version="4.1-3-gabc",
    bits=BITS,
    positions=("INENC1.VAL", "INENC2.VAL"),
    capture_words=(CaptureWord("PCAP.BITS0", ("TTLIN1.VAL", "", "PCAP.ACTIVE")),),
    capture_options=("Value", "Mean"),
    capture_choices=("No", "Value", "Mean"),
    metadata=(MetadataInfo("APPNAME", "constant", "an-app"), MetadataInfo("DESIGN", "string")),
)


def made(field, *, block="THING", count=2, number=2, box=BOX):
    info = BlockInfo(block, count, "A thing", (field,))
    return {spec.name: spec for spec in block_signals(box, info, number)}


def field_of(cls, subtype="", **details):
    return FieldInfo("SOME_FIELD", cls, subtype, 0, "What it does", **details)


def test_every_server_class_has_a_row():
    lines = (TRANSCRIPTS / "field_classes.txt").read_text().splitlines()
    registered = {tuple(([*line.split(), ""])[:2]) for line in lines}
    assert registered == set(FIELD_CLASSES)


ALL = [
    (("param", "uint"), {"": (Access.RW, int)}),
    (("param", "int"), {"": (Access.RW, int)}),
    (("param", "scalar"), {"": (Access.RW, float)}),
    (("param", "bit"), {"": (Access.RW, bool)}),
    (("param", "action"), {"": (Access.X, str)}),
    (("param", "lut"), {"": (Access.RW, str)}),
    (("param", "enum"), {"": (Access.RW, str)}),
    (("param", "time"), {"": (Access.RW, float), "_units": (Access.RW, str)}),
    (("read", "uint"), {"": (Access.R, int)}),
    (("read", "int"), {"": (Access.R, int)}),
    (("read", "scalar"), {"": (Access.R, float)}),
    (("read", "bit"), {"": (Access.R, bool)}),
    (("read", "action"), {}),
    (("read", "lut"), {"": (Access.R, str)}),
    (("read", "enum"), {"": (Access.R, str)}),
    (("read", "time"), {"": (Access.R, float), "_units": (Access.RW, str)}),
    (("write", "uint"), {"": (Access.RW, int)}),
    (("write", "int"), {"": (Access.RW, int)}),
    (("write", "scalar"), {"": (Access.RW, float)}),
    (("write", "bit"), {"": (Access.RW, bool)}),
    (("write", "action"), {"": (Access.X, str)}),
    (("write", "lut"), {"": (Access.RW, str)}),
    (("write", "enum"), {"": (Access.RW, str)}),
    (("write", "time"), {"": (Access.RW, float), "_units": (Access.RW, str)}),
    (("time", ""), {"": (Access.RW, float), "_units": (Access.RW, str)}),
    (("bit_out", ""), {"": (Access.R, bool)}),
    (
        ("pos_out", ""),
        {
            "": (Access.R, int),
            "_capture": (Access.RW, str),
            "_offset": (Access.RW, float),
            "_scale": (Access.RW, float),
            "_scaled": (Access.R, float),
            "_units": (Access.RW, str),
        },
    ),
    (("ext_out", "timestamp"), {"_capture": (Access.RW, str)}),
    (("ext_out", "samples"), {"_capture": (Access.RW, str)}),
    (("ext_out", "bits"), {"_capture": (Access.RW, str)}),
    (("bit_mux", ""), {"": (Access.RW, str), "_delay": (Access.RW, int)}),
    (("pos_mux", ""), {"": (Access.RW, str)}),
    (("table", ""), {"": (Access.RW, "table"), "_clear": (Access.X, "table")}),
]


@pytest.mark.parametrize(("kind", "signals"), ALL, ids=" ".join)
def test_each_class_makes_its_signals(kind, signals):
    details = {"labels": ("On", "Off")} if kind[1] == "enum" else {}
    details = {"layout": LAYOUT} if kind[0] == "table" else details
    specs = made(field_of(*kind, **details))
    assert {name: (spec.access, spec.codec.datatype) for name, spec in specs.items()} == {
        f"some_field{suffix}": what for suffix, what in signals.items()
    }
    for name, spec in specs.items():
        attribute = name.removeprefix("some_field_").upper()
        own = name == "some_field" or name.endswith("_clear")
        assert spec.target == "THING2.SOME_FIELD" + ("" if own else f".{attribute}")
        assert spec.description.startswith("What it does")


def test_the_table_of_classes_above_is_complete():
    assert {kind for kind, _ in ALL} == set(FIELD_CLASSES)


def test_a_block_alone_of_its_kind_has_no_number_on_the_wire():
    [spec] = made(field_of("param", "bit"), block="PCAP", count=1, number=1).values()
    assert spec.target == "PCAP.SOME_FIELD"


def test_fields_come_in_order_with_names_of_their_own():
    fields = (
        FieldInfo("VAL", "pos_out", "", 0),
        FieldInfo("VAL_UNITS", "param", "lut", 1),
        FieldInfo("Val", "param", "bit", 2),
        FieldInfo("1ST-THING", "odd", "", 3, problem="its name is not one"),
    )
    specs = block_signals(BOX, BlockInfo("THING", 1, "", fields), 1)
    names = {spec.name: spec.target for spec in specs}
    assert names == {
        "val": "THING.VAL",
        "val_capture": "THING.VAL.CAPTURE",
        "val_offset": "THING.VAL.OFFSET",
        "val_scaled": "THING.VAL.SCALED",
        "val_scale": "THING.VAL.SCALE",
        "val_units_attribute": "THING.VAL.UNITS",
        "val_units": "THING.VAL_UNITS",
        "val_": "THING.Val",
        "_1st_thing": "THING.1ST-THING",
    }


def test_a_bit_is_captured_with_its_word():
    field = FieldInfo("VAL", "bit_out", "", 0)
    specs = made(field, block="TTLIN", number=1)
    capture = specs["val_capture"]
    assert (capture.target, capture.codec.datatype) == ("PCAP.BITS0.CAPTURE", bool)
    assert capture.access is Access.RW
    assert capture.reported
    assert [capture.codec.encode(value) for value in (True, "No", "Value", 0)] == [
        "Value",
        "No",
        "Value",
        "No",
    ]
    assert capture.codec.decode("Value") is True
    assert capture.codec.decode("No") is False
    assert list(made(field, block="TTLIN", number=2)) == ["val"]


def test_a_time_is_in_the_units_that_its_units_signal_says():
    specs = made(field_of("time"))
    value, units = specs.values()
    assert value.units is None
    assert value.units_target == units.target == "THING2.SOME_FIELD.UNITS"
    assert (units.choices, units.strict) == (("min", "s", "ms", "us"), True)
    with pytest.raises(FieldValueError, match="takes 0 to inf"):
        value.codec.encode(-1e-9)


def test_what_the_server_reports_of_a_position():
    specs = made(field_of("pos_out"))
    assert [name for name, spec in specs.items() if not spec.reported] == ["some_field_scaled"]
    for name in ("offset", "scaled"):
        assert specs[f"some_field_{name}"].units_target == "THING2.SOME_FIELD.UNITS"
    capture = specs["some_field_capture"]
    assert (capture.choices, capture.strict) == (("No", "Value", "Mean"), False)
    assert capture.codec.encode("Mean Min") == "Mean Min"


def test_a_write_field_cannot_be_read_but_its_units_can():
    value, units = made(field_of("write", "time")).values()
    assert (value.readable, value.reported) == (False, False)
    assert (units.readable, units.reported) == (True, True)


def test_an_action_is_an_empty_assignment_whatever_it_is_given():
    [spec] = made(field_of("write", "action")).values()
    assert not spec.readable
    assert not spec.reported
    assert [spec.codec.encode(value) for value in (None, True, "1")] == ["", "", ""]
    with pytest.raises(FieldValueError, match="no value"):
        spec.codec.decode("1")


def test_a_mux_suggests_the_bus_and_the_constants():
    specs = made(field_of("bit_mux", maximum_delay=7))
    value, delay = specs.values()
    assert (value.choices, value.strict) == ((*BITS, "ZERO", "ONE"), False)
    assert (delay.limits, delay.units) == ((0, 7), "ticks")
    [position] = made(field_of("pos_mux")).values()
    assert position.choices == ("INENC1.VAL", "INENC2.VAL", "ZERO")
    assert made(field_of("bit_mux"))["some_field_delay"].limits == (0, 31)


def test_a_mux_refuses_what_is_not_on_the_box_with_what_is_near():
    value = made(field_of("bit_mux"))["some_field"]
    with pytest.raises(FieldValueError, match=r"no such source; 'PCAP.ACTIVE'"):
        value.codec.encode("PCAP1.ACTIVE")
    with pytest.raises(FieldValueError, match="'ZERO', 'ONE', for example"):
        value.codec.encode("")
    with pytest.raises(FieldValueError, match="the name of a source"):
        value.codec.encode(1)
    assert value.codec.encode("PCAP.ACTIVE") == "PCAP.ACTIVE"
    assert value.codec.decode("NEW1.SOURCE") == "NEW1.SOURCE"


def test_all_muxes_of_a_box_share_one_tuple_of_choices():
    first = made(field_of("bit_mux"))["some_field"]
    assert made(field_of("bit_mux"), number=1)["some_field"].choices is first.choices


def test_a_table_has_its_layout_and_says_its_mode_where_the_server_knows_one():
    specs = made(field_of("table", layout=LAYOUT, has_mode=True))
    assert list(specs) == [
        "some_field",
        "some_field_clear",
        "some_field_queued_lines",
        "some_field_mode",
    ]
    table = specs["some_field"]
    assert table.layout is LAYOUT
    text = table.codec.encode({"position": range(-3, 3)})
    assert table.codec.decode(text)["position"].tolist() == [-3, -2, -1, 0, 1, 2]
    assert table.codec.decode("")["position"].size == 0
    assert table.codec.encode({}) == ""
    with pytest.raises(FieldValueError, match="columns by name"):
        table.codec.encode([1, 2])


def test_a_table_without_layout_is_plain_text():
    [spec] = made(field_of("table")).values()
    assert spec.codec.datatype is str


def test_limits_of_numbers():
    assert made(field_of("param", "uint", maximum=63))["some_field"].limits == (0, 63)
    assert made(field_of("param", "uint"))["some_field"].limits == (0, 2**32 - 1)
    assert made(field_of("param", "int"))["some_field"].limits == (-(2**31), 2**31 - 1)


def test_a_scalar_has_the_limits_and_decimals_of_its_scale():
    [spec] = made(field_of("read", "scalar", scale=0.001, offset=5.0, units="deg")).values()
    assert spec.limits == pytest.approx((-2147483.648 + 5, 2147483.647 + 5))
    assert (spec.precision, spec.units) == (4, "deg")
    [spec] = made(field_of("read", "scalar", scale=-1000.0)).values()
    assert spec.precision == 0
    assert spec.limits == (-2147483647000, 2147483648000)
    [spec] = made(field_of("read", "scalar", scale=0.0)).values()
    assert spec.limits is None


def test_what_is_not_understood_is_plain_text():
    [spec] = made(field_of("gizmo", "odd", problem="unknown", readable=False)).values()
    assert (spec.access, spec.readable, spec.reported) == (Access.RW, False, False)
    assert spec.codec.decode("any thing") == "any thing"
    [spec] = made(field_of("read", "enum", problem="no labels")).values()
    assert (spec.access, spec.readable, spec.reported) == (Access.R, True, True)
    [spec] = made(field_of("gizmo")).values()
    assert spec.codec.datatype is str


class Whole(Enum):
    SEVEN = 7


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        ("7", "7"),
        ("007", "7"),
        ("+7", "7"),
        (7.0, "7"),
        ("7.0", "7"),
        (" 7", "7"),
        (True, "1"),
        (np.int32(7), "7"),
        (np.uint64(7), "7"),
        (np.float32(7), "7"),
        (np.bool_(True), "1"),
        (np.array(7), "7"),
        (Whole.SEVEN, "7"),
        (-0.0, "0"),
    ],
    ids=repr,
)
def test_whole_numbers_in_any_guise_are_plain_decimals(value, text):
    assert codecs.int_codec("X1.Y", 0, 63).encode(value) == text


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        "1.5",
        "",
        "1_0",
        "0x7",
        "seven",
        None,
        [7],
        np.array([7]),
        math.nan,
        math.inf,
        10**400,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(FieldValueError, match=r"X1\.Y cannot be"):
        codecs.int_codec("X1.Y", 0, 63).encode(value)


@pytest.mark.parametrize("value", [-1, 64, "64", 64.0, np.int64(-1)])
def test_a_number_out_of_limits_is_refused_with_the_limits(value):
    with pytest.raises(FieldValueError, match="it takes 0 to 63"):
        codecs.int_codec("X1.Y", 0, 63).encode(value)


@given(st.integers(-(2**31), 2**31 - 1))
def test_whole_numbers_survive(number):
    codec = codecs.int_codec("X", *codecs.INT_LIMITS)
    text = codec.encode(number)
    assert codec.decode(text) == number
    assert not text.lstrip("-").startswith("0") or number == 0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_real_numbers_survive_to_the_last_digit(number):
    codec = codecs.float_codec("X")
    assert codec.decode(codec.encode(number)) == number


@pytest.mark.parametrize(
    ("value", "number"), [(2, 2.0), ("0.5", 0.5), (np.float64(0.1), 0.1), ("1e-6", 1e-6)]
)
def test_real_numbers_in_any_guise_are_taken(value, number):
    assert float(codecs.float_codec("X").encode(value)) == number


@pytest.mark.parametrize(
    "value", [math.nan, -math.inf, "nan", "1_0", "1,5", "", None, [1.0], 1j, 10**400]
)
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(FieldValueError, match="finite numbers"):
        codecs.float_codec("X").encode(value)


def test_the_servers_reals_are_read_as_they_come():
    decode = codecs.float_codec("X", 0.0).decode
    assert [decode(text) for text in ("1e-07", "-0", "1.23456789e+10", "inf")] == [
        1e-7,
        0.0,
        12345678900,
        math.inf,
    ]
    assert math.isnan(decode("-nan"))


class Bit(Enum):
    ON = "1"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "1"),
        (0, "0"),
        (1.0, "1"),
        ("0", "0"),
        ("1", "1"),
        ("True", "1"),
        ("false", "0"),
        (np.bool_(False), "0"),
        (np.int8(1), "1"),
        (Bit.ON, "1"),
    ],
)
def test_bits_in_any_guise_are_0_or_1(value, text):
    codec = codecs.bit_codec("X")
    assert codec.encode(value) == text
    assert codec.decode(text) is (text == "1")


@pytest.mark.parametrize("value", [2, 0.5, "2", "on", "", None, [1], math.nan])
def test_what_is_no_bit_is_refused(value):
    with pytest.raises(FieldValueError, match="True or False"):
        codecs.bit_codec("X").encode(value)
    with pytest.raises(FieldValueError):
        codecs.bit_capture_codec("X").encode(value)


class Edge(StrEnum):
    RISING = "Rising"


@pytest.mark.parametrize("value", ["Rising", Edge.RISING, np.str_("Rising")])
def test_a_label_in_any_guise_is_itself(value):
    codec = codecs.enum_codec("X", ("Rising", "Falling"))
    text = codec.encode(value)
    assert (text, type(text)) == ("Rising", str)
    assert codec.decode("Falling") == "Falling"


def test_labels_that_are_numbers_can_be_given_as_numbers():
    assert codecs.enum_codec("X", ("0", "1")).encode(1) == "1"


@pytest.mark.parametrize("value", ["rising", "Rising ", "0", 0, 1.0, None, ["Rising"]])
def test_what_is_no_label_is_refused_with_the_labels(value):
    with pytest.raises(FieldValueError, match="it takes 'Rising', 'Falling'"):
        codecs.enum_codec("X", ("Rising", "Falling")).encode(value)


def test_text_is_kept_and_simple_values_become_text():
    codec = codecs.text_codec("X")
    assert [codec.encode(value) for value in ("A & B ", 0, np.str_("µm"))] == ["A & B ", "0", "µm"]
    for value in (None, ["a"], {"a": 1}):
        with pytest.raises(FieldValueError, match="it takes text"):
            codec.encode(value)


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        (codecs.int_codec("X", 0, 1), "1.0"),
        (codecs.int_codec("X", 0, 1), ""),
        (codecs.float_codec("X"), "(error)"),
        (codecs.bit_codec("X"), "2"),
        (codecs.bit_capture_codec("X"), "Mean"),
        (codecs.enum_codec("X", ("Rising",)), "Rising!"),
    ],
)
def test_a_reading_that_is_not_the_fields_is_refused_in_words(codec, text):
    with pytest.raises(FieldValueError, match="the box sent this"):
        codec.decode(text)


def test_a_box_survives_json():
    fields = (
        field_of("param", "enum", labels=("On", "Off")),
        field_of("table", layout=replace(LAYOUT, max_words=None), has_mode=True),
        field_of("read", "scalar", scale=0.5, offset=1.0, units="deg"),
    )
    box = replace(BOX, blocks=(BlockInfo("THING", 2, "A thing", fields),))
    again = BoxInfo.from_json(box.to_json())
    assert again == box
    assert hash(again) == hash(box)
    assert again.capture_word("PCAP.ACTIVE") == "PCAP.BITS0"
    assert again != replace(box, sw_version="4.2")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema":0}', '{"schema":1}', "null", '{"schema":1,"blocks":[1]}']
)
def test_text_that_is_no_box_is_refused(text):
    with pytest.raises(FieldValueError, match="box description"):
        BoxInfo.from_json(text)


def test_what_a_box_says_of_itself():
    assert BOX.version == (4, 1)
    assert replace(BOX, sw_version="unknown").version is None
    assert BOX.application == "an-app"
    assert replace(BOX, metadata=()).application == ""
    assert BOX.combines_captures
    assert not BOX.streams_tables
    streaming = BlockInfo("SEQ", 2, "", (field_of("table", layout=LAYOUT, has_mode=True),))
    box = replace(BOX, blocks=(streaming,))
    assert box.streams_tables
    assert box.block("SEQ") is streaming
    assert box.block("PGEN") is None
    assert box.capture_word("TTLIN2.VAL") is None
    assert box.capture_word("") is None
