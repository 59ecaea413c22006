"""A train of detector pulses fits the frame, or is refused with what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.errors import FieldValueError
from panda_ophyd.wires import PulseTrain, longest_deadtime


def test_a_pulse_is_centred_in_its_frame():
    train = PulseTrain.of(10e-3, exposure=9e-3)
    assert train.seconds == (0.5e-3, 9e-3, 10e-3)
    assert (train.pulses, train.delay) == (1, 62_500)


def test_five_pulses_share_a_frame():
    train = PulseTrain.of(10e-3, 5, exposure=1.9e-3)
    assert train.seconds == (0.05e-3, 1.9e-3, 2e-3)


@pytest.mark.parametrize(
    ("duration", "frames", "exposure", "delay", "expected"),
    [(1.0, 5, 0.19899, None, (0.000505, 0.19899, 0.2)), (1.0, 5, 0.19899, 0.0, (0, 0.19899, 0.2)),
     (0.2, 1, 0.1, None, (0.05, 0.1, 0.2))],
)  # fmt: skip
def test_the_numbers_of_pymalcolm_come_out(duration, frames, exposure, delay, expected):
    train = PulseTrain.of(duration, frames, exposure=exposure, delay=delay)
    assert train.seconds == pytest.approx(expected, abs=8e-9)


def test_a_train_longer_than_its_frame_is_refused_with_block_frame_and_length():
    with pytest.raises(FieldValueError) as refused:
        PulseTrain.of(10e-3, 5, step=2.08e-3, exposure=2.06e-3, delay=0, block="PULSE2")
    assert "PULSE2.PULSES cannot be 5" in str(refused.value)
    assert "is 10.38 ms long, and the frame is 10 ms" in str(refused.value)


def test_the_train_may_be_a_tick_shorter_than_the_frame_and_no_longer():
    PulseTrain(frame=100, pulses=1, width=99, step=100)
    with pytest.raises(FieldValueError, match="would be dropped"):
        PulseTrain(frame=100, pulses=1, width=100, step=100)


def test_a_dead_time_is_left_out_of_the_exposure():
    train = PulseTrain.of(10e-3, 2, deadtime=1e-3)
    assert train.width == train.step - 125_000


def test_clocks_that_differ_are_given_room():
    plain = PulseTrain.of(1.0, deadtime=1e-3)
    careful = PulseTrain.of(1.0, deadtime=1e-3, accuracy=50)
    assert plain.width - careful.width == 125_000_000 * 50 // 1_000_000


def test_a_detector_that_says_nothing_is_left_a_microsecond():
    assert PulseTrain.of(1e-3).width == 125_000 - 125


def test_an_exposure_that_the_dead_time_does_not_leave_is_refused():
    with pytest.raises(FieldValueError, match="can expose for 9 ms at most"):
        PulseTrain.of(10e-3, exposure=9.5e-3, deadtime=1e-3)


def test_a_dead_time_as_long_as_the_frame_is_refused():
    with pytest.raises(FieldValueError, match="leaves no exposure"):
        PulseTrain.of(1e-3, deadtime=1e-3)


def test_an_exposure_of_nothing_is_no_pulse():
    with pytest.raises(FieldValueError, match="pass the trigger on"):
        PulseTrain.of(1e-3, exposure=0)


def test_widths_and_delays_are_those_that_the_block_makes():
    train = PulseTrain.of(1e-3, exposure=3 * 8e-9, delay=2 * 8e-9)
    assert (train.width, train.delay) == (5, 5)


def test_pulses_that_would_touch_are_refused():
    with pytest.raises(FieldValueError, match="longer than a pulse"):
        PulseTrain(frame=1000, pulses=2, width=100, step=100)


def test_a_delay_out_of_the_frame_has_to_be_meant():
    with pytest.raises(FieldValueError, match="spill=True"):
        PulseTrain.of(10e-3, exposure=9e-3, delay=2e-3)
    assert PulseTrain.of(10e-3, exposure=9e-3, delay=2e-3, spill=True).queued == 2


def test_more_trains_than_wait_in_the_block_are_refused():
    with pytest.raises(FieldValueError, match="holds 255"):
        PulseTrain.of(1e-3, exposure=0.5e-3, delay=0.3, spill=True)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0])
def test_what_is_no_time_is_refused(number):
    with pytest.raises(FieldValueError, match="not negative"):
        PulseTrain.of(1e-3, deadtime=number)


@given(
    frame=st.integers(12, 10**9),
    pulses=st.integers(1, 50),
    dead=st.integers(1, 10**6),
    ppm=st.floats(0, 200),
)
def test_every_train_is_over_before_the_next_frame_and_keeps_the_dead_time(
    frame, pulses, dead, ppm
):
    try:
        train = PulseTrain.of(frame * 8e-9, pulses, deadtime=dead * 8e-9, accuracy=ppm)
    except FieldValueError:
        # refused only where nothing is left for an exposure
        assert frame // pulses - dead - frame // pulses * ppm / 1e6 < 7
        return
    assert train.delay + train.length < train.frame + 1
    assert train.length + 1 <= train.frame
    assert train.step - train.width >= dead
    assert train.width >= 5
    assert train.delay == 0 or train.delay >= 5
    assert train.step * pulses <= frame


def test_the_longest_dead_time_counts():
    assert longest_deadtime([("a", 1e-3), ("b", 2e-3)]) == 2e-3
    assert longest_deadtime([]) == 0


def test_a_detector_that_does_not_tell_its_dead_time_is_named():
    with pytest.raises(FieldValueError, match="dead time of camera"):
        longest_deadtime([("camera", None)])
