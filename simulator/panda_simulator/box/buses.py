"""Outputs of blocks are entries of a bus: bits, positions, and what only a capture sees.

Source: protocol.md 4.6 to 4.8, 7.4, 7.5; blocks.md 4.1 (capture entries).
"""

from __future__ import annotations

from typing_extensions import override

from panda_simulator.box.capture import (
    CAPTURE_OPTIONS,
    CapturedColumn,
    ColumnGroup,
    capture_choices,
    format_options,
    parse_options,
)
from panda_simulator.box.errors import CommandError
from panda_simulator.box.field import Attribute, FieldClass, Place
from panda_simulator.box.stamps import Group
from panda_simulator.box.text import Cursor, check_utf8, format_real, one_result
from panda_simulator.box.wiring import Output

_WORD_BITS = 32
_UNITS_LIMIT = 31
_EXTENSION_GROUPS = {
    "timestamp": ColumnGroup.SCALED64,
    "samples": ColumnGroup.SCALED32,
    "bits": ColumnGroup.UNSCALED,
}


def _indices(cursor: Cursor, count: int) -> list[int]:
    indices = list[int]()
    for number in range(count):
        if number:
            cursor.blanks()
        indices.append(cursor.unsigned())
    return indices


class BitOut(FieldClass):
    """``bit_out``."""

    group = Group.BITS

    def __init__(self, place: Place, cursor: Cursor) -> None:  # noqa: ARG002 (no details)
        super().__init__(place, "bit_out")
        self.indices: list[int] = []

    @override
    def read(self, number: int) -> str:
        self.place.wiring.bits.refresh(self.place.wiring.changes.tick())
        return self.value(number)

    @override
    def value(self, number: int) -> str:
        return str(self.place.wiring.bits.values[self.indices[number]])

    @override
    def changed(self, since: int) -> list[int]:
        bits = self.place.wiring.bits
        if since >= bits.latest:
            return []
        return [number for number, index in enumerate(self.indices) if bits.stamps[index] > since]

    @override
    def assign(self, cursor: Cursor) -> None:
        self.indices = _indices(cursor, self.place.count)
        for number, index in enumerate(self.indices):
            self.place.wiring.bit_names.add(index, self.place.reported(number))

    @override
    def attributes(self) -> list[Attribute]:
        def word(number: int) -> str:
            return self.place.wiring.bit_words.get(self.indices[number] // _WORD_BITS, "(null)")

        def offset(number: int) -> str:
            return str(self.indices[number] % _WORD_BITS)

        return [
            Attribute("CAPTURE_WORD", "Name of field containing this bit", word),
            Attribute("OFFSET", "Position of this bit in captured word", offset),
        ]


class PosOut(FieldClass):
    """``pos_out [scale [offset [units]]]``."""

    group = Group.POSN

    def __init__(self, place: Place, cursor: Cursor) -> None:
        super().__init__(place, "pos_out")
        scale, offset, units = 1.0, 0.0, None
        if cursor.take(" "):
            scale = cursor.real()
            if cursor.take(" "):
                offset = cursor.real()
                if cursor.take(" "):
                    units = cursor.utf8()
        self._scales = [scale] * place.count
        self._offsets = [offset] * place.count
        self._units: list[str | None] = [units] * place.count
        self._options: list[frozenset[str]] = [frozenset()] * place.count
        self.indices: list[int] = []
        self._capture = Attribute(
            "CAPTURE",
            "Capture options",
            lambda number: format_options(self._options[number]),
            self._write_capture,
            labels=lambda: capture_choices(place.wiring),
            in_changes=True,
        )

    @override
    def read(self, number: int) -> str:
        self.place.wiring.positions.refresh(self.place.wiring.changes.tick())
        return self.value(number)

    @override
    def value(self, number: int) -> str:
        return str(self._position(number))

    @override
    def changed(self, since: int) -> list[int]:
        positions = self.place.wiring.positions
        if since >= positions.latest:
            return []
        return [
            number for number, index in enumerate(self.indices) if positions.stamps[index] > since
        ]

    @override
    def assign(self, cursor: Cursor) -> None:
        wiring = self.place.wiring
        self.indices = _indices(cursor, self.place.count)
        for number, index in enumerate(self.indices):
            name = self.place.reported(number)
            wiring.position_names.add(index, name)
            wiring.outputs.append(Output(name, self, number, is_position=True))

    @override
    def attributes(self) -> list[Attribute]:
        return [
            self._capture,
            Attribute("SCALED", "Value with scaling applied", self._scaled),
            self._real("SCALE", "Scale factor", self._scales),
            self._real("OFFSET", "Offset", self._offsets),
            Attribute(
                "UNITS",
                "Units string",
                lambda number: one_result(self._units[number] or ""),
                self._write_units,
                in_changes=True,
            ),
        ]

    def clear_capture(self, number: int) -> None:
        """Switch capture off."""
        if self._options[number]:
            self._options[number] = frozenset()
            self._capture.stamps[number] = self.place.wiring.changes.tick()

    def capture_setting(self, number: int) -> str | None:
        """Return the options, None if there are none."""
        options = self._options[number]
        return format_options(options) if options else None

    def columns(self, number: int) -> list[CapturedColumn]:
        """List the columns to capture, with the scaling of this moment."""
        options = self._options[number]
        units = self._units[number]
        return [
            CapturedColumn(
                name=self.place.reported(number),
                group=option.group,
                capture=option.name,
                entries=tuple(self.indices[number] << 4 | mode for mode in option.modes),
                scale=self._scales[number],
                offset=self._offsets[number],
                # units that were never set are shown as C prints a null pointer
                units=("(null)" if units is None else units)[:_UNITS_LIMIT],
                with_mean="Mean" in options,
            )
            for option in CAPTURE_OPTIONS
            if option.name in options and not (option.name == "Mean" and "StdDev" in options)
        ]

    def _position(self, number: int) -> int:
        return self.place.wiring.positions.values[self.indices[number]]

    def _scaled(self, number: int) -> str:
        return format_real(self._position(number) * self._scales[number] + self._offsets[number])

    def _real(self, name: str, description: str, values: list[float]) -> Attribute:
        def put(number: int, text: str) -> None:
            cursor = self.place.wiring.cursor(text)
            value = cursor.real()
            cursor.end()
            values[number] = value

        def get(number: int) -> str:
            return format_real(values[number])

        return Attribute(name, description, get, put, in_changes=True)

    def _write_units(self, number: int, text: str) -> None:
        check_utf8(text)
        self._units[number] = text

    def _write_capture(self, number: int, text: str) -> None:
        self._options[number] = parse_options(text, self.place.wiring)


class ExtOut(FieldClass):
    """``ext_out timestamp``, ``ext_out samples`` or ``ext_out bits GROUP``."""

    _entries: tuple[int, ...] = ()

    def __init__(self, place: Place, cursor: Cursor) -> None:
        super().__init__(place, "ext_out")
        if place.count != 1:
            raise CommandError("an extension output cannot be repeated")
        cursor.blanks()
        self.subtype = cursor.letters()
        if self.subtype not in _EXTENSION_GROUPS:
            raise CommandError(f"unknown ext_out type {self.subtype}")
        self._bit_group = 0
        if self.subtype == "bits":
            cursor.blanks()
            self._bit_group = cursor.unsigned()
        self._captured = False
        self._capture = Attribute(
            "CAPTURE",
            "Capture options",
            lambda _: "Value" if self._captured else "No",
            self._write_capture,
            labels=lambda: ["No", "Value"],
            in_changes=True,
        )

    @override
    def assign(self, cursor: Cursor) -> None:
        wiring = self.place.wiring
        entries = _indices(cursor, 2 if self.subtype == "timestamp" else 1)
        for entry in entries:
            wiring.claim_extension_entry(entry)
        self._entries = tuple(_WORD_BITS + entry << 4 for entry in entries)
        name = self.place.reported(0)
        wiring.outputs.append(Output(name, self, 0, is_position=False))
        if self.subtype == "bits":
            wiring.bit_words[self._bit_group] = name

    @property
    def is_sample_count(self) -> bool:
        """Whether this counts the gated ticks that a mean is divided by."""
        return self.subtype == "samples"

    @override
    def attributes(self) -> list[Attribute]:
        if self.subtype != "bits":
            return [self._capture]
        bits = Attribute("BITS", "Enumerate bits captured in this word", lambda _: self._bits())
        return [self._capture, bits]

    def clear_capture(self, number: int) -> None:
        """Switch capture off."""
        if self._captured:
            self._captured = False
            self._capture.stamps[number] = self.place.wiring.changes.tick()

    def capture_setting(self, number: int) -> str | None:  # noqa: ARG002 (there is one)
        """Return the option, None if it is not captured."""
        return "Value" if self._captured else None

    def columns(self, number: int) -> list[CapturedColumn]:  # noqa: ARG002 (there is one)
        """List the column to capture, if it is."""
        return [self.column()] if self._captured else []

    def column(self) -> CapturedColumn:
        """Describe the column whether it is captured or not."""
        group = _EXTENSION_GROUPS[self.subtype or ""]
        if self.is_sample_count and not self.place.wiring.features.scaled_samples:
            group = ColumnGroup.UNSCALED
        return CapturedColumn(
            name=self.place.reported(0),
            group=group,
            capture="Value",
            entries=self._entries,
            scale=1.0 / self.place.wiring.clock,
            offset=0.0,
            units="s",
        )

    def _bits(self) -> list[str]:
        names = self.place.wiring.bit_names.names
        first = self._bit_group * _WORD_BITS
        return [names.get(index, "") for index in range(first, first + _WORD_BITS)]

    def _write_capture(self, number: int, text: str) -> None:  # noqa: ARG002 (there is one)
        if text not in {"No", "Value"}:
            raise CommandError("Invalid capture option")
        self._captured = text == "Value"
