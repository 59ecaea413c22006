"""A client's SEQ table with position triggers and gate windows: every row, every tick."""

from __future__ import annotations

import pytest

from .rehearsal import Rehearsal, Trapezoid, rehearsed, seq_row

BITA_0, BITA_1 = 1, 2
POSA_UP, POSA_DOWN, POSB_UP, POSB_DOWN = 7, 8, 9, 10

WIRED = (
    "SEQ1.POSA=INENC1.VAL",
    "SEQ1.POSB=INENC2.VAL",
    "SEQ1.ENABLE=BITS.OUTA",
    "PCAP.ENABLE=BITS.OUTB",
    "PCAP.TRIG=SEQ1.OUTA",
    "PCAP.GATE=SEQ1.OUTB",
    "INENC1.VAL.CAPTURE=Value",
    "INENC2.VAL.CAPTURE=Value",
    "PCAP.TS_TRIG.CAPTURE=Value",
)

_HOPS = 2
"""Ticks from an encoder to SEQ, and from there to PCAP (blocks.md 1.3)."""


def axes(box: Rehearsal, **positions: float) -> None:
    for name, position in positions.items():
        axis = box.world.axes[name]
        axis.place(position)
        axis.velocity, axis.acceleration = 2.0, 20.0


async def begin(box: Rehearsal) -> None:
    """Let the table load, arm and enable."""
    await box.run(100_000)
    assert await box.value("SEQ1.STATE") == "WAIT_ENABLE"
    await box.arm()
    await box.set("BITS.B=1", "BITS.A=1")


async def end(box: Rehearsal) -> None:
    await box.run(1000)
    await box.set("BITS.B=0")
    await box.run(10)


@pytest.mark.parametrize("delay", [0, 1, 31])
@pytest.mark.parametrize("prescale", [0, 1, 25])
async def test_rows_of_lines_are_gated_to_the_tick(prescale, delay):
    """Each line waits for a position, then triggers a frame and opens a gate window."""
    period = max(prescale, 1)
    lines = [(1000 + 700 * k, 40 + k, 100 + 3 * k) for k in range(20)]
    async with rehearsed(
        *WIRED,
        f"PCAP.GATE.DELAY={delay}",
        f"SEQ1.PRESCALE.RAW={prescale}",
        "SEQ1.REPEATS=1",
        "PCAP.TS_START.CAPTURE=Value",
        "PCAP.TS_END.CAPTURE=Value",
        "PCAP.GATE_DURATION.CAPTURE=Value",
        "INENC1.VAL.CAPTURE=Value Diff",
    ) as box:
        # trigger with A, the window B begins with it and ends with phase 1
        table = [seq_row(1, POSA_UP, at, one, "AB", two) for at, one, two in lines]
        # one more closes the last frame
        table += [seq_row(1, POSA_UP, 19_000, 10, "A", 10)]
        assert await box.table("SEQ1.TABLE", table) == "OK"
        axes(box, x=0.0)
        await begin(box)
        motion = await box.move("x", 2.0)
        assert await box.value("SEQ1.ACTIVE") == "0"
        await end(box)
        got = await box.acquired()
    triggers = [motion.arrives(at) + _HOPS for at, _, _ in lines]
    assert got["INENC1.VAL"] == [at for at, _, _ in lines] + [19_000]
    assert got.triggers == [*triggers, motion.arrives(19_000) + _HOPS]
    # a row has the frame that its trigger ends
    windows = [one * period for _, one, _ in lines]
    assert got["PCAP.GATE_DURATION"] == [0, *windows]
    opens = [tick + delay for tick in triggers]
    closes = [tick + long for tick, long in zip(opens, windows, strict=True)]
    assert got["PCAP.TS_START"] == [-1, *(tick - got.start for tick in opens)]
    # a gate that rises with the trigger which ends the frame is high there (blocks.md 4.3)
    ends = [-1, *(tick - got.start for tick in closes)] if delay else got["PCAP.TS_TRIG"][:-1]
    assert got["PCAP.TS_END"] == [*ends, *([] if delay else [closes[-1] - got.start])]
    assert got["INENC1.VAL Diff"] == [
        0,
        *(
            motion.count(last - 1) - motion.count(first - 1)
            for first, last in zip(opens, closes, strict=True)
        ),
    ]
    assert got.end == "END 21 Ok"


async def test_snake_rows_trigger_up_and_down_and_by_row():
    """Axis y steps between rows of x that go to and fro; one table for all of it."""
    rows, points = 4, 9
    table: list[tuple[int, int, int, int]] = []
    positions: list[int] = []
    for row in range(rows):
        table.append(seq_row(1, POSB_UP, row * 5000, 0, "", 10))
        way = [1000 * (k + 1) for k in range(points)]
        way = way[::-1] if row % 2 else way
        trigger = POSA_DOWN if row % 2 else POSA_UP
        table += [seq_row(1, trigger, at, 50, "A", 50) for at in way]
        positions += way
    async with rehearsed(*WIRED, "SEQ1.REPEATS=1") as box:
        assert await box.table("SEQ1.TABLE", table) == "OK"
        axes(box, x=0.0, y=0.0)
        await begin(box)
        moves: list[Trapezoid] = []
        for row in range(rows):
            moves.append(await box.move("x", 0.0 if row % 2 else 1.0))
            if row < rows - 1:
                await box.move("y", (row + 1) / 2)
        assert await box.value("SEQ1.STATE") == "WAIT_ENABLE"
        await end(box)
        got = await box.acquired()
    assert got["INENC1.VAL"] == positions
    assert got["INENC2.VAL"] == [row * 5000 for row in range(rows) for _ in range(points)]
    assert got.triggers == [
        moves[number // points].arrives(at) + _HOPS for number, at in enumerate(positions)
    ]
    assert got.end == f"END {rows * points} Ok"


async def test_the_next_row_waits_for_its_axis_wherever_the_other_is():
    """A position is a level: the row of y starts when y is there, x having passed long ago."""
    table = [
        seq_row(1, POSB_DOWN, -500, 0, "", 20),
        seq_row(1, POSA_UP, 3000, 100, "A", 7),
        seq_row(3, POSA_UP, 3000, 100, "A", 7),
    ]
    async with rehearsed(*WIRED, "SEQ1.REPEATS=1") as box:
        assert await box.table("SEQ1.TABLE", table) == "OK"
        axes(box, x=0.0, y=0.0)
        await begin(box)
        await box.move("x", 1.0)
        assert await box.value("SEQ1.STATE") == "WAIT_TRIGGER"
        assert await box.value("SEQ1.TABLE_LINE") == "1"
        down = await box.move("y", -0.2)
        await end(box)
        got = await box.acquired()
    first = down.arrives(-500) + _HOPS + 20
    assert got.triggers == [first + 107 * k for k in range(4)]
    assert got["INENC1.VAL"] == [10_000] * 4
    assert got["INENC2.VAL"] == [down.count(tick - 1) for tick in got.triggers]


async def test_lines_repeat_and_tables_repeat_and_a_bit_starts_each():
    """A detector's busy line on BITA holds off each repeat; REPEATS of table and line count."""
    table = [seq_row(2, BITA_1, 0, 30, "A", 20), seq_row(1, BITA_0, 0, 0, "", 10)]
    async with rehearsed(*WIRED, "SEQ1.REPEATS=3", "SEQ1.BITA=TTLIN1.VAL", "PCAP.GATE=ONE") as box:
        assert await box.table("SEQ1.TABLE", table) == "OK"
        await begin(box)
        ready: list[int] = []
        for _ in range(3):
            await box.run(500)
            ready.append(box.simulator.tick + 1)
            box.world.drive("TTLIN", 1, 1)
            await box.run(500)
            box.world.drive("TTLIN", 1, 0)
        await box.run(500)
        assert await box.value("SEQ1.TABLE_REPEAT") == "3"
        assert await box.value("SEQ1.ACTIVE") == "0"
        await end(box)
        got = await box.acquired()
    assert got.triggers == [tick + _HOPS + 50 * k for tick in ready for k in range(2)]


async def test_a_long_table_plays_every_line():
    """Ten thousand lines, more than fit into the memory of the block."""
    lines = 10_000
    table = [seq_row(1, POSA_UP, 20 * k, 10, "A", 10) for k in range(lines)]
    async with rehearsed(*WIRED, "SEQ1.REPEATS=1") as box:
        assert await box.table("SEQ1.TABLE", table) == "OK"
        box.world.axes["x"].place(-0.5)
        box.world.axes["x"].velocity, box.world.axes["x"].acceleration = 10.0, 100.0
        await begin(box)
        motion = await box.move("x", 20.5)
        await end(box)
        got = await box.acquired()
    assert got["INENC1.VAL"] == [20 * k for k in range(lines)]
    assert got.triggers[:: lines // 50] == [
        motion.arrives(20 * k) + _HOPS for k in range(0, lines, lines // 50)
    ]
