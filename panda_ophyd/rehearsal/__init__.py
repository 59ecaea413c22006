"""Rehearsal: a scan is run on a simulated copy of the box, in virtual time.

`rehearse` does it all; nothing on the box is touched but by queries. One of the few rooms that
know both the driver and the simulator, which they reach only through its public face.
"""

from panda_ophyd.rehearsal.copying import Copied, copy_box
from panda_ophyd.rehearsal.motors import MotorTwin
from panda_ophyd.rehearsal.report import Rehearsal, TableUse
from panda_ophyd.rehearsal.run import async_rehearse, rehearse

__all__ = [
    "Copied",
    "MotorTwin",
    "Rehearsal",
    "TableUse",
    "async_rehearse",
    "copy_box",
    "rehearse",
]
