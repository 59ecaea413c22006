"""Three connections are told of changes as one counter, stamps and cursors foretell.

Source: protocol.md 6.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .keeper import Keeper
from .reports import names
from .survey import Survey, fixed_table, readable, restorable_position
from .wire import Control

QUICK = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
STILL: tuple[str, ...] = ("CONFIG", "ATTR", "TABLE", "METADATA")
"""Groups in which only clients change something, but for polled attributes."""


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
