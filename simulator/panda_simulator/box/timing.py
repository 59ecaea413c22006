"""Times are ticks of the clock that are shown in one of four units.

Source: protocol.md 4.4 (time), 4.5.
"""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from panda_simulator.box.errors import CommandError
from panda_simulator.box.field import Attribute, FieldClass, Place
from panda_simulator.box.stamps import Group
from panda_simulator.box.subtypes import Subtype
from panda_simulator.box.text import WORD_MASK, Cursor, format_real, round_half_away

UNITS = {"min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
CLASS_LIMIT = (1 << 48) - 1
_RAW = "Time in ticks"
_QUADWORD_MASK = (1 << 64) - 1


class TimeScale:
    """The unit of each instance, and ticks to and from it."""

    def __init__(self, place: Place) -> None:
        self._wiring = place.wiring
        self._units = ["s"] * place.count

    def parse(self, number: int, cursor: Cursor, limit: int) -> int:
        """Read a time as ticks."""
        value = cursor.real()
        for factor in self._factors(number):
            value *= factor
        if not 0 <= value <= limit:
            raise CommandError("Time setting out of range")
        return round_half_away(value)

    def format(self, number: int, ticks: int) -> str:
        """Write ticks as a time."""
        value = float(ticks)
        for factor in self._factors(number):
            value /= factor
        return format_real(value)

    def _factors(self, number: int) -> tuple[float, ...]:
        """Return what makes a time ticks: one factor after the other, or their exact product."""
        unit = self._units[number]
        clock = float(self._wiring.clock)
        if self._wiring.features.clock_command:
            return UNITS[unit], clock
        return (clock * 60 if unit == "min" else clock / round(1 / UNITS[unit]),)

    def attribute(self, register: FieldClass | Subtype) -> Attribute:
        """Return the UNITS attribute; changing it changes the value shown."""
        touch = register.touch if isinstance(register, FieldClass) else register.register.touch

        def put(number: int, text: str) -> None:
            if text not in UNITS:
                raise CommandError("Invalid time units")
            self._units[number] = text
            touch(number)

        return Attribute(
            "UNITS",
            "Units of time setting",
            self._units.__getitem__,
            put,
            labels=_unit_labels,
            in_changes=True,
        )


def _unit_labels() -> Sequence[str]:
    return list(UNITS)


class Time(Subtype):
    """``time`` as a subtype: one register of 32 bits."""

    name = "time"

    @override
    def configure(self, cursor: Cursor) -> None:
        self._scale = TimeScale(self.register.place)

    @override
    def parse(self, number: int, cursor: Cursor) -> int:
        return self._scale.parse(number, cursor, WORD_MASK)

    @override
    def format(self, number: int, value: int) -> str:
        return self._scale.format(number, value)

    @override
    def attributes(self) -> list[Attribute]:
        return [self.raw_attribute(_RAW, signed=False), self._scale.attribute(self)]


class TimeField(FieldClass):
    """``time`` as a class: two registers, of which 48 bits count."""

    group = Group.CONFIG

    def __init__(self, place: Place, cursor: Cursor) -> None:  # noqa: ARG002 (no details)
        super().__init__(place, "time")
        self._ticks = [0] * place.count
        self._scale = TimeScale(place)
        self._least = 1

    @override
    def value(self, number: int) -> str:
        return self._scale.format(number, self._ticks[number])

    @override
    def write(self, number: int, text: str) -> None:
        cursor = self.place.wiring.cursor(text)
        ticks = self._scale.parse(number, cursor, CLASS_LIMIT)
        cursor.end()
        self._store(number, ticks)

    @override
    def attributes(self) -> list[Attribute]:
        raw = Attribute("RAW", _RAW, lambda number: str(self._ticks[number]), self._write_raw)
        units = self._scale.attribute(self)
        if self.place.wiring.features.free_times:
            return [raw, units]
        least = Attribute("MIN", "Minimum programmable time", self._minimum)
        return [raw, units, least]

    def _minimum(self, number: int) -> str:
        return self._scale.format(number, self._least)

    @override
    def assign(self, cursor: Cursor) -> None:
        for half in range(2):
            if half:
                cursor.blanks()
            self.place.wiring.claim_register(self.place.block, cursor.unsigned())
        if cursor.peek():
            cursor.blanks()
            cursor.expect(">")
            # versions without a minimum take such files too: a box may serve any of them
            self._least = cursor.unsigned(_QUADWORD_MASK) + 1

    def _write_raw(self, number: int, text: str) -> None:
        cursor = self.place.wiring.cursor(text)
        ticks = cursor.unsigned(_QUADWORD_MASK)
        cursor.end()
        self._store(number, ticks)

    def _store(self, number: int, ticks: int) -> None:
        if not self.place.wiring.features.free_times and 0 < ticks < self._least:
            raise CommandError("Value too small")
        self._ticks[number] = ticks
        self.place.write(number, ticks & WORD_MASK, "_L")
        self.place.write(number, ticks >> 32, "_H")
        self.touch(number)
