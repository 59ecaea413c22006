"""A client's clocked capture: every option of a column against closed form, to the tick."""

from __future__ import annotations

from itertools import pairwise

import pytest

from .rehearsal import rehearsed

COUNTED = (
    "CLOCK1.PERIOD.RAW=1000",
    "CLOCK1.WIDTH.RAW=100",
    "CLOCK2.PERIOD.RAW=7",
    "CLOCK2.WIDTH.RAW=3",
    "COUNTER1.TRIG=CLOCK2.OUT",
    "COUNTER1.START=-50",
    "COUNTER1.STEP=3",
    "PCAP.TRIG=CLOCK1.OUT",
    "COUNTER1.OUT.CAPTURE=Value Diff Sum Min Max Mean",
    "PCAP.TS_START.CAPTURE=Value",
    "PCAP.TS_END.CAPTURE=Value",
    "PCAP.TS_TRIG.CAPTURE=Value",
    "PCAP.GATE_DURATION.CAPTURE=Value",
)
"""A counter that goes 3 up every 7 ticks, and a frame every 1000."""

_LOW, _HIGH = 2**31 - 1, -(2**31)


def enable(*names: str) -> list[str]:
    return [f"{name}.ENABLE=BITS.OUTA" for name in names]


def count(tick: int, enabled: int) -> int:
    """Return COUNTER1.OUT as PCAP sees it at a tick.

    CLOCK2 is high first one tick after it is enabled, the counter sees that a hop later,
    and PCAP the count another hop later (blocks.md 1.3, 5.3).
    """
    edges = max(0, (tick - enabled - 3) // 7 + 1)
    return -50 + 3 * edges if tick > enabled else 0


@pytest.mark.parametrize("shift", [0, 3, 8])
@pytest.mark.parametrize("rows", [3, 300])
async def test_all_options_of_a_counter_are_those_of_its_counts(shift, rows):
    async with rehearsed(
        *COUNTED,
        *enable("CLOCK1", "CLOCK2", "COUNTER1", "PCAP"),
        "PCAP.GATE=ONE",
        f"PCAP.SHIFT_SUM={shift}",
    ) as box:
        asked = box.simulator.tick
        await box.arm()
        await box.set("BITS.A=1")
        # the mux is set, so a hop is what the level needs to each block
        enabled = box.simulator.tick + 1
        await box.run(1000 * rows + 500)
        await box.set("BITS.A=0")
        await box.run(10)
        got = await box.acquired()
    assert (got.armed, got.start) == (asked, enabled)
    # the first trigger: the clock is high at enabled + 1, PCAP sees that a hop later
    triggers = [enabled + 2 + 1000 * k for k in range(rows + 1)]
    assert got.triggers == triggers
    frames = [range(a, b) for a, b in pairwise([enabled, *triggers])]
    values = [[count(tick, enabled) for tick in frame] for frame in frames]
    assert got["COUNTER1.OUT"] == [count(tick, enabled) for tick in triggers]
    assert got["COUNTER1.OUT Sum"] == [sum(frame) >> shift for frame in values]
    assert got["COUNTER1.OUT Mean"] == got["COUNTER1.OUT Sum"]
    assert got["COUNTER1.OUT Min"] == [min(frame) for frame in values]
    assert got["COUNTER1.OUT Max"] == [max(frame) for frame in values]
    # a gate that stays high: from one trigger to the next
    assert got["COUNTER1.OUT Diff"] == [
        count(b, enabled) - count(a, enabled) for a, b in pairwise([enabled, *triggers])
    ]
    assert got["PCAP.GATE_DURATION"] == [len(frame) >> shift for frame in frames]
    assert got["PCAP.TS_START"] == [frame.start - enabled for frame in frames]
    assert got["PCAP.TS_END"] == [frame.stop - enabled for frame in frames]
    assert got.end == f"END {rows + 1} Ok"


async def gated(*settings: str, ticks: int = 50_500):
    """Capture the counter through a gate; return acquisition and enabled tick."""
    async with rehearsed(
        *COUNTED, *enable("CLOCK1", "CLOCK2", "COUNTER1", "PCAP"), *settings
    ) as box:
        await box.arm()
        await box.set("BITS.A=1")
        enabled = box.simulator.tick + 1
        await box.run(ticks)
        await box.set("BITS.A=0")
        await box.run(10)
        return await box.acquired(), enabled


def expect(got, enabled: int, windows: list[list[range]], triggers: list[int]) -> None:
    """Compare a capture with gate windows, one list of them for each frame."""
    ticks = [[tick for window in frame for tick in window] for frame in windows]
    values = [[count(tick, enabled) for tick in frame] for frame in ticks]
    assert got.triggers == triggers
    assert got["COUNTER1.OUT Sum"] == [sum(frame) for frame in values]
    assert got["COUNTER1.OUT Min"] == [min(frame, default=_LOW) for frame in values]
    assert got["COUNTER1.OUT Max"] == [max(frame, default=_HIGH) for frame in values]
    assert got["PCAP.GATE_DURATION"] == [len(frame) for frame in ticks]
    assert got["COUNTER1.OUT Diff"] == [
        sum(count(window.stop, enabled) - count(window.start, enabled) for window in frame)
        for frame in windows
    ]
    assert got["PCAP.TS_START"] == [frame[0].start - enabled if frame else -1 for frame in windows]
    assert got["PCAP.TS_END"] == [frame[-1].stop - enabled if frame else -1 for frame in windows]


async def test_a_gate_from_a_pulse_has_its_width_and_its_ticks():
    got, enabled = await gated(
        "PULSE1.ENABLE=BITS.OUTA",
        "PULSE1.TRIG=CLOCK1.OUT",
        "PULSE1.DELAY.RAW=200",
        "PULSE1.WIDTH.RAW=333",
        "PCAP.GATE=PULSE1.OUT",
    )
    triggers = [enabled + 2 + 1000 * k for k in range(51)]
    # PULSE sees the clock when PCAP does, and PCAP the pulse a hop after it
    windows = [range(tick + 201, tick + 534) for tick in triggers]
    expect(got, enabled, [[], *([window] for window in windows[:-1])], triggers)
    assert got.end == "END 51 Ok"


async def test_several_windows_of_a_frame_are_added_up():
    got, enabled = await gated(
        "PULSE1.ENABLE=BITS.OUTA",
        "PULSE1.TRIG=CLOCK1.OUT",
        "PULSE1.WIDTH.RAW=11",
        "PULSE1.PULSES=5",
        "PULSE1.STEP.RAW=100",
        "PCAP.GATE=PULSE1.OUT",
        "PCAP.GATE.DELAY=9",
    )
    triggers = [enabled + 2 + 1000 * k for k in range(51)]
    windows = [
        [range(tick + 10 + 100 * k, tick + 21 + 100 * k) for k in range(5)] for tick in triggers
    ]
    expect(got, enabled, [[], *windows[:-1]], triggers)


async def test_a_gate_from_a_flip_flop_lasts_from_set_to_reset():
    got, enabled = await gated(
        "SRGATE1.ENABLE=BITS.OUTA",
        "SRGATE1.SET=CLOCK1.OUT",
        "SRGATE1.RST=CLOCK1.OUT",
        "SRGATE1.RST_EDGE=Falling",
        "SRGATE1.SET.DELAY=20",
        "PCAP.GATE=SRGATE1.OUT",
    )
    triggers = [enabled + 2 + 1000 * k for k in range(51)]
    # set 20 ticks after the rise, reset at the fall, 100 after it
    windows = [range(tick + 21, tick + 101) for tick in triggers]
    expect(got, enabled, [[], *([window] for window in windows[:-1])], triggers)


async def test_a_gate_that_lasts_over_triggers_is_cut_at_each():
    got, enabled = await gated(
        "PULSE1.ENABLE=BITS.OUTA",
        "PULSE1.TRIG=BITS.OUTB",
        "PULSE1.DELAY.RAW=1500",
        "PULSE1.WIDTH.RAW=2750",
        "PULSE1.TRIG_EDGE=Either",
        "PCAP.GATE=PULSE1.OUT",
        "BITS.B=0",
        "PULSE1.TRIG=CLOCK1.OUT",
        "PULSE1.TRIG_EDGE=Rising",
        ticks=3600,
    )
    triggers = [enabled + 2 + 1000 * k for k in range(4)]
    first, last = triggers[0] + 1501, triggers[0] + 1501 + 2750
    assert triggers[3] < last
    windows = [[], [], [range(first, triggers[2])], [range(triggers[2], triggers[3])]]
    expect(got, enabled, windows, triggers)


@pytest.mark.parametrize(("edge", "first", "step"), [("Falling", 102, 1000), ("Either", 2, None)])
async def test_the_edge_of_the_trigger_is_chosen(edge, first, step):
    got, enabled = await gated("PCAP.GATE=ONE", f"PCAP.TRIG_EDGE={edge}", ticks=10_500)
    if step:
        assert got.triggers == [enabled + first + step * k for k in range(11)]
    else:
        assert got.triggers == [
            enabled + 2 + 1000 * k + offset for k in range(11) for offset in (0, 100)
        ]


async def test_a_mean_needs_no_duration_of_the_user():
    async with rehearsed(
        *COUNTED[:8],
        *enable("CLOCK1", "CLOCK2", "COUNTER1", "PCAP"),
        "COUNTER1.OUT.CAPTURE=Mean",
        "COUNTER1.OUT.SCALE=0.5",
        "COUNTER1.OUT.OFFSET=10",
        "PCAP.GATE=ONE",
    ) as box:
        await box.arm()
        await box.set("BITS.A=1")
        enabled = box.simulator.tick + 1
        await box.run(5500)
        await box.set("BITS.A=0")
        await box.run(10)
        got = await box.acquired()
    # the hidden sample count comes first (blocks.md 4.5)
    duration, total = list(got.columns.values())
    assert duration == [2, *[1000] * 5]
    ticks = [range(enabled + 2 + 1000 * k, enabled + 1002 + 1000 * k) for k in range(5)]
    assert total[1:] == [sum(count(tick, enabled) for tick in frame) for frame in ticks]


async def test_words_of_bits_are_the_bus_at_the_trigger():
    async with rehearsed(
        *COUNTED[:8],
        *enable("CLOCK1", "PCAP"),
        "CLOCK2.ENABLE=CLOCK1.OUT",
        *(f"PCAP.BITS{n}.CAPTURE=Value" for n in range(4)),
        "PCAP.TRIG.DELAY=5",
        "BITS.B=1",
        "SEQ1.ENABLE=ZERO",
    ) as box:
        box.world.drive("TTLIN", 3, 1)
        await box.arm()
        await box.set("BITS.A=1")
        await box.run(3500)
        await box.set("BITS.A=0")
        await box.run(10)
        got = await box.acquired()
    # blocks.md 2: TTLIN3 2, INENC.A ff 8, INENC.CONN 24 to 27, PCAP.ACTIVE 32, BITS.OUTA 33,
    # OUTB 34, CLOCK1.OUT 37, CLOCK2.OUT 38
    word0 = 1 << 2 | 0b1111 << 24
    word1 = 1 | 0b11 << 1 | 1 << 37 - 32
    # CLOCK2 is enabled a hop after CLOCK1 is high and goes high a tick later: it is seen
    # low at the trigger's delay of 5 as 3 high, 4 low of 7
    assert got["PCAP.BITS0"] == [word0] * 4
    assert [word & ~(1 << 38 - 32) for word in got["PCAP.BITS1"]] == [word1] * 4
    assert got["PCAP.BITS2"] == [0] * 4
    assert got["PCAP.BITS3"] == [0] * 4


async def test_scaled_data_are_the_raw_ones_scaled():
    """Value, Mean and times as a client gets them that lets the server scale."""
    async with rehearsed(
        *COUNTED[:8],
        *enable("CLOCK1", "CLOCK2", "COUNTER1", "PCAP"),
        "COUNTER1.OUT.CAPTURE=Value Mean",
        "COUNTER1.OUT.SCALE=0.001",
        "COUNTER1.OUT.OFFSET=-2",
        "PCAP.TS_TRIG.CAPTURE=Value",
        "PCAP.GATE=CLOCK2.OUT",
        options="XML FRAMED SCALED",
    ) as box:
        await box.arm()
        await box.set("BITS.A=1")
        enabled = box.simulator.tick + 1
        await box.run(100_500)
        await box.set("BITS.A=0")
        await box.run(10)
        got = await box.acquired()
    triggers = [enabled + 2 + 1000 * k for k in range(101)]
    # CLOCK2 is high at 1, 2, 3 of 7 and seen by PCAP a hop later
    gates = [tick for tick in range(enabled, triggers[-1]) if (tick - enabled - 2) % 7 < 3]
    gates = [tick for tick in gates if tick >= enabled + 2]
    assert got["COUNTER1.OUT"] == pytest.approx(
        [count(tick, enabled) * 0.001 - 2 for tick in triggers], abs=1e-12
    )
    means = []
    for a, b in pairwise([enabled, *triggers]):
        frame = [count(tick, enabled) for tick in gates if a <= tick < b]
        means.append(sum(frame) / len(frame) * 0.001 - 2 if frame else float("nan"))
    assert got["COUNTER1.OUT Mean"] == pytest.approx(means, abs=1e-12, nan_ok=True)
    assert got["PCAP.TS_TRIG"] == pytest.approx([(t - enabled) * 8e-9 for t in triggers], abs=1e-15)
