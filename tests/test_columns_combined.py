"""Every set of capture options at once, against the same sums in exact integers.

The encoder below is written from protocol.md 8.5 and appendix C alone.
"""

from __future__ import annotations

import itertools
import math
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panda_ophyd.columns import ColumnDecoder
from panda_ophyd.data import CapturedField, CaptureStart

OPTIONS = ("Value", "Diff", "Sum", "Min", "Max", "Mean", "StdDev")
SUBSETS = [options for size in range(1, 8) for options in itertools.combinations(OPTIONS, size)]
SCALES = {"INENC1.VAL": (0.5, 10.0), "COUNTER1.OUT": (-3.0, 0.0)}
WORD = st.integers(-(2**31), 2**31 - 1)
GATED = st.lists(WORD, max_size=6)
"""Values while the gate was open, none at all among them."""
ROWS = st.lists(st.fixed_dictionaries(dict.fromkeys(SCALES, GATED)), max_size=6)


def equal_counts(rows):
    """Both fields see the same gate."""
    counts = [min(map(len, row.values())) for row in rows]
    return [{name: v[:n] for name, v in row.items()} for row, n in zip(rows, counts, strict=True)]


def quantity(values, option):
    """What the hardware adds up of the values of one row."""
    first, last = (values[0], values[-1]) if values else (0, 0)
    return {
        "Value": last,
        "Diff": max(min(last - first, 2**31 - 1), -(2**31)),
        "Sum": sum(values),
        "Mean": sum(values),
        "Min": min(values, default=2**31 - 1),
        "Max": max(values, default=-(2**31)),
        "StdDev": sum(value * value for value in values),
    }[option]


def layout(captured, *, count_wanted):
    """The header's columns in the order of the bytes: (field, option, type)."""
    averaged = any({"Mean", "StdDev"} & set(options) for options in captured.values())
    count = ("PCAP.GATE_DURATION", "Value", "int32")
    columns: list[tuple[str, str, str]] = [count] if averaged and not count_wanted else []
    columns.append(("PCAP.BITS0", "Value", "uint32"))
    groups = (("Value", "Diff", "Min", "Max"), "int32"), (("Sum",), "int64")
    for group, kind in groups:
        for field, options in captured.items():
            columns += [(field, o, kind) for o in OPTIONS if o in options and o in group]
        if count_wanted and kind == "int32":
            columns.append(count)
    for field, options in captured.items():
        if "Mean" in options and "StdDev" not in options:
            columns.append((field, "Mean", "int64"))
    for field, options in captured.items():
        if "StdDev" in options:
            columns += [(field, "Mean", "int64"), (field, "StdDev", "int96")]
    return columns


def header(columns):
    fields = tuple(
        CapturedField(
            name, kind, option, *SCALES.get(name, (8e-9, 0.0)), units="",
            scaled=name != "PCAP.BITS0",
        )
        for name, option, kind in columns
    )  # fmt: skip
    size = sum({"int64": 8, "int96": 12}.get(kind, 4) for *_, kind in columns)
    return CaptureStart(fields, size, 0, "Raw", "Framed", None, None, None)


def encoded(columns, rows):
    out = b""
    for row in rows:
        count = len(next(iter(row.values())))
        for name, option, kind in columns:
            if name in row:
                value = quantity(row[name], option)
            else:
                value = count if name == "PCAP.GATE_DURATION" else 0xF000000F
            if kind == "int96":
                out += value.to_bytes(12, "little")
            else:
                out += struct.pack({"int32": "<i", "uint32": "<I", "int64": "<q"}[kind], value)
    return out


def exactly(values, option, scale, offset):
    """The scaled value: one rounding where the server has several."""
    if option == "Mean":
        return scale * sum(values) / len(values) + offset if values else math.nan
    if option == "StdDev":
        if not values:
            return math.nan
        n = len(values)
        variance = Fraction(quantity(values, option), n) - Fraction(sum(values), n) ** 2
        return scale * math.sqrt(variance)
    return scale * quantity(values, option) + offset


@pytest.mark.parametrize("options", SUBSETS, ids=" ".join)
@settings(max_examples=10)
@given(rows=ROWS, others=st.sampled_from([(), *SUBSETS]), count_wanted=st.booleans())
def test_any_options_of_two_fields(options, others, rows, count_wanted):
    rows = equal_counts(rows)
    captured = {"INENC1.VAL": options, "COUNTER1.OUT": others}
    columns = layout(captured, count_wanted=count_wanted)
    asked = {(field, o) for field, chosen in captured.items() for o in chosen}
    asked |= {("PCAP.BITS0", "Value")}
    asked |= {("PCAP.GATE_DURATION", "Value")} if count_wanted else set()
    decoder = ColumnDecoder(header(columns), asked)
    assert {(column.field, column.capture) for column in decoder.columns} == asked
    found = decoder.decode(encoded(columns, rows))
    for field, option in asked - {("PCAP.BITS0", "Value"), ("PCAP.GATE_DURATION", "Value")}:
        scale, offset = SCALES[field]
        expected = [exactly(row[field], option, scale, offset) for row in rows]
        np.testing.assert_allclose(found[f"{field}.{option}"], expected, rtol=1e-14, atol=0)
    assert found["PCAP.BITS0.Value"].tolist() == [0xF000000F] * len(rows)
    if count_wanted:
        counts = [len(row["INENC1.VAL"]) * 8e-9 for row in rows]
        assert found["PCAP.GATE_DURATION.Value"].tolist() == counts
