"""A train of detector pulses in each frame, as a PULSE block makes it; pure arithmetic in ticks.

Source: flyscan.md 1.9, 1.10, S8; blocks.md 5.9 for what the block really does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from panda_ophyd.errors import FieldValueError

CLOCK = 125_000_000
"""Hz."""

SHORTEST = 5
"""Ticks of the shortest width or delay: the block makes 5 of 1 to 4."""

QUEUE = 255
"""Trains that may wait in the block. Source: blocks.md 5.9 (257, documented as 255)."""

GAP_WITHOUT_DEADTIME = 1e-6
"""Seconds between pulses for a detector that says nothing of itself. Source: flyscan.md 1.9."""


@dataclass(frozen=True)
class PulseTrain:
    """What one PULSE does at each frame, in ticks that the block takes as they are.

    Attributes:
        frame: ticks of the shortest frame, from trigger to trigger.
        pulses: in each frame.
        width: of a pulse.
        step: from rise to rise.
        delay: from the trigger to the first rise.
        clock: Hz.
        block: name in messages, ``PULSE1``.
        spill: pulses may reach into the next frame (a long delay); the block queues them.

    Raises:
        FieldValueError: the block would not make this train at each frame.
    """

    frame: int
    pulses: int
    width: int
    step: int
    delay: int = 0
    clock: int = CLOCK
    block: str = "PULSE"
    spill: bool = False

    def __post_init__(self) -> None:
        if self.pulses < 1:
            raise FieldValueError(f"{self.block}.PULSES", self.pulses, "make at least one a frame")
        if self.width < SHORTEST:
            reason = f"the block makes no pulse shorter than {SHORTEST} ticks"
            raise FieldValueError(f"{self.block}.WIDTH", self._text(self.width), reason)
        if self.delay < 0 or 0 < self.delay < SHORTEST:
            reason = f"a delay is 0 or at least {SHORTEST} ticks"
            raise FieldValueError(f"{self.block}.DELAY", self._text(self.delay), reason)
        if self.pulses > 1 and self.step <= self.width:
            reason = (
                f"pulses of {self._text(self.width)} would touch; from rise to rise it has to be "
                "longer than a pulse"
            )
            raise FieldValueError(f"{self.block}.STEP", self._text(self.step), reason)
        self._check_frame()

    def _check_frame(self) -> None:
        # Not taken before one tick after the last fall: a trigger meanwhile is dropped.
        if self.length + 1 > self.frame:
            reason = (
                f"a train of {self.pulses} pulse{'s' * (self.pulses > 1)} of "
                f"{self._text(self.width)}, {self._text(self.step)} from rise to rise, is "
                f"{self._text(self.length)} long, and the frame is {self._text(self.frame)}: the "
                "triggers of later frames would be dropped; make pulses shorter or fewer, or "
                "frames longer"
            )
            raise FieldValueError(f"{self.block}.PULSES", self.pulses, reason)
        end = self.delay + self.length
        if end > self.frame and not self.spill:
            reason = (
                f"the last pulse would end {self._text(end)} after the trigger, behind the frame "
                f"of {self._text(self.frame)}; delay less, or pass spill=True if it is meant"
            )
            raise FieldValueError(f"{self.block}.DELAY", self._text(self.delay), reason)
        if self.queued > QUEUE:
            reason = f"{self.queued} trains would wait in the block, which holds {QUEUE}"
            raise FieldValueError(f"{self.block}.DELAY", self._text(self.delay), reason)

    @property
    def length(self) -> int:
        """Ticks from the first rise to the last fall."""
        return (self.pulses - 1) * self.step + self.width

    @property
    def queued(self) -> int:
        """Trains that are in the block at the same time, at most."""
        return math.ceil((self.delay + self.length) / self.frame)

    @property
    def seconds(self) -> tuple[float, float, float]:
        """Delay, width and step in seconds, as the block is told."""
        return self.delay / self.clock, self.width / self.clock, self.step / self.clock

    def _text(self, ticks: int) -> str:
        return f"{ticks / self.clock * 1e3:.9g} ms"

    @classmethod
    def of(
        cls,
        duration: float,
        frames_per_event: int = 1,
        *,
        exposure: float | None = None,
        deadtime: float | None = None,
        step: float | None = None,
        delay: float | None = None,
        accuracy: float = 0.0,
        clock: int = CLOCK,
        block: str = "PULSE",
        spill: bool = False,
    ) -> PulseTrain:
        """Work out the train of a detector.

        Args:
            duration: seconds of a frame; of the shortest if they differ.
            frames_per_event: pulses in each.
            exposure: seconds of a pulse; None for the longest that the dead time leaves.
            deadtime: seconds that the detector needs between exposures; None if it says
                nothing, then a microsecond is left.
            step: seconds from rise to rise; None to spread pulses over the frame.
            delay: seconds from the trigger to the first rise; None to centre each pulse in
                its step.
            accuracy: ppm by which the clocks of detector and PandA may differ. That much of
                the step is left in addition to the dead time.
            clock: Hz.
            block: name in messages.
            spill: see the class.

        Raises:
            FieldValueError: it does not fit; says by how much.
        """
        if frames_per_event < 1:
            raise FieldValueError(f"{block}.PULSES", frames_per_event, "make at least one a frame")
        times = {"frame": duration, "exposure": exposure, "dead time": deadtime, "step": step,
                 "delay": delay, "accuracy": accuracy}  # fmt: skip
        for name, value in times.items():
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise FieldValueError(f"{block} {name}", value, "give a number, not negative")
        frame = math.floor(duration * clock + _ROUND)
        # Never longer than the frame, so rounded down.
        steps = frame // frames_per_event if step is None else round(step * clock)
        width = _width(block, steps, exposure, deadtime, accuracy, clock)
        late = _centred(steps - width) if delay is None else _possible(round(delay * clock))
        return cls(frame, frames_per_event, width, steps, late, clock, block, spill)


_ROUND = 1e-3
"""Ticks: 0.01 s is 1 250 000 ticks although the product is a little less in binary."""


def _width(
    block: str,
    step: int,
    exposure: float | None,
    deadtime: float | None,
    accuracy: float,
    clock: int,
) -> int:
    dead = 0.0 if deadtime is None else deadtime
    if exposure is None and deadtime is None:
        dead = GAP_WITHOUT_DEADTIME
    spare = math.ceil(dead * clock + step * accuracy / 1e6 - _ROUND)
    longest = step - spare
    if longest < SHORTEST:
        reason = (
            f"a dead time of {spare / clock * 1e3:.9g} ms leaves no exposure in a step of "
            f"{step / clock * 1e3:.9g} ms; make frames longer, or fewer pulses a frame"
        )
        raise FieldValueError(f"{block}.WIDTH", f"{longest / clock * 1e3:.9g} ms", reason)
    if exposure is None:
        return longest
    if exposure == 0:
        raise FieldValueError(f"{block}.WIDTH", exposure, "0 would pass the trigger on as it is")
    width = _possible(max(round(exposure * clock), 1))
    if width > longest and deadtime is not None:
        reason = (
            f"the detector can expose for {longest / clock * 1e3:.9g} ms at most in a step of "
            f"{step / clock * 1e3:.9g} ms, with a dead time of {dead * 1e3:.9g} ms"
        )
        raise FieldValueError(f"{block}.WIDTH", f"{width / clock * 1e3:.9g} ms", reason)
    return width


def _possible(ticks: int) -> int:
    return SHORTEST if 0 < ticks < SHORTEST else ticks


def _centred(room: int) -> int:
    half = max(room, 0) // 2
    if half >= SHORTEST:
        return half
    # Delays of 1 to 4 do not exist: the nearer of 0 and 5 that stays in the step.
    return SHORTEST if half > SHORTEST // 2 and room >= SHORTEST else 0


def longest_deadtime(told: Iterable[tuple[str, float | None]]) -> float:
    """Return the dead time that every detector keeps, 0 if there is none.

    Args:
        told: name of each detector, and seconds.

    Raises:
        FieldValueError: one does not tell.
    """
    longest = 0.0
    for name, seconds in told:
        if seconds is None or not (math.isfinite(seconds) and seconds >= 0):
            reason = "it cannot be triggered by hardware or does not say; give a number of seconds"
            raise FieldValueError(f"dead time of {name}", seconds, reason)
        longest = max(longest, seconds)
    return longest
