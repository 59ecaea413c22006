"""Finds out whether what happens repeats: the same blocks are called, at the same distances.

That is a guess, made from calls and levels of bits alone; a proof follows (proofs.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from panda_simulator.fabric.agenda import Calls, Instance

History: TypeAlias = list[tuple[int, Calls]]
"""Ticks, and the calls at each, without a gap."""

_APART = 3
"""A guess worth trying after one that failed is this many times longer."""


class Period(NamedTuple):
    """What seems to repeat; its length is the number of ticks with calls."""

    length: int
    ticks: int
    calls: int
    instances: frozenset[Instance]


def find_periods(history: History, longer_than: int = 0) -> list[Period]:
    """Return the periods that the last two of their length suggest, shortest first.

    Args:
        history: what has happened.
        longer_than: the length of one that has been tried.
    """
    tokens = _tokens(history)
    tokens.reverse()
    found: list[Period] = []
    shortest = max(_APART * longer_than, 1)
    for length, repeated in enumerate(_prefixes(tokens)):
        if length >= shortest and repeated >= length:
            found.append(_period(history, length))
            shortest = _APART * length
    return found


def _period(history: History, length: int) -> Period:
    last = history[-length:]
    return Period(
        length=length,
        ticks=history[-1][0] - history[-1 - length][0],
        calls=sum(len(calls) for _, calls in last),
        instances=frozenset(instance for _, calls in last for instance in calls),
    )


def _tokens(history: History) -> list[int]:
    """Number what happened at each tick; the same number is the same thing."""
    numbers: dict[object, int] = {}
    tokens: list[int] = []
    before = history[0][0] if history else 0
    for tick, calls in history:
        what = tick - before, *((instance, *_bits(instance, calls)) for instance in calls)
        tokens.append(numbers.setdefault(what, len(numbers)))
        before = tick
    return tokens


def _bits(instance: Instance, calls: Calls) -> list[tuple[str, int]]:
    sources = instance.bit_sources
    return [change for change in calls[instance].items() if change[0] in sources]


def _prefixes(tokens: Sequence[int]) -> list[int]:
    """Return for each place how much of what begins there is as at the beginning.

    This is the Z-function; it takes as many steps as there are tokens.
    """
    size = len(tokens)
    lengths = [size] + [0] * (size - 1) if size else []
    left = right = 0
    for place in range(1, size):
        length = min(lengths[place - left], right - place) if place < right else 0
        while place + length < size and tokens[length] == tokens[place + length]:
            length += 1
        lengths[place] = length
        if place + length > right:
            left, right = place, place + length
    return lengths
