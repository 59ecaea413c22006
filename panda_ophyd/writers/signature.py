"""Which process writes a file, so that a later one can tell a live writer from a dead one.

A process number alone is given out again, so the moment at which the system started the
process goes with it where the system tells (Linux).
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

_START_FIELD = 19
"""Of ``/proc/PID/stat`` after the name in parentheses: clock ticks since the system started."""


@dataclass(frozen=True, slots=True)
class ProcessSignature:
    """One process on one computer.

    Attributes:
        host: its computer.
        pid: its number there.
        started: when the system started it, in the system's own words; empty if unknown.
    """

    host: str
    pid: int
    started: str

    @classmethod
    def own(cls) -> ProcessSignature:
        """Return that of this process."""
        return cls(socket.gethostname(), os.getpid(), _started(os.getpid()))

    @property
    def alive(self) -> bool | None:
        """Whether it still runs; None if it is on another computer and nobody knows."""
        if self.host != socket.gethostname():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:  # it is there, and somebody else's
            pass
        return _started(self.pid) == self.started

    @override
    def __str__(self) -> str:
        """Return it as one says it."""
        return f"process {self.pid} on {self.host}"


def _started(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return fields[_START_FIELD] if len(fields) > _START_FIELD else ""
