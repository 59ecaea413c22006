"""What the fields of one box share: hardware, change counter, buses and their names.

Source: protocol.md 4.6, 4.7, 4.9, 6.5, 10.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from panda_simulator.box.errors import CommandError
from panda_simulator.box.extension import Extension
from panda_simulator.box.stamps import ChangeCounter
from panda_simulator.box.text import Cursor
from panda_simulator.hardware import (
    BIT_BUS_SIZE,
    BIT_ONE,
    BIT_ZERO,
    POSITION_BUS_SIZE,
    POSITION_ZERO,
    Hardware,
)
from panda_simulator.versions import Features

REGISTER_COUNT = 64
BLOCK_BASE_COUNT = 32
EXTENSION_BUS_SIZE = 16
DEFAULT_CLOCK = 125_000_000


class Selection:
    """Names of bus entries by their index, for muxes and lists."""

    def __init__(self, size: int, constants: dict[int, str]) -> None:
        self.size = size
        self.names = dict(constants)
        self._indices = {name: index for index, name in constants.items()}
        self._listed: list[str] | None = None

    def add(self, index: int, name: str) -> None:
        """Name a bus entry, which nothing else may be."""
        if index >= self.size:
            raise CommandError(f"bus index {index} out of range")
        if index in self.names:
            raise CommandError(f"bus index {index} already used")
        self.names[index] = name
        self._indices[name] = index
        self._listed = None

    def index(self, name: str) -> int | None:
        """Return the index of a name."""
        return self._indices.get(name)

    def listed(self) -> list[str]:
        """Return all names by ascending index."""
        if self._listed is None:
            self._listed = [self.names[index] for index in sorted(self.names)]
        return self._listed


class Snapshot:
    """The last values taken from one bus, and when each was seen to change."""

    def __init__(
        self, size: int, read: Callable[[], tuple[Sequence[int], NDArray[np.bool_]]]
    ) -> None:
        self.values: Sequence[int] = [0] * size
        self.stamps = [1] * size
        self.latest = 1
        self._read = read

    def refresh(self, stamp: int) -> None:
        """Take the values; what changed since the last time gets the stamp."""
        self.values, changed = self._read()
        indices = np.flatnonzero(changed).tolist()
        for index in indices:
            self.stamps[index] = max(self.stamps[index], stamp)
        if indices:
            self.latest = max(self.latest, stamp)


class Capturable(Protocol):
    """A field that can be captured."""

    def clear_capture(self, number: int) -> None:
        """Switch its capture off."""
        ...

    def capture_setting(self, number: int) -> str | None:
        """Return its options, None if it is not captured."""
        ...


@dataclass(frozen=True, slots=True)
class Output:
    """One instance of a capturable field."""

    name: str
    source: Capturable
    number: int
    is_position: bool


@dataclass(slots=True)
class Wiring:
    """Everything of a box that is not of one field alone."""

    extension: Extension
    features: Features = field(default_factory=Features)
    """What the server's version can do."""
    hardware: Hardware = field(init=False)
    """Known only after the files are read, since it is made from them."""
    changes: ChangeCounter = field(default_factory=ChangeCounter)
    bit_names: Selection = field(
        default_factory=lambda: Selection(BIT_BUS_SIZE, {BIT_ZERO: "ZERO", BIT_ONE: "ONE"})
    )
    position_names: Selection = field(
        default_factory=lambda: Selection(POSITION_BUS_SIZE, {POSITION_ZERO: "ZERO"})
    )
    bit_words: dict[int, str] = field(default_factory=dict[int, str])
    """Names of the captured words by group of 32 bits."""
    extension_entries: set[int] = field(default_factory=set[int])
    outputs: list[Output] = field(default_factory=list[Output])
    """Capturable instances, in the order of the registers file."""
    registers: dict[str, set[int]] = field(default_factory=dict[str, set[int]])
    """Registers in use by block; blocks that share a base share their set."""
    bits: Snapshot = field(init=False)
    positions: Snapshot = field(init=False)

    def __post_init__(self) -> None:
        self.bits = Snapshot(BIT_BUS_SIZE, self._read_bits)
        self.positions = Snapshot(POSITION_BUS_SIZE, self._read_positions)

    @property
    def clock(self) -> int:
        """Clock frequency in Hz."""
        asked = self.hardware.clock_frequency if self.features.clock_command else 0
        return asked or DEFAULT_CLOCK

    def cursor(self, text: str) -> Cursor:
        """Return a cursor on a value that a client sent."""
        return Cursor(text, saturating=not self.features.number_ranges)

    def claim_register(self, block: str, register: int) -> None:
        """Reserve a register of a block for one field."""
        used = self.registers.get(block)
        if used is None:
            raise CommandError("block has no hardware registers")
        if register >= REGISTER_COUNT:
            raise CommandError("register value too large")
        if register in used:
            raise CommandError(f"register {register} already in use")
        used.add(register)

    def claim_extension_entry(self, index: int) -> None:
        """Reserve an entry of the extension bus."""
        if index >= EXTENSION_BUS_SIZE:
            raise CommandError(f"extension index {index} out of range")
        if index in self.extension_entries:
            raise CommandError(f"extension index {index} already used")
        self.extension_entries.add(index)

    def _read_bits(self) -> tuple[Sequence[int], NDArray[np.bool_]]:
        values, changed = self.hardware.read_bits()
        return values.astype(np.int64).tolist(), changed

    def _read_positions(self) -> tuple[Sequence[int], NDArray[np.bool_]]:
        values, changed = self.hardware.read_positions()
        return values.tolist(), changed
