from __future__ import annotations

import struct

import numpy as np
import pytest

from panda_ophyd.capture.rows import FileRows, Meanings
from panda_ophyd.columns import ColumnDecoder
from panda_ophyd.data import CapturedField, CaptureStart
from panda_ophyd.errors import FieldValueError
from panda_ophyd.fields import BlockInfo, BoxInfo, FieldInfo
from panda_ophyd.fields.box import CaptureWord
from panda_ophyd.rowtime import NO_TIME
from panda_ophyd.writers import FileOptions, Role

START = "2026-11-22T08:08:30.727790791Z"
START_NS = 1795334910_727790791
BITS = CapturedField("PCAP.BITS0", "uint32", "Value", 1.0, 0.0, "", scaled=False)
POSITION = CapturedField("INENC1.VAL", "int32", "Value", 0.5, 10.0, "mm", scaled=True)
COUNTER = CapturedField("COUNTER1.OUT", "int32", "Value", 1.0, 0.0, "", scaled=True)
TRIG = CapturedField("PCAP.TS_TRIG", "int64", "Value", 8e-9, 0.0, "s", scaled=True)
BEGIN = CapturedField("PCAP.TS_START", "int64", "Value", 8e-9, 0.0, "s", scaled=True)
MEANINGS = Meanings(
    {"INENC1.VAL": "Where it is", "TTLIN1.VAL": "A plug"},
    {"PCAP.BITS0": ("TTLIN1.VAL", "", "µ", *[""] * 28, "SRGATE1.OUT")},
)


def header(*fields, start_time=START, offset=None, process="Raw"):
    return CaptureStart(fields, None, 0, process, "Framed", START, start_time, offset)


def begun(*fields, names=None, options=None, meanings=MEANINGS, **words):
    rows = FileRows(names or {}, options or FileOptions(), meanings)
    start = header(*fields, **words)
    rows.begin(ColumnDecoder(start), start, 0.0)
    return rows


def dataset(rows, name):
    (found,) = [d for d in rows.datasets if d.name == name]
    return found


class TestTime:
    def test_is_a_dataset_that_says_where_it_comes_from(self):
        rows = begun(POSITION, TRIG, offset=-16)
        time = dataset(rows, "absolute_time")
        assert (time.dtype, time.role) == (np.int64, Role.TIME)
        assert time.attributes["units"] == "ns"
        assert time.attributes["epoch"] == "1970-01-01T00:00:00Z"
        assert time.attributes["source"] == "start_time + hw_time_offset_ns + PCAP.TS_TRIG"
        assert time.attributes["start_time"] == START
        assert time.attributes["hw_time_offset_ns"] == -16
        assert time.attributes["missing"] == NO_TIME
        assert time.attributes["field"] == "PCAP.TS_TRIG"
        values = rows.decode(struct.pack("<iqiq", 1, 2, 3, 4))
        assert list(values) == [d.name for d in rows.datasets]
        assert values["absolute_time"].tolist() == [START_NS, START_NS + 16]
        assert values["PCAP.TS_TRIG.Value"].tolist() == [1.6e-8, 3.2e-8]

    def test_is_taken_from_the_gate_when_there_is_no_trigger(self):
        rows = begun(BEGIN)
        assert rows.time == "start_time + PCAP.TS_START"
        assert rows.decode(struct.pack("<qq", -1, 1))["absolute_time"].tolist() == [
            NO_TIME,
            START_NS + 8,
        ]

    def test_the_trigger_goes_before_the_gate(self):
        rows = begun(BEGIN, TRIG)
        assert rows.decode(struct.pack("<qq", -1, 1))["absolute_time"].tolist() == [START_NS + 8]

    @pytest.mark.parametrize(
        ("fields", "words", "why"),
        [
            ((POSITION,), {}, "no timestamp is captured; set PCAP.TS_TRIG to Value"),
            ((TRIG,), {"start_time": None}, "the PandA says no start_time"),
            ((TRIG,), {"options": FileOptions(time=False)}, "not asked for"),
            (
                (CapturedField("PCAP.TS_TRIG", "int64", "Value", 0.0, 0.0, "s", scaled=True),),
                {},
                "a tick of PCAP.TS_TRIG is 0.0 s",
            ),
            (
                (CapturedField("PCAP.TS_TRIG", "double", "Value", 8e-9, 0.0, "s", scaled=True),),
                {"process": "Scaled"},
                "no timestamp is captured",
            ),
        ],
    )
    def test_where_there_can_be_none_there_is_none_and_why(self, fields, words, why):
        rows = begun(*fields, **words)
        assert rows.time.startswith("none: ")
        assert why in rows.time
        assert [d.role for d in rows.datasets if d.role is Role.TIME] == []

    def test_an_unreadable_start_makes_rows_without_time_and_says_so(self):
        rows = FileRows({}, FileOptions())
        start = header(TRIG, start_time="soon")
        origin = rows.begin(ColumnDecoder(start), start, 0.0)
        assert origin.note == "none: start_time 'soon' is no time"
        assert rows.decode(struct.pack("<q", 3))["absolute_time"].tolist() == [NO_TIME]

    def test_never_takes_the_name_of_a_captured_dataset(self):
        rows = begun(POSITION, TRIG, names={("INENC1.VAL", "Value"): "absolute_time"})
        assert [d.name for d in rows.datasets] == [
            "absolute_time",
            "PCAP.TS_TRIG.Value",
            "absolute_time_1",
        ]
        values = rows.decode(struct.pack("<iq", 1, 2))
        assert values["absolute_time"].tolist() == [10.5]
        assert values["absolute_time_1"].tolist() == [START_NS + 16]

    def test_goes_on_over_acquisitions(self):
        rows = begun(TRIG)
        rows.decode(struct.pack("<q", 10))
        start = header(TRIG, start_time="2026-11-22T08:08:29.727790791Z")
        origin = rows.begin(ColumnDecoder(start), start, 2.0)
        assert origin.shift_ns == 3 * 10**9
        (time,) = rows.decode(struct.pack("<q", 0))["absolute_time"].tolist()
        assert time == START_NS + 2 * 10**9


class TestBits:
    def test_a_word_has_the_names_of_its_bits(self):
        rows = begun(BITS, POSITION)
        assert dataset(rows, "PCAP.BITS0.Value").attributes["bits"] == MEANINGS.bits["PCAP.BITS0"]
        assert "bits" not in dataset(rows, "INENC1.VAL.Value").attributes
        assert [d.role for d in rows.datasets] == [Role.WORD, Role.POSITION]

    def test_are_unpacked_on_request_under_their_own_names(self):
        rows = begun(BITS, options=FileOptions(bits=True), names={("PCAP.BITS0", "Value"): "µ"})
        assert [d.name for d in rows.datasets] == ["µ", "TTLIN1.VAL", "µ_1", "SRGATE1.OUT"]
        bit = dataset(rows, "SRGATE1.OUT")
        assert (bit.dtype, bit.role) == (np.bool_, Role.BIT)
        assert bit.attributes == {
            "field": "SRGATE1.OUT",
            "word": "PCAP.BITS0",
            "bit": 31,
            "capture": "Value",
        }
        assert dataset(rows, "TTLIN1.VAL").attributes["description"] == "A plug"
        values = rows.decode(struct.pack("<IIII", 0, 1, 4, 2**31 + 2))
        assert values["µ"].tolist() == [0, 1, 4, 2**31 + 2]
        assert values["TTLIN1.VAL"].tolist() == [False, True, False, False]
        assert values["µ_1"].tolist() == [False, False, True, False]
        assert values["SRGATE1.OUT"].tolist() == [False, False, False, True]
        assert all(values[d.name].dtype == d.dtype for d in rows.datasets)

    def test_nobody_knows_the_bits_of_a_box_that_was_not_asked(self):
        rows = begun(BITS, options=FileOptions(bits=True), meanings=Meanings({}, {}))
        assert [d.name for d in rows.datasets] == ["PCAP.BITS0.Value"]


def test_a_dataset_has_what_the_box_says_of_its_field():
    rows = begun(POSITION, COUNTER)
    assert dataset(rows, "INENC1.VAL.Value").attributes == {
        "field": "INENC1.VAL",
        "capture": "Value",
        "units": "mm",
        "scale": 0.5,
        "offset": 10.0,
        "description": "Where it is",
    }
    assert "description" not in dataset(rows, "COUNTER1.OUT.Value").attributes


def test_what_a_box_says_of_its_fields_is_found_by_their_names_on_the_wire():
    def field(name, description):
        return FieldInfo(name, "pos_out", "", 0, description=description)

    box = BoxInfo(
        "4.1",
        blocks=(
            BlockInfo("COUNTER", 2, "", (field("OUT", "Count"), field("X", ""))),
            BlockInfo("PCAP", 1, "", (field("TS_TRIG", "Stamp"),)),
        ),
        capture_words=(CaptureWord("PCAP.BITS0", ("A.OUT", "")),),
    )
    assert Meanings.of(box) == Meanings(
        {"COUNTER1.OUT": "Count", "COUNTER2.OUT": "Count", "PCAP.TS_TRIG": "Stamp"},
        {"PCAP.BITS0": ("A.OUT", "")},
    )


def test_every_dataset_has_the_chunk_that_was_asked_for():
    options = FileOptions(bits=True, chunk=77)
    assert {d.chunk for d in begun(BITS, POSITION, TRIG, options=options).datasets} == {77}
    with pytest.raises(FieldValueError, match="rows per chunk"):
        FileOptions(chunk=0)
