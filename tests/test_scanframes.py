"""Scans to frames in counts, whole or in batches, from any frame, with or without a region."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scanspec.core import Path  # pyright: ignore[reportMissingTypeStubs]
from scanspec.specs import Fly, Linspace  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.errors import FieldValueError
from panda_ophyd.regions import Circle, Rectangle
from panda_ophyd.scanframes import AxisScale, batches, frames_of
from panda_ophyd.sequences import Frames

SLIDE = Fly(0.4 @ (Linspace("y", 2.1, 3.8, 12) * ~Linspace("x", 0.5, 1.5, 10)))
SCALES = {"x": AxisScale(0.001, 0.25), "y": AxisScale(-0.5)}
CIRCLE = Circle("x", "y", 1.0, 2.8, 0.5)


def joined(parts: list[Frames]) -> dict[str, list[float]]:
    columns = {
        f"{what} {axis}": np.concatenate([getattr(part, what)[axis] for part in parts]).tolist()
        for what in ("lower", "midpoint", "upper")
        for axis in "xy"
    }
    columns["gap"] = np.concatenate([part.gap for part in parts]).tolist()
    columns["duration"] = np.concatenate([part.duration for part in parts]).tolist()
    return columns


def test_positions_are_in_counts_of_each_axis():
    (frames,) = batches(SLIDE, SCALES)
    part = Path(SLIDE.calculate()).consume()
    assert frames.lower["x"] == pytest.approx((part.lower["x"] - 0.25) / 0.001)
    assert frames.upper["y"] == pytest.approx(part.upper["y"] / -0.5)
    assert frames.duration.tolist() == [0.4] * 120


@given(st.integers(1, 130), st.sampled_from([None, CIRCLE]))
def test_the_size_of_batches_changes_no_frame(size, region):
    whole = joined(list(batches(SLIDE, SCALES, region=region)))
    parts = list(batches(SLIDE, SCALES, size=size, region=region))
    assert joined(parts) == whole
    assert all(0 < len(part) <= size for part in parts)


@given(st.integers(0, 43), st.integers(1, 130), st.sampled_from([None, CIRCLE]))
def test_a_resumed_scan_goes_on_with_the_next_frame_taken(start, size, region):
    whole = joined(list(batches(SLIDE, SCALES, region=region)))
    rest = joined(list(batches(SLIDE, SCALES, size=size, start=start, region=region)))
    expected = {name: column[start:] for name, column in whole.items()}
    expected["gap"][0] = True
    assert rest == expected


def test_what_follows_a_dropped_frame_opens_a_window():
    def without_the_third(points):
        return np.abs(points["x"] - 3) > 0.1

    line = Fly(0.1 @ Linspace("x", 1, 5, 5))
    for size in (1, 2, 3, 5):
        parts = list(batches(line, {}, size=size, region=without_the_third))
        assert np.concatenate([part.gap for part in parts]).tolist() == [True, False, True, False]


def test_the_first_frame_always_opens_a_window():
    frames = next(batches(SLIDE, SCALES, start=3))
    assert frames.gap[:7].tolist() == [True] + [False] * 6


def test_an_axis_may_be_a_device():
    class Device:
        name = "stage-x"

    x = Device()
    spec = Fly(0.1 @ Linspace(x, 1, 5, 5))
    frames = next(batches(spec, {x: AxisScale(0.5)}, region=Rectangle(x, "stage-x", 2, 0, 4, 9)))
    assert frames.midpoint["stage-x"].tolist() == [4, 6, 8]


def test_a_spec_without_duration_needs_one():
    part = Path(Linspace("x", 1, 5, 5).calculate()).consume()
    with pytest.raises(FieldValueError, match="the spec has none"):
        frames_of(part, {})
    assert frames_of(part, {}, duration=0.5).duration.tolist() == [0.5] * 5
    with pytest.raises(FieldValueError, match="one of its own"):
        next(batches(SLIDE, {}, duration=0.5))


@pytest.mark.parametrize("options", [{"start": 121}, {"start": -1}, {"size": 0}])
def test_frames_that_are_not_there_are_refused(options):
    with pytest.raises(FieldValueError):
        list(batches(SLIDE, SCALES, **options))


def test_a_start_beyond_the_region_is_refused():
    assert list(batches(SLIDE, SCALES, start=44, region=CIRCLE)) == []
    with pytest.raises(FieldValueError, match="only 44 frames"):
        list(batches(SLIDE, SCALES, start=45, region=CIRCLE))


def test_an_axis_that_the_scan_does_not_have_is_named():
    with pytest.raises(FieldValueError, match="the scan has y, x"):
        next(batches(SLIDE, SCALES, region=Circle("z", "y", 0, 0, 1)))


@pytest.mark.parametrize(
    "refused",
    [
        lambda: AxisScale(0),
        lambda: AxisScale(1, float("nan")),
        lambda: Circle("x", "y", 0, 0, 0),
        lambda: Rectangle("x", "y", 1, 0, 0, 1),
    ],
)
def test_numbers_that_mean_nothing_are_refused(refused):
    with pytest.raises(FieldValueError):
        refused()
