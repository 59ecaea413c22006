"""Plans that fly a PandA (flyscan.md 5): each stages, wires and flies; pause and abort them."""

from panda_ophyd.plans.compares import pcomp_scan, position_list
from panda_ophyd.plans.detectors import Exposures
from panda_ophyd.plans.scans import Moving, Sequencing, fly_spec, sweeps
from panda_ophyd.plans.timed import externally_triggered, gated, time_resolved

__all__ = [
    "Exposures",
    "Moving",
    "Sequencing",
    "externally_triggered",
    "fly_spec",
    "gated",
    "pcomp_scan",
    "position_list",
    "sweeps",
    "time_resolved",
]
