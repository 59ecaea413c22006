"""What a scan needs wired, what of it is not, and plans that wire a box."""

from __future__ import annotations

from typing import Any

import bluesky.plan_stubs as bps
import pytest
from ophyd_async.core import wait_for_value
from ophyd_async.fastcs.panda import SeqTable

from panda_ophyd import wires as w
from panda_ophyd.errors import FieldValueError, WiringError


def test_frames_of_a_sequencer_gate_and_trigger_the_capture():
    wires = w.time_resolved(2)
    assert wires["PCAP.ENABLE"] == "SEQ2.ACTIVE"
    assert wires["PCAP.GATE"] == wires["PCAP.TRIG"] == "SEQ2.OUTA"
    assert wires["PCAP.TRIG_EDGE"] == "Falling"


def test_sweeps_keep_the_capture_enabled():
    assert w.spec(["INENC1.VAL"], keep_enabled=True)["PCAP.ENABLE"] == "ONE"


def test_what_stops_comes_first_then_units_and_enables_last():
    train = w.PulseTrain.of(1e-3, deadtime=1e-4)
    order = list(w.time_resolved() | w.detector_pulses(train, 1, output="TTLOUT1"))
    assert order[0] == "SEQ1.ENABLE"
    assert order.index("PULSE1.WIDTH.UNITS") < order.index("PULSE1.WIDTH")
    assert set(order[-2:]) == {"PCAP.ENABLE", "PULSE1.ENABLE"}


def test_two_users_of_one_input_are_refused_with_both():
    with pytest.raises(FieldValueError, match=r"SEQ1\.OUTA.*two users"):
        _ = w.time_resolved() | w.position_compare("INENC1.VAL")


def test_a_fourth_position_finds_no_input():
    with pytest.raises(FieldValueError, match="3 positions at most"):
        w.spec(["INENC1.VAL"] * 4)


def test_an_option_that_pcap_lacks_is_refused():
    with pytest.raises(FieldValueError, match="Median"):
        w.capture(["INENC1.VAL"], ["Median"])


def test_a_box_that_is_wired_has_no_faults():
    wires = w.spec(["INENC1.VAL"], gate="TTLIN1.VAL")
    assert w.check(dict(wires), wires) == []


@pytest.mark.parametrize("target", list(w.spec(["INENC1.VAL"], gate="TTLIN1.VAL")))
def test_each_wire_that_is_missing_is_told(target):
    wires = w.spec(["INENC1.VAL"], gate="TTLIN1.VAL")
    settings = {key: value for key, value in wires.items() if key != target}
    [fault] = w.check(settings, wires)
    assert fault.startswith(f"{target} is not there")
    assert wires[target] in fault


def test_an_enable_that_another_block_has_is_told_with_what_else_it_drives():
    wires = w.time_resolved()
    settings = dict(wires) | {"SEQ1.ENABLE": "SRGATE1.OUT", "SEQ2.ENABLE": "SRGATE1.OUT"}
    [fault] = w.check(settings, wires)
    assert "SEQ1.ENABLE is SRGATE1.OUT (another block drives it, which also drives SEQ2" in fault


def test_a_source_that_never_changes_is_told():
    wires = w.spec(["COUNTER1.OUT"])
    [fault] = w.check(dict(wires) | {"COUNTER1.ENABLE": "ZERO"}, wires)
    assert "COUNTER1.ENABLE is ZERO" in fault
    assert "SEQ1.POSA" in fault


def test_an_output_that_nothing_feeds_is_told():
    wires = w.detector_pulses(w.PulseTrain.of(1e-3), 1, output="TTLOUT1")
    [fault] = w.check(dict(wires) | {"TTLOUT1.VAL": "ZERO"}, wires)
    assert "TTLOUT1.VAL is ZERO (nothing drives it), and has to be PULSE1.OUT" in fault


def test_a_time_in_other_units_is_the_same_time():
    wires = w.detector_pulses(w.PulseTrain.of(1e-3, exposure=0.5e-3))
    same = dict(wires) | {"PULSE1.WIDTH": "0.5", "PULSE1.WIDTH.UNITS": "ms"}
    assert [fault for fault in w.check(same, wires) if "PULSE1.WIDTH is" in fault] == []
    other = dict(wires) | {"PULSE1.WIDTH": "0.6", "PULSE1.WIDTH.UNITS": "ms"}
    assert any("PULSE1.WIDTH is 0.6 ms" in fault for fault in w.check(other, wires))


def test_the_order_of_capture_options_does_not_matter():
    wires = w.capture(["INENC1.VAL"], ["Min", "Max"], times=())
    assert w.check({"INENC1.VAL.CAPTURE": "Max Min"}, wires) == []


TECHNIQUES: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "time_resolved": (w.wire_time_resolved, (2,), {}),
    "position_compare": (w.wire_position_compare, ("INENC1.VAL",), {}),
    "spec": (w.wire_spec, (("INENC1.VAL", "INENC2.VAL"),), {"keep_enabled": True}),
    "position_list": (w.wire_position_list, ("INENC3.VAL",), {}),
    "gated_bursts": (w.wire_gated_bursts, ("BITS.OUTA",), {}),
    "externally_triggered": (w.wire_externally_triggered, ("TTLIN2.VAL", 3), {}),
    "capture": (w.wire_capture, ({"INENC1.VAL": "x"},), {}),
    "detector_pulses": (
        w.wire_detector_pulses,
        (w.PulseTrain.of(1e-3, 2, deadtime=1e-4), 2),
        {"output": "TTLOUT3"},
    ),
}


@pytest.mark.parametrize("name", TECHNIQUES)
def test_a_box_that_a_plan_wired_passes_the_check_and_is_not_changed_again(name, bench, run):
    _, panda, _ = bench
    plan, args, kwargs = TECHNIQUES[name]
    wires = getattr(w, name)(*args, **kwargs)
    with pytest.raises(WiringError):
        run(w.check_wires(panda, wires))
    changed = run(plan(panda, *args, **kwargs))
    assert changed
    run(w.check_wires(panda, wires))
    assert run(plan(panda, *args, **kwargs)) == {}


def test_all_faults_are_told_at_once(bench, run):
    _, panda, _ = bench
    run(w.wire_time_resolved(panda))
    run(bps.mv(panda.pcap.trig, "ZERO", panda.pcap.trig_edge, "Rising"))
    with pytest.raises(WiringError) as refused:
        run(w.check_wires(panda, w.time_resolved()))
    assert len(refused.value.faults) == 2
    assert "PCAP.TRIG is ZERO (nothing drives it), and has to be SEQ1.OUTA" in str(refused.value)
    assert "PCAP.TRIG_EDGE is Rising, and has to be Falling" in str(refused.value)


def test_units_of_an_earlier_user_do_not_scale_a_train(bench, run):
    _, panda, _ = bench
    run(bps.mv(panda.pulse[1].width_units, "ms", panda.pulse[1].width, 3))
    run(w.wire_detector_pulses(panda, w.PulseTrain.of(1e-2, exposure=9e-3)))
    assert run(bps.rd(panda.pulse[1].width_units)) == "s"
    assert run(bps.rd(panda.pulse[1].width)) == pytest.approx(9e-3, abs=4e-9)


def test_a_block_that_is_not_there_stops_a_plan_before_it_sets_anything(bench, run):
    _, panda, _ = bench
    before = run(bps.rd(panda.pcap.trig_edge))
    with pytest.raises(FieldValueError, match="SEQ9"):
        run(w.wire_time_resolved(panda, 9))
    assert run(bps.rd(panda.pcap.trig_edge)) == before


@pytest.mark.parametrize(
    ("target", "name"),
    [("SEQ1.POSA", "panda-seq-1-posa"), ("PCAP.TRIG", "panda-pcap-trig"),
     ("SRGATE1.SET", "panda-srgate-1-set_"), ("INENC1.VAL.CAPTURE", "panda-inenc-1-val_capture")],
)  # fmt: skip
def test_a_target_is_a_signal_of_the_tree(bench, target, name):
    assert w.signal_of(bench[1], target).name == name


@pytest.mark.parametrize("target", ["posa", "SEQ1", "SEQ.POSA", "PCAP2.TRIG", "SEQ1.ACTIVE"])
def test_a_target_that_is_no_setting_is_refused(bench, target):
    with pytest.raises(FieldValueError, match="target"):
        w.signal_of(bench[1], target)


def test_dead_times_are_asked_of_detectors(run):
    class Camera:
        name = "camera"

        async def get_trigger_deadtime(self):
            return set(), 2e-3

    assert run(w.detector_deadtime([Camera(), 1e-3])) == 2e-3
    with pytest.raises(FieldValueError, match="dead time of none"):
        run(w.detector_deadtime([type("Mute", (), {"name": "none"})()]))


@pytest.mark.parametrize(("frames", "exposure", "pulses"), [(1, 9e-3, 20), (5, 1.9e-3, 100)])
def test_a_train_in_each_frame_and_none_dropped(bench, run, frames, exposure, pulses):
    _, panda, _ = bench
    train = w.PulseTrain.of(10e-3, frames, exposure=exposure)
    counted = counted_pulses(run, panda, train)
    assert counted == (pulses, 0)


def test_the_block_would_drop_what_is_refused(bench, run):
    _, panda, _ = bench
    # what `PulseTrain` refuses for a frame of 10 ms, taken for one of 11
    train = w.PulseTrain.of(11e-3, 5, step=2.08e-3, exposure=2.06e-3, delay=0)
    assert counted_pulses(run, panda, train) == (50, 10)


def counted_pulses(run: Any, panda: Any, train: Any) -> tuple[int, int]:
    """Count the pulses that 20 frames of 10 ms make, and the triggers that were dropped."""
    counter, seq, pulse = panda.counter[1], panda.seq[1], panda.pulse[1]
    # prescale 0: ticks
    table = SeqTable.row(repeats=20, time1=1_250_000 - 125, outa1=True, time2=125)

    def over() -> Any:
        async def wait() -> None:
            await wait_for_value(seq.table_line, 1, 10)
            await wait_for_value(seq.active, False, 10)
            await wait_for_value(pulse.queued, 0, 10)

        return wait()

    def plan() -> Any:
        yield from bps.mv(counter.trig, "PULSE1.OUT", counter.enable, "ONE")
        yield from bps.mv(seq.prescale, 0, seq.repeats, 1, seq.table, table)
        yield from w.wire_time_resolved(panda)
        yield from w.wire_detector_pulses(panda, train, 1)
        yield from bps.mv(seq.enable, "ONE")
        yield from bps.wait_for([over])
        pulses = yield from bps.rd(counter.out)
        dropped = yield from bps.rd(pulse.dropped)
        return pulses, dropped

    return run(plan())
