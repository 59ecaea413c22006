"""Lists come in the order of the server's hash table."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from panda_simulator.box.listing import listing_order, name_hash


def test_hashes_are_those_of_the_server():
    assert name_hash("TTLIN") == 0xEB1DC853CB48A200
    assert name_hash("VAL") == 0x00271BC71E55D64C
    assert name_hash("PCAP") == 0x1DD3BA5FE0ECC10C


def test_the_fields_of_pulse_are_listed_as_by_the_server():
    fields = [
        "ENABLE",
        "TRIG",
        "DELAY",
        "WIDTH",
        "PULSES",
        "STEP",
        "TRIG_EDGE",
        "OUT",
        "QUEUED",
        "DROPPED",
    ]
    order = [
        "PULSES",
        "OUT",
        "ENABLE",
        "DELAY",
        "TRIG",
        "DROPPED",
        "TRIG_EDGE",
        "WIDTH",
        "QUEUED",
        "STEP",
    ]
    assert listing_order(fields) == tuple(order)


@given(st.sets(st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True), max_size=200))
def test_every_name_is_listed_once(names):
    assert sorted(listing_order(names)) == sorted(names)
