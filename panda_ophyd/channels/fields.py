"""Channels on the wire: fields, attributes, tables, labels.

A read is a query, always fresh. A subscription is a query for the first value and
``*CHANGES`` for the rest.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, cast

import numpy as np
from pydantic import BaseModel

from panda_ophyd.changes import Change
from panda_ophyd.channels.base import INVALID_ALARM, ChannelInfo, Plain, Update
from panda_ophyd.channels.lost import lost_value
from panda_ophyd.control import Assign, AssignTable
from panda_ophyd.errors import CommandError, FieldValueError, PandaError
from panda_ophyd.fields import SignalSpec
from panda_ophyd.session import PandaSession
from panda_ophyd.tables import TableLayout

logger = logging.getLogger(__name__)

UNREPORTED_PERIOD = 0.1
"""Seconds between two queries of a subscribed value that ``*CHANGES`` does not report."""

QUIET_AFTER, QUIET_PERIOD = 2.0, 0.5
"""Seconds after which a value that stays the same is asked for less often, and how often then."""

SCALED = ".SCALED"
"""The attribute of a position that the server computes from others."""

ERROR_PREFIX = "(error) "
"""How a field that the server cannot read shows as text; the server's own mark in ``*CHANGES``."""


def table_columns(layout: TableLayout) -> dict[str, Any]:
    """Return, for each column of a table, its numpy dtype or the labels of its enum."""
    empty = layout.unpack(np.zeros(0, np.uint32))
    labels = {column.name.lower(): column.labels for column in layout.columns}
    return {
        name: cast("Any", values).dtype if isinstance(values, np.ndarray) else labels[name]
        for name, values in empty.items()
    }


def info_of(spec: SignalSpec, datatype: type[Any] | None = None) -> ChannelInfo:
    """Return what a field's value is."""
    return ChannelInfo(
        kind=spec.codec.datatype,
        choices=spec.choices or (),
        strict=spec.strict,
        columns=table_columns(spec.layout) if spec.layout is not None else {},
        units=spec.units,
        precision=spec.precision,
        limits=spec.limits,
        description=spec.description,
        datatype=datatype,
    )


def _blank(kind: type | str) -> Plain:
    return {} if isinstance(kind, str) else float("nan") if kind is float else kind()


class FieldChannel:
    """A field or an attribute.

    Args:
        session: the box.
        spec: the field.
        datatype: the framework's type where it is known.
        in_error: the server could not read it at connect; it is shown as text.
    """

    def __init__(
        self,
        session: PandaSession,
        spec: SignalSpec,
        *,
        datatype: type[Any] | None = None,
        in_error: bool = False,
    ) -> None:
        self._session = session
        self._spec = spec
        self.in_error = in_error
        self._info = (
            ChannelInfo(kind=str, description=spec.description)
            if in_error
            else info_of(spec, datatype)
        )
        self._written: Plain = None
        self._last: Plain = _blank(self._info.kind)
        self._zero: Plain = 0 if self._info.kind is float else self._last
        self._own_callbacks: list[Callable[[Update], None]] = []

    @property
    def session(self) -> PandaSession:
        """The box of the moment."""
        return self._session

    @property
    def target(self) -> str:
        """The field on the wire, ``SEQ1.ENABLE``."""
        return self._spec.target

    @property
    def readable(self) -> bool:
        """Whether the box can be asked; else a reading is what was written last."""
        return self._spec.readable

    @property
    def source(self) -> str:
        """``panda://host/BLOCK1.FIELD``."""
        return f"panda://{self._session.address}/{self._spec.target}"

    @property
    def info(self) -> ChannelInfo:
        """What the value is."""
        return self._info

    async def units(self) -> str | None:
        """Ask for the units of the moment: what a poll said may be wrong by 1000 already.

        Raises:
            CommandError: the server refused.
        """
        target = self._spec.units_target
        return self._info.units if target is None else await self._session.client.query(target)

    def _decode(self, text: str) -> Plain:
        return text if self.in_error else self._spec.codec.decode(text)

    def _write_only(self) -> Update:
        value = self._zero if self._written is None else self._written
        return Update(value, time.time())

    async def get(self) -> Update:
        """Query the value.

        Raises:
            CommandError: the server refused.
            FieldValueError: the server's text is not a value of this field.
        """
        spec, client = self._spec, self._session.client
        if not spec.readable:
            return self._write_only()
        if spec.layout is not None:
            lines = await client.query_lines(f"{spec.target}.B")
            self._last = spec.codec.decode("\n".join(lines))
            return Update(self._last, time.time())
        try:
            if spec.target.endswith(SCALED):
                text = await self._session.refreshed(spec.target.removesuffix(SCALED), spec.target)
            else:
                text = await client.query(spec.target)
        except CommandError as exc:
            if not self.in_error:
                raise
            return Update(f"{ERROR_PREFIX}{exc.message}", time.time(), INVALID_ALARM)
        self._last = self._decode(text)
        return Update(self._last, time.time())

    async def put(self, value: Any) -> None:
        """Write the value.

        Raises:
            CommandError: the server refused.
            FieldValueError: it does not fit the field; nothing was sent.
        """
        spec = self._spec
        text = spec.codec.encode(_columns_of(value, spec.target) if spec.layout else value)
        if spec.layout is not None:
            lines = tuple(text.split("\n")) if text else ()
            await self._session.write(AssignTable(spec.target, lines, "B"))
        else:
            await self._session.write(Assign(spec.target, text))
        self._written = None if value is None else self._decode(text)
        if not spec.readable:
            for callback in list(self._own_callbacks):
                callback(Update(self._written, time.time()))

    async def setpoint(self) -> Plain:
        """Return what was last written here, or what the box has if nothing was."""
        return (await self.get()).value if self._written is None else self._written

    def subscribe(self, callback: Callable[[Update], None]) -> Callable[[], None]:
        """Deliver the present value soon and every later one.

        A bit that pulsed between two polls is delivered as two updates, the level it
        had for a moment first; likewise a bit that pulsed since the last write before
        anybody listened. Source: flyscan.md 2.5, house.md 4.7.
        """
        if not self._spec.readable:
            self._own_callbacks.append(callback)
            callback(self._write_only())
            return lambda: self._own_callbacks.remove(callback)
        if self._spec.reported:
            return Reported(self, self._session, self._spec, callback).stop
        if self._spec.target.endswith(SCALED):
            position = self._spec.target.removesuffix(SCALED)
            sources = (position, f"{position}.SCALE", f"{position}.OFFSET")
            return Derived(self, self._session, sources, callback).stop
        return Queried(self, self._session, callback).stop

    def update_of(self, change: Change) -> Update:
        """Return what a reported text means; the last good value, marked, if it means nothing."""
        if change.text is None or change.error:
            value = f"{ERROR_PREFIX}{change.text or ''}" if self.in_error else self._last
            return Update(value, change.timestamp, INVALID_ALARM)
        try:
            self._last = self._decode(change.text)
        except FieldValueError as exc:
            logger.warning("%s: %s", self.source, exc)
            return Update(self._last, change.timestamp, INVALID_ALARM)
        return Update(self._last, change.timestamp)

    async def first(self) -> Update:
        """Query for a subscriber, who cannot be told of an error but by the alarm."""
        try:
            return await self.get()
        except PandaError as exc:
            logger.warning("%s: %s", self.source, exc)
            return Update(self._last, time.time(), INVALID_ALARM)


class Asked(Protocol):
    """What a subscription needs of a channel."""

    @property
    def info(self) -> ChannelInfo:
        """What the value is."""
        ...

    async def first(self) -> Update:
        """Ask for the value; an error shows as an alarm."""
        ...


class _Subscription:
    """Delivers to one callback until it is stopped, or tells it that the link is lost."""

    def __init__(
        self, channel: Asked, session: PandaSession, callback: Callable[[Update], None]
    ) -> None:
        self._channel = channel
        self._session = session
        self._callback = callback
        self._tasks: set[asyncio.Task[None]] = set()
        self._endings: list[Callable[[], None]] = [session.on_loss(self._lost)]

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if self._session.lost is not None:  # which is all there is to say
            work.close()
            return
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._session.background(task)

    def _deliver(self, update: Update) -> None:
        try:
            self._callback(update)
        except Exception as fault:  # noqa: BLE001  a subscriber's fault must not end the updates
            context = {"message": "A subscriber failed", "exception": fault}
            asyncio.get_running_loop().call_exception_handler(context)

    def _lost(self, cause: Exception) -> None:
        value = lost_value(self._channel.info.kind, cause)
        if value is not None:
            self._deliver(Update(value, time.time(), INVALID_ALARM))
        self.stop()

    def stop(self) -> None:
        """End the subscription."""
        for end in self._endings:
            end()
        for task in self._tasks:
            task.cancel()


class Reported(_Subscription):
    """A subscription to a value that ``*CHANGES`` reports."""

    def __init__(
        self,
        channel: FieldChannel,
        session: PandaSession,
        spec: SignalSpec,
        callback: Callable[[Update], None],
    ) -> None:
        super().__init__(channel, session, callback)
        self._field = channel
        self._spec = spec
        # What is reported while the first value is asked for waits until it was delivered.
        self._early: list[Change] | None = []
        self._endings.append(session.poller.subscribe(spec.target, self._on_change))
        session.poller.expect()
        self._start(self._first())

    async def _first(self) -> None:
        levels: list[bool] = []
        if self._spec.pulses and not self._field.in_error:
            levels = await self._session.bit_since_write(self._spec.target)
        update = await self._field.first()
        for level in levels:
            self._deliver(Update(level, update.timestamp))
        if update.alarm_severity or levels[-1:] != [update.value]:
            self._deliver(update)
        early, self._early = self._early or [], None
        for change in early:
            self._on_change(change)

    async def _again(self) -> None:
        self._deliver(await self._field.first())

    def _on_change(self, change: Change) -> None:
        if self._early is not None:
            self._early.append(change)
        elif self._spec.layout is not None:
            self._start(self._again())
        else:
            update = self._field.update_of(change)
            if self._spec.pulses and change.repeated and not update.alarm_severity:
                self._deliver(Update(not update.value, update.timestamp))
            self._deliver(update)


class Derived(_Subscription):
    """A subscription to a value that changes when others do: queried when they are reported."""

    def __init__(
        self,
        channel: Asked,
        session: PandaSession,
        targets: tuple[str, ...],
        callback: Callable[[Update], None],
    ) -> None:
        super().__init__(channel, session, callback)
        self._asking = False
        for target in targets:
            self._endings.append(session.poller.subscribe(target, self._on_change))
        self._on_change(None)

    def _on_change(self, change: Change | None) -> None:  # noqa: ARG002  that it changed is all
        if not self._asking:
            self._asking = True
            self._start(self._ask())

    async def _ask(self) -> None:
        # Cleared first: a change that comes while the answer is under way asks once more.
        self._asking = False
        self._deliver(await self._channel.first())


class Queried(_Subscription):
    """A subscription to a value that only a query gives."""

    def __init__(
        self, channel: Asked, session: PandaSession, callback: Callable[[Update], None]
    ) -> None:
        super().__init__(channel, session, callback)
        self._start(self._run())

    async def _run(self) -> None:
        last: Update | None = None
        changed = 0.0
        while self._session.lost is None:
            update = await self._channel.first()
            now = asyncio.get_running_loop().time()
            told = None if last is None else (last.value, last.alarm_severity)
            if told != (update.value, update.alarm_severity):
                self._deliver(update)
                last, changed = update, now
            lively = now - changed <= QUIET_AFTER or self._session.poller.is_expectant
            period = UNREPORTED_PERIOD if lively else QUIET_PERIOD
            await asyncio.sleep(period - now % period)  # all at once: one look at the network


def _columns_of(value: Any, target: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    if isinstance(value, BaseModel):
        return dict(value)
    raise FieldValueError(target, value, "a table is a Table or a mapping of columns")
