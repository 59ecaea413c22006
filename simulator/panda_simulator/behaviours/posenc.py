"""POSENC: the quadrature and step generator inside OUTENC.

Source: blocks.md 3.4.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.base import Step, signed

_LINES = ((0, 0), (1, 0), (1, 1), (0, 1))
DISABLED, AT_POSITION, SLEWING = range(3)


class Posenc:
    """Follows a position, one count at each active tick of a free running step clock."""

    bit_inputs: tuple[str, ...] = ("ENABLE",)
    position_inputs: tuple[str, ...] = ("INP",)

    def __init__(self) -> None:
        self._set: dict[str, int] = {"ENABLE": 0, "INP": 0, "PERIOD": 0, "PROTOCOL": 0}
        self._origin = 0
        self._tracker = 0
        self._phase = 0
        self._moved: tuple[int, int] | None = None

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        now = self._set
        enabled = now["ENABLE"]
        counted = tick - 1 - self._origin
        if counted > 0:
            counted %= self._period()
        now.update(changes)
        # up to here the step clock has counted with the period that it had
        self._origin = tick - 1 - counted
        if counted >= self._period():
            # the count is past the period already, and goes through all 32 bits first
            self._origin += 1 << 32
        stepped = self._moved is not None and self._moved[0] == tick - 1
        if not now["ENABLE"]:
            self._tracker = self._phase = 0
            self._moved = None
            self._strobe(tick, changes)
            # the pulse of the last step still comes out
            pulse = stepped and bool(now["PROTOCOL"] & 1)
            outputs = {"A": int(pulse), "B": 0, "STATE": DISABLED}
            return outputs, tick + 1 if pulse else None
        if self._moved and self._moved[0] < tick:
            self._phase = (self._phase + self._moved[1]) % 4
            self._moved = None
        direction = int(self._tracker >= now["INP"])
        state = AT_POSITION
        if not enabled:
            self._tracker = now["INP"]
        elif self._tracker != now["INP"]:
            state = SLEWING
            if self._active(tick):
                self._move(tick)
        self._strobe(tick, changes)
        lines = (int(stepped), direction) if now["PROTOCOL"] & 1 else _LINES[self._phase]
        again = stepped or not enabled
        return {"A": lines[0], "B": lines[1], "STATE": state}, self._wake(tick, again)

    def _move(self, tick: int) -> None:
        step = 1 if self._tracker < self._set["INP"] else -1
        self._tracker = signed(self._tracker + step)
        self._moved = tick, step

    def _strobe(self, tick: int, changes: Mapping[str, int]) -> None:
        # At the tick of the strobe the step clock is at its old count, with the new period.
        if "PERIOD" in changes:
            self._origin = tick

    def _period(self) -> int:
        period = self._set["PERIOD"]
        return 2 if period == 1 and self._set["PROTOCOL"] == 1 else max(period, 1)

    def _active(self, tick: int) -> bool:
        return tick - self._origin == self._period()

    def _wake(self, tick: int, again: bool) -> int | None:
        if self._moved or again:
            return tick + 1
        if self._tracker == self._set["INP"]:
            return None
        if tick < self._origin:
            return self._origin + self._period()
        return tick + self._period() - (tick - self._origin) % self._period()
