"""A time is written in ticks, or with a unit, and shown in the unit that suits it.

Source: blocks.md 1.1, 1.5 (one tick is 8 ns).
"""

from __future__ import annotations

import math
import re

from panda_simulator.clock import TICKS_PER_SECOND

UNITS = {"min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
LONGEST = 1 << 62

_TIME = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([a-zµ]*)")
_SHOWN = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))


def parse_ticks(text: str) -> int:
    """Read a time: ``12`` or ``12 ticks``, or with a unit as ``1.5us``; rounded to ticks.

    Raises:
        ValueError: it is none, or negative, or too long.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no time: write ticks, as 12, or a unit, as 1.5us")
    number, unit = match.groups()
    value = float(number)
    if unit in {"", "tick", "ticks"}:
        if not value.is_integer():
            raise ValueError(f"{text!r} is no whole number of ticks")
        ticks = value
    elif unit in UNITS:
        ticks = value * UNITS[unit] * TICKS_PER_SECOND
    else:
        raise ValueError(f"{text!r}: there is no unit {unit!r}, but ticks, {', '.join(UNITS)}")
    if not 0 <= ticks < LONGEST:
        raise ValueError(f"{text!r} is negative or too long")
    return math.floor(ticks + 0.5)


def unit_for(ticks: int) -> tuple[str, float]:
    """Return the unit to show a span of time in, and its length in seconds."""
    seconds = ticks / TICKS_PER_SECOND
    for unit, length in _SHOWN:
        if seconds >= length:
            return unit, length
    return _SHOWN[-1]


def format_ticks(ticks: int) -> str:
    """Write a time with the unit that suits it, as ``1.5 µs``."""
    if not ticks:
        return "0 s"
    unit, length = unit_for(abs(ticks))
    return f"{ticks / TICKS_PER_SECOND / length:.6g} {unit}"
