"""What a PandA consists of is asked in at most six round trips, whatever it consists of."""

from __future__ import annotations

from panda_ophyd.client import PandaClient
from panda_ophyd.fields import BlockInfo, BoxInfo, FieldInfo, SignalSpec, block_signals

__all__ = ["BlockInfo", "BoxInfo", "FieldInfo", "introspect", "signals"]


async def introspect(client: PandaClient) -> BoxInfo:
    """Ask a PandA what it consists of."""
    raise NotImplementedError


def signals(box: BoxInfo) -> dict[tuple[str, int], list[SignalSpec]]:
    """Return the signals of each block instance, by block name on the wire and number from 1."""
    return {
        (block.name, number): block_signals(box, block, number)
        for block in box.blocks
        for number in range(1, block.count + 1)
    }
