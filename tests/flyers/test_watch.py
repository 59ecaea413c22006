"""When a flyer is over, and when it has stalled."""

from __future__ import annotations

from typing import Any

import pytest

from panda_ophyd.flyers.watch import Moment, StalledError, has_progressed, until_over


def moment(**facts: Any) -> Moment:
    return Moment(**({"active": True, "health": "OK", "done": 0, "at": (0,)} | facts))


async def watched(moments: list[Moment], patience: float | None = 0.25) -> Moment:
    """Look at moments one after the other, at the last one for ever."""
    rest = list(moments)

    async def look() -> Moment:
        return rest.pop(0) if len(rest) > 1 else rest[0]

    return await until_over(look, patience, lambda _: None)


async def test_it_is_over_when_it_is_no_longer_active():
    end = moment(active=False, done=7, at=(7,))
    assert await watched([moment(), moment(at=(1,)), end]) is end


async def test_it_has_stalled_when_nothing_moves():
    still = moment(waits_for="waiting for BITA=1")
    with pytest.raises(StalledError) as stalled:
        await watched([still])
    assert stalled.value.moment == still
    assert stalled.value.quiet > 0.25


async def test_what_takes_its_time_by_itself_has_not_stalled():
    end = moment(active=False, at=(1,))
    assert await watched([moment(due=60.0)] * 8 + [end]) is end


async def test_without_patience_nobody_stalls():
    end = moment(active=False, at=(1,))
    assert await watched([moment()] * 8 + [end], None) is end


@pytest.mark.parametrize(
    ("before", "now", "levels", "moved"),
    [
        ("0", "1", True, True),
        ("0", "1", False, False),
        ("100", "103", False, False),
        ("100", "110", False, True),
        ("-5", "6", False, True),
        ("12", "", False, True),
        ("7", "7", True, False),
    ],
)
def test_a_bit_moves_when_it_changes_and_a_position_when_that_is_no_flicker(
    before, now, levels, moved
):
    first, second = (moment(inputs={"IN": text}, levels=levels) for text in (before, now))
    assert has_progressed(first, second) is moved


def test_a_slow_creep_is_seen_from_where_it_was_last_seen_to_move():
    begin = moment(inputs={"INENC1.VAL": "0"})
    positions = [moment(inputs={"INENC1.VAL": str(at)}) for at in range(1, 11)]
    assert [has_progressed(begin, now) for now in positions] == [False] * 9 + [True]
