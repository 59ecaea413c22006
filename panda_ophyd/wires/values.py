"""Wires: what a technique needs connected and set, as an ordered mapping with a reason each.

Targets and texts are those on the wire, ``SEQ1.POSA`` and ``INENC1.VAL``. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from typing_extensions import override

from panda_ophyd.errors import FieldValueError

RAW = ".RAW"
OFF = "ZERO"


@dataclass(frozen=True)
class Wire:
    """One setting.

    Attributes:
        target: ``PCAP.TRIG``.
        value: ``SEQ1.OUTA``.
        purpose: what it is for, in words that end a sentence: "so that ...".
    """

    target: str
    value: str
    purpose: str


class Wires(Mapping[str, str]):
    """Target to text of everything that a technique needs, in the order to write it.

    First what stops a block, then units, then values and wires, last what starts one.

    Args:
        wires: each target once, or more than once with the same value.

    Raises:
        FieldValueError: two of them want the same target otherwise.
    """

    def __init__(self, *wires: Wire) -> None:
        found: dict[str, Wire] = {}
        for wire in wires:
            before = found.setdefault(wire.target, wire)
            if before.value != wire.value:
                reason = (
                    f"it has to be {before.value}, {before.purpose}; two users of one input: "
                    "give one of them another block"
                )
                raise FieldValueError(wire.target, f"{wire.value} ({wire.purpose})", reason)
        self._wires = {wire.target: wire for wire in sorted(found.values(), key=_turn)}

    @classmethod
    def of(cls, settings: Mapping[str, str], purpose: str) -> Wires:
        """Return wires of settings that another part has worked out.

        A time of 0 ticks is one of 0 in any units; what only acts once (FORCE_RST) is no wire.
        """
        return cls(
            *(
                Wire(target.removesuffix(RAW), value, purpose)
                for target, value in settings.items()
                if value and (value == "0" or not target.endswith(RAW))
            )
        )

    @override
    def __getitem__(self, target: str) -> str:
        return self._wires[target].value

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._wires)

    @override
    def __len__(self) -> int:
        return len(self._wires)

    @override
    def __repr__(self) -> str:
        return f"Wires({dict(self)!r})"

    def __or__(self, other: Wires) -> Wires:
        """Return both; the same target may not be wanted otherwise.

        Raises:
            FieldValueError: see the class.
        """
        return Wires(*self._wires.values(), *other._wires.values())

    def only(self, target: str) -> Wires:
        """Return the wire of one target."""
        return Wires(self._wires[target])

    def without(self, *targets: str) -> Wires:
        """Return all but these."""
        return Wires(*(wire for name, wire in self._wires.items() if name not in targets))

    def purpose(self, target: str) -> str:
        """Return what a wire is for."""
        return self._wires[target].purpose


def starts_a_block(target: str) -> bool:
    """Whether a target is the input that makes a block act."""
    return target.endswith(".ENABLE")


def _turn(wire: Wire) -> int:
    if starts_a_block(wire.target):
        return 0 if wire.value == OFF else 3
    return 1 if wire.target.endswith(".UNITS") else 2
