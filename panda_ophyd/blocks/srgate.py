"""SRGATE, a set and reset flip-flop, typed for those who write plans against it.

Source: PandABlocks-FPGA/modules/srgate/srgate.block.ini, blocks.md 5.12.
"""

from __future__ import annotations

from ophyd_async.core import Device, SignalR, SignalRW, TriggerableCommand
from ophyd_async.fastcs.panda import PandaBitMux


class SrgateBlock(Device):
    """One SRGATE; annotate ``DeviceVector[SrgateBlock]`` on an `HDFPanda` to get it."""

    enable: SignalRW[PandaBitMux]
    set_: SignalRW[PandaBitMux]
    rst: SignalRW[PandaBitMux]
    force_set: TriggerableCommand
    force_rst: TriggerableCommand
    out: SignalR[bool]
