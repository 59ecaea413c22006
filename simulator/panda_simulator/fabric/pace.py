"""How long the fabric may work on the past before others have their turn.

A box can be wired so busily that Python is slower than real time. Whoever waits for it to
catch up then waits for ever, so everybody has a share: as long as it takes to serve a
command, and no longer, may be spent on catching up before the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from panda_simulator.clock import Clock
from panda_simulator.fabric.engine import Engine

TURN = 0.001
"""Seconds of work between two looks at the event loop."""

_LEAST = 0.0001
"""Seconds that are always there, for what the command before has set off."""

_MOST = 0.002

_TOLERATED = 0.05
"""Seconds of the box that it may be late without a question."""

_MOST_TOLERATED = 0.5

_JUDGED = 0.1
"""Seconds in which it has to become less."""

_SHORTEST_WAIT = 0.001
"""Seconds: events are worked on in batches of this length, not one by one."""

_COMPUTED_WAIT = 0.02
"""Seconds: the shortest wait where samples are computed."""

_LONGEST_WAIT = 0.5


class Pace:
    """Deadlines for catching up."""

    def __init__(self, seconds: Callable[[], float] = time.perf_counter) -> None:
        """Start now.

        Args:
            seconds: monotonic real time.
        """
        self.seconds = seconds
        self._rested = seconds()
        self._late: tuple[float, float] | None = None

    def turn(self) -> float:
        """Return when a turn that begins now is over."""
        return self.seconds() + TURN

    def share(self) -> float:
        """Return when to stop catching up: as long from now as others had since `rest`."""
        now = self.seconds()
        return now + min(max(now - self._rested, _LEAST), _MOST)

    def hopeless(self, late: float) -> bool:
        """Tell whether the box will not catch up: a busy machine may just have had other work.

        Args:
            late: seconds of the box between simulated time and the clock, now.
        """
        if late <= _TOLERATED:
            self._late = None
            return False
        now = self.seconds()
        begun, before = self._late or (now, late)
        if late > _MOST_TOLERATED or (now - begun >= _JUDGED and late >= before):
            self._late = None
            return True
        self._late = (now, late) if now - begun >= _JUDGED else (begun, before)
        return False

    def rest(self) -> None:
        """Take note that catching up is over and others have their turn."""
        self._rested = self.seconds()


def seconds_to_wait(engine: Engine, clock: Clock) -> float:
    """Return how long an engine that has caught up with its clock may be left alone."""
    due, shortest = engine.agenda.next_tick(), _SHORTEST_WAIT
    proven = engine.leaps.proven_to
    if proven is not None:
        # nobody sees whether a leap was made before somebody looks, but for the samples
        due = engine.tick if engine.acquisition else proven
        shortest = _COMPUTED_WAIT
    wait = _LONGEST_WAIT if due is None else min(clock.until(due), _LONGEST_WAIT)
    return max(wait, shortest)
