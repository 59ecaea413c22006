"""Wiring help: what each way of scanning needs connected, set by a plan and checked by another.

Pure tables (`Wires`, a builder for each technique, `check`, `PulseTrain`) and thin plan stubs
(`wire_...`, `check_wires`). Wires of several builders are joined with ``|``.
"""

from panda_ophyd.wires.faults import check
from panda_ophyd.wires.stubs import (
    Changed,
    check_wires,
    connect_wires,
    detector_deadtime,
    wire_capture,
    wire_detector_pulses,
    wire_externally_triggered,
    wire_gated_bursts,
    wire_position_compare,
    wire_position_list,
    wire_spec,
    wire_spec_in_turns,
    wire_time_resolved,
)
from panda_ophyd.wires.targets import reading_of, signal_of
from panda_ophyd.wires.techniques import (
    capture,
    detector_pulses,
    externally_triggered,
    gated_bursts,
    position_compare,
    position_list,
    spec,
    spec_in_turns,
    time_resolved,
)
from panda_ophyd.wires.trains import PulseTrain, longest_deadtime
from panda_ophyd.wires.values import Wire, Wires

__all__ = [
    "Changed",
    "PulseTrain",
    "Wire",
    "Wires",
    "capture",
    "check",
    "check_wires",
    "connect_wires",
    "detector_deadtime",
    "detector_pulses",
    "externally_triggered",
    "gated_bursts",
    "longest_deadtime",
    "position_compare",
    "position_list",
    "reading_of",
    "signal_of",
    "spec",
    "spec_in_turns",
    "time_resolved",
    "wire_capture",
    "wire_detector_pulses",
    "wire_externally_triggered",
    "wire_gated_bursts",
    "wire_position_compare",
    "wire_position_list",
    "wire_spec",
    "wire_spec_in_turns",
    "wire_time_resolved",
]
