"""Some fields are not of the FPGA: the operating system answers for them, by name.

Source: protocol.md 3.3 (extension server), 10.3 (extension form); blocks.md 3.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from panda_simulator.box.errors import CommandError


class Extension(Protocol):
    """What stands behind the fields whose line of ``registers`` has an X and a text.

    Instances count from 1. Both methods raise CommandError with what the client is told.
    """

    def read(self, name: str, number: int) -> int:
        """Return the value of an instance of a field."""
        ...

    def write(self, name: str, number: int, value: int) -> None:
        """Take a value for an instance of a field."""
        ...


class NoExtension:
    """Nothing answers, as where the server's helper process does not run."""

    def read(self, name: str, number: int) -> int:
        """Refuse (Extension.read)."""
        del name, number
        raise CommandError("Extension server exception")

    def write(self, name: str, number: int, value: int) -> None:
        """Refuse (Extension.write)."""
        del value
        self.read(name, number)


class Recollection:
    """What was written, before that what was known from the start, and else 0."""

    def __init__(self, known: Mapping[str, int]) -> None:
        """Begin with values by the text of the field."""
        self._known = known
        self._written: dict[tuple[str, int], int] = {}

    def read(self, name: str, number: int) -> int:
        """Return the value (Extension.read)."""
        return self._written.get((name, number), self._known.get(name, 0))

    def write(self, name: str, number: int, value: int) -> None:
        """Remember the value (Extension.write)."""
        self._written[name, number] = value


class RecordedErrors:
    """Refuses what the recorded box refused; the rest as another extension has it."""

    def __init__(self, errors: Mapping[str, str], rest: Extension) -> None:
        """Take refusals by reported name; fields are called by block and field."""
        self._errors = errors
        self._rest = rest

    def read(self, name: str, number: int) -> int:
        """Refuse, or read (Extension.read)."""
        block, _, field = name.partition(".")
        error = self._errors.get(f"{block}{number}.{field}", self._errors.get(name))
        if error is not None:
            raise CommandError(error)
        return self._rest.read(name, number)

    def write(self, name: str, number: int, value: int) -> None:
        """Write (Extension.write)."""
        self._rest.write(name, number, value)
