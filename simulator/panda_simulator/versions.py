"""What a server can do is a table: each feature with the first version that has it.

Everything that differs between versions asks `Features` by name; nothing else compares
versions. A feature may also be what old servers can *not* do.

Source: protocol.md 11.3, and exchanges with the servers 2.0 to 4.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

OLDEST = "2.0"
NEWEST = "4.1"

_VERSION = re.compile(
    r"(?P<major>\d+)\.(?P<minor>\d+)(?:\.(?P<patch>\d+))?(?:(?P<stage>[ab])(?P<try>\d+))?"
    r"(?:-\d+-g[0-9a-f]+)?(?:-dirty)?",
    re.ASCII,
)
_STAGES = {"a": 0, "b": 1, None: 2}


def _order(text: str) -> tuple[int, ...]:
    """Return what versions are sorted by: alphas and betas come before their release."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError(
            f"server version {text!r} is malformed: give one like {OLDEST}, 3.0a2 or {NEWEST}"
        )
    numbers = (int(match[name] or 0) for name in ("major", "minor", "patch"))
    return *numbers, _STAGES[match["stage"]], int(match["try"] or 0)


def _since(version: str) -> Any:
    return field(default=True, metadata={"since": version})


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What one version of the server can do; by default all of it."""

    listed_sample_count: bool = _since("2.1")
    """A RAW header lists the sample count that only a mean needs; before, it was sent unlisted."""
    large_blocks: bool = _since("2.1")
    """Blocks of the ring are of 2 MiB; before, of 256 KiB."""
    block_frames: bool = _since("2.1")
    """FRAMED RAW sends blocks as they are; before, frames of 64 KiB at most."""
    extension_errors: bool = _since("2.1")
    """A failed extension is an error; before, it read as 0."""
    unwritten_defaults: bool = _since("2.1")
    """Defaults of `param` fields do not reach the hardware; before, they did."""

    arm_time: bool = _since("3.0a1")
    """A header tells when the acquisition was armed."""

    capture_lists: bool = _since("3.0a2")
    """CAPTURE takes any combination, StdDev among them; before, one of nine choices."""
    capture_inquiries: bool = _since("3.0a2")
    """There are `*CAPTURE.OPTIONS` and `*CAPTURE.ENUMS`."""
    capture_limit: bool = _since("3.0a2")
    """Too many words are refused by `*PCAP.ARM`; before, nothing was counted."""
    row_words: bool = _since("3.0a2")
    """Tables have ROW_WORDS."""
    no_unscaled: bool = _since("3.0a2")
    """UNSCALED is gone, and BARE is RAW; before, UNSCALED was integers, BARE used it."""
    raw_text_words: bool = _since("3.0a2")
    """RAW ASCII is one hexadecimal number a word; before, one decimal number a column."""
    empty_mean: bool = _since("3.0a2")
    """A mean of nothing is no number; before, it was the sum."""
    carriage_returns: bool = _since("3.0a2")
    """A CR in the option line has an error of its own."""
    number_ranges: bool = _since("3.0a2")
    """Numbers beyond the range of C are refused; before, the nearest one was taken."""
    whole_delays: bool = _since("3.0a2")
    """DELAY refuses text behind its number; before, it overlooked it."""

    bits_command: bool = _since("3.0b1")
    """There is `*BITS`."""
    start_time: bool = _since("3.0b1")
    """A header tells when the acquisition started."""
    late_header: bool = _since("3.0b1")
    """A header comes with the first data or the end; before, at once when armed."""
    driver_version: bool = _since("3.0b1")
    """A registers file says which driver it is made for."""
    signed_scalars: bool = _since("3.0b1")
    """The raw value of a scalar is signed; before, it was signed only when written."""

    clock_command: bool = _since("3.0b2")
    """There is `*CLOCK_FREQ`, and the FPGA is asked for its clock; before, it had 125 MHz."""
    scaled_samples: bool = _since("3.0b2")
    """The column of the sample count is seconds; before, it was ticks without a scale."""

    nanoseconds: bool = _since("3.1b1")
    """Times in a header are of ns; before, of ms."""
    hardware_time: bool = _since("3.1b1")
    """A header takes its start time from the hardware, if that has one."""
    start_header: bool = _since("3.1b1")
    """A header comes at the start; before, see `late_header`."""
    found_samples: bool = _since("3.1b1")
    """A captured sample count serves the means; in 3.0 itself they have one of their own."""
    free_times: bool = _since("3.1b1")
    """Times have no minimum."""

    streamed_tables: bool = _since("4.1")
    """`<<` streams, and tables have MODE and QUEUED_LINES; before, `<<` appended."""


FIRST_VERSIONS: Mapping[str, str] = MappingProxyType(
    {row.name: row.metadata["since"] for row in fields(Features)}
)
"""Name of a feature to the first version that has it."""


def features_of(version: str) -> Features:
    """Return what a version can do: every feature that is not newer.

    Args:
        version: a release (``2.1``), a pre-release (``3.0b1``), or what `git describe`
            says (``4.0-12-gabc1234-dirty``); newer ones than known behave like the newest.

    Raises:
        ValueError: it is malformed, or older than 2.0.
    """
    order = _order(version)
    if order < _order(OLDEST):
        raise ValueError(f"server version {version} is not simulated: {OLDEST} is the oldest")
    return Features(**{name: _order(since) <= order for name, since in FIRST_VERSIONS.items()})
