"""Will this capture anything? Settings in, problems out; no I/O."""

from __future__ import annotations

from panda_ophyd.preflight.checks import ALL, CHECKS, Check, problems, waivers
from panda_ophyd.preflight.setup import MOST_WORDS, Captured, Setup
from panda_ophyd.preflight.spacing import Spacing, Tables, spacing

__all__ = [
    "ALL",
    "CHECKS",
    "MOST_WORDS",
    "Captured",
    "Check",
    "Setup",
    "Spacing",
    "Tables",
    "problems",
    "spacing",
    "waivers",
]
