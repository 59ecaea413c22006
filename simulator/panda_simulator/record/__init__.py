"""Recording: a PandA is asked for everything it says of itself, and nothing is written to it."""

from __future__ import annotations

from panda_simulator.box import BoxFile, ConfigError
from panda_simulator.box.boxfile import read_box_file
from panda_simulator.record.errors import RecordError
from panda_simulator.record.exchanges import Exchanges
from panda_simulator.record.link import TIMEOUT, Link, parse_address
from panda_simulator.record.recording import Recording
from panda_simulator.record.report import record, record_box

__all__ = [
    "TIMEOUT",
    "BoxFile",
    "ConfigError",
    "Exchanges",
    "Link",
    "RecordError",
    "Recording",
    "parse_address",
    "read_box_file",
    "record",
    "record_box",
]
