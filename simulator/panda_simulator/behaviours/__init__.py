"""Every block of the box as a pure machine, one a file, and the table that finds them by name.

PCAP is not in the table: it is made with the buses that it looks at.
"""

from __future__ import annotations

from collections.abc import Callable

from panda_simulator.behaviours.backlog import Backlog
from panda_simulator.behaviours.base import (
    ANYWHERE,
    Behaviour,
    Interval,
    Outputs,
    Step,
    TableBlock,
    Watcher,
    signed,
)
from panda_simulator.behaviours.bits import Bits
from panda_simulator.behaviours.calc import Calc
from panda_simulator.behaviours.clock import Clock
from panda_simulator.behaviours.counter import Counter
from panda_simulator.behaviours.counting import Mark
from panda_simulator.behaviours.div import Div
from panda_simulator.behaviours.filter import Filter
from panda_simulator.behaviours.fmc import Fmc24vIn, Fmc24vOut
from panda_simulator.behaviours.frames import CaptureBus
from panda_simulator.behaviours.inenc import Inenc
from panda_simulator.behaviours.lookups import MARKS
from panda_simulator.behaviours.lut import Lut
from panda_simulator.behaviours.outenc import PIN_CLOCK, PINS, Outenc
from panda_simulator.behaviours.pcap import OVERFLOW, TOO_CLOSE, Pcap
from panda_simulator.behaviours.pcomp import Pcomp
from panda_simulator.behaviours.pgen import Pgen
from panda_simulator.behaviours.ports import (
    InputPort,
    OutputPort,
    RegisterFile,
    System,
)
from panda_simulator.behaviours.posenc import Posenc
from panda_simulator.behaviours.pulse import Pulse
from panda_simulator.behaviours.qdec import Qdec
from panda_simulator.behaviours.seq import Seq
from panda_simulator.behaviours.sfp import LATENCY, LINK, SyncInput, SyncOutput
from panda_simulator.behaviours.srgate import Srgate
from panda_simulator.behaviours.stretches import (
    EMPTY,
    Stretch,
    Stretches,
    Track,
    add_up,
    add_up_all,
    is_even,
    look_up,
    sum_of_floors,
)

BEHAVIOURS: dict[str, Callable[[], Behaviour]] = {
    "BITS": Bits,
    "CALC": Calc,
    "CLOCK": Clock,
    "COUNTER": Counter,
    "DIV": Div,
    "FILTER": Filter,
    "FMC_24V_IN": Fmc24vIn,
    "FMC_24V_OUT": Fmc24vOut,
    "INENC": Inenc,
    "LUT": Lut,
    "LVDSIN": InputPort,
    "LVDSOUT": OutputPort,
    "OUTENC": Outenc,
    "PCOMP": Pcomp,
    "PGEN": Pgen,
    "PULSE": Pulse,
    "SEQ": Seq,
    "SFP2_SYNC_IN": SyncInput,
    "SFP2_SYNC_OUT": SyncOutput,
    "SFP3_SYNC_IN": SyncInput,
    "SFP3_SYNC_OUT": SyncOutput,
    "SRGATE": Srgate,
    "SYSTEM": System,
    "TTLIN": InputPort,
    "TTLOUT": OutputPort,
}
"""Blocks made without anything; a block that is in no table is a register file."""

__all__ = [
    "ANYWHERE",
    "BEHAVIOURS",
    "EMPTY",
    "LATENCY",
    "LINK",
    "MARKS",
    "OVERFLOW",
    "PINS",
    "PIN_CLOCK",
    "TOO_CLOSE",
    "Backlog",
    "Behaviour",
    "CaptureBus",
    "Inenc",
    "InputPort",
    "Interval",
    "Mark",
    "Outenc",
    "OutputPort",
    "Outputs",
    "Pcap",
    "Posenc",
    "Qdec",
    "RegisterFile",
    "Step",
    "Stretch",
    "Stretches",
    "SyncInput",
    "SyncOutput",
    "TableBlock",
    "Track",
    "Watcher",
    "add_up",
    "add_up_all",
    "is_even",
    "look_up",
    "signed",
    "sum_of_floors",
]
