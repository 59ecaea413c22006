"""Asks the box for what pre-flight and stall report look at: fresh, in few round trips."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import shutil
import time
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from panda_ophyd.capture import Standstill
from panda_ophyd.changes import ChangePoller
from panda_ophyd.client import PandaClient
from panda_ophyd.control import Lines, Ok, Query
from panda_ophyd.destination import write_speed
from panda_ophyd.errors import PreflightError
from panda_ophyd.preflight import Setup, problems
from panda_ophyd.stall import Scene, report
from panda_ophyd.tables import from_base64_lines
from panda_ophyd.wiring import Settings, block_of, is_output, type_of, upstream

SEQ_ROW_WORDS = 4

MOST_TABLE_WORDS = 4 * 4096
"""Longer tables are not fetched: that takes time, and they do not fit the old sequencers."""

FAST_BYTES = 30e6
"""Bytes a second on the disk below which nobody asks how fast the disk is."""

LONG_BYTES = 256 * 1024 * 1024
"""Bytes in all below which nobody does either: the server holds as much."""

_FPGA = re.compile(r"FPGA: ([0-9.]+) ([0-9a-fA-F]+) ([0-9a-fA-F]+)")


class Soundings:
    """What a box is set to, asked when it matters.

    Args:
        client: a control connection.
        poller: of changes, with the first poll done.
        clock: of the FPGA, Hz.
    """

    def __init__(self, client: PandaClient, poller: ChangePoller, clock: int) -> None:
        self._client = client
        self._poller = poller
        self._clock = clock
        self.period: float | None = None
        """Seconds from trigger to trigger on average, None as long as settings do not tell."""

    def check(self, where: str, setup: Setup, waived: Collection[str]) -> None:
        """Refuse a capture that is known not to go well.

        Args:
            where: for the message.
            setup: what is about to be captured.
            waived: names of checks not to make.

        Raises:
            PreflightError: what is wrong, all of it.
        """
        found = problems(setup, waived)
        if found:
            raise PreflightError(where, found)

    async def setup(self, directory: Path, rows: int | None, *, final: bool) -> Setup:
        """Ask what is about to be captured.

        Args:
            directory: where the file goes.
            rows: how many are expected, None if nobody knows.
            final: whether the tables of sequencers are those that will be played.

        Raises:
            PandaError: as `PandaClient.request`.
        """
        setup = await self._setup(directory, rows, final=final)
        self.period = None if setup.rate is None else 1 / setup.rate
        return setup

    async def describe(self, stall: Standstill) -> str:
        """Say in one line why no row may have come."""
        await self._poller.fresh()
        now = time.monotonic()
        scene = Scene(
            quiet=stall.quiet,
            rows=stall.rows,
            wanted=stall.wanted,
            received=stall.received,
            captured=stall.box.captured,
            completion=stall.box.completion,
            settings=self._poller.texts,
            ages={target: now - at for target, at in self._poller.changed.items()},
        )
        return report(scene)

    async def _setup(self, directory: Path, rows: int | None, *, final: bool) -> Setup:
        replies, _ = await asyncio.gather(
            self._client.request_all([Query("*CAPTURE"), Query("*CAPTURE.*")]),
            self._poller.fresh(),
        )
        captured, candidates = (r.lines if isinstance(r, Lines) else () for r in replies)
        settings = self._poller.texts
        usage = await asyncio.to_thread(_free, directory)
        known = Setup(
            settings=settings,
            captured=[
                (name, tuple(options)) for name, *options in (line.split() for line in captured)
            ],
            candidates=candidates,
            clock=self._clock,
            ticking=self._ticks(settings),
            tables=await self._tables(settings) if final else {},
            rows=rows,
            free=usage,
        )
        rate = known.rate
        fast = rate is not None and rate * known.row_bytes > FAST_BYTES
        if fast and rows is not None and rows * known.row_bytes > LONG_BYTES:
            written = await asyncio.to_thread(write_speed, directory)
            return dataclasses.replace(known, written=written)
        return known

    def _ticks(self, settings: Settings) -> bool:
        """Whether there is an FPGA: the server's own simulation has no version and no voltages."""
        match = _FPGA.search(self._client.identity)
        if match is None or set("".join(match.groups())) - set("0."):
            return True
        readings = [v for t, v in settings.items() if t.startswith("SYSTEM.") and _is_number(v)]
        return any(float(value) for value in readings)

    async def _tables(self, settings: Settings) -> dict[str, NDArray[np.uint32]]:
        blocks = {
            block_of(source)
            for target in upstream(settings, "PCAP.TRIG")
            if is_output(source := settings.get(target, "")) and type_of(block_of(source)) == "SEQ"
        }
        tables: dict[str, NDArray[np.uint32]] = {}
        for block in sorted(blocks):
            row, length = await self._client.request_all(
                [Query(f"{block}.TABLE.ROW_WORDS"), Query(f"{block}.TABLE.LENGTH")]
            )
            fits = isinstance(row, Ok) and row.value == str(SEQ_ROW_WORDS)
            words = int(length.value or 0) if isinstance(length, Ok) else 0
            if not fits or not 0 < words <= MOST_TABLE_WORDS:
                continue
            reply = await self._client.request(Query(f"{block}.TABLE.B"))
            if isinstance(reply, Lines):
                tables[block] = from_base64_lines(reply.lines).reshape(-1, SEQ_ROW_WORDS)
        return tables


async def clock_of(client: PandaClient, default: int) -> int:
    """Ask for the clock of the FPGA, Hz; the default if the box does not say."""
    reply = await client.request(Query("*CLOCK_FREQ"))
    value = reply.value if isinstance(reply, Ok) else None
    return int(value) if value and value.isdecimal() and int(value) else default


def _free(directory: Path) -> int | None:
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None  # that it cannot be written to is told by who writes


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
