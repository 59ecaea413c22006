"""A wired box moves values a hop at a time, follows its clock and stays deterministic."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panda_simulator.clock import TICKS_PER_SECOND, FreeRunningClock, RealTimeClock, SteppedClock
from panda_simulator.fabric.pace import TURN, Pace
from panda_simulator.hardware import Completion

# Hops, delays, snapshots


def test_power_up_values_are_there_before_anything_runs(bench):
    assert bench.get("INENC", "CONN") == 1
    assert bench.get("SYSTEM", "TEMP_PSU") == 30
    assert bench.get("SFP2_SYNC_IN", "HEALTH") == 1
    assert bench.get("PCAP", "HEALTH") == 0
    assert not bench.fabric.read_positions()[0].any()


def test_a_write_acts_at_once_in_its_block_and_a_hop_later_in_the_next(bench):
    bench.set("TTLOUT", VAL="BITS1.OUTA")
    bench.run(5)
    seen: list[tuple[int, int]] = []
    bench.world.observe("TTLOUT", 1, lambda tick, level: seen.append((tick, level)))
    bench.set("BITS", A=1)
    assert bench.bit("BITS1.OUTA")
    assert seen == []
    written = bench.fabric.tick
    bench.run(5)
    assert seen == [(written + 1, 1)]


def test_a_delay_belongs_to_the_input_and_keeps_short_pulses(bench):
    bench.set("PULSE", ENABLE="ONE", TRIG="BITS1.OUTA", WIDTH_L=5)
    bench.set("TTLOUT", VAL="PULSE1.OUT", VAL_DELAY=31)
    bench.run(50)
    seen: list[tuple[int, int]] = []
    bench.world.observe("TTLOUT", 1, lambda tick, level: seen.append((tick, level)))
    bench.set("BITS", A=1)
    rise = bench.fabric.tick + 1
    bench.run(60)
    assert seen == [(rise + 32, 1), (rise + 37, 0)]


def test_a_changed_delay_or_source_leaves_the_input_right(bench):
    bench.set("BITS", A=1)
    bench.set("TTLOUT", VAL="BITS1.OUTA", VAL_DELAY=20)
    bench.set("BITS", A=0)
    bench.set("TTLOUT", VAL_DELAY=0)
    bench.run(40)
    assert bench.world.level("TTLOUT", 1) == 0
    bench.set("TTLOUT", VAL="ONE")
    bench.run(2)
    assert bench.world.level("TTLOUT", 1) == 1
    bench.set("TTLOUT", VAL=128)
    bench.run(2)
    assert bench.world.level("TTLOUT", 1) == 0


def test_a_lut_that_inverts_itself_toggles_every_tick(bench):
    bench.set("COUNTER", ENABLE="ONE", TRIG="LUT1.OUT")
    bench.set("LUT", INPA="LUT1.OUT", FUNC=0x0000FFFF)
    bench.run(10)
    before = bench.position("COUNTER1.OUT")
    bench.run(1000)
    assert bench.position("COUNTER1.OUT") == before + 500


def test_snapshots_latch_a_pulse_between_them(bench):
    bench.set("PULSE", ENABLE="ONE", TRIG="BITS1.OUTA", WIDTH_L=5)
    bench.run(5)
    bench.fabric.read_bits()
    bench.set("BITS", A=1)
    bench.run(100)
    values, changes = bench.fabric.read_bits()
    assert (values[bench.source("PULSE1.OUT")], changes[bench.source("PULSE1.OUT")]) == (
        False,
        True,
    )
    assert not bench.fabric.read_bits()[1].any()


def test_inputs_are_driven_and_registers_read_back(bench):
    bench.world.drive("TTLIN", 2, 1)
    assert bench.bit("TTLIN2.VAL")
    bench.set("PULSE", 3, WIDTH_L=77)
    assert bench.get("PULSE", "WIDTH_L", 3) == 77
    bench.set("FUTURE", ANSWER=42)
    assert bench.get("FUTURE", "ANSWER") == 42
    with pytest.raises(KeyError):
        bench.fabric.write_register("TEAPOT", 1, "A", 1)


# Encoders


def test_an_unwatched_encoder_costs_nothing_and_is_read_where_it_is(bench):
    calls = bench.fabric.calls
    bench.finish_move(12.3456)
    assert bench.position("INENC1.VAL") == 123_456
    assert bench.fabric.calls - calls < 5
    values, changes = bench.fabric.read_positions()
    assert not changes[bench.source("INENC1.VAL")]
    bench.set("INENC", SETP=-5 & 0xFFFFFFFF)
    bench.run(2)
    values, changes = bench.fabric.read_positions()
    assert values[bench.source("INENC1.VAL")] == -5
    assert changes[bench.source("INENC1.VAL")]
    assert bench.get("INENC", "HOMED") == 1


def test_encoder_lines_toggle_once_a_count_when_somebody_listens(bench):
    bench.set("COUNTER", 1, ENABLE="ONE", TRIG="INENC1.A", TRIG_EDGE=2)
    bench.set("COUNTER", 2, ENABLE="ONE", TRIG="INENC1.B", TRIG_EDGE=2)
    bench.finish_move(0.04)
    assert bench.position("COUNTER1.OUT") + bench.position("COUNTER2.OUT") == 400


def test_a_block_that_adds_up_positions_sees_every_count(bench):
    bench.set("CALC", INPA="INENC1.VAL", INPB="INENC2.VAL")
    bench.world.axes["y"].move(-0.001)
    bench.finish_move(0.01)
    assert bench.position("CALC1.OUT") == 90


def test_a_serial_encoder_is_read_once_a_frame(bench):
    bench.set("INENC", PROTOCOL=1, BITS=24, CLK_PERIOD=125, FRAME_PERIOD=125_000_000)
    bench.world.axes["x"].velocity = 100.0
    end = bench.world.axes["x"].move(1.0)
    bench.fabric.run_until(end)
    assert bench.position("INENC1.VAL") == 0
    bench.run(125_000_000)
    assert bench.position("INENC1.VAL") == 10_000
    assert bench.get("INENC", "HEALTH") == 0


# Time


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(st.integers(1, 400_000), max_size=20))
def test_stepping_in_any_way_gives_the_same_data(make_bench, steps):
    def capture(steps: list[int]) -> bytes:
        bench = make_bench()
        sink = bench.compare([0x00, 0x01, 0x02, 0x240], START=20, STEP=9, WIDTH=3, PULSES=9)
        end = bench.world.axes["x"].move(0.02) + 100
        for step in steps:
            bench.fabric.run_until(min(bench.fabric.tick + step, end))
        bench.fabric.run_until(end)
        return sink.data

    assert capture(steps) == capture([])


def test_advance_goes_where_a_stepped_clock_is(bench):
    bench.set("CLOCK", ENABLE="ONE", PERIOD=2)
    bench.clock.advance_to(50_000)
    bench.fabric.advance()
    assert bench.fabric.tick == 50_000


def test_a_box_that_is_too_busy_lags_and_skips_nothing(make_bench):
    seconds = [0.0]
    bench = make_bench(RealTimeClock(seconds=lambda: seconds[0]))
    bench.set("COUNTER", ENABLE="ONE", TRIG="CLOCK1.OUT")
    bench.set("CLOCK", ENABLE="ONE", PERIOD=2)
    start = bench.fabric.tick
    seconds[0] = 1.0
    bench.fabric.advance()
    passed = bench.fabric.tick - start
    assert 0 < passed < 125_000_000
    assert bench.clock.now() == pytest.approx(bench.fabric.tick, abs=2)
    assert bench.position("COUNTER1.OUT") == pytest.approx(passed / 2, abs=2)


def _late_pace() -> tuple[Pace, list[float]]:
    seconds = [0.0]
    return Pace(lambda: seconds[0]), seconds


def test_a_box_that_catches_up_keeps_its_time():
    pace, seconds = _late_pace()
    for late in (0.4, 0.39, 0.3, 0.2, 0.1, 0.06, 0.01):
        assert not pace.hopeless(late)
        seconds[0] += 0.11
    assert not pace.hopeless(0.3)


@pytest.mark.parametrize("lates", [[0.1, 0.1], [0.06, 0.07], [0.3, 0.2, 0.25], [0.6]])
def test_a_box_that_does_not_catch_up_is_set_back(lates):
    pace, seconds = _late_pace()
    for late in lates[:-1]:
        assert not pace.hopeless(late)
        seconds[0] += 0.11
    assert pace.hopeless(lates[-1])


def test_a_box_that_repeats_itself_keeps_its_time_however_late_it_is(make_bench):
    seconds = [0.0]
    bench = make_bench(RealTimeClock(seconds=lambda: seconds[0]))
    bench.set("CLOCK", PERIOD=125, ENABLE="BITS1.OUTA")
    bench.set("COUNTER", ENABLE="ONE", TRIG="CLOCK1.OUT")
    bench.set("PCAP", ENABLE="ONE", TRIG="CLOCK1.OUT")
    sink = bench.sink()
    bench.fabric.arm([bench.source("COUNTER1.OUT") << 4, 0x240, 0x250] * 5, sink)
    bench.set("BITS", A=1)
    while bench.fabric._engine.leaps.proven_to is None:
        seconds[0] += 1e-4  # more than a leap saves, or none is proven
        bench.fabric.advance()
    seconds[0] += 2.0
    target = bench.clock.now()
    while not bench.fabric.simulate(target):
        bench.fabric._lag(bench.clock.horizon())
    assert bench.clock.now() == target


async def test_run_follows_the_clock_and_wakes_up_for_work(make_bench):
    bench = make_bench(RealTimeClock())
    task = asyncio.create_task(bench.fabric.run())
    seen = asyncio.Event()
    bench.world.observe("TTLOUT", 1, lambda _tick, level: seen.set() if level else None)
    bench.set("PULSE", ENABLE="ONE", TRIG="BITS1.OUTA", WIDTH_L=1000, DELAY_L=125_000)
    bench.set("TTLOUT", VAL="PULSE1.OUT")
    bench.set("BITS", A=1)
    await seen.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


class Looks:
    """Real time that passes by 10 us whenever somebody looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1e-5
        return self.now


@pytest.fixture
def saturated(make_bench):
    """A box on a real clock with an event at every tick, which Python cannot keep up with."""
    bench = make_bench(RealTimeClock(), leaps=False)
    bench.set("LUT", INPA="LUT1.OUT", FUNC=0x0000FFFF)
    bench.fabric._pace = Pace(Looks())
    return bench


async def test_run_stays_responsive_when_it_cannot_keep_up(saturated):
    fabric = saturated.fabric
    task = asyncio.create_task(fabric.run())
    await asyncio.sleep(0)
    for _ in range(20):
        before = fabric.calls
        await asyncio.sleep(0)
        assert 0 < fabric.calls - before < 2 * TURN / 1e-5
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_commands_to_a_box_too_busy_wait_for_a_little_of_its_past_each(saturated):
    fabric = saturated.fabric
    before = fabric.calls
    for _ in range(1000):
        fabric.advance()
    assert fabric.calls - before < 20_000


def test_a_box_too_busy_still_shows_what_a_command_has_set_off(saturated):
    saturated.set("TTLOUT", VAL="SRGATE1.OUT")
    saturated.set("SRGATE", ENABLE="ONE", SET="BITS1.OUTA")
    for level in (0, 1):
        saturated.set("BITS", A=level)
        saturated.fabric.advance()
        assert saturated.world.level("TTLOUT", 1) == level


class RestlessClock(SteppedClock):
    """Time goes on whenever somebody looks, as a real clock's does."""

    stride = 1000

    def now(self) -> int:
        self.advance_by(self.stride)
        return super().now()


class Recorded:
    """A capture sink that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def started(self, start_time_ns: int, hardware_time_ns: int | None) -> None:
        self.told.append("started")

    def samples(self, data: bytes) -> None:
        self.told.append("samples")

    def ended(self, completion: Completion) -> None:
        self.told.append("ended")


def test_arming_while_triggers_run_does_not_end_what_it_begins(make_bench):
    bench = make_bench(RestlessClock())
    bench.set("CLOCK", ENABLE="ONE", PERIOD=100)
    bench.set("PCAP", TRIG="CLOCK1.OUT", ENABLE="ONE")
    for _ in range(20):
        sink = Recorded()
        bench.fabric.arm([0x240], sink)
        bench.fabric.advance()
        assert "ended" not in sink.told
        assert "samples" in sink.told
        bench.fabric.disarm()
        bench.fabric.advance()
        assert sink.told[-1] == "ended"


def test_a_write_to_a_box_too_busy_for_its_clock_costs_a_bounded_number_of_calls(make_bench):
    clock = RestlessClock()
    clock.stride = 10_000_000
    clock.waits = False
    bench = make_bench(clock)
    bench.set("LUT", INPA="LUT1.OUT", FUNC=0x0000FFFF)  # an event at every tick
    before = bench.fabric.calls
    bench.set("BITS", A=1)
    assert bench.bit("BITS1.OUTA")
    assert bench.fabric.calls - before < 20_000


def test_axes_moved_together_stay_in_step(bench):
    end = bench.world.move({"x": 0.1, "y": -0.1})
    bench.fabric.run_until(end // 2)
    assert bench.position("INENC1.VAL") == pytest.approx(-bench.position("INENC2.VAL"), abs=1)
    assert bench.position("INENC1.VAL") > 0


def test_catching_up_ends_although_time_goes_on_meanwhile(make_bench):
    seconds = iter(range(10_000))
    bench = make_bench(RealTimeClock(seconds=lambda: float(next(seconds))))
    start = bench.fabric.tick
    bench.fabric.advance()
    assert bench.fabric.tick > start


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("delay", range(6))
def test_a_position_that_changes_about_when_the_gate_opens_is_added_up(make_bench, late, delay):
    """PCAP watches positions while its gate is open; what was on its way before counts too."""
    bench = make_bench(hardware_latency=late)
    bench.set("COUNTER", TRIG="TTLIN1.VAL", TRIG_DELAY=2, STEP=100, ENABLE="ONE")
    bench.set("PCAP", ENABLE="ONE", GATE="TTLIN1.VAL", GATE_DELAY=delay, TRIG="TTLIN2.VAL")
    bench.run(50)
    count = bench.source("COUNTER1.OUT") << 4
    sink = bench.sink()
    bench.fabric.arm([count | 2, count | 4, count | 5, 0x260], sink)
    bench.run(50)
    bench.world.drive("TTLIN", 1, 1)
    bench.run(20)
    bench.world.drive("TTLIN", 2, 1)
    bench.run(20)
    # ticks from the edge to the count seen by PCAP, and to the open gate
    counted, opened = (3 + 2 + 2, 4 + delay) if late else (1 + 2 + 1, 1 + delay)
    closed = 21 + (4 if late else 1)
    ones = closed - max(counted, opened)
    total, low = 100 * ones, 0 if opened < counted else 100
    assert sink.rows(4) == [[total, low, 100, closed - opened]]


@pytest.mark.parametrize("make_clock", [SteppedClock, FreeRunningClock])
def test_who_is_told_of_an_output_may_drive_an_input_and_move_an_axis(make_bench, make_clock):
    bench = make_bench(make_clock())
    bench.set("TTLOUT", 1, VAL="BITS1.OUTA")
    told = list[tuple[int, int]]()

    def answer(tick: int, level: int) -> None:
        told.append((tick, level))
        bench.world.drive("TTLIN", 1, level)
        if level:
            bench.world.axes["x"].move(0.001)

    bench.world.observe("TTLOUT", 1, answer)
    bench.set("BITS", A=1)
    bench.run(10)
    assert bench.bit("TTLIN1.VAL")
    bench.set("BITS", A=0)
    bench.run(10)
    assert not bench.bit("TTLIN1.VAL")
    assert [level for _, level in told] == [1, 0]
    bench.run(10_000_000)
    assert bench.world.axes["x"].position() == 0.001


def test_an_answer_to_every_output_holds_while_a_box_that_is_late_catches_up(make_bench):
    """Thousands of outputs are told of in one go, each in its turn and not within the other."""
    now = [0.0]
    bench = make_bench(RealTimeClock(seconds=lambda: now[0]))
    bench.set("TTLOUT", 1, VAL="CLOCK1.OUT")
    bench.set("COUNTER", ENABLE="ONE", TRIG="TTLIN1.VAL")
    ticks = list[int]()

    def answer(tick: int, level: int) -> None:
        ticks.append(tick)
        bench.world.drive("TTLIN", 1, level)

    bench.world.observe("TTLOUT", 1, answer)
    bench.set("CLOCK", PERIOD=100, ENABLE="ONE")
    now[0] = 0.004
    bench.fabric.run_until(500_000)
    assert ticks == sorted(set(ticks))
    assert len(ticks) > 9_900
    assert bench.get("COUNTER", "OUT") == len(ticks) // 2


def test_an_axis_stands_when_the_box_has_seen_it_stand_not_when_the_clock_says_so(make_bench):
    now = [0.0]
    bench = make_bench(RealTimeClock(seconds=lambda: now[0]))
    axis = bench.world.axes["x"]
    axis.acceleration, axis.velocity = 10_000.0, 100.0  # there in some 80,000 ticks
    end = axis.move(0.001)
    # too much for one look: a loop that changes at every tick, and is observed
    bench.world.observe("TTLOUT", 1, lambda tick, level: None)
    bench.set("LUT", FUNC=0x0000FFFF, INPA="LUT1.OUT")
    bench.set("TTLOUT", 1, VAL="LUT1.OUT")
    now[0] = 2 * end / TICKS_PER_SECOND
    looks = 0
    while axis.moving():
        assert bench.fabric.tick < end
        assert axis.position() <= 0.001
        bench.fabric.simulate(bench.fabric.tick + 10_000)
        looks += 1
    assert looks
    assert bench.fabric.tick >= end - 1
    assert axis.position() == 0.001
