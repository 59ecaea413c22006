"""Lines of a sequencer into a box: fixed, streamed or by turns, in bounded memory."""

from __future__ import annotations

from panda_ophyd.loading.base import Loading
from panda_ophyd.loading.chunks import Lines
from panda_ophyd.loading.double import LEAST_SECONDS, DoubleBuffered
from panda_ophyd.loading.fixed import FixedTable
from panda_ophyd.loading.load import CHUNK_LINES, load
from panda_ophyd.loading.port import SessionTablePort, TablePort, TableStatus
from panda_ophyd.loading.streamed import StreamedTable
from panda_ophyd.loading.turns import HAND_OVER, SessionTurns, Turns, TurnWiring, apply_wiring

__all__ = [
    "CHUNK_LINES",
    "HAND_OVER",
    "LEAST_SECONDS",
    "DoubleBuffered",
    "FixedTable",
    "Lines",
    "Loading",
    "SessionTablePort",
    "SessionTurns",
    "StreamedTable",
    "TablePort",
    "TableStatus",
    "TurnWiring",
    "Turns",
    "apply_wiring",
    "load",
]
