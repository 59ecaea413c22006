"""One data connection: acquisitions as they come, read no faster than they are consumed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from panda_ophyd.client.address import PandaAddress, as_address
from panda_ophyd.data import DataEvent

OPEN_TIMEOUT = 10.0
"""Seconds for connecting and for the server's OK, which it sends at once."""


class CaptureStream:
    """A data connection to a PandA; single use, one consumer.

    Args:
        address: where the PandA is.
        options: what to ask for; one of `panda_ophyd.data.PROCESSING`.
        timeout: for opening, s. There is none for reading: silence is normal while the
            box waits for triggers.
    """

    def __init__(
        self,
        address: PandaAddress | str,
        *,
        options: str = "XML FRAMED RAW",
        timeout: float = OPEN_TIMEOUT,
    ) -> None:
        self.address = as_address(address)

    async def open(self) -> None:
        """Connect; returns after the server's OK."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the connection; may be called again."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[DataEvent]:
        return self

    async def __anext__(self) -> DataEvent:
        raise NotImplementedError
