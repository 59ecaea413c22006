"""SFPn_SYNC_IN and SFPn_SYNC_OUT: eight bits and four positions over a fibre to another PandA.

A fibre may lead back into the same box. Without one the link is down, and all is 0. The
actions that reset the ends of a link do nothing: a simulated one makes no errors.

Source: blocks.md 3.6, which says nothing of the latency of a link.
"""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import override

from panda_simulator.behaviours.base import Step
from panda_simulator.behaviours.ports import RegisterFile

LINK = "LINK"
"""Whether there is a fibre; as the signals, it comes to the receiver with its name."""

LATENCY = 64
"""Ticks from the transmitter's inputs to the receiver's outputs: some number, as none is known."""

_BITS = tuple(f"BIT{number}" for number in range(1, 9))
_POSITIONS = tuple(f"POS{number}" for number in range(1, 5))
_LINK_DOWN = 1


class SyncInput(RegisterFile):
    """The receiver puts out what comes over the link."""

    def __init__(self) -> None:
        super().__init__({"LINKUP": 0, "HEALTH": _LINK_DOWN, "ERR_CNT": 0})

    @override
    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        del tick
        if LINK in changes:
            self._outputs["LINKUP"] = changes[LINK]
            self._outputs["HEALTH"] = 0 if changes[LINK] else _LINK_DOWN
        for name in (*_BITS, *_POSITIONS):
            if name in changes:
                self._outputs[name] = changes[name]
        return self._outputs, None


class SyncOutput:
    """The transmitter."""

    bit_inputs: tuple[str, ...] = _BITS
    position_inputs: tuple[str, ...] = _POSITIONS

    def __init__(self) -> None:
        self.levels = dict.fromkeys((*_BITS, *_POSITIONS), 0)
        """What it sends."""
        self.sent: dict[str, int] = {}
        """What is new of it since the last call."""

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        del tick
        self.sent = {
            name: value
            for name, value in changes.items()
            if name in self.levels and self.levels[name] != value
        }
        self.levels.update(self.sent)
        return {}, None
