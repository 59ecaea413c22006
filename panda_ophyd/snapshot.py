"""A box at one moment as plain values: what it is, all settings, tables and labels.

Which questions to ask, and what the answers say; who asks them is up to others. All of
it is one round trip: ``*CHANGES`` lists over a thousand values in a few milliseconds, and
only tables and long texts have to be asked for by name.

Source: protocol.md 2.3, 5.1, 6.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from panda_ophyd.change_lines import parse_line
from panda_ophyd.control import Assign, Err, Lines, Query, Reply, Request
from panda_ophyd.errors import ProtocolError
from panda_ophyd.fields import BoxInfo
from panda_ophyd.tables import TableLayout, from_base64_lines

SETTINGS = ("CONFIG", "ATTR")
"""Groups of ``*CHANGES`` that hold what somebody has set."""
READINGS = ("BITS", "POSN", "READ")
"""Groups that hold what the box says of itself."""
METADATA = "*METADATA."


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A box at one moment.

    Attributes:
        identity: who it is: ``idn``, ``server``, ``fpga``, ``rootfs``, ``application``,
            ``clock_frequency`` in Hz, ``address``, ``mac``; empty where nobody says.
        taken: our clock, s since 1970.
        settings: target on the wire to its text: ``PULSE1.DELAY``, ``INENC1.VAL.UNITS``.
        readings: the same of bits, positions and other readings.
        tables: target to its words.
        metadata: key to text, lines joined by LF where there are several; labels too.
        failed: target to why it is not among the others.
        layouts: of the tables, to make columns of their words.
    """

    identity: Mapping[str, str]
    taken: float
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    readings: Mapping[str, str] = field(default_factory=dict[str, str])
    tables: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    failed: Mapping[str, str] = field(default_factory=dict[str, str])
    layouts: Mapping[str, TableLayout] = field(
        default_factory=dict[str, TableLayout], compare=False
    )

    def words(self, table: str) -> NDArray[np.uint32]:
        """Return the words of a table."""
        return np.frombuffer(self.tables[table], np.dtype("<u4"))

    def columns(self, table: str) -> dict[str, Any]:
        """Return the columns of a table by name, none if it does not divide into any."""
        layout = self.layouts.get(table)
        if layout is None:
            return {}
        try:
            return layout.unpack(self.words(table).astype(np.uint32))
        except ProtocolError:
            return {}


def identity_of(box: BoxInfo, *, idn: str = "", address: str = "", mac: str = "") -> dict[str, str]:
    """Return who a box is.

    Args:
        box: as introspected.
        idn: its answer to ``*IDN?``.
        address: where it was reached.
        mac: the hardware address there.
    """
    return {
        "idn": idn,
        "server": box.sw_version,
        "fpga": box.fpga_version,
        "rootfs": box.rootfs,
        "application": box.application,
        "clock_frequency": str(box.clock_frequency),
        "address": address,
        "mac": mac,
    }


def requests(box: BoxInfo, *, readings: bool = True) -> list[Request]:
    """Return what to ask, in one go and in this order.

    Cursors of ``*CHANGES`` are set back and so move: of the connection's that asks.

    Args:
        box: as introspected.
        readings: ask for these too, and not only for settings.
    """
    groups = (*SETTINGS, "METADATA", *(READINGS if readings else ()))
    asked: list[Request] = []
    for group in groups:
        asked += [Assign(f"*CHANGES.{group}", "S"), Query(f"*CHANGES.{group}")]
    asked += [Query(f"{target}.B") for target, _ in _layouts(box)]
    long_texts = (item.key for item in box.metadata if item.kind == "multiline")
    return asked + [Query(f"{METADATA}{key}") for key in long_texts]


def develop(
    box: BoxInfo,
    identity: Mapping[str, str],
    taken: float,
    answers: Iterable[tuple[Request, Reply]],
    readings: Mapping[str, str] | None = None,
) -> Snapshot:
    """Make a snapshot of what was answered.

    Args:
        box: as introspected.
        identity: who it is.
        taken: our clock, s since 1970.
        answers: requests with their replies.
        readings: what is known of the readings, if they were not asked for.
    """
    film = _Film({item.key: item.value for item in box.metadata if item.kind == "constant"})
    for request, reply in answers:
        if isinstance(request, Query):  # the others are of cursors
            film.expose(request.target, reply)
    return Snapshot(
        identity=identity,
        taken=taken,
        settings=film.settings,
        readings={**(readings or {}), **film.readings},
        tables=film.tables,
        metadata=film.metadata,
        failed=film.failed,
        layouts=dict(_layouts(box)),
    )


class _Film:
    """A snapshot in the making."""

    def __init__(self, metadata: dict[str, str]) -> None:
        self.metadata = metadata
        self.settings: dict[str, str] = {}
        self.readings: dict[str, str] = {}
        self.tables: dict[str, bytes] = {}
        self.failed: dict[str, str] = {}

    def expose(self, target: str, reply: Reply) -> None:
        lines = reply.lines if isinstance(reply, Lines) else ()
        if isinstance(reply, Err):
            self.failed[target.removesuffix(".B")] = reply.message
        elif target.startswith("*CHANGES."):
            self._listed(target.rpartition(".")[2], lines)
        elif target.startswith(METADATA):
            self.metadata[target.removeprefix(METADATA)] = "\n".join(lines)
        else:
            self._table(target.removesuffix(".B"), lines)

    def _listed(self, group: str, lines: Sequence[str]) -> None:
        into = self.settings if group in SETTINGS else self.readings
        for target, text, error in filter(None, map(parse_line, lines)):
            if error:
                self.failed[target] = "the server cannot say it"
            elif text is None:
                continue  # a table or long text, asked for by name
            elif target.startswith(METADATA):
                self.metadata[target.removeprefix(METADATA)] = text
            else:
                into[target] = text

    def _table(self, target: str, lines: Sequence[str]) -> None:
        try:
            self.tables[target] = from_base64_lines(lines).astype("<u4").tobytes()
        except ProtocolError as error:
            self.failed[target] = str(error)


def _layouts(box: BoxInfo) -> Iterator[tuple[str, TableLayout]]:
    """Yield the tables that a box has, by target."""
    for block in box.blocks:
        for number in range(1, block.count + 1):
            name = f"{block.name}{number if block.count > 1 else ''}"
            for item in block.fields:
                if item.layout is not None and not item.problem:
                    yield f"{name}.{item.name}", item.layout
