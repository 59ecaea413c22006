"""Faults of an acquisition in the hardware, and of the box with all of its connections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from typing_extensions import override

from panda_simulator.faults.effect import Effect, Machine, Progress, Running, matcher
from panda_simulator.faults.parameters import choice, duration, offset, whole, words
from panda_simulator.hardware import Completion

_CENTURY = 3.2e9
"""Seconds; dates that are far away cannot be written."""

COMPLETIONS = {
    "ok": Completion.OK,
    "disarmed": Completion.DISARMED,
    "framing-error": Completion.FRAMING_ERROR,
    "driver-data-overrun": Completion.DRIVER_OVERRUN,
    "dma-data-error": Completion.DMA_ERROR,
    "unexpected-completion-error": Completion(16),
}
"""Source: protocol.md 8.7; those of one client are faults of its connection."""


@dataclass(frozen=True, kw_only=True)
class EndReason(Effect):
    """Row ``end-reason``."""

    reason: str = choice("framing-error", COMPLETIONS, "what the hardware reports")
    sample: int = whole(0, "after how many samples")

    @property
    @override
    def due(self) -> int | None:
        return self.sample

    @override
    def reached(self, running: Running, machine: Machine) -> None:
        running.finish(COMPLETIONS[self.reason])


@dataclass(frozen=True, kw_only=True)
class NoStart(Effect):
    """Row ``no-start``."""

    @override
    def holds_start(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class BoxEffect(Effect):
    """Something that happens to the box: at once, at a sample, or before a command."""

    delay: float = duration(0.0, "how long after")
    sample: int | None = whole(None, "when an acquisition has so many samples, not at once")
    before: str | None = words(None, "when a client sends such a command, not at once")

    def act(self, machine: Machine) -> None:
        """Do it."""

    @property
    @override
    def target(self) -> str:
        return "" if self.before is None else "control"

    @property
    @override
    def due(self) -> int | None:
        return self.sample

    @override
    def injected(self, fire: Callable[[], bool], machine: Machine) -> None:
        if self.sample is None and self.before is None:
            machine.later(self.delay, lambda: self._act_once(fire, machine))

    def _act_once(self, fire: Callable[[], bool], machine: Machine) -> None:
        if fire():
            self.act(machine)

    @override
    def reached(self, running: Running, machine: Machine) -> None:
        # not now: the hardware is in the middle of handing over samples
        machine.later(self.delay, lambda: self.act(machine))

    @override
    def refusal(self, command: str, at: Progress) -> str | None:
        if self.before is not None and matcher(self.before).fullmatch(command) and at.fire():
            if self.delay:
                at.machine.later(self.delay, lambda: self.act(at.machine))
            else:
                self.act(at.machine)
        return None


@dataclass(frozen=True, kw_only=True)
class Reboot(BoxEffect):
    """Row ``reboot``."""

    seconds: float = duration(1.0, "until the ports answer again")
    drop: str = choice("reset", ("reset", "close"), "what connections see")

    @override
    def act(self, machine: Machine) -> None:
        machine.reboot(self.seconds, reset=self.drop == "reset")


@dataclass(frozen=True, kw_only=True)
class Restart(BoxEffect):
    """Row ``restart``."""

    seconds: float = duration(0.5, "until the ports answer again")
    drop: str = choice("close", ("reset", "close"), "what connections see")

    @override
    def act(self, machine: Machine) -> None:
        machine.restart(self.seconds, reset=self.drop == "reset")


@dataclass(frozen=True, kw_only=True)
class Refuse(BoxEffect):
    """Row ``refuse``."""

    port: str = choice("both", ("control", "data", "both"), "the port")
    seconds: float = duration(1.0, "for how long")

    @override
    def act(self, machine: Machine) -> None:
        machine.refuse(self.port, self.seconds)


@dataclass(frozen=True, kw_only=True)
class ClockJump(BoxEffect):
    """Row ``clock-jump``."""

    seconds: float = offset(3600.0, "by how much, negative is back", _CENTURY)

    @override
    def act(self, machine: Machine) -> None:
        machine.jump(self.seconds)


@dataclass(frozen=True, kw_only=True)
class SomeoneElse(BoxEffect):
    """Row ``someone-else``."""

    command: str = words(r"*PCAP.DISARM=", r"what the other client sends; \n ends a line")

    @override
    def act(self, machine: Machine) -> None:
        machine.command(self.command)
