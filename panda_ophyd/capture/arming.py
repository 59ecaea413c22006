"""ARM is repeated until the server is able to: for a moment after an acquisition it is not.

Neither of the two things the server says about itself guarantees that ARM will work, so
both are waited for, and the two refusals that pass by themselves are tried again. ARM is
sent only when the server counts our data connection: it registers a reader just after
its OK, and an acquisition can be over before that.

Source: protocol.md 7.1 to 7.3, 8.9 and 11.1 (19, 20).
"""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple

from panda_ophyd.client import PandaClient
from panda_ophyd.control import Err, Ok, Query, Reply
from panda_ophyd.errors import CaptureError, CommandError, PandaTimeoutError

ARM_TIMEOUT = 2.0
"""Seconds for the server to become able to arm; it needs 1 s at most on its own account."""

POLL_PERIOD = 0.01
"""Seconds between two questions to the server."""

_STATUS = re.compile(r"(Busy|Idle) (\d+)")

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
    while True:
        late = asyncio.get_running_loop().time() >= deadline
        # If it is busy to the end, its own refusal says why better than we could
        if late or (await _status(client)).idle:
            try:
                await client.assign("*PCAP.ARM")
            except CommandError as refusal:
                if late or not refusal.message.startswith(PASSING):
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


async def readers_now(client: PandaClient) -> int:
    """Return how many data connections the server counts.

    Raises:
        CommandError: it does not say.
        PandaError: as `PandaClient.request`.
    """
    (reply,) = await client.request_all([Query("*PCAP.STATUS")])
    return _readers(_value("*PCAP.STATUS?", reply))


async def readers_counted(
    client: PandaClient, readers: int, *, timeout: float = ARM_TIMEOUT
) -> None:
    """Return when the server counts at least so many data connections.

    Raises:
        PandaTimeoutError: it does not in time.
        PandaError: as `PandaClient.request`.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    while (await _status(client)).readers < readers:
        if asyncio.get_running_loop().time() >= deadline:
            raise PandaTimeoutError(
                f"{client.where}: the PandA does not count our {readers} data connection(s)"
                f" within {timeout:g} s; is the data port the same PandA's?"
            )
        await asyncio.sleep(POLL_PERIOD)


class _Status(NamedTuple):
    idle: bool
    readers: int


async def _status(client: PandaClient) -> _Status:
    status, completion = await client.request_all(
        [Query("*PCAP.STATUS"), Query("*PCAP.COMPLETION")]
    )
    text = _value("*PCAP.STATUS?", status)
    match = _STATUS.match(text)
    if match is None:
        raise CommandError("*PCAP.STATUS?", f"{text!r} is neither Busy nor Idle with a count")
    busy = match[1] == "Busy" or _value("*PCAP.COMPLETION?", completion) == "Busy"
    return _Status(not busy, int(match[2]))


def _readers(status: str) -> int:
    """Return the count of readers in a status like ``Busy 2 1``."""
    words = status.split()
    if len(words) < 2 or not words[1].isdecimal():  # noqa: PLR2004
        raise CommandError("*PCAP.STATUS?", f"it means nothing to this driver: {status!r}")
    return int(words[1])


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
