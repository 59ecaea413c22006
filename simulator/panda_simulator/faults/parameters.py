"""A parameter of a fault is a typed field of its class, read from a number or from a text."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from typing_extensions import override

from panda_simulator.box.text import bytewise

_KEY = "parameter"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as the user sees it.

    Attributes:
        name: what it is called.
        default: its value if it is not given; None says that it may be left out, and
            `required` that it may not.
        meaning: what it does, with its unit.
        kind: what it has to be, for the message if it is not.
        required: whether it must be given.
    """

    name: str
    default: Any
    meaning: str
    kind: str
    required: bool

    @override
    def __str__(self) -> str:
        return f"{self.given}: {self.meaning} ({self.kind})"

    @property
    def given(self) -> str:
        """How it is given, with its default."""
        if self.required:
            return f"{self.name}=…"
        default = "" if self.default is None else self.default
        return f"{self.name}={default}"


@dataclass(frozen=True, slots=True)
class _Declared:
    meaning: str
    kind: str
    read: Callable[[str], Any]


def _declare(default: Any, meaning: str, kind: str, read: Callable[[str], Any]) -> Any:
    return dataclasses.field(
        default=default,
        metadata={_KEY: _Declared(meaning, kind, read)},
    )


def whole(default: Any, meaning: str, *, least: int | None = 0) -> Any:
    """Declare a whole number, None if it may be left out."""

    def read(text: str) -> int:
        value = int(text, 0)
        if least is not None and value < least:
            raise ValueError(text)
        return value

    kind = "a whole number" if least is None else f"a whole number from {least}"
    return _declare(default, meaning, kind, read)


def duration(default: Any, meaning: str) -> Any:
    """Declare a time in seconds; ``inf`` is for ever."""

    def read(text: str) -> float:
        value = float(text)
        if math.isnan(value) or value < 0:
            raise ValueError(text)
        return value

    return _declare(default, meaning, "seconds or inf", read)


def offset(default: Any, meaning: str, most: float) -> Any:
    """Declare a difference of times in seconds, at most so many either way."""

    def read(text: str) -> float:
        value = float(text)
        if not -most <= value <= most:
            raise ValueError(text)
        return value

    return _declare(default, meaning, f"seconds from {-most:g} to {most:g}", read)


def fraction(default: Any, meaning: str) -> Any:
    """Declare a number from 0 to 1."""

    def read(text: str) -> float:
        value = float(text)
        if not 0 <= value <= 1:
            raise ValueError(text)
        return value

    return _declare(default, meaning, "a number from 0 to 1", read)


def words(default: Any = dataclasses.MISSING, meaning: str = "") -> Any:
    r"""Declare a text, required if it has no default; ``\n`` in it is an end of line."""

    def read(text: str) -> str:
        return bytewise(text.replace("\\n", "\n"))

    return _declare(default, meaning, "text", read)


def choice(default: str, options: Iterable[str], meaning: str) -> Any:
    """Declare one of some words; upper case and blanks instead of dashes are taken as well."""
    known = tuple(options)

    def read(text: str) -> str:
        value = text.strip().lower().replace(" ", "-")
        if value not in known:
            raise ValueError(text)
        return value

    return _declare(default, meaning, f"one of {', '.join(known)}", read)


def parameters_of(kind: type[Any]) -> tuple[Parameter, ...]:
    """List the parameters that the class of a fault declares, its own before inherited ones."""
    own = [name for line in kind.__mro__ for name in inspect.get_annotations(line)]
    fields = sorted(dataclasses.fields(kind), key=lambda field: own.index(field.name))
    return tuple(
        Parameter(
            name=field.name,
            default=None if field.default is dataclasses.MISSING else field.default,
            meaning=field.metadata[_KEY].meaning,
            kind=field.metadata[_KEY].kind,
            required=field.default is dataclasses.MISSING,
        )
        for field in fields
    )


def build(fault: str, kind: type[T], given: Mapping[str, object]) -> T:
    """Make an object of the class of a fault.

    Args:
        fault: its name, for messages.
        kind: its class.
        given: values or texts by the names of parameters; None is the default.

    Raises:
        ValueError: a parameter is unknown, missing or out of range; one line that says
            what is possible.
    """
    declared = {field.name: field for field in dataclasses.fields(kind)}  # pyright: ignore[reportArgumentType]
    values = dict[str, object]()
    for name, value in given.items():
        if name not in declared:
            raise ValueError(
                f"fault {fault} has no parameter {name!r}: choose from {', '.join(declared)}"
            )
        if value is not None:
            values[name] = _value(fault, name, declared[name].metadata[_KEY], value)
    missing = [
        name
        for name, field in declared.items()
        if field.default is dataclasses.MISSING and name not in values
    ]
    if missing:
        raise ValueError(f"fault {fault} needs {', '.join(f'{name}=…' for name in missing)}")
    return kind(**values)


def _value(fault: str, name: str, declared: _Declared, value: object) -> object:
    try:
        return declared.read(str(value))
    except ValueError:
        raise ValueError(
            f"fault {fault}: {name} is {value!r}, but has to be {declared.kind}"
        ) from None
