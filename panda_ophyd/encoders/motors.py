"""What any motor says of itself, read in a plan: ophyd-async, ophyd, or what else moves.

Motors of the frameworks name the same things differently; each name is a row here.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (bluesky leaves the parameters of its generics open in these calls)

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any, cast

import bluesky.plan_stubs as bps
from bluesky.protocols import Locatable, Readable
from bluesky.utils import MsgGenerator, plan

from panda_ophyd.encoders.motion import MotorFacts
from panda_ophyd.errors import FieldValueError
from panda_ophyd.wires.stubs import await_plan

NAMES: Mapping[str, tuple[str, ...]] = {
    "velocity": ("velocity",),
    "acceleration_time": ("acceleration_time", "acceleration"),
    "max_velocity": ("max_velocity",),
    "low": ("low_limit_travel", "low_limit"),
    "high": ("high_limit_travel", "high_limit"),
    "units": ("motor_egu", "egu"),
}
"""What is asked, and attributes that tell it; signals of either framework, or values."""

DIALS = ("dial_low_limit_travel", "dial_high_limit_travel")
"""Where both are 0 a motor record has no limits."""


def name_of(motor: Any) -> str:
    """Return what a motor is called."""
    return getattr(motor, "name", "") or type(motor).__name__


@plan
def position_of(motor: Any) -> MsgGenerator[float]:
    """Return where a motor is.

    Raises:
        FieldValueError: it does not tell.
    """
    if isinstance(motor, Locatable):
        place = yield from bps.rd(cast("Any", motor))
        return float(place)
    readback = getattr(motor, "user_readback", None)
    for source in (readback, motor):
        if isinstance(source, Readable):
            value = yield from bps.rd(source)
            return float(value)
    place = getattr(motor, "position", None)
    if place is None:
        reason = "it tells no position: it has no locate, no read and no position"
        raise FieldValueError("motor", name_of(motor), reason)
    return float(place)


@plan
def facts_of(motor: Any) -> MsgGenerator[MotorFacts]:
    """Return what a motor says of itself."""
    said: dict[str, Any] = {}
    for fact, names in NAMES.items():
        value = yield from _first(motor, names)
        said[fact] = value
    dials: list[Any] = []
    for name in DIALS:
        value = yield from _first(motor, (name,))
        dials.append(value)
    low, high = _number(said["low"]), _number(said["high"])
    if low is None and high is None:
        low, high = _pair(getattr(motor, "limits", None))
    if dials == [0, 0] or (low is not None and low == high):
        low, high = None, None
    units = said["units"]
    if not units:
        units = yield from _described_units(motor)
    return MotorFacts(
        velocity=_number(said["velocity"]),
        acceleration_time=_number(said["acceleration_time"]),
        # A motor record without a limit of velocity says 0
        max_velocity=_number(said["max_velocity"]) or None,
        low=low,
        high=high,
        units=str(units or ""),
    )


def _first(motor: Any, names: tuple[str, ...]) -> MsgGenerator[Any]:
    for name in names:
        found = getattr(motor, name, None)
        if found is None:
            continue
        if isinstance(found, Readable):
            return (yield from bps.rd(found))
        return found
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        try:
            value = float(value)
        except (TypeError, ValueError):
            return None
    return float(value) if math.isfinite(value) else None


def _pair(limits: Any) -> tuple[float | None, float | None]:
    try:
        low, high = limits
    except (TypeError, ValueError):
        return None, None
    return _number(low), _number(high)


def _described_units(motor: Any) -> MsgGenerator[str]:
    readback = getattr(motor, "user_readback", None)
    describe = getattr(readback, "describe", None)
    if describe is None:
        return ""

    async def described() -> Any:
        answer = describe()
        return await answer if inspect.isawaitable(answer) else answer

    answer = yield from await_plan(described)
    keys = list((answer or {}).values())
    return str(keys[0].get("units") or "") if keys else ""


@plan
def check_places(motor: Any, places: tuple[float, ...]) -> MsgGenerator[None]:
    """Ask a motor itself whether it can go to places.

    Raises:
        Exception: what it raises if not, of its own kind.
    """
    logic = getattr(motor, "movable_logic", None)
    check = getattr(logic, "check_move", None) or getattr(motor, "check_value", None)
    if check is None:
        return

    def checker(place: float) -> Any:
        async def ask() -> None:
            answer = check(place)
            if inspect.isawaitable(answer):
                await answer

        return ask

    for place in places:
        yield from await_plan(checker(place))
