"""Axes go along a path that is planned ahead of time, part by part, however long it is.

A part is a few legs. All axes know the present part and the next one. When time comes to the
next, the one after it is added: at a tick of the box, so that time that runs freely cannot
overtake it, and no position depends on how the path was cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from panda_simulator.axis import Axis
from panda_simulator.motion import Piece
from panda_simulator.trajectory import Leg

_LEGS = 32
"""Of a part, at most."""

_PIECES = 500
"""Of all axes, after which a part is long enough."""

At: TypeAlias = Callable[[int, Callable[[int], None]], None]


class Following:
    """Some axes on their way along a path.

    Attributes:
        begin: tick at which the path begins.
        end: tick at which all axes stand; None while it is not known.
        stopped: whether they were stopped, or told to do something else.
        error: what the legs failed with, after which axes brake; None if they did not.
    """

    def __init__(
        self,
        axes: Mapping[str, Axis],
        legs: Iterable[Leg],
        begin: Callable[[], int],
        at: At,
        gate: Callable[[int, int], None],
    ) -> None:
        """Set off, at the tick that `begin` returns.

        Args:
            axes: that there are.
            legs: of the path.
            begin: returns the tick of a change that is made now.
            at: has a function called when time comes to a tick.
            gate: sets the level of the gate from a tick to come on.

        Raises:
            KeyError: a leg names an axis that is not there; none moves.
            ValueError: there are no legs; none moves.
        """
        self._legs = iter(legs)
        self._at = at
        self._gate = gate
        self._begin_change = begin
        self._windows = 0
        self._ends: deque[int] = deque()
        self._edges: deque[tuple[int, int]] = deque()
        self._gating = False
        self._told: list[Callable[[], None]] = []
        self._over = False
        self.end: int | None = None
        self.stopped = False
        self.error: Exception | None = None
        part = self._take()
        if not part:
            raise ValueError("a path has no legs")
        self._axes = {name: axes[name] for name in part[0].pieces}
        self.begin = begin()
        self._known = self.begin
        pieces = self._plan(part)
        for name, axis in self._axes.items():
            axis.follow(self.begin, pieces[name], self._left)
        self._next_edge(self.begin - 1)
        self._add(self.begin)

    def windows(self, tick: int) -> int:
        """Return how many windows are over at a tick, which is later than those asked before."""
        while self._ends and self._ends[0] <= tick:
            self._ends.popleft()
            self._windows += 1
        return self._windows

    @property
    def over(self) -> bool:
        """Whether all axes stand, at the end or somewhere else."""
        return self._over

    def when_over(self, told: Callable[[], None]) -> None:
        """Have a function called when all axes stand; at once if they do."""
        if self._over:
            told()
        else:
            self._told.append(told)

    def stop(self) -> int:
        """Brake all axes from the next tick on; return the tick at which all stand."""
        if self._over or self.stopped:
            return self.end if self.end is not None else self.begin
        return self._brake(self._begin_change())

    def _left(self, tick: int) -> None:
        """Take note that an axis does something else from a tick on."""
        if not self.stopped:
            self._brake(tick)

    def _brake(self, tick: int) -> int:
        self.stopped = True
        self.windows(tick)
        self._ends.clear()
        self._edges.clear()
        self._gate(0, tick)
        ends = [axis.stop(tick) for axis in self._axes.values() if axis.follows(self._left)]
        self.end = max(tick, *ends)
        self._at(self.end, self._finish)
        return self.end

    def _finish(self, now: int) -> None:
        """Be over, unless axes were stopped meanwhile and stand later."""
        if self._over or self.end is None or now < self.end:
            return
        self._over = True
        self.windows(now)
        for axis in self._axes.values():
            if axis.follows(self._left):
                axis.arrive()
        told, self._told = self._told, []
        for one in told:
            one()

    def _take(self) -> list[Leg]:
        """Take the legs of the next part; none after the last one."""
        part: list[Leg] = []
        pieces = 0
        for leg in self._legs:
            part.append(leg)
            pieces += sum(map(len, leg.pieces.values()))
            if len(part) >= _LEGS or pieces >= _PIECES:
                break
        return part

    def _plan(self, part: list[Leg]) -> dict[str, list[Piece]]:
        """Put a part at its ticks; return the pieces, after which all axes are at rest."""
        zero = self.begin
        for leg in part:
            first, last = leg.window
            self._edges.extend(((zero + first, 1), (zero + last, 0)))
            self._ends.append(zero + last)
        self._known = end = zero + part[-1].end
        planned: dict[str, list[Piece]] = {}
        for name in self._axes:
            pieces = [
                Piece(zero + tick, start, speed, bend)
                for leg in part
                for tick, start, speed, bend in leg.pieces[name]
            ]
            if pieces[-1].tick < end:
                # the next part takes its place, if there is one
                pieces.append(Piece(end, pieces[-1].at(end), 0, 0))
            planned[name] = pieces
        return planned

    def _add(self, tick: int) -> None:
        """Add the part after the one that begins at a tick, or know the end."""
        then = self._known
        try:
            part = self._take()
        except Exception as error:  # noqa: BLE001  somebody else's generator; told by whoever waits
            self.error = error
            self._brake(tick + 1)
            return
        if not part:
            self.end = then
            self._at(then, self._finish)
            return
        pieces = self._plan(part)
        for name, axis in self._axes.items():
            axis.extend(pieces[name])
        if not self._gating:
            self._next_edge(tick)
        self._at(then - 1, lambda now: self._go_on(now, then))

    def _go_on(self, now: int, tick: int) -> None:
        """Let everybody know that the next part begins, one tick before, and add another."""
        if self.stopped:
            return
        for axis in self._axes.values():
            axis.announce(tick)
        self.windows(now)
        self._add(now)

    def _next_edge(self, now: int) -> None:
        """Drive the gate where its next edge is due, else wait for it."""
        while self._edges and self._edges[0][0] <= now + 1:
            tick, level = self._edges.popleft()
            self._gate(level, tick)
        self._gating = bool(self._edges)
        if self._gating:
            self._at(self._edges[0][0] - 1, self._next_edge)
