"""What names of settings mean: the order they are applied in, which are state, what became of them.

Pure. Source: flyscan.md 4.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType

from typing_extensions import override

STATE_BLOCK = "data"
ARM = "pcap.arm"

PRESETS = frozenset({("inenc", "setp"), ("counter", "set"), ("counter", "set_")})
"""Block and field whose write changes a position at once, whatever the class of the field."""

SUCCESSORS: Mapping[str, str] = MappingProxyType(
    {
        "pcap.samples_capture": "pcap.gate_duration_capture",
        "pcap.samples_dataset": "pcap.gate_duration_dataset",
        "system.ext_clock": "system.clock_source",
    }
)
"""What newer firmware has in place of a field, for messages: it means something else, so a
value is not carried over."""


class Stage(IntEnum):
    """When a setting is applied: what starts something comes when all else is in place."""

    UNITS = 0
    """First, or the box would convert the value it has."""
    VALUES = 1
    TABLES = 2
    ENABLES = 3
    BITS = 4
    """Soft inputs, which are switches of whatever they are connected to."""
    STATE = 5
    """What captures, if state is applied at all."""


def stage_of(name: str, value: object) -> Stage:
    """Return when a setting is applied, by its name (``seq.1.table``) and its value."""
    block, _, rest = name.partition(".")
    signal = rest.rpartition(".")[2]
    if block == STATE_BLOCK or name == ARM:
        return Stage.STATE
    if signal.endswith("_units"):
        return Stage.UNITS
    if signal == "enable":
        return Stage.ENABLES
    if block == "bits" and len(signal) == 1:
        return Stage.BITS
    return Stage.TABLES if isinstance(value, Mapping) or signal == "table" else Stage.VALUES


def present_name(name: str, present: Iterable[str] | Mapping[str, object]) -> str | None:
    """Return what a setting is called on a box, None if it has none of that name.

    A field that is called like something of the framework has an underscore at the end, since
    ophyd-async 0.21: ``srgate.1.set`` is ``srgate.1.set_`` now; files of both kinds are around.
    """
    for alias in (name, f"{name}_", name.removesuffix("_")):
        if alias in present:
            return alias
    return None


@dataclass(frozen=True)
class SettingsReport:
    """What became of settings; all names as in the file.

    Attributes:
        applied: settings that the box has now.
        unknown: it has no such setting.
        state: left out, as they are no settings.
        refused: to why.
    """

    applied: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def complete(self) -> bool:
        """Whether every setting was applied; state is none."""
        return not self.unknown and not self.refused

    @override
    def __str__(self) -> str:
        total = len(self.applied) + len(self.unknown) + len(self.state) + len(self.refused)
        parts = [f"{len(self.applied)} of {total} settings applied"]
        if self.unknown:
            names = ", ".join(_with_successor(name) for name in self.unknown)
            parts.append(f"{len(self.unknown)} are unknown to this PandA: {names}")
        if self.state:
            names = ", ".join(self.state)
            parts.append(f"{len(self.state)} are state, not settings, and left out: {names}")
        if self.refused:
            reasons = "; ".join(f"{name}: {why}" for name, why in self.refused.items())
            parts.append(f"{len(self.refused)} were refused: {reasons}")
        return "; ".join(parts)


def _with_successor(name: str) -> str:
    return f"{name} (now {SUCCESSORS[name]})" if name in SUCCESSORS else name


def is_state_name(name: str) -> bool:
    """Tell by its name what a box is doing from how it is set up: ``inenc.1.setp``."""
    block, _, rest = name.partition(".")
    return name == ARM or block == STATE_BLOCK or (block, rest.rpartition(".")[2]) in PRESETS
