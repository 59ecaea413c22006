"""Plan stubs that wire a PandA for a way of scanning, and that check how it is wired.

Each returns what it changed: target to what it was and what it is now.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (bluesky leaves the parameters of its generics open in these calls)

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, cast

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator, plan
from ophyd_async.core import Device, SignalRW

from panda_ophyd.errors import FieldValueError, WiringError
from panda_ophyd.wires import techniques
from panda_ophyd.wires.faults import asked, check
from panda_ophyd.wires.targets import signal_of
from panda_ophyd.wires.trains import longest_deadtime
from panda_ophyd.wires.values import Wires

P = ParamSpec("P")

Changed = Mapping[str, tuple[Any, Any]]
"""Target to its value before and after."""


@plan
def connect_wires(panda: Device, wires: Wires) -> MsgGenerator[Changed]:
    """Set everything that differs, in the order of the wires: enables last.

    Raises:
        FieldValueError: this PandA lacks a target; nothing was set.
    """
    signals = {target: signal_of(panda, target) for target in wires}
    changed: dict[str, tuple[Any, Any]] = {}
    for target, signal in signals.items():
        before = yield from _read(signal)
        # Looked at one by one: new units are a new number of what follows.
        settings = {target: _text(before)}
        if not check(settings, wires.only(target)):
            continue
        after = _like(before, wires[target])
        yield from bps.abs_set(signal, after, wait=True)
        changed[target] = (before, after)
    return changed


@plan
def check_wires(panda: Device, wires: Wires) -> MsgGenerator[None]:
    """Go on only if a PandA is wired as it has to be.

    Raises:
        WiringError: it is not; tells all that is wrong at once.
    """
    settings: dict[str, str] = {}
    for target in asked(wires):
        try:
            signal = signal_of(panda, target)
        except FieldValueError:
            continue  # check says that it is not there
        value = yield from _read(signal)
        settings[target] = _text(value)
    faults = check(settings, wires)
    if faults:
        raise WiringError(panda.name or "PandA", faults)


def _read(signal: SignalRW[Any]) -> MsgGenerator[Any]:
    value = yield from bps.rd(signal)
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return str(getattr(value, "value", value))


def _like(before: Any, text: str) -> Any:
    """Return a text as a value of the kind that a signal has."""
    if isinstance(before, bool):
        return text == "1"
    if isinstance(before, int | float) and not isinstance(before, str):
        return type(before)(float(text))
    return text


def _wiring(build: Callable[P, Wires]) -> Callable[..., MsgGenerator[Changed]]:
    def wire(panda: Device, *args: P.args, **kwargs: P.kwargs) -> MsgGenerator[Changed]:
        return (yield from connect_wires(panda, build(*args, **kwargs)))

    wire.__doc__ = f"Wire a PandA, see `panda_ophyd.wires.{build.__name__}` for what and why."
    wire.__name__ = f"wire_{build.__name__}"
    return wire


wire_time_resolved = _wiring(techniques.time_resolved)
wire_position_compare = _wiring(techniques.position_compare)
wire_spec = _wiring(techniques.spec)
wire_spec_in_turns = _wiring(techniques.spec_in_turns)
wire_position_list = _wiring(techniques.position_list)
wire_gated_bursts = _wiring(techniques.gated_bursts)
wire_externally_triggered = _wiring(techniques.externally_triggered)
wire_detector_pulses = _wiring(techniques.detector_pulses)
wire_capture = _wiring(techniques.capture)


@plan
def detector_deadtime(detectors: Sequence[Any]) -> MsgGenerator[float]:
    """Return the seconds that every detector needs between exposures, 0 for none.

    Args:
        detectors: ophyd-async detectors, which are asked, or numbers.

    Raises:
        FieldValueError: one does not tell.
    """
    told: list[tuple[str, float | None]] = []
    for detector in detectors:
        if isinstance(detector, int | float):
            told.append(("a detector", float(detector)))
            continue
        name = getattr(detector, "name", "") or type(detector).__name__
        ask = getattr(detector, "get_trigger_deadtime", None)
        answer = None if ask is None else (yield from await_plan(ask))
        told.append((name, None if answer is None else answer[1]))
    return longest_deadtime(told)


def await_plan(make: Callable[[], Any]) -> MsgGenerator[Any]:
    """Return what a coroutine returns, None where nobody runs the plan; raise what it raises."""
    tasks = yield from bps.wait_for([make])
    if not tasks:
        return None
    task = cast("asyncio.Task[Any]", tasks[0])
    return task.result()


__all__ = [
    "Changed",
    "await_plan",
    "check_wires",
    "connect_wires",
    "detector_deadtime",
    "wire_capture",
    "wire_detector_pulses",
    "wire_externally_triggered",
    "wire_gated_bursts",
    "wire_position_compare",
    "wire_position_list",
    "wire_spec",
    "wire_spec_in_turns",
    "wire_time_resolved",
]
