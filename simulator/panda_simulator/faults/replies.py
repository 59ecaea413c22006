"""Faults of single commands and their replies on the control port."""

from __future__ import annotations

import re
from dataclasses import dataclass

from typing_extensions import override

from panda_simulator.faults.actions import Close
from panda_simulator.faults.effect import Effect, Progress, matcher
from panda_simulator.faults.parameters import choice, duration, whole, words

ARM_REFUSALS = {
    "not-supported": "PCAP not supported with this configuration",
    "in-progress": "Data capture already in progress",
    "draining": "Unexpected error at data_server.c:254",
    "nothing": "Nothing configured for capture",
    "too-many": "Too many captures for PCAP",
}
"""Source: protocol.md 7.2."""

_COMMAND = "the command; * stands for any text"
_CHANGES = re.compile(r"\*CHANGES(\.[A-Z]*)?\?")
_DIGITS = re.compile(r"\d*$")


@dataclass(frozen=True, kw_only=True)
class ControlEffect(Effect):
    """A fault of control connections."""

    connection: int = whole(
        0, "which connection: the n-th of those that are open or will come, 0 for all"
    )

    @property
    @override
    def target(self) -> str:
        return "control"

    @property
    @override
    def place(self) -> int:
        return self.connection


@dataclass(frozen=True, kw_only=True)
class CommandEffect(ControlEffect):
    """A fault of the commands that match a pattern."""

    command: str = words("*", _COMMAND)

    def hits(self, command: str) -> bool:
        """Tell whether a command is meant."""
        return matcher(self.command).fullmatch(command) is not None


@dataclass(frozen=True, kw_only=True)
class RefuseArm(ControlEffect):
    """Row ``refuse-arm``."""

    reason: str = choice("in-progress", ARM_REFUSALS, "the server's reason")

    @override
    def refusal(self, command: str, at: Progress) -> str | None:
        if command.startswith("*PCAP.ARM=") and at.fire():
            return ARM_REFUSALS[self.reason]
        return None


@dataclass(frozen=True, kw_only=True)
class RefuseCommand(CommandEffect):
    """Row ``refuse-command``."""

    error: str = words("Unknown error", "what is sent after ERR")

    @override
    def refusal(self, command: str, at: Progress) -> str | None:
        return self.error if self.hits(command) and at.fire() else None


@dataclass(frozen=True, kw_only=True)
class FieldError(ControlEffect):
    """Row ``field-error``."""

    times: int = whole(0, "how often it happens, 0 for ever")
    field: str = words(meaning="the field, as PULSE1.DELAY")
    error: str = words("Extension server exception", "what is sent after ERR")

    @override
    def refusal(self, command: str, at: Progress) -> str | None:
        return self.error if command == f"{self.field}?" and at.fire() else None

    @override
    def reply(self, command: str, text: str, at: Progress) -> str:
        start = f"!{self.field}="
        if start not in text or not _CHANGES.fullmatch(command):
            return text
        lines = text.split("\n")
        failed = [f"!{self.field} (error)" if line.startswith(start) else line for line in lines]
        return "\n".join(failed) if failed != lines and at.fire() else text


@dataclass(frozen=True, kw_only=True)
class SlowCommand(CommandEffect):
    """Row ``slow-command``."""

    times: int = whole(0, "how often it happens, 0 for ever")
    seconds: float = duration(1.0, "how long it takes")

    @override
    def reply(self, command: str, text: str, at: Progress) -> str:
        if self.hits(command) and at.fire():
            at.before.append(at.wait(self.seconds))
        return text


@dataclass(frozen=True, kw_only=True)
class WrongReply(CommandEffect):
    """Row ``wrong-reply``."""

    text: str = words("OK =", r"what is sent instead of the reply; \n ends a line")

    @override
    def reply(self, command: str, text: str, at: Progress) -> str:
        return f"{self.text}\n" if self.hits(command) and at.fire() else text


@dataclass(frozen=True, kw_only=True)
class LostReply(CommandEffect):
    """Row ``lost-reply``."""

    @override
    def reply(self, command: str, text: str, at: Progress) -> str:
        return "" if self.hits(command) and at.fire() else text


@dataclass(frozen=True, kw_only=True)
class ExtraReply(CommandEffect):
    """Row ``extra-reply``."""

    @override
    def reply(self, command: str, text: str, at: Progress) -> str:
        return text + text if self.hits(command) and at.fire() else text


@dataclass(frozen=True, kw_only=True)
class HalfLine(CommandEffect):
    """Row ``half-line``."""

    then: str = choice("close", ("close", "stall"), "what happens next")

    @override
    def reply(self, command: str, text: str, at: Progress) -> str:
        if at.done:
            return ""  # the line is never finished, so nothing can follow it
        if not self.hits(command) or not at.fire():
            return text
        at.done = True
        if self.then == "close":
            at.after.append(Close())
        line = text[: text.index("\n")] if "\n" in text else text
        return line[: len(line) // 2]


@dataclass(frozen=True, kw_only=True)
class LongLine(CommandEffect):
    """Row ``long-line``."""

    length: int = whole(10_000_000, "how long")

    @override
    def reply(self, command: str, text: str, at: Progress) -> str:
        if not self.hits(command) or not at.fire():
            return text
        return f"OK ={'x' * self.length}\n"


@dataclass(frozen=True, kw_only=True)
class UnknownClass(ControlEffect):
    """Row ``unknown-class``."""

    times: int = whole(0, "how often it happens, 0 for ever")
    field: str = words(meaning="the field of a block type, as PULSE.DELAY")
    shown: str = words("quantum foam", "the class and subtype that are shown")

    @override
    def reply(self, command: str, text: str, at: Progress) -> str:
        block, _, field = self.field.partition(".")
        asked, _, rest = command.partition(".")
        if _DIGITS.sub("", asked) != block or text.startswith("ERR"):
            return text
        if rest == f"{field}.INFO?" and at.fire():
            return f"OK ={self.shown}\n"
        if rest != "*?" or f"!{field} " not in text or not at.fire():
            return text
        line = rf"(?m)^(!{re.escape(field)} \d+) .*$"
        return re.sub(line, lambda found: f"{found[1]} {self.shown}", text)


@dataclass(frozen=True, kw_only=True)
class ChangesEntry(ControlEffect):
    """Row ``changes-entry``."""

    entry: str = words("NOSUCH1.FIELD (error)", "the line, without its !")

    @override
    def reply(self, command: str, text: str, at: Progress) -> str:
        if text.endswith(".\n") and _CHANGES.fullmatch(command) and at.fire():
            return f"{text[:-2]}!{self.entry}\n.\n"
        return text
