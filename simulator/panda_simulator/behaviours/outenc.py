"""OUTENC: makes encoder lines from a position, answers a master's clock, or passes lines through.

Source: blocks.md 3.4.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.base import Outputs, Step, earliest
from panda_simulator.behaviours.biss import BissSlave
from panda_simulator.behaviours.filters import LineFilter
from panda_simulator.behaviours.generator import Generator
from panda_simulator.behaviours.ssi import SsiSlave

QUADRATURE, SSI, BISS, ENDAT, ABZ_PASSTHROUGH, DATA_PASSTHROUGH = range(6)
ENCODER_CONTROL = 1
"""DCARD_TYPE of the daughter card that drives and reads encoders."""

PIN_CLOCK = "PIN_CLK"
"""The clock of a master at the connector: a level that comes in."""

PINS = ("PIN_A", "PIN_B", "PIN_Z")
"""Levels that go out of the connector; serial data are on the pin of A."""

_NOT_IMPLEMENTED = 2
_RESETS = frozenset(("PROTOCOL", "ENCODING", "BITS"))
_CLOCKED = (SSI, BISS, ENDAT, DATA_PASSTHROUGH)
_PASSED = {ABZ_PASSTHROUGH: ("A", "B", "Z")}


class Outenc:
    """One encoder output.

    What it makes is at the pins one tick later; the clock of a master comes in by a
    filter (LineFilter), which in the protocols without one watches the pin of B.
    """

    bit_inputs: tuple[str, ...] = ("ENABLE", "A", "B", "Z", "DATA")
    position_inputs: tuple[str, ...] = ("VAL",)

    def __init__(self) -> None:
        registers = ("PROTOCOL", "ENCODING", "BITS", "GENERATOR_ERROR", "VAL", PIN_CLOCK)
        self._set: dict[str, int] = dict.fromkeys((*self.bit_inputs, *registers), 0)
        self._generator = Generator()
        self._ssi = SsiSlave()
        self._biss = BissSlave()
        self._slaves: dict[int, SsiSlave | BissSlave] = {
            SSI: self._ssi,
            BISS: self._biss,
            ENDAT: self._ssi,
        }
        self._clock = LineFilter()
        self._pins = (0, 0, 0)
        self._listens = False
        self._health = 0

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        now = self._set
        now.update(changes)
        resets = not _RESETS.isdisjoint(changes)
        clock, pins = self._clock.level, self._made()
        health = self._health_now()
        self._generator.step(
            tick,
            enabled=self._generates(),
            position=now["VAL"],
            period=changes.get("QPERIOD"),
            resets=resets,
        )
        slave = self._slaves.get(now["PROTOCOL"])
        if slave:
            slave.step(tick, now, clock=clock, position=now["VAL"], resets=resets)
        self._clock.update(tick, self._pin_b())
        if resets:
            self._clock.reset()
        # a reset lets go of the pin of the clock for a tick
        self._listens = now["PROTOCOL"] in _CLOCKED and not resets
        self._pins, self._health = pins, health
        outputs: Outputs = {
            "CLK": self._clock.level,
            "HEALTH": self._health,
            "DCARD_TYPE": ENCODER_CONTROL,
            "QSTATE": self._generator.state,
        }
        outputs.update(zip(PINS, pins, strict=True))
        return outputs, self._wake(tick)

    @property
    def latched_at(self) -> int:
        """Tick at which the position was taken that a master read last."""
        slave = self._slaves.get(self._set["PROTOCOL"])
        return slave.latched_at if slave else 0

    def _generates(self) -> bool:
        """Tell whether lines follow VAL; the box's generator runs unseen in other protocols."""
        return bool(self._set["ENABLE"]) and self._set["PROTOCOL"] == QUADRATURE

    def _made(self) -> tuple[int, int, int]:
        """Return what is made for the pins, by what there was before the tick."""
        now = self._set
        protocol = now["PROTOCOL"]
        if protocol in _PASSED:
            a, b, z = (now[name] for name in _PASSED[protocol])
            return a, b, z
        line_a, line_b = self._generator.lines
        if protocol == QUADRATURE:
            return line_a, line_b, 0
        if protocol == DATA_PASSTHROUGH:
            return now["DATA"], line_b, 1
        data = self._biss.data if protocol == BISS else self._ssi.data
        return data, line_b, 1

    def _pin_b(self) -> int:
        return self._set[PIN_CLOCK] if self._listens else self._pins[1]

    def _health_now(self) -> int:
        protocol = self._set["PROTOCOL"]
        if protocol == BISS:
            return self._biss.health
        return _NOT_IMPLEMENTED if protocol == ENDAT else 0

    def _wake(self, tick: int) -> int | None:
        now, clock = self._set, self._clock.level
        listens = now["PROTOCOL"] in _CLOCKED
        if (self._made(), self._health_now(), listens) != (
            self._pins,
            self._health,
            self._listens,
        ):
            return tick + 1
        slave = self._slaves.get(now["PROTOCOL"])
        return earliest(
            tick + 1 if self._pin_b() != self._clock.pin else self._clock.wake,
            self._generator.wake(tick, enabled=self._generates(), position=now["VAL"]),
            slave.wake(tick, now, clock=clock) if slave else None,
        )
