"""Where time runs freely, captured data are handed on by simulated time, never by the wall clock.

So what a data client gets is cut into the same pieces whenever a run is repeated: one for
each tenth of a second of the box, and one when nothing is due any more.

Source: protocol.md 8.6 (block granularity).
"""

from __future__ import annotations

from collections.abc import Callable

from panda_simulator.clock import FOREVER, TICKS_PER_SECOND, Clock
from panda_simulator.fabric.engine import Engine

SLICE = TICKS_PER_SECOND // 10
"""Ticks after which a PandA hands on what it has, though it fills no block."""


class Slices:
    """Plays an engine slice by slice while there is an acquisition."""

    def __init__(self, engine: Engine, clock: Clock, hand_on: Callable[[], None]) -> None:
        """Begin where the engine is.

        Args:
            engine: to play.
            clock: that may hold it.
            hand_on: has what was delivered so far go on to whoever reads it.
        """
        self._engine = engine
        self._clock = clock
        self._hand_on = hand_on

    def play(self, tick: int, deadline: float, seconds: Callable[[], float]) -> bool:
        """Simulate up to a tick, or until it is late or held; see `Engine.play`."""
        engine = self._engine
        while engine.acquisition is not None:
            due = engine.agenda.next_tick()
            if due is None or due > tick:
                break
            number = due // SLICE
            if number > engine.tick // SLICE:
                self._pass_on()
            end = number * SLICE + SLICE - 1
            if end >= tick:
                break
            if not engine.play(end, deadline, seconds, rests=True):
                return False
            if self._clock.horizon() < FOREVER:
                return False
        there = engine.play(tick, deadline, seconds)
        if there and engine.acquisition is not None and engine.agenda.next_tick() is None:
            # nothing is called at a word, but time goes on for it
            due = engine.wiring.pcap.due
            if due is not None and engine.tick < due <= tick:
                engine.play(due, deadline, seconds)
            self._pass_on()
        return there

    def _pass_on(self) -> None:
        """Let everything go on that is complete."""
        self._engine.deliver()
        self._hand_on()
