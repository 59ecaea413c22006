"""From a described box to a Device tree: type-hinted children are filled, the rest is added.

The root's connector owns the session; the connectors below it only own the filler of
their level. In mock mode no socket is opened: what is type-hinted is there, and, if a
description of a box is given, everything that box has.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (ophyd-async leaves the parameters of its generics open in these calls)

from __future__ import annotations

import asyncio
import keyword
import logging
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, cast

from ophyd_async.core import (
    Command,
    Device,
    DeviceConnector,
    DeviceFiller,
    DeviceMock,
    DeviceVector,
    NotConnectedError,
    Signal,
    SignalR,
    SignalRW,
    SignalW,
    TriggerableCommand,
)
from typing_extensions import override

from panda_ophyd.capture import Arming
from panda_ophyd.channels import Channel, ChannelInfo
from panda_ophyd.children import (
    AbsentChannel,
    BoxChildren,
    Child,
    live_row,
    undeclared_data,
)
from panda_ophyd.client import PandaAddress
from panda_ophyd.datablock import DataBlockState
from panda_ophyd.datatypes import kind_of
from panda_ophyd.errors import PandaError
from panda_ophyd.fields import Access, BlockInfo, BoxInfo
from panda_ophyd.livedevice import LiveRow
from panda_ophyd.session import PandaSession
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


class PandaConnector(NodeConnector):
    """Connects a Device to a PandA.

    Args:
        address: where the box is.
        box: the description of a box for mock mode, so that undeclared blocks are there too.
        initial: what settings of the `data` block begin with.

    Attributes:
        session: the connection, None before the first connect and in mock mode.
        data: the state of the `data` block, likewise.
    """

    def __init__(
        self,
        address: PandaAddress,
        box: BoxInfo | None = None,
        initial: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.address = address
        self.session: PandaSession | None = None
        self.data: DataBlockState | None = None
        self._mock_box = box
        self._initial = initial
        self._former: DataBlockState | None = None

    @property
    def root(self) -> str:
        """URI of the box."""
        return f"panda://{self.address}"

    def _fill_tree(self, device: Device, children: BoxChildren) -> None:
        name = device.name
        # Nameless while it grows: naming each child as it comes names all of them each time.
        device.set_name("")
        try:
            for block in children.box.blocks:
                self._fill_block(device, block, children)
            data, connector = self.level(device, "data", Device)
            connector.fill(
                data,
                children.data_block(),
                f"{self.root}/DATA",
                complete=self.data is not None,
            )
            self._fill_live(data, connector)
            self._mark_absent_blocks(device, children.box)
        finally:
            device.set_name(name)

    def _fill_live(self, data: Device, connector: NodeConnector) -> None:
        live, live_connector = connector.level(data, "live", LiveRow)
        where = f"{self.root}/DATA/LIVE"
        live_connector.fill(live, live_row(self.root, self.data), where, complete=False)
        if self.session is not None and self.data is not None:
            cast("LiveRow", live).bind(self.session, self.data)

    def _fill_block(self, device: Device, block: BlockInfo, children: BoxChildren) -> None:
        kind = DeviceVector if block.count > 1 else Device
        level, connector = self.level(device, block.name.lower(), kind)
        if not isinstance(level, DeviceVector):
            connector.fill(level, children.instance(block, 1), children.uri(block, 1))
            return
        vector = cast("DeviceVector[Any]", level)
        for number in range(1, block.count + 1):
            member, member_connector = connector.member(vector, number)
            member_connector.fill(
                member, children.instance(block, number), children.uri(block, number)
            )
        for surplus in [number for number in vector if number > block.count]:
            del vector[surplus]

    def _mark_absent_blocks(self, device: Device, box: BoxInfo) -> None:
        present = {block.name.lower() for block in box.blocks} | {"data"}
        for name, child in list(device.children()):
            if name.rstrip("_") in present or isinstance(child, Signal):
                continue
            where = f"{self.root}/{name.upper()}"
            if isinstance(child, DeviceVector):
                logger.warning("%s does not exist on this PandA", where)
                cast("DeviceVector[Any]", child).clear()
            elif isinstance(connector := child._connector, NodeConnector):  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                connector.mark_absent(child, where)

    @override
    async def connect_mock(self, device: Device, mock: DeviceMock[Any]) -> None:
        if self._mock_box is not None:
            self._fill_tree(device, BoxChildren(self._mock_box, self.root))
        else:
            data, connector = self.level(device, "data", Device)
            children = undeclared_data(self.root)
            connector.fill(data, children, f"{self.root}/DATA", complete=False)
            self._fill_live(data, connector)
            data.set_name(data.name)
        await super().connect_mock(device, mock)

    @override
    async def connect_real(self, device: Device, timeout: float, force_reconnect: bool) -> None:
        try:
            async with asyncio.timeout(timeout):
                session = await self._new_session()
        except (PandaError, TimeoutError) as exc:
            reason = str(exc) or f"no answer within {timeout:g} s"
            msg = f"{device.name or type(device).__name__} ({self.address}): {reason}"
            raise NotConnectedError(msg) from exc
        former, self.data = self._former, DataBlockState(session, f"{self.root}/DATA")
        session.on_loss(self.data.link_lost)
        try:
            self._fill_tree(device, BoxChildren(session.box, self.root, session, self.data))
            if former is not None:
                self.data.adopt(former)
            else:
                for name, value in self._initial.items():
                    self.data.channels[name].show(value)
            await super().connect_real(device, timeout, force_reconnect)
        except BaseException:
            await self.disconnect()
            raise

    async def _new_session(self) -> PandaSession:
        session = PandaSession(self.address)
        await session.connect()
        try:
            if self.data is not None and self.data.arming.maybe_armed:
                # Before the old file is closed, which waits for END
                logger.warning("%s: PCAP was left armed, and is disarmed", self.address)
                await Arming(session.client).disarm()
                self.data.arming.over()
            await self.disconnect()
        except PandaError as exc:  # of the capture that the lost link took with it, told then
            logger.warning("%s: %s", self.address, exc)
        except BaseException:
            await session.close()
            raise
        self.session = session
        return session

    async def disconnect(self) -> None:
        """End a capture that is under way and close what is open; connect again at will."""
        session, self.session = self.session, None
        data, self.data = self.data, None
        self._former = data or self._former
        try:
            if data is not None:
                await data.rescued()
                await data.close()
        finally:
            if session is not None:
                await session.close()
