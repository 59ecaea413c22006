"""One acquisition into one file, from a script or the command line: checked, watched, disarmed.

What the device does over the life of a session, done once: pre-flight, arming, and a
watch that ends a capture whose rows do not come. Whatever happens, box and file are left
in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from panda_ophyd.capture import (
    Arming,
    Capture,
    CaptureResult,
    FileOptions,
    Meanings,
    Phase,
    Watch,
    chunk_rows,
    readers_counted,
    readers_now,
)
from panda_ophyd.changes import ChangePoller
from panda_ophyd.client import PandaAddress, PandaClient
from panda_ophyd.errors import CaptureError, PandaError
from panda_ophyd.introspection import introspect, take_snapshot
from panda_ophyd.rescue import disarm_afresh
from panda_ophyd.soundings import Soundings

GIVE_UP_TIMEOUT = 2.0
"""Seconds that disarming, and END after it, may take when something has failed already."""

STALL_TIMEOUT = 10.0
"""Seconds beyond the expected time of a row, unless told otherwise."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is wanted of an acquisition.

    Attributes:
        arm: arm PCAP; else wait for somebody else to.
        rows: keep so many, and disarm when they are on disk; fewer are an error; None for all
            that come.
        seconds: disarm after so long, None for never.
        waive: names of pre-flight checks not to make.
        stall: how late a row may be, s; None for never.
        options: how the rows are kept.
    """

    arm: bool = False
    rows: int | None = None
    seconds: float | None = None
    waive: frozenset[str] = frozenset()
    stall: float | None = None
    options: FileOptions = field(default_factory=FileOptions)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is.

    Attributes:
        rows: that can be read.
        sample_bytes: of one of them on the wire.
    """

    rows: int
    sample_bytes: int


async def acquire(
    address: PandaAddress,
    path: Path,
    order: Order,
    *,
    on_progress: Callable[[Progress], object] = lambda _: None,
    on_interrupt: Callable[[], object] = lambda: None,
) -> CaptureResult:
    """Write one acquisition to a file.

    Args:
        address: the PandA.
        path: the file; it must not exist.
        order: what is wanted.
        on_progress: called when more rows can be read.
        on_interrupt: called when it was cancelled and goes on to disarm and keep what came.

    Raises:
        PreflightError: it would not have gone well, and was not begun.
        StallError: no row came, with a report.
        CaptureError: it did not go well otherwise.
        PandaError: box or disk failed.
    """
    async with PandaClient(address) as client:
        return await _Acquisition(client, path, order, on_progress, on_interrupt).run()


class _Acquisition:
    """The one acquisition, from the first question to the closed file."""

    def __init__(
        self,
        client: PandaClient,
        path: Path,
        order: Order,
        on_progress: Callable[[Progress], object],
        on_interrupt: Callable[[], object],
    ) -> None:
        self._client = client
        self._path = path
        self._order = order
        self._on_progress = on_progress
        self._on_interrupt = on_interrupt
        self._arming = Arming(client)
        self._enough = asyncio.Event()
        self._sample_bytes = 0

    async def run(self) -> CaptureResult:
        client, order = self._client, self._order
        before = await readers_now(client)
        box = await introspect(client)
        poller = ChangePoller(client)
        await poller.first()
        soundings = Soundings(client, poller, box.clock_frequency)
        setup = await soundings.setup(self._path.parent, order.rows, final=True)
        self._sample_bytes = setup.sample_bytes
        chunk = chunk_rows(setup.rate, sample_bytes=setup.sample_bytes)
        writing = Capture(
            client.address,
            self._path,
            limit=order.rows,
            on_rows=self._count,
            options=replace(order.options, chunk=chunk),
            meanings=Meanings.of(box),
        )
        writing.describe(await take_snapshot(client, box))
        await writing.open()
        try:
            # One more than before: this box's data port is the one we are connected to.
            await readers_counted(client, before + 1)
            if order.arm:
                soundings.check(str(client.address), setup, order.waive)
                await self._arming.arm(readers=before + 1, accepted=writing.expect)
            await self._follow(writing, soundings)
        except BaseException as failure:
            await self._give_up(writing, failure)
            raise
        result = await writing.close()
        if result is None:
            raise self._nothing("no acquisition came")
        return result

    def _count(self, rows: int) -> None:
        self._on_progress(Progress(rows, self._sample_bytes))
        if self._order.rows is not None and rows >= self._order.rows:
            self._enough.set()

    def _nothing(self, what: str) -> CaptureError:
        return CaptureError(
            f"{self._path}: {what}", reason=what, samples_sent=None, samples_written=0
        )

    async def _follow(self, writing: Capture, soundings: Soundings) -> None:
        """Return when the acquisition has ended, or was disarmed: END is then up to closing."""
        order = self._order

        def phase() -> Phase:
            if not order.arm and not writing.pending:
                return Phase.PAUSED  # it is for somebody else to begin
            return Phase.FLYING if order.arm and order.rows is not None else Phase.STOPPED

        watch = Watch(
            str(self._path),
            self._client,
            writing,
            before=0,
            wanted=order.rows,
            patience=None if order.stall is None else order.stall + (soundings.period or 0.0),
            phase=phase,
            describe=soundings.describe,
        )
        watching: asyncio.Task[Any] = asyncio.create_task(watch.run(), name="watch rows")
        ended: asyncio.Task[Any] = asyncio.create_task(writing.wait_ended())
        stop: asyncio.Task[Any] = asyncio.create_task(self._enough.wait())
        waits = (watching, ended, stop)
        interrupted = False
        try:
            await asyncio.wait(waits, timeout=order.seconds, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if not writing.pending:
                raise
            interrupted = True
            self._on_interrupt()
        finally:
            done = [task for task in (ended, watching) if task.done()]
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if ended in done:
            await ended
            watch.check_end()
        elif watching in done:
            await watching
        elif not writing.pending:
            raise self._nothing(f"no acquisition came within {order.seconds:g} s; --arm starts one")
        else:
            await self._arming.disarm()
            if order.rows is not None and not interrupted:
                await self._check_rows(writing, order.rows)

    async def _check_rows(self, writing: Capture, wanted: int) -> None:
        """Fail a capture that was disarmed before it had the rows that were asked for."""
        await writing.settled(wanted, timeout=GIVE_UP_TIMEOUT)
        if writing.rows < wanted and not writing.error:
            what = f"{writing.rows} rows of the {wanted} that were asked for came"
            writing.fail(
                CaptureError(
                    f"{self._path}: {what} within {self._order.seconds:g} s; allow more time, or"
                    " ask for fewer",
                    reason="time is up",
                    samples_sent=None,
                    samples_written=writing.rows,
                    suspect_row=writing.rows,
                )
            )

    async def _give_up(self, writing: Capture, failure: BaseException) -> None:
        """Leave box and file in order; the failure under way is what the user is told."""
        drain = 0.0
        if self._arming.maybe_armed:
            with contextlib.suppress(PandaError, TimeoutError):
                async with asyncio.timeout(GIVE_UP_TIMEOUT):
                    await self._arming.disarm()
                    drain = GIVE_UP_TIMEOUT
            if self._arming.maybe_armed:
                failure.add_note(await disarm_afresh(self._client.address))
        with contextlib.suppress(PandaError):
            await writing.close(timeout=drain)
