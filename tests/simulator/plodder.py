"""A box that calls every block at every tick and looks all inputs up in the past."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from panda_simulator.behaviours import BEHAVIOURS, Inenc, InputPort, Pcap, TableBlock, Track
from panda_simulator.clock import SteppedClock
from panda_simulator.hardware import BIT_ONE, BIT_ZERO, POSITION_ZERO
from panda_simulator.world import World

from .conftest import BIT, BLOCKS, POSITION

Key = tuple[str, int]


class _View:
    """Both buses as PCAP sees them, some ticks late."""

    def __init__(self, box: Plodder, hop: int) -> None:
        self._box = box
        self._hop = hop

    def position(self, index: int, tick: int) -> int:
        return self._box.positions_at(tick - self._hop)[index]

    def track(self, index: int) -> Track | None:
        del index
        return None

    def bits(self, word: int, tick: int) -> int:
        bits = self._box.bits_at(tick - self._hop)
        return sum(bits[32 * word + bit] << bit for bit in range(32))


class Plodder:
    """The same blocks as a fabric has, of the kinds that are named and those that it needs."""

    def __init__(self, kinds: set[str], *, bit: int, position: int, capture: int, sample: int):
        self.tick = -1
        self.world = World(SteppedClock())
        self.pcap = Pcap(_View(self, sample))
        self.data = b""
        self._hops = bit, position, capture
        self._bits: list[list[int]] = []
        self._positions: list[list[int]] = []
        self.blocks: dict[Key, Any] = {
            (kind, number): self.pcap if kind == "PCAP" else BEHAVIOURS[kind]()
            for kind in sorted({*kinds, "PCAP", "INENC", "TTLIN"})
            for number in range(1, BLOCKS[kind] + 1)
        }
        self.outputs: dict[Key, dict[str, int]] = {key: {} for key in self.blocks}
        self._inputs: dict[Key, dict[str, int]] = {key: {} for key in self.blocks}
        self._delays: dict[tuple[str, int, str], int] = defaultdict(int)
        self._sources: dict[tuple[str, int, str], list[tuple[int, int]]] = {
            (*key, name): [(-1, BIT_ZERO if name in block.bit_inputs else POSITION_ZERO)]
            for key, block in self.blocks.items()
            if not isinstance(block, InputPort)
            for name in (*block.bit_inputs, *block.position_inputs)
        }
        self._due: dict[Key, dict[str, int]] = defaultdict(dict)
        for number, track in self.world.encoders.items():
            self.blocks["INENC", number].connect(track)
        for key, block in self.blocks.items():
            if isinstance(block, Inenc):
                block.listened = True
            self._due[key].update(dict.fromkeys((*block.bit_inputs, *block.position_inputs), 0))
        self.world.attach(self)
        self.step()

    def bits_at(self, tick: int) -> list[int]:
        return self._bits[tick] if tick >= 0 else [0] * BIT_ONE + [1]

    def positions_at(self, tick: int) -> list[int]:
        return self._positions[tick] if tick >= 0 else [0] * (POSITION_ZERO + 1)

    def step(self) -> None:
        """Let a tick pass."""
        tick = self.tick = self.tick + 1
        for key, block in self.blocks.items():
            changes = self._due.pop(key, {})
            for name, seen in self._seen(key, block, tick).items():
                if self._inputs[key].get(name, 0) != seen:
                    self._inputs[key][name] = changes[name] = seen
            self.outputs[key].update(block.update(tick, changes)[0])
        bits, positions = [*[0] * BIT_ONE, 1], [0] * (POSITION_ZERO + 1)
        for (kind, number, field), index in BIT.items():
            bits[index] = self.outputs.get((kind, number), {}).get(field, 0)
        for (kind, number, field), index in POSITION.items():
            block = self.blocks.get((kind, number))
            outputs = self.outputs.get((kind, number), {})
            positions[index] = block.at(tick) if isinstance(block, Inenc) else outputs.get(field, 0)
        self._bits.append(bits)
        self._positions.append(positions)
        self.data += self.pcap.take_samples(tick)

    def _seen(self, key: Key, block: Any, tick: int) -> Mapping[str, int]:
        bit, position, capture = self._hops
        seen: dict[str, int] = {}
        if isinstance(block, InputPort):
            return seen
        for name in block.bit_inputs:
            then = tick - self._delays[(*key, name)] - (capture if key[0] == "PCAP" else bit)
            seen[name] = self.bits_at(then)[self._source(key, name, then)]
        for name in block.position_inputs:
            then = tick - position
            seen[name] = self.positions_at(then)[self._source(key, name, then)]
        return seen

    def _source(self, key: Key, name: str, tick: int) -> int:
        sources = self._sources[(*key, name)]
        return next((to for since, to in reversed(sources) if since <= tick), sources[0][1])

    # What a player does

    def write(self, kind: str, number: int, register: str, value: int) -> None:
        """Write a register, which takes a tick."""
        key, name = (kind, number), register.removesuffix("_DELAY")
        if (*key, register) in self._sources:
            self._sources[(*key, register)].append((self.tick + 1, value))
        elif name != register and (*key, name) in self._sources:
            self._delays[(*key, name)] = value
        else:
            self._due[key][register] = value
        self.step()

    def table(self, kind: str, number: int, words: list[int]) -> None:
        """Load a whole table."""
        block = self.blocks[kind, number]
        assert isinstance(block, TableBlock)
        self.write(kind, number, "TABLE_LENGTH", 0)
        block.stage(words)
        self.write(kind, number, "TABLE_LENGTH", len(words))

    def arm(self, entries: list[int]) -> None:
        """Arm PCAP."""
        self.pcap.load(entries)
        self.write("PCAP", 1, "ARM", 0)

    # What the world does (world.Box)

    def present(self) -> int:
        return self.tick

    def begin_change(self) -> int:
        return self.tick + 1

    def encoder_changed(self, number: int, tick: int) -> None:
        """Do nothing: everything is looked at anyway."""

    def fibre_laid(self, source: tuple[str, int], target: tuple[str, int]) -> None:
        raise AssertionError(f"no fibre is laid here: {source} to {target}")

    def encoder_cabled(self, number: int, output: int) -> None:
        raise AssertionError(f"no encoder cable is laid here: OUTENC{output} to INENC{number}")

    def encoder_plugged(self, number: int, track: Track) -> None:
        """Do nothing: nobody does."""

    def output_observed(self, block: str, number: int) -> None:
        """Do nothing: nobody does."""

    def wake_at(self, tick: int, then: Callable[[int], None] | None = None) -> None:
        """Do nothing: no tick is left out."""
        assert then is None

    def level_driven(self, block: str, number: int, level: int, tick: int | None = None) -> None:
        assert tick is None
        self._due[block, number]["LEVEL"] = level
        self.step()
