"""The text ``registers`` is written with numbers of our own where clients cannot see them.

The order of outputs, and where they are on the buses, are those of the box.

Source: protocol.md 10.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count

from panda_simulator.box.errors import CommandError
from panda_simulator.box.loading import CONTROL_REGISTERS
from panda_simulator.box.text import Cursor, round_half_away
from panda_simulator.box.timing import UNITS
from panda_simulator.box.wiring import BLOCK_BASE_COUNT, EXTENSION_BUS_SIZE, REGISTER_COUNT
from panda_simulator.record.buses import bit_indices, capture_order, position_indices, word_groups
from panda_simulator.record.errors import RecordError
from panda_simulator.record.facts import Facts, FieldSeen
from panda_simulator.record.interview import is_known
from panda_simulator.record.labels import known_specs
from panda_simulator.record.texts import first

_FIRST_BASE = 2
_PAGE_WORDS = 1024
_GATE_DURATION = 6
_BIT_WORDS = 7
_LONG_TABLE = "long"
_DEFAULT_CLOCK = 125_000_000
_REGISTERS: Mapping[str, int] = {
    "param": 1, "read": 1, "write": 1, "time": 2, "bit_mux": 2, "pos_mux": 1, "table": 3,
}  # fmt: skip
"""How many each class takes, at most."""


def registers(facts: Facts, errors: Mapping[str, str]) -> list[str]:
    """Write ``registers``.

    Args:
        facts: of the box.
        errors: reported names of fields that are answered for by an extension.
    """
    return _Writer(facts, errors).text()


class _Writer:
    """Hands out numbers as it goes."""

    def __init__(self, facts: Facts, errors: Mapping[str, str]) -> None:
        self._facts = facts
        self._errors = errors
        self._bits = bit_indices(facts)
        self._positions = position_indices(facts)
        self._groups = word_groups(facts)
        self._used = [0] * BLOCK_BASE_COUNT
        self._entries = set[int]()
        self._base = 0

    def text(self) -> list[str]:
        """Write all blocks."""
        lines = ["DRIVER_COMPAT_VERSION = 1", "BLOCKS_COMPAT_VERSION = 0", "*REG 0"]
        for name, numbers in CONTROL_REGISTERS.items():
            lines.append(f" {name} {' .. '.join(str(number) for number in numbers)}")
        blocks: dict[str, list[FieldSeen]] = {block.name: [] for block in self._facts.blocks}
        ordered = capture_order(self._facts)
        for seen in ordered:
            blocks[seen.block].append(seen)
        order = dict.fromkeys([seen.block for seen in ordered] + list(blocks))
        for block in order:
            known = [seen for seen in blocks[block] if is_known(seen)]
            self._base = self._room(block, sum(_REGISTERS.get(seen.kind, 0) for seen in known))
            lines.append(f"{block} S{self._base}")
            lines += [f" {seen.name} {_SPECS[seen.kind](self, seen)}" for seen in known]
        return lines

    def _room(self, block: str, needed: int) -> int:
        for base in range(_FIRST_BASE, BLOCK_BASE_COUNT):
            if self._used[base] + needed <= REGISTER_COUNT:
                return base
        raise RecordError(f"{self._facts.title}: block {block} has more fields than can be played")

    def _take(self, number: int) -> str:
        start = self._used[self._base]
        self._used[self._base] += number
        return " ".join(str(register) for register in range(start, start + number))

    def register(self, seen: FieldSeen) -> str:
        """Write a field of one register, or one that refuses to be read."""
        if any(name in self._errors for name in seen.reported):
            return f"X {seen.title}"
        return self._take(1)

    def mux(self, seen: FieldSeen) -> str:
        """Write an input."""
        return self._take(_REGISTERS[seen.kind])

    def time(self, seen: FieldSeen) -> str:
        """Write a time, with the minimum that older servers have."""
        least = first(self._facts, seen, "MIN")
        if not least:
            return self._take(2)
        unit = UNITS.get(first(self._facts, seen, "UNITS"), 1.0)
        clock = self._facts.value("*CLOCK_FREQ?") or str(_DEFAULT_CLOCK)
        try:
            ticks = round_half_away(Cursor(least).real() * unit * Cursor(clock).real())
        except CommandError:
            raise self._facts.misunderstood(f"{seen.reported[0]}.MIN?") from None
        return f"{self._take(2)} > {max(ticks, 1) - 1}"

    def bit(self, seen: FieldSeen) -> str:
        """Write a bit output."""
        return " ".join(str(self._bits[name]) for name in seen.reported)

    def position(self, seen: FieldSeen) -> str:
        """Write a position output."""
        return " ".join(str(self._positions[name]) for name in seen.reported)

    def extension(self, seen: FieldSeen) -> str:
        """Write an output that only a capture sees, where our PCAP has it if it can."""
        if seen.subtype == "timestamp":
            known = known_specs().get((seen.block, seen.name), "")
            entries = [int(part) for part in known.split() if part.isdecimal()]
            return self._claim(entries if len(entries) == 2 else [], 2)  # noqa: PLR2004 (halves)
        if seen.subtype == "samples":
            return self._claim([_GATE_DURATION], 1)
        return self._claim([_BIT_WORDS + self._groups[seen.title]], 1)

    def _claim(self, wanted: list[int], number: int) -> str:
        if not wanted or not self._entries.isdisjoint(wanted):
            # from the far end, which no entry of our PCAP has
            free = [n for n in reversed(range(EXTENSION_BUS_SIZE)) if n not in self._entries]
            wanted = sorted(free[:number])
        if len(wanted) < number:
            raise RecordError(f"{self._facts.title}: it captures more than can be played")
        self._entries.update(wanted)
        return " ".join(str(entry) for entry in wanted)

    def table(self, seen: FieldSeen) -> str:
        """Write a table: one that streams if that is known of it, or else likely."""
        length = first(self._facts, seen, "MAX_LENGTH")
        words = int(length) if length.isdecimal() else _PAGE_WORDS
        pages = next(n for n in count() if _PAGE_WORDS << n >= words)
        known = known_specs().get((seen.block, seen.name), _LONG_TABLE)
        if words == _PAGE_WORDS << pages and known.startswith(_LONG_TABLE):
            return f"long 2^{pages} 8 {self._take(2)}"
        return f"short {words} {self._take(3)}"


_SPECS: Mapping[str, Callable[[_Writer, FieldSeen], str]] = {
    "param": _Writer.register,
    "read": _Writer.register,
    "write": _Writer.register,
    "time": _Writer.time,
    "bit_out": _Writer.bit,
    "pos_out": _Writer.position,
    "ext_out": _Writer.extension,
    "bit_mux": _Writer.mux,
    "pos_mux": _Writer.mux,
    "table": _Writer.table,
}
