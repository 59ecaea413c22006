"""What of present settings differs from the wires that a scan needs, in words. No I/O."""

from __future__ import annotations

import math

from panda_ophyd.wires.values import OFF, Wires
from panda_ophyd.wiring import (
    DRIVES,
    STARTS,
    UNIT_SECONDS,
    Settings,
    block_of,
    is_output,
    type_of,
)

_CAPTURE = ".CAPTURE"

BY_FLYERS = ("SEQ", "PCOMP", "PGEN")
"""Blocks that a scan enables when it begins: that they are off before is as it has to be."""


def check(settings: Settings, wires: Wires) -> list[str]:
    """Return a sentence for each fault, none if the box is wired as it has to be.

    Args:
        settings: of the box, target to text; what is missing is not known.
        wires: what is needed.
    """
    faults = [text for target in wires if (text := _difference(settings, wires, target))]
    return faults + _asleep(settings, wires)


def asked(wires: Wires) -> tuple[str, ...]:
    """Return the targets that `check` looks at, each once: of the wires, and of their sources."""
    sources = [need for source in wires.values() for need in _feeding(source)]
    return tuple(dict.fromkeys((*wires, *sources)))


def _is_time(wires: Wires, target: str) -> bool:
    return f"{target}.UNITS" in wires


def _difference(settings: Settings, wires: Wires, target: str) -> str | None:
    wanted, purpose = wires[target], wires.purpose(target)
    present = settings.get(target)
    if present is None:
        return f"{target} is not there or cannot be read; it has to be {wanted}, {purpose}"
    if _is_time(wires, target):
        return _late(settings, wires, target)
    if _same(target, present, wanted):
        return None
    return f"{target} is {_shown(settings, wires, target)}, and has to be {wanted}, {purpose}"


def _late(settings: Settings, wires: Wires, target: str) -> str | None:
    units, wanted_units = f"{target}.UNITS", wires[f"{target}.UNITS"]
    now, wanted = settings[target], wires[target]
    scale = UNIT_SECONDS.get(settings.get(units, wanted_units), math.nan)
    try:
        is_same = abs(float(now) * scale - float(wanted) * UNIT_SECONDS[wanted_units]) < _HALF_TICK
    except ValueError:
        is_same = False
    if is_same:
        return None
    unit = settings.get(units, wanted_units)
    return f"{target} is {now} {unit}, and has to be {wanted} {wanted_units}, " + wires.purpose(
        target
    )


_HALF_TICK = 4e-9


def _same(target: str, present: str, wanted: str) -> bool:
    if target.endswith(_CAPTURE):
        return set(present.split()) == set(wanted.split())
    if present == wanted:
        return True
    try:
        return math.isclose(float(present), float(wanted), rel_tol=1e-12)
    except ValueError:
        return False


def _shown(settings: Settings, wires: Wires, target: str) -> str:
    present = settings[target]
    if present == OFF and is_output(wires[target]):
        return f"{OFF} (nothing drives it)"
    if not is_output(present):
        return present or repr(present)
    others = sorted(
        name
        for name, source in settings.items()
        if source == present and name != target and name not in wires
    )
    shared = f", which also drives {', '.join(others)}" if others else ""
    return f"{present} (another block drives it{shared})"


def _feeding(source: str) -> list[str]:
    """Return the inputs without which a source never changes."""
    if not is_output(source):
        return []
    block = block_of(source)
    kind = type_of(block)
    starts = () if kind in BY_FLYERS else STARTS.get(kind, ())
    return [f"{block}.{name}" for name in DRIVES.get(kind, ()) + starts]


def _asleep(settings: Settings, wires: Wires) -> list[str]:
    """Return what is said of sources that never change: of blocks that are not ours to wire."""
    said: dict[str, str] = {}
    for target, source in wires.items():
        for need in _feeding(source):
            if need not in wires and settings.get(need) == OFF:
                said.setdefault(
                    need,
                    f"{need} is {OFF}, so {source}, which {target} is to be connected to, "
                    "never changes: connect it",
                )
    return list(said.values())
