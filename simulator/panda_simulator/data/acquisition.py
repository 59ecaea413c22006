"""An acquisition takes words from the hardware and hands blocks of them to the readers.

Source: protocol.md 7.1 to 7.3, 8.3, 8.6 (block granularity).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from panda_simulator.box import Box, CommandError
from panda_simulator.box.capture import CapturePlan
from panda_simulator.data.header import Times
from panda_simulator.data.ring import BLOCK_BYTES, SMALL_BLOCK_BYTES, Ring, State
from panda_simulator.hardware import CaptureSink, Completion

BLOCK_SECONDS = 0.1
_SLACK_SECONDS = 0.03
"""Words that come every 100 ms, more or less, go out as they come."""
_COMPLETIONS = {
    Completion.DMA_ERROR: "DMA data error",
    Completion.DRIVER_OVERRUN: "Driver data overrun",
    Completion.FRAMING_ERROR: "Framing error",
    Completion.DISARMED: "Disarmed",
}


class Later(Protocol):
    """Calls a function after some seconds."""

    def __call__(self, delay: float, function: Callable[[], None], /) -> object:
        """Call the function once, after the delay."""
        ...


def completion_text(completion: int) -> str:
    """Return the worst of what the hardware reported."""
    if not completion:
        return "Ok"
    for bit, text in _COMPLETIONS.items():
        if completion & bit:
            return text
    return "Unexpected completion error"


class Acquisition:
    """The one acquisition that a PandA can make at a time, or the last one."""

    def __init__(
        self,
        box: Box,
        *,
        later: Later,
        clock: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
        watch: Callable[[Acquisition, int], CaptureSink] | None = None,
        paced: bool = True,
    ) -> None:
        """Start idle.

        Args:
            box: what is captured, and the hardware that does it.
            later: schedules the hand-over of words that do not fill a block.
            clock: seconds, of the same time that `later` counts.
            now_ns: wall clock, ns since 1970.
            watch: puts something between the hardware and its sink, given the bytes of a
                sample.
            paced: whether words that do not fill a block go on after 100 ms; otherwise
                `settle` says when, and nothing depends on the clock.
        """
        features = box.wiring.features
        self.features = features
        self.ring = Ring(opens_empty=not features.late_header)
        self._block_bytes = BLOCK_BYTES if features.large_blocks else SMALL_BLOCK_BYTES
        self.plan: CapturePlan | None = None
        self.times = Times(0, 0, None)
        self.watchers: list[Callable[[], None]] = []
        """Called when readers may have something to do."""
        self._box = box
        self._later = later
        self._clock = clock
        self._now_ns = now_ns
        self._watch = watch
        self._paced = paced
        self._capturing = False
        self._result = Completion.OK
        self._pending = bytearray()
        self._released_at = 0.0
        self._due = False
        self._bytes = 0

    def arm(self) -> None:
        """Freeze what is captured and arm the hardware.

        Raises:
            CommandError: protocol.md 7.2.
        """
        if not self._box.supports_capture():
            raise CommandError("PCAP not supported with this configuration")
        if self._capturing:
            raise CommandError("Data capture already in progress")
        if self.ring.state is not State.IDLE:
            raise CommandError("Unexpected error at data_server.c:254")
        armed = self._now_ns()
        plan = self._box.plan_capture()
        self.plan = plan
        # before the header came at the start, nobody remembered the start of the one before
        started = self.times.started if self.features.start_header else 0
        self.times = Times(armed, started, self.times.hardware_offset)
        self._capturing = True
        self._result = Completion.OK
        self._pending.clear()
        self._bytes = 0
        self.ring.start()
        try:
            sink = self._watch(self, plan.raw_bytes) if self._watch else self
            self._box.hardware.arm(plan.entries, sink)
        except RuntimeError as error:
            self.ended(Completion.OK)
            raise CommandError(str(error)) from error
        if self.ring.opens_empty:
            self._notify()

    def disarm(self) -> None:
        """Ask the hardware to stop; nothing happens if it is idle."""
        if self._capturing:
            self._box.hardware.disarm()

    @property
    def status(self) -> str:
        """State of the ring, number of readers, and of those still owed data."""
        state = "Idle" if self.ring.state is State.IDLE else "Busy"
        return f"{state} {self.ring.readers} {self.ring.active}"

    @property
    def captured(self) -> int:
        """Samples that arrived in the current or last acquisition."""
        return self._bytes // self.plan.raw_bytes if self.plan else 0

    @property
    def backlog(self) -> int | None:
        """Blocks that the slowest reader has still to take; None if nobody reads."""
        return self.ring.lag if self.ring.active else None

    @property
    def completion(self) -> str:
        """``Busy``, or how the last acquisition ended."""
        return "Busy" if self._capturing else self.reason

    @property
    def reason(self) -> str:
        """How the acquisition ended."""
        return completion_text(self._result)

    def started(self, start_time_ns: int, hardware_time_ns: int | None) -> None:
        """Take note of the start; readers get their header now (CaptureSink)."""
        if not self.features.hardware_time:
            hardware_time_ns = None
        offset = None
        if hardware_time_ns:
            offset = start_time_ns - hardware_time_ns
        self.times = Times(self.times.armed, hardware_time_ns or start_time_ns, offset)
        if self.features.start_header:
            self._release()
        # the first words need not wait
        self._released_at -= BLOCK_SECONDS

    def samples(self, data: bytes) -> None:
        """Take words; blocks go out when full, and at most every 100 ms (CaptureSink)."""
        rest = memoryview(data)
        while len(self._pending) + len(rest) >= self._block_bytes:
            room = self._block_bytes - len(self._pending)
            self._pending += rest[:room]
            rest = rest[room:]
            self._release()
        self._pending += rest
        if not self._pending or self._due or not self._paced:
            return
        wait = self._released_at + BLOCK_SECONDS - self._clock()
        if wait <= _SLACK_SECONDS:
            self._release()
        else:
            self._due = True
            self._later(wait, self._release_due)

    def ended(self, completion: Completion) -> None:
        """Hand over what is left and end (CaptureSink)."""
        if self._pending or self.features.late_header:
            self._release()
        self._capturing = False
        self._result = completion
        self.ring.finish()
        self._notify()

    def settle(self) -> None:
        """Hand over now what `later` was to do, which may not come."""
        if self._due or not self._paced:
            self._release_due()

    def _release_due(self) -> None:
        self._due = False
        if self._pending and self._capturing:
            self._release()

    def _release(self) -> None:
        block = bytes(self._pending)
        self._pending.clear()
        self._bytes += len(block)
        self._released_at = self._clock()
        self.ring.write(block)
        self._notify()

    def _notify(self) -> None:
        for watcher in list(self.watchers):
            watcher()
