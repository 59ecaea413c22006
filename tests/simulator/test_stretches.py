"""Ticks added up at once are those added up one by one."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from panda_simulator.behaviours import Inenc, Stretch, sum_of_floors
from panda_simulator.behaviours.stretches import add_up
from panda_simulator.encoders import Coarse, Encoder, Noisy
from panda_simulator.motion import ONE, Motion, moving

LAST = 400


def one_by_one(track, first: int, last: int) -> Stretch:
    values = [track.at(tick) for tick in range(first, last)]
    return Stretch(sum(values), min(values), max(values))


@given(
    count=st.integers(0, 50),
    start=st.integers(-(2**70), 2**70),
    step=st.integers(-(2**70), 2**70),
    divisor=st.integers(1, 2**70),
)
def test_floors_along_a_line_have_a_sum(count, start, step, divisor):
    expected = sum((start + step * i) // divisor for i in range(count))
    assert sum_of_floors(count, start, step, divisor) == expected


@st.composite
def motions(draw) -> Motion:
    motion = Motion(draw(st.integers(-50, 50)) * ONE)
    for tick in draw(st.lists(st.integers(0, LAST), max_size=3, unique=True).map(sorted)):
        target, speed = draw(st.integers(-50, 50)), draw(st.integers(ONE // 100, 3 * ONE))
        motion.replace(tick, moving(tick, motion.at(tick), target * ONE, speed, speed // 9))
    return motion


ENCODERS = {
    "plain": lambda encoder: encoder,
    "coarse": lambda encoder: Coarse(encoder, 3),
    "noisy": lambda encoder: Noisy(encoder, 2, period=7),
}


@pytest.mark.parametrize("kind", ENCODERS)
@settings(max_examples=60, deadline=None)
@given(
    motion=motions(),
    gain=st.floats(0.01, 3) | st.floats(-3, -0.01),
    offset=st.floats(-9, 9),
    first=st.integers(0, LAST),
    ticks=st.integers(1, LAST),
)
def test_a_moving_encoder_is_added_up(kind, motion, gain, offset, first, ticks):
    track = ENCODERS[kind](Encoder(motion, gain, offset))
    assume(first >= motion.pieces[0].tick)  # earlier ones are forgotten
    assert add_up(track, first, first + ticks) == one_by_one(track, first, first + ticks)


@settings(max_examples=60, deadline=None)
@given(
    motion=motions(),
    changes=st.lists(
        st.tuples(
            st.integers(0, 60),
            st.sampled_from(["SETP", "PROTOCOL", "BITS", "LSB_DISCARD", "FRAME_PERIOD"]),
            st.integers(-9, 9) | st.just(2**31 - 3),
        ),
        max_size=4,
        unique_by=lambda change: change[0],
    ).map(sorted),
    first=st.integers(0, 100),
    ticks=st.integers(1, LAST),
)
def test_val_is_added_up_over_changes_of_how_it_is_read(motion, changes, first, ticks):
    inenc = Inenc()
    inenc.connect(Encoder(motion, 1.0))
    for tick, register, value in changes:
        inenc.update(tick, {register: value & 0xFFFFFFFF})
    assume(first >= motion.pieces[0].tick)
    assert inenc.stretch(first, first + ticks) == one_by_one(inenc, first, first + ticks)


def test_sums_are_of_what_was_there_whatever_came_later(bench):
    bench.set("PCAP", ENABLE="ONE", GATE="ONE", TRIG="BITS1.OUTA")
    sink = bench.sink()
    bench.fabric.arm([0x02, 0x04, 0x05, 0x260], sink)
    armed = previous = bench.fabric.tick
    counts = expected = 0
    for position in range(50):
        bench.run(99)
        since = bench.fabric.tick
        bench.world.axes["x"].place(position)  # seen by PCAP from since + 2 on
        expected += counts * (since + 2 - previous)
        counts, previous = position * 10_000, since + 2
    bench.run(10)
    bench.set("BITS", A=1)
    expected += counts * (bench.fabric.tick + 1 - previous)
    bench.run(50)
    assert sink.rows(4) == [[expected, 0, 490_000, bench.fabric.tick - 49 - armed]]
