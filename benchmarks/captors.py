"""What is measured, each in a process of its own: one capture, its figures as a line of JSON.

python benchmarks/captors.py KIND HOST:CONTROL:DATA FILE SAMPLES [SECONDS]
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ophyd_async.core import (
    DetectorTrigger,
    Device,
    SignalR,
    StaticFilenameProvider,
    StaticPathProvider,
    TriggerInfo,
)
from pandablocks.asyncio import AsyncioClient  # pyright: ignore[reportMissingTypeStubs]
from pandablocks.hdf import write_hdf_files  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd import HDFPanda, PandaClient
from panda_ophyd.capture import Capture, arm
from panda_ophyd.client import PandaAddress
from panda_ophyd.preflight import CHECKS
from panda_ophyd.writers import FileOptions

TICK = 0.005
"""Seconds of a sleep whose lateness is measured."""
ROUND_TRIP_PERIOD = 0.02


@dataclass
class Figures:
    """What one run took.

    Attributes:
        seconds: from arming until all rows could be read.
        closing: seconds after that until the file was closed, and for ours on the disk.
        cpu: seconds of processor time, closing included.
        rss: most resident memory, bytes.
        late: how late the event loop was, p99 in s.
        trip: a control round trip meanwhile, p99 in s.
    """

    seconds: float = 0.0
    closing: float = 0.0
    cpu: float = 0.0
    rss: int = 0
    late: float = 0.0
    trip: float = 0.0


def cpu() -> float:
    """Return seconds of processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def floor(address: PandaAddress, path: Path, _samples: int) -> Figures:
    """Receive the bytes and write the same bytes."""
    async with PandaClient(address) as client:
        peer = socket.create_connection((address.host, address.data_port))
        with peer, path.open("wb", buffering=0) as file:
            peer.sendall(b"XML FRAMED RAW\n")
            peer.recv(3)
            begun = time.perf_counter()
            await arm(client, readers=1)
            buffer = bytearray(1 << 20)
            view = memoryview(buffer)
            tail = b""
            while not (tail.endswith(b"\n") and b"END " in tail):
                size = peer.recv_into(buffer)
                file.write(view[:size])
                tail = (tail + bytes(view[max(size - 64, 0) : size]))[-64:]
            return Figures(time.perf_counter() - begun)


async def capture(address: PandaAddress, path: Path, samples: int) -> Figures:
    """Write with our `Capture`, as it is."""
    return await write(address, path, samples, FileOptions())


async def plain(address: PandaAddress, path: Path, samples: int) -> Figures:
    """Write with our `Capture` what the incumbent writes, and nothing else."""
    return await write(address, path, samples, FileOptions(plain=True))


async def write(address: PandaAddress, path: Path, samples: int, options: FileOptions) -> Figures:
    """Write with our `Capture`."""
    async with PandaClient(address) as client:
        writing = Capture(address, path, options=options)
        await writing.open()
        begun = time.perf_counter()
        await arm(client, readers=1)
        result = await writing.wait_ended()
        readable = time.perf_counter()
        await writing.close()
        check(result.rows, samples)
        return Figures(readable - begun, time.perf_counter() - readable)


async def pandablocks(address: PandaAddress, path: Path, _samples: int) -> Figures:
    """Write as ``pandablocks hdf --arm`` does; only the ports, which it fixes, are others."""
    connect: Callable[..., Awaitable[Any]] = asyncio.open_connection  # noqa: TID251
    ports = {8888: address.control_port, 8889: address.data_port}

    async def elsewhere(host: str, port: int) -> Any:
        return await connect(host, ports[port])

    asyncio.open_connection = elsewhere  # noqa: TID251
    async with AsyncioClient(address.host) as client:
        begun = time.perf_counter()
        await write_hdf_files(client, iter([str(path)]), num=1, arm=True)
        return Figures(time.perf_counter() - begun)


async def hdfpanda(address: PandaAddress, path: Path, samples: int) -> Figures:
    """Fly an `HDFPanda`: the whole device."""
    panda = device(address, path)
    await panda.connect()
    return await fly(panda, samples)


async def watched(address: PandaAddress, path: Path, samples: int) -> Figures:
    """Fly it while somebody watches its rows, each column of them, and what comes."""
    panda: Any = device(address, path)
    await panda.connect()
    live = panda.data.live
    await live.describe()
    live.subscribe(ignore)
    signals: list[Any] = below(live)
    for signal in (*signals, panda.data.row_rate, panda.data.in_flight):
        signal.subscribe_reading(ignore)
    return await fly(panda, samples)


async def fly(panda: HDFPanda, samples: int) -> Figures:
    """Take so many rows."""
    await panda.stage()
    begun = time.perf_counter()
    await panda.prepare(
        TriggerInfo(number_of_events=samples, trigger=DetectorTrigger.EXTERNAL_EDGE)
    )
    await panda.kickoff()
    await panda.complete()
    readable = time.perf_counter()
    check(await panda.data.num_captured.get_value(), samples)
    await panda.unstage()
    closed = time.perf_counter()
    await panda.disconnect()
    return Figures(readable - begun, closed - readable)


async def latency(address: PandaAddress, path: Path, _samples: int) -> Figures:
    """Measure the event loop and the control connection while an `HDFPanda` captures."""
    seconds = float(sys.argv[5])
    panda = device(address, path)
    await panda.connect()
    await panda.stage()
    await panda.prepare(TriggerInfo(number_of_events=0, trigger=DetectorTrigger.EXTERNAL_EDGE))
    await panda.kickoff()
    figures = await watch(address, seconds)
    await panda.unstage()
    await panda.disconnect()
    return figures


async def bare(address: PandaAddress, _path: Path, _samples: int) -> Figures:
    """Measure the same where nothing else is done."""
    return await watch(address, float(sys.argv[5]))


async def watch(address: PandaAddress, seconds: float) -> Figures:
    """Measure how late this event loop is, and how long a control round trip takes."""
    late: list[float] = []
    trips: list[float] = []
    async with PandaClient(address) as client, asyncio.TaskGroup() as tasks:
        for measure in (lateness(late, seconds), round_trips(client, trips, seconds)):
            tasks.create_task(measure)
    return Figures(seconds, late=p99(late), trip=p99(trips))


async def idle(address: PandaAddress, path: Path, _samples: int) -> Figures:
    """Do nothing, with a monitor on every signal."""
    seconds = float(sys.argv[5])
    panda = device(address, path)
    await panda.connect()
    signals = [child for child in below(panda) if isinstance(child, SignalR)]
    for signal in signals:
        signal.subscribe_reading(ignore)
    await asyncio.sleep(2)
    before = cpu()
    await asyncio.sleep(seconds)
    figures = Figures(seconds, cpu=cpu() - before)
    await panda.disconnect()
    return figures


KINDS = {
    f.__name__: f
    for f in (floor, capture, plain, pandablocks, hdfpanda, watched, latency, bare, idle)
}


def device(address: PandaAddress, path: Path) -> HDFPanda:
    """Return an `HDFPanda` that writes to a path, whatever triggers its rows."""
    files = StaticPathProvider(StaticFilenameProvider(path.stem), path.parent)
    where = f"{address.host}:{address.control_port}:{address.data_port}"
    return HDFPanda(where, files, name="panda", waive=tuple(CHECKS))


def below(parent: Device) -> list[Device]:
    """Return every descendant of a device."""
    return [d for _, child in parent.children() for d in (child, *below(child))]


def ignore(_: object) -> None:
    """Hear of a reading."""


def check(rows: int, samples: int) -> None:
    """Refuse to measure what went wrong."""
    if rows != samples:
        raise SystemExit(f"{rows} rows of {samples}")


async def lateness(late: list[float], seconds: float) -> None:
    """Sleep again and again, and note how late the loop is."""
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        await asyncio.sleep(TICK)
        late.append(time.perf_counter() - begun - TICK)


async def round_trips(client: PandaClient, trips: list[float], seconds: float) -> None:
    """Ask again and again, and note how long it takes."""
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        await client.query("*ECHO hello")
        trips.append(time.perf_counter() - begun)
        await asyncio.sleep(ROUND_TRIP_PERIOD)


def p99(times: list[float]) -> float:
    """Return the 99th percentile."""
    return sorted(times)[int(len(times) * 0.99)]


async def main() -> None:
    """Run one kind, and print its figures."""
    logging.disable(logging.WARNING)  # of rows that are in no document
    kind, where, path, samples = sys.argv[1:5]
    before = cpu()
    figures = await KINDS[kind](PandaAddress.parse(where), Path(path), int(samples))
    if kind != "idle":
        figures.cpu = cpu() - before
    figures.rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(asdict(figures)))


if __name__ == "__main__":
    asyncio.run(main())
