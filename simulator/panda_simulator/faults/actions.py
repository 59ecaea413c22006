"""What a connection can be made to do, one step after the other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Send:
    """Hand bytes to the network, in a piece of their own."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Send nothing for some seconds, or until the fault is cleared or the client gone."""

    seconds: float
    over: asyncio.Event


@dataclass(frozen=True, slots=True)
class Freeze:
    """Neither read nor send for some seconds, or until the fault is cleared."""

    seconds: float
    over: asyncio.Event


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection as a server does that is done."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection as a server does that died."""


Action = Send | Wait | Freeze | Close | Reset
