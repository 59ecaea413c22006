"""What changes on the box reaches its subscribers through one poll of ``*CHANGES?``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from panda_ophyd.client import PandaClient


@dataclass(frozen=True, slots=True)
class ChangeError:
    """In place of a value that the server could not put into text."""

    target: str


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a reply to ``*CHANGES?``."""

    target: str
    text: str | None
    error: bool
    repeated: bool
    timestamp: float


class ChangePoller:
    """Polls ``*CHANGES?`` on a connection of its own."""

    def __init__(
        self,
        client: PandaClient,
        *,
        normal_period: float = 0.1,
        fast_period: float = 0.02,
        idle_period: float = 1.0,
    ) -> None:
        raise NotImplementedError

    @property
    def values(self) -> Mapping[str, str | ChangeError]:
        """Latest text by target."""
        raise NotImplementedError

    async def first(self) -> dict[str, str | ChangeError]:
        """Fetch everything."""
        raise NotImplementedError

    def subscribe(self, target: str, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Have the callback called with each change of a target; returns how to end that."""
        raise NotImplementedError

    def expect(self, seconds: float = 2.0) -> None:
        """Poll fast for a while: somebody waits for a value."""
        raise NotImplementedError

    def pulsed_since(self, target: str, monotonic_time: float) -> bool:
        """Return whether a target was listed unchanged after that time."""
        raise NotImplementedError

    async def run(self) -> None:
        """Poll until cancelled or the connection is lost."""
        raise NotImplementedError
