"""Typed blocks: upstream's, and those upstream has no annotations for.

Nothing here is needed to read or write a block: introspection makes them all. These are
for those who want completion and a type checker: ``class MyPanda(HDFPanda):
clock: DeviceVector[ClockBlock]``.
"""

from ophyd_async.fastcs.panda import (
    CommonPandaBlocks,
    DataBlock,
    PcapBlock,
    PcompBlock,
    PulseBlock,
    SeqBlock,
)

from panda_ophyd.blocks.clock import ClockBlock
from panda_ophyd.blocks.counter import CounterBlock
from panda_ophyd.blocks.inenc import InencBlock
from panda_ophyd.blocks.srgate import SrgateBlock

__all__ = [
    "ClockBlock",
    "CommonPandaBlocks",
    "CounterBlock",
    "DataBlock",
    "InencBlock",
    "PcapBlock",
    "PcompBlock",
    "PulseBlock",
    "SeqBlock",
    "SrgateBlock",
]
