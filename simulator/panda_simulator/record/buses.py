"""Where outputs are on the buses follows from lists that are in the order of the bus.

Only the order of positions can be seen, not their numbers; of bits also the places in
the words that are captured.

Source: protocol.md 2.3 (*BITS, *ENUMS), 4.6 to 4.9.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

from panda_simulator.hardware import BIT_BUS_SIZE, POSITION_BUS_SIZE
from panda_simulator.record.errors import RecordError
from panda_simulator.record.facts import Facts, FieldSeen

_WORD_BITS = 32
_WORDS = BIT_BUS_SIZE // _WORD_BITS


def bit_words(facts: Facts) -> dict[str, list[str]]:
    """Return the names of the bits in each captured word, by the reported name of the word."""
    return {
        seen.reported[0]: facts.lines(f"{seen.reported[0]}.BITS?") or []
        for seen in facts.fields
        if seen.kind == "ext_out" and seen.subtype == "bits"
    }


def word_groups(facts: Facts) -> dict[str, int]:
    """Return which 32 bits of the bus each captured word has, by its reported name.

    There may be several ways to put the words on the bus so that all lists are as they
    are; words whose names end in their numbers are preferred.

    Raises:
        RecordError: there is none.
    """
    return _layout(facts)[0]


def bit_indices(facts: Facts) -> dict[str, int]:
    """Return the index of each output bit by its reported name.

    Raises:
        RecordError: the lists of the box contradict each other.
    """
    return _layout(facts)[1]


def _layout(facts: Facts) -> tuple[dict[str, int], dict[str, int]]:
    words = bit_words(facts)
    bits = _bits(facts)

    def strangeness(groups: tuple[int, ...]) -> int:
        return sum(not name.endswith(str(n)) for name, n in zip(words, groups, strict=True))

    for groups in sorted(permutations(range(_WORDS), len(words)), key=strangeness):
        assigned = dict(zip(words, groups, strict=True))
        indices = _place_bits(facts, bits, words, assigned)
        if indices is not None:
            return assigned, indices
    raise RecordError(f"{facts.title}: its lists of the bit bus contradict each other")


def _place_bits(
    facts: Facts, bits: list[str], words: dict[str, list[str]], groups: dict[str, int]
) -> dict[str, int] | None:
    """Return indices that ascend in the order of the bits, None if these groups allow none."""
    captured = {
        bit: groups[word] * _WORD_BITS + offset
        for word, names in words.items()
        for offset, bit in enumerate(names)
        if bit
    }
    free = set(range(_WORDS)) - set(groups.values())
    indices: dict[str, int] = {}
    at = -1
    for name in bits:
        if name in captured:
            places = [captured[name]]
        else:
            offset = facts.value(f"{name}.OFFSET?") or ""
            places = [
                place
                for place in range(at + 1, BIT_BUS_SIZE)
                if place // _WORD_BITS in free
                and (not offset.isdecimal() or place % _WORD_BITS == int(offset))
            ]
        if not places or places[0] <= at:
            return None
        indices[name] = at = places[0]
    return indices


def position_indices(facts: Facts) -> dict[str, int]:
    """Return the index of each position by its reported name.

    Raises:
        RecordError: there are more than a bus holds.
    """
    names = _choices(facts, "pos_mux") or facts.lines("*POSITIONS?") or []
    names += _instances(facts, "pos_out", names)
    indices = {name: index for index, name in enumerate(names)}
    if len(indices) > POSITION_BUS_SIZE:
        raise RecordError(f"{facts.title}: it has more positions than a bus holds")
    return indices


def _bits(facts: Facts) -> list[str]:
    """Return the bits in the order of their bus."""
    names = facts.lines("*BITS?")
    if names is None:
        names = _choices(facts, "bit_mux") or []
    return names + _instances(facts, "bit_out", names)


def _instances(facts: Facts, kind: str, known: Iterable[str]) -> list[str]:
    fields = (seen for seen in facts.fields if seen.kind == kind)
    return [name for seen in fields for name in seen.reported if name not in set(known)]


def _choices(facts: Facts, kind: str) -> list[str] | None:
    """Return the names that a mux can select."""
    for seen in facts.fields:
        names = facts.lines(f"*ENUMS.{seen.title}?") if seen.kind == kind else None
        if names is not None:
            return [name for name in names if name not in {"ZERO", "ONE"}]
    return None


def capture_order(facts: Facts) -> list[FieldSeen]:
    """Return all fields, those first that can be captured, in the order of the data."""
    by_name = {name: seen for seen in facts.fields for name in seen.reported}
    listed = facts.lines("*CAPTURE.*?") or facts.lines("*POSITIONS?") or []
    captured = [by_name[name] for name in listed if name in by_name]
    rest = sorted(facts.fields, key=lambda seen: (seen.block, seen.sequence))
    return list({seen.title: seen for seen in [*captured, *rest]}.values())
