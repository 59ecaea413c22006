"""A block that a flyer drives, asked for what signals cannot give: many fields at one moment.

Flyers are given devices (``panda.seq[1]``), and set their signals, so that mock mode and
whoever looks on see the same. Progress is read past the signals, all fields in one round
trip, so that they belong together. In mock mode there is no box, and nothing to read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ophyd_async.core import Device

from panda_ophyd.channels import FieldChannel
from panda_ophyd.control import Ok, Query
from panda_ophyd.errors import PandaConnectionError
from panda_ophyd.session import PandaSession
from panda_ophyd.signals import PandaSignalBackend
from panda_ophyd.wiring import block_of


@dataclass(frozen=True)
class Block:
    """A block of a connected box.

    Attributes:
        session: the box.
        name: on the wire, ``SEQ1``.
    """

    session: PandaSession
    name: str

    async def read(self, *fields: str) -> dict[str, str]:
        """Return the text of fields of this block, asked in one round trip.

        A field that this firmware has not, or cannot read, is not in the answer.

        Raises:
            PandaConnectionError: the link is lost.
        """
        return dict(
            zip(fields, await self.ask(f"{self.name}.{field}" for field in fields), strict=True)
        )

    async def ask(self, targets: Iterable[str]) -> list[str]:
        """Return texts of any targets in order, "" where the box gives none.

        Raises:
            PandaConnectionError: the link is lost.
        """
        replies = await self.session.client.request_all([Query(target) for target in targets])
        return [reply.value or "" if isinstance(reply, Ok) else "" for reply in replies]

    async def pulsed(self, field: str) -> bool:
        """Whether a bit was high at any time since the last write of this session."""
        return any(await self.session.bit_since_write(f"{self.name}.{field}"))


def block_behind(device: Device, field: str) -> Block | None:
    """Return the block on the wire that a device stands for, None in mock mode.

    Args:
        device: ``panda.seq[1]``.
        field: one of its signals, by its name in Python.

    Raises:
        PandaConnectionError: it was not connected yet.
    """
    signal = getattr(device, field)
    backend = signal_backend(signal)
    if not isinstance(backend, PandaSignalBackend):
        return None
    if not backend.bound:
        msg = f"{device.name or type(device).__name__} is not connected: connect its PandA first"
        raise PandaConnectionError(msg)
    channel = backend.channel
    if not isinstance(channel, FieldChannel):
        return None
    return Block(channel.session, block_of(channel.target))


def signal_backend(signal: Any) -> object:
    """Return what is behind a signal of the framework."""
    return getattr(signal._connector, "backend", None)  # noqa: SLF001
