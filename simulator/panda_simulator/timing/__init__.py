"""Records chosen signals of a box in stepped time, and draws them as a timing diagram."""

from __future__ import annotations

from panda_simulator.timing.diagram import Diagram, Lane, Mark, Remark, Sample, Samples, diagram_of
from panda_simulator.timing.document import ScriptError
from panda_simulator.timing.edges import Edges
from panda_simulator.timing.play import play
from panda_simulator.timing.recorder import Capture, Recording, TableWrite
from panda_simulator.timing.script import Script, parse_script, read_script
from panda_simulator.timing.stepped import Rows, SteppedBox

__all__ = [
    "Capture", "Diagram", "Edges", "Lane", "Mark", "Recording", "Remark", "Rows", "Sample",
    "Samples", "Script", "ScriptError", "SteppedBox", "TableWrite", "diagram_of", "parse_script",
    "play", "read_script",
]  # fmt: skip
