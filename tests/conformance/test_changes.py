"""What each connection is told of changes: by group, once, in the order of the listing.

Source: protocol.md 6.
"""

from __future__ import annotations

import pytest

from .keeper import Keeper
from .reports import name_of, names, reported
from .survey import Survey, readable
from .wire import Control

GROUPS = ("CONFIG", "BITS", "POSN", "READ", "ATTR", "TABLE", "METADATA")


def test_the_first_query_reports_every_member_of_a_group(control, box: Survey):
    instances = {
        "BITS": ["bit_out"],
        "POSN": ["pos_out"],
        "READ": ["read"],
        "CONFIG": ["param", "time", "bit_mux", "pos_mux"],
        "TABLE": ["table"],
    }
    for group, classes in instances.items():
        expected = sorted(
            target
            for cls in classes
            for field in box.of(cls)
            for target in field.instances
            if field.info not in {"param action", "read action"}
        )
        found = [name_of(line) for line in control.lines(f"*CHANGES.{group}")]
        assert sorted(found) == expected, group
    attributes = {
        "time": ["UNITS"], "param time": ["UNITS"], "read time": ["UNITS"], "bit_mux": ["DELAY"],
        "pos_out": ["UNITS", "OFFSET", "SCALE", "CAPTURE"], "ext_out": ["CAPTURE"],
        "table": ["QUEUED_LINES"],
    }  # fmt: skip
    found = [name_of(line) for line in control.lines("*CHANGES.ATTR")]
    assert sorted(found) == sorted(
        f"{target}.{name}"
        for info, keys in attributes.items()
        for field in box.of(info)
        for target in field.instances
        for name in keys
    )
    metadata = [name_of(line) for line in control.lines("*CHANGES.METADATA")]
    assert set(metadata) <= {f"*METADATA.{key}" for key in box.metadata}


def test_a_full_report_is_its_groups_put_together(control, connect):
    everything = control.lines("*CHANGES")
    other: Control = connect()
    parts = {line for group in GROUPS for line in other.lines(f"*CHANGES.{group}")}
    assert {name_of(line) for line in everything} == {name_of(line) for line in parts}


def test_reports_follow_the_listing(control, box: Survey):
    """Blocks, then fields, then values before tables before attributes; metadata last."""
    order: list[str] = []
    for block, count in box.counts.items():
        numbers = [""] if count == 1 else [str(n) for n in range(1, count + 1)]
        for line in control.lines(f"{block}.*"):
            field = line.split(" ")[0]
            order += [f"{block}{n}.{field}" for n in numbers]
            for attribute in control.lines(f"{block}.{field}.*"):
                order += [f"{block}{n}.{field}.{attribute}" for n in numbers]
    order += [f"*METADATA.{key}" for key in box.metadata]
    found = [name_of(line) for line in control.lines("*CHANGES")]
    assert found == [name for name in order if name in set(found)]


def test_values_are_those_of_a_query(control, connect):
    lines = control.lines("*CHANGES.CONFIG") + control.lines("*CHANGES.ATTR")
    with_value = [line for line in lines if "=" in line and "QUEUED_LINES" not in line]
    replies = connect().ask_all(f"{line.split('=', 1)[0]}?" for line in with_value)
    assert [f"OK ={line.split('=', 1)[1]}" for line in with_value] == replies


def test_a_value_that_cannot_be_read_is_an_error_line(control, connect):
    lines = control.lines("*CHANGES.CONFIG") + control.lines("*CHANGES.READ")
    wrong = [line for line in lines if line.endswith(" (error)") and "=" not in line]
    if not wrong:
        pytest.skip("every value of this box can be read")
    for line in wrong:
        assert connect().ask(f"{line.removesuffix(' (error)')}?").startswith("ERR ")


def test_a_line_too_long_is_an_error_line(control, box: Survey, keep):
    target = keep(f"{box.one('pos_out')}.UNITS")
    room = 255 - len(f"{target}=")
    control.ok("*CHANGES=")
    control.ok(f"{target}={'x' * room}")
    assert control.lines("*CHANGES.ATTR") == [f"{target}={'x' * room}"]
    control.ok(f"{target}={'x' * (room + 1)}")
    assert control.lines("*CHANGES.ATTR") == [f"{target} (error)"]
    for text in ("x (error)", "x<", "="):
        control.ok(f"{target}={text}")
        assert control.lines("*CHANGES.ATTR") == [f"{target}={text}"]


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("*CHANGES.X?", "Unknown changes selection"),
        ("*CHANGES.config?", "Unknown changes selection"),
        ("*CHANGES.CONFIG.X?", "Unexpected character after input"),
        ("*CHANGES.?", "No name found"),
        ("*CHANGES.*?", "No name found"),
        ("*CHANGESX?", "Unknown command"),
        ("*CHANGES ?", "Unexpected character after input"),
        ("*CHANGES=X", "Invalid reset option"),
        ("*CHANGES=s", "Invalid reset option"),
        ("*CHANGES= ", "Invalid reset option"),
        ("*CHANGES=EX", "Unexpected character after input"),
        ("*CHANGES=SE", "Unexpected character after input"),
        ("*CHANGES.X=", "Unknown changes selection"),
    ],
)
def test_changes_that_cannot_be_asked_for(control, command, error):
    control.ok("*CHANGES=")
    assert control.error(command) == error


def test_the_same_value_written_again_is_a_change(control, box: Survey, keep):
    target = keep(box.one("bit_mux"))
    value = control.value(target)
    control.ok("*CHANGES=")
    for _ in range(2):
        control.ok(f"{target}={value}")
        assert control.lines("*CHANGES.CONFIG") == [f"{target}={value}"]
        assert control.lines("*CHANGES.CONFIG") == []
    control.error(f"{target}=nothing")
    assert control.lines("*CHANGES.CONFIG") == []


def test_units_of_a_time_report_the_value_too(control, box: Survey, keep):
    target = keep(box.one("time", readable))
    control.ok(f"{target}.RAW={box.clock}")
    control.ok("*CHANGES=")
    control.ok(f"{target}.UNITS=ms")
    assert control.lines("*CHANGES.CONFIG") == [f"{target}=1000"]
    assert names(control.lines("*CHANGES.ATTR")) == [f"{target}.UNITS"]
    control.ok(f"{target}.RAW=0")
    assert control.lines("*CHANGES.CONFIG") == [f"{target}=0"]
    assert names(control.lines("*CHANGES.ATTR")) == []


def test_clearing_the_capture_reports_what_was_captured(control, box: Survey, keep):
    first, second = (f"{target}.CAPTURE" for target in box.two("pos_out"))
    keep.capture()
    control.ok(f"{first}=Value")
    control.ok("*CHANGES=")
    control.ok("*CAPTURE=")
    changed = [line for line in control.lines("*CHANGES.ATTR") if "QUEUED_LINES" not in line]
    assert changed == [f"{first}=No"]
    control.ok(f"{second}=No")
    assert control.lines("*CHANGES.ATTR") == [f"{second}=No"]


def test_metadata_come_last_and_long_ones_are_cut(control, box: Survey, keep):
    for key in box.metadata:
        target = f"*METADATA.{key}"
        keep(target)
        control.ok("*CHANGES=")
        reply = control.ask(f"{target}={'x' * 300}")
        lines = control.lines("*CHANGES.METADATA")
        if reply == "OK":
            assert lines == [f"{target}={'x' * 300}"[:255]]
        else:
            assert lines == []
        if isinstance(control.ask(f"{target}?"), list):
            assert control.table(target, "", "text") == "OK"
            assert control.lines("*CHANGES.METADATA") == [f"{target}<"]


def bit_that_follows(control: Control, box: Survey, keep: Keeper) -> tuple[str, str]:
    """Return a LUT's function and the bit that it makes, or skip."""
    for target in box.targets("param lut", readable):
        bit = next((b for b in box.bits if b.startswith(f"{target.split('.')[0]}.")), None)
        if bit is None:
            continue
        keep(target)
        control.ok(f"{target}=1")
        if control.value(bit) == "1":
            control.ok(f"{target}=0")
            assert control.value(bit) == "0"
            return target, bit
    pytest.skip("nothing that is written to this box changes a bit")


def test_a_bit_that_changed_is_reported_to_everybody_once(control, connect, box, keep):
    function, bit = bit_that_follows(control, box, keep)
    other: Control = connect()
    for peer in (control, other):
        peer.ok("*CHANGES=")
    control.ok(f"{function}=1")
    assert reported(control, ".BITS", bit) == [f"{bit}=1"]
    assert reported(control, ".BITS", bit) == []
    assert reported(other, "", bit) == [f"{bit}=1"]
    assert reported(other, "", bit) == []


def test_a_bit_that_came_back_is_reported_as_it_is(control, box, keep):
    function, bit = bit_that_follows(control, box, keep)
    control.ok("*CHANGES=")
    control.ok(f"{function}=1")
    control.ok(f"{function}=0")
    assert reported(control, ".BITS", bit) == [f"{bit}=0"]


def test_a_reset_takes_the_changes_of_bits_along(control, box, keep):
    function, bit = bit_that_follows(control, box, keep)
    for reset in ("*CHANGES=", "*CHANGES.BITS=E"):
        control.ok(f"{function}=1")
        control.ok(reset)
        assert reported(control, ".BITS", bit) == []
        control.ok(f"{function}=0")
        assert reported(control, ".BITS", bit) == [f"{bit}=0"]


def field_that_follows(control: Control, box: Survey, keep: Keeper) -> tuple[str, str]:
    """Return an enable and the state that it changes, for a block at rest in both, or skip."""
    for field in box.of("read enum"):
        enable = f"{field.instances[0].split('.')[0]}.ENABLE"
        if not control.ask(f"{enable}?").startswith("OK"):
            continue
        state = field.instances[0]
        keep(enable)
        control.ok(f"{enable}=ZERO")
        before = control.ask(f"{state}?")
        control.ok(f"{enable}=ONE")
        after = control.ask(f"{state}?")
        if before != after == control.ask(f"{state}?"):
            control.ok(f"{enable}=ZERO")
            if control.ask(f"{state}?") == before:
                return enable, state
    pytest.skip("nothing that is written to this box changes a field to be read")


def test_who_finds_a_changed_register_is_told_twice(control, connect, box, keep):
    enable, state = field_that_follows(control, box, keep)
    other: Control = connect()
    for peer in (control, other):
        peer.lines("*CHANGES.READ")
        peer.lines("*CHANGES.READ")
    control.ok(f"{enable}=ONE")
    assert [len(reported(control, ".READ", state)) for _ in range(3)] == [1, 1, 0]
    assert [len(reported(other, "", state)) for _ in range(2)] == [1, 0]


def test_a_direct_query_finds_a_changed_register_for_everybody(control, connect, box, keep):
    enable, state = field_that_follows(control, box, keep)
    other: Control = connect()
    for peer in (control, other):
        peer.lines("*CHANGES.READ")
        peer.lines("*CHANGES.READ")
    control.ok(f"{enable}=ONE")
    control.ask(f"{state}?")
    for peer in (control, other):
        assert [len(reported(peer, ".READ", state)) for _ in range(2)] == [1, 0]


def test_a_reset_does_not_look_at_registers(control, box, keep):
    enable, state = field_that_follows(control, box, keep)
    control.lines("*CHANGES.READ")
    control.lines("*CHANGES.READ")
    control.ok(f"{enable}=ONE")
    control.ok("*CHANGES=")
    assert [len(reported(control, ".READ", state)) for _ in range(3)] == [1, 1, 0]
