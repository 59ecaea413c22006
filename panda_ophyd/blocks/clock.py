"""CLOCK, a periodic pulse, typed for those who write plans against it.

Source: PandABlocks-FPGA/modules/clock/clock.block.ini, blocks.md 5.3.
"""

from __future__ import annotations

from ophyd_async.core import Device, SignalR, SignalRW
from ophyd_async.fastcs.panda import PandaBitMux, PandaTimeUnits


class ClockBlock(Device):
    """One CLOCK; annotate ``DeviceVector[ClockBlock]`` on an `HDFPanda` to get it."""

    enable: SignalRW[PandaBitMux]
    period: SignalRW[float]
    period_units: SignalRW[PandaTimeUnits]
    width: SignalRW[float]
    width_units: SignalRW[PandaTimeUnits]
    out: SignalR[bool]
