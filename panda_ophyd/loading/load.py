"""Chooses the way: fixed if the lines end before the table is full, otherwise one that refills."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import NoReturn

from panda_ophyd.errors import FieldValueError, PandaError, SequenceError
from panda_ophyd.loading.base import Loading
from panda_ophyd.loading.chunks import Cutter, Lines
from panda_ophyd.loading.double import LEAST_SECONDS, DoubleBuffered
from panda_ophyd.loading.fixed import FixedTable
from panda_ophyd.loading.port import TablePort
from panda_ophyd.loading.streamed import StreamedTable
from panda_ophyd.loading.turns import Turns

CLOCK = 125_000_000
"""Ticks a second."""

CHUNK_LINES = 65_536
"""Most lines of a segment: 1 MiB, and 1.4 MiB on the wire."""

_COUNTED = 100_000_000
_INIT = "INIT"


async def load(
    port: TablePort,
    lines: Iterator[Lines],
    *,
    repeats: int = 1,
    chunk_lines: int = CHUNK_LINES,
    wanted_seconds: float = 2.0,
    clock: float = CLOCK,
    prescale: int = 1,
    turns: Turns | None = None,
    least_seconds: float = LEAST_SECONDS,
) -> Loading:
    """Clear a table and load lines into it: all of them, or as many as are needed to start.

    The generator runs in threads, one at a time, so that the event loop stays free.

    Args:
        port: the table; its sequencer is disabled.
        lines: batches of lines, of any size; a frame may span batches.
        repeats: what REPEATS is, which the caller sets; other than 1 only for what fits.
        chunk_lines: most lines in a segment of a stream.
        wanted_seconds: playing time that waits in the box at least, where lines and buffers
            allow it, s.
        clock: ticks a second, of the wall clock that this program lives by.
        prescale: ticks of a unit of time in the lines, as in PRESCALE.
        turns: two sequencers, the first of which has `port`, for a server that cannot stream;
            they need a prescale of 1.
        least_seconds: playing time of a table of these, where lines allow it, s.

    Returns:
        The loading; await its `Loading.feed` beside the scan.

    Raises:
        FieldValueError: no lines, more than this box can take, or repeats of a stream.
        SequenceError: the box did not take the lines as it should.
        PandaError: the link was lost, or a request was refused.
        Exception: whatever the generator raises; the table is clear then.
    """
    cutter = Cutter(lines, prescale)
    try:
        await _cleared(port)
        held = await asyncio.to_thread(cutter.fill, port.max_lines + 1)
        if held <= port.max_lines:
            chunk, _ = await asyncio.to_thread(cutter.next, port.max_lines)
            fixed = FixedTable(port, chunk, repeats)  # which refuses to be empty
            await fixed.start()
            return fixed
        way: StreamedTable | DoubleBuffered
        if repeats == 1 and await port.supports_streaming():
            way = StreamedTable(
                port, cutter, chunk_lines=chunk_lines, wanted=wanted_seconds, clock=clock
            )
        elif repeats == prescale == 1 and turns is not None:
            way = DoubleBuffered(
                turns, cutter, chunk_lines=chunk_lines, least_seconds=least_seconds, clock=clock
            )
        else:
            way = await _refuse(port, cutter, repeats, turns)
        await way.start()
    except BaseException:
        with contextlib.suppress(PandaError):  # what came first is what counts
            await port.clear()
        raise
    return way


async def _cleared(port: TablePort) -> None:
    # a stream can begin only after a clear, and a fixed one too (protocol.md 5.3)
    await port.clear()
    if await port.supports_streaming() and (mode := await port.mode()) != _INIT:
        block = port.target.partition(".")[0]
        reason = f"its table has MODE {mode} after a clear, not {_INIT}: does somebody write it?"
        raise SequenceError(block, reason, health="not asked")


async def _refuse(port: TablePort, cutter: Cutter, repeats: int, turns: Turns | None) -> NoReturn:
    count = await asyncio.to_thread(cutter.count, _COUNTED)
    many = f"{count} lines" if count < _COUNTED else f"{count} lines or more"
    if repeats != 1:
        reason = (
            f"it holds {port.max_lines}, and a longer table is played once and not with"
            f" REPEATS={repeats}: let the lines themselves repeat"
        )
    elif turns is not None:
        reason = (
            f"it holds {port.max_lines}, and two sequencers that take turns need a PRESCALE of"
            " 1 tick: make the lines in ticks"
        )
    else:
        reason = (
            f"it holds {port.max_lines}, and this server cannot stream: take server 4.1 or newer,"
            " two sequencers that take turns, or fewer windows and equal frames"
        )
    raise FieldValueError(port.target, many, reason)
