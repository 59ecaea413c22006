"""A flyer is over when its block says so, and has stalled when nothing it depends on moves.

What is looked at is a `Moment`: how far the block has come, and what it waits for. Time-outs
are from progress, never from the length of a scan: a block may wait for hours as long as the
stage moves or its own times run, and a few seconds are enough once everything stands.

Source: flyscan.md 0 (8) and 2.3 (16, 18, 19); pains.md 3.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

PATIENCE = 10.0
"""Seconds for which nothing may move by default; what a detector's exposure is given too."""

LOOK_PERIOD = 0.1
"""Seconds between two looks: the server's own poll for changes is no faster (protocol.md 9)."""

MOVED = 10
"""Counts by which a position has to have changed to have moved: encoders flicker by a few."""

OK_HEALTH = "OK"

_NUMBER = re.compile(r"[+-]?\d+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Moment:
    """What a block does at one moment.

    Attributes:
        active: it is at work.
        health: its own word, ``OK`` or what is wrong; "" if this firmware has none.
        done: frames or pulses so far.
        at: where it is; equal in two moments if it has not come further.
        due: seconds until it comes further by itself, 0 if it depends on others.
        waits_for: what it waits for, in words; "" if for nothing.
        inputs: what that depends on, target to text.
        levels: whether those are bits; else they are positions, which flicker.
    """

    active: bool
    health: str
    done: int
    at: tuple[object, ...]
    due: float = 0.0
    waits_for: str = ""
    inputs: Mapping[str, str] | None = None
    levels: bool = False

    @property
    def healthy(self) -> bool:
        """Whether the block says nothing is wrong."""
        return self.health in ("", OK_HEALTH)


class StalledError(Exception):
    """Nothing has moved for longer than allowed; for who knows what that means.

    Attributes:
        moment: the last one.
        quiet: seconds.
    """

    def __init__(self, moment: Moment, quiet: float) -> None:
        super().__init__(moment, quiet)
        self.moment = moment
        self.quiet = quiet


Look = Callable[[], Awaitable[Moment]]


async def until_over(
    look: Look, patience: float | None, told: Callable[[Moment], object]
) -> Moment:
    """Look until the block is no longer active.

    Args:
        look: at the block.
        patience: seconds without progress that are allowed, None for any.
        told: called with each moment.

    Returns:
        The moment in which it was no longer active.

    Raises:
        StalledError: it does not come further.
    """
    loop = asyncio.get_running_loop()
    before = await look()
    since = loop.time()
    while True:
        told(before)
        if not before.active:
            return before
        await asyncio.sleep(LOOK_PERIOD)
        now = await look()
        if has_progressed(before, now):
            before, since = now, loop.time()
            continue
        quiet = loop.time() - since
        if now.active and patience is not None and quiet > patience + before.due:
            raise StalledError(now, quiet)
        if not now.active:
            before = now


def has_progressed(before: Moment, now: Moment) -> bool:
    """Tell whether a block has come further, or what it waits for has moved."""
    if before.at != now.at or before.active != now.active:
        return True
    old, new = before.inputs or {}, now.inputs or {}
    pairs = [(text, new.get(target, text)) for target, text in old.items()]
    if now.levels:
        return any(earlier != later for earlier, later in pairs)
    return any(_moved(*pair) for pair in pairs)


def _moved(old: str, new: str) -> bool:
    if _NUMBER.fullmatch(old) and _NUMBER.fullmatch(new):
        return abs(int(new) - int(old)) >= MOVED
    return old != new
