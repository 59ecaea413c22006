"""A line of a sequencer as a row of columns; no column is ever wider than the box has it.

Pure numpy. Source: blocks.md 5.10.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import override

from panda_ophyd.errors import FieldValueError

Ints = NDArray[np.int64]

MOST_REPEATS = 0xFFFF
LONGEST_PHASE = 2**32 - 1
"""Ticks (times PRESCALE) of a phase."""

OUTPUTS = "ABCDEF"


class Trigger(IntEnum):
    """What a line waits for, by its code in the table."""

    IMMEDIATE = 0
    BITA_0 = 1
    BITA_1 = 2
    BITB_0 = 3
    BITB_1 = 4
    BITC_0 = 5
    BITC_1 = 6
    POSA_GT = 7
    POSA_LT = 8
    POSB_GT = 9
    POSB_LT = 10
    POSC_GT = 11
    POSC_LT = 12

    @property
    def label(self) -> str:
        """As on the wire: ``BITA=1``, ``POSA>=POSITION``."""
        if self is Trigger.IMMEDIATE:
            return "Immediate"
        signal, sign = self.name.split("_")
        return f"{signal}{_SIGNS.get(sign, f'={sign}')}"

    def condition(self, position: int) -> str:
        """Return what is waited for in words: ``BITA=1``, ``POSA>=950``."""
        return self.label.replace("POSITION", str(position))


_SIGNS = {"GT": ">=POSITION", "LT": "<=POSITION"}


def bit_trigger(bit: str, level: int) -> Trigger:
    """Return the trigger on a level of input ``BIT<bit>``.

    Raises:
        FieldValueError: there is no such input.
    """
    if bit not in _INPUTS:
        raise FieldValueError("gate", bit, "a sequencer has the bit inputs A, B and C")
    return Trigger(1 + 2 * _INPUTS.index(bit) + level)


def position_trigger(position_input: str, *, up: bool) -> Trigger:
    """Return the trigger on ``POS<input>`` at or above a position (up), or at or below it.

    Raises:
        FieldValueError: there is no such input.
    """
    if position_input not in _INPUTS:
        raise FieldValueError(
            "position input", position_input, "a sequencer has the position inputs A, B and C"
        )
    return Trigger(7 + 2 * _INPUTS.index(position_input) + (not up))


_INPUTS = ("A", "B", "C")

_COLUMNS: Mapping[str, tuple[type[np.integer[Any]], int, int]] = {
    "repeats": (np.uint16, 0, MOST_REPEATS),
    "trigger": (np.uint8, 0, max(Trigger)),
    "position": (np.int32, -(2**31), 2**31 - 1),
    "time1": (np.uint32, 0, LONGEST_PHASE),
    "outputs1": (np.uint8, 0, 2 ** len(OUTPUTS) - 1),
    "time2": (np.uint32, 0, LONGEST_PHASE),
    "outputs2": (np.uint8, 0, 2 ** len(OUTPUTS) - 1),
    "frames": (np.uint32, 0, 2**32 - 1),
}
"""Column to its type, least and largest value."""


@dataclass(frozen=True, slots=True, eq=False)
class SeqLines:
    """Lines in the order in which they are played; made by `of`, which checks every column.

    Attributes:
        repeats: ``(n,)`` uint16, times a line runs, 0 for ever.
        trigger: ``(n,)`` uint8, codes of `Trigger`.
        position: ``(n,)`` int32, counts.
        time1: ``(n,)`` uint32, ticks of phase 1, 0 for no phase 1.
        outputs1: ``(n,)`` uint8, bit 0 is A.
        time2: ``(n,)`` uint32, ticks of phase 2; the box takes 0 as 1.
        outputs2: ``(n,)`` uint8.
        frames: ``(n,)`` uint32, frames of the scan that are complete when all repeats of the
            line have ended: no part of the table. 0 for guards and closers; of a frame that
            takes several lines the last counts.
    """

    repeats: NDArray[np.uint16]
    trigger: NDArray[np.uint8]
    position: NDArray[np.int32]
    time1: NDArray[np.uint32]
    outputs1: NDArray[np.uint8]
    time2: NDArray[np.uint32]
    outputs2: NDArray[np.uint8]
    frames: NDArray[np.uint32]

    @classmethod
    def of(
        cls,
        *,
        repeats: ArrayLike = 1,
        trigger: ArrayLike = Trigger.IMMEDIATE,
        position: ArrayLike = 0,
        time1: ArrayLike = 0,
        outputs1: ArrayLike = 0,
        time2: ArrayLike = 0,
        outputs2: ArrayLike = 0,
        frames: ArrayLike = 0,
    ) -> SeqLines:
        """Return lines of columns that are broadcast against each other.

        Raises:
            FieldValueError: a value is no whole number or does not fit its column; it names
                line, column and value.
            ValueError: the columns are of different lengths.
        """
        given = (repeats, trigger, position, time1, outputs1, time2, outputs2, frames)
        arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(column)) for column in given))
        return cls(*(_checked(name, array) for name, array in zip(_COLUMNS, arrays, strict=True)))

    @classmethod
    def empty(cls) -> SeqLines:
        """Return no line."""
        return cls.of(**dict.fromkeys(_COLUMNS, ()))

    @classmethod
    def concat(cls, batches: Iterable[SeqLines]) -> SeqLines:
        """Return all lines of the batches in a row."""
        parts = [cls.empty(), *batches]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS))

    def __len__(self) -> int:
        return self.repeats.size

    def __getitem__(self, lines: slice) -> SeqLines:
        return SeqLines(*(getattr(self, column.name)[lines] for column in fields(self)))

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SeqLines):
            return NotImplemented
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in _COLUMNS)

    __hash__ = None  # type: ignore[assignment]  # arrays inside

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the table by the names of ophyd-async's ``SeqTable``; triggers are codes."""
        table: dict[str, NDArray[Any]] = {
            "repeats": self.repeats, "trigger": self.trigger, "position": self.position
        }  # fmt: skip
        for phase in "12":
            table[f"time{phase}"] = getattr(self, f"time{phase}")
            outputs = getattr(self, f"outputs{phase}")
            for bit, letter in enumerate(OUTPUTS.lower()):
                table[f"out{letter}{phase}"] = (outputs >> bit & 1).astype(np.bool_)
        return table

    def words(self) -> NDArray[np.uint32]:
        """Return the lines as the box has them, ``(4n,)`` uint32."""
        words = np.empty((len(self), 4), np.uint32)
        words[:, 0] = (
            self.repeats.astype(np.uint32)
            | self.trigger.astype(np.uint32) << 16
            | self.outputs1.astype(np.uint32) << 20
            | self.outputs2.astype(np.uint32) << 26
        )
        words[:, 1] = self.position.view(np.uint32)
        words[:, 2] = self.time1
        words[:, 3] = self.time2
        return words.reshape(-1)

    def line_ticks(self, prescale: int = 1) -> Ints:
        """Return ``(n,)`` int64: ticks that each line plays with all its repeats.

        Waiting for a trigger is not counted; of a line that never ends one run is.
        """
        once = self.time1.astype(np.int64) + np.maximum(self.time2, 1)
        return once * np.maximum(self.repeats, 1) * max(prescale, 1)


def _checked(name: str, column: NDArray[Any]) -> Any:
    # Any: which type a column has depends on its name
    kind, least, most = _COLUMNS[name]
    if column.dtype == kind and name not in _NARROW:
        return np.array(column)
    # "not within" rather than "outside": it catches NaN too
    wrong = ~((column >= least) & (column <= most))
    if column.dtype.kind == "f":
        wrong |= column != np.rint(column)
    if wrong.any():
        line = int(np.argmax(wrong))
        raise FieldValueError(
            f"line {line} column {name}",
            column[line].item(),
            f"it takes whole numbers from {least} to {most}",
        )
    return column.astype(kind)


_NARROW = frozenset({"trigger", "outputs1", "outputs2"})
"""Columns with fewer bits than their type."""
