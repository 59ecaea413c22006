"""Blocks, fields, attributes and metadata come in the order of a hash table of their names.

Source: protocol.md appendix A.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from .survey import Survey

ATTRIBUTES = {
    "uint": "MAX INFO", "scalar": "RAW UNITS SCALE OFFSET INFO", "lut": "RAW INFO",
    "time": "RAW UNITS INFO", "bit_mux": "DELAY MAX_DELAY INFO",
    "bit_out": "CAPTURE_WORD OFFSET INFO",
    "pos_out": "CAPTURE SCALED SCALE OFFSET UNITS INFO", "ext_out": "CAPTURE INFO",
    "ext_out bits": "CAPTURE BITS INFO",
    "table": "LENGTH MAX_LENGTH FIELDS B ROW_WORDS QUEUED_LINES MODE INFO",
}  # fmt: skip
"""In the order of insertion, by class, subtype or both; others have `INFO` alone."""


def hash_of(name: str, bits: int) -> int:
    data, ones = name.encode(), (1 << bits) - 1
    value = data[0] << 7
    for byte in data[1:]:
        value = (value * 1000003 & ones) ^ byte
    value ^= len(data)
    return ones - 1 if value in {0, ones} else value


def listed(names: Iterable[str], bits: int) -> list[str]:
    """The order in which names that were inserted in this order are listed."""
    slots = list[str | None]([None] * 8)

    def insert(slots: list[str | None], name: str) -> None:
        ones = (1 << bits) - 1
        index = perturbation = hash_of(name, bits)
        while slots[index % len(slots)] is not None:
            perturbation >>= 5
            index = 5 * index + 1 + perturbation & ones
        slots[index % len(slots)] = name

    for count, name in enumerate(names, 1):
        insert(slots, name)
        if 3 * count >= 2 * (len(slots) - 1):
            size = 8
            while size < 2 * count:
                size *= 2
            old, slots = slots, list[str | None]([None] * size)
            for other in filter(None, old):
                insert(slots, other)
    return [name for name in slots if name is not None]


def word_of(check: Callable[[int], bool]) -> int:
    """Bits of the machine word with which an order is right; boxes have 32, servers on a PC 64."""
    for bits in (64, 32):
        if check(bits):
            return bits
    pytest.fail("neither the order of 64 nor of 32 bits")


def test_hashes_have_the_known_values():
    assert [f"{hash_of(name, 64):016x}" for name in ("TTLIN", "VAL", "PCAP")] == [
        "eb1dc853cb48a200",
        "00271bc71e55d64c",
        "1dd3ba5fe0ecc10c",
    ]


def test_a_known_order():
    inserted = "ENABLE TRIG DELAY WIDTH PULSES STEP TRIG_EDGE OUT QUEUED DROPPED"
    order = "PULSES OUT ENABLE DELAY TRIG DROPPED TRIG_EDGE WIDTH QUEUED STEP"
    assert " ".join(listed(inserted.split(), 64)) == order


def test_fields_are_listed_by_hash(control, box: Survey):
    for block in box.counts:
        found = [line.split(" ") for line in control.lines(f"{block}.*")]
        inserted = [line[0] for line in sorted(found, key=lambda line: int(line[1]))]
        word_of(lambda bits, found=found, inserted=inserted: (
            listed(inserted, bits) == [line[0] for line in found]
        ))  # fmt: skip


def test_attributes_are_listed_by_hash(control, box: Survey):
    for field in box.fields:
        kinds = (field.info, field.subtype, field.cls)
        known = next((ATTRIBUTES[kind] for kind in kinds if kind in ATTRIBUTES), "INFO")
        found = control.lines(f"{field.bare}.*")
        assert sorted(found) == sorted(known.split()), field
        word_of(lambda bits, found=found, known=known: listed(known.split(), bits) == found)


def test_reports_list_metadata_as_the_keys_are_listed(control, box: Survey):
    found = [line.split("=")[0].rstrip("<") for line in control.lines("*CHANGES.METADATA")]
    order = [f"*METADATA.{key}" for key in box.metadata]
    assert found == [name for name in order if name in found]
