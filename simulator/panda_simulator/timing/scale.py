"""Round numbers for axes."""

from __future__ import annotations

_STEPS = (1, 2, 5, 10)


def pick_step(least: int) -> int:
    """Return the least of 1, 2, 5, 10, 20, 50 … that is not below a number."""
    power = 1
    while power * 10 < least:
        power *= 10
    return next(step * power for step in _STEPS if step * power >= least)
