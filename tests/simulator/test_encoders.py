"""Encoder inputs make VAL of counts as the box does; encoder outputs make lines of positions."""

from __future__ import annotations

import pytest

from panda_simulator.behaviours import Inenc, Outenc
from panda_simulator.encoders import Encoder
from panda_simulator.motion import ONE, Motion, moving
from panda_simulator.world import Axis


class Ramp:
    """One count up every ten ticks."""

    def at(self, tick: int) -> int:
        return tick // 10

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        if not low <= self.at(tick + 1) <= high:
            return tick + 1
        return 10 * (high + 1)


def connected(**registers: int) -> Inenc:
    inenc = Inenc()
    inenc.connect(Ramp())
    inenc.update(0, registers)
    return inenc


@pytest.mark.parametrize(
    ("registers", "expected"),
    [
        ({}, 0xABC),
        ({"BITS": 12, "LSB_DISCARD": 4}, 0xAB),
        ({"BITS": 12, "MSB_DISCARD": 4}, 0xBC),
        ({"BITS": 12, "ENCODING": 2}, 0xABC - 0x1000),
        ({"BITS": 12, "ENCODING": 2, "MSB_DISCARD": 1, "LSB_DISCARD": 4}, 0x2B),
        ({"BITS": 4, "MSB_DISCARD": 3, "LSB_DISCARD": 3}, 0),
        ({"PROTOCOL": 3}, 0),
    ],
)
def test_a_count_becomes_val_as_its_registers_say(registers, expected):
    assert connected(**registers).at(0xABC * 10) == expected


@pytest.mark.parametrize(
    ("connection", "protocol", "health", "conn"),
    [(True, 0, 0, 1), (False, 0, 1, 0), (False, 1, 2, 0), (True, 2, 0, 1), (True, 3, 5, 0)],
)
def test_health_says_what_is_wrong_with_the_encoder(connection, protocol, health, conn):
    inenc = Inenc()
    if connection:
        inenc.connect(Ramp())
    outputs, _ = inenc.update(0, {"PROTOCOL": protocol})
    assert (outputs["HEALTH"], outputs["CONN"]) == (health, conn)


def test_setting_the_count_shifts_it_from_that_tick_on():
    inenc = connected()
    outputs, _ = inenc.update(105, {"SETP": 1000})
    assert (inenc.at(104), inenc.at(105), inenc.at(110)) == (10, 1000, 1001)
    assert outputs["HOMED"] == 1
    assert inenc.leaves(105, 1000, 1004) == 150
    assert inenc.leaves(100, 0, 2000) == 105


def test_a_serial_value_is_that_of_the_last_frame():
    inenc = connected(PROTOCOL=1, FRAME_PERIOD=25)
    assert [inenc.at(tick) for tick in (24, 25, 49, 50)] == [0, 2, 2, 5]
    assert inenc.leaves(0, 0, 0) == 25
    assert inenc.leaves(26, 2, 2) == 50


def test_a_word_without_its_low_bits_leaves_later():
    inenc = connected(LSB_DISCARD=3)
    assert inenc.leaves(0, 0, 0) == 80


def test_quadrature_outputs_follow_the_position_at_their_period():
    outenc = Outenc()
    outenc.update(1, {"QPERIOD": 3})
    outenc.update(3, {"ENABLE": 1})
    outputs, wake = outenc.update(6, {"VAL": 2})
    seen: list[tuple[int, int, int]] = []
    while wake is not None:
        tick = wake
        outputs, wake = outenc.update(tick, {})
        seen.append((tick, outputs["PIN_A"], outputs["PIN_B"]))
    assert seen[-1][1:] == (1, 1)
    assert outputs["QSTATE"] == 1


def test_a_reset_of_a_running_generator_does_not_move_the_lines():
    outenc = Outenc()
    outenc.update(1, {"ENABLE": 1, "VAL": 50})
    outputs, wake = outenc.update(5, {"BITS": 3})
    assert (outputs["QSTATE"], wake) == (0, 6)
    outputs, _ = outenc.update(6, {})
    assert (outputs["QSTATE"], outputs["PIN_A"]) == (1, 0)


@pytest.mark.parametrize(
    ("protocol", "pins", "health"),
    [(1, (0, 0, 0, 0), 0), (2, (0, 0, 0, 0), 1), (3, (0, 0, 0, 0), 2), (4, (1, 0, 1, 0), 0),
     (5, (0, 0, 0, 1), 0)],
)  # fmt: skip
def test_other_protocols_pass_lines_through_or_say_why_not(protocol, pins, health):
    outenc = Outenc()
    outputs, _ = outenc.update(1, {"PROTOCOL": protocol, "ENABLE": 1, "A": 1, "Z": 1, "DATA": 1})
    assert tuple(outputs[f"PIN_{name}"] for name in ("A", "B", "Z", "DATA")) == pins
    assert outputs["HEALTH"] == health


def test_a_slow_axis_never_counts_back_and_forth():
    axis = Axis("x")
    axis.motion = Motion()
    axis.motion.replace(0, moving(0, 0, ONE // 1000, ONE >> 45, ONE >> 75))
    encoder = Encoder(axis.motion, 10_000)
    first = encoder.leaves(0, 0, 0)
    assert first is not None
    assert {encoder.at(tick) for tick in range(first - 200, first)} == {0}
    assert {encoder.at(tick) for tick in range(first, first + 200)} == {1}
