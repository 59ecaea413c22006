"""What type a value has towards ophyd-async, and how annotations are held against the box."""

from __future__ import annotations

import logging
from enum import Enum
from typing import Any

import numpy as np
import pytest
from ophyd_async.core import StrictEnum, SubsetEnum, SupersetEnum, Table
from ophyd_async.fastcs.panda import PandaBitMux, PandaTimeUnits, SeqTable

from panda_ophyd.channels import ChannelInfo
from panda_ophyd.datatypes import check_declared, converter, datatype_of

EDGES = ("Rising", "Falling", "Either")


def test_a_plain_kind_is_its_own_type():
    assert datatype_of("X", ChannelInfo(kind=float)) is float


def test_choices_that_are_all_there_are_make_a_strict_enum():
    made: Any = datatype_of("Trig", ChannelInfo(kind=str, choices=EDGES))
    assert issubclass(made, StrictEnum)
    assert [member.value for member in made] == list(EDGES)


def test_choices_that_are_suggestions_make_a_subset_enum():
    made = datatype_of("Cap", ChannelInfo(kind=str, choices=("No", "Value"), strict=False))
    assert issubclass(made, SubsetEnum)


def test_the_same_choices_are_one_enum():
    first = datatype_of("A", ChannelInfo(kind=str, choices=EDGES))
    assert datatype_of("B", ChannelInfo(kind=str, choices=EDGES)) is first


@pytest.mark.parametrize("choices", [("a b", "a-b", "a_b"), ("1", "2"), ("", "x"), ("=>", "<=")])
def test_any_labels_make_an_enum_with_as_many_members(choices):
    made: Any = datatype_of("Odd", ChannelInfo(kind=str, choices=choices))
    assert tuple(member.value for member in made) == choices


def test_a_table_has_its_columns():
    info = ChannelInfo(kind="table", columns={"position": np.dtype(np.int32), "mode": ("A", "B")})
    made = datatype_of("Pgen", info)
    assert issubclass(made, Table)
    assert set(made.model_fields) == {"position", "mode"}


def test_an_annotation_that_fits_says_nothing(caplog):
    units = ("min", "s", "ms", "us")
    check_declared("x", PandaTimeUnits, ChannelInfo(kind=str, choices=units))
    check_declared("x", PandaBitMux, ChannelInfo(kind=str, choices=("A", "ZERO", "ONE")))
    check_declared("x", float, ChannelInfo(kind=int))
    check_declared("x", SeqTable, ChannelInfo(kind="table"))
    assert caplog.text == ""


class SomeOf(SupersetEnum):
    A = "A"
    B = "B"


@pytest.mark.parametrize(
    ("declared", "choices"),
    [(PandaTimeUnits, ("s", "ns")), (PandaBitMux, ("A",)), (SomeOf, ("A", "C"))],
)
def test_choices_that_differ_are_one_warning_and_no_error(declared, choices, caplog):
    with caplog.at_level(logging.WARNING):
        check_declared("panda://p/X.Y", declared, ChannelInfo(kind=str, choices=choices))
    assert caplog.text.count("panda://p/X.Y") == 1


@pytest.mark.parametrize(
    ("declared", "kind"), [(int, float), (bool, int), (str, float), (PandaTimeUnits, int)]
)
def test_an_annotation_of_another_kind_is_refused(declared, kind):
    with pytest.raises(TypeError, match="X"):
        check_declared("panda://p/X.Y", declared, ChannelInfo(kind=kind))


def test_a_label_the_enum_does_not_know_stays_the_text_it_is():
    convert = converter(PandaTimeUnits)
    assert convert("us") is PandaTimeUnits.US
    assert convert("ns") == "ns"
    assert not isinstance(convert("ns"), Enum)


def test_a_column_the_box_has_not_reads_as_empty_with_a_warning(caplog):
    table = converter(SeqTable)({"repeats": np.array([1], np.uint16), "trigger": ["Immediate"]})
    assert list(table.repeats) == [1]
    assert len(table.time1) == 0
    assert "time1" in caplog.text
