"""OUTENC: makes encoder lines from a position, or passes lines through.

Source: blocks.md 3.4. The serial protocols have no master in a simulation: their pins
stay low and HEALTH says what the box says then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from panda_simulator.behaviours.base import Outputs, Step
from panda_simulator.behaviours.posenc import Posenc

QUADRATURE, SSI, BISS, ENDAT, ABZ_PASSTHROUGH, DATA_PASSTHROUGH = range(6)
ENCODER_CONTROL = 1
"""DCARD_TYPE of the daughter card that drives and reads encoders."""

_NO_CLOCKS, _NOT_IMPLEMENTED = 1, 2
_RESETS = frozenset(("PROTOCOL", "ENCODING", "BITS"))
_PINS = ("PIN_A", "PIN_B", "PIN_Z", "PIN_DATA")


class Outenc:
    """The generator follows VAL in quadrature; PIN_x are the lines of the connector."""

    bit_inputs: tuple[str, ...] = ("ENABLE", "A", "B", "Z", "DATA")
    position_inputs: tuple[str, ...] = ("VAL",)

    def __init__(self) -> None:
        self._set: dict[str, int] = dict.fromkeys((*self.bit_inputs, "PROTOCOL", "VAL"), 0)
        self._generator = Posenc()
        self._pins: dict[int, Callable[[], tuple[int, int, int, int]]] = {
            ABZ_PASSTHROUGH: lambda: (self._set["A"], self._set["B"], self._set["Z"], 0),
            DATA_PASSTHROUGH: lambda: (0, 0, 0, self._set["DATA"]),
        }

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        now = self._set
        now.update(changes)
        inner = {"ENABLE": now["ENABLE"], "INP": now["VAL"]}
        if not _RESETS.isdisjoint(changes):
            # a written setting resets: the tracker begins again at the position
            self._generator.update(tick, {"ENABLE": 0})
            inner = {"ENABLE": 0}
        if "QPERIOD" in changes:
            inner["PERIOD"] = changes["QPERIOD"]
        generated, wake = self._generator.update(tick, inner)
        if now["ENABLE"] and not inner["ENABLE"]:
            wake = tick + 1
        outputs: Outputs = {
            "CLK": 0,
            "HEALTH": self._health(),
            "DCARD_TYPE": ENCODER_CONTROL,
            "QSTATE": generated["STATE"] if now["PROTOCOL"] == QUADRATURE else 0,
        }
        outputs.update(zip(_PINS, self._lines(generated), strict=True))
        return outputs, wake

    def _lines(self, generated: Outputs) -> tuple[int, int, int, int]:
        protocol = self._set["PROTOCOL"]
        if protocol == QUADRATURE:
            return generated["A"], generated["B"], 0, 0
        passed = self._pins.get(protocol)
        return passed() if passed else (0, 0, 0, 0)

    def _health(self) -> int:
        protocol = self._set["PROTOCOL"]
        if protocol == BISS and self._set["ENABLE"]:
            return _NO_CLOCKS
        return _NOT_IMPLEMENTED if protocol == ENDAT else 0
