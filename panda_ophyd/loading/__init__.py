"""Lines of a sequencer into a box: fixed, streamed or by turns, in bounded memory."""

from __future__ import annotations

from panda_ophyd.loading.base import Loading
from panda_ophyd.loading.chunks import Lines
from panda_ophyd.loading.fixed import FixedTable
from panda_ophyd.loading.load import load
from panda_ophyd.loading.port import SessionTablePort, TablePort, TableStatus
from panda_ophyd.loading.streamed import StreamedTable

__all__ = [
    "FixedTable",
    "Lines",
    "Loading",
    "SessionTablePort",
    "StreamedTable",
    "TablePort",
    "TableStatus",
    "load",
]
