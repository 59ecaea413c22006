"""Drives one block tick by tick: JSON stimuli in, JSON outputs out, no bus and no clock.

Source: trace_protocol.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TextIO, TypeAlias

from panda_simulator.behaviours import (
    BEHAVIOURS,
    Behaviour,
    Pcap,
    Posenc,
    Qdec,
    TableBlock,
    signed,
)

Message: TypeAlias = dict[str, Any]

_MASK = 0xFFFFFFFF
_STREAM = "DATA"


class TraceBus:
    """Both buses as PCAP sees them: arrays that stimuli change."""

    def __init__(self) -> None:
        self.positions = [0] * 32
        self.words = [0] * 4

    def position(self, index: int, tick: int) -> int:
        """Return a position (CaptureBus.position)."""
        del tick
        return self.positions[index]

    def track(self, index: int) -> None:
        """Return nothing: stimuli are no track (CaptureBus.track)."""
        del index

    def bits(self, word: int, tick: int) -> int:
        """Return a bit word (CaptureBus.bits)."""
        del tick
        return self.words[word]

    def apply(self, bits: Mapping[str, int], positions: Mapping[str, int]) -> None:
        """Take the changes of one stimulus."""
        for index, value in positions.items():
            self.positions[int(index)] = signed(value)
        for index, value in bits.items():
            word, bit = divmod(int(index), 32)
            self.words[word] = self.words[word] & ~(1 << bit) | (value & 1) << bit


_BLOCKS: dict[str, Callable[[TraceBus], Behaviour]] = {
    **{name: lambda _, make=make: make() for name, make in BEHAVIOURS.items()},
    "PCAP": lambda bus: Pcap(bus, word_by_word=True),
    "POSENC": lambda _: Posenc(),
    "QDEC": lambda _: Qdec(),
}


class Session:
    """One fresh block and the ticks of its life so far."""

    def __init__(self, name: str) -> None:
        """Make a block in its power-up state.

        Raises:
            KeyError: there is no such block.
        """
        self._bus = TraceBus()
        self._block = _BLOCKS[name](self._bus)
        self._wake: int | None = None
        self._outputs: dict[str, int] = {}
        self.tick = 0

    def stimulus(self, message: Message) -> Iterator[Message]:
        """Run up to the tick of a stimulus and give it to the block; yield output lines.

        Raises:
            ValueError: the tick is not later than the one before.
        """
        tick = int(message["t"])
        if tick <= self.tick:
            raise ValueError(f"t is {tick}, but has to come after {self.tick}")
        yield from self.run(tick - 1)
        self._bus.apply(message.get("bits", {}), message.get("pos", {}))
        changes: dict[str, int] = {}
        for name, value in message.get("set", {}).items():
            if name == "TABLE":
                if isinstance(self._block, TableBlock):
                    self._block.stage([int(word) & _MASK for word in value])
            elif name in self._block.position_inputs:
                changes[name] = signed(int(value))
            elif name in self._block.bit_inputs:
                changes[name] = int(value) & 1
            else:
                changes[name] = int(value) & _MASK
        yield from self._update(tick, changes)

    def run(self, tick: int) -> Iterator[Message]:
        """Run quietly up to and including a tick; yield output lines."""
        while self._wake is not None and self._wake <= tick:
            yield from self._update(self._wake, {})
        self.tick = max(self.tick, tick)

    def _update(self, tick: int, changes: dict[str, int]) -> Iterator[Message]:
        self.tick = tick
        outputs, self._wake = self._block.update(tick, changes)
        out = {
            name: value
            for name, value in outputs.items()
            if name == _STREAM or self._outputs.get(name, 0) != value
        }
        self._outputs.update(outputs)
        if out:
            yield {"t": tick, "out": out}


class Trace:
    """A sequence of sessions; an error ends the one it happens in."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._failed = False

    def receive(self, line: str) -> Iterator[Message]:
        """Take one input line and yield what it is answered with."""
        try:
            message: Any = json.loads(line)
            yield from self._take(message)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            self._session = None
            self._failed = True
            yield {"error": f"cannot make sense of {line.strip()[:200]}: {error!r}"}

    def _take(self, message: Message) -> Iterator[Message]:
        if "block" in message:
            self._failed = False
            self._session = Session(message["block"])
        elif self._failed:
            self._failed = "end" not in message
        elif self._session is None:
            raise ValueError("no session was started with a block")
        elif "end" in message:
            end = int(message["end"])
            yield from self._session.run(end)
            yield {"done": end}
            self._session = None
        else:
            yield from self._session.stimulus(message)


def main(stdin: TextIO, stdout: TextIO) -> None:
    """Answer sessions until the end of the input.

    Args:
        stdin: one JSON object a line.
        stdout: gets the answers, flushed after each input line that has one.
    """
    trace = Trace()
    for line in stdin:
        if not line.strip():
            continue
        answers = [json.dumps(answer) for answer in trace.receive(line)]
        if answers:
            stdout.write("\n".join(answers) + "\n")
            stdout.flush()
