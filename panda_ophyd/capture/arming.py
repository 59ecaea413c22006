"""Arming is asked for until the server is able to, because for a moment after an acquisition it is not.

Neither of the two things the server says about itself guarantees that ARM will work, so
both are waited for, and the two refusals that pass by themselves are tried again. ARM is
sent only when the server counts our data connection: it registers a reader just after
its OK, and an acquisition can be over before that.

Source: protocol.md 7.1 to 7.3, 8.9 and 11.1 (19, 20).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from panda_ophyd.client import PandaClient
from panda_ophyd.control import Err, Ok, Query, Reply
from panda_ophyd.errors import CaptureError, CommandError, PandaTimeoutError

ARM_TIMEOUT = 2.0
"""Seconds for the server to become able to arm; it needs 1 s at most on its own account."""

POLL_PERIOD = 0.01
"""Seconds between two questions to the server."""

PASSING = ("Data capture already in progress", "Unexpected error at")
"""Refusals that end by themselves, as the texts begin."""

ADVICE = {
    "Nothing configured for capture": "set one of the *_capture signals to what it shall capture",
    "Too many captures for PCAP": "a sample holds 63 words of 32 bits; capture fewer fields",
    "PCAP not supported": "the application on the PandA has no PCAP block; load one that has",
    "Data capture already in progress": "somebody has armed it; disarm it first",
    "Unexpected error at": "a data client still reads the last acquisition; close it, or wait 30 s",
}
"""How a refusal begins, and what the user can do."""


async def arm(client: PandaClient, *, readers: int = 0, timeout: float = ARM_TIMEOUT) -> None:
    """Arm PCAP.

    Args:
        client: a control connection.
        readers: data connections of ours; not armed before the server counts as many.
        timeout: how long the server may be unable to, s.

    Raises:
        CaptureError: the server refused, and what to do.
        PandaTimeoutError: it does not count our data connections.
        PandaError: as `PandaClient.request`.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    await readers_counted(client, readers, timeout=timeout)
    # If it is still busy in the end, its own refusal says why better than we could
    await _until(client, deadline, lambda state, readers, busy: state == "Idle" and not busy)
    while True:
        try:
            await client.assign("*PCAP.ARM")
        except CommandError as refusal:
            passing = refusal.message.startswith(PASSING)
            if not passing or asyncio.get_running_loop().time() >= deadline:
                raise _explained(client, refusal.message) from refusal
        else:
            return
        await asyncio.sleep(POLL_PERIOD)


async def disarm(client: PandaClient) -> None:
    """Ask PCAP to stop; nothing happens if it is not armed. END follows, soon.

    Raises:
        PandaError: as `PandaClient.assign`.
    """
    await client.assign("*PCAP.DISARM")


async def readers_counted(
    client: PandaClient, readers: int, *, timeout: float = ARM_TIMEOUT
) -> None:
    """Return when the server counts at least so many data connections.

    Raises:
        PandaTimeoutError: it does not in time.
        PandaError: as `PandaClient.request`.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    if not await _until(client, deadline, lambda state, counted, busy: counted >= readers):
        raise PandaTimeoutError(
            f"{client.where}: the PandA does not count our {readers} data connection(s) within"
            f" {timeout:g} s; is the data port the same PandA's?"
        )


async def _until(
    client: PandaClient, deadline: float, fits: Callable[[str, int, bool], bool]
) -> bool:
    """Poll until state, count of readers and business fit, or the deadline has passed."""
    while True:
        status, completion = await client.request_all(
            [Query("*PCAP.STATUS"), Query("*PCAP.COMPLETION")]
        )
        state, _, counts = _value("*PCAP.STATUS?", status).partition(" ")
        if fits(state, int(counts.split()[0]), _value("*PCAP.COMPLETION?", completion) == "Busy"):
            return True
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(POLL_PERIOD)


def _value(request: str, reply: Reply) -> str:
    if isinstance(reply, Ok) and reply.value:
        return reply.value
    raise CommandError(request, reply.message if isinstance(reply, Err) else "no value")


def _explained(client: PandaClient, message: str) -> CaptureError:
    advice = next((text for start, text in ADVICE.items() if message.startswith(start)), None)
    return CaptureError(
        f"{client.where}: the PandA will not arm: {message}" + (f"; {advice}" if advice else ""),
        reason=message,
        samples_sent=None,
        samples_written=0,
    )
