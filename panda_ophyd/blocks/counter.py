"""COUNTER, an up and down counter, typed for those who write plans against it.

Source: PandABlocks-FPGA/modules/counter/counter.block.ini, blocks.md 5.4.
"""

from __future__ import annotations

from ophyd_async.core import Device, SignalR, SignalRW
from ophyd_async.fastcs.panda import PandaBitMux


class CounterBlock(Device):
    """One COUNTER; annotate ``DeviceVector[CounterBlock]`` on an `HDFPanda` to get it."""

    enable: SignalRW[PandaBitMux]
    trig: SignalRW[PandaBitMux]
    dir: SignalRW[PandaBitMux]
    start: SignalRW[int]
    step: SignalRW[int]
    max: SignalRW[int]
    min: SignalRW[int]
    carry: SignalR[bool]
    out: SignalR[int]
    out_capture: SignalRW[str]
    out_dataset: SignalRW[str]
