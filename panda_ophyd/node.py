"""One level of the Device tree: type-hinted children are filled, others of the box are added."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (ophyd-async leaves the parameters of its generics open in these calls)

from __future__ import annotations

import keyword
import logging
from collections.abc import Collection, Mapping
from typing import Any, cast

from ophyd_async.core import (
    Command,
    Device,
    DeviceConnector,
    DeviceFiller,
    DeviceMock,
    DeviceVector,
    Signal,
    SignalR,
    SignalRW,
    SignalW,
    TriggerableCommand,
)
from typing_extensions import override

from panda_ophyd.channels import Channel, ChannelInfo
from panda_ophyd.children import AbsentChannel, Child
from panda_ophyd.datatypes import kind_of
from panda_ophyd.fields import Access
from panda_ophyd.signals import PandaCommandBackend, PandaSignalBackend

logger = logging.getLogger(__name__)

MOCK_VECTOR_ENTRIES = [1, 2]
"""Instances of a type-hinted DeviceVector in mock mode without a description, as upstream."""

SIGNAL_TYPES: Mapping[Access, type[Signal[Any]]] = {
    Access.R: SignalR,
    Access.RW: SignalRW,
    Access.W: SignalW,
}


class NodeConnector(DeviceConnector):
    """The filler of one level of the tree: a vector, or a block instance."""

    filler: DeviceFiller[PandaSignalBackend[Any], NodeConnector, PandaCommandBackend]

    def __init__(self) -> None:
        # What this level holds by its name in the box. The filler itself forgets what it
        # added, and a second connect has to find it.
        self._signals: dict[str, PandaSignalBackend[Any]] = {}
        self._commands: dict[str, PandaCommandBackend] = {}
        self._levels: dict[str, tuple[Device, NodeConnector]] = {}

    @override
    def create_children_from_annotations(self, device: Device) -> None:
        if hasattr(self, "filler"):
            return
        self.filler = DeviceFiller(
            device=device,
            signal_backend_factory=PandaSignalBackend,
            device_connector_factory=NodeConnector,
            command_backend_factory=PandaCommandBackend,
        )
        for generator in (
            self.filler.create_devices_from_annotations(filled=False),
            self.filler.create_signals_from_annotations(filled=False),
            self.filler.create_commands_from_annotations(filled=False),
        ):
            for _ in generator:
                pass
        self.filler.check_created()

    @override
    async def connect_mock(self, device: Device, mock: DeviceMock[Any]) -> None:
        if isinstance(device, DeviceVector) and not device:
            self.filler.create_device_dict_entries_to_mock(MOCK_VECTOR_ENTRIES)
            device.set_name(device.name)
        await super().connect_mock(device, mock)

    @override
    async def connect_real(self, device: Device, timeout: float, force_reconnect: bool) -> None:
        # What was filled is connected: a signal has no connection of its own. Only one that
        # was mocked has to be given its backend back, and that is the framework's to do.
        for _, child in device.children():
            is_leaf = isinstance(child, Signal | Command)
            if not is_leaf or child._mock is not None:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                await child.connect(timeout=timeout, force_reconnect=force_reconnect)

    def level(self, device: Device, name: str, kind: type[Device]) -> tuple[Device, NodeConnector]:
        """Return the child level of that name and its connector, made if need be."""
        if name not in self._levels:
            attribute = free_attribute(device, name)
            connector = self.filler.fill_child_device(attribute, kind)
            self._levels[name] = (getattr(device, attribute), connector)
        return self._levels[name]

    def member(self, vector: DeviceVector[Any], number: int) -> tuple[Device, NodeConnector]:
        """Return one member of a vector and its connector, made if need be."""
        if number not in vector:
            self.filler.fill_child_device(str(number), Device, number)
        return vector[number], connector_of(vector[number])

    def fill(
        self, device: Device, children: Mapping[str, Child], where: str, *, complete: bool = True
    ) -> None:
        """Make the signals of this level.

        Args:
            device: the level.
            children: by name.
            where: the level's URI, for types and messages.
            complete: these are all there are; what else is type-hinted is absent.
        """
        title = where.rpartition("/")[2].title()
        for name, child in children.items():
            if child.access is Access.X:
                if name not in self._commands:
                    self._commands[name] = self.filler.fill_child_command(
                        free_attribute(device, name), TriggerableCommand
                    )
                self._commands[name].bind(child.channel)
            else:
                if name not in self._signals:
                    self._signals[name] = self.filler.fill_child_signal(
                        free_attribute(device, name), SIGNAL_TYPES[child.access]
                    )
                type_name = f"{title}{name.title()}".replace("_", "")
                self._bind(self._signals[name], child, type_name)
        if complete:
            self.mark_absent(device, where, children)

    def _bind(self, backend: PandaSignalBackend[Any], child: Child, type_name: str) -> None:
        channel = cast("Channel", child.channel)
        declared = backend.declared
        if child.declared is not None and declared is not None and kind_of(declared) is not str:
            logger.warning("%s is not the %s it was declared as", channel.source, declared)
            channel = child.declared(declared)
        backend.bind(channel, type_name)

    def mark_absent(self, device: Device, where: str, names: Collection[str] = ()) -> None:
        """Give every signal that the box has not (or has no more) a channel that says so.

        Args:
            device: the level.
            where: its URI.
            names: of the signals that the box has.
        """
        present = [self._signals[name] for name in names if name in self._signals]
        for name, child in device.children():
            if not isinstance(child, Signal):
                continue
            connector = child._connector  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            backend = connector.backend
            if isinstance(backend, PandaSignalBackend) and backend not in present:
                source = f"{where}.{name.rstrip('_').upper()}"
                logger.warning("%s does not exist on this PandA", source)
                declared = cast("type[Any]", backend.datatype or str)
                info = ChannelInfo(kind_of(declared), datatype=declared)
                backend.bind(AbsentChannel(source, info), name)


def free_attribute(device: Device, name: str) -> str:
    """Return the attribute for a child: its name, or with an underscore if that is taken.

    Taken are Python's keywords and what a Device has of its own (``connect``, on a
    detector ``trigger``); names of bluesky's protocols the framework's filler knows.
    """
    present = getattr(device, name, None)
    taken = keyword.iskeyword(name) or (present is not None and not isinstance(present, Device))
    return f"{name}_" if taken else name


def connector_of(device: Device) -> NodeConnector:
    """Return the connector of a level that one of ours made.

    Raises:
        TypeError: another connector made it.
    """
    connector = device._connector  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    if not isinstance(connector, NodeConnector):
        msg = f"{device} was not made by a PandA's connector"
        raise TypeError(msg)
    return connector
