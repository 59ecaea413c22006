"""``panda.data.live``: the latest row of a capture as one reading, its columns as signals.

A whole row is one event, so that one column can be plotted over another; columns are made
when somebody asks for them, for a box has hundreds and a plan looks at a few.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from bluesky.protocols import Hints, Reading
from event_model import DataKey
from ophyd_async.core import Callback, Device, DeviceConnector, SignalR
from typing_extensions import override

from panda_ophyd.capture import LatestRow
from panda_ophyd.datablock import DataBlockState
from panda_ophyd.errors import CommandError
from panda_ophyd.liveview import Column, LiveColumn
from panda_ophyd.session import PandaSession
from panda_ophyd.signals import PandaSignalBackend

OPTIONS = ("Value", "Diff", "Sum", "Min", "Max", "Mean", "StdDev")
"""What of a field can be a column."""


class LiveRow(Device):
    """The latest row, at most ``data.live_rate`` times a second while a capture runs.

    ``bps.monitor(panda.data.live, name="live")`` emits an event for each row that shows, with a
    key for each column that is set to be captured at that moment, and ``row``, its number in the
    file. ``panda.data.live.counter1_out_mean`` is a signal of one column, whether it is
    captured or not; ``dir()`` lists those that are.
    """

    row: SignalR[int]

    def __init__(self, name: str = "", connector: DeviceConnector | None = None) -> None:
        self._session: PandaSession | None = None
        self._data: DataBlockState | None = None
        self._backends: dict[str, PandaSignalBackend[Any]] = {}
        self._described: tuple[Column, ...] = ()
        self._subscribers: dict[Callback[dict[str, Reading[Any]]], Callable[[], None]] = {}
        super().__init__(name, connector)

    def bind(self, session: PandaSession, data: DataBlockState) -> None:
        """Look at the captures of this session from now on."""
        self._session, self._data = session, data
        for attribute, backend in self._backends.items():
            column = self._column_of(attribute)
            if column is not None:
                self._bind(backend, column)
        for function, forget in list(self._subscribers.items()):
            forget()
            self._subscribers[function] = self._listen(function)

    def __getattr__(self, attribute: str) -> SignalR[Any]:
        """Make the signal of a column.

        Raises:
            AttributeError: no field of the box can be captured so.
        """
        column = None if attribute.startswith("_") else self._column_of(attribute)
        if column is None:
            known = "" if self.__dict__.get("_data") else "; it is not connected"
            msg = f"{type(self).__name__} has no column {attribute!r}{known}"
            raise AttributeError(msg)
        return self._signal(column)

    @override
    def __dir__(self) -> Iterable[str]:
        data = self._data
        names = () if data is None else data.live.names
        return [*super().__dir__(), *(attribute_of(column) for column in names)]

    @property
    def hints(self) -> Hints:
        """What to plot: positions, or whatever there is without one."""
        names = [self._signal(c).name for c in self._described if not c[0].startswith("PCAP.")]
        return {"fields": names or [self._signal(c).name for c in self._described]}

    async def describe(self) -> dict[str, DataKey]:
        """Return what a row holds: what is set to be captured now."""
        data = self._data
        self._described = () if data is None else tuple(await data.names())
        described = await self.row.describe()
        for column in self._described:
            described |= await self._signal(column).describe()
        return described

    async def read(self) -> dict[str, Reading[Any]]:
        """Return the row that shows."""
        await self.describe()
        readings: dict[str, Reading[Any]] = {}
        for signal in (self.row, *map(self._signal, self._described)):
            one: dict[str, Reading[Any]] = await cast("Any", signal).read()
            readings |= one
        return readings

    def subscribe(self, function: Callback[dict[str, Reading[Any]]]) -> None:
        """Call with every row that shows from now on: with the columns described last."""
        if function not in self._subscribers:
            self._subscribers[function] = self._listen(function)

    subscribe_reading = subscribe

    def clear_sub(self, function: Callback[dict[str, Reading[Any]]]) -> None:
        """Call no more."""
        self._subscribers.pop(function)()

    def _listen(self, function: Callback[dict[str, Reading[Any]]]) -> Callable[[], None]:
        if self._data is None:
            return _nothing
        described = self._described

        def deliver(latest: LatestRow, names: Mapping[Column, str]) -> None:
            function(self._readings(latest, names, described))

        return self._data.live.listen(deliver)

    def _readings(
        self, latest: LatestRow, names: Mapping[Column, str], columns: Iterable[Column]
    ) -> dict[str, Reading[Any]]:
        readings: dict[str, Reading[Any]] = {
            self.row.name: Reading(value=latest.row, timestamp=latest.time)
        }
        for column in columns:
            value = latest.values.get(names.get(column, ""), self._missing(column))
            name = self._signal(column).name
            readings[name] = Reading(value=value, timestamp=latest.time)
        return readings

    def _missing(self, column: Column) -> int | float:
        channel = self._channel(column)
        return math.nan if channel is None else channel.missing

    def _channel(self, column: Column) -> LiveColumn | None:
        session, data, (field, _) = self._session, self._data, column
        if session is None or data is None:
            return None

        async def units() -> str | None:
            try:
                return await session.client.query(f"{field}.UNITS")
            except CommandError:  # not of a position
                return None

        return data.live.column(column, unsigned=session.box.captures_unsigned(field), units=units)

    def _column_of(self, attribute: str) -> Column | None:
        data = self.__dict__.get("_data")
        if data is None:
            return None
        field, _, option = attribute.rpartition("_")
        fields = (f for f in data.dataset_channels if _lower(f) == field)
        options = (o for o in OPTIONS if o.lower() == option)
        return next(((f, o) for f in fields for o in options), None)

    def _signal(self, column: Column) -> SignalR[Any]:
        attribute = attribute_of(column)
        if attribute not in self._backends:
            backend = PandaSignalBackend[Any](None)
            self._bind(backend, column)
            setattr(self, attribute, SignalR(backend, name=f"{self.name}-{attribute}"))
            self._backends[attribute] = backend
        return self.__dict__[attribute]

    def _bind(self, backend: PandaSignalBackend[Any], column: Column) -> None:
        channel = self._channel(column)
        if channel is not None:
            backend.bind(channel, "LiveColumn")


def attribute_of(column: Column) -> str:
    """Return the attribute of a column: ``counter1_out_mean``."""
    return _lower(".".join(column))


def _lower(target: str) -> str:
    return target.lower().replace(".", "_")


def _nothing() -> None:
    """There is nothing to stop."""
