"""What a fault may meddle with: every hook leaves things as they are, unless overridden.

The class of a fault is its parameters (typed fields) and the hooks that it needs. It
holds no state: how far things are on one connection is in its `Progress`.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from typing_extensions import override

from panda_simulator.faults.actions import Action, Freeze, Send, Wait
from panda_simulator.faults.parameters import choice, whole
from panda_simulator.hardware import Completion


class Firing(Protocol):
    """One injected fault, as its effect sees it."""

    cleared: asyncio.Event
    """Set when it was taken back."""

    def fire(self) -> bool:
        """Count that it happens now; False if it has happened often enough."""
        ...


class Running(Protocol):
    """The acquisition under way, as a fault sees it."""

    def finish(self, completion: Completion) -> None:
        """End it here: no more samples, and this completion when the hardware has stopped."""
        ...


class Machine(Protocol):
    """The box with its server, and what can happen to them."""

    ahead_ns: int
    """How much too late the date of the box is."""

    def reboot(self, seconds: float, *, reset: bool) -> None:
        """Drop all connections and all settings; be back after some seconds."""
        ...

    def restart(self, seconds: float, *, reset: bool) -> None:
        """Drop all connections, keep the settings; be back after some seconds."""
        ...

    def refuse(self, port: str, seconds: float) -> None:
        """Refuse new connections to ``control``, ``data`` or ``both`` for some seconds."""
        ...

    def command(self, line: str) -> str:
        """Do a command as some other client would, and return the reply."""
        ...

    def jump(self, seconds: float) -> None:
        """Set the date of the box forward, or back."""
        ...

    def later(self, seconds: float, function: Callable[[], Any]) -> None:
        """Call a function from the event loop after some seconds."""
        ...


class Progress:
    """How far one connection is, as one fault sees it.

    Attributes:
        sent: bytes that the server sent since the fault was there.
        received: bytes that it received since then.
        samples: samples that it sent since then.
        frames: pieces of data that it sent since then.
        done: whether a fault that happens once to a connection has happened to this one.
        hitting: whether a fault of several rows is under way.
        machine: the box.
        before: what to do before the next bytes are sent.
        after: what to do after them.
        random: same numbers for the same seed and the same place among connections.
    """

    def __init__(self, fault: Firing, machine: Machine, seed: int) -> None:
        self.sent = 0
        self.received = 0
        self.samples = 0
        self.frames = 0
        self.done = False
        self.hitting = False
        self.machine = machine
        self.before: list[Action] = []
        self.after: list[Action] = []
        self.random = random.Random(seed)  # noqa: S311 (no secret)
        self._fault = fault

    def fire(self) -> bool:
        """Count that the fault happens now; False if it has happened often enough."""
        return self._fault.fire()

    def wait(self, seconds: float) -> Wait:
        """Make a pause that ends when the fault is cleared."""
        return Wait(seconds, self._fault.cleared)

    def freeze(self, seconds: float) -> Freeze:
        """Make a freeze that ends when the fault is cleared."""
        return Freeze(seconds, self._fault.cleared)


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one fault does."""

    times: int = whole(1, "how often it happens, 0 for ever")

    @property
    def target(self) -> str:
        """The port whose connections it meddles with: control, data, both, or none."""
        return ""

    @property
    def place(self) -> int:
        """Which of the connections it meddles with, 0 for all of them."""
        return 0

    @property
    def chance(self) -> int:
        """The seed of what happens at random."""
        return 0

    @property
    def due(self) -> int | None:
        """The sample of an acquisition at which `reached` is called; 0 is its start."""
        return None

    # on a connection

    def attached(self, at: Progress) -> Iterator[Action]:
        """Act on a connection that the fault has just come to; nothing can be sent here."""
        yield from ()

    def sending(self, data: bytes, at: Progress) -> Iterator[Action]:
        """Turn bytes that are to be sent into what happens instead."""
        yield Send(data)

    def receiving(self, at: Progress) -> Iterator[Action]:
        """Act when bytes have come."""
        yield from ()

    # on a control connection

    def refusal(self, command: str, at: Progress) -> str | None:
        """Return the error with which a command is refused, None to let it be done."""
        return None

    def reply(self, command: str, text: str, at: Progress) -> str:
        """Return what is sent instead of a reply, line ends included."""
        return text

    # on a data connection

    def missed(self, at: Progress) -> int:
        """Return how many more samples this client misses at the start of an acquisition."""
        return 0

    def header(self, text: bytes, at: Progress) -> bytes:
        """Return what is sent instead of a header."""
        return text

    def boundary(self, sent: int, at: Progress) -> int | None:
        """Return after how many more samples a piece of data has to end, None if anywhere."""
        return None

    def overrun(self, sent: int, at: Progress) -> bool:
        """Tell whether this client is too slow, after some samples of an acquisition."""
        return False

    def rows(self, first: int, rows: list[bytes], at: Progress) -> list[bytes]:
        """Return what is sent instead of rows; `first` were sent in this acquisition before."""
        return rows

    def frame(self, piece: bytes, at: Progress) -> bytes:
        """Return what is sent instead of a piece of data."""
        return piece

    def end(self, line: bytes, at: Progress) -> bytes:
        """Return what is sent instead of an END line."""
        return line

    # on the acquisition

    def holds_start(self) -> bool:
        """Tell whether the start of an acquisition is to be kept from the server."""
        return False

    def reached(self, running: Running, machine: Machine) -> None:
        """Act when an acquisition has come to the sample at which this is due."""

    # on the box

    def injected(self, fire: Callable[[], bool], machine: Machine) -> None:
        """Act when the fault is injected."""


@dataclass(frozen=True, kw_only=True)
class ConnectionEffect(Effect):
    """A fault of some connections."""

    port: str = choice("both", ("control", "data", "both"), "the port whose connections have it")
    connection: int = whole(
        0, "which connection: the n-th of those that are open or will come, 0 for all"
    )

    @property
    @override
    def target(self) -> str:
        return self.port

    @property
    @override
    def place(self) -> int:
        return self.connection


def matcher(pattern: str) -> re.Pattern[str]:
    """Compile a pattern in which ``*`` stands for any text, itself included."""
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
