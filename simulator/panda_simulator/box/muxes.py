"""An input of a block selects an entry of a bus by its reported name.

Source: protocol.md 4.9, 10.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from panda_simulator.box.errors import CommandError
from panda_simulator.box.field import Attribute, FieldClass, Place
from panda_simulator.box.stamps import Group
from panda_simulator.box.text import Cursor
from panda_simulator.box.wiring import Selection
from panda_simulator.hardware import BIT_ZERO, POSITION_ZERO

DELAY_LIMIT = 31


class MuxField(FieldClass):
    """What both kinds of inputs share."""

    group = Group.CONFIG
    refusal: str
    registers: int

    def __init__(self, place: Place, kind: str, choices: Selection, default: int) -> None:
        super().__init__(place, kind)
        self._choices = choices
        self._selected = [default] * place.count

    @override
    def value(self, number: int) -> str:
        name = self._choices.names.get(self._selected[number])
        if name is None:
            raise CommandError("No label for value")
        return name

    @override
    def write(self, number: int, text: str) -> None:
        index = self._choices.index(text)
        if index is None:
            raise CommandError(self.refusal)
        self._selected[number] = index
        self.place.write(number, index)
        self.touch(number)

    @override
    def labels(self) -> Sequence[str]:
        return self._choices.listed()

    @override
    def assign(self, cursor: Cursor) -> None:
        for number in range(self.registers):
            if number:
                cursor.blanks()
            self.place.wiring.claim_register(self.place.block, cursor.unsigned())

    @override
    def initialise(self) -> None:
        for number, index in enumerate(self._selected):
            self.place.write(number, index)


class BitMux(MuxField):
    """``bit_mux [= n]``."""

    refusal = "Invalid bit bus selection"
    registers = 2

    def __init__(self, place: Place, cursor: Cursor) -> None:
        default = BIT_ZERO
        if cursor.take(" "):
            cursor.skip_blanks()
            cursor.expect("=")
            default = cursor.unsigned()
        super().__init__(place, "bit_mux", place.wiring.bit_names, default)
        self._delays = [0] * place.count

    @override
    def attributes(self) -> list[Attribute]:
        return [
            Attribute(
                "DELAY",
                "Clock delay on input",
                lambda number: str(self._delays[number]),
                self._write_delay,
                in_changes=True,
            ),
            Attribute("MAX_DELAY", "Maximum valid input delay", lambda _: str(DELAY_LIMIT)),
        ]

    def _write_delay(self, number: int, text: str) -> None:
        wiring = self.place.wiring
        cursor = wiring.cursor(text)
        delay = cursor.unsigned()
        if wiring.features.whole_delays:
            cursor.end()
        if delay > DELAY_LIMIT:
            raise CommandError("Delay too long")
        self._delays[number] = delay
        self.place.write(number, delay, "_DELAY")


class PosMux(MuxField):
    """``pos_mux``."""

    refusal = "Invalid position selection"
    registers = 1

    def __init__(self, place: Place, cursor: Cursor) -> None:  # noqa: ARG002 (no details)
        super().__init__(place, "pos_mux", place.wiring.position_names, POSITION_ZERO)
