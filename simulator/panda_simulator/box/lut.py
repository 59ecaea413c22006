"""A LUT expression is one truth table of five inputs, found by operator precedence.

Source: protocol.md appendix B, 9 (nesting).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from panda_simulator.box.errors import CommandError

_MASK = 0xFFFFFFFF
_DEPTH = 40

_VALUES = {
    "0": 0x00000000,
    "1": 0xFFFFFFFF,
    "A": 0xFFFF0000,
    "B": 0xFF00FF00,
    "C": 0xF0F0F0F0,
    "D": 0xCCCCCCCC,
    "E": 0xAAAAAAAA,
}


@dataclass(frozen=True, slots=True)
class _Binary:
    precedence: int
    apply: Callable[[int, int], int]


_EQUAL = _Binary(5, lambda a, b: ~(a ^ b))
_BINARY = {
    "=": _EQUAL,
    "==": _EQUAL,
    "&": _Binary(4, lambda a, b: a & b),
    "^": _Binary(3, lambda a, b: a ^ b),
    "|": _Binary(2, lambda a, b: a | b),
    "=>": _Binary(1, lambda a, b: ~a | b),
}
_TOKEN = re.compile(r" *(=>|==|[01A-E()~&|^?:=])")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_BOTTOM = ""
_AFTER_VALUE = re.compile(r"[01A-E)]")


def parse_lut(text: str) -> int:
    """Return the 32-bit table of an expression or a ``0x`` number."""
    if text.startswith("0x"):
        if not _HEX.fullmatch(text):
            raise CommandError("Bad LUT number")
        return int(text, 16) & _MASK
    return _Evaluation(text).result()


class _Evaluation:
    """Tokens that wait for what follows them, and the values found so far."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._waiting = [_BOTTOM]
        self._values: list[int] = []

    def result(self) -> int:
        token = self._next()
        while len(self._waiting) > 1 or token != _BOTTOM:
            if self._binds_later(self._waiting[-1], token):
                if len(self._waiting) == _DEPTH:
                    raise CommandError("Expression too complex")
                self._waiting.append(token)
                token = self._next()
            else:
                self._reduce()
        if len(self._values) != 1:
            raise CommandError("Missing value")
        return self._values[0] & _MASK

    def _next(self) -> str:
        match = _TOKEN.match(self._text, self._at)
        if match:
            self._at = match.end()
            return match[1]
        if self._text[self._at :].strip(" "):
            raise CommandError("Invalid token")
        return _BOTTOM

    @staticmethod
    def _binds_later(left: str, right: str) -> bool:
        """Tell whether the right token goes on top of the left, or completes it."""
        if right in _VALUES or right in {"(", "~"}:
            if left and _AFTER_VALUE.fullmatch(left):
                raise CommandError("Missing operator between values")
            return True
        if left in _VALUES or left in {")", "~"}:
            return False
        return _relation(left, right)

    def _reduce(self) -> None:
        token = self._waiting.pop()
        if token in _VALUES:
            self._values.append(_VALUES[token])
        elif token == ")":  # noqa: S105 (no password)
            self._waiting.pop()
            self._push(1, lambda a: a[0])
        elif token == "~":  # noqa: S105 (no password)
            self._push(1, lambda a: ~a[0])
        elif token == ":":  # noqa: S105 (no password)
            self._waiting.pop()
            self._push(3, lambda a: (a[0] & a[1]) | (~a[0] & a[2]))
        else:
            self._push(2, lambda a: _BINARY[token].apply(a[0], a[1]))

    def _push(self, count: int, apply: Callable[[list[int]], int]) -> None:
        if len(self._values) < count:
            raise CommandError("Missing value")
        operands = self._values[-count:]
        self._values[-count:] = [apply(operands)]


_UNMATCHED = {
    ("(", ":"): "Missing ? before :",
    ("(", _BOTTOM): "Missing close bracket",
    ("?", ")"): "Missing : after ?",
    ("?", _BOTTOM): "Missing : after ?",
    (_BOTTOM, ")"): "Missing open bracket",
    (_BOTTOM, ":"): "Missing ? before :",
}
_PAIRS = {("(", ")"), ("?", ":")}


def _relation(left: str, right: str) -> bool:
    """Tell whether an operator waits for the one on its right."""
    if (left, right) in _UNMATCHED:
        raise CommandError(_UNMATCHED[left, right])
    if (left, right) in _PAIRS or left in {"(", "?", _BOTTOM}:
        return True
    if right in {")", ":", _BOTTOM}:
        return False
    if left == ":":
        return True
    if right == "?":
        return False
    return _BINARY[left].precedence < _BINARY[right].precedence
