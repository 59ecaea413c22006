"""Hops take a tick, or as many as hardware needs; the box is what its blocks make of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from panda_simulator.cli import app
from panda_simulator.hardware import BIT_ONE
from panda_simulator.simulator import Simulator
from panda_simulator.timing import Recording, SteppedBox
from panda_simulator.timing.command import Wishes, run
from panda_simulator.timing.document import ScriptError

from .conftest import POSITION
from .plodder import Plodder
from .test_leaps import eagerness
from .wirings import Action, Player, Wiring

DOCUMENTED = {"bit": 1, "position": 1, "capture": 1, "sample": 1}
HARDWARE = {"bit": 3, "position": 2, "capture": 4, "sample": 2}
LONGEST = 300
"""Ticks that the plodder is let run at a time."""


def actions_of(seed: int) -> list[Action]:
    """Return what is done to a wiring; delays are set first, of inputs that see nothing yet."""
    actions = [
        ("run", min(action[1], LONGEST)) if action[0] == "run" else action
        for action in Wiring(seed).actions
    ]
    return sorted(actions, key=lambda one: not (one[0] == "set" and one[3].endswith("_DELAY")))


def follow(plodder: Plodder, action: Action) -> None:
    """Do to a plodder what a player does to a box."""
    what, *how = action
    if what == "set":
        plodder.write(*how)
    elif what == "table":
        plodder.table(*how)
    elif what == "run":
        for _ in range(how[0]):
            plodder.step()
    elif what == "arm":
        plodder.arm(*how)
    elif what == "disarm":
        plodder.write("PCAP", 1, "DISARM", 0)
    elif what == "move":
        plodder.world.axes[how[0]].move(how[1])
    elif what == "drive":
        plodder.world.drive("TTLIN", *how)


@pytest.mark.parametrize("hops", [DOCUMENTED, HARDWARE], ids=["documented", "hardware"])
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_random_wirings_are_those_of_a_box_that_looks_at_every_tick(hops, seed):
    player = Player(leaps=True, hardware_latency=hops is HARDWARE)
    actions = actions_of(seed)
    kinds = {action[1] for action in actions if action[0] in {"set", "table"}}
    plodder = Plodder(kinds, **hops)
    with eagerness():
        for action in actions:
            seen = player.do(action)
            follow(plodder, action)
            fabric = player.bench.fabric
            fabric.run_until(fabric.tick)  # which delivers what is captured
            seen = player.look() if isinstance(seen, dict) else seen
            assert fabric.tick == plodder.tick
            bits, _ = fabric.read_bits()
            positions, _ = fabric.read_positions()
            assert bits.tolist() == [bool(bit) for bit in plodder.bits_at(plodder.tick)[:128]]
            assert positions.tolist() == plodder.positions_at(plodder.tick)[:32]
            if isinstance(seen, dict) and seen["data"]:
                assert b"".join(seen["data"]) == plodder.data


def edges(bench, ticks: int) -> list[tuple[int, int]]:
    """Return what TTLOUT1 does for some ticks."""
    seen: list[tuple[int, int]] = []
    bench.world.observe("TTLOUT", 1, lambda tick, level: seen.append((tick, level)))
    bench.run(ticks)
    return seen


@pytest.fixture
def late(make_bench):
    """A box with the hops of hardware."""
    return make_bench(hardware_latency=True)


@pytest.mark.parametrize("delay", [0, 1, 31])
def test_a_bit_is_seen_three_ticks_and_its_delay_later(late, delay):
    late.set("TTLOUT", VAL="TTLIN1.VAL", VAL_DELAY=delay)
    late.run(50)
    late.world.drive("TTLIN", 1, 1)
    driven = late.fabric.tick
    late.world.drive("TTLIN", 1, 0)
    assert edges(late, 50) == [(driven + 3 + delay, 1), (driven + 4 + delay, 0)]


def test_a_position_is_seen_two_ticks_later(late):
    late.set("COUNTER", ENABLE="ONE", TRIG="TTLIN1.VAL", STEP=7)
    late.set("CALC", INPA="COUNTER1.OUT", INPB="INENC1.VAL")
    late.run(10)
    late.world.drive("TTLIN", 1, 1)
    counted = late.fabric.tick + 3
    late.fabric.run_until(counted + 1)
    assert (late.position("COUNTER1.OUT"), late.position("CALC1.OUT")) == (7, 0)
    late.run(1)
    assert late.position("CALC1.OUT") == 7
    late.world.axes["x"].place(0.01)
    placed = late.fabric.tick + 1
    late.fabric.run_until(placed + 1)
    assert (late.position("INENC1.VAL"), late.position("CALC1.OUT")) == (100, 7)
    late.run(1)
    assert late.position("CALC1.OUT") == 107


def test_pcap_sees_a_trigger_after_four_ticks_and_what_it_captures_after_two(late):
    late.set("LUT", INPA="LUT1.OUT", FUNC=0x0000FFFF)
    late.set("COUNTER", ENABLE="ONE", TRIG="LUT1.OUT", TRIG_EDGE=2)
    late.set("PCAP", ENABLE="ONE", TRIG="TTLIN1.VAL", TRIG_DELAY=5)
    late.run(20)
    sink = late.sink()
    late.fabric.arm([0x240, POSITION["COUNTER", 1, "OUT"] << 4], sink)
    armed = late.fabric.tick
    late.run(10)
    late.world.drive("TTLIN", 1, 1)
    driven = late.fabric.tick
    counts: dict[int, int] = {}
    while late.fabric.tick < driven + 20:
        counts[late.fabric.tick] = late.position("COUNTER1.OUT")
        late.run(1)
    ((time, count),) = sink.rows(2)
    assert time == driven + 9 - armed
    assert count == counts[driven + 7]


def test_a_loop_takes_a_hop_for_each_block(late):
    late.set("COUNTER", ENABLE="ONE", TRIG="LUT1.OUT", TRIG_EDGE=2)
    late.set("LUT", INPA="LUT1.OUT", FUNC=0x0000FFFF)
    late.run(10)
    before = late.position("COUNTER1.OUT")
    late.run(3 * 1000)
    assert late.position("COUNTER1.OUT") == before + 1000


def test_a_box_in_steps_and_a_script_have_it(tmp_path):
    ticks = []
    for late in (False, True):
        box = SteppedBox(hardware_latency=late)
        box.set("CALC1.INPA", "INENC1.VAL")
        box.set("PULSE1.WIDTH.RAW", "6")
        box.set("PULSE1.ENABLE", "ONE")
        box.set("PULSE1.TRIG", "TTLIN1.VAL")
        box.run(20)
        signals = ["PULSE1.OUT", "CALC1.INPA"]
        recording = Recording(box.box, box.world, signals)
        start = box.tick + 1
        box.world.axes["x"].place(0.01)
        box.world.drive("TTLIN", 1, 1)
        box.run(50)
        ticks.append([recording[name].since(start).ticks.tolist() for name in signals])
    assert ticks == [[[1, 7], [1]], [[3, 9], [2]]]

    script = tmp_path / "script.yaml"
    text = (
        "set: {PULSE1.WIDTH.RAW: 6, PULSE1.ENABLE: ONE, PULSE1.TRIG: TTLIN1.VAL}\n"
        "stimuli: [{at: 5, TTLIN1.VAL: 1}]\nshow: [PULSE1.OUT]\nuntil: 30\n"
    )
    script.write_text(text)
    assert printed(script) == [6, 12]
    assert printed(script, hardware_latency=True) == [8, 14]
    script.write_text(f"hardware_latency: true\n{text}")
    assert printed(script) == [8, 14]
    script.write_text(f"hardware_latency: maybe\n{text}")
    with pytest.raises(ScriptError, match="line 1: hardware_latency: 'maybe' is neither true nor"):
        printed(script)


def printed(script, **wishes) -> list[int]:
    """Return the ticks of the first signal of a script, as the command prints them."""
    said: list[str] = []
    run([script], Wishes(json=True, **wishes), said.append)
    return [tick for tick, _ in json.loads("".join(said))["signals"][0]["edges"]]


async def test_a_simulator_has_it():
    async with Simulator(speed="stepped", hardware_latency=True) as simulator:
        seen: list[int] = []
        simulator.world.observe("TTLOUT", 1, lambda tick, _: seen.append(tick))
        fabric = simulator.hardware
        fabric.write_register("TTLOUT", 1, "VAL", BIT_ONE)
        written = simulator.tick
        await simulator.run_for(1e-6)
        assert seen == [written + 3]


@pytest.mark.parametrize("command", ["serve", "timing"])
def test_the_command_line_offers_it(command):
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert "--hardware-latency" in result.output
