"""How long an `HDFPanda` takes to connect, beside the box's own `*CHANGES?` in the same run.

    python benchmarks/connect.py [HOST[:CONTROL[:DATA]]]

Without a host the built-in simulator answers, from a thread of this process.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from ophyd_async.core import Device, SignalR, StaticFilenameProvider, StaticPathProvider

from panda_ophyd import HDFPanda, PandaClient
from panda_simulator import serve_in_thread

REPEATS = 9


def below(device: Device) -> list[Device]:
    """Return every descendant of a device."""
    return [d for _, child in device.children() for d in (child, *below(child))]


async def floor(address: str) -> float:
    """Return the time for a connection and one full ``*CHANGES?``, s."""
    begun = time.perf_counter()
    async with PandaClient(address) as client:
        await client.query_lines("*CHANGES")
    return time.perf_counter() - begun


async def measure(address: str) -> None:
    """Connect, read and disconnect several times and print the medians."""
    provider = StaticPathProvider(StaticFilenameProvider("unused"), Path())
    connecting: list[float] = []
    reading: list[float] = []
    floors: list[float] = []
    children = signals = trips = 0
    for _ in range(REPEATS):
        floors.append(await floor(address))
        panda = HDFPanda(address, provider, name="panda")
        begun = time.perf_counter()
        await panda.connect()
        connecting.append(time.perf_counter() - begun)
        readable = [child for child in below(panda) if isinstance(child, SignalR)]
        children, signals = len(below(panda)), len(readable)
        begun = time.perf_counter()
        await asyncio.gather(*(signal.read() for signal in readable))
        reading.append(time.perf_counter() - begun)
        session = panda._panda_connector.session  # noqa: SLF001
        trips = session.client.round_trips if session else 0
        await panda.disconnect()
    ms = [statistics.median(times) * 1e3 for times in (connecting, reading, floors)]
    print(f"connect: {ms[0]:.0f} ms for {children} children (best {min(connecting) * 1e3:.0f} ms)")
    print(f"read all {signals} signals: {ms[1]:.0f} ms, {trips} round trips so far")
    print(f"floor, a connection and one *CHANGES?: {ms[2]:.1f} ms")


def main() -> None:
    """Run on the host given, else on the simulator."""
    with ExitStack() as stack:
        if len(sys.argv) > 1:
            address = sys.argv[1]
        else:
            address = stack.enter_context(serve_in_thread()).address
        asyncio.run(measure(address))


if __name__ == "__main__":
    main()
