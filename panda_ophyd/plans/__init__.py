"""Plans that fly a PandA (flyscan.md 5): each stages, wires and flies; pause and abort them."""

from panda_ophyd.plans.detectors import Exposures
from panda_ophyd.plans.scans import Moving, Sequencing, fly_spec

__all__ = ["Exposures", "Moving", "Sequencing", "fly_spec"]
