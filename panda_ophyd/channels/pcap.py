"""Channels that act on PCAP and tables rather than hold a value: arming, clearing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from panda_ophyd.capture import Arming
from panda_ophyd.channels.base import INVALID_ALARM, ChannelInfo, Update
from panda_ophyd.channels.fields import Queried
from panda_ophyd.control import AssignTable
from panda_ophyd.errors import FieldValueError, PandaConnectionError, PandaError
from panda_ophyd.session import PandaSession

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


class Receiver(Protocol):
    """Who gets the rows, as far as arming has to know."""

    arming: Arming
    """PCAP, as this program arms it."""

    @property
    def readers(self) -> int:
        """How many data clients of ours have to be counted before ARM."""
        ...

    async def check(self) -> None:
        """Refuse to be armed, by raising why."""
        ...

    def accepted(self) -> None:
        """Note that ARM was accepted: an acquisition will come and end."""
        ...

    def stopping(self) -> None:
        """Note that this program disarms."""
        ...

    async def rescued(self) -> str:
        """Return what became of a box that a lost link left armed, "" if none did."""
        ...

    async def drained(self) -> None:
        """Wait for the END of what was disarmed, and for its rows."""
        ...


class ArmChannel:
    """``pcap.arm``: True arms PCAP and returns when it is armed, False disarms it.

    Arming when our acquisition is under way does nothing, so that a second prepare in
    one stage goes on with the first's. Source: flyscan.md 4.2.

    Args:
        session: the box.
        receiver: who gets the rows.
    """

    info = ChannelInfo(kind=bool, description="Arm or disarm position capture")

    def __init__(self, session: PandaSession, receiver: Receiver) -> None:
        self._session = session
        self._receiver = receiver
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
        if wanted:
            await self._arm()
        else:
            await self._disarm()
        self._setpoint = wanted

    async def _disarm(self) -> None:
        receiver = self._receiver
        receiver.stopping()
        try:
            await receiver.arming.disarm()
        except PandaConnectionError as failure:
            told = await receiver.rescued()
            if not told:
                raise
            raise PandaConnectionError(f"{failure}; {told}") from failure.__cause__
        await receiver.drained()

    async def _arm(self) -> None:
        receiver = self._receiver
        if not (receiver.arming.maybe_armed and (await self.get()).value):
            await receiver.check()
        await receiver.arming.arm(readers=receiver.readers, accepted=receiver.accepted)

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
