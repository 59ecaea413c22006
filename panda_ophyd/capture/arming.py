"""ARM is repeated until the server is able to, and DISARM awaited: the I/O around `armstate`.

Neither of the two things the server says about itself guarantees that ARM will work, so
both are waited for, and the two refusals that pass by themselves are tried again. ARM is
sent only when the server counts our data connection: it registers a reader just after
its OK, and an acquisition can be over before that. It is armed when the server, asked
again, says that it runs or that it is over already.

Source: protocol.md 7.1 to 7.3, 8.9 and 11.1 (19, 20).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from panda_ophyd.capture.armstate import MAYBE_ARMED, Action, Arm, Event, step
from panda_ophyd.client import PandaClient
from panda_ophyd.control import Err, Ok, Query, Reply
from panda_ophyd.errors import CaptureError, CommandError, PandaError, PandaTimeoutError

ARM_TIMEOUT = 2.0
"""Seconds for the server to become able to arm; it needs 1 s at most on its own account."""

DISARM_TIMEOUT = 5.0
"""Seconds for an acquisition to end after DISARM; hardware takes 0.1 s (protocol.md 7.3)."""

POLL_PERIOD = 0.01
"""Seconds between two questions to the server."""

BUSY = "Busy"

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

_WAITING = frozenset({Event.UNCOUNTED, Event.UNABLE, Event.RUNS, Event.REFUSED_FOR_NOW})
"""What the box says while there is nothing to do but wait."""


@dataclass(frozen=True, slots=True)
class PcapState:
    """What the box says of itself.

    Attributes:
        idle: neither the buffers nor the hardware are busy, so it could be armed.
        readers: data connections that it counts.
        completion: how the last acquisition ended, or `BUSY`.
        captured: samples of the present or last acquisition that it has from the hardware.
    """

    idle: bool
    readers: int
    completion: str
    captured: int = 0

    @property
    def running(self) -> bool:
        """Whether the hardware is at it."""
        return self.completion == BUSY


class Arming:
    """PCAP of one box as this program arms it; one thing at a time.

    Args:
        client: a control connection.

    Attributes:
        state: where our acquisition stands.
    """

    def __init__(self, client: PandaClient) -> None:
        self.state = Arm.IDLE
        self._client = client
        self._turn = asyncio.Lock()
        self._readers = 0
        self._refusal: CommandError | None = None
        self._accepted: Callable[[], object] = lambda: None

    @property
    def maybe_armed(self) -> bool:
        """Whether the box may run an acquisition of ours."""
        return self.state in MAYBE_ARMED

    @property
    def is_busy(self) -> bool:
        """Whether it is being armed or disarmed, so that what is known is about to change."""
        return self._turn.locked()

    async def arm(
        self,
        *,
        readers: int = 0,
        timeout: float = ARM_TIMEOUT,
        accepted: Callable[[], object] = lambda: None,
    ) -> None:
        """Arm PCAP; nothing happens if our acquisition runs.

        Args:
            readers: data connections of ours; not armed before the server counts as many.
            timeout: how long the server may be unable to, s.
            accepted: called at once when ARM was accepted: an acquisition will come and end.

        Raises:
            CaptureError: the server refused, and what to do.
            PandaTimeoutError: it does not count our data connections.
            PandaError: as `PandaClient.request`.
        """
        async with self._turn:
            self._readers, self._accepted = readers, accepted
            await self._run(Event.ARM, timeout)

    async def disarm(self, *, timeout: float = DISARM_TIMEOUT) -> None:
        """Disarm PCAP, whoever armed it, and return when nothing runs any more.

        Raises:
            PandaTimeoutError: it still runs.
            PandaError: as `PandaClient.request`.
        """
        async with self._turn:
            await self._run(Event.DISARM, timeout)

    def over(self) -> None:
        """Note that the acquisition has ended by itself."""
        if not self._turn.locked():  # else whoever has the turn finds out
            self.state, _ = step(self.state, Event.OVER)

    def lost(self) -> None:
        """Note that the link is gone; what runs by then goes on."""
        if not self._turn.locked():  # else whoever has the turn finds out
            self.state, _ = step(self.state, Event.LOST)

    async def _run(self, event: Event, timeout: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout
        self._refusal = None
        while True:
            event = await _late_or_later(event, deadline)
            self.state, action = step(self.state, event)
            if action is Action.REST:
                return
            if action not in (Action.LOOK, Action.SEND_ARM, Action.SEND_DISARM):
                raise self._failure(action, timeout)
            try:
                event = await self._act(action)
            except BaseException:
                self.state, _ = step(self.state, Event.LOST)
                raise

    async def _act(self, action: Action) -> Event:
        if action is Action.LOOK:
            return await self._look()
        try:
            await self._client.assign(f"*PCAP.{action.value}")
        except CommandError as error:
            self._refusal = error
            passing = error.message.startswith(PASSING)
            return Event.REFUSED_FOR_NOW if passing else Event.REFUSED
        if action is Action.SEND_ARM:
            self._accepted()
        return Event.ACCEPTED

    def _failure(self, action: Action, timeout: float) -> PandaError:
        where = self._client.where
        if action is Action.FAIL_UNCOUNTED:
            return _uncounted(self._client, self._readers, timeout)
        if action is Action.FAIL_RUNNING:
            return PandaTimeoutError(f"{where}: still capturing {timeout:g} s after DISARM")
        if self._refusal is None:
            raise RuntimeError(f"arming: {action.name} without a reason")
        if action is Action.FAIL_DISARM:
            return self._refusal
        message = self._refusal.message
        advice = next((text for start, text in ADVICE.items() if message.startswith(start)), "")
        failure = CaptureError(
            f"{where}: the PandA will not arm: {message}" + (f"; {advice}" if advice else ""),
            reason=message,
            samples_sent=None,
            samples_written=0,
        )
        failure.__cause__ = self._refusal
        return failure

    async def _look(self) -> Event:
        if self.state in (Arm.CHECKING, Arm.CONFIRMING, Arm.STOPPING):
            completion = await self._client.query("*PCAP.COMPLETION")
            return Event.RUNS if completion == BUSY else Event.OVER
        box = await _status(self._client)
        if box.readers < self._readers:
            return Event.UNCOUNTED
        return Event.ABLE if box.idle else Event.UNABLE


async def arm(client: PandaClient, *, readers: int = 0, timeout: float = ARM_TIMEOUT) -> None:
    """Arm PCAP, once and for nobody who needs to know more; as `Arming.arm`."""
    await Arming(client).arm(readers=readers, timeout=timeout)


async def disarm(client: PandaClient) -> None:
    """Ask PCAP to stop; nothing happens if it is not armed. END follows, soon.

    Raises:
        PandaError: as `PandaClient.assign`.
    """
    await client.assign("*PCAP.DISARM")


async def pcap_state(client: PandaClient) -> PcapState:
    """Ask what the box says of itself, in one round trip.

    Raises:
        CommandError: it does not say.
        PandaError: as `PandaClient.request`.
    """
    *_, captured = replies = await client.request_all(
        [Query("*PCAP.STATUS"), Query("*PCAP.COMPLETION"), Query("*PCAP.CAPTURED")]
    )
    count = _value("*PCAP.CAPTURED?", captured)
    if not count.isdecimal():
        raise CommandError("*PCAP.CAPTURED?", f"it means nothing to this driver: {count!r}")
    return _state(replies[0], replies[1], int(count))


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
            raise _uncounted(client, readers, timeout)
        await asyncio.sleep(POLL_PERIOD)


async def _status(client: PandaClient) -> PcapState:
    status, completion = await client.request_all(
        [Query("*PCAP.STATUS"), Query("*PCAP.COMPLETION")]
    )
    return _state(status, completion)


def _state(status: Reply, completion: Reply, captured: int = 0) -> PcapState:
    text = _value("*PCAP.STATUS?", status)
    match = _STATUS.match(text)
    if match is None:
        raise CommandError("*PCAP.STATUS?", f"{text!r} is neither Busy nor Idle with a count")
    ended = _value("*PCAP.COMPLETION?", completion)
    return PcapState(match[1] == "Idle" and ended != BUSY, int(match[2]), ended, captured)


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


def _uncounted(client: PandaClient, readers: int, timeout: float) -> PandaTimeoutError:
    return PandaTimeoutError(
        f"{client.where}: the PandA does not count our {readers} data connection(s)"
        f" within {timeout:g} s; is the data port the same PandA's?"
    )


async def _late_or_later(event: Event, deadline: float) -> Event:
    """Wait a little where there is nothing to do but wait; beyond the deadline say so."""
    if event not in _WAITING:
        return event
    if asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(POLL_PERIOD)
        return event
    return Event.REFUSED if event is Event.REFUSED_FOR_NOW else Event.LATE
