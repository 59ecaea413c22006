"""Drives one block tick by tick: JSON stimuli in, JSON outputs out, no bus and no clock.

Source: trace_protocol.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TextIO, TypeAlias, cast

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
_MORE = 1 << 31


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

    def apply(self, bits: Mapping[int, int], positions: Mapping[int, int]) -> None:
        """Take the changes of one stimulus."""
        for index, value in positions.items():
            self.positions[index] = signed(value)
        for index, value in bits.items():
            word, bit = divmod(index, 32)
            self.words[word] = self.words[word] & ~(1 << bit) | (value & 1) << bit


_BLOCKS: dict[str, Callable[[TraceBus], Behaviour]] = {
    **{name: lambda _, make=make: make() for name, make in BEHAVIOURS.items()},
    "PCAP": lambda bus: Pcap(bus, word_by_word=True),
    "POSENC": lambda _: Posenc(),
    "QDEC": lambda _: Qdec(),
}


_ORDER = tuple(sorted(_BLOCKS))
_BUSES = {"bits": 128, "pos": 32}
_LAST = (1 << 62) - 1
"""Beyond any session; blocks count in 64 bits."""


class Session:
    """One fresh block and the ticks of its life so far."""

    def __init__(self, name: object) -> None:
        """Make a block in its power-up state.

        Raises:
            ValueError: there is no such block.
        """
        if not isinstance(name, str) or name not in _BLOCKS:
            raise ValueError(f"no block {name!r}: choose one of {', '.join(_ORDER)}")
        self._bus = TraceBus()
        self._block = _BLOCKS[name](self._bus)
        self._wake: int | None = None
        self._outputs: dict[str, int] = {}
        self.tick = 0

    def stimulus(self, message: Message) -> Iterator[Message]:
        """Run up to the tick of a stimulus and give it to the block; yield output lines.

        Raises:
            ValueError: the tick is not later than the one before, or something is no number
                where there should be one, or there is no such place on a bus.
        """
        tick = _whole(message.get("t"), "t", 0, _LAST)
        if tick <= self.tick:
            raise ValueError(f"t is {tick}, but has to come after {self.tick}")
        bits, positions = (_places(message, name) for name in _BUSES)
        changes = self._changes(_part(message, "set"))
        yield from self.run(tick - 1)
        self._bus.apply(bits, positions)
        yield from self._update(tick, changes)

    def _changes(self, given: Mapping[str, Any]) -> dict[str, int]:
        table = given.get("TABLE")
        if table is not None and isinstance(self._block, TableBlock):
            self._block.stage(_table(table, given.get("TABLE_LENGTH")))
        changes: dict[str, int] = {}
        for name, value in given.items():
            if name == "TABLE":
                continue
            number = _whole(value, name)
            if name in self._block.position_inputs:
                changes[name] = signed(number)
            elif name in self._block.bit_inputs:
                changes[name] = number & 1
            else:
                changes[name] = number & _MASK
        return changes

    def end(self, message: Message) -> Iterator[Message]:
        """Run up to the end of the session; yield output lines, and that it is done.

        Raises:
            ValueError: the end is before the last stimulus.
        """
        tick = _whole(message["end"], "end", 0, _LAST)
        if tick < self.tick:
            raise ValueError(f"end is {tick}, but time has come to {self.tick} already")
        yield from self.run(tick)
        yield {"done": tick}

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


def _whole(value: object, name: str, lowest: int = -(1 << 31), highest: int = _MASK) -> int:
    """Return a number that is one: neither a boolean nor a float."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} is {json.dumps(value)}, but has to be a whole number")  # noqa: TRY004
    if not lowest <= value <= highest:
        raise ValueError(f"{name} is {value}, but has to be in {lowest} ... {highest}")
    return value


def _part(message: Message, name: str) -> Mapping[str, Any]:
    part = message.get(name, {})
    if not isinstance(part, dict):
        raise ValueError(f"{name} is {json.dumps(part)}, but has to be an object")  # noqa: TRY004
    return cast("Mapping[str, Any]", part)


def _places(message: Message, name: str) -> dict[int, int]:
    """Return what goes where on a bus."""
    places: dict[int, int] = {}
    for key, value in _part(message, name).items():
        if not (key.isascii() and key.isdecimal() and int(key) < _BUSES[name]):
            raise ValueError(f"{name} has no entry {key!r}: they are 0 to {_BUSES[name] - 1}")
        places[int(key)] = _whole(value, f"{name} {key}")
    return places


def _table(words: object, length: object) -> list[int]:
    if not isinstance(words, list):
        raise ValueError(f"TABLE is {json.dumps(words)}, but has to be a list of words")  # noqa: TRY004
    table = [_whole(word, "a word of TABLE") & _MASK for word in cast("list[object]", words)]
    if _whole(length, "TABLE_LENGTH") & _MORE - 1 != len(table):
        raise ValueError(f"TABLE_LENGTH is {length}, but TABLE has {len(table)} words")
    return table


class Trace:
    """A sequence of sessions; an error ends the one it happens in."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._failed = False

    def receive(self, line: str) -> Iterator[Message]:
        """Take one input line and yield what it is answered with."""
        try:
            message: Any = json.loads(line)
            if not isinstance(message, dict):
                raise ValueError("it is no JSON object")  # noqa: TRY004, TRY301
            yield from self._take(cast("Message", message))
        except (ValueError, RecursionError) as error:
            if not self._failed:
                self._failed = True
                self._session = None
                yield {"error": f"cannot make sense of {line.strip()[:200]}: {error}"}

    def _take(self, message: Message) -> Iterator[Message]:
        if "block" in message:
            self._failed = False
            self._session = Session(message["block"])
        elif self._failed:
            self._failed = "end" not in message
        elif self._session is None:
            raise ValueError("no session was started with a block")
        elif "end" in message:
            yield from self._session.end(message)
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
        answered = False
        for answer in trace.receive(line):
            stdout.write(json.dumps(answer) + "\n")
            answered = True
        if answered:
            stdout.flush()
