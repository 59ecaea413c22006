"""What the hardware says of an acquisition passes here on its way to the server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from panda_simulator.faults.faults import Fault, Faults
from panda_simulator.hardware import CaptureSink, Completion


class PacedSink(CaptureSink, Protocol):
    """The server's side of an acquisition: it knows how far its clients are."""

    @property
    def backlog(self) -> int | None:
        """Blocks that the slowest client has still to take; None without clients."""
        ...


class WatchedSink:
    """The server's side of one acquisition (hardware.CaptureSink), with faults before it."""

    def __init__(
        self, sink: PacedSink, row_bytes: int, faults: Faults, disarm: Callable[[Completion], None]
    ) -> None:
        """Begin at ARM.

        Args:
            sink: the server's side.
            row_bytes: bytes of a sample.
            faults: those there are.
            disarm: stops the hardware, as if it had found a reason itself.
        """
        self._sink = sink
        self._row_bytes = row_bytes
        self._faults = faults
        self._disarm = disarm
        self._rows = 0
        self._held = False
        self._over = False
        self._completion: Completion | None = None
        self._had = set[Fault]()

    @property
    def backlog(self) -> int | None:
        """Blocks that the slowest client has still to take (PacedSink)."""
        return self._sink.backlog

    def started(self, start_time_ns: int, hardware_time_ns: int | None) -> None:
        """Pass the start on, unless a fault holds it (CaptureSink)."""
        self._held = any(fault.effect.holds_start() and fault.fire() for fault in self._due())
        if not self._held:
            ahead = self._faults.machine.ahead_ns
            self._sink.started(start_time_ns + ahead, hardware_time_ns)
            self._reach()

    def samples(self, data: bytes) -> None:
        """Pass samples on, up to the one at which a fault is due (CaptureSink)."""
        while data and not self._held and not self._over:
            room = min((due - self._rows for due in self._dues()), default=None)
            take = len(data) if room is None else min(room * self._row_bytes, len(data))
            self._rows += take // self._row_bytes
            self._sink.samples(data[:take])
            data = data[take:]
            self._reach()

    def ended(self, completion: Completion) -> None:
        """Pass the end on (CaptureSink)."""
        self._sink.ended(completion if self._completion is None else self._completion)
        self._over = True

    def finish(self, completion: Completion) -> None:
        """End it here (effect.Running)."""
        if not self._over:
            self._over = True
            self._completion = completion
            # not now: the hardware is in the middle of handing over samples
            self._faults.machine.later(0, partial(self._disarm, completion))

    def _due(self) -> list[Fault]:
        return [fault for fault in self._faults.active if not fault.spent]

    def _dues(self) -> list[int]:
        dues = (fault.effect.due for fault in self._due() if fault not in self._had)
        return [due for due in dues if due is not None and due > self._rows]

    def _reach(self) -> None:
        for fault in self._due():
            due = fault.effect.due
            if due is not None and due <= self._rows and fault not in self._had:
                self._had.add(fault)
                if fault.fire():
                    fault.effect.reached(self, self._faults.machine)
