"""FILTER: difference or mean of a position.

Source: blocks.md 5.6.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.average import Average
from panda_simulator.behaviours.base import Step, earliest, signed


class Filter:
    """Mean since the rising ENABLE, or difference since the trigger before.

    A mode that is not chosen keeps what it has: its sum, or its reference. A division that
    has begun goes on, but its result comes out in the average mode only.
    """

    bit_inputs: tuple[str, ...] = ("ENABLE", "TRIG")
    position_inputs: tuple[str, ...] = ("INP",)

    def __init__(self) -> None:
        self._set: dict[str, int] = {"ENABLE": 0, "TRIG": 0, "INP": 0, "MODE": 0}
        self._reference = 0
        self._average = Average()

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        now, average = self._set, self._average
        enable, trig = now["ENABLE"], now["TRIG"]
        if now["MODE"] & 1:
            average.repeat(tick - 1, now["INP"])
        average.sum.advance(tick - 1, now["INP"])
        now.update(changes)
        rising = now["ENABLE"] > enable
        if now["MODE"] & 1:
            average.update(tick, trigger=bool(now["TRIG"] and enable), rising=rising)
            average.sum.follow(tick, now["INP"], restart=rising, before=enable, now=now["ENABLE"])
            wake = average.wake(tick, trigger=bool(now["TRIG"] and now["ENABLE"]))
        else:
            halted = average.halted
            average.go_on(tick, rising=rising)
            average.sum.stop()
            wake = average.wake(tick)
            wake = earliest(wake, self._difference(tick, rising, now["TRIG"] > trig, halted))
        wake = earliest(wake, average.sum.overflows_at(tick, now["INP"]))
        return {"OUT": average.out, "READY": average.ready, "HEALTH": average.health}, wake

    def _difference(self, tick: int, rising: bool, trigger: bool, halted: bool) -> int | None:
        average = self._average
        if rising:
            self._reference = self._set["INP"]
        elif trigger:
            if not halted:
                average.out = signed(self._set["INP"] - self._reference)
                average.ready = 1
            self._reference = self._set["INP"]
        else:
            average.ready = 0
        return tick + 1 if average.ready else None
