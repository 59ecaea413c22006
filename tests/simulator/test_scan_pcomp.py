"""A client's position compare on a moving axis: every position, every tick, in closed form."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import pytest

from .rehearsal import COUNTS, Captured, Rehearsal, Trapezoid, rehearsed

WIRED = (
    "PCOMP1.INP=INENC1.VAL",
    "PCAP.ENABLE=PCOMP1.ACTIVE",
    "PCAP.GATE=PCOMP1.ACTIVE",
    "PCAP.TRIG=PCOMP1.OUT",
    "INENC1.VAL.CAPTURE=Value Min Max",
    "PCAP.TS_TRIG.CAPTURE=Value",
    "PCAP.BITS1.CAPTURE=Value",
)

_HOPS = 2
"""Ticks from the encoder to PCOMP, and from there to PCAP (blocks.md 1.3)."""


def compare(start: int, step: int, width: int, pulses: int, **more: object) -> list[str]:
    values = {"START": start, "STEP": step, "WIDTH": width, "PULSES": pulses, **more}
    return [f"PCOMP1.{name}={value}" for name, value in values.items()]


def place(box: Rehearsal, position: float, velocity: float, acceleration: float) -> None:
    axis = box.world.axes["x"]
    axis.place(position)
    axis.velocity, axis.acceleration = velocity, acceleration


async def scan(box: Rehearsal, target: float, *settings: str) -> tuple[Trapezoid, Captured]:
    await box.set(*settings, "PCOMP1.ENABLE=ZERO")
    await box.arm()
    await box.set("PCOMP1.ENABLE=ONE")
    motion = await box.move("x", target)
    return motion, await box.acquired()


@pytest.mark.parametrize(
    ("velocity", "acceleration", "step", "pulses"),
    [(1, 10, 1000, 17), (5, 50, 500, 31), (0.5, 2, 37, 400), (20, 200, 4, 1500), (3, 3, 250, 60)],
)
@pytest.mark.parametrize("forth", [True, False])
async def test_each_row_is_at_its_position_and_tick(velocity, acceleration, step, pulses, forth):
    sign = 1 if forth else -1
    start = sign * 5000
    direction = "Positive" if forth else "Negative"
    async with rehearsed(*WIRED) as box:
        place(box, 0.0, velocity, acceleration)
        motion, got = await scan(
            box, sign * 3.0, *compare(start, step, step // 2, pulses, DIR=direction)
        )
    expected = [start + sign * k * step for k in range(pulses)]
    assert got["INENC1.VAL"] == expected
    assert got.triggers == [motion.arrives(count) + _HOPS for count in expected]
    assert got.end == f"END {pulses} Ok"
    # the tick of a capture belongs to the frame that it starts (blocks.md 4.3)
    near, far = ("Min", "Max") if forth else ("Max", "Min")
    assert got[f"INENC1.VAL {near}"] == [0, *expected[:-1]]
    assert got[f"INENC1.VAL {far}"] == expected


@pytest.mark.parametrize("position", [-7.0, 0.0, 12.3457])
@pytest.mark.parametrize("direction", ["Positive", "Negative", "Either"])
async def test_a_relative_scan_counts_from_where_it_is_enabled(position, direction):
    async with rehearsed(*WIRED) as box:
        place(box, position, 2.0, 20.0)
        sign = -1 if direction == "Negative" else 1
        motion, got = await scan(
            box,
            position + sign * 2,
            *compare(1500, 300, 100, 50, DIR=direction, RELATIVE="Relative"),
        )
    origin = round(position * COUNTS)
    expected = [origin + sign * (1500 + 300 * k) for k in range(50)]
    assert got["INENC1.VAL"] == expected
    assert got.triggers == [motion.arrives(count) + _HOPS for count in expected]
    assert got.end == "END 50 Ok"


async def test_a_relative_scan_at_rest_begins_at_once():
    async with rehearsed(*WIRED) as box:
        place(box, 1.0, 2.0, 20.0)
        await box.set(*compare(0, 100, 50, 3, RELATIVE="Relative"))
        await box.arm()
        await box.set("PCOMP1.ENABLE=ONE")
        enabled = box.simulator.tick
        motion = await box.move("x", 1.5)
        got = await box.acquired()
    assert got["INENC1.VAL"] == [10_000, 10_100, 10_200]
    # a mux needs a tick as well: PCOMP is enabled at the next, PCAP a hop later
    assert got.start == enabled + 2
    assert got.triggers == [got.start, *(motion.arrives(n) + _HOPS for n in (10_100, 10_200))]


async def test_snake_rows_are_captured_both_ways_by_two_compares():
    """Rows to and fro: each direction has its PCOMP, a LUT joins them."""
    async with rehearsed(
        *WIRED[4:],
        "PCOMP1.INP=INENC1.VAL",
        "PCOMP2.INP=INENC1.VAL",
        "LUT1.INPA=PCOMP1.OUT",
        "LUT1.INPB=PCOMP2.OUT",
        "LUT1.FUNC=A|B",
        "PCAP.ENABLE=BITS.OUTA",
        "PCAP.GATE=BITS.OUTA",
        "PCAP.TRIG=LUT1.OUT",
        "PCOMP2.DIR=Negative",
        *compare(2000, 500, 10, 21),
        *(line.replace("PCOMP1", "PCOMP2") for line in compare(12_000, 500, 10, 21)),
    ) as box:
        place(box, 0.0, 4.0, 40.0)
        await box.arm()
        await box.set("BITS.A=1")
        positions: list[int] = []
        triggers: list[int] = []
        for row in range(4):
            number = 1 + row % 2
            await box.set(f"PCOMP{number}.ENABLE=ONE")
            motion = await box.move("x", 1.4 if number == 1 else 0.0)
            await box.set(f"PCOMP{number}.ENABLE=ZERO")
            way = [2000 + 500 * k for k in range(21)]
            way = way if number == 1 else way[::-1]
            positions += way
            # the LUT is one hop more
            triggers += [motion.arrives(count) + _HOPS + 1 for count in way]
        await box.set("BITS.A=0")
        await box.run(10)
        got = await box.acquired()
    assert got["INENC1.VAL"] == positions
    assert got.triggers == triggers
    assert got.end == "END 84 Ok"


async def test_a_coarse_encoder_gives_the_multiples_that_it_can_show():
    async with rehearsed(*WIRED) as box:
        box.world.connect("x", 1, COUNTS, resolution=64)
        place(box, 0.0, 1.0, 10.0)
        motion, got = await scan(box, 1.0, *compare(1000, 500, 200, 15))
    # a threshold is noticed at the next multiple, which is reached as the count itself is
    expected = [-(-(1000 + 500 * k) // 64) * 64 for k in range(15)]
    assert got["INENC1.VAL"] == expected
    assert got.triggers == [motion.arrives(count) + _HOPS for count in expected]


async def test_an_encoder_that_counts_backwards_is_scanned_backwards():
    async with rehearsed(*WIRED) as box:
        box.world.connect("x", 1, -20_000, 500)
        place(box, 0.0, 1.0, 10.0)
        motion, got = await scan(box, 1.0, *compare(-1000, 700, 200, 9, DIR="Negative"))
    expected = [-1000 - 700 * k for k in range(9)]
    assert got["INENC1.VAL"] == expected

    def first(count: int) -> int:
        low, high = motion.begin, motion.end
        while low < high:
            middle = (low + high) // 2
            counted = floor(500 - motion.position(middle) * 20_000 + Fraction(1, 2))
            low, high = (low, middle) if counted <= count else (middle + 1, high)
        return low

    assert got.triggers == [first(count) + _HOPS for count in expected]


async def test_a_bit_word_has_the_compare_and_its_activity_at_the_trigger():
    async with rehearsed(*WIRED) as box:
        place(box, 0.0, 1.0, 10.0)
        _, got = await scan(box, 1.0, *compare(1000, 500, 200, 15))
    # PCOMP1.ACTIVE is bit 61, PCOMP1.OUT 63, PCAP.ACTIVE 32 of the bus (blocks.md 2)
    assert got["PCAP.BITS1"] == [1 << 61 - 32 | 1 << 63 - 32 | 1] * 15


async def test_a_second_scan_of_the_same_box_is_as_exact_as_the_first():
    async with rehearsed(*WIRED) as box:
        place(box, 0.0, 1.0, 10.0)
        for target, direction, start in ((1.0, "Positive", 1000), (0.0, "Negative", 9000)):
            motion, got = await scan(box, target, *compare(start, 500, 200, 15, DIR=direction))
            sign = 1 if target else -1
            expected = [start + sign * 500 * k for k in range(15)]
            assert got["INENC1.VAL"] == expected
            assert got.triggers == [motion.arrives(count) + _HOPS for count in expected]
            assert got.end == "END 15 Ok"
