"""Random wirings of all blocks, to be played with and without leaps and compared."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from panda_simulator.behaviours import BEHAVIOURS
from panda_simulator.hardware import BIT_ONE, BIT_ZERO, POSITION_ZERO

from .conftest import BIT, BLOCKS, POSITION, Bench, Sink

Action: TypeAlias = tuple[Any, ...]
_MASK = 0xFFFFFFFF
_KINDS = [
    *("CLOCK", "COUNTER", "LUT") * 3,
    *("PULSE", "DIV", "SRGATE", "SEQ", "FILTER", "CALC", "PCOMP") * 2,
    *("PGEN", "BITS", "TTLOUT"),
]
_SOURCES = {"CLOCK", "DIV", "PULSE", "SEQ", "LUT"}
_TIMES = range(0x200, 0x2B0, 16)
SEQ_TRIGGERS = [0, 0, 0, 0, 1, 2, 7, 8]


class Wiring:
    """Makes the actions of one random wiring."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        draw = self._random
        chosen = dict.fromkeys(
            (kind, draw.randint(1, min(BLOCKS[kind], 3)))
            for kind in draw.choices(_KINDS, k=draw.randint(2, 9))
        )
        if draw.random() < 0.8:
            chosen["CLOCK", 1] = None
        self.blocks = list(chosen)
        outputs = [(key, index) for key, index in BIT.items() if key[:2] in chosen]
        self._bits = [index for _, index in outputs] or [BIT_ZERO]
        self._pulses = [index for key, index in outputs if key[0] in _SOURCES] or self._bits
        self._positions = [index for key, index in POSITION.items() if key[:2] in chosen]
        self.actions = [*self._wire(), ("run", 30), *self._enable(), *self._play()]

    def _small(self, highest: int = 9) -> int:
        return self._random.choice([0, 1, 2, 3, self._random.randint(0, highest)])

    def _number(self) -> int:
        draw = self._random
        return _MASK & draw.choice(
            [0, 1, 2, 3, 5, -1, -4, draw.randint(0, 40), draw.randint(-40, 0),
             2**31 - draw.randint(1, 30), -(2**31) + draw.randint(0, 30)]
        )  # fmt: skip

    def _parameters(self, kind: str) -> dict[str, int]:
        draw, small, number = self._random, self._small, self._number
        edges = draw.randint(0, 2)
        rows: dict[str, Callable[[], dict[str, int]]] = {
            "CLOCK": lambda: {"PERIOD": draw.choice([2, 3, 10, 20, 40, 125, draw.randint(2, 60)]),
                              "WIDTH": small()},
            "COUNTER": lambda: {"START": number(), "STEP": number(), "TRIG_EDGE": edges,
                                "MAX": draw.choice([0, 0, number()]),
                                "MIN": draw.choice([0, 0, number()]),
                                "OUT_MODE": int(draw.random() < 0.15)},
            "PULSE": lambda: {"DELAY_L": small(60), "WIDTH_L": small(30), "STEP_L": small(40),
                              "PULSES": draw.choice([0, 1, 2, 3, 50]), "TRIG_EDGE": edges},
            "DIV": lambda: {"DIVISOR": small(12), "FIRST_PULSE": draw.randint(0, 1)},
            "LUT": lambda: {"FUNC": draw.choice([0xFFFF0000, 0x0000FFFF, draw.getrandbits(32)]),
                            **{f"TYPE{term}": draw.choice([0, 0, 1, 2, 3]) for term in "ABCDE"}},
            "SRGATE": lambda: {"WHEN_DISABLED": edges, "SET_EDGE": draw.randint(0, 2),
                               "RST_EDGE": draw.randint(0, 2)},
            "SEQ": lambda: {"REPEATS": draw.choice([0, 0, 1, 3, 20, 50]),
                            "PRESCALE": draw.choice([0, 0, 1, 2, 5])},
            "PGEN": lambda: {"REPEATS": draw.choice([0, 0, 1, 3, 20])},
            "FILTER": lambda: {"MODE": draw.randint(0, 1)},
            "BITS": lambda: {letter: draw.randint(0, 1) for letter in "ABCD"},
            "CALC": lambda: {**{f"TYPE{term}": draw.randint(0, 1) for term in "ABCD"},
                             "SHIFT": draw.choice([0, 0, 0, 1, 2])},
            "PCOMP": lambda: {"PRE_START": small(), "START": number(), "DIR": edges,
                              "WIDTH": draw.choice([1, 2, 3, number()]),
                              "STEP": draw.choice([2, 3, 4, 10, number()]),
                              "PULSES": draw.choice([0, 0, 1, 5, 30]),
                              "RELATIVE": draw.randint(0, 1)},
        }  # fmt: skip
        return rows[kind]() if kind in rows else {}

    def _bit(self, name: str) -> int:
        draw = self._random
        if name == "ENABLE":
            return draw.choice([BIT_ONE, BIT_ONE, BIT_ONE, *self._bits[:1]])
        if draw.random() < 0.6:
            return draw.choice(self._pulses)
        return draw.choice([*self._bits, BIT_ZERO, BIT_ONE, draw.choice(list(BIT.values()))])

    def _position(self) -> int:
        draw = self._random
        encoder = POSITION["INENC", draw.randint(1, 4), "VAL"]
        return draw.choice([*self._positions, *self._positions, POSITION_ZERO, encoder])

    def _wire(self) -> list[Action]:
        draw = self._random
        actions: list[Action] = []
        for kind, number in self.blocks:
            block = BEHAVIOURS[kind]()
            if kind == "SEQ":
                actions.append(("table", kind, number, self._lines()))
            elif kind == "PGEN":
                table = [self._number() for _ in range(draw.randint(1, 6))]
                actions.append(("table", kind, number, table))
            registers = self._parameters(kind)
            for name in block.bit_inputs:
                if name != "ENABLE":
                    registers[name] = self._bit(name)
                if draw.random() < 0.1:
                    registers[f"{name}_DELAY"] = draw.choice([1, 2, 31])
            registers.update((name, self._position()) for name in block.position_inputs)
            actions += [("set", kind, number, *register) for register in registers.items()]
        captured = {"TRIG": self._bit("TRIG"), "GATE": draw.choice([BIT_ONE, self._bit("GATE")]),
                    "TRIG_EDGE": draw.choice([0, 0, 1, 2]),
                    "SHIFT_SUM": draw.choice([0, 0, 0, 1, 8])}  # fmt: skip
        return [*actions, *(("set", "PCAP", 1, *register) for register in captured.items())]

    def _lines(self) -> list[int]:
        draw = self._random
        lines: list[int] = []
        for _ in range(draw.randint(1, 4)):
            repeats, trigger = draw.choice([0, 1, 1, 2, 5, 30]), draw.choice(SEQ_TRIGGERS)
            outputs = draw.getrandbits(12)
            lines += [repeats | trigger << 16 | outputs << 20, self._number()]
            lines += [self._small(20), self._small(30)]
        return lines

    def _enable(self) -> list[Action]:
        draw = self._random
        actions: list[Action] = [
            ("set", kind, number, "ENABLE", self._bit("ENABLE"))
            for kind, number in [*self.blocks, ("PCAP", 1)]
            if kind == "PCAP" or "ENABLE" in BEHAVIOURS[kind]().bit_inputs
        ]
        places = self._positions or [POSITION["INENC", 1, "VAL"]]
        entries = [
            draw.choice([draw.choice(places) << 4 | draw.randint(0, 5), draw.choice(_TIMES)])
            for _ in range(draw.randint(1, 8))
        ]
        actions.append(("arm", entries))
        draw.shuffle(actions)
        return actions

    def _play(self) -> list[Action]:
        """Let time pass, and now and then change something."""
        draw = self._random
        actions: list[Action] = []
        for _ in range(draw.randint(1, 6)):
            actions.append(("run", draw.choice([draw.randint(1, 300), draw.randint(1, 4000)])))
            kind, number = draw.choice(self.blocks)
            changes = [("set", kind, number, *item) for item in self._parameters(kind).items()]
            actions += draw.choice([
                [], [], [], changes[:1], [("move", draw.choice("xyza"), draw.uniform(-0.01, 0.01))],
                [("drive", draw.randint(1, 3), draw.randint(0, 1))], [("read",)], [("disarm",)],
            ])  # fmt: skip
        return actions


class Player:
    """A bench that does actions, and can be compared with another one."""

    def __init__(self, *, leaps: bool, hardware_latency: bool = False) -> None:
        self.bench = Bench(leaps=leaps, hardware_latency=hardware_latency)
        self._sinks: list[Sink] = []

    def do(self, action: Action) -> Any:
        """Do one thing, and return what can be seen of it."""
        bench, (what, *how) = self.bench, action
        if what == "set":
            bench.fabric.write_register(*how)
        elif what == "table":
            words = np.array(how[2], np.uint32)
            bench.fabric.write_table(how[0], how[1], words, streaming=False, last=True)
        elif what == "run":
            bench.run(how[0])
        elif what == "arm":
            self._sinks.append(Sink())
            bench.fabric.arm(how[0], self._sinks[-1])
        elif what == "disarm":
            bench.fabric.disarm()
        elif what == "move":
            bench.world.axes[how[0]].move(how[1])
        elif what == "drive":
            bench.world.drive("TTLIN", *how)
        return self.snapshot() if what == "read" else self.look()

    def snapshot(self) -> list[list[int]]:
        """Read both buses, which clears their flags."""
        fabric = self.bench.fabric
        return [values.tolist() for values in (*fabric.read_bits(), *fabric.read_positions())]

    def look(self) -> dict[str, Any]:
        """Return everything that can be seen from outside or decides what happens next."""
        engine = self.bench.fabric._engine
        instances = list(engine.wiring.instances.items())
        return {
            "tick": self.bench.fabric.tick,
            "outputs": {key: dict(instance.outputs) for key, instance in instances},
            "wakes": {key: instance.wake for key, instance in instances},
            "agenda": {
                tick: {(one.block, one.number): changes for one, changes in calls.items()}
                for tick, calls in engine.agenda.calls.items()
            },
            "levels": dict(self.bench.world._levels),
            "flags": (engine.wiring.bits.changed, engine.wiring.positions.changed),
            "data": [sink.data for sink in self._sinks],
            "completions": [sink.completion for sink in self._sinks],
        }
