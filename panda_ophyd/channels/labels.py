"""Labels: what somebody called a block, or what it is where nobody has."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from panda_ophyd.channels.base import Plain
from panda_ophyd.channels.fields import FieldChannel
from panda_ophyd.fields import SignalSpec
from panda_ophyd.session import PandaSession


class LabelChannel(FieldChannel):
    """``*METADATA.LABEL_x``: the label somebody gave a block, else the block's description.

    Source: the IOC shows the description where no label is set
    (flyscan.md 4.4, LABEL).
    """

    def __init__(self, session: PandaSession, spec: SignalSpec, fallback: str) -> None:
        super().__init__(session, spec)
        self._fallback = fallback

    @override
    def _decode(self, text: str) -> Plain:
        return text or self._fallback

    @override
    async def put(self, value: Any) -> None:
        """Set the label; the description itself is no label, so that settings can be put back."""
        await super().put("" if value == self._fallback else value)
