"""Motors of every framework bound to the position that follows them, checked and driven."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from ophyd_async.core import Device, init_devices, set_mock_value, soft_signal_rw
from ophyd_async.epics.motor import Motor

from panda_ophyd.encoders import (
    AxisMove,
    BoundAxis,
    Encoder,
    MotionWindow,
    bind,
    calibrate,
    check_travel,
    facts_of,
    move_through,
    set_encoder_position,
)
from panda_ophyd.errors import EncoderError, FieldValueError
from panda_simulator.motor import SimMotor

MM = 1e-4
"""Of a count."""


class Finished:
    """Status of ophyd v1, of a move that is over."""

    done, success = True, True

    def add_callback(self, callback: Any) -> None:
        callback(self)

    def exception(self, timeout: float = 0) -> None:
        return None


class Ophyd1Signal:
    """A signal of ophyd v1: its methods are no coroutines."""

    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value, self.parent = name, value, None

    def read(self) -> dict[str, Any]:
        return {self.name: {"value": self.value, "timestamp": time.time()}}

    def describe(self) -> dict[str, Any]:
        return {self.name: {"dtype": "number", "shape": [], "source": self.name}}

    def set(self, value: Any) -> Finished:
        self.value = value
        return Finished()


class Ophyd1Motor:
    """An EpicsMotor of ophyd v1, as far as plans see it."""

    parent = None

    def __init__(self) -> None:
        self.name = "m1"
        self.user_readback = Ophyd1Signal("m1", 0.0)
        self.velocity = Ophyd1Signal("m1_velocity", 1.0)
        self.acceleration = Ophyd1Signal("m1_acceleration", 0.5)
        self.egu, self.limits = "mm", (-5.0, 5.0)
        self.went: list[tuple[float, float]] = []

    @property
    def position(self) -> float:
        return self.user_readback.value

    def read(self) -> dict[str, Any]:
        return self.user_readback.read()

    def describe(self) -> dict[str, Any]:
        return self.user_readback.describe()

    def set(self, value: float) -> Finished:
        self.went.append((value, self.velocity.value))
        self.user_readback.value = value
        return Finished()

    def stop(self, *, success: bool = False) -> None: ...


def test_a_motor_is_bound_with_scale_offset_and_units_written(bench, run):
    _, panda, x = bench
    axis = run(bind(x, panda, "INENC1.VAL", MM))
    assert axis.counts(1.5) == pytest.approx(15_000)
    assert run(bps.rd(panda.inenc[1].val_scale)) == MM
    assert run(bps.rd(panda.inenc[1].val_units)) == "mm"
    assert axis.pos_out().name == "INENC1.VAL"
    assert axis.pos_out().scale is panda.inenc[1].val_scale


def test_what_is_not_given_is_taken_from_the_box(bench, run):
    _, panda, x = bench
    run(bps.mv(panda.inenc[1].val_scale, MM))
    assert run(bind(x, panda, "INENC1.VAL")).encoder.scale == MM


def test_a_motor_that_disagrees_is_refused_and_nothing_is_written(bench, run):
    _, panda, x = bench
    run(bps.mv(x, 2.0))
    with pytest.raises(EncoderError, match=r"set SCALE to 0\.0001"):
        run(bind(x, panda, "INENC1.VAL", -MM))
    assert run(bps.rd(panda.inenc[1].val_scale)) == 1.0
    with pytest.raises(EncoderError, match=r"set OFFSET to 0, or the encoder's set-point SETP"):
        run(bind(x, panda, "INENC1.VAL", MM, 3.0))
    assert run(bps.rd(panda.inenc[1].val)) == 20_000


def test_units_that_differ_are_refused(bench, run):
    _, panda, x = bench
    with pytest.raises(EncoderError, match="the motor is in mm, and UNITS is 'um'"):
        run(bind(x, panda, "INENC1.VAL", MM, units="um"))


def test_calibration_finds_scale_and_offset_and_writes_nothing(bench, run):
    _, panda, x = bench
    found = run(calibrate(x, panda, "INENC1.VAL", [-1, 0, 2], readings=2))
    assert found.scale == pytest.approx(MM)
    assert found.offset == pytest.approx(0, abs=MM)
    assert found.worst < MM
    assert run(bps.rd(panda.inenc[1].val_scale)) == 1.0


@pytest.mark.parametrize(
    ("scale", "offset", "wrong"), [(-MM, 0, "sign"), (2 * MM, 0, "scale"), (MM, 1, "offset")]
)
def test_a_travel_tells_what_is_wrong(bench, run, scale, offset, wrong):
    _, panda, x = bench
    axis = run(bind(x, panda, "INENC1.VAL", scale, offset, check=False))
    with pytest.raises(EncoderError, match=f"the {wrong} is wrong"):
        run(check_travel(axis, [-1, 1, 2]))


def test_the_set_point_changes_only_on_request(bench, run):
    _, panda, x = bench
    axis = run(bind(x, panda, "INENC1.VAL", MM, 3.0, check=False))
    assert run(set_encoder_position(axis)) == (0, -30_000)
    assert run(bps.rd(panda.inenc[1].val)) == -30_000


def test_only_an_encoder_input_has_a_set_point(bench, run):
    _, panda, x = bench
    axis = run(bind(x, panda, "COUNTER1.OUT", MM, check=False))
    with pytest.raises(FieldValueError, match="set OFFSET instead"):
        run(set_encoder_position(axis))


def test_a_motor_is_driven_there_and_back_and_has_its_velocity_again(bench, run):
    _, panda, x = bench
    axis = run(bind(x, panda, "INENC1.VAL", MM))
    run(bps.mv(x.velocity, 10.0, x.acceleration_time, 0.2))
    seen: list[tuple[int, float, float]] = []

    def look(index: int, _: MotionWindow) -> Any:
        place = yield from bps.rd(x)
        speed = yield from bps.rd(x.velocity)
        seen.append((index, place, speed))

    there, back = AxisMove(1, 3, 1), AxisMove(3, 1, 1)
    run(move_through(axis, [there, back], before_window=look))
    assert seen == [(0, pytest.approx(0.8), 2.0), (1, pytest.approx(3.2), 2.0)]
    assert run(bps.rd(x)) == pytest.approx(0.8)
    assert run(bps.rd(x.velocity)) == 10.0


def test_velocity_is_restored_after_a_failure(bench, run):
    _, _, x = bench
    run(bps.mv(x.velocity, 10.0))

    def fail(*_: Any) -> Any:
        yield from bps.null()
        msg = "on purpose"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="on purpose"):
        run(move_through(x, [AxisMove(1, 3, 1)], before_window=fail))
    assert run(bps.rd(x.velocity)) == 10.0


def test_a_window_beyond_the_limits_moves_nothing(bench, run):
    _, _, x = bench
    with pytest.raises(ValueError, match="limits"):
        run(move_through(x, [AxisMove(1, 3, 1), AxisMove(0, 1e9, 1)]))
    assert run(bps.rd(x)) == 0


def test_two_axes_are_flown_by_their_names(bench, run):
    simulator, _, x = bench
    with init_devices():
        y = SimMotor(simulator.world.axes["y"], simulator.call, name="y")
    windows = [
        MotionWindow({"x": AxisMove(0, 1, 1), "y": AxisMove(row, row, 1)}) for row in (0.0, 2.0)
    ]
    run(move_through({"x": x, "y": y}, windows, acceleration_time=0.1))
    assert run(bps.rd(y)) == 2.0
    assert run(bps.rd(x)) == pytest.approx(1.05)
    with pytest.raises(FieldValueError, match="windows move y too"):
        run(move_through({"x": x}, windows))


def test_a_motor_of_ophyd_v1_is_bound_and_driven(bench, run):
    _, panda, _ = bench
    motor = Ophyd1Motor()
    axis = run(bind(motor, panda, "INENC1.VAL", MM))
    assert (axis.name, axis.encoder.units) == ("m1", "mm")
    run(move_through(axis, [AxisMove(1, 3, 1)]))
    assert motor.went == [(0.5, 1.0), (3.5, 2.0)]
    assert motor.velocity.value == 1.0
    with pytest.raises(FieldValueError, match="run-down of m1"):
        run(move_through(axis, [AxisMove(1, 4.9, 1)]))


@pytest.fixture
def epics(monkeypatch):
    """The framework's motor record in mock mode, where no transport of EPICS is installed."""

    def signal(datatype: Any, *_: Any, **__: Any) -> Any:
        return soft_signal_rw(datatype)

    for kind in ("r", "rw", "w"):
        monkeypatch.setattr(f"ophyd_async.epics.motor.epics_signal_{kind}", signal)
    with init_devices(mock=True):
        motor = Motor("BL01:M1", name="m1")
    set_mock_value(motor.velocity, 1.0)
    set_mock_value(motor.max_velocity, 5.0)
    set_mock_value(motor.acceleration_time, 0.5)
    set_mock_value(motor.motor_egu, "mm")
    return motor


def test_a_motor_record_is_bound_and_driven(bench, run, epics):
    _, panda, _ = bench
    axis = run(bind(epics, panda, "INENC1.VAL", MM))
    assert axis.encoder.units == "mm"
    run(move_through(axis, [AxisMove(1, 3, 1)]))
    assert run(bps.rd(epics)) == 3.5
    assert run(bps.rd(epics.velocity)) == 1.0
    with pytest.raises(FieldValueError, match="velocity of m1"):
        run(move_through(axis, [AxisMove(0, 6, 1)]))


def test_a_motor_record_without_limits_has_none(run, epics):
    facts = run(facts_of(epics))
    assert (facts.low, facts.high, facts.max_velocity, facts.units) == (None, None, 5.0, "mm")


def test_stopping_an_axis_under_way_pauses_the_box_before_the_motor_brakes(bench, run):
    order: list[str] = []

    class Moving:
        done = False

    class Stage:
        name = "m"

        def set(self, value: float) -> Moving:
            return Moving()

        def stop(self, success: bool = True) -> None:
            order.append("motor")

    class Box(Device):
        async def pause(self) -> None:
            order.append("box")

    axis = BoundAxis(Stage(), Box(), Encoder("INENC1.VAL", MM))
    asyncio.run(axis.stop())
    assert order == ["motor"]
    axis.set(1.0)
    asyncio.run(axis.stop())
    assert order == ["motor", "box", "motor"]
