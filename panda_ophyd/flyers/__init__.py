"""Flyers: what makes a PandA trigger, as ophyd-async logics.

Drop-in for those of `ophyd_async.fastcs.panda` of the same names, with their faults mended
(flyscan.md 2.2 and 2.3), and more. All logic that is not the framework's is in
`panda_ophyd.sequences` and `panda_ophyd.loading`.
"""

from ophyd_async.fastcs.panda import (
    PcompInfo,
    PosOutScaleOffset,
    ScanSpecInfo,
    SeqTableInfo,
)

from panda_ophyd.flyers.compare import StaticPcompFlyableLogic
from panda_ophyd.flyers.device import PandaFlyableLogic, PandaFlyer
from panda_ophyd.flyers.drives import Loads
from panda_ophyd.flyers.positions import PositionListFlyableLogic, PositionListInfo
from panda_ophyd.flyers.scans import ScanInfo, ScanSpecSeqTableFlyableLogic
from panda_ophyd.flyers.tables import SequenceFlyableLogic, StaticSeqTableFlyableLogic
from panda_ophyd.flyers.times import TimeInfo, TimeResolvedFlyableLogic

__all__ = [
    "Loads",
    "PandaFlyableLogic",
    "PandaFlyer",
    "PcompInfo",
    "PosOutScaleOffset",
    "PositionListFlyableLogic",
    "PositionListInfo",
    "ScanInfo",
    "ScanSpecInfo",
    "ScanSpecSeqTableFlyableLogic",
    "SeqTableInfo",
    "SequenceFlyableLogic",
    "StaticPcompFlyableLogic",
    "StaticSeqTableFlyableLogic",
    "TimeInfo",
    "TimeResolvedFlyableLogic",
]
