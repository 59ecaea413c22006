"""A ramp is a whole number that grows by the same amount every period, and knows how long.

Blocks calculate with ramps as they do with numbers: what they compute for period 0 is
computed for all following periods at once. Sums are exact. A comparison has the result
that it has in period 0, and the proof notes the last period for which it is the same
one. Where the result would not be a ramp it is the number of period 0, and the proof
notes how long that is right, which may be for period 0 only. So nothing that happens in
period 0 is ever wrong, and what the proof says of the others holds.
"""

from __future__ import annotations

from array import array
from typing import TypeAlias, TypeVar, cast

import numpy as np
from typing_extensions import override

T = TypeVar("T")

NO_LIMIT = 1 << 62


class Proof:
    """For how many periods all that was calculated holds.

    Attributes:
        last: the last period for which it does; period 0 is the one that was played.
        keys: whether a ramp may be a key of a dict: keys are equal for ever or never.
    """

    __slots__ = ("keys", "last")

    def __init__(self) -> None:
        self.last = NO_LIMIT
        self.keys = False

    def until(self, last: int) -> None:
        """Note that something holds up to a period, period 0 at least."""
        self.last = min(self.last, last)

    def fail(self) -> None:
        """Note that something holds for period 0 only."""
        self.last = 0


class Ramp:
    """The number base + k·slope in period k; a slope of 0 is a plain number instead."""

    __slots__ = ("base", "proof", "slope")

    def __init__(self, base: int, slope: int, proof: Proof) -> None:
        self.base = base
        self.slope = slope
        self.proof = proof

    def at(self, period: int) -> int:
        """Return the number of a period."""
        return self.base + period * self.slope

    # Sums

    def __add__(self, other: Number) -> Number:
        base, slope = self._parts(other)
        return self._make(self.base + base, self.slope + slope)

    __radd__ = __add__

    def __sub__(self, other: Number) -> Number:
        base, slope = self._parts(other)
        return self._make(self.base - base, self.slope - slope)

    def __rsub__(self, other: int) -> Number:
        return self._make(other - self.base, -self.slope)

    def __neg__(self) -> Number:
        return self._make(-self.base, -self.slope)

    def __pos__(self) -> Number:
        return self

    def __abs__(self) -> Number:
        return -self if self < 0 else self

    def __mul__(self, other: Number) -> Number:
        base, slope = self._parts(other)
        if slope:
            return self._only_now(self.base * base)
        return self._make(self.base * base, self.slope * base)

    __rmul__ = __mul__

    def __lshift__(self, other: Number) -> Number:
        base, slope = self._parts(other)
        if slope:
            return self._only_now(self.base << base)
        return self._make(self.base << base, self.slope << base)

    # Parts of numbers

    def __floordiv__(self, other: Number) -> Number:
        divisor, slope = self._parts(other)
        if slope:
            return self._only_now(self.base // divisor)
        return self._quotient(divisor)

    def __mod__(self, other: Number) -> Number:
        divisor, slope = self._parts(other)
        if slope:
            return self._only_now(self.base % divisor)
        return self - divisor * self._quotient(divisor)

    def __divmod__(self, other: Number) -> tuple[Number, Number]:
        return self // other, self % other

    def __rshift__(self, other: Number) -> Number:
        base, slope = self._parts(other)
        return self._only_now(self.base >> base) if slope else self // (1 << base)

    def __and__(self, other: Number) -> Number:
        base, slope = self._parts(other)
        if slope or base < 0 or base & (base + 1):
            return self._only_now(self.base & base)
        return self % (base + 1)

    __rand__ = __and__

    def __or__(self, other: Number) -> Number:
        return self._only_now(self.base | self._parts(other)[0])

    __ror__ = __or__

    def __xor__(self, other: Number) -> Number:
        return self._only_now(self.base ^ self._parts(other)[0])

    __rxor__ = __xor__

    def __invert__(self) -> Number:
        return -1 - self

    def __rfloordiv__(self, other: int) -> Number:
        return self._only_now(other // self.base)

    def __rmod__(self, other: int) -> Number:
        return self._only_now(other % self.base)

    def __rlshift__(self, other: int) -> Number:
        return self._only_now(other << self.base)

    def __rrshift__(self, other: int) -> Number:
        return self._only_now(other >> self.base)

    def __rdivmod__(self, other: int) -> tuple[int, int]:
        return self._only_now(divmod(other, self.base))

    def __pow__(self, other: Number) -> Number:
        return self._only_now(self.base ** self._parts(other)[0])

    def __truediv__(self, other: Number) -> float:
        return self._only_now(self.base / self._parts(other)[0])

    def __rtruediv__(self, other: float) -> float:
        return self._only_now(other / self.base)

    def __index__(self) -> int:
        return self._only_now(self.base)

    __int__ = __round__ = __trunc__ = __index__

    def __float__(self) -> float:
        return float(self._only_now(self.base))

    def __getattr__(self, name: str) -> object:
        """Do as the number does, whatever it is."""
        if name.startswith("__"):
            raise AttributeError(name)
        return self._only_now(getattr(self.base, name))

    # Places in a table

    def words_at(self, memory: array[int], count: int) -> list[Number]:
        """Return what is at this place (tables.words_at), as long as each word is a ramp."""
        base, slope, proof = self.base, self.slope, self.proof
        proof.until(max((len(memory) - count - base) // slope, 0) if slope > 0 else 0)
        if not proof.last:
            return [*memory[base : base + count], *[0] * (base + count - max(len(memory), base))]
        found: list[Number] = []
        for place in range(base, base + count):
            words = np.frombuffer(memory, np.uint32)[place : place + proof.last * slope + 1 : slope]
            steps = np.diff(words.astype(np.int64))
            other = np.flatnonzero(steps != steps[0])
            proof.until(int(other[0]) if len(other) else proof.last)
            found.append(ramp(int(words[0]), int(steps[0]), proof))
        return found

    # Comparisons

    def __lt__(self, other: Number) -> bool:
        return self._below(*self._distance(other))

    def __ge__(self, other: Number) -> bool:
        return not self._below(*self._distance(other))

    def __gt__(self, other: Number) -> bool:
        distance, slope = self._distance(other)
        return self._below(-distance, -slope)

    def __le__(self, other: Number) -> bool:
        distance, slope = self._distance(other)
        return not self._below(-distance, -slope)

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, int | Ramp):
            return NotImplemented
        return self._zero(*self._distance(other))

    @override
    def __hash__(self) -> int:
        if not self.proof.keys:
            self.proof.fail()
        return hash(self.base)

    def __bool__(self) -> bool:
        return not self._zero(self.base, self.slope)

    @override
    def __repr__(self) -> str:
        return f"{self.base}{self.slope:+}·k"

    # How long it holds

    def _parts(self, other: object) -> tuple[int, int]:
        if isinstance(other, Ramp):
            return other.base, other.slope
        if not isinstance(other, int):
            self.proof.fail()
        return cast("int", other), 0

    def _make(self, base: int, slope: int) -> Number:
        return ramp(base, slope, self.proof)

    def _distance(self, other: Number) -> tuple[int, int]:
        base, slope = self._parts(other)
        return self.base - base, self.slope - slope

    def _only_now(self, value: T) -> T:
        self.proof.fail()
        return value

    def _below(self, distance: int, slope: int) -> bool:
        """Tell whether a ramp is below 0."""
        below = distance < 0
        if below and slope > 0:
            self.proof.until((-distance - 1) // slope)
        elif not below and slope < 0:
            self.proof.until(distance // -slope)
        return below

    def _zero(self, distance: int, slope: int) -> bool:
        """Tell whether a ramp is 0."""
        if not distance:
            if slope:
                self.proof.fail()
            return True
        if slope and distance % slope == 0 and -distance // slope > 0:
            self.proof.until(-distance // slope - 1)
        return False

    def _quotient(self, divisor: int) -> Number:
        """Return the quotient by a divisor, which grows by the same amount for some periods.

        That is the whole number next to what it grows by; what is left adds up in the rest,
        which has room for so much.
        """
        quotient, rest = divmod(self.base, divisor)
        slope = (2 * self.slope + divisor) // (2 * divisor)
        left = self.slope - slope * divisor
        if left:
            # the rest has the sign of the divisor
            room = divisor - 1 - rest if left > 0 else rest
            if divisor < 0:
                room = -rest if left > 0 else rest - divisor - 1
            self.proof.until(room // abs(left))
        return self._make(quotient, slope)


Number: TypeAlias = int | Ramp


def parts(number: Number) -> tuple[int, int]:
    """Return base and slope of a number."""
    return (number.base, number.slope) if isinstance(number, Ramp) else (number, 0)


def ramp(base: int, slope: int, proof: Proof) -> Number:
    """Return a ramp, or a plain number if it does not grow."""
    return Ramp(base, slope, proof) if slope else base
