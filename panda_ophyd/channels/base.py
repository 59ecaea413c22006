"""A channel is where one value lives; what it says about that value is framework-free."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, cast

import numpy as np

from panda_ophyd.errors import FieldValueError

Plain = Any
"""What a channel deals in: bool, int, float, str, or a mapping of columns."""

INVALID_ALARM = 3
"""EPICS' INVALID severity, which bluesky documents use for a value not to be trusted."""


@dataclass(frozen=True, slots=True)
class Update:
    """One value of a channel: what, when (seconds since 1970), and how far to trust it."""

    value: Plain
    timestamp: float
    alarm_severity: int = 0


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """What a value is, in plain terms; the framework's type is made from it.

    Attributes:
        kind: the Python type of the value, or "table".
        choices: possible texts of a str; empty if it is free.
        strict: no other text than a choice can occur.
        columns: for a table, the numpy dtype of each column; "enum" with its labels.
        datatype: the framework's own type where it is known already.
    """

    kind: type | str
    choices: tuple[str, ...] = ()
    strict: bool = True
    columns: Mapping[str, np.dtype[Any] | tuple[str, ...]] = field(
        default_factory=dict[str, "np.dtype[Any] | tuple[str, ...]"]
    )
    units: str | None = None
    precision: int | None = None
    limits: tuple[float, float] | None = None
    description: str = ""
    datatype: type[Any] | None = None


class CommandChannel(Protocol):
    """Something that a write does, whatever is written."""

    @property
    def source(self) -> str:
        """URI of what is written to."""
        ...

    async def put(self, value: Any) -> None:
        """Write; returns when the write was accepted."""
        ...


class Channel(CommandChannel, Protocol):
    """Where one value lives."""

    @property
    def info(self) -> ChannelInfo:
        """What the value is."""
        ...

    async def units(self) -> str | None:
        """Return the units of the moment."""
        ...

    async def get(self) -> Update:
        """Ask for the value."""
        ...

    async def setpoint(self) -> Plain:
        """Return what was last asked for."""
        ...

    def subscribe(self, callback: Callable[[Update], None]) -> Callable[[], None]:
        """Deliver the present value soon and every later one; returns the way to stop."""
        ...


T = TypeVar("T")


class SoftChannel(Generic[T]):
    """A value that lives in this program, with an action when it is put.

    Args:
        source: URI.
        info: what it is.
        initial: first value.
        on_put: given the new value, before it shows; returns what shows instead.
        on_get: computes the value when it is asked for.
    """

    def __init__(
        self,
        source: str,
        info: ChannelInfo,
        initial: T,
        *,
        on_put: Callable[[Any], Awaitable[T]] | None = None,
        on_get: Callable[[], Awaitable[T]] | None = None,
        writable: bool = True,
    ) -> None:
        self.source = source
        self.info = info
        self._update = Update(initial, time.time())
        self._setpoint = initial
        self._on_put = on_put
        self._on_get = on_get
        self.writable = writable
        self._callbacks: list[Callable[[Update], None]] = []

    @property
    def value(self) -> T:
        """The value as it shows now."""
        return cast("T", self._update.value)

    async def units(self) -> str | None:
        """Return the units, which do not change."""
        return self.info.units

    def show(self, value: T) -> None:
        """Let everybody see a new value."""
        self._update = Update(value, time.time())
        for callback in list(self._callbacks):
            callback(self._update)

    async def get(self) -> Update:
        """Return the value, computed now if it is of that kind."""
        if self._on_get is not None:
            value = await self._on_get()
            if value != self._update.value:
                self.show(value)
        return self._update

    async def put(self, value: Any) -> None:
        """Act on the value, then show it.

        Raises:
            FieldValueError: it cannot be written.
        """
        if not self.writable:
            raise FieldValueError(self.source, value, "it can only be read")
        self._setpoint = value
        self.show(cast("T", value) if self._on_put is None else await self._on_put(value))

    async def setpoint(self) -> T:
        """Return what was last put."""
        return self._setpoint

    def subscribe(self, callback: Callable[[Update], None]) -> Callable[[], None]:
        """Deliver the present value at once and every later one."""
        self._callbacks.append(callback)
        callback(self._update)
        return lambda: self._callbacks.remove(callback)
