"""Leaps over periods that are all alike, so that a box that repeats itself costs next to nothing.

From time to time the calls of blocks are listened to. When they repeat (periods.py), one
period is proven (proofs.py); from then on any number of periods is one step: the state is
computed, and so are the samples. It ends where the proof does, at the latest with whatever
changes the box from outside (`forget`). All that can be seen is as if every period had
been played.
"""

from __future__ import annotations

from panda_simulator.clock import FOREVER, TICKS_PER_SECOND
from panda_simulator.fabric.agenda import Calls
from panda_simulator.fabric.periods import History, Period, find_periods
from panda_simulator.fabric.proofs import Law, Machine, Snapshot, prove
from panda_simulator.fabric.states import UnknownStateError

_SHORTEST, _LONGEST, _GROWTH = 64, 4096, 4
"""Ticks with calls that are listened to before looking for a period."""

_MOST_CALLS = 1_000
"""Calls in a period that is worth a proof, which should not keep others waiting."""

_TRIES = 3
"""Periods at which a proof may fail before another length is tried."""

# What things cost, in calls of blocks

_SNAPSHOT = 50
_NUMBERS = 20
"""Numbers in a snapshot that take as long as a call."""

_PROOF = 20
"""Of each call in a period that is proven."""

_GUESS = 1
"""Of each tick that is compared with others."""

_GAIN = 100
"""What a leap saves at least."""

_SHARE = 10
"""What was spent in vain is at most one part of so many."""

_LONGEST_PAUSE = 200_000
_UNEVEN = 1_000
"""How long to wait where an axis that is followed speeds up, or brakes, or a table comes in."""

_FARTHEST = TICKS_PER_SECOND // 10
"""How far a leap goes where there is no tick to come to."""

_NEVER = 1 << 62


class Leaps:
    """What is known of the period of a machine.

    Attributes:
        wanted: number of calls from which on `tell` wants to be called for each tick.
    """

    def __init__(self, machine: Machine, *, enabled: bool = True) -> None:
        self.wanted = 0 if enabled else _NEVER
        self._enabled = enabled
        self._machine = machine
        self._spent = 0
        self._window = _SHORTEST
        self._history: History = []
        self._guesses: list[Period] = []
        self._snapshots: list[Snapshot] = []
        self._due = _NEVER
        self._tries = 0
        self._tried = 0
        self._law: Law | None = None

    @property
    def proven_to(self) -> int | None:
        """The tick up to which nothing happens that would have to be played, if it is known."""
        return None if self._law is None else self._law.end(self._law.last)

    def forget(self) -> None:
        """Take note that the box is changed from outside."""
        if self._enabled:
            self._rest()

    def tell(self, tick: int, calls: Calls) -> bool:
        """Take note of the calls at a tick; return whether `stop` and `look` have changed."""
        self._history.append((tick, calls))
        if len(self._history) < self._window:
            return False
        if self._machine.uneven({instance for _, calls in self._history for instance in calls}):
            self._listen(_SHORTEST)
            self.wanted += _UNEVEN
            return False
        self._spent += _GUESS * self._window
        self._guesses = [
            period
            for period in find_periods(self._history, self._tried)
            if period.calls <= _MOST_CALLS and not self._machine.observed(period.instances)
        ]
        if self._guesses or self._window >= _LONGEST:
            self._history.clear()
            self.wanted = _NEVER
            self._observe()
            return True
        self._window *= _GROWTH
        return False

    def stop(self, tick: int) -> int:
        """Return the tick at which to `look`, if there is one before another; else that one."""
        law = self._law
        if law is None:
            return min(self._due, tick)
        if self._machine.observed(law.period.instances):
            self._rest()
            return tick
        first = law.following(self._machine.tick)
        if self._saves(law, law.last - first):
            return law.end(first) if self._saves(law, self._room(law, first, tick)) else tick
        self._law = None
        self._guesses = [law.period]
        self._observe()
        return min(self._due, tick)

    def look(self, tick: int) -> None:
        """Leap towards a tick, or find out whether one can.

        The machine is at the tick that `stop` returned, or stands still before.
        """
        self._machine.deliver()
        try:
            if self._law is not None:
                self._leap(self._law, tick)
            elif self._machine.tick == self._due:
                self._compare(tick)
            else:
                self._rest()
        except UnknownStateError:
            self._rest()

    @staticmethod
    def _saves(law: Law, periods: int) -> bool:
        return periods * law.period.calls >= _GAIN

    @staticmethod
    def _room(law: Law, first: int, tick: int) -> int:
        """Return over how many periods one may leap from the end of one."""
        begin = law.end(first)
        end = min(tick, begin + _FARTHEST) if tick == FOREVER else tick
        return min((end - begin) // law.period.ticks, law.last - first)

    def _leap(self, law: Law, tick: int) -> None:
        machine = self._machine
        first = law.following(machine.tick)
        now = Snapshot(machine, law.period.instances, only=law.moving)
        if machine.tick != law.end(first) or not law.holds(now, first):
            self._rest()
            return
        count = min(self._room(law, first, tick), law.most)
        now.put(law.state(first + count))
        machine.tick = law.end(first + count)
        machine.wiring.add_flags(law.touched)
        machine.hand_over(law.samples(first + 1, count))
        self._spent = max(self._spent - count * law.period.calls, 0)

    def _observe(self) -> None:
        """Look at the machine as it is now, to compare it with a period later."""
        self._tries = 0
        self._snapshots = []
        if not self._guesses:
            self._rest()
            return
        self._tried = self._guesses[0].length
        try:
            self._take(self._guesses[0])
        except UnknownStateError:
            self._rest()

    def _take(self, period: Period) -> None:
        """Take a snapshot, and the next one a period later."""
        self._machine.deliver()
        snapshot = Snapshot(self._machine, period.instances)
        self._snapshots.append(snapshot)
        self._spent += _SNAPSHOT + snapshot.size // _NUMBERS
        self._due = self._machine.tick + period.ticks

    def _compare(self, tick: int) -> None:
        """Compare the machine with what it was one and two periods ago."""
        period = self._guesses[0]
        self._take(period)
        *earlier, before, now = self._snapshots
        if now.shape != before.shape:
            self._fail([now])
        elif earlier and (tick < self._due or not now.continues(earlier[-1], before)):
            self._fail([before, now])
        elif earlier:
            self._prove(period, before, now)

    def _prove(self, period: Period, before: Snapshot, now: Snapshot) -> None:
        self._spent += _PROOF * period.calls
        law = prove(self._machine, period, before, now)
        if law is not None and law.last * period.calls > self._spent + _GAIN:
            self._law = law
            self._due = _NEVER
            self._snapshots = []
        else:
            self._fail([])

    def _fail(self, snapshots: list[Snapshot]) -> None:
        self._snapshots = snapshots
        self._tries += 1
        if self._tries >= _TRIES:
            del self._guesses[0]
            if self._guesses or self._window >= _LONGEST:
                self._observe()
            else:
                self._listen(self._window * _GROWTH)
        elif not snapshots:
            self._take(self._guesses[0])

    def _rest(self) -> None:
        """Know nothing, and listen again after a while: the longer, the more was in vain."""
        self._tried = 0
        self._guesses = []
        self._listen(_SHORTEST)
        self.wanted += min(_SHARE * self._spent, _LONGEST_PAUSE)

    def _listen(self, window: int) -> None:
        """Listen to some ticks with calls from now on."""
        self.wanted = self._machine.calls
        self._window = window
        self._history.clear()
        self._snapshots = []
        self._law = None
        self._due = _NEVER
