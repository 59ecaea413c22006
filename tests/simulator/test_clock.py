"""Clocks tell ticks; the real one can be set back, the stepped one only forward."""

from __future__ import annotations

import math

import pytest

from panda_simulator.clock import FreeRunningClock, RealTimeClock, SteppedClock


def test_real_time_is_125_ticks_a_microsecond_times_the_speed():
    seconds = [10.0]
    clock = RealTimeClock(2.0, seconds=lambda: seconds[0])
    assert clock.now() == 0
    seconds[0] += 1.0
    assert clock.now() == 250_000_000
    assert clock.until(500_000_000) == pytest.approx(1.0)
    assert clock.until(5) == 0.0


@pytest.mark.parametrize("frequency", [100_000_000, 124_999_999])
def test_a_clock_of_another_frequency_ticks_and_dates_with_it(frequency):
    seconds = [10.0]
    clock = RealTimeClock(2.0, frequency=frequency, seconds=lambda: seconds[0])
    seconds[0] += 1.0
    assert clock.now() == 2 * frequency
    others = SteppedClock(frequency=frequency), FreeRunningClock(frequency=frequency)
    for one in (clock, *others):
        assert one.frequency == frequency
        assert one.date_ns(3 * frequency) - one.date_ns(0) == 3_000_000_000


def test_a_clock_that_falls_back_goes_on_from_there():
    seconds = [0.0]
    clock = RealTimeClock(seconds=lambda: seconds[0])
    seconds[0] = 1.0
    clock.fall_back(1000)
    assert clock.now() == pytest.approx(1000, abs=2)
    clock.fall_back(10**9)
    assert clock.now() == pytest.approx(1000, abs=2)
    seconds[0] = 2.0
    assert clock.now() == pytest.approx(125_001_000, abs=2)


@pytest.mark.parametrize("speed", [0.0, -1.0, 1.1e6, math.inf, math.nan])
def test_a_clock_needs_a_speed_that_can_be(speed):
    with pytest.raises(ValueError, match="it has to be above 0, and at most"):
        RealTimeClock(speed)


def test_a_stepped_clock_stands_until_it_is_set():
    clock = SteppedClock(5)
    clock.advance_by(7)
    clock.fall_back(1)
    assert clock.now() == 12
    assert clock.until(12) == 0.0
    assert clock.until(13) > 0
    with pytest.raises(ValueError, match="back to 3"):
        clock.advance_to(3)
