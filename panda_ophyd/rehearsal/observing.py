"""What happened in the simulated box, looked at from inside and asked at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from panda_ophyd.client import PandaClient
from panda_ophyd.control import Ok, Query
from panda_ophyd.fields import BoxInfo
from panda_ophyd.introspection import introspect
from panda_ophyd.rehearsal.copying import Copied
from panda_ophyd.rehearsal.report import TableUse
from panda_simulator import Simulator
from panda_simulator.timing import Edges, Recording, TableWrite

WELL = "OK"
WATCHED = ("HEALTH", "DROPPED")
"""Readings whose history matters: what a plan cleans up is not there at its end."""

TRIGGERED = "PCAP.TS_TRIG"
"""What a row may have the time of its trigger in."""

MOST_DIFFERENCES = 5


@dataclass
class Observed:
    """What is known at the end.

    Attributes:
        trigger_ticks: of every capture of PCAP, (n,) int64, from the start of the plan; None if
            nobody looked.
        health: block to its HEALTH, the first that was not OK if there was one.
        dropped: block to triggers that it dropped, of those that dropped some.
        tables: that were written.
        compares: block to pulses that it made, and that it was asked for.
        end_reason: of the last acquisition in the words of the box, "" if there was none.
    """

    trigger_ticks: NDArray[np.int64] | None = None
    health: dict[str, str] = field(default_factory=dict[str, str])
    dropped: dict[str, int] = field(default_factory=dict[str, int])
    tables: list[TableUse] = field(default_factory=list["TableUse"])
    compares: dict[str, tuple[int, int]] = field(default_factory=dict[str, "tuple[int, int]"])
    end_reason: str = ""


class Observer:
    """Looks at a box from now on. All of it is called where the simulator lives.

    Args:
        simulator: that plays the box.
        box: what it has.
        watch: look at every trigger, which costs time.
    """

    def __init__(self, simulator: Simulator, box: BoxInfo, *, watch: bool) -> None:
        self.start = simulator.tick
        self._recording = Recording(simulator.box, simulator.world, ())
        self._recording.watch_tables()
        self._watch = watch
        if watch:
            self._recording.watch_captures()
            for target in readings_of(box, WATCHED):
                self._recording.add(target)

    def trigger_ticks(self) -> NDArray[np.int64] | None:
        """Return the ticks of all captures since the start, (n,)."""
        if not self._watch:
            return None
        ticks = (capture.tick for capture in self._recording.captures)
        return np.fromiter(ticks, np.int64) - self.start

    def histories(self) -> dict[str, Edges]:
        """Return how readings changed, by target."""
        return self._recording.edges()

    def tables(self) -> list[TableWrite]:
        """Return what was written to tables."""
        return list(self._recording.tables)


def readings_of(box: BoxInfo, names: tuple[str, ...]) -> list[str]:
    """Return the targets of all fields that are read only and are called so."""
    return [
        f"{block.name}{'' if block.count == 1 else number}.{each.name}"
        for block in box.blocks
        for each in block.fields
        if each.name in names and each.cls == "read"
        for number in range(1, block.count + 1)
    ]


async def look(client: PandaClient, observer: Observer, simulator: Simulator) -> Observed:
    """Ask a box, and who watched it, what has become of a scan."""
    box = await introspect(client)
    histories = simulator.call(observer.histories)
    found = Observed(trigger_ticks=simulator.call(observer.trigger_ticks))
    found.end_reason = await _value(client, "*PCAP.COMPLETION") or ""
    found.health = await health_of(client, box)
    for target in readings_of(box, ("HEALTH",)):
        block, seen = target.partition(".")[0], _texts(histories.get(target))
        found.health[block] = next((text for text in seen if text != WELL), found.health[block])
    for target in readings_of(box, ("DROPPED",)):
        lost = max([int(await _value(client, target) or 0), *_numbers(histories.get(target))])
        if lost:
            found.dropped[target.partition(".")[0]] = lost
    found.tables = await _tables(client, box, simulator.call(observer.tables))
    for target in readings_of(box, ("PRODUCED",)):
        block = target.partition(".")[0]
        made = int(await _value(client, target) or 0)
        if made:
            found.compares[block] = made, int(await _value(client, f"{block}.PULSES") or 0)
    return found


async def health_of(client: PandaClient, box: BoxInfo) -> dict[str, str]:
    """Return the HEALTH of every block that has one, as it is."""
    targets = readings_of(box, ("HEALTH",))
    replies = await client.request_all([Query(target) for target in targets])
    return {
        target.partition(".")[0]: (reply.value if isinstance(reply, Ok) else None) or "unknown"
        for target, reply in zip(targets, replies, strict=True)
    }


async def differences(client: PandaClient, copied: Copied, box: BoxInfo) -> list[str]:
    """Return positions that are not what they were on the box, a line each."""
    targets = [
        f"{block.name}{'' if block.count == 1 else number}.{each.name}"
        for block in box.blocks
        for each in block.fields
        if each.cls == "pos_out"
        for number in range(1, block.count + 1)
    ]
    replies = await client.request_all([Query(target) for target in targets])
    found: list[str] = []
    for target, reply in zip(targets, replies, strict=True):
        here = int(reply.value or 0) if isinstance(reply, Ok) else 0
        there = copied.position(target)
        if here != there:
            found.append(f"{target} was {there} on the box and begins with {here} here")
    more = len(found) - MOST_DIFFERENCES
    return found[:MOST_DIFFERENCES] + ([f"and {more} more positions"] if more > 0 else [])


def loads_of(written: Sequence[TableWrite]) -> dict[tuple[str, int], list[tuple[int, bool]]]:
    """Return what was loaded into each table, by block and number: words, and whether streamed.

    Segments of a stream are one load, until the table is cleared, which is a load of nothing.
    """
    loads: dict[tuple[str, int], list[tuple[int, bool]]] = {}
    for write in written:
        of = loads.setdefault((write.block, write.number), [])
        if write.streaming and write.words and of and of[-1][1]:
            of[-1] = of[-1][0] + write.words, True
        elif write.words:
            of.append((write.words, write.streaming))
        elif of:
            of.append((0, True))  # cleared: what follows is another stream
    return loads


async def _tables(client: PandaClient, box: BoxInfo, written: list[TableWrite]) -> list[TableUse]:
    counts = {block.name: block.count for block in box.blocks}
    fields = {
        block.name: next((each.name for each in block.fields if each.cls == "table"), "TABLE")
        for block in box.blocks
    }
    uses: list[TableUse] = []
    for (block, number), of in sorted(loads_of(written).items()):
        title = f"{block}{'' if counts.get(block, 1) == 1 else number}"
        target = f"{title}.{fields.get(block, 'TABLE')}"
        row = int(await _value(client, f"{target}.ROW_WORDS") or 1)
        most = int(await _value(client, f"{target}.MAX_LENGTH") or 0) // row
        words, streamed = max(of, default=(0, False))
        if words:
            uses.append(TableUse(target, words // row, most, streamed, sum(w > 0 for w, _ in of)))
    return uses


async def _value(client: PandaClient, target: str) -> str | None:
    (reply,) = await client.request_all([Query(target)])
    return reply.value if isinstance(reply, Ok) else None


def _texts(edges: Edges | None) -> list[str]:
    return [] if edges is None else [edges.text(value) for value in edges.values.tolist()]


def _numbers(edges: Edges | None) -> list[int]:
    return [] if edges is None else [int(value) for value in edges.values.tolist()]


def stamps_of(files: Sequence[Path]) -> NDArray[np.float64]:
    """Return the time stamps of triggers in the one file there is, (n,) s; none, if they tell none.

    They count from the start of an acquisition, so of several none are comparable.
    """
    if len(files) != 1:
        return np.zeros(0)
    with h5py.File(files[0]) as file:
        for name in list(file):
            item = file[name]
            # integers are its raw ticks, or absolute times
            is_time = getattr(item, "dtype", np.dtype("S")).kind == "f"
            if is_time and item.attrs.get("field") == TRIGGERED:
                return np.asarray(item[...], np.float64)
    return np.zeros(0)


def columns_of(parts: list[Mapping[str, NDArray[np.generic]]]) -> dict[str, NDArray[np.generic]]:
    """Join the datasets of several files, each of all that have it."""
    names = list(dict.fromkeys(name for part in parts for name in part))
    return {name: np.concatenate([part[name] for part in parts if name in part]) for name in names}
