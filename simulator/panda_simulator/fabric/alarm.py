"""The world has something to do at a tick: it is called like a block, and answers like an observer.

So what it does does not depend on the wall clock, and time that runs freely cannot overtake it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from panda_simulator.behaviours import RegisterFile, Step
from panda_simulator.fabric.agenda import Agenda, Instance
from panda_simulator.fabric.connectors import Connectors


class Alarm:
    """Calls functions at ticks; what they change in the box takes effect at the next one."""

    def __init__(self, agenda: Agenda, connectors: Connectors) -> None:
        self._agenda = agenda
        self._connectors = connectors
        self._due: dict[int, list[Callable[[int], None]]] = {}
        self._clock = Instance("", 0, RegisterFile())
        # not the method of its behaviour: so no period is taken for one that can be computed
        self._clock.update = self._ring

    def set(self, tick: int, then: Callable[[int], None] | None) -> None:
        """Let time come to a tick to come, and call a function with it, if there is one."""
        self._agenda.at(tick, self._clock)
        if then is not None:
            self._due.setdefault(tick, []).append(then)

    def _ring(self, tick: int, changes: Mapping[str, int]) -> Step:
        del changes
        self._connectors.telling = True
        try:
            for then in self._due.pop(tick, ()):
                then(tick)
        finally:
            self._connectors.telling = False
        return {}, None
