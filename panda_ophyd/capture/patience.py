"""Closing waits as long as what the PandA still holds keeps coming, and not for ever.

After a disarm the server sends the rest of its ring and then END. Without one it sends what
is captured from then on, and END never comes; seen from here the difference is that a ring
holds so much and no more, and comes as fast as the network can. So what comes buys time,
and silence costs it. While the disk holds us up, nothing can come, and the disk is waited
for instead.

Source: protocol.md 8.8.
"""

from __future__ import annotations

RING_BYTES = 300 * 1024 * 1024
"""More than the server's 128 blocks of 2 MiB and the network's buffers hold together."""

SLOWEST = 5_000_000
"""Bytes a second that a ring comes at least: half of the slowest Ethernet of today."""

DISK_TIMEOUT = 60.0
"""Seconds for which the disk may take nothing at all while closing waits for it."""


class Patience:
    """Tells when to give up on END. Knows no clock: times are s of any, and must not go back.

    Args:
        timeout: for which nothing may come, s.
        now: the time.
        received: bytes that have come so far.
        rows: written so far.
    """

    def __init__(self, timeout: float, now: float, received: int, rows: int) -> None:
        self._timeout = timeout
        self._first = self._received = received
        self._rows = rows
        self._now = self._heard = self._written = now
        self._spent = 0.0

    @property
    def next_look(self) -> float:
        """When to look at the latest, if nothing happens before."""
        return self._now + max(min(self._timeout, DISK_TIMEOUT) / 8, 0.001)

    def reason(self, now: float, received: int, rows: int, *, held_up: bool) -> str | None:
        """Return why to give up, None as long as there is hope.

        Args:
            now: the time.
            received: bytes that have come.
            rows: written.
            held_up: whether nothing can come because the disk does not take what has.
        """
        if rows > self._rows or not held_up:
            self._rows, self._written = rows, now
        if held_up:
            self._heard = now
        else:
            self._spent += now - self._now
        if received > self._received:
            self._received, self._heard = received, now
        self._now = now
        came = received - self._first
        if now - self._written > DISK_TIMEOUT:
            return f"the disk has taken nothing for {DISK_TIMEOUT:g} s"
        if came > RING_BYTES or (came and self._spent >= self._timeout + came / SLOWEST):
            return (
                f"END did not come, but {came} bytes since closing; PCAP was not disarmed before,"
                " or somebody has armed it again"
            )
        if now - self._heard >= self._timeout:
            within = "nothing else either for" if came else "within"
            since = "" if came else " of closing"
            return (
                f"END did not come{',' if came else ''} {within} {self._timeout:g} s{since}; either"
                " PCAP was not disarmed before, or the data connection does not deliver any more"
            )
        return None
