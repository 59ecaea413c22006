"""What is captured is a list of columns in five groups, each of one to five words.

Source: protocol.md 7.2, 7.4, 7.5, 8.5; blocks.md 4.1 (modes).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from panda_simulator.box.errors import CommandError
from panda_simulator.box.text import Cursor
from panda_simulator.box.wiring import Wiring
from panda_simulator.versions import Features

WORD_LIMIT = 63


class ColumnGroup(IntEnum):
    """Columns of one group stand together, in this order."""

    UNSCALED = 1
    SCALED32 = 2
    SCALED64 = 3
    AVERAGED = 4
    STD_DEV = 5


@dataclass(frozen=True, slots=True)
class CaptureOption:
    """An option of CAPTURE: its column, and the modes of its words in the capture list."""

    name: str
    group: ColumnGroup
    modes: tuple[int, ...]


CAPTURE_OPTIONS = (
    CaptureOption("Value", ColumnGroup.SCALED32, (0,)),
    CaptureOption("Diff", ColumnGroup.SCALED32, (1,)),
    CaptureOption("Sum", ColumnGroup.SCALED64, (2, 3)),
    CaptureOption("Min", ColumnGroup.SCALED32, (4,)),
    CaptureOption("Max", ColumnGroup.SCALED32, (5,)),
    CaptureOption("Mean", ColumnGroup.AVERAGED, (2, 3)),
    CaptureOption("StdDev", ColumnGroup.STD_DEV, (2, 3, 6, 7, 8)),
)
_CHOICES = (
    "No",
    "Value",
    "Diff",
    "Sum",
    "Mean",
    "Min",
    "Max",
    "Min Max",
    "Min Max Mean",
    "StdDev",
    "Mean StdDev",
)


def _has_deviation(wiring: Wiring) -> bool:
    return wiring.features.capture_lists and wiring.hardware.std_dev


def option_names(wiring: Wiring) -> list[str]:
    """List the options that can be combined."""
    std_dev = _has_deviation(wiring)
    return [option.name for option in CAPTURE_OPTIONS if std_dev or option.name != "StdDev"]


def capture_choices(wiring: Wiring) -> list[str]:
    """List the combinations that the server advertises."""
    std_dev = _has_deviation(wiring)
    return [choice for choice in _CHOICES if std_dev or "StdDev" not in choice]


def parse_options(text: str, wiring: Wiring) -> frozenset[str]:
    """Read a value of CAPTURE."""
    if not wiring.features.capture_lists and text not in capture_choices(wiring):
        raise CommandError("Invalid capture option")
    if text == "No":
        return frozenset()
    known = option_names(wiring)
    options = set[str]()
    cursor = Cursor(text)
    while cursor.peek():
        name = cursor.letters()
        cursor.skip_blanks()
        if name not in known:
            raise CommandError(f'Unknown capture option "{name}"')
        options.add(name)
    return frozenset(options)


def format_options(options: frozenset[str]) -> str:
    """Write a value of CAPTURE."""
    return " ".join(option.name for option in CAPTURE_OPTIONS if option.name in options) or "No"


@dataclass(frozen=True, slots=True)
class CapturedColumn:
    """One column of the data, with the scaling it had when the capture was armed."""

    name: str
    group: ColumnGroup
    capture: str
    entries: tuple[int, ...]
    """Its entries in the capture list, one for each word."""
    scale: float
    offset: float
    units: str
    with_mean: bool = False
    """Whether the mean of the same field is wanted as well."""

    @property
    def with_mean_column(self) -> bool:
        """Whether it is a StdDev that comes with a column for the mean."""
        return self.group is ColumnGroup.STD_DEV and self.with_mean


@dataclass(frozen=True, slots=True)
class CapturePlan:
    """All columns of an acquisition, in the order of the data."""

    columns: tuple[CapturedColumn, ...]
    hidden_count: CapturedColumn | None
    """The sample count, if a mean needs it and nobody captures it: the first word."""
    count_word: int | None
    """Where the sample count is in the words of a sample, if a mean needs it."""
    features: Features
    """How the server presents it all."""

    @property
    def entries(self) -> list[int]:
        """The capture list of the hardware."""
        hidden = list(self.hidden_count.entries) if self.hidden_count else []
        return hidden + [entry for column in self.columns for entry in column.entries]

    @property
    def raw_bytes(self) -> int:
        """Bytes of a sample as the hardware delivers it."""
        return 4 * len(self.entries)

    def group(self, group: ColumnGroup) -> list[CapturedColumn]:
        """List the columns of one group."""
        return [column for column in self.columns if column.group == group]


def plan_capture(
    captured: Iterable[Sequence[CapturedColumn]],
    sample_count: CapturedColumn | None,
    features: Features,
) -> CapturePlan:
    """Arrange columns, given in the order of the registers file.

    Raises:
        CommandError: there is nothing to capture, too much, or no way to count.
    """
    if sample_count is None:
        raise CommandError("PCAP not supported with this configuration")
    # the sort is stable: inside a group the order stays
    columns = sorted((column for some in captured for column in some), key=lambda c: c.group)
    averages = any(c.group >= ColumnGroup.AVERAGED for c in columns)
    count_word = None
    hidden = None
    if averages:
        words = [entry for column in columns for entry in column.entries]
        count_entry = sample_count.entries[0]
        # looked for in the wrong group, it was not found
        found = features.found_samples or sample_count.group is ColumnGroup.UNSCALED
        if found and count_entry in words:
            count_word = words.index(count_entry)
        else:
            count_word = 0
            hidden = sample_count
    plan = CapturePlan(tuple(columns), hidden, count_word, features)
    if not plan.entries:
        raise CommandError("Nothing configured for capture")
    if features.capture_limit and len(plan.entries) > WORD_LIMIT:
        raise CommandError("Too many captures for PCAP")
    return plan
