"""A signal backend is the framework's face of one channel.

Everything that ophyd-async asks of a signal is answered here once, for any `Channel`: a
field on the wire, a value that lives in this program, the arming of PCAP.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, cast

from bluesky.protocols import Reading
from event_model import DataKey
from event_model.documents.event_descriptor import Limits, LimitsRange
from ophyd_async.core import (
    Callback,
    CommandBackend,
    SignalBackend,
    SignalDatatype,
    SignalDatatypeT,
    SignalMetadata,
    make_datakey,
)
from typing_extensions import override

from panda_ophyd.channels import Channel, ChannelInfo, CommandChannel, LostValue, Plain, Update
from panda_ophyd.datatypes import check_declared, converter, datatype_of
from panda_ophyd.errors import PandaConnectionError


class PandaSignalBackend(SignalBackend[SignalDatatypeT]):
    """The framework's eight questions about one signal, passed on to its channel.

    Args:
        datatype: from the annotation, None if the box decides.
    """

    def __init__(self, datatype: type[SignalDatatypeT] | None) -> None:
        super().__init__(datatype)
        self._declared = datatype
        self._channel: Channel | None = None
        self._convert: Callable[[Plain], Any] = lambda value: value
        self._unsubscribe: Callable[[], None] | None = None
        self._callback: Callback[Reading[SignalDatatypeT]] | None = None

    def bind(self, channel: Channel, name: str) -> None:
        """Tell the backend where its value lives; again after a reconnection.

        Args:
            channel: the value.
            name: for the types made on the spot, "Pcap1Trig".

        Raises:
            TypeError: see `check_declared`.
        """
        info = channel.info
        if self._declared is not None:
            check_declared(channel.source, self._declared, info)
        elif self._channel is None:
            self.datatype = cast("type[SignalDatatypeT]", datatype_of(name, info))
        self._convert = converter(cast("type[Any]", self.datatype))
        self._channel = channel
        if self._callback is not None:
            self._listen()

    @property
    def declared(self) -> type[SignalDatatypeT] | None:
        """The type of the annotation, None if the box decides."""
        return self._declared

    @property
    def bound(self) -> bool:
        """Whether the backend knows where its value lives."""
        return self._channel is not None

    @property
    def channel(self) -> Channel:
        """Where the value lives.

        Raises:
            PandaConnectionError: the device was not connected yet.
        """
        if self._channel is None:
            msg = "This signal is not connected: connect the PandA it belongs to first"
            raise PandaConnectionError(msg)
        return self._channel

    def _reading(self, update: Update) -> Reading[SignalDatatypeT]:
        lost = isinstance(update.value, LostValue)  # which converting would look at
        return Reading(
            value=cast("SignalDatatypeT", update.value) if lost else self._convert(update.value),
            timestamp=update.timestamp,
            alarm_severity=update.alarm_severity,
        )

    def _listen(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()

        def deliver(update: Update) -> None:
            if self._callback is not None:
                self._callback(self._reading(update))

        self._unsubscribe = self.channel.subscribe(deliver)

    @override
    def source(self, name: str, read: bool) -> str:
        return self._channel.source if self._channel is not None else f"panda://{name}"

    @override
    async def connect(self, timeout: float) -> None:
        _ = self.channel

    @override
    async def put(self, value: SignalDatatypeT | None) -> None:
        await self.channel.put(value)

    @override
    async def get_datakey(self, source: str) -> DataKey:
        info = self.channel.info
        datatype = cast("type[SignalDatatype]", self.datatype)
        metadata: SignalMetadata = {}
        if info.kind in (int, float):
            metadata["units"] = await self.channel.units() or ""
        if info.precision is not None:
            metadata["precision"] = info.precision
        if info.choices:
            metadata["choices"] = list(info.choices)
        if info.limits is not None:
            span = LimitsRange(low=info.limits[0], high=info.limits[1])
            metadata["limits"] = Limits(control=span, display=span)
        # Only a table's length depends on its present value.
        example = (await self.get_value()) if info.kind == "table" else _example(datatype, info)
        datakey = make_datakey(datatype, example, source, metadata)
        if info.description:
            cast("dict[str, Any]", datakey)["description"] = info.description
        return datakey

    @override
    async def get_reading(self) -> Reading[SignalDatatypeT]:
        return self._reading(await self.channel.get())

    @override
    async def get_value(self) -> SignalDatatypeT:
        return self._convert((await self.channel.get()).value)

    @override
    async def get_setpoint(self) -> SignalDatatypeT:
        return self._convert(await self.channel.setpoint())

    @override
    def set_callback(self, callback: Callback[Reading[SignalDatatypeT]] | None) -> None:
        if callback is not None and self._callback is not None:
            msg = f"{self.channel.source}: a callback is set already"
            raise RuntimeError(msg)
        self._callback = callback
        if callback is not None:
            self._listen()
        elif self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None


def _example(datatype: type[Any], info: ChannelInfo) -> Any:
    return "" if info.kind is str else datatype()


class PandaCommandBackend(CommandBackend[[], None]):
    """A write whose happening is its meaning: FORCE_SET, the clearing of a table."""

    def __init__(self, signature: inspect.Signature | None) -> None:
        super().__init__(signature or inspect.Signature([], return_annotation=None))
        self._channel: CommandChannel | None = None

    def bind(self, channel: CommandChannel) -> None:
        """Tell the backend what to write to."""
        self._channel = channel

    @override
    def source(self, name: str) -> str:
        return self._channel.source if self._channel is not None else f"panda://{name}"

    @override
    async def connect(self, timeout: float) -> None:
        if self._channel is None:
            msg = "This command is not connected: connect the PandA it belongs to first"
            raise PandaConnectionError(msg)

    @override
    async def execute(self) -> None:
        await self.connect(0)
        await cast("CommandChannel", self._channel).put(None)
