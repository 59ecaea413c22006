"""The only sockets in the house: one control connection, one data connection, nothing shared."""

from __future__ import annotations

from panda_ophyd.client.address import PandaAddress
from panda_ophyd.client.connection import DEFAULT_TIMEOUT, PandaClient
from panda_ophyd.client.presence import answered
from panda_ophyd.client.stream import CaptureStream

__all__ = ["DEFAULT_TIMEOUT", "CaptureStream", "PandaAddress", "PandaClient", "answered"]
