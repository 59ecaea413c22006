"""`param`, `read` and `write` are one register each, of any subtype, used three ways.

Source: protocol.md 4.1, 4.4, 10.2, 10.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress

from typing_extensions import override

from panda_simulator.box import subtypes
from panda_simulator.box.errors import CommandError
from panda_simulator.box.field import Attribute, FieldClass, Place
from panda_simulator.box.files import LineReader
from panda_simulator.box.stamps import Group
from panda_simulator.box.text import Cursor
from panda_simulator.box.timing import Time

SUBTYPES: dict[str, Callable[[subtypes.Register, Cursor], subtypes.Subtype]] = {
    maker.name: maker
    for maker in (
        subtypes.Unsigned,
        subtypes.Signed,
        subtypes.Scalar,
        subtypes.Bit,
        subtypes.Action,
        subtypes.Lut,
        subtypes.Enumeration,
        Time,
    )
}


class RegisterField(FieldClass):
    """What the three classes share: a subtype, and a register or an extension."""

    writeable = True

    def __init__(self, place: Place, kind: str, cursor: Cursor) -> None:
        super().__init__(place, kind)
        self._extension: str | None = None
        name = "uint"
        if cursor.peek():
            cursor.blanks()
            name = cursor.letters()
        if name not in SUBTYPES:
            raise CommandError(f"unknown field type {name}")
        self.subtype = name
        self._format = SUBTYPES[name](self, cursor)

    def load(self, number: int) -> int:  # noqa: ARG002 (refused)
        """Return the raw value."""
        raise CommandError("Register cannot be read")

    def store(self, number: int, value: int) -> None:  # noqa: ARG002 (refused)
        """Write the raw value."""
        raise CommandError("Register cannot be written")

    @override
    def attributes(self) -> list[Attribute]:
        return self._format.attributes()

    @override
    def labels(self) -> Sequence[str]:
        return self._format.labels()

    @override
    def line_reader(self) -> LineReader | None:
        return self._format.line_reader()

    @override
    def assign(self, cursor: Cursor) -> None:
        if "X" in cursor.text[cursor.at :]:
            self._assign_extension(cursor)
        else:
            self.place.wiring.claim_register(self.place.block, cursor.unsigned())

    def _assign_extension(self, cursor: Cursor) -> None:
        self._skip_numbers(cursor)
        if cursor.take("W"):
            if not self.writeable:
                raise CommandError("a read field cannot have write registers")
            cursor.skip_blanks()
            self._skip_numbers(cursor)
        cursor.expect("X")
        cursor.blanks()
        self._extension = cursor.utf8()

    @staticmethod
    def _skip_numbers(cursor: Cursor) -> None:
        while cursor.peek().isdecimal():
            cursor.unsigned()
            cursor.skip_blanks()

    def _fetch(self, number: int) -> int:
        if self._extension is None:
            return self.place.read(number)
        with self._extension_errors():
            extension = self.place.wiring.extension
            return extension.read(self._extension, number + 1) & 0xFFFFFFFF
        return 0

    def _send(self, number: int, value: int) -> None:
        if self._extension is None:
            self.place.write(number, value)
            return
        with self._extension_errors():
            self.place.wiring.extension.write(self._extension, number + 1, value)

    def _extension_errors(self) -> AbstractContextManager[bool | None]:
        """Tell the client of them, or nobody."""
        told = self.place.wiring.features.extension_errors
        return nullcontext() if told else suppress(CommandError)

    def shown(self, number: int, value: int) -> str:
        """Write a raw value as the field would if it had it.

        Raises:
            CommandError: it is no value of the field.
        """
        return self._format.format(number, value)

    def _formatted(self, number: int) -> str:
        if self.subtype == subtypes.Action.name:
            raise CommandError("Cannot read action value")
        return self._format.format(number, self.load(number))

    def _assign_text(self, number: int, text: str) -> None:
        cursor = self.place.wiring.cursor(text)
        value = self._format.parse(number, cursor)
        cursor.end()
        self.store(number, value)


class ParamField(RegisterField):
    """``param``: written to the hardware, read back from memory."""

    group = Group.CONFIG

    def __init__(self, place: Place, cursor: Cursor) -> None:
        super().__init__(place, "param", cursor)
        default = 0
        if cursor.take(" "):
            cursor.skip_blanks()
            cursor.expect("=")
            default = cursor.unsigned()
        self._values = [default] * place.count

    @override
    def load(self, number: int) -> int:
        return self._values[number]

    @override
    def store(self, number: int, value: int) -> None:
        self._send(number, value)
        self._values[number] = value
        self.touch(number)

    @override
    def value(self, number: int) -> str:
        return self._formatted(number)

    @override
    def write(self, number: int, text: str) -> None:
        self._assign_text(number, text)

    @override
    def initialise(self) -> None:
        if not self.place.wiring.features.unwritten_defaults:
            for number, value in enumerate(self._values):
                self._send(number, value)


class ReadField(RegisterField):
    """``read``: a change is noticed when somebody looks."""

    group = Group.READ
    writeable = False

    def __init__(self, place: Place, cursor: Cursor) -> None:
        super().__init__(place, "read", cursor)
        self._values = [0] * place.count

    @override
    def load(self, number: int) -> int:
        value = self._fetch(number)
        if value != self._values[number]:
            self._values[number] = value
            self.touch(number)
        return value

    @override
    def value(self, number: int) -> str:
        return self._formatted(number)

    @override
    def changed(self, since: int) -> list[int]:
        for number in range(self.place.count):
            self._look(number)
        return super().changed(since)

    def parse(self, number: int, text: str) -> int:
        """Return the raw value that is shown as a text."""
        cursor = self.place.wiring.cursor(text)
        value = self._format.parse(number, cursor)
        cursor.end()
        return value

    def _look(self, number: int) -> None:
        try:
            self.load(number)
        except CommandError:
            # an extension that cannot be read has not changed
            return


class WriteField(RegisterField):
    """``write``: no value to read, and no change to report."""

    def __init__(self, place: Place, cursor: Cursor) -> None:
        super().__init__(place, "write", cursor)

    @override
    def store(self, number: int, value: int) -> None:
        self._send(number, value)

    @override
    def touch(self, number: int) -> None:
        """Change nothing: no list shows the value."""

    @override
    def write(self, number: int, text: str) -> None:
        self._assign_text(number, text)
