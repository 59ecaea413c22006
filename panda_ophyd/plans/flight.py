"""One flight: PandA and detectors wait, a flyer triggers them, documents come meanwhile.

Everything that can be paused is here. On a pause the RunEngine stops what it has moved, then tells
flyer and PandA, which disarm; rows on disk are whole, and what was under way has left none.
After `resume` the PandA has armed itself for the same file, and the flight goes on
at the first frame that is not on disk: the flyer is prepared from there, and so is the motion.

Source: flyscan.md 3.6, 4.2, 4.7.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (bluesky leaves the parameters of its generics open in these calls)

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator, short_uid
from ophyd_async.core import DetectorTrigger, TriggerInfo

from panda_ophyd.errors import CaptureError
from panda_ophyd.flyers.watch import PATIENCE
from panda_ophyd.plans.waiting import Finish, each, settle, wait_within

logger = logging.getLogger(__name__)

FLUSH_PERIOD = 0.2
"""Seconds between two collections of documents."""

STREAM = "primary"


@dataclass(frozen=True)
class Triggered:
    """A detector, and what it is prepared with."""

    device: Any
    info: TriggerInfo


class Motion(Protocol):
    """What moves during a flight."""

    def prepare(self, frame: int) -> MsgGenerator[None]:
        """Go to where the motion begins that passes this frame and all after it."""
        ...

    def moves(self) -> Generator[Any, Any, Finish | None]:
        """Begin the next move and return its end; None when there is none left."""
        ...


class Standing:
    """No motion."""

    def prepare(self, frame: int) -> MsgGenerator[None]:  # noqa: ARG002  nothing moves
        """Do nothing."""
        yield from ()

    def moves(self) -> Generator[Any, Any, Finish | None]:
        """Return None."""
        yield from ()
        return None


STANDING = Standing()


@dataclass
class Flight:
    """A flight of so many rows.

    Attributes:
        panda: `HDFPanda`, staged.
        flyer: of one of our logics, staged.
        value_from: what the flyer is prepared with, from a frame on.
        rows: in all.
        detectors: that are triggered too, staged.
        motion: of the stage.
        stream: name of the documents' stream.
        longest_pause: seconds between two rows at most, beside the ordinary time-out.
    """

    panda: Any
    flyer: Any
    value_from: Callable[[int], Any]
    rows: int
    detectors: Sequence[Triggered] = ()
    motion: Motion = STANDING
    stream: str = STREAM
    flush_period: float = FLUSH_PERIOD
    longest_pause: float = 0.0
    _first: int = field(default=0, init=False)

    def fly(self) -> MsgGenerator[None]:
        """Prepare, fly and collect; documents name every row on disk, however it ends."""
        self._spare_frames()
        yield from self._prepare()
        rows = yield from self._begin()
        try:
            yield from self._fly(rows)
        except Exception:
            yield from self._collect_what_there_is()
            raise

    def _spare_frames(self) -> None:
        """Say what has to happen before a stage brakes: PCAP is disarmed, so that no row is wrong.

        With detectors at the end of a window, for a frame that is cut has triggered them.
        """
        finish = getattr(self.flyer.flyable_logic, "finish_window", self.panda.pause)
        for axis in getattr(self.motion, "axes", ()):
            axis.before_stop = finish if self.detectors else self.panda.pause

    def _fly(self, rows: Finish) -> MsgGenerator[None]:
        while not rows.done:
            yield from self._run(rows)
            if rows.done:
                break
            if self._interrupted:
                done = yield from self._rows_so_far()
                self._check_detectors(done)
                yield from self._prepare_from(done)
        yield from self._collect()

    def _check_detectors(self, rows: int) -> None:
        """Refuse to go on where detectors have frames that the PandA has no row of."""
        begun = self.flyer.flyable_logic.frames_begun
        if self.detectors and (begun is None or self._first + begun != rows):
            names = ", ".join(one.device.name for one in self.detectors)
            raise CaptureError(
                f"{self.panda.name}: it was paused within a frame, of which there is no row, and"
                f" {names} was triggered for it: what follows would be one frame off. Pause scans"
                " with detectors between windows, or abort them",
                reason="paused within a frame",
                samples_sent=None,
                samples_written=rows,
            )

    @property
    def _devices(self) -> list[Any]:
        return [self.panda, *(detector.device for detector in self.detectors)]

    @property
    def _interrupted(self) -> bool:
        return bool(self.flyer.flyable_logic.interrupted)

    def _prepare(self) -> MsgGenerator[None]:
        # First the motion, so that nothing is armed while stages go to where they begin; then the
        # flyer, so that checks of the PandA see its table.
        yield from self._prepare_from(0)
        info = TriggerInfo(
            number_of_events=self.rows,
            trigger=DetectorTrigger.EXTERNAL_LEVEL,
            exposure_timeout=PATIENCE + self.longest_pause,
        )
        waiting = (Triggered(self.panda, info), *self.detectors)
        prepared = yield from each(
            bps.prepare(one.device, one.info, group=_group()) for one in waiting
        )
        yield from settle(prepared)

    def _prepare_from(self, frame: int) -> MsgGenerator[None]:
        yield from self.motion.prepare(frame)
        self._first = frame
        value = self.value_from(frame)
        prepared = yield from each([bps.prepare(self.flyer, value, group=_group())])
        yield from settle(prepared)

    def _begin(self) -> MsgGenerator[Finish]:
        """Declare the stream, kick the detectors off, and return the end of all rows."""
        yield from bps.declare_stream(*self._devices, name=self.stream, collect=True)
        started = yield from each(bps.kickoff(one, group=_group()) for one in self._devices)
        yield from settle(started)
        return (yield from each(bps.complete(one, group=_group()) for one in self._devices))

    def _run(self, rows: Finish) -> MsgGenerator[None]:
        """Fly until all rows are there, or somebody pauses."""
        started = yield from each([bps.kickoff(self.flyer, group=_group())])
        yield from settle(started)
        flown = yield from each([bps.complete(self.flyer, group=_group())])
        while not self._interrupted:
            move = yield from self.motion.moves()
            if move is None:
                break
            yield from self._collect_until(move)
        yield from self._collect_until(flown)
        if not self._interrupted:
            yield from self._collect_until(rows)

    def _collect_until(self, end: Finish) -> MsgGenerator[None]:
        while not end.done and not self._interrupted:
            yield from bps.checkpoint()
            yield from wait_within(end, self.flush_period)
            yield from self._collect()

    def _collect(self) -> MsgGenerator[None]:
        yield from bps.collect(*self._devices, name=self.stream, return_payload=False)

    def _collect_what_there_is(self) -> MsgGenerator[None]:
        try:
            yield from self._collect()
        except Exception as second:  # noqa: BLE001  the first failure is the one that counts
            logger.warning("%s: %s", self.panda.name, second)

    def _rows_so_far(self) -> MsgGenerator[int]:
        return (yield from bps.rd(self.panda.data.num_captured))


def _group() -> str:
    return short_uid("flight")
