from __future__ import annotations

import numpy as np
import pytest

from panda_ophyd.writers import Dataset, Role
from panda_ophyd.writers.nexus import default_plot, nexus_name

KINDS = {
    "bits": Role.WORD,
    "x": Role.POSITION,
    "y": Role.POSITION,
    "count": Role.SIGNAL,
    "sum": Role.SIGNAL,
    "stamp": Role.STAMP,
    "bit": Role.BIT,
    "time": Role.TIME,
}


def plot(*names):
    return default_plot([Dataset(n, np.dtype(float), 8, {}, KINDS[n]) for n in names])


@pytest.mark.parametrize(
    ("names", "signal", "axis", "more"),
    [
        (("bits", "x", "count", "sum", "stamp", "time"), "count", "stamp", ["x", "sum"]),
        (("x", "count", "y", "time"), "count", "x", ["y"]),
        (("x", "stamp"), "x", "stamp", None),
        (("x", "y"), "y", "x", None),
        (("bits", "bit", "stamp"), "bits", "stamp", None),
        (("count",), "count", ".", None),
        (("stamp", "time"), "stamp", ".", None),
        (("x",), "x", ".", None),
    ],
)
def test_what_was_measured_is_plotted_over_time_or_position(names, signal, axis, more):
    found = plot(*names)
    assert found.attributes["NX_class"] == "NXdata"
    assert found.attributes["signal"] == signal
    assert found.attributes["axes"] == [axis]
    assert found.attributes.get("auxiliary_signals") == more
    assert dict(found.links) == {name: name for name in names}
    for name in {axis, "time"} & set(names):
        assert found.attributes[f"{name}_indices"] == 0


def test_nothing_is_plotted_of_nothing():
    assert default_plot([]).attributes == {"NX_class": "NXdata"}


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("COUNTER1.OUT.Mean", "COUNTER1_OUT_Mean"),
        ("x-min", "x_min"),
        ("bits µ", "bits__"),
        ("", "_"),
    ],
)
def test_links_have_names_that_nexus_allows(name, allowed):
    assert nexus_name(name) == allowed


def test_two_names_that_become_the_same_are_told_apart():
    datasets = [Dataset(n, np.dtype(float), 8, {}) for n in ("a-b", "a_b", "a.b")]
    assert dict(default_plot(datasets).links) == {"a_b": "a-b", "a_b_1": "a_b", "a_b_2": "a.b"}
