"""`HDFPanda` without an IOC: upstream's class, its logics in ours, our connector below.

A genuine subclass, so that ``isinstance`` and annotations in existing plans and
beamline modules hold; upstream's ``__init__`` is not run, because it builds a PVA
connector and needs p4p. Source: flyscan.md 4.1.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (ophyd-async leaves the parameters of its generics open in these calls)

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import sys
from collections.abc import AsyncIterator, Collection
from typing import Any

import numpy as np
from ophyd_async.core import (
    AsyncStatus,
    DetectorDataLogic,
    Device,
    PathProvider,
    SignalR,
    StreamableDataProvider,
    StreamResourceDataProvider,
    StreamResourceInfo,
    TriggerInfo,
    WatchableAsyncStatus,
)
from ophyd_async.fastcs.panda import HDFPanda as UpstreamHDFPanda
from ophyd_async.fastcs.panda import PandaCaptureMode
from typing_extensions import override

from panda_ophyd.capture import Verdict
from panda_ophyd.client import PandaAddress
from panda_ophyd.connector import PandaConnector
from panda_ophyd.datablock import DataBlockState
from panda_ophyd.destination import data_key
from panda_ophyd.detectorlogics import PandaAcquireLogic, PandaTriggerLogic
from panda_ophyd.errors import CaptureError, FieldValueError, PandaError, WriterError
from panda_ophyd.fields import BoxInfo
from panda_ophyd.flight import Flight
from panda_ophyd.preflight import waivers
from panda_ophyd.progress import Rate, fail_early, first_failure
from panda_ophyd.signals import PandaSignalBackend

__all__ = ["HDFPanda", "data_key"]

logger = logging.getLogger(__name__)

MOCK_CHUNK_ROWS = 1024
"""Where there is no file, documents are those that upstream's detector emits."""


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
                chunk_shape=(self._panda.chunk_rows,),
                parameters={"dataset": f"/{name}"},
            )
            for name, dtype in zip(table.name, table.dtype, strict=True)
        ]
        return StreamResourceDataProvider(
            uri=f"{path_info.directory_uri}{file_name}",
            resources=resources,
            mimetype="application/x-hdf5",
            collections_written_signal=self._panda.documented_rows(),
        )

    @override
    async def stop(self) -> None:
        if not await self._panda.data.capture.get_value():
            return
        # Also before another prepare: END, which closing waits for, comes of the disarm.
        try:
            await self._panda.pcap.arm.set(False)
        finally:  # a box that is gone is no reason to leave the file open
            await self._panda.data.capture.set(False)
            self._panda.tell_undocumented()


class HDFPanda(UpstreamHDFPanda):
    """A PandA that writes what it captures to HDF5, reached over its own TCP ports.

    Args:
        host: ``"host"``, ``"host:8888"``, ``"host:8888:8889"``, with or without ``panda://``.
        path_provider: where files go; only called in prepare.
        name: of the device.
        box: description of a box for mock mode, so that undeclared blocks are there too.
        waive: names of pre-flight checks not to make; ``data.waive`` changes it later.
        stall_timeout: how late a row may be before a scan fails, s, 0 for ever; None for
            the default. ``data.stall_timeout`` changes it later.
        reconnect: connect again by itself when the link was lost. What was under way then
            has failed; the next scan finds the box.

    Raises:
        FieldValueError: `host` is no such address, or there is no such check.
    """

    _stepping = False
    """Whether `trigger` is under way, which has no kickoff."""
    _kicking: AsyncStatus[None] | None = None

    def __init__(
        self,
        host: str,
        path_provider: PathProvider,
        name: str = "",
        *,
        box: BoxInfo | None = None,
        waive: str | Collection[str] = (),
        stall_timeout: float | None = None,
        reconnect: bool = True,
    ) -> None:
        initial: dict[str, Any] = {"waive": " ".join(sorted(waivers(waive, "waive")))}
        if stall_timeout is not None:
            if stall_timeout < 0:
                raise FieldValueError("stall_timeout", stall_timeout, "it is 0 or more")
            initial["stall_timeout"] = float(stall_timeout)
        self._panda_connector = PandaConnector(
            PandaAddress.parse(host), box, initial, reconnect=reconnect
        )
        # Before the logics, which refer to the children.
        self._panda_connector.create_children_from_annotations(self)
        self.add_detector_logics(
            PandaTriggerLogic(self),
            PandaAcquireLogic(self),
            PandaDataLogic(path_provider, self),
        )
        Device.__init__(self, name=name, connector=self._panda_connector)

    @property
    def box(self) -> BoxInfo | None:
        """What the connected box is, None before connect and in mock mode."""
        session = self._panda_connector.session
        return None if session is None else session.box

    @property
    def address(self) -> PandaAddress:
        """Where the box is."""
        return self._panda_connector.address

    def take_over(self, other: HDFPanda) -> None:
        """Take over what another device of such a box keeps in this program: names, options."""
        if self._state is not None and other._state is not None:
            self._state.carry(other._state)

    @property
    def verdict(self) -> Verdict | None:
        """What can be said of the present or last file; None if there was none yet."""
        state = self._state
        return None if state is None else state.judged_now()

    async def disconnect(self) -> None:
        """Close both connections; the device can be connected again."""
        await self._panda_connector.disconnect()

    @property
    def _state(self) -> DataBlockState | None:
        """The capture behind the `data` block; None in mock mode, where there are only signals."""
        return None if self._mock is not None else self._panda_connector.data

    @property
    def _flight(self) -> Flight | None:
        """The open file, None if there is none."""
        return None if self._state is None else self._state.flight

    async def pause(self) -> None:
        """Disarm, when the RunEngine pauses; the file stays open, and waits go on."""
        if self._state is not None:
            await self._state.pause()

    async def resume(self) -> None:
        """Arm again into the same file; a refusal fails what the plan waits on."""
        if self._state is not None:
            await self._state.resume()

    def documented_rows(self) -> SignalR[int]:
        """Return the signal that says how many rows documents may name."""
        state = self._state
        if state is None:
            return self.data.num_captured
        backend = PandaSignalBackend(int)
        backend.bind(state.documented, "DocumentedRows")
        return SignalR(backend, name=f"{self.data.num_captured.name}-documented")

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk in the present file, or in upstream's in mock mode."""
        return MOCK_CHUNK_ROWS if self._state is None else self._state.options.chunk

    def expect_rows(self) -> None:
        """Say how many rows are to come, before they are asked for."""
        state, ctx = self._state, self._prepare_ctx
        if state is not None and ctx is not None:
            state.expected = ctx.trigger_info.number_of_collections or None

    async def confirm_rows(self) -> None:
        """Raise if rows that the box has captured are lost."""
        flight = self._flight
        if flight is not None:
            await flight.confirm()

    def hold_rows(self) -> None:
        """Keep rows from being counted as documented between prepare and kickoff."""
        if self._state is not None and not self._stepping:
            self._state.hold()

    @AsyncStatus.wrap
    @override
    async def unstage(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        try:
            await super().unstage()
        finally:
            # Upstream goes at the first failure, but the file is closed before the plan goes on
            if self._state is not None:
                with contextlib.suppress(PandaError):
                    await self._state.close()

    @override
    def kickoff(self) -> AsyncStatus[None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._kicking = self._kick_off()
        return self._kicking

    @WatchableAsyncStatus.wrap
    @override
    async def complete(self) -> AsyncIterator[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        # A plan need not wait for the kickoff before it asks for the end
        if self._kicking is not None and not self._kicking.done:
            await self._kicking
        async for update in inspect.unwrap(super().complete)(self):
            yield update

    @AsyncStatus.wrap
    async def _kick_off(self) -> None:
        await super().kickoff()
        state = self._state
        if state is None or self._kickoff_ctx is None:
            return
        state.release()
        flight = self._flight
        if flight is not None and flight.untouched:
            await state.check(final=True)
        wanted = self._rows_wanted
        endless = wanted == sys.maxsize
        if endless or state.num_captured.value >= wanted or await self.pcap.arm.get_value():
            return
        if flight is not None:
            await flight.settle(wanted)
        if (rows := state.num_captured.value) < wanted:
            msg = (
                f"{self.name}: the acquisition ended before kickoff, with {rows} rows of the"
                f" {wanted} that were asked for; let PCAP.ENABLE stay high, or prepare again"
            )
            raise CaptureError(
                msg, reason="ended before kickoff", samples_sent=None, samples_written=rows
            )

    @override
    def trigger(self) -> WatchableAsyncStatus[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        # A step scan has no kickoff; prepare may come within, so rows are never held.
        self._stepping = True
        if self._state is not None:
            self._state.release()
        status = super().trigger()
        status.add_callback(lambda _: setattr(self, "_stepping", False))
        return status

    @property
    def _rows_wanted(self) -> int:
        """Rows since the file was opened that were asked for, without bound if for ever."""
        ctx, prepared = self._kickoff_ctx, self._prepare_ctx
        if ctx is not None:
            requested = ctx.collections_requested
            return ctx.collections_written + requested if requested else sys.maxsize
        if prepared is not None and self._stepping:
            return prepared.collections_written + prepared.trigger_info.collections_per_event
        return 0

    @override
    async def get_index(self) -> int:
        # A plan may ask for the last time right when its flyer has ended: rows that the box
        # has captured and the disk has not yet would then be missing from the documents.
        if self._flight is not None and self._kickoff_ctx is not None:
            await self._flight.settle(self._rows_wanted)
        return await super().get_index()

    def tell_undocumented(self) -> None:
        """Warn if rows were asked for, are on disk, and are in no document."""
        state, ctx = self._state, self._prepare_ctx
        if state is None or ctx is None or self._kickoff_ctx is None:
            return
        on_disk = min(state.num_captured.value, self._rows_wanted)
        events = on_disk // ctx.trigger_info.collections_per_event
        for provider in ctx.streamable_data_providers:
            emitted = getattr(provider, "last_emitted", events)
            if emitted < events:
                logger.warning(
                    "%s: documents name %d events of the %d on disk in %s",
                    self.name,
                    emitted,
                    events,
                    state.full_file_path.value,
                )

    @override
    async def _wait_for_index(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        state = self._state
        if state is None:
            async for update in super()._wait_for_index(*args, **kwargs):
                yield update
            return
        # Rows that will not come are told why at once, in place of a time-out that knows
        # nothing; what is too late is for our own watch to say.
        info: TriggerInfo = kwargs["trigger_info"]
        wanted: int = kwargs["initial_collections_written"] + kwargs["collections_requested"]
        kwargs["trigger_info"] = info.model_copy(update={"exposure_timeout": None})
        flight = self._flight
        if flight is None:
            raise CaptureError(
                f"{self.name}: no file is open, so no row will come; stage and prepare again",
                reason="not capturing",
                samples_sent=None,
                samples_written=state.num_captured.value,
            )
        watch = flight.watch(self.name, wanted, self._patience(info), state.soundings.describe)
        updates = super()._wait_for_index(*args, **kwargs)
        with_rate = Rate(state.soundings.period)
        async for update in fail_early(
            updates, lambda: first_failure(watch.run, state.raise_failure)
        ):
            yield with_rate(update)

    def _patience(self, info: TriggerInfo) -> float | None:
        """Return how long a row may take, s; None for ever."""
        if "exposure_timeout" in info.model_fields_set:
            return info.exposure_timeout
        state = self._state
        if state is None or not state.stall_timeout.value:
            return None
        expected = max(info.livetime + info.deadtime, state.soundings.period or 0.0)
        return expected + state.stall_timeout.value
