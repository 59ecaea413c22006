"""From a described box to a Device tree: type-hinted children are filled, the rest is added.

The root's connector owns the session; the connectors below it only own the filler of
their level. In mock mode no socket is opened: what is type-hinted is there, and, if a
description of a box is given, everything that box has.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (ophyd-async leaves the parameters of its generics open in these calls)

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from ophyd_async.core import (
    Device,
    DeviceMock,
    DeviceVector,
    NotConnectedError,
    Signal,
)
from typing_extensions import override

from panda_ophyd.capture import Arming
from panda_ophyd.children import (
    BoxChildren,
    live_row,
    undeclared_data,
)
from panda_ophyd.client import PandaAddress
from panda_ophyd.datablock import DataBlockState
from panda_ophyd.errors import PandaError
from panda_ophyd.fields import BlockInfo, BoxInfo
from panda_ophyd.livedevice import LiveRow
from panda_ophyd.node import NodeConnector
from panda_ophyd.reconnection import Reconnection, differences
from panda_ophyd.session import PandaSession

logger = logging.getLogger(__name__)


class PandaConnector(NodeConnector):
    """Connects a Device to a PandA.

    Args:
        address: where the box is.
        box: the description of a box for mock mode, so that undeclared blocks are there too.
        initial: what settings of the `data` block begin with.
        reconnect: connect again by itself when the link is lost.

    Attributes:
        session: the connection, None before the first connect and in mock mode.
        data: the state of the `data` block, likewise.
    """

    def __init__(
        self,
        address: PandaAddress,
        box: BoxInfo | None = None,
        initial: Mapping[str, Any] = MappingProxyType({}),
        *,
        reconnect: bool = False,
    ) -> None:
        super().__init__()
        self.address = address
        self.session: PandaSession | None = None
        self.data: DataBlockState | None = None
        self._mock_box = box
        self._initial = initial
        self._former: DataBlockState | None = None
        self._settings: Mapping[str, str] = {}
        self._reconnects = reconnect
        self._reconnection: Reconnection | None = None
        self._reconnecting = False
        self._turn = asyncio.Lock()

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
        async with self._turn:
            if self._reconnecting and not self._is_lost():
                return  # somebody else was faster
            await self._connect(device, timeout, force_reconnect)

    async def _connect(self, device: Device, timeout: float, force_reconnect: bool) -> None:
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
            self._compare(session)
            if former is not None:
                self.data.adopt(former)
            else:
                for name, value in self._initial.items():
                    self.data.channels[name].show(value)
            await super().connect_real(device, timeout, force_reconnect)
        except BaseException:
            await self._drop()
            raise
        if self._reconnects:
            session.on_loss(lambda _: self._reconnect(device))

    def _compare(self, session: PandaSession) -> None:
        """Tell a box that was restarted from one that was only out of reach."""
        told = differences(self._settings, now := session.settings())
        if told:
            logger.warning("%s: %s", self.root, told)
        self._settings = now

    def _is_lost(self) -> bool:
        return self.session is not None and self.session.lost is not None

    def _reconnect(self, device: Device) -> None:
        if not self._is_lost():
            return  # it was closed, not lost
        if self.session is not None:
            self._settings = self.session.settings()

        async def attempt() -> None:
            self._reconnecting = True
            try:
                await device.connect(force_reconnect=True)
            finally:
                self._reconnecting = False

        if self._reconnection is None:
            self._reconnection = Reconnection(self.root, attempt, self._is_lost)
        self._reconnection.begin()

    async def _new_session(self) -> PandaSession:
        session = PandaSession(self.address)
        await session.connect()
        try:
            if self.data is not None and self.data.arming.maybe_armed:
                # Before the old file is closed, which waits for END
                logger.warning("%s: PCAP was left armed, and is disarmed", self.address)
                await Arming(session.client).disarm()
                self.data.arming.over()
            await self._drop()
        except PandaError as exc:  # of the capture that the lost link took with it, told then
            logger.warning("%s: %s", self.address, exc)
        except BaseException:
            await session.close()
            raise
        self.session = session
        return session

    async def disconnect(self) -> None:
        """End a capture that is under way and close what is open; connect again at will."""
        if self._reconnection is not None:
            await self._reconnection.stop()
        await self._drop()

    async def _drop(self) -> None:
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
