"""`HDFPanda` without an IOC: upstream's class, its logics in ours, our connector below.

A genuine subclass, so that ``isinstance`` and annotations in existing plans and
beamline modules hold; upstream's ``__init__`` is not run, because it builds a PVA
connector and needs p4p. Source: flyscan.md 4.1.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (ophyd-async leaves the parameters of its generics open in these calls)

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
from ophyd_async.core import (
    DetectorAcquireLogic,
    DetectorDataLogic,
    DetectorTriggerLogic,
    Device,
    PathProvider,
    SignalDict,
    StreamableDataProvider,
    StreamResourceDataProvider,
    StreamResourceInfo,
)
from ophyd_async.fastcs.panda import HDFPanda as UpstreamHDFPanda
from ophyd_async.fastcs.panda import PandaCaptureMode
from typing_extensions import override

from panda_ophyd.capture import CHUNK_ROWS
from panda_ophyd.client import PandaAddress
from panda_ophyd.connector import PandaConnector
from panda_ophyd.errors import WriterError
from panda_ophyd.fields import BoxInfo

HDF5_MIMETYPE = "application/x-hdf5"

TICK = 8e-9
"""Seconds: a PandA needs one tick between two gates."""

DEFAULT_NAME = re.compile(r"^([A-Z][A-Z0-9_]*?)(\d*)\.([A-Z0-9_]+)\.([A-Za-z]+)$")
"""A dataset nobody named: ``COUNTER1.OUT.Mean``."""


def data_key(dataset: str, device_name: str) -> str:
    """Return the key under which documents speak of a dataset.

    A name that somebody chose is the key, as upstream has it. A dataset nobody named
    takes the name of its signal, ``panda-counter-1-out-mean``: two PandAs in one stream
    then never claim the same key. Source: flyscan.md 4.6, 4.7.
    """
    match = DEFAULT_NAME.match(dataset)
    if match is None:
        return dataset
    block, number, field, option = match.groups()
    parts = [device_name, block.lower(), number, field.lower(), option.lower()]
    return "-".join(part for part in parts if part)


class PandaTriggerLogic(DetectorTriggerLogic):
    """PCAP takes a row at each trigger it is given; there is nothing to set up."""

    @override
    def get_deadtime(self, config_values: SignalDict) -> float:
        return TICK

    @override
    async def prepare_edge(self, num: int, livetime: float) -> None:
        pass

    @override
    async def prepare_level(self, num: int) -> None:
        pass


class PandaAcquireLogic(DetectorAcquireLogic):
    """Arms PCAP in prepare, disarms it at stage and unstage, through ``pcap.arm``."""

    def __init__(self, panda: HDFPanda) -> None:
        self._panda = panda

    @override
    async def start_acquiring(self) -> None:
        await self._panda.pcap.arm.set(True)

    @override
    async def wait_for_idle(self) -> None:
        # The rows that were asked for are flushed; what ends an acquisition (PCAP.ENABLE
        # falling, or the disarm in unstage) may come later and must not be waited for.
        pass

    @override
    async def ensure_stopped(self) -> None:
        await self._panda.pcap.arm.set(False)


class PandaDataLogic(DetectorDataLogic):
    """Opens the file through the signals of the `data` block, as upstream, with true dtypes."""

    def __init__(self, path_provider: PathProvider, panda: HDFPanda) -> None:
        self._path_provider = path_provider
        self._panda = panda

    @override
    async def prepare_unbounded(self, datakey_name: str) -> StreamableDataProvider:
        data = self._panda.data
        path_info = self._path_provider(datakey_name)
        file_name = f"{path_info.filename}.h5"
        # The depth first: setting the directory is what creates it.
        await data.create_directory.set(path_info.create_dir_depth)
        await asyncio.gather(
            data.flush_period.set(0),
            data.hdf_directory.set(str(path_info.directory_path)),
            data.hdf_file_name.set(file_name),
            data.capture_mode.set(PandaCaptureMode.FOREVER),
        )
        if not await data.directory_exists.get_value():
            raise WriterError(
                str(path_info.directory_path),
                "the directory does not exist or cannot be written to",
            )
        await data.capture.set(True)
        table = await data.datasets.get_value()
        resources = [
            StreamResourceInfo(
                data_key=data_key(name, datakey_name),
                shape=(),
                dtype_numpy=np.dtype(str(getattr(dtype, "value", dtype))).str,
                chunk_shape=(CHUNK_ROWS,),
                parameters={"dataset": f"/{name}"},
            )
            for name, dtype in zip(table.name, table.dtype, strict=True)
        ]
        return StreamResourceDataProvider(
            uri=f"{path_info.directory_uri}{file_name}",
            resources=resources,
            mimetype=HDF5_MIMETYPE,
            collections_written_signal=data.num_captured,
        )

    @override
    async def stop(self) -> None:
        await self._panda.data.capture.set(False)


class HDFPanda(UpstreamHDFPanda):
    """A PandA that writes what it captures to HDF5, reached over its own TCP ports.

    Args:
        host: ``"host"``, ``"host:8888"``, ``"host:8888:8889"``, with or without ``panda://``.
        path_provider: where files go; only called in prepare.
        name: of the device.
        box: description of a box for mock mode, so that undeclared blocks are there too.

    Raises:
        FieldValueError: `host` is no such address.
    """

    def __init__(
        self,
        host: str,
        path_provider: PathProvider,
        name: str = "",
        *,
        box: BoxInfo | None = None,
    ) -> None:
        self._panda_connector = PandaConnector(PandaAddress.parse(host), box)
        # Before the logics, which refer to the children.
        self._panda_connector.create_children_from_annotations(self)
        self.add_detector_logics(
            PandaTriggerLogic(),
            PandaAcquireLogic(self),
            PandaDataLogic(path_provider, self),
        )
        Device.__init__(self, name=name, connector=self._panda_connector)

    @property
    def box(self) -> BoxInfo | None:
        """What the connected box is, None before connect and in mock mode."""
        session = self._panda_connector.session
        return None if session is None else session.box

    async def disconnect(self) -> None:
        """Close both connections; the device can be connected again."""
        await self._panda_connector.disconnect()

    @override
    async def _wait_for_index(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        # A capture that has failed will never reach its count: whoever waits is told why
        # at once, in place of a time-out that knows nothing.
        data = self._panda_connector.data
        updates = super()._wait_for_index(*args, **kwargs)
        if data is None or self._mock is not None:
            async for update in updates:
                yield update
            return
        async for update in fail_early(updates, data.raise_failure):
            yield update


async def fail_early(
    updates: AsyncIterator[Any], raise_failure: Callable[[], Any]
) -> AsyncIterator[Any]:
    """Pass updates on, until they end or the failure is raised, whichever is first.

    Args:
        updates: what is being waited for.
        raise_failure: coroutine function that raises when there is a failure.
    """
    failure = asyncio.ensure_future(raise_failure())
    following: asyncio.Future[Any] | None = None
    try:
        while True:
            following = asyncio.ensure_future(anext(updates))
            await asyncio.wait((following, failure), return_when=asyncio.FIRST_COMPLETED)
            if failure.done():
                failure.result()
            try:
                update = await following
            except StopAsyncIteration:
                return
            yield update
    finally:
        pending = [f for f in (following, failure) if f is not None and not f.done()]
        for future in pending:
            future.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
