"""A field class is a row here: what it makes of a field, in signals.

Names are those that the EPICS route gives (a field in lower case, an attribute joined by
an underscore), so that plans written for it find what they look for. Types are those the
values have. Source: protocol.md 4 and 5, flyscan.md 4.4.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

from panda_ophyd.fields import codecs
from panda_ophyd.fields.box import BlockInfo, BoxInfo, FieldInfo
from panda_ophyd.fields.spec import Access, Codec, SignalSpec

REAL_PRECISION = 9
"""Decimals of a time (1 ns when in seconds, and ticks are 8 ns) and of a scaled position."""
EXT_CAPTURES = ("No", "Value")
BIT_CONSTANTS = ("ZERO", "ONE")
POSITION_CONSTANTS = ("ZERO",)
DEFAULT_MAXIMUM_DELAY = 31


@dataclass(frozen=True, slots=True)
class Place:
    """One field of one block instance: what a row of `FIELD_CLASSES` makes signals from."""

    box: BoxInfo
    block: BlockInfo
    number: int
    field: FieldInfo

    @property
    def target(self) -> str:
        """The field on the wire, as the server reports it."""
        return f"{self.block.reported(self.number)}.{self.field.name}"

    @property
    def name(self) -> str:
        """The signal of the field itself."""
        return self.field.name.lower()

    def value(self, access: Access, codec: Codec) -> SignalSpec:
        """Return the signal of the field itself."""
        description = self.field.description
        return SignalSpec(self.name, self.target, access, codec, description=description)

    def attribute(
        self, attribute: str, access: Access, codec: Callable[[str], Codec]
    ) -> SignalSpec:
        """Return the signal of one of the field's attributes."""
        target = f"{self.target}.{attribute}"
        name = f"{self.name}_{attribute.lower()}"
        description = f"{self.field.description} ({attribute.lower().replace('_', ' ')})".strip()
        return SignalSpec(name, target, access, codec(target), description=description)


Signals: TypeAlias = Iterator[SignalSpec]
Row: TypeAlias = Callable[[Place], Signals]
Register: TypeAlias = Callable[[Place, Access], Signals]


def _uint(place: Place, access: Access) -> Signals:
    maximum = codecs.UINT_MAX if place.field.maximum is None else place.field.maximum
    codec = codecs.int_codec(place.target, 0, maximum)
    yield replace(place.value(access, codec), limits=(0, maximum))


def _int(place: Place, access: Access) -> Signals:
    low, high = codecs.INT_LIMITS
    codec = codecs.int_codec(place.target, low, high)
    yield replace(place.value(access, codec), limits=(low, high))


def _scalar(place: Place, access: Access) -> Signals:
    scale, offset = place.field.scale, place.field.offset or 0.0
    limits, precision = None, REAL_PRECISION
    if scale:
        low, high = sorted(raw * scale + offset for raw in codecs.INT_LIMITS)
        limits = (low, high)
        precision = min(max(math.ceil(-math.log10(abs(scale))) + 1, 0), REAL_PRECISION)
    codec = codecs.float_codec(place.target, *(limits or ()))
    value = place.value(access, codec)
    yield replace(value, limits=limits, precision=precision, units=place.field.units or None)


def _bit(place: Place, access: Access) -> Signals:
    yield place.value(access, codecs.bit_codec(place.target))


def _action(place: Place, access: Access) -> Signals:
    # a `read action` can neither be read nor written: no signal
    if access is not Access.R:
        action = place.value(Access.X, codecs.action_codec(place.target))
        yield replace(action, reported=False, readable=False)


def _lut(place: Place, access: Access) -> Signals:
    yield place.value(access, codecs.text_codec(place.target))


def _enum(place: Place, access: Access) -> Signals:
    labels = place.field.labels
    yield replace(place.value(access, codecs.enum_codec(place.target, labels)), choices=labels)


def _time(place: Place, access: Access) -> Signals:
    choices = place.box.time_units
    units = place.attribute("UNITS", Access.RW, lambda target: codecs.enum_codec(target, choices))
    value = place.value(access, codecs.float_codec(place.target, low=0.0))
    yield replace(value, units_target=units.target, precision=REAL_PRECISION)
    yield replace(units, choices=choices)


def _bit_out(place: Place) -> Signals:
    for level in _bit(place, Access.R):
        yield replace(level, pulses=True)
    word = place.box.capture_word(place.target)
    if word is not None:
        target = f"{word}.CAPTURE"
        capture = place.attribute("CAPTURE", Access.RW, codecs.bit_capture_codec)
        codec = codecs.bit_capture_codec(target)
        yield replace(capture, target=target, codec=codec)


def _pos_out(place: Place) -> Signals:
    low, high = codecs.INT_LIMITS
    yield place.value(Access.R, codecs.int_codec(place.target, low, high))
    capture = place.attribute("CAPTURE", Access.RW, codecs.text_codec)
    yield replace(capture, choices=place.box.capture_choices or None, strict=False)
    units = place.attribute("UNITS", Access.RW, codecs.text_codec)
    for attribute, access in (("OFFSET", Access.RW), ("SCALED", Access.R)):
        yield replace(
            place.attribute(attribute, access, codecs.float_codec),
            reported=access is Access.RW,
            units_target=units.target,
            precision=REAL_PRECISION,
        )
    scale = place.attribute("SCALE", Access.RW, codecs.float_codec)
    yield replace(scale, precision=REAL_PRECISION)
    yield units


def _ext_out(place: Place) -> Signals:
    capture = place.attribute(
        "CAPTURE", Access.RW, lambda target: codecs.enum_codec(target, EXT_CAPTURES)
    )
    yield replace(capture, choices=EXT_CAPTURES)


@lru_cache(maxsize=16)
def _sources(bus: tuple[str, ...], constants: tuple[str, ...]) -> tuple[str, ...]:
    # one tuple for all muxes of a box: what is made of these choices can be made once
    return (*bus, *constants)


def _bit_mux(place: Place) -> Signals:
    sources = _sources(place.box.bits, BIT_CONSTANTS)
    value = place.value(Access.RW, codecs.mux_codec(place.target, sources))
    yield replace(value, choices=sources, strict=False)
    longest = place.field.maximum_delay
    longest = DEFAULT_MAXIMUM_DELAY if longest is None else longest
    delay = place.attribute("DELAY", Access.RW, lambda target: codecs.int_codec(target, 0, longest))
    yield replace(delay, limits=(0, longest), units="ticks")


def _pos_mux(place: Place) -> Signals:
    sources = _sources(place.box.positions, POSITION_CONSTANTS)
    value = place.value(Access.RW, codecs.mux_codec(place.target, sources))
    yield replace(value, choices=sources, strict=False)


def _table(place: Place) -> Signals:
    layout = place.field.layout
    if layout is None:
        yield from plain(place)
        return
    codec = codecs.table_codec(place.target, layout)
    value = replace(place.value(Access.RW, codec), layout=layout)
    yield value
    yield replace(value, name=f"{place.name}_clear", access=Access.X, reported=False)
    if place.field.has_mode:
        # reported, but a change reaches only one of several pollers (protocol.md 6.4)
        queued = place.attribute(
            "QUEUED_LINES", Access.R, lambda target: codecs.int_codec(target, 0, codecs.UINT_MAX)
        )
        yield replace(queued, reported=False)
        mode = place.attribute("MODE", Access.R, codecs.text_codec)
        yield replace(mode, reported=False)


def _param(register: Register) -> Row:
    return lambda place: register(place, Access.RW)


def _read(register: Register) -> Row:
    return lambda place: register(place, Access.R)


def _write(register: Register) -> Row:
    def row(place: Place) -> Signals:
        for spec in register(place, Access.RW):
            if spec.target == place.target:
                yield replace(spec, reported=False, readable=False)
            else:
                yield spec

    return row


_REGISTERS: Mapping[str, Register] = {
    "uint": _uint,
    "int": _int,
    "scalar": _scalar,
    "bit": _bit,
    "action": _action,
    "lut": _lut,
    "enum": _enum,
    "time": _time,
}

FIELD_CLASSES: Mapping[tuple[str, str], Row] = {
    **{("param", subtype): _param(register) for subtype, register in _REGISTERS.items()},
    **{("read", subtype): _read(register) for subtype, register in _REGISTERS.items()},
    **{("write", subtype): _write(register) for subtype, register in _REGISTERS.items()},
    ("time", ""): _param(_time),
    ("bit_out", ""): _bit_out,
    ("pos_out", ""): _pos_out,
    ("ext_out", "timestamp"): _ext_out,
    ("ext_out", "samples"): _ext_out,
    ("ext_out", "bits"): _ext_out,
    ("bit_mux", ""): _bit_mux,
    ("pos_mux", ""): _pos_mux,
    ("table", ""): _table,
}
"""What each class and subtype of field makes; the names are the server's."""


def plain(place: Place) -> Signals:
    """Make the plain text signal of a field that this driver cannot make sense of.

    It is RW unless the server calls it a `read`: writing what may be read-only gives the
    server's own error, while a missing RW could not be made up for.
    """
    access = Access.R if place.field.cls == "read" else Access.RW
    value = place.value(access, codecs.text_codec(place.target))
    reported = (place.field.cls, place.field.subtype) in FIELD_CLASSES
    yield replace(value, reported=reported, readable=place.field.readable)


def block_signals(box: BoxInfo, block: BlockInfo, number: int) -> list[SignalSpec]:
    """Return the signals of one block instance, fields in configuration order.

    Names are unique and could be Python attributes (but for keywords): where a field is
    called like an attribute of another (``VAL_UNITS`` beside ``VAL``), the attribute's
    signal ends in ``_attribute``.

    Args:
        box: that the block is part of.
        block: its type.
        number: of the instance, from 1.
    """
    own = {field.name.lower() for field in block.fields}
    specs: dict[str, SignalSpec] = {}
    for field in block.fields:
        place = Place(box, block, number, field)
        row = None if field.problem else FIELD_CLASSES.get((field.cls, field.subtype))
        for spec in (row or plain)(place):
            name = re.sub(r"\W|^(?=\d)", "_", spec.name)
            if name in own and spec.name != place.name:
                name += "_attribute"
            while name in specs:
                name += "_"
            specs[name] = spec if name == spec.name else replace(spec, name=name)
    return list(specs.values())
