"""When PCAP is armed, and when its rows count: upstream's trigger and acquire logics, ours.

Source: flyscan.md 4.2.
"""

from __future__ import annotations

from typing import Any, Protocol

from ophyd_async.core import DetectorAcquireLogic, DetectorTriggerLogic, SignalDict
from typing_extensions import override

TICK = 8e-9
"""Seconds: a PandA needs one tick between two gates."""


class Rows(Protocol):
    """A PandA, as far as its rows go."""

    pcap: Any

    def hold_rows(self) -> None:
        """Keep rows from being counted as documented between prepare and kickoff."""
        ...

    def expect_rows(self) -> None:
        """Say how many rows are to come, before they are asked for."""
        ...

    async def confirm_rows(self) -> None:
        """Raise if rows that the box has captured are lost."""
        ...


class PandaTriggerLogic(DetectorTriggerLogic):
    """PCAP takes a row at each trigger it is given; there is nothing to set up."""

    @override
    def get_deadtime(self, config_values: SignalDict) -> float:
        return TICK

    def __init__(self, panda: Rows) -> None:
        self._panda = panda

    @override
    async def prepare_edge(self, num: int, livetime: float) -> None:
        self._panda.hold_rows()

    @override
    async def prepare_level(self, num: int) -> None:
        self._panda.hold_rows()


class PandaAcquireLogic(DetectorAcquireLogic):
    """Arms PCAP in prepare, disarms it at stage and unstage, through ``pcap.arm``."""

    def __init__(self, panda: Rows) -> None:
        self._panda = panda

    @override
    async def start_acquiring(self) -> None:
        self._panda.expect_rows()
        await self._panda.pcap.arm.set(True)

    @override
    async def wait_for_idle(self) -> None:
        # The rows that were asked for are flushed; what ends an acquisition (PCAP.ENABLE
        # falling, or the disarm in unstage) may come later and must not be waited for. But
        # if rows were lost on the way, others have come in their place.
        await self._panda.confirm_rows()

    @override
    async def ensure_stopped(self) -> None:
        await self._panda.pcap.arm.set(False)
