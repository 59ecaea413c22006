"""Blocks survive any stimuli, forget nothing between calls and never look ahead."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panda_simulator.behaviours import (
    BEHAVIOURS,
    Behaviour,
    Inenc,
    Mark,
    Pcap,
    Posenc,
    Qdec,
    TableBlock,
)
from panda_simulator.encoders import Indexed
from panda_simulator.trace import TraceBus

INENC = (
    "PROTOCOL ENCODING CLK_SRC CLK_PERIOD FRAME_PERIOD BITS LSB_DISCARD MSB_DISCARD SETP RST_ON_Z"
)
REGISTERS = {
    "BITS": "A B C D",
    "CALC": "TYPEA TYPEB TYPEC TYPED SHIFT",
    "CLOCK": "PERIOD WIDTH",
    "COUNTER": "TRIG_EDGE OUT_MODE SET START STEP MAX MIN",
    "DIV": "DIVISOR FIRST_PULSE",
    "FILTER": "MODE",
    "LUT": "TYPEA TYPEB TYPEC TYPED TYPEE FUNC",
    "PCAP": "TRIG_EDGE SHIFT_SUM START_WRITE WRITE ARM DISARM",
    "PCOMP": "PRE_START START WIDTH STEP PULSES RELATIVE DIR",
    "PGEN": "REPEATS TABLE_LENGTH",
    "POSENC": "PERIOD PROTOCOL",
    "PULSE": "DELAY_L DELAY_H WIDTH_L WIDTH_H PULSES STEP_L STEP_H TRIG_EDGE",
    "QDEC": "RST_ON_Z SETP",
    "SEQ": "PRESCALE REPEATS TABLE_LENGTH",
    "SRGATE": "WHEN_DISABLED SET_EDGE RST_EDGE FORCE_SET FORCE_RST",
    "OUTENC": "PROTOCOL ENCODING BITS QPERIOD GENERATOR_ERROR PIN_CLK",
    "INENC": INENC,
    "INENC with an axis": INENC,
    "INENC on a cable": f"{INENC} PIN_A PIN_B PIN_Z",
    "TTLIN": "TERM",
    "TTLOUT": "",
    "SYSTEM": "CLOCK_SOURCE",
}
LAST = 60
POSITIONS = st.integers(-9, 9) | st.integers(-(2**31), 2**31 - 1)
ENTRIES = [0, 1, 2, 3, 4, 5, 16, 0x21, 0x32, *range(0x200, 0x2B0, 16)]


class Sweep:
    """A count up every three ticks."""

    def at(self, tick: int) -> int:
        return tick // 3

    def leaves(self, tick: int, low: int, high: int) -> int | None:
        return tick + 1 if not low <= self.at(tick + 1) <= high else max(3 * high + 3, tick + 1)


def make(name: str) -> Behaviour:
    if name.startswith("INENC "):
        inenc = Inenc()
        if name.endswith("axis"):
            inenc.connect(Indexed(Sweep(), Mark(2, 8)))
            inenc.listened = True
        else:
            inenc.cable()
        return inenc
    if name == "PCAP":
        bus = TraceBus()
        bus.positions[:4] = [5, -3, 2**31 - 1, -(2**31)]
        return Pcap(bus, word_by_word=True)
    return {"POSENC": Posenc, "QDEC": Qdec, **BEHAVIOURS}[name]()


@st.composite
def stimuli(draw, name: str) -> dict[int, dict[str, Any]]:
    block = make(name)
    small = st.integers(0, 9)
    word = small | st.integers(0, 2**32 - 1)
    choices: dict[str, st.SearchStrategy[Any]] = {
        **dict.fromkeys(REGISTERS[name].split(), word),
        **dict.fromkeys(block.bit_inputs, st.integers(0, 1)),
        **dict.fromkeys(
            block.position_inputs, st.integers(-9, 9) | st.integers(-(2**31), 2**31 - 1)
        ),
    }
    choices.update((key, st.integers(0, 1)) for key in choices if key.startswith("PIN_"))
    if "TABLE_LENGTH" in choices:
        choices["TABLE_LENGTH"] = st.sampled_from([0, 4, 8, 4 | 1 << 31, 8 | 1 << 31])
    if "WRITE" in choices:
        choices["WRITE"] = st.sampled_from(ENTRIES)
    ticks = draw(st.lists(st.integers(1, LAST), unique=True, max_size=30))
    return {
        tick: draw(
            st.lists(st.sampled_from(sorted(choices)), max_size=4, unique=True).flatmap(
                lambda names: st.fixed_dictionaries({key: choices[key] for key in names})
            )
        )
        for tick in sorted(ticks)
    }


def play(
    name: str,
    script: dict[int, dict[str, Any]],
    extra: frozenset[int] = frozenset(),
    last: int = LAST,
):
    """Run a block over a script; `extra` are ticks at which it is called for nothing."""
    block = make(name)
    outputs, wake = block.update(0, {})
    known = dict(outputs)
    history: list[tuple[int, str, int]] = []
    for tick in range(1, last + 1):
        called = tick in script or tick == wake or tick in extra
        changes = script.get(tick, {})
        if "TABLE_LENGTH" in changes and isinstance(block, TableBlock):
            block.stage([3 * n % 7 | 1 << 20 + n % 10 for n in range(changes["TABLE_LENGTH"] & 15)])
        outputs = {}
        if called:
            outputs, wake = block.update(tick, changes)
            assert wake is None or wake > tick
        if isinstance(block, Inenc):  # VAL goes on by itself
            outputs = {**outputs, "VAL": block.at(tick)}
        for output, value in outputs.items():
            if (name, output) == ("PCAP", "DATA") or known.get(output, 0) != value:
                history.append((tick, output, value))
                known[output] = value
    return history


@pytest.mark.parametrize("name", sorted(REGISTERS))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_calls_for_nothing_change_nothing(name, data):
    script = data.draw(stimuli(name))
    extra = frozenset(data.draw(st.sets(st.integers(1, LAST))))
    assert play(name, script, extra) == play(name, script)


@pytest.mark.parametrize("name", sorted(REGISTERS))
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_outputs_depend_on_the_past_only(name, data):
    script = data.draw(stimuli(name))
    cut = data.draw(st.integers(1, LAST))
    past = {tick: changes for tick, changes in script.items() if tick <= cut}
    whole = play(name, script)
    assert [event for event in whole if event[0] <= cut] == play(name, past, last=cut)


@pytest.mark.parametrize("called", [frozenset(), frozenset(range(3, 60))])
def test_a_wide_trigger_of_a_mean_takes_its_last_tick_whether_called_then_or_not(called):
    script = {1: {"MODE": 1}, 2: {"ENABLE": 1}, 5: {"INP": 30}, 8: {"TRIG": 1}, 20: {"TRIG": 0}}
    # ticks 3 to 18 hold 0 twice and 30 fourteen times; as the FPGA logic answers
    assert play("FILTER", script, called, 60) == [
        (43, "OUT", 420 // 16),
        (43, "READY", 1),
        (44, "READY", 0),
    ]
