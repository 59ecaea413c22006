"""Flyers: what makes a PandA trigger, as ophyd-async logics.

Drop-in for those of `ophyd_async.fastcs.panda` of the same names, with their faults mended
(flyscan.md 2.2 and 2.3), and more. All logic that is not the framework's is in
`panda_ophyd.sequences` and `panda_ophyd.loading`.
"""

from ophyd_async.fastcs.panda import PcompInfo, ScanSpecInfo, SeqTableInfo

from panda_ophyd.flyers.compare import StaticPcompFlyableLogic
from panda_ophyd.flyers.device import PandaFlyer

__all__ = [
    "PandaFlyer",
    "PcompInfo",
    "ScanSpecInfo",
    "SeqTableInfo",
    "StaticPcompFlyableLogic",
]
