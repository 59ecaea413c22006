"""What a box says of itself, and which of its fields a test may use.

Source: protocol.md 2.3 (`*BLOCKS`), 3.1, 4.1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import pytest

from .wire import Address, Control

LOUD = ("TTLOUT", "LVDSOUT", "OUTENC", "SFP", "FMC", "SYSTEM", "INENC", "TTLIN", "PCAP", "US")
"""Blocks that reach the outside: used last on a box that has others."""
SAFE_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a block type."""

    block: str
    count: int
    name: str
    seq: int
    cls: str
    subtype: str

    @property
    def info(self) -> str:
        return f"{self.cls} {self.subtype}".rstrip()

    @property
    def instances(self) -> list[str]:
        """Targets of all instances, as the server reports them."""
        if self.count == 1:
            return [f"{self.block}.{self.name}"]
        return [f"{self.block}{n}.{self.name}" for n in range(1, self.count + 1)]

    @property
    def bare(self) -> str:
        return f"{self.block}.{self.name}"


class Survey:
    """Blocks, fields and lists of one box, asked for when needed."""

    def __init__(self, address: Address, *, ours: bool, simulated: bool = False) -> None:
        """Ask for blocks and fields.

        Args:
            address: where the box is.
            ours: whether it may be changed in ways that cannot be put back.
            simulated: whether it is a simulator made for this run.
        """
        self.address = address
        self.ours = ours
        self.simulated = simulated
        self.silent = False
        """Whether it was found to capture nothing."""
        with Control(address) as control:
            self.counts = {
                name: int(count) for name, count in map(str.split, control.lines("*BLOCKS"))
            }
            listings = control.ask_all(f"{block}.*?" for block in self.counts)
            self.fields: list[Field] = []
            for (block, count), lines in zip(self.counts.items(), listings, strict=True):
                assert isinstance(lines, list)
                for line in lines:
                    name, seq, cls, *subtype = line.split(" ")
                    self.fields.append(Field(block, count, name, int(seq), cls, " ".join(subtype)))
            self.fields.sort(key=lambda f: (f.block.startswith(LOUD), f.block, f.seq))
            self.metadata = control.lines("*METADATA.*")
            self.clock = int(control.value("*CLOCK_FREQ"))
            self.captured = control.lines("*CAPTURE.*")
            self.positions = control.lines("*POSITIONS")
            self.bits = control.lines("*BITS")
            time.sleep(0 if simulated else 0.3)  # those of an earlier run may just have left
            self._strangers = data_clients(control)

    def strangers(self, control: Control) -> int:
        """Count the data clients that are not ours; ours may take 200 ms to be forgotten."""
        deadline = time.monotonic() + 1.0
        while (count := data_clients(control)) > self._strangers and time.monotonic() < deadline:
            time.sleep(0.01)
        self._strangers = count
        return count

    def of(self, info: str) -> list[Field]:
        """All fields of ``class`` or ``class subtype``; the quiet ones first."""
        return [field for field in self.fields if info in {field.info, field.cls}]

    def targets(self, info: str, accept: Callable[[Control, str], bool] | None = None) -> list[str]:
        """Instances of a kind that can be used, one of each field before the second of any."""
        return list(self._candidates(info, accept))

    def one(self, info: str, accept: Callable[[Control, str], bool] | None = None) -> str:
        """Return a target of a kind, or skip the test."""
        for target in self._candidates(info, accept):
            return target
        pytest.skip(f"this box has no {info} that would do")

    def two(self, info: str, accept: Callable[[Control, str], bool] | None = None) -> list[str]:
        found = self.targets(info, accept)
        if len(found) < 2:
            pytest.skip(f"this box has only {len(found)} {info} that would do")
        return found[:2]

    def _candidates(
        self, info: str, accept: Callable[[Control, str], bool] | None
    ) -> Iterator[str]:
        fields = self.of(info)
        with Control(self.address) as control:
            for number in range(max((field.count for field in fields), default=0)):
                for field in fields:
                    if number < field.count:
                        target = field.instances[number]
                        if accept is None or accept(control, target):
                            yield target

    def block(self, *, several: bool) -> str:
        """Return a block with one or several instances, or skip."""
        for name, count in self.counts.items():
            if (count > 1) == several:
                return name
        pytest.skip(f"this box has no block with {'several' if several else 'one'} instances")

    @cached_property
    def applications(self) -> set[str]:
        """What the constant metadata say; the application is among them if it is known."""
        with Control(self.address) as control:
            replies = control.ask_all(f"*METADATA.{key}?" for key in self.metadata)
        return {r.removeprefix("OK =") for r in replies if isinstance(r, str)}


def data_clients(control: Control) -> int:
    """Data clients past their option line."""
    return int(control.value("*PCAP.STATUS").split(" ")[1])


def readable(control: Control, target: str) -> bool:
    reply = control.ask(f"{target}?")
    return not isinstance(reply, str) or reply.startswith("OK")


def exact(text: str) -> bool:
    """Whether a number is printed in full, so that writing the text puts it back."""
    digits = text.lower().partition("e")[0].lstrip("+-0.").replace(".", "")
    return len(digits) <= SAFE_DIGITS


def restorable_position(control: Control, target: str) -> bool:
    return all(exact(control.value(f"{target}.{key}")) for key in ("SCALE", "OFFSET"))


def fixed_table(control: Control, target: str) -> bool:
    """Whether a table can be read, and so be put back."""
    reply = control.ask(f"{target}.MODE?")
    return isinstance(reply, str) and reply in {"OK =INIT", "OK =FIXED"}


def streaming_table(control: Control, target: str) -> bool:
    """Whether a table can be put back and takes streams.

    An empty segment is refused by both kinds of table, for different reasons.
    """
    return fixed_table(control, target) and control.table(target, "<") == (
        "ERR Streaming table must have data"
    )


def short_table(control: Control, target: str) -> bool:
    return fixed_table(control, target) and control.table(target, "<") == (
        "ERR Table do not support streaming mode"
    )
