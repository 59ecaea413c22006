"""What each connection is told of changes: by group, once, in the order of the listing.

Source: protocol.md 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .keeper import Keeper
from .survey import Survey, fixed_table, readable, restorable_position
from .wire import Control

QUICK = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
GROUPS = ("CONFIG", "BITS", "POSN", "READ", "ATTR", "TABLE", "METADATA")
STILL: tuple[str, ...] = ("CONFIG", "ATTR", "TABLE", "METADATA")
"""Groups in which only clients change something, but for polled attributes."""
_NAME = re.compile(r"[A-Za-z0-9_.*]+")


def name_of(line: str) -> str:
    match = _NAME.match(line)
    assert match, line
    rest = line[match.end() :]
    assert rest == "<" or rest.startswith("=") or rest == " (error)", line
    return match[0]


def names(lines: list[str]) -> list[str]:
    """Names of a report, without the attributes that the server polls."""
    return [name for line in lines if not (name := name_of(line)).endswith(".QUEUED_LINES")]


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


class Mirror:
    """The model of section 6.5 for the groups that only clients change."""

    def __init__(self, members: dict[str, str]) -> None:
        self.members = members
        self.counter = 1
        self.stamps = dict.fromkeys(members, 1)
        self.cursors = [dict.fromkeys(STILL, 0) for _ in range(3)]

    def tick(self) -> int:
        self.counter += 1
        return self.counter

    def write(self, *written: str) -> None:
        for name in written:
            self.stamps[name] = self.tick()

    def query(self, who: int, groups: tuple[str, ...], *, skip: bool = False) -> list[str]:
        now = self.tick()
        before = dict(self.cursors[who])
        self.cursors[who] |= dict.fromkeys(groups, now)
        if skip:
            return []
        return [
            name
            for name, group in self.members.items()
            if group in groups and self.stamps[name] > before[group]
        ]

    def restart(self, who: int, groups: tuple[str, ...]) -> None:
        self.cursors[who] |= dict.fromkeys(groups, 0)


def members(control: Control) -> dict[str, str]:
    """Group of every reportable name, in the order of the listing."""
    group_of = {
        name: group for group in STILL for name in names(control.lines(f"*CHANGES.{group}"))
    }
    control.ok("*CHANGES=S")
    listed = names(control.lines("*CHANGES"))
    return {name: group_of[name] for name in listed if name in group_of}


def writes(control: Control, box: Survey, keep: Keeper) -> Iterator[tuple[list[str], list[str]]]:
    """Commands that change nothing but are writes, and what each marks as changed."""
    for info in ("param uint", "param enum", "bit_mux", "pos_mux", "param lut", "time"):
        for target in box.targets(info, readable)[:2]:
            yield [f"{target}={control.value(target)}"], [target]
    for target in box.targets("time", readable)[:2]:
        units = f"{target}.UNITS"
        yield [f"{units}={control.value(units)}"], [target, units]
        yield [f"{target}.RAW={control.value(f'{target}.RAW')}"], [target]
    for target in box.targets("bit_mux")[:2]:
        yield [f"{target}.DELAY={control.value(f'{target}.DELAY')}"], [f"{target}.DELAY"]
    for target in box.targets("pos_out", restorable_position)[:2]:
        for name in (f"{target}.{key}" for key in ("SCALE", "OFFSET", "UNITS", "CAPTURE")):
            yield [f"{name}={control.value(name)}"], [name]
        yield [f"{target}.SCALE=x"], []
    for target in box.targets("table", fixed_table)[:2]:
        keep(target)
        yield [f"{target}<", ""], [target]
        yield [f"{target}<", "x", ""], []
        yield [f"{target}<B", ""], [target]
    for key in box.metadata:
        target = f"*METADATA.{key}"
        if isinstance(control.ask(f"{target}?"), str) and control.ask(f"{target}=") == "OK":
            yield [f"{target}="], [target]
    yield ["NO_SUCH.X=1"], []


def test_three_connections_are_told_what_the_model_says(
    control, box: Survey, keep, connect: Callable[[], Control]
):
    keep(*(f"*METADATA.{key}" for key in box.metadata))
    known = members(control)
    possible = list(writes(control, box, keep))
    whose = st.integers(0, 2)
    which = st.sampled_from(["", *(f".{group}" for group in STILL)])
    step = st.one_of(
        st.tuples(st.just("write"), whose, st.sampled_from(possible)),
        st.tuples(st.sampled_from(["?", "=", "=E", "=S"]), whose, which),
        st.tuples(st.just("?"), whose, which),
    )

    @settings(
        deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(st.lists(step, min_size=10, max_size=40))
    def every(steps: list[tuple[str, int, Any]]) -> None:
        connections = [connect() for _ in range(3)]
        model = Mirror(known)
        for kind, who, what in steps:
            peer = connections[who]
            if kind == "write":
                lines, written = what
                assert (peer.ask(*lines) == "OK") == bool(written), lines
                model.write(*written)
                continue
            groups = (what.lstrip("."),) if what else STILL
            if kind == "?":
                found = [n for n in names(peer.lines(f"*CHANGES{what}")) if n in known]
                assert found == model.query(who, groups)
            else:
                peer.ok(f"*CHANGES{what}{kind}")
                if kind == "=S":
                    model.restart(who, groups)
                else:
                    model.query(who, groups, skip=True)
        for peer in connections:
            peer.close()

    every()


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


def reported(control: Control, group: str, name: str) -> list[str]:
    """What a report says of one name."""
    return [line for line in control.lines(f"*CHANGES{group}") if name_of(line) == name]


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
