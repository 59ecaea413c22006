"""A motor and the position on a PandA that follows it, bound to each other once.

`bind` writes or takes over scale, offset and units and makes sure that both agree. Nothing
here changes the set-point of an encoder but `set_encoder_position`, which says so.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (bluesky leaves the parameters of its generics open in these calls)

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import bluesky.plan_stubs as bps
from bluesky.protocols import Location, Status
from bluesky.utils import MsgGenerator, plan
from ophyd_async.core import Device
from ophyd_async.fastcs.panda import PosOutScaleOffset
from typing_extensions import override

from panda_ophyd.encoders.motors import facts_of, name_of, position_of
from panda_ophyd.encoders.scaling import Calibration, Encoder, average, disagreement, fit
from panda_ophyd.errors import EncoderError, FieldValueError
from panda_ophyd.wires.targets import reading_of, signal_of

TOLERANCE_COUNTS = 2.0
"""Counts by which motor and encoder may differ if nothing else is said: both are rounded."""

SETTABLE = "INENC"
"""Blocks whose position can be set, by SETP."""


class BoundAxis:
    """A motor with its encoder: it moves as the motor, and knows counts.

    Stopping it while it moves disarms PCAP before the motor brakes, so that no row is taken
    of a stage that slows down. A RunEngine stops what moves before it pauses devices.

    Args:
        motor: anything that bluesky can move.
        panda: the PandA.
        encoder: the position that follows it, ``Encoder("INENC1.VAL", 1e-4)``.
        name: of the axis; the motor's if not given.

    Attributes:
        before_stop: what is done before a motor that moves is stopped; None: the PandA is paused.
    """

    parent = None

    def __init__(self, motor: Any, panda: Device, encoder: Encoder, name: str = "") -> None:
        self.motor = motor
        self.panda = panda
        self.encoder = encoder
        self.name = name or name_of(motor)
        self.before_stop: Callable[[], Awaitable[None]] | None = None
        self._moving: Any = None

    @override
    def __repr__(self) -> str:
        return f"BoundAxis({self.name!r}, {self.encoder!r})"

    @property
    def target(self) -> str:
        """The position on the wire, ``INENC1.VAL``."""
        return self.encoder.target

    def counts(self, position: float) -> float:
        """Return the counts of a position, not rounded."""
        return self.encoder.counts(position)

    def position(self, counts: float) -> float:
        """Return the position of counts."""
        return self.encoder.position(counts)

    def pos_out(self) -> PosOutScaleOffset:
        """Return the same for upstream's logics: name, and signals of scale and offset."""
        return PosOutScaleOffset(
            name=self.target,
            scale=signal_of(self.panda, f"{self.target}.SCALE"),
            offset=signal_of(self.panda, f"{self.target}.OFFSET"),
        )

    def set(self, value: float, **kwargs: Any) -> Status:
        """Move the motor."""
        self._moving = self.motor.set(value, **kwargs)
        return cast("Status", self._moving)

    async def locate(self) -> Location[float]:
        """Return where the motor is and where it was sent."""
        locate = getattr(self.motor, "locate", None)
        if locate is not None:
            answer = locate()
            return cast("Location[float]", await answer if inspect.isawaitable(answer) else answer)
        place = await _place(self.motor)
        return {"setpoint": place, "readback": place}

    async def stop(self, success: bool = True) -> None:
        """Disarm PCAP if the motor is under way, then stop the motor."""
        pause = self.before_stop or getattr(self.panda, "pause", None)
        try:
            if pause is not None and self._moving is not None and not self._moving.done:
                answer = pause()
                if inspect.isawaitable(answer):
                    await answer
        finally:  # whatever the box says: the motor has to stop
            stop = getattr(self.motor, "stop", None)
            if stop is not None:
                answer = stop(success=success)
                if inspect.isawaitable(answer):
                    await answer


async def _place(motor: Any) -> float:
    place = getattr(motor, "position", None)
    if place is not None:
        return float(place)
    read = getattr(motor, "read", None)
    if read is None:
        raise FieldValueError("motor", name_of(motor), "it tells no position")
    answer = read()
    reading = await answer if inspect.isawaitable(answer) else answer
    return float(reading[name_of(motor)]["value"])


@plan
def bind(
    motor: Any,
    panda: Device,
    target: str,
    scale: float | None = None,
    offset: float | None = None,
    *,
    units: str | None = None,
    tolerance: float | None = None,
    check: bool = True,
    name: str = "",
) -> MsgGenerator[BoundAxis]:
    """Bind a motor to the position that follows it.

    What is given is written to the PandA, once motor and encoder are seen to agree; what is
    not given is taken from it. The set-point of the encoder is never touched.

    Args:
        motor: anything that bluesky can move and that tells where it is.
        panda: the PandA.
        target: ``INENC1.VAL``, or any other position.
        scale: units of the axis to a count, see `Encoder`.
        offset: position of the axis at 0 counts.
        units: of the axis; the motor's if neither says.
        tolerance: by how much motor and encoder may differ, in units of the axis; two counts
            if not given.
        check: read both and refuse if they differ; False for an encoder that is not there
            yet, or a simulated one that starts with the scan.
        name: of the axis; the motor's if not given.

    Raises:
        EncoderError: they do not agree; says what to set. Nothing was written.
        FieldValueError: no such position, or a scale of 0.
    """
    given = {"SCALE": scale, "OFFSET": offset, "UNITS": units}
    values: dict[str, Any] = {}
    for attribute, value in given.items():
        present = yield from bps.rd(signal_of(panda, f"{target}.{attribute}"))
        values[attribute] = present if value is None else value
    facts = yield from facts_of(motor)
    axis = name or name_of(motor)
    if units is None and facts.units and values["UNITS"] in {"", facts.units}:
        given["UNITS"] = values["UNITS"] = facts.units
    elif facts.units and facts.units != values["UNITS"]:
        reason = (
            f"the motor is in {facts.units}, and UNITS is {values['UNITS']!r}; give units, and a "
            "scale and an offset that are in them"
        )
        raise EncoderError(axis, target, reason)
    encoder = Encoder(target, float(values["SCALE"]), float(values["OFFSET"]), values["UNITS"])
    bound = BoundAxis(motor, panda, encoder, axis)
    if check:
        yield from check_axis(bound, tolerance)
    for attribute, value in given.items():
        if value is not None:
            yield from bps.abs_set(signal_of(panda, f"{target}.{attribute}"), value, wait=True)
    return bound


@plan
def check_axis(axis: BoundAxis, tolerance: float | None = None) -> MsgGenerator[None]:
    """Go on only if a motor and its encoder say the same where they stand.

    One place cannot tell a wrong scale from a wrong offset; `calibrate` can.

    Args:
        axis: both.
        tolerance: in units of the axis; two counts if not given.

    Raises:
        EncoderError: they differ; says what to set.
    """
    place = yield from position_of(axis.motor)
    counts = yield from bps.rd(reading_of(axis.panda, axis.target))
    allowed = _allowed(axis.encoder, tolerance)
    reason = disagreement(axis.encoder, (place,), (float(counts),), allowed)
    if reason:
        raise EncoderError(axis.name, axis.target, reason)


def _allowed(encoder: Encoder, tolerance: float | None) -> float:
    return TOLERANCE_COUNTS * abs(encoder.scale) if tolerance is None else tolerance


@plan
def calibrate(
    motor: Any,
    panda: Device,
    target: str,
    positions: Sequence[float],
    *,
    settle: float = 0.0,
    readings: int = 1,
) -> MsgGenerator[Calibration]:
    """Move a motor and find scale and offset of the position that follows it.

    Nothing is written: look at the residuals, then pass scale and offset to `bind`.

    Args:
        motor: anything that bluesky can move and that tells where it is.
        panda: the PandA.
        target: ``INENC1.VAL``.
        positions: to go to, two different ones at least; more tell whether it is a line.
        settle: seconds to wait at each.
        readings: of the encoder at each, their mean counts.

    Raises:
        FieldValueError: fewer than two positions, or the encoder did not move.
    """
    if len(set(positions)) < 2 or readings < 1:  # noqa: PLR2004  a line has two points
        reason = "give two different ones at least, and read at least once"
        raise FieldValueError("positions", tuple(positions), reason)
    places: list[float] = []
    counts: list[float] = []
    for position in positions:
        yield from bps.mv(motor, position)
        if settle:
            yield from bps.sleep(settle)
        place = yield from position_of(motor)
        read: list[float] = []
        for _ in range(readings):
            value = yield from bps.rd(reading_of(panda, target))
            read.append(float(value))
        places.append(place)
        counts.append(average(read))
    return fit(places, counts, target)


@plan
def check_travel(
    axis: BoundAxis, positions: Sequence[float], tolerance: float | None = None, **kwargs: Any
) -> MsgGenerator[Calibration]:
    """Move an axis and go on only if its encoder follows with scale, sign and offset as set.

    Args:
        axis: both.
        positions: see `calibrate`.
        tolerance: in units of the axis; two counts if not given.
        **kwargs: of `calibrate`.

    Raises:
        EncoderError: they differ; says which of sign, scale and offset is wrong, and what
            to set.
    """
    found = yield from calibrate(axis.motor, axis.panda, axis.target, positions, **kwargs)
    allowed = _allowed(axis.encoder, tolerance)
    reason = disagreement(axis.encoder, found.positions, found.counts, allowed)
    if reason:
        raise EncoderError(axis.name, axis.target, reason)
    return found


@plan
def set_encoder_position(axis: BoundAxis) -> MsgGenerator[tuple[int, int]]:
    """Tell an encoder input that it is where the motor says, by its set-point SETP.

    This changes what every later scan compares with; nothing else in this package does it.

    Returns:
        counts before and after.

    Raises:
        FieldValueError: the position is no INENC's, or is not in 32 bits.
    """
    block = axis.target.partition(".")[0]
    if not block.startswith(SETTABLE):
        reason = f"only an {SETTABLE} has a set-point; set OFFSET instead"
        raise FieldValueError(f"{block}.SETP", axis.target, reason)
    signal = signal_of(axis.panda, f"{block}.SETP")
    place = yield from position_of(axis.motor)
    before = yield from bps.rd(reading_of(axis.panda, axis.target))
    wanted = axis.encoder.nearest(place)
    yield from bps.abs_set(signal, wanted, wait=True)
    return int(before), wanted
