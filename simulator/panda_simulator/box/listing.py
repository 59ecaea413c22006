"""Names are listed in the order of the server's hash table, which clients see.

Source: protocol.md appendix A.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

_WORD = (1 << 64) - 1
_MULTIPLIER = 1000003
_MINIMUM = 8


def name_hash(name: str) -> int:
    """Return the 64-bit hash of a name."""
    value = ord(name[0]) << 7
    for character in name[1:]:
        value = (value * _MULTIPLIER & _WORD) ^ ord(character)
    value ^= len(name)
    return _WORD - 1 if value in {0, _WORD} else value


def listing_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return names, given in the order of their insertion, in that of their slots."""
    return _order(tuple(names))


@lru_cache(maxsize=1024)
def _order(names: tuple[str, ...]) -> tuple[str, ...]:
    slots: list[str | None] = [None] * _MINIMUM
    for count, name in enumerate(names, start=1):
        _place(slots, name)
        if 3 * count >= 2 * (len(slots) - 1):
            kept = [slot for slot in slots if slot is not None]
            size = _MINIMUM
            while size < 2 * count:
                size *= 2
            slots = [None] * size
            for old in kept:
                _place(slots, old)
    return tuple(slot for slot in slots if slot is not None)


def _place(slots: list[str | None], name: str) -> None:
    position = perturbation = name_hash(name)
    while slots[position % len(slots)] is not None:
        perturbation >>= 5
        position = 5 * position + 1 + perturbation & _WORD
    slots[position % len(slots)] = name
