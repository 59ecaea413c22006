"""A signal in plain terms: what it is called, where it is on the wire, how its text reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from panda_ophyd.tables import TableLayout


class Access(Enum):
    """What one can do with a signal."""

    R = "r"
    RW = "rw"
    W = "w"
    X = "x"


@dataclass(frozen=True, slots=True)
class Codec:
    """Text on the wire to and from a Python value.

    Attributes:
        datatype: of the decoded value; ``"table"`` for columns by lower-case name.
        decode: text of a query or of a change to the value. FieldValueError if the text is
            not one of this field's (an enum label that the server never listed, say). A
            table takes its base64 lines joined by LF.
        encode: value to the text of an assignment, lenient: also takes text, bool, int,
            float, numpy scalars and enum members that mean the same. FieldValueError for
            what does not fit. A table gives base64 lines joined by LF.
    """

    datatype: type[bool | int | float | str] | Literal["table"]
    decode: Callable[[str], Any]
    encode: Callable[[object], str]


@dataclass(frozen=True, slots=True)
class SignalSpec:
    """One signal of a block instance.

    Attributes:
        name: inside its block: ``val``, ``val_scale``.
        target: on the wire, as the server reports it: ``INENC1.VAL.SCALE``, ``PCAP.TRIG``.
            Two signals may share one (each bit's ``_capture`` is that of its word).
        access: X with the "table" codec is to be sent as a write of an empty table.
        codec: text to value and back.
        reported: whether `target` appears in ``*CHANGES``.
        readable: False where the server refuses a query; a reading is then the last value
            written, initially 0.
        pulses: a level that ``*CHANGES`` lists whenever it moved, so that a line with the
            level it had before means it moved and came back: true of a bit_out alone.
        units: fixed units, None if there are none or they can change.
        units_target: on the wire, whose value is the units.
        precision: digits after the decimal point worth showing of a float.
        limits: lowest and highest value accepted.
        choices: of an enum, or suggestions if not `strict`.
        strict: whether `choices` are all there is.
        description: the server's words for the field.
        layout: of a table.
    """

    name: str
    target: str
    access: Access
    codec: Codec
    reported: bool = True
    readable: bool = True
    pulses: bool = False
    units: str | None = None
    units_target: str | None = None
    precision: int | None = None
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] | None = None
    strict: bool = True
    description: str = ""
    layout: TableLayout | None = None
