"""Tables for turns, played with their hand-overs, are the lines that were given."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.errors import FieldValueError
from panda_ophyd.loading.chunks import Chunk, Cutter
from panda_ophyd.loading.tables import TurnCutter

from .stage import batch, batches

HAND_OVER = 6

LINE = st.tuples(
    st.integers(1, 4),  # repeats
    st.integers(0, 3),  # time1
    st.integers(1, 20),  # time2
    st.sampled_from([0, 0, 0, 1]),  # outputs2
    st.booleans(),  # a frame for each repeat
)


class Drawn:
    """Lines as drawn."""

    def __init__(self, lines: list[tuple[int, int, int, int, bool]]) -> None:
        self.lines = lines
        repeats, one, two, _, framed = (np.array(column) for column in zip(*lines, strict=True))
        self.frames = np.where(framed, repeats, 0)
        self._ticks = (one + two) * repeats

    def __len__(self) -> int:
        return len(self.lines)

    def words(self):
        rows = [
            (repeats | 1 << 20 | out2 << 26, 0, one, two)
            for repeats, one, two, out2, _ in self.lines
        ]
        return np.array(rows, np.uint32).reshape(-1)

    def line_ticks(self, prescale: int = 1):
        return self._ticks * prescale


def played(chunk: Chunk, gap: int = 0) -> list[tuple[int, int]]:
    """Return what the outputs do: (outputs, ticks), and low for a gap at the end."""
    phases: list[tuple[int, int]] = []
    for first, _, one, two in chunk.words.reshape(-1, 4).tolist():
        phases += [(first >> 20 & 0x3F, one), (first >> 26, two)] * (first & 0xFFFF)
    return [*phases, (0, gap)]


def merged(phases: list[tuple[int, int]]) -> list[tuple[int, int]]:
    some = [phase for phase in phases if phase[1]]
    return [
        (outputs, sum(ticks for _, ticks in same))
        for outputs, same in groupby(some, key=lambda phase: phase[0])
    ]


def tables_of(cutter: TurnCutter) -> list[Chunk]:
    tables: list[Chunk] = []
    last = False
    while not last:
        table, last = cutter.next()
        tables.append(table)
    return tables


@given(st.lists(LINE, min_size=1, max_size=40), st.integers(3, 20), st.integers(1, 300))
def test_outputs_do_at_each_tick_what_they_would_do_in_one_table(lines, most, ticks):
    source = Cutter(iter([Drawn(lines)]))
    cutter = TurnCutter(source, "S", max_lines=most, least_ticks=ticks, hand_over=HAND_OVER)
    try:
        tables = tables_of(cutter)
    except FieldValueError:  # only where so many lines in a row cannot be the end of a table
        fits = [two > HAND_OVER and not out2 for _, _, two, out2, _ in lines]
        runs = [len(list(same)) for fit, same in groupby(fits) if not fit]
        assert max(runs, default=0) >= most - 1
        return
    whole = Chunk.of(Drawn(lines))
    gaps = [HAND_OVER] * (len(tables) - 1) + [0]
    phases = [phase for pair in zip(tables, gaps, strict=True) for phase in played(*pair)]
    assert merged(phases) == merged(played(whole))
    assert all(len(table) <= most for table in tables)
    assert all((table.words[::4] & 0xFFFF).all() for table in tables)
    assert all(table.repeats[-1] == 1 for table in tables[:-1])
    assert sum(table.total_frames for table in tables) == whole.total_frames
    assert sum(table.total_ticks for table in tables) == whole.total_ticks


def test_a_table_lasts_as_long_as_is_wanted_if_its_lines_allow_it():
    source = Cutter(batches(1000, each=70, ticks=100))
    cutter = TurnCutter(source, "S", max_lines=400, least_ticks=10_000, hand_over=HAND_OVER)
    assert [len(table) for table in tables_of(cutter)] == [100] * 10
    source = Cutter(batches(1000, each=70, ticks=100))
    cutter = TurnCutter(source, "S", max_lines=400, least_ticks=1_000_000, hand_over=HAND_OVER)
    assert [len(table) for table in tables_of(cutter)] == [400, 400, 200]


def test_lines_that_leave_no_place_for_the_hand_over_are_refused_with_their_numbers():
    cutter = TurnCutter(
        Cutter(batches(1000, ticks=12)), "SEQ1.TABLE", max_lines=10, least_ticks=1, hand_over=6
    )
    with pytest.raises(FieldValueError, match=r"SEQ1\.TABLE .*lines 1 to 10.* 6 ticks"):
        cutter.next()


def test_an_endless_line_can_only_be_the_end():
    endless = batch(3)
    endless.words = lambda: np.array([0, 0, 0, 9] * 3, np.uint32)  # type: ignore[method-assign]
    cutter = TurnCutter(
        Cutter(iter([batch(5), endless])), "S", max_lines=7, least_ticks=10**9, hand_over=6
    )
    with pytest.raises(FieldValueError, match=r"line 6.*for ever"):
        cutter.next()
