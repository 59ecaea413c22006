"""Faults are injected, happen where they belong, are counted, and are cleared again."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Mapping

from typing_extensions import override

from panda_simulator.box.text import legible
from panda_simulator.faults.effect import Effect, Machine, Progress
from panda_simulator.faults.line import Attachment, Line
from panda_simulator.faults.parameters import build
from panda_simulator.faults.table import FAULTS

_NEXT = re.compile(r",(?=[a-z_-]+=)")
"""A comma belongs to a value unless another parameter follows it."""


class Fault:
    """One fault that was injected.

    Attributes:
        name: of its kind.
        number: that no other fault of this simulator has.
        effect: what it does, with its parameters.
        fired: how often it has happened.
        cleared: set when it was taken back.
    """

    def __init__(self, faults: Faults, name: str, number: int, effect: Effect) -> None:
        self.name = name
        self.number = number
        self.effect = effect
        self.fired = 0
        self.cleared = asyncio.Event()
        self._faults = faults
        self._news = asyncio.Event()
        self.places = 0

    @property
    def spent(self) -> bool:
        """Whether it has happened as often as it may."""
        return 0 < self.effect.times <= self.fired

    def fire(self) -> bool:
        """Count that it happens now; False if it may not any more."""
        if self.spent or self.cleared.is_set():
            return False
        self.fired += 1
        news, self._news = self._news, asyncio.Event()
        news.set()
        return True

    async def happened(self, times: int = 1) -> None:
        """Return when it has happened so often."""
        while self.fired < times:
            await self._news.wait()

    def clear(self) -> None:
        """Take it back."""
        self._faults.clear(self)

    @override
    def __str__(self) -> str:
        shown = [
            f"{field.name}={_shown(value)}"
            for field in dataclasses.fields(self.effect)
            if (value := getattr(self.effect, field.name)) != field.default
        ]
        return f"{self.number} {':'.join([self.name, ','.join(shown)]) if shown else self.name}"


def _shown(value: object) -> object:
    """Write a parameter as it was given, on one line."""
    return legible(value).replace("\n", "\\n") if isinstance(value, str) else value


def parse_fault(text: str) -> tuple[str, dict[str, str]]:
    """Read ``NAME:key=value,...``; see `make_effect` for what is in it.

    Raises:
        ValueError: it is not of this form.
    """
    name, colon, rest = text.partition(":")
    parts = _NEXT.split(rest) if colon else []
    return name, parse_settings(name, parts)


def parse_settings(name: str, parts: list[str]) -> dict[str, str]:
    """Read parameters, each as ``key=value``; a dash in a key is as good as a line below.

    Raises:
        ValueError: one has no ``=``.
    """
    settings = dict[str, str]()
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"fault {name}: {part!r} has to be a parameter as key=value")
        settings[key.strip().replace("-", "_")] = value
    return settings


def make_effect(name: str, settings: Mapping[str, object]) -> Effect:
    """Make what a fault does.

    Raises:
        ValueError: there is no such fault or parameter, or a value is out of range.
    """
    kind = FAULTS.get(name)
    if kind is None:
        raise ValueError(f"no fault {name!r}: choose one of {', '.join(FAULTS)}")
    return build(name, kind.effect, settings)


class Faults:
    """The faults of one simulator."""

    def __init__(self, machine: Machine) -> None:
        """Start without any.

        Args:
            machine: what reboots, and so on.
        """
        self.machine = machine
        self._active: list[Fault] = []
        self._lines: list[Line] = []
        self._count = 0

    @property
    def active(self) -> tuple[Fault, ...]:
        """Faults that were injected and not cleared, also those that will not happen again."""
        return tuple(self._active)

    def inject(self, name: str, **settings: object) -> Fault:
        """Have a fault from now on.

        Args:
            name: one of `FAULTS`.
            settings: its parameters, as values or as texts.

        Raises:
            ValueError: there is no such fault or parameter, or a value is out of range.
        """
        effect = make_effect(name, settings)
        self._count += 1
        fault = Fault(self, name, self._count, effect)
        self._active.append(fault)
        for line in list(self._lines):
            self._attach(fault, line)
        effect.injected(fault.fire, self.machine)
        return fault

    def inject_text(self, text: str) -> Fault:
        """Have a fault that is given as ``NAME:key=value,...``.

        Raises:
            ValueError: it is malformed; else as `inject`.
        """
        name, settings = parse_fault(text)
        return self.inject(name, **settings)

    def clear(self, which: Fault | str | int | None = None) -> int:
        """Take faults back; what they hold up goes on.

        Args:
            which: one fault, its number, all of a name, or simply all.

        Returns:
            How many there were.

        Raises:
            ValueError: there is no such fault among the active ones.
        """
        chosen = [
            fault
            for fault in self._active
            if which is None or which in (fault, fault.name, fault.number)
        ]
        if which is not None and not chosen:
            known = ", ".join(str(fault) for fault in self._active) or "none is"
            raise ValueError(f"fault {which} is not active: {known}")
        for fault in chosen:
            self._active.remove(fault)
            fault.cleared.set()
            for line in self._lines:
                line.detach(fault)
        return len(chosen)

    # where they happen

    def join(self, line: Line) -> None:
        """Take a new connection."""
        self._lines.append(line)
        for fault in self._active:
            self._attach(fault, line)

    def leave(self, line: Line) -> None:
        """Let go of a connection, if it was taken."""
        if line in self._lines:
            self._lines.remove(line)

    def drop(self, *, reset: bool) -> None:
        """End all connections."""
        for line in self._lines:
            line.drop(reset=reset)

    def _attach(self, fault: Fault, line: Line) -> None:
        effect = fault.effect
        if effect.target not in (line.port, "both"):
            return
        fault.places += 1
        if effect.place in (0, fault.places):
            progress = Progress(fault, self.machine, effect.chance + fault.places)
            line.attach(Attachment(fault, effect, progress))
