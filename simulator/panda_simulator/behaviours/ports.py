"""TTLIN, TTLOUT, LVDSIN, LVDSOUT and SYSTEM: blocks that hardly think.

Source: blocks.md 3.1, 3.2, 3.5.
"""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import override

from panda_simulator.behaviours.base import MASK, Step

LEVEL = "LEVEL"
"""The connector: driven by the world for an input, put out by an output.

Blocks with several connectors number them from 1.
"""

_INTERNAL_CLOCK = 0


class InputPort:
    """VAL is the level of the connector, at the tick at which it is driven."""

    levels: tuple[str, ...] = (LEVEL,)
    bit_inputs: tuple[str, ...] = (LEVEL,)
    position_inputs: tuple[str, ...] = ()

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        del tick
        return {"VAL": changes[LEVEL]} if LEVEL in changes else {}, None


class OutputPort:
    """The connector has the level of VAL."""

    levels: tuple[str, ...] = (LEVEL,)
    bit_inputs: tuple[str, ...] = ("VAL",)
    position_inputs: tuple[str, ...] = ()

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        del tick
        return {LEVEL: changes["VAL"]} if "VAL" in changes else {}, None


class RegisterFile:
    """Registers that nothing happens to, and outputs that never change."""

    bit_inputs: tuple[str, ...] = ()
    position_inputs: tuple[str, ...] = ()

    def __init__(self, outputs: Mapping[str, int] | None = None) -> None:
        self._outputs = dict(outputs or {})

    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        del tick, changes
        return self._outputs, None

    def hold(self, output: str, value: int) -> None:
        """Let an output have a value from the start."""
        self._outputs[output] = value


class System(RegisterFile):
    """Healthy voltages and temperatures, and no clock but the internal one."""

    def __init__(self) -> None:
        healthy = {
            **dict.fromkeys(("TEMP_PSU", "TEMP_SFP", "TEMP_ENC_L", "TEMP_PICO", "TEMP_ENC_R"), 30),
            "TEMP_ZYNQ": 45000,
            "ALIM_12V0": 8074,
            "PICO_5V0": 8176,
            "IO_5V0": 8205,
            "SFP_3V3": 8592,
            "FMC_15VN": 4245,
            "FMC_15VP": 8120,
            "ENC_24V": 8407,
            "FMC_12V": 8029,
            "VCCINT": 1000,
            "PLL_LOCKED": 1,
            "EXT_CLOCK_FREQ": 0,
            "CLK_SEL_STAT": _INTERNAL_CLOCK,
            "HEALTH": 0,
        }
        super().__init__(healthy)

    @override
    def update(self, tick: int, changes: Mapping[str, int]) -> Step:
        """Take one tick (Behaviour.update)."""
        del tick
        if "CLOCK_SOURCE" in changes:
            self._outputs["HEALTH"] = int(changes["CLOCK_SOURCE"] & MASK != _INTERNAL_CLOCK)
        return self._outputs, None
