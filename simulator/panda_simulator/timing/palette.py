"""Colours that people with any colour vision tell apart, and that print well.

Source: M. Okabe and K. Ito, Color Universal Design (2008); the light ones come last.
"""

from __future__ import annotations

from panda_simulator.timing.diagram import Diagram

WORLD = "#333333"
TEXT = "#1a1a1a"
FAINT = "#767676"
GRID = "#c8c8c8"
ZEBRA = "#f5f5f5"
DONE = "#8a3b00"
"""What is done to the box."""
NOTE = "#003f6b"
LOST = "#b00020"

_BLOCKS = ("#0072B2", "#D55E00", "#009E73", "#A0458A", "#B07A00", "#3A9BD0", "#6A6A6A")
_OUTSIDE = ("", "TTLIN", "LVDSIN", "FMC_24V_IN", "INENC")


def block_colours(diagram: Diagram) -> dict[str, str]:
    """Give each block of a diagram a colour, in the order in which they appear.

    Returns:
        Signal to colour.
    """
    blocks: dict[tuple[str, int], str] = {}
    colours: dict[str, str] = {}
    for lane in diagram.signals:
        signal = lane.edges.signal
        if signal.block in _OUTSIDE:
            colours[signal.name] = WORLD
        else:
            colour = blocks.setdefault(signal.key, _BLOCKS[len(blocks) % len(_BLOCKS)])
            colours[signal.name] = colour
    return colours
