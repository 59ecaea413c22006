"""Counts and positions, lines through readings, and what two that disagree are told."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.encoders import Encoder, disagreement, fit
from panda_ophyd.errors import FieldValueError

scales = st.floats(1e-7, 1e3).flatmap(lambda size: st.sampled_from([size, -size]))
places = st.floats(-1e5, 1e5)


@given(scale=scales, offset=places, count=st.integers(-(2**31), 2**31 - 1))
def test_a_count_is_the_nearest_to_its_own_position(scale, offset, count):
    encoder = Encoder("INENC1.VAL", scale, offset)
    # where the offset does not swallow the count: a quarter of it is still told
    if abs(offset) * 2e-16 > abs(scale) / 8 or abs(count * scale) * 2e-16 > abs(scale) / 8:
        return
    if count in {-(2**31), 2**31 - 1}:
        return  # rounding may leave 32 bits here
    assert encoder.nearest(encoder.position(count)) == count


@given(scale=scales, offset=places)
def test_arrays_are_converted_as_single_numbers_are(scale, offset):
    encoder = Encoder("INENC1.VAL", scale, offset)
    positions = np.array([-1.5, 0.0, 2.25])
    assert encoder.counts(positions).tolist() == [encoder.counts(x) for x in positions.tolist()]


def test_counts_are_rounded_to_the_nearest_and_never_towards_zero():
    encoder = Encoder("INENC1.VAL", 0.001)
    assert encoder.nearest(1.555556) == 1556
    assert encoder.nearest(-1.555556) == -1556


@pytest.mark.parametrize("scale", [0.0, math.nan, math.inf])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(FieldValueError, match=r"INENC1\.VAL\.SCALE"):
        Encoder("INENC1.VAL", scale)


def test_a_position_beyond_32_bits_is_refused_with_the_scale():
    with pytest.raises(FieldValueError, match="scale of 1e-09"):
        Encoder("INENC1.VAL", 1e-9).nearest(10.0)


@given(scale=st.floats(1e-5, 10), offset=st.floats(-100, 100), sign=st.sampled_from([1, -1]))
def test_a_line_is_found_again(scale, offset, sign):
    counts = [-100_000, 0, 250_000]
    encoder = Encoder("INENC1.VAL", sign * scale, offset)
    found = fit([encoder.position(count) for count in counts], counts)
    assert found.scale == pytest.approx(encoder.scale)
    assert found.offset == pytest.approx(offset, abs=1e-6 * scale * 1e5)
    assert found.worst <= 1e-6 * scale * 1e5 + 1e-9


def test_residuals_tell_a_position_off_the_line():
    found = fit([0, 1, 2, 3.5], [0, 10, 20, 30])
    assert found.worst == pytest.approx(0.2)
    assert sum(found.residuals) == pytest.approx(0)


def test_an_encoder_that_does_not_move_is_told():
    with pytest.raises(FieldValueError, match="the encoder did not move"):
        fit([0, 1], [5, 5], "INENC2.VAL")


def test_one_position_is_no_line():
    with pytest.raises(FieldValueError, match="two different"):
        fit([1, 1], [5, 6])


TRUE = Encoder("INENC1.VAL", 1e-3, 5.0, "mm")
TRAVEL = (0.0, 10.0, 20.0)
READ = tuple(TRUE.counts(place) for place in TRAVEL)


@pytest.mark.parametrize(
    ("scale", "offset", "message"),
    [
        (-1e-3, 5.0, "the sign is wrong: set SCALE to 0.001 and OFFSET to 5"),
        (2e-3, 5.0, "the scale is wrong: set SCALE to 0.001 and OFFSET to 5"),
        (-2e-3, 5.0, "the sign and the scale are wrong: set SCALE to 0.001"),
        (1e-3, 4.0, "the offset is wrong: set OFFSET to 5"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_set(scale, offset, message):
    wrong = Encoder("INENC1.VAL", scale, offset, "mm")
    assert message in disagreement(wrong, TRAVEL, READ, 2e-3)


def test_an_encoder_of_another_axis_fits_no_line():
    told = disagreement(TRUE, TRAVEL, (0, 9000, -500), 2e-3)
    assert "no scale and offset make them agree" in told


def test_at_one_place_offset_or_set_point_are_advised():
    told = disagreement(TRUE, (10.0,), (0.0,), 2e-3)
    assert "5 mm off" in told
    assert "set OFFSET to 10, or the encoder's set-point SETP to 5000" in told


def test_at_one_place_a_wrong_sign_may_show():
    told = disagreement(Encoder("INENC1.VAL", -1e-3), (10.0,), (10_000.0,), 2e-3)
    assert "set SCALE to 0.001" in told


def test_within_the_tolerance_nothing_is_wrong():
    assert disagreement(TRUE, (10.0015,), (5000,), 2e-3) == ""
    assert disagreement(TRUE, (10.0025,), (5000,), 2e-3) != ""
