"""Encoder lines are the same whether somebody listens to them or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import Bench

_LINES = [Bench.source(f"INENC{number}.{line}") for number in (1, 2) for line in "AB"]
_WORDS = [0x270 + 16 * word for word in range(4)]
"""Capture list entries of BITS0 … BITS3."""

TICKS = st.integers(1, 400) | st.integers(400, 40_000)
DOINGS = st.one_of(
    st.tuples(st.just("move"), st.sampled_from("xy"), st.integers(-30, 30)),
    st.tuples(st.just("stop"), st.sampled_from("xy")),
    st.tuples(st.just("protocol"), st.integers(0, 1)),
    st.tuples(st.just("plug"), st.sampled_from("xy")),
)


def _captured(doings, *, listened: bool) -> list[list[bool]]:
    bench = Bench()
    bench.set("CLOCK", PERIOD=100, ENABLE="ONE")
    if listened:
        bench.set("LUT", INPA="INENC1.A", INPB="INENC1.B", INPC="INENC2.A", INPD="INENC2.B")
    else:
        bench.set("LUT", INPA=0, INPB=0, INPC=0, INPD=0)
    bench.set("PCAP", ENABLE="ONE", TRIG="CLOCK1.OUT")
    sink = bench.sink()
    bench.fabric.arm(_WORDS, sink)
    for ticks, (doing, *how) in doings:
        bench.run(ticks)
        axis = bench.world.axes.get(str(how[0]))
        if axis and doing == "move":
            axis.velocity = 50.0
            axis.acceleration = 100_000.0
            axis.move(how[1] / 1000)
        elif axis and doing == "stop":
            axis.stop()
        elif doing == "protocol":
            bench.set("INENC", PROTOCOL=how[0])
        else:
            bench.world.connect(how[0], 1, 3000.0)
    bench.run(10_000)
    words = np.frombuffer(sink.data, "<u4").reshape(-1, len(_WORDS))
    return [[bool(row[index // 32] >> index % 32 & 1) for index in _LINES] for row in words]


@settings(max_examples=60, deadline=None)
@given(doings=st.lists(st.tuples(TICKS, DOINGS), min_size=1, max_size=8))
def test_lines_are_captured_as_if_somebody_listened(doings):
    assert _captured(doings, listened=False) == _captured(doings, listened=True)


def test_lines_of_an_axis_that_moves_are_captured_while_it_does():
    doings = [(3000, ("move", "x", 20)), (200_000, ("stop", "x"))]
    rows = _captured(doings, listened=False)
    assert len({tuple(row[:2]) for row in rows}) == 4
    assert {tuple(row[2:]) for row in rows} == {(False, False)}


@pytest.mark.parametrize("index", [{}, {"index": 7}, {"index": -3, "index_every": 10}])
@pytest.mark.parametrize("protocol", [0, 1, 3])
def test_lines_at_many_ticks_are_those_at_each(bench, index, protocol):
    bench.world.connect("x", 1, 10_000.0, **index)
    bench.set("INENC", PROTOCOL=protocol)
    bench.run(10)
    axis = bench.world.axes["x"]
    axis.velocity, axis.acceleration = 50.0, 1e6
    axis.move(0.01)
    bench.run(1000)
    axis.move(-0.01)
    bench.run(100)
    encoder = bench.fabric._engine.wiring.instances["INENC", 1].behaviour
    ticks = np.arange(bench.fabric.tick - 300, bench.fabric.tick + 20_000, 7)
    each = [encoder.lines(tick) for tick in ticks.tolist()]
    assert encoder.all_lines(ticks).astype(int).tolist() == [list(levels) for levels in each]
    assert (len(set(each)) > 3) == (protocol == 0)
