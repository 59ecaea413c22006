"""Closing waits for what is still coming, and gives up on what never will."""

from __future__ import annotations

from panda_ophyd.capture.patience import RING_BYTES, Patience


def waits(rate: float, until: float, *, rows=lambda _: 0, held_up=lambda _: False):
    """Return when it gives up on bytes that come at a rate, `until` at the latest, and why."""
    patience = Patience(8, 0, 1000, 0)
    now = 0.0
    while now < until:
        now += 0.25
        came = 1000 + int(rate * now)
        reason = patience.reason(now, came, rows(now), held_up=held_up(now))
        if reason:
            return now, reason
    return now, None


def test_silence_is_waited_for_so_long():
    now, reason = waits(0, 60)
    assert now == 8
    assert reason == (
        "END did not come within 8 s of closing; either PCAP was not disarmed before, or the"
        " data connection does not deliver any more"
    )


def test_a_ring_is_waited_for_as_long_as_it_comes():
    whole = 256 * 2**20
    for rate in (60e6, 20e6, 6e6):
        assert waits(rate, whole / rate) == (whole / rate // 0.25 * 0.25 + 0.25, None)


def test_more_than_a_ring_is_no_ring():
    now, reason = waits(60e6, 60)
    assert now <= RING_BYTES / 60e6 + 0.25
    assert "PCAP was not disarmed before" in str(reason)


def test_slow_rows_that_never_end_are_no_ring_either():
    now, reason = waits(600, 1000)
    assert now <= 8.25
    assert "PCAP was not disarmed before" in str(reason)
    now, reason = waits(600e3, 1000)
    assert now <= 10
    assert "PCAP was not disarmed before" in str(reason)


def test_a_ring_that_stops_coming_is_given_up():
    patience = Patience(8, 0, 0, 0)
    assert patience.reason(1, 100_000_000, 0, held_up=False) is None
    assert patience.reason(8.9, 100_000_000, 0, held_up=False) is None
    reason = patience.reason(9, 100_000_000, 0, held_up=False)
    assert "END did not come, nothing else either for 8 s" in str(reason)


def test_a_slow_disk_is_waited_for_as_long_as_it_takes_rows():
    slow = waits(0, 600, held_up=lambda _: True, rows=lambda now: now // 30)
    assert slow == (600, None)
    now, reason = waits(0, 600, held_up=lambda _: True, rows=lambda now: min(now // 30, 3))
    assert 150 <= now <= 151
    assert reason == "the disk has taken nothing for 60 s"


def test_time_for_which_the_disk_held_us_up_is_not_the_pandas():
    now, _ = waits(0, 600, held_up=lambda now: now < 100, rows=lambda now: now)
    assert 107 <= now <= 108


def test_no_patience_at_all_gives_up_at_once():
    assert Patience(0, 5, 0, 0).reason(5, 0, 0, held_up=True)
