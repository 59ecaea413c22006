"""Text is taken apart, and numbers are written, by the rules of the C library.

A text here holds one character per byte (latin-1), because the server counts and
compares bytes and decodes nothing.

Source: protocol.md 1.2, 3.1, 4.2, 4.3, 4.12.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

from panda_simulator.box.errors import CommandError

NAME_LIMIT = 31
RESULT_LIMIT = 255
WORD_MASK = 0xFFFFFFFF

_UNSIGNED_LIMIT = 1 << 64
_SIGNED_LIMIT = 1 << 63
_SMALLEST_NORMAL = 2.2250738585072014e-308
_LOWEST_EXPONENT = -1074

_BLANKS = re.compile(r"[ \t]*")
_LETTERS = re.compile(r"[A-Za-z_]+")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TRAILING_DIGITS = re.compile(r"[0-9]*\Z")
_INTEGER = re.compile(
    r"[ \t\n\v\f\r]*(?P<sign>[+-]?)"
    r"(?:0[xX](?P<hex>[0-9a-fA-F]+)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*))"
)
_REAL = re.compile(
    r"[ \t\n\v\f\r]*(?P<sign>[+-]?)(?:"
    r"(?P<hex>0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?)"
    r"|(?P<decimal>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<infinity>(?:infinity|inf))"
    r"|(?P<nan>nan(?:\([A-Za-z0-9_]*\))?))",
    re.IGNORECASE,
)
_OUT_OF_RANGE = "Error converting number: (34) Numerical result out of range"


class Cursor:
    """A place in a text; what is taken moves it on, what does not fit is refused."""

    __slots__ = ("at", "saturating", "text")

    def __init__(self, text: str, *, saturating: bool = False) -> None:
        """Start at the beginning.

        Args:
            text: one character per byte.
            saturating: whether a number out of range becomes the nearest one there is.
        """
        self.text = text
        self.at = 0
        self.saturating = saturating

    def peek(self) -> str:
        """Return the next character, nothing at the end."""
        return self.text[self.at : self.at + 1]

    def take(self, expected: str) -> bool:
        """Move over a text if it comes next."""
        found = self.text.startswith(expected, self.at)
        if found:
            self.at += len(expected)
        return found

    def expect(self, character: str) -> None:
        """Move over a character that must come next."""
        if not self.take(character):
            raise CommandError(f"Character '{character}' expected")

    def end(self) -> None:
        """Refuse anything that is left over."""
        if self.at < len(self.text):
            raise CommandError("Unexpected character after input")

    def rest(self) -> str:
        """Take everything that is left."""
        rest = self.text[self.at :]
        self.at = len(self.text)
        return rest

    def utf8(self) -> str:
        """Take everything that is left, which must be UTF-8."""
        check_utf8(self.text[self.at :])
        return self.rest()

    def skip_blanks(self) -> None:
        """Move over blanks and tabs, if there are any."""
        self.at = self._match(_BLANKS)

    def blanks(self) -> None:
        """Move over at least one blank or tab."""
        start = self.at
        self.skip_blanks()
        if self.at == start:
            raise CommandError("Whitespace expected")

    def letters(self) -> str:
        """Take a name of letters and underscores."""
        return self._name(_LETTERS)

    def name(self) -> str:
        """Take a name of letters, underscores and, but for the first, digits."""
        return self._name(_WORD)

    def block_name(self) -> str:
        """Take a name up to the digits that it ends in: they are the number."""
        start = self.at
        name = self.name()
        digits = _TRAILING_DIGITS.search(name)
        length = digits.start() if digits else len(name)
        self.at = start + length
        return name[:length]

    def unsigned(self, mask: int = WORD_MASK) -> int:
        """Take an integer as strtoul does, cut down to the bits of a mask."""
        sign, value = self._integer()
        if value >= _UNSIGNED_LIMIT:
            self._refuse_range()
            return mask  # the largest one, whatever its sign
        return (-value if sign == "-" else value) & mask

    def signed(self) -> int:
        """Take an integer as strtol does, as a signed 32-bit number."""
        sign, value = self._integer()
        number = -value if sign == "-" else value
        if not -_SIGNED_LIMIT <= number < _SIGNED_LIMIT:
            self._refuse_range()
            number = max(-_SIGNED_LIMIT, min(number, _SIGNED_LIMIT - 1))
        return to_signed(number)

    def real(self) -> float:
        """Take a floating point number as strtod does."""
        match = _REAL.match(self.text, self.at)
        if match is None:
            raise CommandError("Number missing")
        self.at = match.end()
        value, exact = _real_value(match)
        if not exact:
            self._refuse_range()
        return -value if match["sign"] == "-" else value

    def _refuse_range(self) -> None:
        if not self.saturating:
            raise CommandError(_OUT_OF_RANGE)

    def _match(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.at)
        return match.end() if match else self.at

    def _name(self, pattern: re.Pattern[str]) -> str:
        start = self.at
        end = self._match(pattern)
        if end == start:
            raise CommandError("No name found")
        if end - start > NAME_LIMIT:
            raise CommandError("Name too long")
        self.at = end
        return self.text[start:end]

    def _integer(self) -> tuple[str, int]:
        match = _INTEGER.match(self.text, self.at)
        if match is None:
            raise CommandError("Number missing")
        self.at = match.end()
        if match["hex"]:
            return match["sign"], int(match["hex"], 16)
        if match["octal"]:
            return match["sign"], int(match["octal"], 8)
        return match["sign"], int(match["decimal"])


def _real_value(match: re.Match[str]) -> tuple[float, bool]:
    """Return a value without its sign, and whether the C library takes it without an error."""
    if match["infinity"]:
        return math.inf, True
    if match["nan"]:
        return math.nan, True
    if match["hex"]:
        return _hexadecimal_value(match["hex"])
    value = float(match["decimal"])
    return value, not math.isinf(value) and _is_exact(match["decimal"], value)


def _is_exact(text: str, value: float) -> bool:
    """Tell whether a number is none that a subnormal cannot hold, which the C library reports."""
    if value >= _SMALLEST_NORMAL:
        return True
    if not value:
        # not left to Decimal, whose exponents have a limit
        return not text.lower().partition("e")[0].strip("0.")
    return Decimal(text) == Decimal(value)


def _hexadecimal_value(text: str) -> tuple[float, bool]:
    try:
        value = float.fromhex(text)
    except OverflowError:
        return math.inf, False
    digits, _, exponent = text[2:].lower().partition("p")
    whole, _, fraction = digits.partition(".")
    mantissa = int(whole + fraction, 16)
    if not mantissa or value >= _SMALLEST_NORMAL:
        return value, True
    zeros = (mantissa & -mantissa).bit_length() - 1
    lowest_bit = int(exponent or 0) - 4 * len(fraction) + zeros
    return value, lowest_bit >= _LOWEST_EXPONENT


def to_signed(value: int) -> int:
    """Read the low 32 bits of a number as two's complement."""
    return ((value & WORD_MASK) ^ 0x80000000) - 0x80000000


def round_half_away(value: float) -> int:
    """Round to the nearest integer, halves away from zero."""
    magnitude = abs(value)
    whole = math.floor(magnitude)
    if magnitude - whole >= 0.5:  # noqa: PLR2004 (a half)
        whole += 1
    return -whole if value < 0 else whole


def format_real(value: float, digits: int = 10) -> str:
    """Write a number as C's ``%.<digits>g`` does, the sign of a NaN included."""
    if math.isnan(value):
        return "-nan" if math.copysign(1.0, value) < 0 else "nan"
    return f"{value:.{digits}g}"


def check_utf8(text: str) -> None:
    """Refuse a text whose bytes are no UTF-8, or hold U+FFFE or U+FFFF."""
    if text.isascii():
        return
    try:
        decoded = text.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        raise CommandError("Malformed UTF-8 encoding") from None
    if "\ufffe" in decoded or "\uffff" in decoded:
        raise CommandError("Malformed UTF-8 encoding")


def bytewise(text: str) -> str:
    """Turn a text that a person wrote into one of a character per byte: its UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def legible(text: str) -> str:
    """Turn a text of a character per byte into one for people; bytes that are no UTF-8 stay."""
    return text.encode("latin-1").decode("utf-8", "surrogateescape")


def one_result(text: str) -> str:
    """Return a value that fits a single-value reply."""
    if len(text) > RESULT_LIMIT:
        raise CommandError("Result too long")
    return text
