"""Blocks that run, with tables, small limits and strobes: any cut of a run changes nothing."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panda_simulator.behaviours import Behaviour, TableBlock

from .test_block_properties import ENTRIES, REGISTERS, make

LAST = 240
MORE = 1 << 31
STROBES = {"SET", "SETP", "FORCE_SET", "FORCE_RST", "ARM", "DISARM", "START_WRITE"}
SELDOM = {"FUNC", "BITS", "ENCODING", "PROTOCOL", "MODE"}
BLOCKS = [
    "BITS",
    "CALC",
    "CLOCK",
    "COUNTER",
    "DIV",
    "FILTER",
    "LUT",
    "PCAP",
    "PCOMP",
    "PGEN",
    "POSENC",
    "PULSE",
    "QDEC",
    "SEQ",
    "SRGATE",
]
REACHED: dict[str, dict[str, set[int]]] = {
    "CLOCK": {"OUT": {0, 1}},
    "COUNTER": {"CARRY": {0, 1}},
    "DIV": {"OUTD": {1}, "OUTN": {1}},
    "FILTER": {"READY": {0, 1}, "HEALTH": {0, 2}},
    "PCAP": {"ACTIVE": {0, 1}, "HEALTH": {0, 1}},
    "PCOMP": {"STATE": {0, 2, 3, 4}, "OUT": {0, 1}, "HEALTH": {0, 1}},
    "PGEN": {"STATE": {0, 1, 2}, "HEALTH": {0, 1, 2}},
    "POSENC": {"STATE": {0, 1, 2}, "A": {0, 1}, "B": {0, 1}},
    "PULSE": {"OUT": {0, 1}, "QUEUED": {0, 1, 2}, "DROPPED": {0, 1}},
    "QDEC": {"HOMED": {0, 1}},
    "SEQ": {"STATE": {0, 1, 2, 3, 4}, "HEALTH": {0, 1, 2}},
}
"""Values of outputs that the runs have to come to."""

Script = dict[int, dict[str, Any]]


def running(name: str, seed: int) -> Script:
    """Return what happens to a block that is set up, loaded, enabled and used."""
    draw = random.Random(f"{name} {seed}")
    block = make(name)
    script: Script = {1: {}}
    names = [one for one in REGISTERS[name].split() if one not in STROBES | {"TABLE_LENGTH"}]
    for register in names:
        if register != "WRITE" and draw.random() < 0.9:
            script[1][register] = draw.choice([0, 1, 1, 2, 3, draw.randint(0, 9)])
    if name == "QDEC":
        script[1]["LINKUP_INCR"] = 1
    if name == "PCAP":
        for tick in range(2, draw.randint(3, 8)):
            script[tick] = {"WRITE": draw.choice(ENTRIES)}
        script[10] = {"ARM": 0}
    if isinstance(block, TableBlock):
        tick = 5
        for _ in range(draw.choice([1, 1, 2, 4])):
            script[tick] = {"TABLE_LENGTH": 4 * draw.randint(1, 3) | draw.choice([0, MORE])}
            tick += draw.choice([8, 20, 90])
    _levels(draw, block, script)
    for _ in range(draw.choice([0, 0, 3, 12])):
        register = draw.choice([*STROBES.intersection(REGISTERS[name].split()), *names])
        if register not in SELDOM | {"WRITE"}:
            script.setdefault(draw.randint(12, LAST), {})[register] = draw.randint(0, 9)
    return dict(sorted(script.items()))


def _levels(draw: random.Random, block: Behaviour, script: Script) -> None:
    """Let levels toggle and positions walk, each at its own pace; ENABLE stays for long."""
    for name in (*block.bit_inputs, *block.position_inputs):
        tick, value = 30 if name == "ENABLE" else draw.randint(12, 40), 0
        longest = 150 if name == "ENABLE" else draw.choice([1, 3, 9, 40])
        while tick <= LAST:
            value = 1 - value if name in block.bit_inputs else value + draw.choice([-1, 1, 1, 1, 9])
            script.setdefault(tick, {})[name] = value
            tick += draw.randint(1, longest)


class Run:
    """A block at a tick of a script, and what it has put out so far."""

    def __init__(self, name: str, script: Script) -> None:
        self.name, self.script, self.tick = name, script, 0
        self.block = make(name)
        outputs, self.wake = self.block.update(0, {})
        self.known = dict(outputs)
        self.history: list[tuple[int, str, int]] = []

    def to(self, last: int, extra: frozenset[int] = frozenset()) -> Run:
        """Go on to a tick, calling the block for nothing at some."""
        for tick in range(self.tick + 1, last + 1):
            if tick not in self.script and tick != self.wake and tick not in extra:
                continue
            changes = self.script.get(tick, {})
            if "TABLE_LENGTH" in changes and isinstance(self.block, TableBlock):
                words = changes["TABLE_LENGTH"] & ~MORE
                lines = [
                    (1 + k % 3 | (k % 13) << 16 | (5 + k) << 20, k - 2, k % 4, 1 + k % 3)
                    for k in range(tick, tick + words // 4)
                ]
                self.block.stage([word for line in lines for word in line])
            outputs, self.wake = self.block.update(tick, changes)
            assert self.wake is None or self.wake > tick
            for output, value in outputs.items():
                if (self.name, output) == ("PCAP", "DATA") or self.known.get(output, 0) != value:
                    self.history.append((tick, output, value))
                    self.known[output] = value
        self.tick = last
        return self


@pytest.mark.parametrize("name", BLOCKS)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_a_run_may_be_cut_called_more_often_and_copied(name, seed, data):
    script = running(name, seed)
    whole = Run(name, script).to(LAST).history
    extra = frozenset(data.draw(st.sets(st.integers(1, LAST), max_size=60)))
    assert Run(name, script).to(LAST, extra).history == whole
    cut = data.draw(st.integers(1, LAST))
    first = Run(name, script).to(cut)
    assert first.history == [event for event in whole if event[0] <= cut]
    second = copy.deepcopy(first)
    assert first.to(LAST).history == whole
    assert second.to(LAST, extra).history == whole


@pytest.mark.parametrize("name", BLOCKS)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), cut=st.integers(1, LAST))
def test_what_comes_later_changes_nothing_before(name, seed, cut):
    script = running(name, seed)
    other = running(name, seed + 1)
    mixed = {tick: (script if tick <= cut else other).get(tick, {}) for tick in range(1, LAST + 1)}
    mixed = {tick: changes for tick, changes in mixed.items() if changes}
    whole = [event for event in Run(name, script).to(LAST).history if event[0] <= cut]
    assert [event for event in Run(name, mixed).to(LAST).history if event[0] <= cut] == whole


@pytest.mark.parametrize("name", sorted(REACHED))
def test_the_runs_come_to_all_states(name):
    seen: dict[str, set[int]] = {output: set() for output in REACHED[name]}
    for seed in range(60):
        for _, output, value in Run(name, running(name, seed)).to(LAST).history:
            if output in seen:
                seen[output].add(value)
    missing = {output: REACHED[name][output] - values for output, values in seen.items()}
    assert not any(missing.values()), missing
