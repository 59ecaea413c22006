"""Scans on a copy of a box: what they would do, and that the box does not notice."""

from __future__ import annotations

import _thread
import asyncio
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from bluesky.run_engine import RunEngine, call_in_bluesky_event_loop, get_bluesky_event_loop
from ophyd_async.core import (
    DetectorTrigger,
    StaticFilenameProvider,
    StaticPathProvider,
    TriggerInfo,
    init_devices,
)
from ophyd_async.fastcs.panda import (
    SeqTable,
    SeqTableInfo,
    SeqTrigger,
    StaticSeqTableFlyableLogic,
)
from scanspec.specs import Fly, Line  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd import HDFPanda
from panda_ophyd.demo import position_compare
from panda_ophyd.encoders import BoundAxis, Encoder
from panda_ophyd.errors import FieldValueError, PreflightError, RehearsalError, StallError
from panda_ophyd.plans import pcomp_scan, time_resolved
from panda_ophyd.rehearsal import MotorTwin, async_rehearse, rehearse
from panda_simulator.motor import SimMotor

from .conftest import state_of, tell

SCALE = 1e-4
"""mm a count."""

X = {"x": MotorTwin(Encoder("INENC1.VAL", SCALE, 0.0, "mm"))}
compare = partial(position_compare, counts_per_mm=10_000, points=40)


@pytest.fixture
def session(real, tmp_path):
    """A session as a user has it: a RunEngine, the real box and the real motor."""
    engine = RunEngine()
    provider = StaticPathProvider(StaticFilenameProvider("real"), tmp_path)
    with init_devices():
        panda = HDFPanda(real.address, provider, name="panda")
        x = SimMotor(real.world.axes["x"], real.call, name="x")
    yield engine, panda, x
    call_in_bluesky_event_loop(panda.disconnect())
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    engine._th.join()
    engine.loop.close()


def sequence(
    panda: Any, *tables: tuple[int, int, int], edge: str = "Falling", wait: str = ""
) -> Any:
    """Fly one table of lines (repeats, live, dead) of µs, through upstream's logic."""
    flyer = StaticSeqTableFlyableLogic(panda.seq[1]).with_device(name="sequence")
    trigger = SeqTrigger.BITA_1 if wait else SeqTrigger.IMMEDIATE
    table = SeqTable.empty()
    for repeats, live, dead in tables:
        table += SeqTable.row(repeats=repeats, trigger=trigger, time1=live, outa1=True, time2=dead)
    events = sum(repeats for repeats, _, _ in tables)
    yield from bps.mv(
        panda.pcap.enable, "SEQ1.ACTIVE", panda.pcap.gate, "SEQ1.OUTA",
        panda.pcap.trig, "SEQ1.OUTA", panda.pcap.trig_edge, edge,
        panda.inenc[1].val_capture, "Value", panda.seq[1].bita, wait or "ZERO",
    )  # fmt: skip

    @bpp.stage_decorator([panda, flyer])
    @bpp.run_decorator()
    def fly() -> Any:
        info = SeqTableInfo(sequence_table=table, repeats=1, prescale_as_us=1)
        yield from bps.prepare(flyer, info, wait=True)
        yield from bps.prepare(
            panda,
            TriggerInfo(number_of_events=events, trigger=DetectorTrigger.EXTERNAL_EDGE),
            wait=True,
        )
        yield from bps.declare_stream(panda, name="primary", collect=True)
        yield from bps.kickoff_all(panda, flyer, wait=True)
        yield from bps.collect_while_completing(
            flyers=[panda, flyer], dets=[panda], flush_period=0.1, stream_name="primary"
        )

    yield from fly()


# What is told


def test_a_position_compare_is_told_row_by_row(real):
    found = rehearse(compare, real.address, X)
    assert found.ok, str(found)
    assert (found.rows, found.rows_asked) == (40, 40)
    assert np.rint(found.data["x"] / SCALE).tolist() == [10_000 + 500 * n for n in range(40)]
    # 0.05 mm at 2 mm/s
    assert np.rint(found.spacing * found.clock).tolist() == [3_125_000] * 39
    assert found.compares == {"PCOMP1": (40, 40)}
    assert found.end_reason == "Ok"
    # x 4 bytes, time 8 bytes
    assert found.bytes_per_row == 12
    assert found.rate == pytest.approx(12 / 0.025)
    assert found.duration > found.trigger_times[-1] > 0


def test_a_sequence_is_told_to_the_tick_with_its_use_of_the_table(real):
    found = rehearse(lambda panda: sequence(panda, (3, 100, 25), (5, 40, 10)), real.address)
    assert found.ok, str(found)
    ends = [100, 225, 350, 415, 465, 515, 565, 615]
    ticks = np.rint(found.trigger_times * found.clock).astype(int)
    assert (ticks - ticks[0]).tolist() == [(end - ends[0]) * 125 for end in ends]
    (use,) = found.tables
    assert (use.target, use.lines, use.streamed, use.loads) == ("SEQ1.TABLE", 2, False, 1)
    most = tell(real, "SEQ1.TABLE.MAX_LENGTH?").removeprefix("OK =")
    assert use.max_lines == int(most) // 4
    assert found.data["INENC1.VAL.Value"].tolist() == [0.5] * 8


def test_without_watching_times_are_those_of_the_stamps_and_rows_the_same(real):
    watched = rehearse(compare, real.address, X)
    found = rehearse(compare, real.address, X, watch=False)
    assert found.ok
    assert np.array_equal(found.data["x"], watched.data["x"])
    assert found.spacing == pytest.approx(watched.spacing, abs=1e-8)
    stampless = rehearse(lambda panda: sequence(panda, (3, 9, 1)), real.address, watch=False)
    assert (stampless.rows, stampless.trigger_times.size, stampless.rate) == (3, 0, 0)


def test_what_a_plan_returns_and_emits_is_there(real):
    def plan(panda, x):
        yield from bp.scan([panda.inenc[1].val], x, 0, 1, 3)
        return "done"

    found = rehearse(plan, real.address, X)
    assert found.result == "done"
    events = [doc["data"] for name, doc in found.documents if name == "event"]
    assert [event["panda-inenc-1-val"] for event in events] == [0, 5000, 10_000]
    assert (found.ok, found.rows, found.rows_asked) == (True, 0, 0)


def test_the_text_says_what_matters(real):
    text = str(rehearse(compare, real.address, X))
    assert f"{real.address} (copied; nothing was written to it)" in text
    assert "would go well" in text
    assert "40 of 40 asked for" in text
    assert "PCOMP1" in text


# Scans that would not go well


def test_a_gate_that_never_opens_is_a_stall_with_its_reason(real):
    found = rehearse(
        lambda panda: sequence(panda, (5, 40, 10), wait="TTLIN1.VAL"), real.address, patience=0.5
    )
    assert not found.ok
    assert isinstance(found.exception, Exception)
    assert "0 of 5 rows are on the disk" in found.problems[0]
    assert "what line 1 of SEQ1's table waits for" in found.problems[0]
    assert (found.rows, found.rows_asked) == (0, 5)


def test_a_gate_that_somebody_opens_before_is_open(real):
    found = rehearse(
        lambda panda: sequence(panda, (5, 40, 10), wait="TTLIN1.VAL"),
        real.address,
        before=lambda simulator: simulator.world.drive("TTLIN", 1, 1),
    )
    assert found.ok, str(found)
    assert found.rows == 5


def captures_much(panda):
    for number in range(1, 5):
        yield from bps.mv(panda.inenc[number].val_capture, "Sum Min Max Mean")
    for number in range(1, 9):
        yield from bps.mv(panda.counter[number].out_capture, "Sum Min Max Mean")
    yield from sequence(panda, (5, 40, 10))


def test_a_sample_of_too_many_words_is_told_by_the_preflight(real):
    found = rehearse(captures_much, real.address)
    assert not found.ok
    assert list(found.preflight) == ["too-many-words"]
    assert "63 is the most" in found.problems[0]
    assert isinstance(_ours(found.exception), PreflightError)


def _ours(error: BaseException | None) -> BaseException | None:
    while error is not None and not isinstance(error, PreflightError | StallError):
        error = error.__cause__ or error.__context__
    return error


def test_triggers_too_close_for_a_sample_end_with_a_framing_error(real):
    def plan(panda):
        yield from bps.mv(panda.data.waive, "too-close", panda.pcap.ts_trig_capture, "Value")
        for number in range(1, 5):
            yield from bps.mv(panda.counter[number].out_capture, "Value")
        yield from fast(panda)

    found = rehearse(plan, real.address)
    assert not found.ok
    assert found.end_reason == "Framing error"
    assert found.health["PCAP"] != "OK"
    assert any("Framing error" in problem for problem in found.problems)


def fast(panda):
    """Trigger PCAP every 4 ticks, with samples of 7 words."""
    yield from bps.mv(
        panda.clock[1].enable, "ZERO", panda.clock[1].period_units, "us",
        panda.clock[1].period, 0.032, panda.pcap.enable, "ONE", panda.pcap.trig, "CLOCK1.OUT",
    )  # fmt: skip

    @bpp.stage_decorator([panda])
    @bpp.run_decorator()
    def fly():
        info = TriggerInfo(number_of_events=100, trigger=DetectorTrigger.EXTERNAL_EDGE)
        yield from bps.prepare(panda, info, wait=True)
        yield from bps.kickoff(panda, wait=True)
        yield from bps.mv(panda.clock[1].enable, "ONE")
        yield from bps.complete(panda, wait=True)

    yield from fly()


def test_triggers_that_a_pulse_drops_are_counted_though_the_plan_cleans_up(real):
    def plan(panda):
        pulse, clock = panda.pulse[1], panda.clock[1]
        yield from bps.mv(pulse.delay_units, "s", pulse.width_units, "s", pulse.step_units, "s")
        yield from bps.mv(
            pulse.enable, "ONE", pulse.trig, "CLOCK1.OUT", pulse.width, 1e-3, pulse.pulses, 1
        )
        yield from bps.mv(clock.period_units, "s", clock.period, 4e-4)
        # a clock in time that is free makes edges until it is told to stop
        yield from bps.mv(clock.enable, "ONE")
        yield from bps.mv(clock.enable, "ZERO")
        yield from bps.mv(pulse.enable, "ZERO")
        yield from bps.mv(pulse.enable, "ONE")
        assert (yield from bps.rd(pulse.dropped)) == 0

    found = rehearse(plan, real.address, simulator={"speed": 1.0})
    assert found.exception is None, str(found)
    assert found.dropped["PULSE1"] > 0
    assert f"PULSE1 dropped {found.dropped['PULSE1']} triggers" in found.problems


def test_a_plan_that_fails_is_told_not_raised(real):
    def plan(panda):
        yield from bps.null()
        raise ZeroDivisionError("of the plan")

    found = rehearse(plan, real.address)
    assert not found.ok
    assert found.problems == ("ZeroDivisionError: of the plan",)
    assert isinstance(found.exception, ZeroDivisionError)


def test_fewer_rows_than_were_asked_for_are_a_problem(real):
    def plan(panda):
        info = TriggerInfo(number_of_events=7, trigger=DetectorTrigger.EXTERNAL_EDGE)
        yield from bps.mv(panda.pcap.enable, "ONE", panda.pcap.trig, "TTLIN1.VAL")
        yield from bps.stage(panda)
        yield from bps.prepare(panda, info, wait=True)
        yield from bps.open_run()
        yield from bps.kickoff(panda, wait=True)
        yield from bps.close_run()
        yield from bps.unstage(panda)

    found = rehearse(plan, real.address)
    assert not found.ok
    assert found.problems == ("0 rows where 7 were asked for",)


def test_a_plan_that_does_not_end_is_aborted_at_the_limit(real):
    cleaned = threading.Event()

    def plan(panda):
        def clean():
            cleaned.set()
            yield from bps.null()

        yield from bpp.finalize_wrapper(bps.sleep(3600), clean)

    found = rehearse(plan, real.address, time_limit=0.5)
    assert not found.ok
    assert "was not over after 0.5 s" in found.problems[0]
    assert cleaned.is_set()


def test_ctrl_c_ends_a_rehearsal_and_its_plan_cleans_up(real):
    cleaned = threading.Event()

    def plan(panda):
        def interrupted():
            # the main thread waits for the plan
            yield from bps.null()
            _thread.interrupt_main()
            yield from bps.sleep(3600)

        def clean():
            cleaned.set()
            yield from bps.null()

        yield from bpp.finalize_wrapper(interrupted(), clean)

    with pytest.raises(KeyboardInterrupt):
        rehearse(plan, real.address)
    assert cleaned.is_set()
    assert rehearse(lambda panda: bps.null(), real.address).ok


def test_a_pause_goes_on_at_once(real):
    def plan(panda):
        yield from bps.checkpoint()
        yield from bps.pause()
        return (yield from bps.rd(panda.pulse[3].width))

    assert rehearse(plan, real.address).ok


# The real thing is left alone


class BeamlinePanda(HDFPanda):
    """A PandA as a beamline has it."""


def test_the_copy_is_of_the_class_of_the_device_and_has_its_name(real, tmp_path):
    files = StaticPathProvider(StaticFilenameProvider("x"), tmp_path)
    panda = BeamlinePanda(real.address, files, name="bl-panda")

    def plan(copy):
        yield from bps.null()
        return type(copy), copy.name, str(copy.address)

    kind, name, address = rehearse(plan, panda).result
    assert (kind, name) == (BeamlinePanda, "bl-panda")
    assert address != str(panda.address) == real.address


def test_the_real_box_and_its_stage_are_as_they_were(real, session):
    _, panda, _ = session
    before, tick = state_of(real), real.world.axes["x"].position()
    assert rehearse(compare, panda, X).ok
    assert state_of(real) == before
    assert real.call(real.world.axes["x"].position) == tick == 0.5
    assert panda.pcap.arm is not None


def test_what_the_device_keeps_itself_is_taken_over_but_its_directory(real, session, tmp_path):
    engine, panda, _ = session
    engine(bps.mv(panda.inenc[1].val_dataset, "where", panda.data.hdf_directory, str(tmp_path)))
    found = rehearse(lambda twin: sequence(twin, (3, 9, 1)), panda)
    assert found.ok, str(found)
    assert "where" in found.data
    assert list(tmp_path.iterdir()) == []


def _real_panda(panda, x):
    return bps.stage(panda)


def _real_signal(panda, x):
    return bps.mv(panda.pulse[1].delay, 1.0)


def _real_motor(panda, x):
    return bps.mv(x, 3.0)


def _real_block_in_a_flyer(panda, x):
    flyer = StaticSeqTableFlyableLogic(panda.seq[1]).with_device(name="sequence")
    return bps.stage(flyer)


def _real_motor_bound(panda, x):
    return bps.abs_set(BoundAxis(x, panda, Encoder("INENC1.VAL", SCALE)), 3.0)


def _real_motor_deep_in_an_argument(panda, x):
    return bps.wait_for([partial(_called, {"motor": [x]})])


async def _called(_):
    raise AssertionError("it was run")


def _several_at_once(panda, x):
    return bps.declare_stream(x, name="primary")


@pytest.mark.parametrize(
    "touching",
    [
        _real_panda, _real_signal, _real_motor, _real_block_in_a_flyer, _real_motor_bound,
        _real_motor_deep_in_an_argument, _several_at_once,
    ],
)  # fmt: skip
def test_a_plan_that_would_touch_something_real_is_refused_before_it_does(real, session, touching):
    _, panda, x = session
    before = state_of(real)

    def plan(twin, motor):
        yield from bps.mv(motor, 1.0)
        yield from touching(panda, x)

    with pytest.raises(RehearsalError, match="which is not of the rehearsal"):
        rehearse(plan, panda, X)
    assert state_of(real) == before
    assert real.call(real.world.axes["x"].position) == 0.5


def test_a_plan_that_hides_its_refusal_is_refused_all_the_same(real, session):
    _, panda, x = session

    def plan(twin):
        yield from bpp.contingency_wrapper(
            bps.mv(x, 3.0), except_plan=lambda _: bps.null(), auto_raise=False
        )

    with pytest.raises(RehearsalError, match=r"set x \(SimMotor\)"):
        rehearse(plan, panda)


class Elsewhere:
    """A device of no framework that says nothing of where its hardware is."""

    name = "elsewhere"
    parent = None
    staged = 0

    def stage(self):
        self.staged += 1
        return [self]

    def unstage(self):
        return [self]


def test_a_device_of_which_nothing_is_known_has_to_be_allowed(real):
    device = Elsewhere()

    def plan(panda):
        yield from bps.stage(device)

    with pytest.raises(RehearsalError, match=r"stage elsewhere \(Elsewhere\)"):
        rehearse(plan, real.address)
    assert device.staged == 0
    assert rehearse(plan, real.address, allow=[device]).ok
    assert device.staged == 1


def test_a_question_to_the_user_is_refused(real):
    with pytest.raises(RehearsalError, match="asks for input"):
        rehearse(lambda panda: bps.input_plan("y/n?"), real.address)


@pytest.mark.parametrize("made", [bps.null(), compare(None, None), [], iter([])])
def test_a_plan_that_is_made_already_is_refused(real, made):
    with pytest.raises(FieldValueError, match="pass what makes it"):
        rehearse(made, real.address)


# Files


def test_files_are_gone_unless_they_are_kept(real, tmp_path):
    places: list[Path] = []

    def plan(panda):
        yield from sequence(panda, (3, 9, 1))
        places.append(Path((yield from bps.rd(panda.data.hdf_directory))))

    assert rehearse(plan, real.address).files == ()
    assert not places[0].exists()
    kept = rehearse(plan, real.address, keep=tmp_path / "kept")
    assert [path.exists() for path in kept.files] == [True]
    assert kept.files[0].is_relative_to(tmp_path / "kept")


def test_two_scans_of_a_plan_are_two_files_and_all_rows(real):
    def plan(panda):
        yield from sequence(panda, (3, 9, 1))
        yield from sequence(panda, (4, 9, 1))

    found = rehearse(plan, real.address)
    assert found.ok, str(found)
    assert (found.rows, found.rows_asked, len(found.verdict)) == (7, 7, 2)
    assert len(found.data["INENC1.VAL.Value"]) == 7


def test_a_directory_that_a_plan_sets_is_not_written_to(real, tmp_path):
    def plan(panda):
        yield from bps.mv(
            panda.data.hdf_directory, str(tmp_path), panda.data.hdf_file_name, "by-hand.h5",
            panda.pcap.enable, "ONE", panda.pcap.trig, "TTLIN1.VAL",
        )  # fmt: skip
        yield from bps.mv(panda.data.capture, True)
        path = yield from bps.rd(panda.data.hdf_full_file_path)
        yield from bps.mv(panda.data.capture, False)
        return Path(path)

    path = rehearse(plan, real.address).result
    assert path.name == "by-hand.h5"
    assert path.parent != tmp_path
    assert list(tmp_path.iterdir()) == []


# Sessions


def test_the_engine_of_the_session_goes_on_as_before(session):
    engine, panda, x = session
    loop = get_bluesky_event_loop()
    assert loop is engine.loop
    threads = threading.active_count()
    assert rehearse(compare, panda, X).ok
    assert get_bluesky_event_loop() is loop
    assert threading.active_count() == threads
    engine(bps.mv(x, 0.75))
    assert call_in_bluesky_event_loop(x.user_readback.get_value()) == 0.75


def test_a_rehearsal_within_a_plan_is_refused(session):
    engine, panda, _ = session

    def plan():
        with pytest.raises(RehearsalError, match="inside of a plan"):
            rehearse(compare, panda, X)
        yield from bps.null()

    engine(plan())


async def test_a_rehearsal_runs_where_a_loop_is_running_already(real):
    assert rehearse(compare, real.address, X).ok


async def test_a_rehearsal_leaves_the_loop_free_if_it_is_awaited(real):
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    beating = asyncio.create_task(beat())
    found = await async_rehearse(compare, real.address, X)
    beating.cancel()
    assert found.ok
    assert beats > 5


def test_two_rehearsals_at_once_take_turns(real):
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(rehearse(compare, real.address, X)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert [each.ok for each in found] == [True, True]


def test_an_hour_of_the_box_is_no_hour_of_ours(real):
    def plan(panda, x):
        yield from bps.mv(x.velocity, 0.001, x.acceleration_time, 1.0)
        yield from bps.mv(x, 4.5)

    begun = time.monotonic()
    found = rehearse(plan, real.address, X)
    assert found.ok, str(found)
    assert found.duration > 3600
    assert time.monotonic() - begun < 50


# Motors, specs and plans of our own


def test_a_time_resolved_scan_is_rehearsed_as_it_is_called(real):
    found = rehearse(partial(time_resolved, frames=500, live=1e-3, dead=1e-5), real.address)
    assert found.ok, str(found)
    assert (found.rows, found.rows_asked) == (500, 500)
    assert set(np.rint(found.spacing * found.clock).astype(int)) == {126_250}


def test_a_compare_of_our_own_is_rehearsed_with_a_bound_motor(real):
    def plan(panda, x):
        axis = BoundAxis(x, panda, Encoder("INENC1.VAL", SCALE, 0.0, "mm"))
        yield from pcomp_scan(panda, axis, 1.0, 2.0, 11, velocity=5.0)

    found = rehearse(plan, real.address, X)
    assert found.ok, str(found)
    assert (found.rows, found.rows_asked) == (11, 11)
    assert set(np.rint(found.spacing * found.clock).astype(int)) == {2_500_000}


@pytest.mark.parametrize(
    ("motors", "words"),
    [
        ({"x": "INENC1.VAL"}, "say which encoder follows it"),
        ({"x": Encoder("COUNTER1.OUT", 1.0)}, "only what an encoder input reads"),
        ({"x": Encoder("INENC9.VAL", 1.0)}, "has 4 INENC"),
        ({"x": Encoder("INENC1.VAL", 1.0), "y": Encoder("INENC1.VAL", 2.0)}, "the same encoder"),
    ],
)
def test_a_motor_that_cannot_be_is_refused(real, motors, words):
    with pytest.raises(FieldValueError, match=words):
        rehearse(lambda panda, *motors: bps.null(), real.address, motors)


def test_motors_stand_where_their_encoders_say_by_scale_and_offset(real):
    motors = {
        "up": Encoder("INENC1.VAL", 2e-4, 10.0, "mm"),
        "down": Encoder("INENC2.VAL", -1e-3, 1.0, "deg"),
        "set": MotorTwin(Encoder("INENC3.VAL", 0.5), position=20.0, low=0, high=30),
    }

    def plan(panda, up, down, placed):
        first = yield from bps.rd(up)
        second = yield from bps.rd(down)
        third = yield from bps.rd(placed)
        return [first, second, third], (yield from bps.rd(panda.inenc[3].val))

    places, counts = rehearse(plan, real.address, motors).result
    assert places == pytest.approx([11.0, 13.5, 20.0])
    assert counts == 40


def test_limits_of_a_motor_hold(real):
    twin = {"x": MotorTwin(Encoder("INENC1.VAL", SCALE), low=0, high=2)}
    found = rehearse(lambda panda, x: bps.mv(x, 3.0), real.address, twin)
    assert not found.ok
    assert "its limits are 0 and 2" in found.problems[0]


def test_the_motor_of_a_bound_axis_is_replaced_not_moved(real, session):
    _, panda, x = session
    bound = BoundAxis(x, panda, Encoder("INENC1.VAL", SCALE, 0.0, "mm"))
    assert rehearse(compare, panda, {"x": bound}).ok
    assert real.call(real.world.axes["x"].position) == 0.5


def test_a_spec_is_flown_on_the_copy_with_motors_that_are_bound(real):
    spec = Fly(0.01 @ (Line("y", -1, 0, 3) * ~Line("x", 0, 1, 11)))
    motors = {
        "x": MotorTwin(Encoder("INENC1.VAL", SCALE, 0.0, "mm"), velocity=50),
        "y": MotorTwin(Encoder("INENC2.VAL", SCALE, 0.0, "mm"), velocity=50),
    }
    found = rehearse(spec, real.address, motors, options={"guard": "position"})
    assert found.ok, str(found)
    assert (found.rows, found.rows_asked) == (33, 33)
    x = [0.1 * n for n in range(11)]
    assert found.data["x"] == pytest.approx([*x, *x[::-1], *x], abs=2 * SCALE)
    # in counts, as the box has no scale for it
    assert found.data["y"].tolist() == [-10_000.0] * 11 + [-5000.0] * 11 + [0.0] * 11
    (use,) = found.tables
    assert use.target == "SEQ1.TABLE"
    # within a window frame follows frame; between windows the stage turns round
    ticks = np.rint(found.spacing * found.clock).astype(int)
    turns = [10, 21]
    assert set(np.delete(ticks, turns)) == {1_250_000}
    assert ticks[turns].min() > 1_250_000


def test_a_spec_that_cannot_be_flown_is_told_with_what_to_do(real):
    found = rehearse(Fly(0.01 @ Line("x", 0, 1, 11)), real.address)
    assert not found.ok
    assert isinstance(found.exception, Exception)
    assert "x" in found.problems[0]


def test_a_simulator_that_cannot_be_made_is_told(real):
    with pytest.raises(RehearsalError, match="cannot be played"):
        rehearse(compare, real.address, X, simulator={"speed": "warp"})
