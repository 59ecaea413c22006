"""The wired box: instances of behaviours, two buses and the engine that calls them."""

from __future__ import annotations

from panda_simulator.fabric.fabric import Fabric
from panda_simulator.fabric.probe import Probe

__all__ = ["Fabric", "Probe"]
