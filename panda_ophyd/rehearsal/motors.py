"""Simulated motors in place of the real ones, on encoders that read what the real ones do."""

# pyright: reportUnknownMemberType=false
# (ophyd-async leaves the parameters of its generics open in these calls)

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from panda_ophyd.encoders import BoundAxis, Encoder
from panda_ophyd.errors import FieldValueError
from panda_ophyd.rehearsal.copying import Copied
from panda_simulator import Simulator
from panda_simulator.motor import SimMotor
from panda_simulator.world import Axis

_INENC = re.compile(r"INENC([1-9][0-9]*)\.VAL")
_FAR = 1e12
"""Units: limits of an axis that has none."""


@dataclass(frozen=True)
class MotorTwin:
    """What a motor is in a rehearsal.

    Attributes:
        encoder: which position follows it, and how: ``Encoder("INENC1.VAL", 1e-4)``.
        velocity: units per second, until the plan sets another.
        acceleration_time: seconds from rest to the velocity.
        low, high: limits, in units; None for none.
        position: where it stands; None for where the encoder of the box says.

    Raises:
        FieldValueError: a number is none, or the encoder is no INENC.
    """

    encoder: Encoder
    velocity: float = 1.0
    acceleration_time: float = 0.1
    low: float | None = None
    high: float | None = None
    position: float | None = None

    def __post_init__(self) -> None:
        for name in ("velocity", "acceleration_time"):
            value: float = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise FieldValueError(name, value, "it is positive")
        self.inenc  # noqa: B018  so that it is refused at once

    @property
    def inenc(self) -> int:
        """The number of the encoder input."""
        match = _INENC.fullmatch(self.encoder.target)
        if match is None:
            reason = "only what an encoder input reads can be moved: INENC1.VAL"
            raise FieldValueError("encoder", self.encoder.target, reason)
        return int(match[1])

    @classmethod
    def of(cls, axis: BoundAxis) -> MotorTwin:
        """Return the twin of a bound motor, with the velocity of a twin, not of the motor."""
        return cls(axis.encoder)


def twins_of(motors: Mapping[str, Any]) -> dict[str, MotorTwin]:
    """Return what each motor is in the rehearsal.

    Raises:
        FieldValueError: it is neither of these, or two are on the same encoder.
    """
    twins: dict[str, MotorTwin] = {}
    taken: dict[int, str] = {}
    for name, motor in motors.items():
        if isinstance(motor, BoundAxis):
            twin = MotorTwin.of(motor)
        elif isinstance(motor, Encoder):
            twin = MotorTwin(motor)
        elif isinstance(motor, MotorTwin):
            twin = motor
        else:
            reason = "say which encoder follows it: a MotorTwin, a BoundAxis or an Encoder"
            raise FieldValueError(f"motor {name}", motor, reason)
        other = taken.setdefault(twin.inenc, name)
        if other != name:
            reason = f"{other} is on the same encoder"
            raise FieldValueError(f"motor {name}", twin.encoder.target, reason)
        twins[name] = twin
    return twins


def place(simulator: Simulator, twins: Mapping[str, MotorTwin], copied: Copied) -> None:
    """Have every encoder input read what it does on the box; called where the simulator lives.

    Raises:
        FieldValueError: a motor is on an encoder that the box has not.
    """
    world = simulator.world
    block = simulator.box.blocks.get("INENC")
    count = block.count if block else 0
    by_number = {twin.inenc: (name, twin) for name, twin in twins.items()}
    for number, (name, twin) in by_number.items():
        if number > count:
            reason = f"{copied.source} has {count} INENC"
            raise FieldValueError(f"motor {name}", twin.encoder.target, reason)
    for number in range(1, count + 1):
        target = "INENC.VAL" if count == 1 else f"INENC{number}.VAL"
        counts = copied.position(target)
        if number not in by_number:
            axis = Axis(f"inenc{number}", float(counts), limits=(-_FAR, _FAR))
            world.add_axis(axis)
            world.connect(axis.name, number, 1.0)
            continue
        name, twin = by_number[number]
        encoder = twin.encoder
        there = encoder.position(float(counts)) if twin.position is None else twin.position
        low = -_FAR if twin.low is None else twin.low
        high = _FAR if twin.high is None else twin.high
        world.add_axis(Axis(name, there, twin.velocity, limits=(low, high)))
        world.connect(name, number, 1 / encoder.scale, -encoder.offset / encoder.scale)
    for target, level in copied.readings.items():
        _hold(simulator, target, level)


def _hold(simulator: Simulator, target: str, level: int) -> None:
    """Drive an input connector that was high."""
    match = re.fullmatch(r"([A-Z][A-Z0-9_]*?)([1-9][0-9]*)\.VAL", target)
    if match is None or not level or match[1] not in {"TTLIN", "LVDSIN"}:
        return
    simulator.world.drive(match[1], int(match[2]), 1)


async def make_motor(simulator: Simulator, name: str, twin: MotorTwin) -> SimMotor:
    """Return a connected motor that moves an axis that was placed; on the loop of its plans."""
    axis = simulator.world.axes[name]
    motor = SimMotor(axis, simulator.call, name=name, units=twin.encoder.units or "mm")
    await motor.connect()
    await motor.acceleration_time.set(twin.acceleration_time)
    return motor
