"""All that a box holds at one moment, in one round trip."""

from __future__ import annotations

import time
from collections.abc import Mapping

from panda_ophyd.client import PandaClient
from panda_ophyd.fields import BoxInfo
from panda_ophyd.snapshot import Snapshot, develop, identity_of, requests


async def take_snapshot(
    client: PandaClient, box: BoxInfo, *, readings: Mapping[str, str] | None = None
) -> Snapshot:
    """Ask a box for its settings, tables and labels.

    The client's ``*CHANGES`` cursors are moved: of settings and metadata, and of bits,
    positions and readings unless they are given.

    Args:
        client: connected.
        box: what `introspect` said of it.
        readings: the latest of them, where somebody polls anyway.

    Raises:
        PandaConnectionError: the connection was lost.
        PandaTimeoutError: the server did not answer in time.
        ProtocolError: the replies are not those of a PandA.
    """
    asked = requests(box, readings=readings is None)
    replies = await client.request_all(asked)
    identity = identity_of(box, idn=client.identity, address=str(client.address), mac=client.mac)
    return develop(box, identity, time.time(), zip(asked, replies, strict=True), readings)
