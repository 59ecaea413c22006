"""What a capture is about to be, as far as it can be known before it is armed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from panda_ophyd.preflight.spacing import RISING, Spacing, spacing
from panda_ophyd.wiring import Settings

MOST_WORDS = 63
"""32-bit words of a sample. Source: protocol.md 7.5."""

OPTION_WORDS: Mapping[str, int] = {"Sum": 2, "Mean": 2, "StdDev": 5}
"""Words of a capture option, 1 if it is not here; with StdDev the Mean is free."""

TIMESTAMP = "PCAP.TS_"
COUNTS = ("PCAP.GATE_DURATION", "PCAP.SAMPLES")
"""Fields that hold the count of samples, which a mean needs."""

BITS = "PCAP.BITS"

Captured = Sequence[tuple[str, tuple[str, ...]]]
"""Fields set to be captured with their options: ``[("INENC1.VAL", ("Min", "Max"))]``."""


@dataclass(frozen=True)
class Setup:
    """Everything that the checks look at.

    Attributes:
        settings: target to text, as ``*CHANGES?`` lists them.
        captured: what is set to be captured.
        candidates: what could be.
        clock: Hz.
        ticking: whether there is an FPGA that acts on its settings; the server's own
            simulation has none.
        tables: of the sequencers that have theirs for good; see `spacing.Tables`.
        rows: how many are expected, None if nobody knows.
        free: bytes free where the file goes, None if unknown.
        written: bytes a second that the disk was seen to take, None if unknown.
    """

    settings: Settings
    captured: Captured
    candidates: Sequence[str] = ()
    clock: int = 125_000_000
    ticking: bool = True
    tables: Mapping[str, NDArray[np.uint32]] = field(
        default_factory=dict[str, "NDArray[np.uint32]"]
    )
    rows: int | None = None
    free: int | None = None
    written: float | None = None

    @cached_property
    def words(self) -> int:
        """32-bit words of a sample."""
        words, counted, averaged = 0, False, False
        for name, options in self.captured:
            counted = counted or name in COUNTS
            averaged = averaged or bool({"Mean", "StdDev"} & set(options))
            if name.startswith(TIMESTAMP):
                words += 2
            for option in () if name.startswith(TIMESTAMP) else options:
                free = option == "Mean" and "StdDev" in options
                words += 0 if free else OPTION_WORDS.get(option, 1)
        return words + int(averaged and not counted)

    @property
    def sample_bytes(self) -> int:
        """Of one sample on the wire."""
        return 4 * self.words

    @cached_property
    def row_bytes(self) -> int:
        """Of one row on the disk, with its absolute time."""
        stamped = any(name.startswith(TIMESTAMP) for name, _ in self.captured)
        return 8 * stamped + sum(
            (4 if name.startswith(BITS) else 8) * len(options) for name, options in self.captured
        )

    @cached_property
    def spacing(self) -> Spacing | None:
        """How far apart triggers are, None if the settings do not tell."""
        edge = self.settings.get("PCAP.TRIG_EDGE", RISING)
        return spacing(self.settings, self.tables, self.clock, "PCAP.TRIG", edge)

    @property
    def rate(self) -> float | None:
        """Samples a second on average, None if the settings do not tell."""
        found = self.spacing
        return None if found is None or not found.mean else self.clock / found.mean
