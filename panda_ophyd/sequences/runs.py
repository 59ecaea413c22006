"""Equal neighbours become one line with repeats, also over batches; long phases become several.

Pure numpy on rows of `COLUMNS`. Equal lines that wait are merged too: a trigger is checked at
every repeat. Source: blocks.md 5.10; flyscan.md 3.4 (6, 7).
"""

from __future__ import annotations

import numpy as np

from panda_ophyd.sequences.lines import LONGEST_PHASE, MOST_REPEATS, Ints, SeqLines, Trigger

COLUMNS = ("trigger", "position", "time1", "outputs1", "time2", "outputs2", "frames")
TRIGGER, POSITION, TIME1, OUTPUTS1, TIME2, OUTPUTS2, FRAMES = range(len(COLUMNS))


class Runs:
    """Rows in, lines out; the last run is held back, for it may go on."""

    def __init__(self) -> None:
        self._row: Ints | None = None
        self._count = 0

    def add(self, rows: Ints) -> SeqLines:
        """Return the lines that are certain now.

        Args:
            rows: ``(7, n)`` int64, of `COLUMNS`, each to be played once.
        """
        rows = _phases_split(rows)
        if not rows.shape[1]:
            return SeqLines.empty()
        changes = (rows[:, 1:] != rows[:, :-1]).any(axis=0)
        starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
        keys = rows[:, starts]
        counts = np.diff(starts, append=rows.shape[1])
        if self._row is not None:
            if (self._row == keys[:, 0]).all():
                counts[0] += self._count
            else:
                keys = np.concatenate([self._row[:, None], keys], axis=1)
                counts = np.concatenate([[self._count], counts])
        # whole lines of the open run are certain, so that it is never more than one line
        full = (int(counts[-1]) - 1) // MOST_REPEATS
        self._row = keys[:, -1].copy()
        self._count = int(counts[-1]) - full * MOST_REPEATS
        counts[-1] = full * MOST_REPEATS
        return _lines(keys, counts)

    def close(self, last: tuple[int, int] = (0, 0)) -> SeqLines:
        """Return what was held back.

        Args:
            last: outputs to add to those of phases 1 and 2 of the very last repeat.
        """
        if self._row is None:
            return SeqLines.empty()
        keys = np.stack([self._row, self._row], axis=1)
        counts = np.array([self._count, 0])
        if any(last):
            counts[:] = self._count - 1, 1
            keys[OUTPUTS1, 1] |= last[0]
            keys[OUTPUTS2, 1] |= last[1]
        self._row, self._count = None, 0
        return _lines(keys, counts)


def _lines(keys: Ints, counts: Ints) -> SeqLines:
    """Return lines for runs, split where a run has more repeats than fit."""
    pieces = -(-counts // MOST_REPEATS)
    rows = np.repeat(keys, pieces, axis=1)
    repeats = np.full(rows.shape[1], MOST_REPEATS)
    ends = np.cumsum(pieces) - 1
    some = pieces > 0
    repeats[ends[some]] = (counts - (pieces - 1) * MOST_REPEATS)[some]
    rows[FRAMES] *= repeats
    return SeqLines.of(repeats=repeats, **dict(zip(COLUMNS, rows, strict=True)))


def _phases_split(rows: Ints) -> Ints:
    """Return rows in which no phase is longer than a line's; what is held is held exactly."""
    long = np.flatnonzero((rows[TIME1] > LONGEST_PHASE) | (rows[TIME2] > LONGEST_PHASE))
    if not long.size:
        return rows
    parts: list[Ints] = []
    done = 0
    for at in long:
        parts += [rows[:, done:at], _split(rows[:, at])]
        done = at + 1
    return np.concatenate([*parts, rows[:, done:]], axis=1)


def _split(row: Ints) -> Ints:
    """Return one row as several: fillers of a single phase, and the rest as a line of two."""
    pieces: list[tuple[int, int]] = []
    for time, outputs in ((row[TIME1], row[OUTPUTS1]), (row[TIME2], row[OUTPUTS2])):
        full, rest = divmod(max(int(time) - 1, 0), LONGEST_PHASE)
        pieces += [(LONGEST_PHASE, int(outputs))] * full
        if time:
            pieces.append((rest + 1, int(outputs)))
    *fillers, (time1, outputs1), (time2, outputs2) = pieces
    split = np.zeros((len(COLUMNS), len(fillers) + 1), np.int64)
    split[TRIGGER] = Trigger.IMMEDIATE
    if fillers:
        split[TIME2, :-1], split[OUTPUTS2, :-1] = np.transpose(fillers)
    split[:, -1] = (Trigger.IMMEDIATE, 0, time1, outputs1, time2, outputs2, row[FRAMES])
    split[[TRIGGER, POSITION], 0] = row[[TRIGGER, POSITION]]
    return split
