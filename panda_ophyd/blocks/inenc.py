"""INENC, an encoder input, typed for those who write plans against it.

Source: PandABlocks-FPGA/modules/inenc/inenc.block.ini, blocks.md 3.3.
"""

from __future__ import annotations

from ophyd_async.core import Device, SignalR, SignalRW


class InencBlock(Device):
    """One INENC; annotate ``DeviceVector[InencBlock]`` on an `HDFPanda` to get it."""

    val: SignalR[int]
    val_scale: SignalRW[float]
    val_offset: SignalRW[float]
    val_units: SignalRW[str]
    val_capture: SignalRW[str]
    val_dataset: SignalRW[str]
    setp: SignalRW[int]
    homed: SignalR[bool]
