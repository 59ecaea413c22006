"""Tables play whole or as streams, and a stream that starves or overfills says so."""

from __future__ import annotations

import errno

import numpy as np
import pytest


def frame(outputs: int, ticks: int, repeats: int = 1) -> list[int]:
    return [repeats | outputs << 26, 0, 0, ticks]


def words(*lines: list[int]) -> np.ndarray:
    return np.array([word for line in lines for word in line], np.uint32)


def test_a_fixed_table_plays_and_is_queued_until_cleared(bench):
    table = words(frame(1, 1000, repeats=3), frame(0, 1000))
    bench.set("COUNTER", ENABLE="ONE", TRIG="SEQ1.OUTA")
    bench.set("SEQ", REPEATS=2, ENABLE="BITS1.OUTA")
    bench.fabric.write_table("SEQ", 1, table, streaming=False, last=True)
    bench.run(100)
    assert (bench.get("SEQ", "STATE"), bench.fabric.queued_words("SEQ", 1)) == (1, 8)
    bench.set("BITS", A=1)
    bench.run(10_000)
    assert bench.position("COUNTER1.OUT") == 2
    assert bench.get("SEQ", "TABLE_REPEAT") == 2
    bench.fabric.write_table("SEQ", 1, table[:0], streaming=False, last=True)
    bench.run(5)
    assert (bench.get("SEQ", "STATE"), bench.fabric.queued_words("SEQ", 1)) == (0, 0)


def test_a_stream_plays_all_its_segments_without_a_gap(bench):
    bench.set("COUNTER", ENABLE="ONE", TRIG="SEQ1.OUTA")
    bench.set("SEQ", ENABLE="BITS1.OUTA")
    segment = words(*([frame(1, 50), frame(0, 50)] * 10))
    for _ in range(8):
        bench.fabric.write_table("SEQ", 1, segment, streaming=True, last=False)
    with pytest.raises(OSError) as error:
        bench.fabric.write_table("SEQ", 1, segment, streaming=True, last=False)
    assert error.value.errno == errno.ENOMEM
    assert bench.fabric.queued_words("SEQ", 1) == 8 * len(segment)
    bench.run(5000)
    bench.set("BITS", A=1)
    bench.run(1500)
    bench.fabric.write_table("SEQ", 1, segment, streaming=True, last=True)
    with pytest.raises(OSError) as error:
        bench.fabric.write_table("SEQ", 1, segment, streaming=True, last=True)
    assert error.value.errno == errno.EPIPE
    bench.run(9000)
    assert bench.position("COUNTER1.OUT") == 90
    assert bench.get("SEQ", "HEALTH") == 0
    assert bench.fabric.queued_words("SEQ", 1) == 0


def test_a_starved_stream_underruns_until_it_is_cleared(bench):
    bench.set("SEQ", ENABLE="BITS1.OUTA")
    bench.fabric.write_table("SEQ", 1, words(frame(1, 50)), streaming=True, last=False)
    bench.run(100)
    bench.set("BITS", A=1)
    bench.run(100)
    assert (bench.get("SEQ", "HEALTH"), bench.get("SEQ", "STATE")) == (1, 0)
    with pytest.raises(OSError) as error:
        bench.fabric.write_table("SEQ", 1, words(frame(1, 50)), streaming=True, last=False)
    assert error.value.errno == errno.EPIPE
    bench.fabric.write_table("SEQ", 1, words(), streaming=False, last=True)
    bench.fabric.write_table("SEQ", 1, words(frame(1, 50)), streaming=True, last=False)
    bench.run(100)
    assert bench.get("SEQ", "STATE") == 1


def test_pgen_plays_positions(bench):
    bench.fabric.write_table(
        "PGEN", 1, np.array([70, 2**32 - 80], np.uint32), streaming=False, last=True
    )
    bench.set("PGEN", ENABLE="BITS1.OUTB", TRIG="BITS1.OUTA")
    bench.run(20)
    bench.set("BITS", B=1)
    for expected in (70, -80, 70):
        bench.run(5)
        bench.set("BITS", A=1)
        bench.run(5)
        assert bench.position("PGEN1.OUT") == expected
        bench.set("BITS", A=0)
