"""A peer that is silent is asked over another connection whether it is there at all.

A box that is switched off says nothing, and the time-out of a request has to be long, for
a busy box. So after a short silence a connection of its own tells the two apart: a busy
box answers it, a dead one or a pulled cable does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from panda_ophyd.client.address import PandaAddress
from panda_ophyd.client.connection import PandaClient
from panda_ophyd.errors import PandaConnectionError

SILENCE = 0.6
"""Seconds without an answer that nobody thinks anything of."""

PROBE_TIMEOUT = 1.2
"""Seconds for the other connection, and again for its answer: more than the second after which a
lost packet of the first kind is sent again."""

_T = TypeVar("_T")


async def answered(answer: Awaitable[_T], address: PandaAddress) -> _T:
    """Wait for an answer as long as the peer is there.

    Args:
        answer: what is waited for; it ends by itself, in the long run.
        address: of the peer.

    Raises:
        PandaConnectionError: the peer is silent, and cannot be reached any more.
    """
    # Ten times a second there is an answer at once: no task and no waiting beside its own
    looking: asyncio.Task[PandaConnectionError] | None = None
    limit = asyncio.timeout(None)

    def end(_: object) -> None:
        limit.reschedule(0)

    def look() -> None:
        nonlocal looking
        looking = asyncio.create_task(_until_gone(address), name=f"is {address} there")
        looking.add_done_callback(end)

    silence = asyncio.get_running_loop().call_later(SILENCE, look)
    try:
        async with limit:
            return await answer
    except TimeoutError:
        if looking is None or not limit.expired():
            raise
        gone = looking.result()
        raise PandaConnectionError(
            f"no answer, and the PandA is not there any more: {gone}"
        ) from gone
    finally:
        silence.cancel()
        if looking is not None:
            looking.remove_done_callback(end)
            looking.cancel()
            await asyncio.wait([looking])


async def _until_gone(address: PandaAddress) -> PandaConnectionError:
    """Return why the peer cannot be reached, as soon as it cannot."""
    while (gone := await _gone(address)) is None:  # noqa: ASYNC110  nobody would set an event
        await asyncio.sleep(SILENCE)
    for _ in range(3):
        await asyncio.sleep(0)  # if we were late ourselves, the answer is here by now
    return gone


async def _gone(address: PandaAddress) -> PandaConnectionError | None:
    """Return why the peer cannot be reached, None if it can."""
    probe = PandaClient(address, timeout=PROBE_TIMEOUT)
    try:
        await probe.connect()
    except PandaConnectionError as failure:
        return failure
    finally:
        await probe.close()
    return None
