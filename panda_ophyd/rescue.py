"""A box left armed by a lost link is disarmed over a connection of its own, or the user is told."""

from __future__ import annotations

import asyncio
import logging

from panda_ophyd.capture import Arming, pcap_state
from panda_ophyd.client import PandaAddress, PandaClient
from panda_ophyd.errors import PandaError

RESCUE_TIMEOUT = 2.0
"""Seconds for a fresh connection to be made, and for each of its answers."""

LEFT_ARMED = "PCAP may still be armed"
"""How the bad news begins."""

_log = logging.getLogger(__name__)


async def disarm_afresh(address: PandaAddress, *, timeout: float | None = None) -> str:
    """Disarm a box whose control link was lost while it was armed.

    Args:
        address: the PandA.
        timeout: for connecting and for each answer, s; None for `RESCUE_TIMEOUT`.

    Returns:
        One line that says whether the box is armed now; nothing is raised.
    """
    timeout = RESCUE_TIMEOUT if timeout is None else timeout
    try:
        async with PandaClient(address, timeout=timeout) as client:
            if not (await pcap_state(client)).running:
                return "PCAP is not armed any more"
            async with asyncio.timeout(timeout):
                await Arming(client).disarm()
    except (PandaError, TimeoutError) as failure:
        told = (
            f"{LEFT_ARMED} and could not be disarmed ({failure or 'no answer'}); do it"
            f" when the PandA is back: panda-ophyd put {address} '*PCAP.DISARM'"
        )
        _log.warning("%s: %s", address, told)
        return told
    _log.info("%s: PCAP was disarmed over a connection of its own", address)
    return "PCAP was left armed, and is disarmed now"
