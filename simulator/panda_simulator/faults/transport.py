"""Faults of the bytes of a connection, whatever they mean."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from typing_extensions import override

from panda_simulator.faults.actions import Action, Close, Reset, Send
from panda_simulator.faults.effect import ConnectionEffect, Progress
from panda_simulator.faults.parameters import choice, duration, fraction, whole

_BYTE = 256


@dataclass(frozen=True, kw_only=True)
class AtSomePoint(ConnectionEffect):
    """Happens once to a connection: at once, or when so much has passed."""

    after_bytes: int | None = whole(None, "when the server has sent so many bytes")
    after_received: int | None = whole(None, "when the server has received so many bytes")
    after_samples: int | None = whole(None, "when the server has sent so many samples")

    @property
    def at_once(self) -> bool:
        """Whether nothing has to pass before."""
        points = (self.after_bytes, self.after_received, self.after_samples)
        return all(not point for point in points)

    def room(self, data: bytes, at: Progress) -> int | None:
        """Return how many of these bytes go before it happens, None if all do and more."""
        if at.done:
            return None
        if self.at_once:
            return 0
        if self.after_bytes is not None and at.sent + len(data) >= self.after_bytes:
            return max(self.after_bytes - at.sent, 0)
        if self.after_received is not None and at.received >= self.after_received:
            return 0
        if self.after_samples is not None and at.samples >= self.after_samples:
            return len(data)
        return None

    def happen(self, at: Progress) -> Iterator[Action]:
        """Do it."""
        yield from ()

    @override
    def boundary(self, sent: int, at: Progress) -> int | None:
        if self.after_samples is None or at.done:
            return None
        return self.after_samples - at.samples

    @override
    def sending(self, data: bytes, at: Progress) -> Iterator[Action]:
        room = self.room(data, at)
        if room is None or not at.fire():
            yield Send(data)
            return
        at.done = True
        if room:
            yield Send(data[:room])
        yield from self.happen(at)
        if data[room:]:
            yield Send(data[room:])


@dataclass(frozen=True, kw_only=True)
class _Ending(AtSomePoint):
    """Ends the connection, also one on which nothing is sent."""

    @override
    def attached(self, at: Progress) -> Iterator[Action]:
        if self.at_once and at.fire():
            at.done = True
            yield from self.happen(at)

    @override
    def receiving(self, at: Progress) -> Iterator[Action]:
        if (
            self.after_received is not None
            and at.received >= self.after_received
            and not at.done
            and at.fire()
        ):
            at.done = True
            yield from self.happen(at)


@dataclass(frozen=True, kw_only=True)
class CloseConnection(_Ending):
    """Row ``close``."""

    @override
    def happen(self, at: Progress) -> Iterator[Action]:
        yield Close()


@dataclass(frozen=True, kw_only=True)
class ResetConnection(_Ending):
    """Row ``reset``."""

    @override
    def happen(self, at: Progress) -> Iterator[Action]:
        yield Reset()


@dataclass(frozen=True, kw_only=True)
class Stall(AtSomePoint):
    """Row ``stall``."""

    seconds: float = duration(math.inf, "for how long")

    @override
    def happen(self, at: Progress) -> Iterator[Action]:
        yield at.wait(self.seconds)


@dataclass(frozen=True, kw_only=True)
class PullCable(_Ending):
    """Row ``pull-cable``."""

    seconds: float = duration(math.inf, "for how long")

    @override
    def happen(self, at: Progress) -> Iterator[Action]:
        yield at.freeze(self.seconds)


@dataclass(frozen=True, kw_only=True)
class NeverAnswer(ConnectionEffect):
    """Row ``never-answer``."""

    @override
    def attached(self, at: Progress) -> Iterator[Action]:
        if at.fire():
            yield at.freeze(math.inf)


@dataclass(frozen=True, kw_only=True)
class Trickle(ConnectionEffect):
    """Row ``trickle``."""

    times: int = whole(0, "how many replies or pieces of data, 0 for all")
    size: int = whole(1, "bytes at a time", least=1)
    delay: float = duration(0.001, "between them")

    @override
    def sending(self, data: bytes, at: Progress) -> Iterator[Action]:
        if not at.fire():
            yield Send(data)
            return
        for start in range(0, len(data), self.size):
            yield Send(data[start : start + self.size])
            yield at.wait(self.delay)


@dataclass(frozen=True, kw_only=True)
class Split(ConnectionEffect):
    """Row ``split``."""

    times: int = whole(0, "how many replies or pieces of data, 0 for all")
    pieces: int = whole(3, "into how many pieces", least=2)
    delay: float = duration(0.001, "between them")
    seed: int = whole(0, "of the places")

    @property
    @override
    def chance(self) -> int:
        return self.seed

    @override
    def sending(self, data: bytes, at: Progress) -> Iterator[Action]:
        if len(data) < self.pieces or not at.fire():
            yield Send(data)
            return
        cuts = sorted(at.random.sample(range(1, len(data)), self.pieces - 1))
        start = 0
        for cut in cuts:
            yield Send(data[start:cut])
            yield at.wait(self.delay)
            start = cut
        yield Send(data[start:])


@dataclass(frozen=True, kw_only=True)
class Delay(ConnectionEffect):
    """Row ``delay``."""

    times: int = whole(0, "how many replies or pieces of data, 0 for all")
    seconds: float = duration(0.1, "by how much")
    jitter: float = duration(0.0, "most that is added at random")
    seed: int = whole(0, "of the jitter")

    @property
    @override
    def chance(self) -> int:
        return self.seed

    @override
    def sending(self, data: bytes, at: Progress) -> Iterator[Action]:
        if data and at.fire():
            yield at.wait(self.seconds + self.jitter * at.random.random())
        yield Send(data)


@dataclass(frozen=True, kw_only=True)
class Garble(ConnectionEffect):
    """Row ``garble``."""

    at: int | None = whole(None, "number of the byte to change, of those sent; 0 is the first")
    probability: float = fraction(0.0, "that a byte is changed, if none is named")
    how: str = choice("flip", ("flip", "replace"), "flip one bit, or put any other byte")
    seed: int = whole(0, "of bytes and bits")

    @property
    @override
    def chance(self) -> int:
        return self.seed

    @override
    def sending(self, data: bytes, at: Progress) -> Iterator[Action]:
        garbled = bytearray(data)
        for place in self._places(len(data), at):
            if not at.fire():
                break
            if self.how == "flip":
                garbled[place] ^= 1 << at.random.randrange(8)
            else:
                garbled[place] = (garbled[place] + at.random.randrange(1, _BYTE)) % _BYTE
        yield Send(bytes(garbled))

    def _places(self, length: int, at: Progress) -> list[int]:
        if self.at is not None:
            place = self.at - at.sent
            return [place] if 0 <= place < length else []
        if not self.probability:
            return []
        return [place for place in range(length) if at.random.random() < self.probability]
