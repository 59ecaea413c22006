"""What changes on the box reaches its subscribers through one poll of ``*CHANGES?``.

The server lists what changed since the same connection last asked, so the poller has a
connection of its own, and a line lost is a change lost: any failure of a poll ends it. A
target listed again with the text it had is news too: a bit that was listed is a bit that
moved, so it pulsed and came back between two polls.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from panda_ophyd.change_lines import parse_line
from panda_ophyd.client import PandaClient, answered
from panda_ophyd.errors import PandaConnectionError, PandaTimeoutError

__all__ = ["Change", "ChangeError", "ChangePoller", "parse_line"]

logger = logging.getLogger(__name__)


QUIVERING = ("SYSTEM.", "*")
"""Voltages, temperatures and texts about the box, not of what it does."""


@dataclass(frozen=True, slots=True)
class ChangeError:
    """In place of a value that the server could not put into text."""

    target: str


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a reply to ``*CHANGES?``.

    Attributes:
        target: on the wire, ``PULSE1.DELAY``, ``*METADATA.DESIGN``.
        text: the new value; None for a table or a multi-line text, whose content has to be
            fetched, and for an error.
        error: the server could not put the value into text.
        repeated: the target was listed before, with the same text. A bit then pulsed
            between two polls. Of other fields it means little: each new value of a
            ``read`` field is listed twice, and writing the same value lists it as well.
        timestamp: when the reply came, seconds since 1970.
    """

    target: str
    text: str | None
    error: bool
    repeated: bool
    timestamp: float


class ChangePoller:
    """Polls ``*CHANGES?`` on a connection of its own. Single use, like its client.

    Args:
        client: connected, and nobody else's.
        normal_period: seconds from poll to poll while there are subscribers.
        fast_period: seconds while somebody waits for a value (`expect`).
        idle_period: seconds while nobody subscribes.
    """

    def __init__(
        self,
        client: PandaClient,
        *,
        normal_period: float = 0.1,
        fast_period: float = 0.02,
        idle_period: float = 1.0,
    ) -> None:
        self._client = client
        self._normal_period = normal_period
        self._fast_period = fast_period
        self._idle_period = idle_period
        self._subscribers: dict[str, dict[object, Callable[[Change], None]]] = {}
        self._values: dict[str, str | ChangeError] = {}
        self._changed: dict[str, float] = {}
        self._warned: set[str] = set()
        self._expected_until = 0.0
        self._wake = asyncio.Event()
        self.attentive = False
        """Poll at the normal period though nobody subscribes: a loss must not go unnoticed."""

    @property
    def values(self) -> Mapping[str, str | ChangeError]:
        """The latest text by target, of everything but tables and multi-line texts; a live view."""
        return MappingProxyType(self._values)

    @property
    def texts(self) -> dict[str, str]:
        """The latest text by target, without what the server could not read."""
        return {t: text for t, text in self._values.items() if not isinstance(text, ChangeError)}

    @property
    def changed(self) -> Mapping[str, float]:
        """When a target was last listed since the first poll, as `time.monotonic`; a live view.

        Without `QUIVERING`: what changes all the time says nothing.
        """
        return MappingProxyType(self._changed)

    async def first(self) -> dict[str, str | ChangeError]:
        """Fetch everything that the server reports: the first poll of a connection lists it all.

        Returns:
            What `values` has then.

        Raises:
            CommandError: the server refused.
            PandaConnectionError: the connection was lost, or the server did not answer in time.
            ProtocolError: the reply was none.
        """
        await self._poll()
        self._changed.clear()
        return dict(self._values)

    async def fresh(self) -> None:
        """Poll now, beside the polls of `run`: what was written before is known afterwards.

        Raises:
            PandaError: as `first`.
        """
        await self._poll()

    def subscribe(self, target: str, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Have the callback called with each change of a target from now on.

        It is called in the event loop and must not block. What it raises goes to the
        loop's exception handler; other subscribers are served all the same.

        Returns:
            What ends the subscription; calling it again does nothing.
        """
        key = object()
        self._subscribers.setdefault(target, {})[key] = callback
        if self._period() > self._fast_period:
            self._wake.set()

        def unsubscribe() -> None:
            callbacks = self._subscribers.get(target, {})
            callbacks.pop(key, None)
            if not callbacks:
                self._subscribers.pop(target, None)

        return unsubscribe

    def expect(self, seconds: float = 2.0) -> None:
        """Poll fast for that many seconds, the first time at once: somebody waits for a value."""
        if self._period() > self._fast_period:
            self._wake.set()
        self._expected_until = max(self._expected_until, time.monotonic() + seconds)

    @property
    def is_expectant(self) -> bool:
        """Whether somebody waits for a value."""
        return time.monotonic() < self._expected_until

    async def run(self) -> None:
        """Poll until cancelled.

        Raises:
            CommandError: the server refused.
            PandaConnectionError: the connection was lost, or the server did not answer in
                time; the changes in that reply are lost, so it is of no more use.
            ProtocolError: a reply was none.
        """
        while True:
            self._wake.clear()
            started = time.monotonic()
            await self._poll()
            took = time.monotonic() - started
            # a slow link is not asked more than half of the time
            pause = max(self._period() - took, min(took, self._period()))
            # Cheaper than a time-out, which has to cancel what it ends
            alarm = asyncio.get_running_loop().call_later(pause, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                alarm.cancel()

    def _period(self) -> float:
        if self.is_expectant:
            return self._fast_period
        awake = self._subscribers or self.attentive
        return self._normal_period if awake else self._idle_period

    async def _poll(self) -> None:
        try:
            lines = await answered(self._client.query_lines("*CHANGES"), self._client.address)
        except PandaTimeoutError as silence:
            # Whose changes those were nobody will know
            raise PandaConnectionError(
                f"{self._client.where}: no answer to *CHANGES?, so what changed is not known"
            ) from silence
        timestamp = time.time()
        changes: list[Change] = []
        for line in lines:
            parsed = parse_line(line)
            if parsed is None:
                self._warn(line)
            else:
                changes.append(self._note(*parsed, timestamp))
        # told only when all is noted, so that a subscriber sees the values of one moment
        for change in changes:
            self._tell(change)

    def _note(self, target: str, text: str | None, error: bool, timestamp: float) -> Change:
        value = ChangeError(target) if error else text
        repeated = value is not None and self._values.get(target) == value
        if value is not None:
            self._values[target] = value
        if not target.startswith(QUIVERING):
            self._changed[target] = time.monotonic()
        return Change(target, text, error, repeated, timestamp)

    def _tell(self, change: Change) -> None:
        for callback in tuple(self._subscribers.get(change.target, {}).values()):
            try:
                callback(change)
            except Exception as error:  # noqa: BLE001, a subscriber's fault is not the others'
                message = f"A subscriber to {change.target} failed"
                context = {"message": message, "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    def _warn(self, line: str) -> None:
        if line not in self._warned:
            self._warned.add(line)
            logger.warning("*CHANGES? line %r means nothing to this driver; skipped", line)
