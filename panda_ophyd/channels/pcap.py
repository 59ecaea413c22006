"""Channels that act on PCAP and tables rather than hold a value: arming, clearing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from panda_ophyd.capture import arm, disarm
from panda_ophyd.channels.base import INVALID_ALARM, ChannelInfo, Update
from panda_ophyd.channels.fields import Queried
from panda_ophyd.control import AssignTable
from panda_ophyd.errors import FieldValueError, PandaError, PandaTimeoutError
from panda_ophyd.session import PandaSession

DISARM_TIMEOUT = 5.0
"""Seconds for an acquisition to end after DISARM; hardware takes 0.1 s (protocol.md 7.3)."""

DISARM_POLL = 0.01
"""Seconds between two questions whether it has."""

ARM_WORDS: Mapping[str, bool] = {
    "True": True,
    "1": True,
    "1.0": True,
    "Arm": True,
    "False": False,
    "0": False,
    "0.0": False,
    "Disarm": False,
}
"""What plans written for the EPICS route put to ``pcap.arm``. Source: flyscan.md 4.3."""


class ArmChannel:
    """``pcap.arm``: True arms PCAP and returns when it is armed, False disarms it.

    Arming when an acquisition is under way does nothing, so that a second prepare in
    one stage goes on with the first's. Source: flyscan.md 4.2.

    Args:
        session: the box.
        readers: how many data clients of ours have to be counted before ARM.
        armed: called when ARM was accepted: an acquisition will come and end.
    """

    info = ChannelInfo(kind=bool, description="Arm or disarm position capture")

    def __init__(
        self,
        session: PandaSession,
        readers: Callable[[], int],
        armed: Callable[[], None] = lambda: None,
    ) -> None:
        self._session = session
        self._readers = readers
        self._armed = armed
        self._setpoint = False

    @property
    def source(self) -> str:
        """``panda://host/*PCAP.ARM``."""
        return f"panda://{self._session.address}/*PCAP.ARM"

    async def units(self) -> None:
        """Return None: a truth has no units."""

    async def get(self) -> Update:
        """Ask whether an acquisition is under way."""
        completion = await self._session.client.query("*PCAP.COMPLETION")
        return Update(completion == "Busy", time.time())

    async def put(self, value: Any) -> None:
        """Arm or disarm.

        Raises:
            CaptureError: it could not be armed.
            CommandError: the server refused.
            FieldValueError: neither a truth nor one of the words.
        """
        word = getattr(value, "value", value)
        wanted = ARM_WORDS.get(str(word))
        if wanted is None:
            reason = f"it is one of {list(ARM_WORDS)}"
            raise FieldValueError("*PCAP.ARM", value, reason)
        self._session.poller.expect()
        if not wanted:
            await disarm(self._session.client)
            await self._ended()
        elif not (await self.get()).value:
            await arm(self._session.client, readers=self._readers())
            self._armed()
        self._setpoint = wanted

    async def _ended(self) -> None:
        deadline = time.monotonic() + DISARM_TIMEOUT
        while (await self.get()).value:
            if time.monotonic() > deadline:
                msg = f"{self.source}: still capturing {DISARM_TIMEOUT:g} s after it was disarmed"
                raise PandaTimeoutError(msg)
            await asyncio.sleep(DISARM_POLL)

    async def setpoint(self) -> bool:
        """Return what was last asked for."""
        return self._setpoint

    def subscribe(self, callback: Callable[[Update], None]) -> Callable[[], None]:
        """Deliver whether an acquisition is under way, now and whenever that changes."""
        return Queried(self, self._session, callback).stop

    async def first(self) -> Update:
        """Query for a subscriber, who cannot be told of an error but by the alarm."""
        try:
            return await self.get()
        except PandaError:
            return Update(False, time.time(), INVALID_ALARM)


class ClearTableChannel:
    """``table_clear``: an empty write, which also ends a stream."""

    info = ChannelInfo(kind=bool)

    def __init__(self, session: PandaSession, target: str) -> None:
        self._session = session
        self._target = target

    @property
    def source(self) -> str:
        """``panda://host/SEQ1.TABLE``."""
        return f"panda://{self._session.address}/{self._target}"

    async def put(self, value: Any) -> None:  # noqa: ARG002  being written is all
        """Clear the table.

        Raises:
            CommandError: the server refused.
        """
        await self._session.write(AssignTable(self._target, ()))
