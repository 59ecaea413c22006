"""Tells a fault of this run from what an earlier one left in HEALTH; pure."""

from __future__ import annotations

from panda_ophyd.loading.port import HEALTHY, UNREADY, TableStatus

STREAMING = "STREAMING"
STREAMING_LAST = "STREAMING_LAST"

_REASONS = {
    "DMA underrun": "the table ran dry: lines came later than they were played",
    "Not ready for table": "lines were written when it could take none",
}


def has_started(now: TableStatus, before: TableStatus) -> bool:
    """Tell whether the sequencer was started since `before`, which was before any start.

    HEALTH and the counters stay as an earlier run left them until the next start. A run that
    ends exactly as that one did cannot be told from it. Source: blocks.md 5.10.
    """
    return now.active or now.place != before.place or now.health != before.health


def find_fault(now: TableStatus, before: TableStatus) -> str | None:
    """Return what went wrong with a run, None if nothing did."""
    if now.health != HEALTHY and has_started(now, before):
        return _REASONS.get(now.health, "it stopped")
    return None


def find_stream_fault(now: TableStatus, before: TableStatus, *, last: bool) -> str | None:
    """Return what went wrong with a stream, None if nothing did.

    Args:
        now: of a moment at which segments were sent and none is on its way.
        before: of a moment before the start.
        last: whether the last segment was sent.
    """
    if fault := find_fault(now, before):
        return fault
    wanted = STREAMING_LAST if last else STREAMING
    if now.mode != wanted:
        return f"somebody else wrote its table: MODE is {now.mode}, not {wanted}"
    if not last and now.state == UNREADY and not now.queued:
        return "it was disabled, which drops the lines that wait, or it ran out of lines"
    return None
