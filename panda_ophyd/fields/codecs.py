"""A codec accepts whatever plainly means a value of its field and refuses the rest, saying why.

Numbers are sent so that the server can only read them one way: integers in decimal
without leading zeros (it takes ``010`` for octal), reals with every digit they have.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from enum import Enum
from functools import partial
from typing import Any, NoReturn, cast

import numpy as np

from panda_ophyd.errors import FieldValueError
from panda_ophyd.fields.spec import Codec
from panda_ophyd.tables import TableLayout, from_base64_lines, to_base64_lines

INT_LIMITS = (-(1 << 31), (1 << 31) - 1)
UINT_MAX = (1 << 32) - 1

_INTEGER = re.compile(r"[+-]?\d+")
_BITS: Mapping[str, bool] = {"0": False, "1": True, "false": False, "true": True}
_CAPTURES: Mapping[str, bool] = {"No": False, "Value": True}


def int_codec(target: str, low: int, high: int) -> Codec:
    """Whole numbers from `low` to `high`."""
    return Codec(int, partial(_decode_int, target), partial(_encode_int, target, low, high))


def float_codec(target: str, low: float = -math.inf, high: float = math.inf) -> Codec:
    """Finite real numbers from `low` to `high`."""
    return Codec(float, partial(_decode_float, target), partial(_encode_float, target, low, high))


def bit_codec(target: str) -> Codec:
    """``0`` and ``1`` as bool."""
    return Codec(bool, partial(_decode_bit, target), partial(_encode_bit, target))


def bit_capture_codec(target: str) -> Codec:
    """``No`` and ``Value`` as bool: whether the word of a bit is captured."""
    return Codec(bool, partial(_decode_capture, target), partial(_encode_capture, target))


def enum_codec(target: str, labels: tuple[str, ...]) -> Codec:
    """One of the labels, exactly."""
    return Codec(
        str, partial(_decode_label, target, labels), partial(_encode_label, target, labels)
    )


def mux_codec(target: str, sources: tuple[str, ...]) -> Codec:
    """One of the names on a bus; whatever the box says is read."""
    return Codec(str, str, partial(_encode_source, target, sources))


def text_codec(target: str) -> Codec:
    """Text as it is."""
    return Codec(str, str, partial(_encode_text, target))


def action_codec(target: str) -> Codec:
    """The empty assignment that triggers an action; it has no value to read."""
    return Codec(str, partial(_decode_nothing, target), _encode_nothing)


def table_codec(target: str, layout: TableLayout) -> Codec:
    """Columns by lower-case name, as base64 lines joined by LF."""
    return Codec("table", partial(_decode_table, layout), partial(_encode_table, target, layout))


def _plain(value: object) -> object:
    """Take the plain Python value out of an enum member, a numpy scalar or a 0-d array."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, (np.generic, np.ndarray)) and np.ndim(cast("Any", value)) == 0:
        return cast("Any", value).item()
    return cast("object", value)


def _decode_int(target: str, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        _unreadable(target, text, "no whole number")
    return int(text)


def _encode_int(target: str, low: int, high: int, value: object) -> str:
    number = _whole(target, _plain(value))
    if not low <= number <= high:
        raise FieldValueError(target, value, f"it takes {low} to {high}")
    return str(number)


def _whole(target: str, value: object) -> int:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    number = _float_or_none(value)
    if number is None or not math.isfinite(number) or not number.is_integer():
        raise FieldValueError(target, value, "it takes whole numbers")
    return int(number)


def _float_or_none(value: object) -> float | None:
    # Python would take 1_0 for ten, but nothing else would
    if not isinstance(value, (str, float, int)) or (isinstance(value, str) and "_" in value):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _decode_float(target: str, text: str) -> float:
    number = _float_or_none(text)
    if number is None:
        _unreadable(target, text, "no number")
    return number


def _encode_float(target: str, low: float, high: float, value: object) -> str:
    number = _float_or_none(_plain(value))
    if number is None or not math.isfinite(number):
        raise FieldValueError(target, value, "it takes finite numbers")
    if not low <= number <= high:
        raise FieldValueError(target, value, f"it takes {low:.10g} to {high:.10g}")
    return repr(number)


def _decode_bit(target: str, text: str) -> bool:
    if text not in {"0", "1"}:
        _unreadable(target, text, "neither 0 nor 1")
    return text == "1"


def _encode_bit(target: str, value: object) -> str:
    plain = _plain(value)
    bit = _BITS.get(plain.lower()) if isinstance(plain, str) else None
    if isinstance(plain, (int, float)) and plain in {0, 1}:
        bit = bool(plain)
    if bit is None:
        raise FieldValueError(target, value, "it takes True or False, 1 or 0")
    return "1" if bit else "0"


def _decode_capture(target: str, text: str) -> bool:
    if text not in _CAPTURES:
        _unreadable(target, text, "neither No nor Value")
    return _CAPTURES[text]


def _encode_capture(target: str, value: object) -> str:
    plain = _plain(value)
    bit = _CAPTURES[plain] if isinstance(plain, str) and plain in _CAPTURES else None
    captured = _encode_bit(target, plain) == "1" if bit is None else bit
    return "Value" if captured else "No"


def _decode_label(target: str, labels: tuple[str, ...], text: str) -> str:
    if text not in labels:
        _unreadable(target, text, f"none of {_listed(labels)}")
    return text


def _encode_label(target: str, labels: tuple[str, ...], value: object) -> str:
    plain = _plain(value)
    label = str(plain) if isinstance(plain, (str, int)) else None
    if label not in labels:
        raise FieldValueError(target, value, f"it takes {_listed(labels)}")
    return label


def _encode_source(target: str, sources: tuple[str, ...], value: object) -> str:
    plain = _plain(value)
    if not isinstance(plain, str):
        raise FieldValueError(target, value, "it takes the name of a source")
    if sources and plain not in sources:
        near = difflib.get_close_matches(plain.upper(), sources) or sources[-2:]
        reason = f"the box has no such source; {_listed(tuple(near))}, for example"
        raise FieldValueError(target, value, reason)
    return plain


def _encode_text(target: str, value: object) -> str:
    plain = _plain(value)
    if not isinstance(plain, (str, int, float)):
        raise FieldValueError(target, value, "it takes text")
    return str(plain)


def _decode_nothing(target: str, text: str) -> NoReturn:
    _unreadable(target, text, "an action has no value")


def _encode_nothing(_value: object) -> str:
    return ""


def _decode_table(layout: TableLayout, text: str) -> dict[str, object]:
    return dict(layout.unpack(from_base64_lines(text.splitlines())))


def _encode_table(target: str, layout: TableLayout, value: object) -> str:
    if not isinstance(value, Mapping):
        raise FieldValueError(target, value, "it takes columns by name")
    words = layout.pack(cast("Mapping[str, Any]", value), target)
    return "\n".join(to_base64_lines(words))


def _unreadable(target: str, text: str, what: str) -> NoReturn:
    raise FieldValueError(target, text, f"the box sent this, which is {what}")


def _listed(labels: tuple[str, ...]) -> str:
    return ", ".join(repr(label) for label in labels)
