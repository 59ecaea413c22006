"""A signal is what a block puts on a bus, sees at an input, or shows in a field.

Names are those of the box, as ``PULSE1.OUT``; two more are of the simulation:
``axis x`` is where an axis really is, ``samples`` are the rows that PCAP takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from panda_simulator.behaviours import signed
from panda_simulator.box import Box, CommandError
from panda_simulator.box.buses import PosOut
from panda_simulator.box.field import Field
from panda_simulator.box.registers import RegisterField
from panda_simulator.box.text import Cursor, format_real
from panda_simulator.control.entity import parse_target
from panda_simulator.timing.times import format_ticks

AXIS = re.compile(r"axis (\w+)")
SAMPLES = "samples"

_MASK = 0xFFFFFFFF


class Kind(Enum):
    """How values of a signal are to be understood."""

    BIT = auto()
    LABEL = auto()
    NUMBER = auto()
    POSITION = auto()
    AXIS = auto()


class Place(Enum):
    """Where values of a signal come from."""

    OUTPUT = auto()
    """What the block puts out: buses and status."""
    INPUT = auto()
    """What the block sees."""
    SETTING = auto()
    """What was written to the block."""
    WORLD = auto()


def _number(value: float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """One signal of a box."""

    name: str
    kind: Kind
    place: Place
    block: str = ""
    number: int = 1
    field: str = ""
    registers: tuple[str, ...] = ()
    """Registers that its values are made of, the lowest word first."""
    signed: bool = False
    text: Callable[[float], str] = _number
    """Writes a value as the box does."""
    scale: float = 1.0
    offset: float = 0.0
    units: str = ""

    def value(self, raw: int) -> int:
        """Return the value of a raw word."""
        return signed(raw) if self.signed else raw

    @property
    def key(self) -> tuple[str, int]:
        """Block and number."""
        return self.block, self.number


def find_signal(box: Box, name: str) -> Signal:
    """Find a signal by its name.

    Raises:
        CommandError: there is none; as the server says it.
    """
    axis = AXIS.fullmatch(name)
    if axis:
        return Signal(name, Kind.AXIS, Place.WORLD, field=axis[1])
    cursor = Cursor(name)
    target = parse_target(box, cursor, exact=True)
    cursor.end()
    if target.field is None:
        raise CommandError("Missing field name")
    scaled = target.attribute is not None and target.attribute.name == "SCALED"
    position = isinstance(target.field.behaviour, PosOut)
    if target.attribute is not None and not (scaled and position):
        raise CommandError("Only fields and SCALED of a pos_out can be shown")
    return _of_field(target.field, target.number, scaled=scaled)


def _of_field(entry: Field, index: int, *, scaled: bool) -> Signal:
    behaviour = entry.behaviour
    place = behaviour.place
    name, block, number = place.reported(index), place.block, index + 1
    kinds = {
        "bit_out": (Kind.BIT, Place.OUTPUT),
        "bit_mux": (Kind.BIT, Place.INPUT),
        "pos_mux": (Kind.POSITION, Place.INPUT),
        "pos_out": (Kind.POSITION, Place.OUTPUT),
    }
    if behaviour.kind in kinds:
        kind, where = kinds[behaviour.kind]
        is_signed = kind is Kind.POSITION
        signal = Signal(name, kind, where, block, number, entry.name, (entry.name,), is_signed)
        return _scaled(signal, entry, index) if scaled else signal
    if behaviour.kind == "time":
        halves = f"{entry.name}_L", f"{entry.name}_H"
        return Signal(
            name, Kind.NUMBER, Place.SETTING, block, number, entry.name, halves, text=_time
        )
    if behaviour.kind in {"read", "param"} and isinstance(behaviour, RegisterField):
        where = Place.OUTPUT if behaviour.kind == "read" else Place.SETTING
        return _of_register(name, where, behaviour, index)
    raise CommandError(f"A {behaviour.kind} field has no value that could be shown")


def _of_register(name: str, where: Place, behaviour: RegisterField, index: int) -> Signal:
    subtype = behaviour.subtype
    kind = {"bit": Kind.BIT, "enum": Kind.LABEL}.get(subtype or "", Kind.NUMBER)
    is_signed = subtype in {"int", "scalar"}

    def text(value: float) -> str:
        try:
            return behaviour.shown(index, int(value) & _MASK)
        except CommandError:
            return str(int(value))

    return Signal(
        name,
        kind,
        where,
        behaviour.place.block,
        index + 1,
        behaviour.place.name,
        (behaviour.place.name,),
        is_signed,
        _time if subtype == "time" else text,
    )


def _time(value: float) -> str:
    return format_ticks(int(value))


def _scaled(signal: Signal, entry: Field, index: int) -> Signal:
    scale = float(str(entry.attributes["SCALE"].get(index)))
    offset = float(str(entry.attributes["OFFSET"].get(index)))
    return Signal(
        f"{signal.name}.SCALED",
        signal.kind,
        signal.place,
        signal.block,
        signal.number,
        signal.field,
        signal.registers,
        signal.signed,
        lambda value: format_real(value * scale + offset),
        scale,
        offset,
        str(entry.attributes["UNITS"].get(index)),
    )
