"""Faults on request: what may go wrong with a PandA and its connections, by name."""

from panda_simulator.faults.effect import Machine
from panda_simulator.faults.faults import Fault, Faults, make_effect, parse_fault, parse_settings
from panda_simulator.faults.line import Line
from panda_simulator.faults.sink import WatchedSink
from panda_simulator.faults.table import FAULTS, FaultKind, describe_faults

__all__ = [
    "FAULTS",
    "Fault",
    "FaultKind",
    "Faults",
    "Line",
    "Machine",
    "WatchedSink",
    "describe_faults",
    "make_effect",
    "parse_fault",
    "parse_settings",
]
