"""Columns scaled together have, bit for bit, what each would have alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.linear import LinearColumn, LinearColumns

TYPES = ("<i4", "<u4", "<i8")
FACTORS = st.sampled_from([1.0, -1.0, 0.0, -0.0, 0.5, 1e-3, 8e-9, math.inf, -math.inf, math.nan])


@st.composite
def records(draw):
    """Return records, a choice of their fields in order, and a count of each row."""
    kinds = draw(st.lists(st.sampled_from((*TYPES, "(3,)<u4")), min_size=1, max_size=8))
    record = np.dtype([(str(number), kind) for number, kind in enumerate(kinds)])
    rows = draw(st.integers(1, 5))
    size = record.itemsize * rows
    data = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), record)
    columns = [
        LinearColumn(str(number), draw(FACTORS), draw(FACTORS), draw(st.booleans()))
        for number, kind in enumerate(kinds)
        if kind in TYPES and draw(st.booleans())
    ]
    count = np.array(draw(st.lists(st.integers(0, 2**32 - 1), min_size=rows, max_size=rows)))
    return data, columns, count.astype(np.uint32)


def alone(value: int, count: int, column: LinearColumn) -> float:
    """Compute one value as the server does: left to right, in doubles."""
    scaled = np.float64(value) * np.float64(column.scale)
    if column.averaged:
        scaled = scaled / np.float64(count) if count else np.float64(math.nan)
    return scaled + np.float64(column.offset)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the decoder sees to infinite scales
@given(records())
def test_together_is_as_alone(drawn):
    data, columns, count = drawn
    linear = LinearColumns(data.dtype, columns)
    # Rows of a larger matrix, as they are when blocks are decoded
    out = np.full((len(columns), len(data) + 3), 77.0)
    linear.compute(data, count, out[:, 1 : len(data) + 1])
    assert len(linear) == len(columns)
    for row, column in enumerate(columns):
        wanted = [
            alone(int(value), int(n), column)
            for value, n in zip(data[column.key], count, strict=True)
        ]
        found = out[row, 1:-2]
        assert np.array_equal(found, wanted, equal_nan=True)
        real = ~np.isnan(found)
        assert np.array_equal(np.signbit(found[real]), np.signbit(np.array(wanted)[real]))
    assert (out[:, [0, -2, -1]] == 77).all()


def test_neighbours_of_one_type_are_taken_together_and_no_others():
    record = np.dtype(
        [(str(n), kind) for n, kind in enumerate(("<i4", "<i4", "<u4", "<i4", "<i4"))]
    )
    columns = [LinearColumn(key, 1.0, 0.0) for key in "0134"]
    data = np.array([(1, 2, 3, 4, 5), (6, 7, 8, 9, 10)], record)
    out = np.empty((4, 2))
    LinearColumns(record, columns).compute(data, np.zeros(0, np.uint32), out)
    assert out.tolist() == [[1, 6], [2, 7], [4, 9], [5, 10]]
