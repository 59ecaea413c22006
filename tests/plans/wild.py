"""What plans of beamlines have in common."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import yaml
from ophyd_async.core import DetectorTrigger

from panda_ophyd.settings import apply_settings

SETTINGS = Path(__file__).parents[1] / "settings" / "files"

LEVEL = DetectorTrigger.EXTERNAL_LEVEL

MRES = -1 / 10000
"""Of the motor of the absorption beamline, whose encoder counts the other way."""


def get_encoder_counts(position: float) -> float:
    return position / MRES


def load(line: Any, name: str, **changed: Any) -> Any:
    """Return a plan that applies a beamline's settings, some of them changed."""
    values = yaml.full_load(gzip.decompress((SETTINGS / f"{name}.yaml.gz").read_bytes()))

    async def apply() -> None:
        await apply_settings(line.panda, values | changed)

    yield from bps.wait_for([apply])
