"""The world around the box: axes with encoders, and levels on its connectors.

Nothing here is polled. A position is a function of the tick; whoever needs to know
when it passes a count asks for that tick.

The standard world has four axes, x, y, z and a, in millimetres, on the encoder inputs
INENC1 … INENC4, with 10 000 counts per millimetre.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush
from typing import Protocol, TypeAlias

from panda_simulator.axis import Axis
from panda_simulator.behaviours import Mark, Track
from panda_simulator.clock import Clock
from panda_simulator.encoders import Coarse, Encoder, Indexed, Noisy
from panda_simulator.following import Following
from panda_simulator.trajectory import Leg

COUNTS_PER_MM = 10_000
STANDARD_AXES: Mapping[str, int] = {"x": 1, "y": 2, "z": 3, "a": 4}
"""Axis to the number of its INENC."""

Observer: TypeAlias = Callable[[int, int], None]
"""Called with the tick and the level of an output of the box."""

_MICROSECONDS = 1_000_000

_FIBRE = "_SYNC_OUT", "_SYNC_IN"
"""How the blocks at its ends are called."""

_OUTENC, _INENC = "OUTENC", "INENC"
_CONNECTOR = re.compile(r"([A-Z][A-Z0-9_]*?)([1-9][0-9]*)")


class Box(Protocol):
    """What the world knows of the box that it surrounds."""

    def present(self) -> int:
        """Return the tick that the box has come to, which may be behind its clock."""
        ...

    def begin_change(self) -> int:
        """Catch up with the clock and return the tick at which a change will take effect."""
        ...

    def encoder_changed(self, number: int, tick: int) -> None:
        """Learn that the encoder on INENC `number` goes on differently from a tick on."""
        ...

    def encoder_plugged(self, number: int, track: Track) -> None:
        """Learn that another encoder is on INENC `number`.

        Raises:
            ValueError: there is no such INENC.
        """
        ...

    def encoder_cabled(self, number: int, output: int) -> None:
        """Learn that a cable from OUTENC `output` is on INENC `number`.

        Raises:
            ValueError: the box has no such connector.
        """
        ...

    def wake_at(self, tick: int, then: Callable[[int], None] | None = None) -> None:
        """Let time come to a tick, though no block may have anything to do there.

        Args:
            tick: the next one if it is over.
            then: called with the tick; what it changes takes effect at the tick after.
        """
        ...

    def fibre_laid(self, source: tuple[str, int], target: tuple[str, int]) -> None:
        """Learn that a transmitter of the box sends to a receiver of it.

        Raises:
            ValueError: the box has no such transmitter, or no such receiver.
        """
        ...

    def output_observed(self, block: str, number: int) -> None:
        """Learn that somebody will be told of the levels of an output.

        Raises:
            ValueError: the box has no such output.
        """
        ...

    def level_driven(self, block: str, number: int, level: int, tick: int | None = None) -> None:
        """Learn that an input of the box is driven to a level: now, or at a tick to come.

        Raises:
            ValueError: the tick is over, or there is no such input.
        """
        ...


class World:
    """Axes, encoders and connectors; made before the box, which attaches itself."""

    def __init__(self, clock: Clock, axes: Mapping[str, int] = STANDARD_AXES) -> None:
        """Make a world of axes at rest at 0.

        Args:
            clock: for the present tick.
            axes: name to the number of the INENC that its encoder is on.
        """
        self._clock = clock
        self._box: Box | None = None
        self._levels: dict[tuple[str, int], int] = {}
        self._observers: dict[tuple[str, int], list[Observer]] = {}
        self._cables: dict[tuple[str, int], tuple[tuple[str, int], Observer]] = {}
        """Input to the output at the other end of its cable, and what follows it."""
        self._fibres: list[tuple[tuple[str, int], tuple[str, int]]] = []
        self._appointments: list[tuple[int, int, Callable[[int], None]]] = []
        self._made = 0
        self.axes: dict[str, Axis] = {}
        self.encoders: dict[int, Track] = {}
        self.encoder_cables: dict[int, int] = {}
        """INENC to the OUTENC at the other end of its cable."""
        for name, number in axes.items():
            self.add_axis(Axis(name))
            self.connect(name, number, COUNTS_PER_MM)

    @property
    def frequency(self) -> int:
        """Ticks in a second."""
        return self._clock.frequency

    def present(self) -> int:
        """Return the tick that the box has come to."""
        return self._present()

    def add_axis(self, axis: Axis) -> None:
        """Add an axis."""
        axis.attach(self._begin_change, self._present, self._clock.frequency)
        # an axis that nobody watches comes to its end as well
        axis.subscribe(lambda _: self._box.wake_at(axis.motion.end()) if self._box else None)
        self.axes[axis.name] = axis

    def connect(
        self,
        axis: str,
        number: int,
        counts_per_unit: float,
        offset: float = 0.0,
        *,
        resolution: int = 1,
        noise: int = 0,
        seed: int = 0,
        index: int | None = None,
        index_every: int = 0,
    ) -> None:
        """Put an encoder on an axis and plug it into INENC `number`, in place of any other.

        Args:
            axis: its name.
            number: of the INENC, from 1.
            counts_per_unit: negative if it counts the other way.
            offset: in counts.
            resolution: counts of the smallest step it shows.
            noise: largest deviation in counts, new every microsecond.
            seed: of the noise.
            index: count at which line Z is high; None: never.
            index_every: counts until it is high again; 0: it is nowhere else.

        Raises:
            KeyError: there is no such axis.
            ValueError: a number is out of range, or the box has no such INENC.
        """
        owner = self.axes[axis]
        track: Track = Encoder(owner.motion, counts_per_unit, offset)
        if resolution != 1:
            track = Coarse(track, resolution)
        if noise:
            period = max(self._clock.frequency // _MICROSECONDS, 1)
            track = Noisy(track, noise, period, seed)
        if index is not None:
            track = Indexed(track, Mark(index, index_every))
        if self._box:
            self._box.encoder_plugged(number, track)
        self.encoder_cables.pop(number, None)
        self.encoders[number] = track
        owner.subscribe(lambda tick: self._moved(number, track, tick))

    def cable(self, output: str, input_: str) -> None:
        """Lay a cable from an output of the box to an input of it, ``cable("TTLOUT1", "TTLIN2")``.

        The input follows one tick after the output, and no cable that it had before. From
        ``SFP2_SYNC_OUT1`` to ``SFP3_SYNC_IN1`` it is a fibre, which takes longer and has its
        link up; from ``OUTENC1`` to ``INENC2`` it has all lines, of every protocol, and takes
        the place of the axis that was on the input.

        Raises:
            ValueError: a name is not that of a connector, or an end of a fibre is not there.
        """
        source, target = connector(output), connector(input_)
        ends = source[0].endswith(_FIBRE[0]), target[0].endswith(_FIBRE[1])
        if all(ends):
            if self._box:
                self._box.fibre_laid(source, target)
            self._fibres.append((source, target))
            return
        if any(ends):
            raise ValueError(f"no cable fits from {output} to {input_}")
        if _OUTENC in source or _INENC in target:
            self._cable_encoder(source, target)
            return

        def follow(tick: int, level: int) -> None:
            self._levels[target] = level
            if self._box:
                self._box.level_driven(*target, level, tick + 1)

        self.observe(*source, follow)
        try:
            self.drive(*target, self.level(*source))
        except ValueError:
            self._observers[source].remove(follow)
            raise
        if target in self._cables:
            before, other = self._cables[target]
            self._observers[before].remove(other)
        self._cables[target] = source, follow

    def _cable_encoder(self, source: tuple[str, int], target: tuple[str, int]) -> None:
        if (source[0], target[0]) != (_OUTENC, _INENC):
            raise ValueError(
                f"no cable fits {source[0]}{source[1]} and {target[0]}{target[1]}:"
                " an encoder cable goes from an OUTENC to an INENC"
            )
        if self._box:
            self._box.encoder_cabled(target[1], source[1])
        self.encoders.pop(target[1], None)
        self.encoder_cables[target[1]] = source[1]

    def move(self, targets: Mapping[str, float]) -> int:
        """Start several axes at the same tick; return when the last one stands.

        Raises:
            KeyError: there is no such axis; none moves.
            ValueError: as for `Axis.move`; none moves.
        """
        for name, target in targets.items():
            self.axes[name].check(target)
        tick = self._begin_change()
        return max(self.axes[name].move(target, tick) for name, target in targets.items())

    def follow(
        self,
        legs: Iterable[Leg],
        gate: str | None = None,
        axes: Mapping[str, Axis] | None = None,
    ) -> Following:
        """Let axes go along a path from the next tick on; parts of it are planned as time passes.

        Args:
            legs: of the path, one after the other; all name the same axes. They may be very
                many: some are taken now, and later ones before time comes to them.
            gate: input of the box that is high in windows and low between, as ``"TTLIN1"``.
            axes: by the name that they have in legs; those of the world by their own if not
                given.

        Raises:
            KeyError: there is no such axis; none moves.
            ValueError: there are no legs, or the box has no such input; none moves.
        """
        if gate is not None:
            self.drive(*connector(gate), 0)

        def drive(level: int, tick: int) -> None:
            if gate is not None:
                self.drive(*connector(gate), level, tick)

        return Following(axes or self.axes, legs, self._begin_change, self.at, drive)

    def at(self, tick: int, then: Callable[[int], None]) -> None:
        """Call a function with a tick to come when time comes there.

        What it changes takes effect at the tick after. A world without a box looks for what
        is due when somebody asks where an axis is.
        """
        self._made += 1
        heappush(self._appointments, (tick, self._made, then))
        if self._box:
            self._box.wake_at(tick, self._keep_appointments)

    def attach(self, box: Box) -> None:
        """Surround a box.

        Raises:
            ValueError: the box has not an output that somebody observes, or no end for a fibre.
        """
        for block, number in self._observers:
            box.output_observed(block, number)
        self._box = box
        for source, target in self._fibres:
            box.fibre_laid(source, target)
        # a box that was switched off and on
        for tick, _, _ in self._appointments:
            box.wake_at(tick, self._keep_appointments)

    def drive(self, block: str, number: int, level: int, tick: int | None = None) -> None:
        """Set the level on an input of the box, as ``drive("TTLIN", 1, 1)``.

        Args:
            block: of the input.
            number: of the input, from 1.
            level: 0 or 1.
            tick: at which it changes; the next one, at once, if not given.

        Raises:
            ValueError: the tick is over, the level is another number, or the box has no such
                input.
        """
        if level not in {0, 1}:
            raise ValueError(f"the level on {block}{number} is 0 or 1, not {level!r}")
        if self._box:
            self._box.level_driven(block, number, level, tick)
        self._levels[block, number] = level

    def level(self, block: str, number: int) -> int:
        """Return the level of an input or output of the box, as last set."""
        return self._levels.get((block, number), 0)

    def observe(self, block: str, number: int, observer: Observer) -> None:
        """Be called whenever an output of the box changes, as ``("TTLOUT", 1, ...)``.

        Raises:
            ValueError: the box has no such output.
        """
        if self._box:
            self._box.output_observed(block, number)
        self._observers.setdefault((block, number), []).append(observer)

    def observed(self, block: str, number: int) -> bool:
        """Tell whether somebody observes an output of the box."""
        return bool(self._observers.get((block, number)))

    def output_changed(self, block: str, number: int, tick: int, level: int) -> None:
        """Take the level of an output from the box."""
        self._levels[block, number] = level
        for observer in self._observers.get((block, number), ()):
            observer(int(tick), level)

    def _present(self) -> int:
        # not that of the clock: an axis stands when the box has seen it stand
        if self._box:
            return self._box.present()
        now = self._clock.now()
        while self._appointments and self._appointments[0][0] <= now:
            due, _, then = heappop(self._appointments)
            then(due)
        return now

    def _keep_appointments(self, tick: int) -> None:
        while self._appointments and self._appointments[0][0] <= tick:
            _, _, then = heappop(self._appointments)
            then(tick)

    def _begin_change(self) -> int:
        return self._box.begin_change() if self._box else self._clock.now()

    def _moved(self, number: int, encoder: Track, tick: int) -> None:
        if self._box and self.encoders.get(number) is encoder:
            self._box.encoder_changed(number, tick)


def connector(name: str) -> tuple[str, int]:
    """Return block and number of a connector named as in ``TTLIN3``.

    Raises:
        ValueError: it is no such name.
    """
    match = _CONNECTOR.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no connector: name it like TTLIN3")
    return match[1], int(match[2])
