"""What is shown of a capture while it runs: the latest row and the traffic, a few times a second.

The row is one that the writing thread has flushed anyway, and the figures are counters that
exist anyway, so looking costs the file nothing; when nothing comes no timer runs.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from typing_extensions import override

from panda_ophyd.capture import LatestRow
from panda_ophyd.channels import ChannelInfo, SoftChannel

TRAFFIC_PERIOD = 0.5
"""Seconds over which rates are taken, and between two looks at the queue."""

Column = tuple[str, str]
"""A captured field and its capture option: ``("COUNTER1.OUT", "Mean")``."""


Units = Callable[[], Awaitable[str | None]]
"""Asks for the units of a value."""


class Viewed(Protocol):
    """What is to be known of a `Capture`."""

    @property
    def received(self) -> int:
        """Rows that have come."""
        ...

    @property
    def received_bytes(self) -> int:
        """Their size."""
        ...

    @property
    def in_flight(self) -> int:
        """Bytes that wait for the file."""
        ...

    @property
    def most_in_flight(self) -> int:
        """The most there were."""
        ...

    @property
    def latest(self) -> LatestRow | None:
        """The newest row that can be read."""
        ...


class LiveColumn(SoftChannel["int | float"]):
    """The latest value of one column; NaN, or 0 of whole numbers, when it is not captured.

    Args:
        source: URI.
        unsigned: it is a word of bits, or a count.
        units: returns the units of the moment.
    """

    def __init__(self, source: str, *, unsigned: bool, units: Units) -> None:
        kind = int if unsigned else float
        info = ChannelInfo(kind=kind, description="Latest row, as in the file")
        self.missing: int | float = 0 if unsigned else math.nan
        super().__init__(source, info, self.missing, writable=False)
        self._units = units

    @override
    async def units(self) -> str | None:
        return await self._units()


RowListener = Callable[[LatestRow, Mapping[Column, str]], object]
"""Called with a row, and the datasets of its columns."""


class LiveView:
    """Shows the latest row of a capture and how much comes; for one event loop.

    Args:
        source: URI of the `data` block.
        rate: returns the most rows to show per second, 0 for none.

    Attributes:
        names: column to dataset, of the present file or the last.
        row: number in the file of the row that shows, -1 before the first.
        in_flight, most_in_flight: bytes.
        row_rate, data_rate: rows and megabytes received per second.
    """

    def __init__(self, source: str, rate: Callable[[], float]) -> None:
        self.row = _figure(source, "LIVE.ROW", int, -1, None, "Row of the file that shows")
        self.in_flight = _figure(
            source, "IN_FLIGHT", int, 0, "B", "Bytes of rows that wait for the file"
        )
        self.most_in_flight = _figure(
            source, "MOST_IN_FLIGHT", int, 0, "B", "The most there were since the file was opened"
        )
        self.row_rate = _figure(source, "ROW_RATE", float, 0.0, "rows/s", "Rows that come")
        self.data_rate = _figure(source, "DATA_RATE", float, 0.0, "MB/s", "Megabytes that come")
        self._source = source
        self._rate = rate
        self._columns: dict[Column, LiveColumn] = {}
        self._listeners: list[RowListener] = []
        self._capture: Viewed | None = None
        self.names: Mapping[Column, str] = {}
        self._shown: LatestRow | None = None
        self._shown_at = -math.inf
        self._next_row: asyncio.TimerHandle | None = None
        self._next_traffic: asyncio.TimerHandle | None = None
        self._before = (0.0, 0, 0)  # time, rows, bytes

    # Who looks

    def column(self, column: Column, *, unsigned: bool, units: Units) -> LiveColumn:
        """Return the channel of one column, the same for the same column.

        Args:
            column: whether it is captured or not.
            unsigned: it is a word of bits, or a count.
            units: returns the units of the moment.
        """
        if column not in self._columns:
            source = f"{self._source}.LIVE.{'.'.join(column)}"
            self._columns[column] = LiveColumn(source, unsigned=unsigned, units=units)
        return self._columns[column]

    def listen(self, listener: RowListener) -> Callable[[], None]:
        """Call with every row that shows from now on; returns the way to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # Who captures

    def begin(self, capture: Viewed, names: Mapping[Column, str]) -> None:
        """Show this capture from now on.

        Args:
            capture: that was just opened.
            names: column to dataset.
        """
        self.end()
        self._capture, self.names = capture, names
        self._shown, self._shown_at = None, -math.inf
        self.most_in_flight.show(0)

    def news(self) -> None:
        """Note that rows have come, or can be read; what is shown of it comes in its time."""
        if self._capture is None:
            return
        loop = asyncio.get_running_loop()
        if self._next_traffic is None:
            self._before = (loop.time(), self._capture.received, self._capture.received_bytes)
            self._next_traffic = loop.call_later(TRAFFIC_PERIOD, self._look_at_traffic)
        if self._next_row is None and self._capture.latest is not self._shown and self._rate() > 0:
            due = self._shown_at + 1 / self._rate()
            if due <= loop.time():
                self._show_row()
            else:
                self._next_row = loop.call_at(due, self._show_row)

    def end(self) -> None:
        """Show the last row, and that nothing comes any more."""
        if self._capture is None:
            return
        for timer in (self._next_row, self._next_traffic):
            if timer is not None:
                timer.cancel()
        self._next_row = self._next_traffic = None
        if self._rate() > 0:
            self._show_row()
        self._show_traffic(0.0, 0.0)
        self._capture = None

    def _look_at_traffic(self) -> None:
        loop, capture = asyncio.get_running_loop(), self._capture
        self._next_traffic = None
        if capture is None:
            return
        then, rows, size = self._before
        now = self._before = (loop.time(), capture.received, capture.received_bytes)
        took = now[0] - then
        self._show_traffic((now[1] - rows) / took, (now[2] - size) / took / 1e6)
        if now[2] > size or capture.in_flight:
            self._next_traffic = loop.call_later(TRAFFIC_PERIOD, self._look_at_traffic)

    def _show_traffic(self, row_rate: float, data_rate: float) -> None:
        if self._capture is None:
            return
        self.in_flight.show(self._capture.in_flight)
        self.most_in_flight.show(self._capture.most_in_flight)
        self.row_rate.show(row_rate)
        self.data_rate.show(data_rate)

    def _show_row(self) -> None:
        self._next_row = None
        latest = self._capture.latest if self._capture else None
        if latest is None or latest is self._shown:
            return
        loop = asyncio.get_running_loop()
        self._shown, self._shown_at = latest, loop.time()
        try:
            for column, channel in self._columns.items():
                dataset = self.names.get(column, "")
                channel.show(latest.values.get(dataset, channel.missing))
            self.row.show(latest.row)
            for listener in list(self._listeners):
                listener(latest, self.names)
        except Exception as fault:  # noqa: BLE001  who only looks must not stop the file
            context = {"message": f"{self._source}: whoever looks failed", "exception": fault}
            loop.call_exception_handler(context)


def _figure(
    source: str, name: str, kind: type, initial: float, units: str | None, description: str
) -> SoftChannel[int | float]:
    info = ChannelInfo(kind=kind, units=units, description=description)
    return SoftChannel(f"{source}.{name}", info, initial, writable=False)
