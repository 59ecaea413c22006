"""Several connections to one host, what they do in turn, and the lines that they get.

Source: protocol.md 1.2 to 1.5, 2.2, 5.2.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from .grammar import Command, Grammar
from .rig import wait_until
from .wire import Address, Control, HungUpError, to_bytes, to_text

PEERS = 3
HISTORY = ("*PCAP.STATUS", "*PCAP.CAPTURED", "*PCAP.COMPLETION")
"""What earlier acquisitions and other clients leave behind."""
_SHAPE = re.compile(r"OK|OK =[^\n]*|ERR [^\n]+|![^\n]*|\.")


@dataclass(frozen=True, slots=True)
class Batch:
    """Commands of one connection, sent in pieces without waiting for replies."""

    who: int
    commands: tuple[Command, ...]
    cuts: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """A table whose body stays open while others speak; then it is ended, or dropped."""

    who: int
    target: str
    form: str
    begun: tuple[str, ...]
    meanwhile: tuple[Batch, ...]
    rest: tuple[str, ...] | None
    """Lines that end it; None closes the connection."""


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line that no server takes."""

    who: int
    length: int


Step = Batch | Hold | TooLong


def steps(grammar: Grammar) -> st.SearchStrategy[list[Step]]:
    """Sessions of three connections."""
    whose = st.integers(0, PEERS - 1)
    cuts = st.lists(st.floats(0, 1), max_size=4).map(lambda some: tuple(sorted(some)))
    batches = st.builds(
        Batch, whose, st.lists(grammar.commands(), min_size=1, max_size=8).map(tuple), cuts
    )
    kinds: list[st.SearchStrategy[Step]] = [batches] * 8
    kinds.append(st.builds(TooLong, whose, st.sampled_from([1023, 1024, 3000])))
    tables = [(t, each.bare) for each in grammar.of("table") for t in each.instances]
    if tables:
        kinds.append(st.sampled_from(tables).flatmap(lambda table: holds(grammar, *table, batches)))
    return st.lists(st.one_of(kinds), min_size=6, max_size=16)


def holds(
    grammar: Grammar, target: str, bare: str, batches: st.SearchStrategy[Batch]
) -> st.SearchStrategy[Hold]:
    @st.composite
    def hold(draw: st.DrawFn) -> Hold:
        who = draw(st.integers(0, PEERS - 1))
        form = draw(st.sampled_from(["", "B"]))
        body = draw(grammar.bodies(grammar.row_words[bare], binary=form == "B"))
        at = draw(st.integers(0, len(body)))
        meanwhile = draw(st.lists(batches, min_size=1, max_size=2))
        others = grammar.tables([(target, bare)])
        meanwhile.append(Batch(0, (draw(others), Command((f"{target}?",)))))
        free = [other for other in range(PEERS) if other != who]
        return Hold(
            who,
            target,
            form,
            body[:at],
            tuple(Batch(free[b.who % len(free)], b.commands, b.cuts) for b in meanwhile),
            draw(st.sampled_from([(*body[at:], ""), (*body[at:], ""), None])),
        )

    return hold()


def count(step: Step) -> int:
    """Commands in a step."""
    if isinstance(step, Batch):
        return len(step.commands)
    if isinstance(step, Hold):
        return 1 + sum(map(count, step.meanwhile))
    return 1


Exchange = tuple[Command, list[str]]
"""A command, and the lines of its reply as they came."""


class Host:
    """Connections to one host, which does steps."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.probe = Control(address)
        self.peers = [self._open() for _ in range(PEERS)]

    def close(self) -> None:
        for peer in (*self.peers, self.probe):
            peer.close()

    def _open(self) -> Control:
        """Connect, and wait until the session has begun."""
        peer = Control(self.address)
        assert peer.ask("*ECHO begun?") == "OK =begun"
        return peer

    def _again(self, who: int) -> None:
        self.peers[who].close()
        self.peers[who] = self._open()

    def do(self, step: Step) -> Iterator[Exchange]:
        """Do a step; every command has one reply, in order, of a valid shape."""
        if isinstance(step, Batch):
            yield from self._batch(step)
        elif isinstance(step, Hold):
            yield from self._hold(step)
        else:
            yield from self._too_long(step)

    def _batch(self, batch: Batch) -> Iterator[Exchange]:
        peer = self.peers[batch.who]
        data = b"".join(
            to_bytes(line) + b"\n" for command in batch.commands for line in command.lines
        )
        ends = [0, *(int(cut * len(data)) for cut in batch.cuts), len(data)]
        for start, end in itertools.pairwise(ends):
            peer.send(data[start:end])
        for command in batch.commands:
            yield command, reply_lines(peer)

    def _hold(self, step: Hold) -> Iterator[Exchange]:
        peer = self.peers[step.who]
        peer.put(f"{step.target}<{step.form}", *step.begun)
        self._until_held(step.target, held=True)
        for batch in step.meanwhile:
            yield from self._batch(batch)
        command = Command((f"{step.target}<{step.form}", *step.begun, *(step.rest or ())))
        if step.rest is None:
            self._again(step.who)
            self._until_held(step.target, held=False)
            return
        peer.put(*step.rest)
        yield command, reply_lines(peer)

    def _until_held(self, table: str, *, held: bool) -> None:
        wanted = "ERR Table currently being written" if held else "ERR Number missing"
        wait_until(lambda: self.probe.table(table, "", "x") == wanted, f"{table} is held: {held}")

    def _too_long(self, step: TooLong) -> Iterator[Exchange]:
        peer = self.peers[step.who]
        line = "x" * step.length
        peer.put(line)
        try:
            found = peer.rest()
        except HungUpError:
            found = b""
        self._again(step.who)
        yield Command((line,)), [to_text(found)]


def reply_lines(peer: Control) -> list[str]:
    """One reply, line by line, its shape checked."""
    lines = [to_text(peer.line())]
    while lines[-1].startswith("!"):
        lines.append(to_text(peer.line()))
    for line in lines:
        assert _SHAPE.fullmatch(line), f"no reply: {line!r}"
    assert len(lines) == 1 or lines[-1] == "."
    return lines


class Volatile:
    """What two hosts may answer differently: times, versions, and what differs to begin with."""

    def __init__(self, hosts: Sequence[Address]) -> None:
        readings: list[dict[str, str]] = []
        for address in hosts:
            with Control(address) as control:
                groups = (control.lines(f"*CHANGES.{name}") for name in ("READ", "BITS", "POSN"))
                found = {re.split(r"=| \(", line)[0]: line for lines in groups for line in lines}
                found |= {name: control.value(name) for name in HISTORY}
                readings.append(found)
        names = set[str]().union(*readings)
        self.names = {name for name in names if len({r.get(name) for r in readings}) > 1}

    def steady(self, command: Command, lines: list[str]) -> list[str]:
        """The lines without what may differ."""
        target = command.target
        if target.startswith(HISTORY) and set(HISTORY) & self.names:
            return [lines[0] if lines[0].startswith("ERR") else "(history)"]
        if target == "*WHO" or target.startswith("*IDN"):
            return [lines[0] if lines[0].startswith("ERR") else lines[0][:1]]
        if target.removesuffix(".SCALED").removesuffix(".RAW") in self.names:
            return ["(a reading)"]
        if target.startswith("*CHANGES"):
            return [line for line in lines if re.split(r"=| \(", line[1:])[0] not in self.names]
        return lines
