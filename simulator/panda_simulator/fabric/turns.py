"""Other threads of this process get their turn while a box is simulated.

A simulation that never rests lets go of the interpreter only for the moment in which the
event loop looks at its sockets. That is too short for a waiting thread to take it, and too
often for it to be handed over by force: it starves (measured: a file that takes 0.1 s to
begin took 3 s). With an interval below the length of a turn of work it is handed over.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator

from panda_simulator.fabric.pace import TURN

_INTERVAL = TURN / 2
"""Seconds after which a thread that waits is let in."""

_usual: list[float] = []
"""What the interval was, as often as somebody has made it short."""


@contextlib.contextmanager
def shared_turns() -> Generator[None]:
    """Keep the interpreter's switch interval short meanwhile; it is one for the process."""
    _usual.append(sys.getswitchinterval() if not _usual else _usual[0])
    sys.setswitchinterval(min(_usual[0], _INTERVAL))
    try:
        yield
    finally:
        usual = _usual.pop()
        if not _usual:
            sys.setswitchinterval(usual)
