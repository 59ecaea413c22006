"""A recording is made of facts, and proven by playing it: what differs then is told.

Lists whose order does not follow from the texts are kept as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from panda_simulator.box import Box, BoxFile, ConfigError, Layout
from panda_simulator.box.boxfile import Orders
from panda_simulator.box.errors import CommandError
from panda_simulator.box.registers import ReadField
from panda_simulator.box.text import WORD_MASK
from panda_simulator.echo import EchoHardware
from panda_simulator.identity import Identity
from panda_simulator.original import make_box
from panda_simulator.record.errors import RecordError
from panda_simulator.record.facts import Facts, FieldSeen
from panda_simulator.record.interview import is_known
from panda_simulator.record.labels import unlabelled
from panda_simulator.record.oddities import refusals, unknown_fields
from panda_simulator.record.registers import registers
from panda_simulator.record.settings import Settings
from panda_simulator.record.texts import config, description, numbers_of
from panda_simulator.state import asker
from panda_simulator.versions import features_of

_DEFAULT_CLOCK = 125_000_000
_READINGS = {"read", "bit_out", "pos_out"}


@dataclass(frozen=True)
class Recording:
    """A box file, and what of the box is not in it."""

    file: BoxFile
    refused: Sequence[str]
    """Settings that a box made of the file does not take, each with the reason."""
    different: Sequence[str]
    """Queries that such a box answers otherwise, readings aside."""
    moving: Sequence[str]
    """Readings that such a box has not: they changed while the box was asked."""
    asked: int
    """Queries that the box itself answered."""


def make_recording(facts: Facts) -> Recording:
    """Make a recording of what was answered.

    Raises:
        RecordError: it makes no sense, or no box that can be simulated.
    """
    try:
        return _make(facts)
    except (ConfigError, CommandError, ValueError) as error:
        raise RecordError(f"{facts.title}: cannot be played: {error}") from error


def _make(facts: Facts) -> Recording:
    identity = Identity.parse(facts.value("*IDN?") or "nothing")
    features_of(identity.software)
    clock = facts.value("*CLOCK_FREQ?") or ""
    errors = refusals(facts)
    file = BoxFile(
        identity=identity,
        clock_frequency=int(clock) if clock.isdecimal() else _DEFAULT_CLOCK,
        std_dev="StdDev" in (facts.lines("*CAPTURE.OPTIONS?") or ()),
        config=config(facts),
        registers=registers(facts, errors),
        description=description(facts),
        state=[],
        errors=errors,
        unknown=unknown_fields(facts),
        title=facts.title,
    )
    box = _play(file)
    file = replace(file, orders=_orders(facts, box), readings=_readings(facts, box))
    settings = Settings(facts, _play(file))
    file = replace(file, state=settings.lines)
    ask = asker(_play(file), file.identity.rootfs)
    wrong = [query for query, reply in facts.replies.items() if ask(query) != reply]
    readings = _reading_queries(facts)
    return Recording(
        file=file,
        refused=settings.refused,
        different=[query for query in wrong if query not in readings],
        moving=[query for query in wrong if query in readings],
        asked=len(facts.replies),
    )


def _play(file: BoxFile) -> Box:
    def hardware(layout: Layout) -> EchoHardware:
        echo = EchoHardware()
        echo.hold(layout.readings, layout.bit_index, layout.position_index)
        return echo

    return make_box(file, hardware, file.identity)


def _orders(facts: Facts, box: Box) -> Orders:
    blocks = [block.name for block in facts.blocks]
    metadata = facts.lines("*METADATA.*?") or []
    fields = {block.name: [seen.name for seen in block.fields] for block in facts.blocks}
    attributes = {seen.title: facts.attributes(seen) for seen in facts.fields}
    ours = {f"{b.name}.{f.name}": f for b in box.blocks.values() for f in b.fields.values()}
    return Orders(
        blocks=None if blocks == list(box.blocks) else blocks,
        metadata=None if metadata == list(box.metadata.keys()) else metadata,
        fields={n: order for n, order in fields.items() if order != list(box.blocks[n].fields)},
        attributes={
            n: order for n, order in attributes.items() if order != list(ours[n].attributes)
        },
    )


def _readings(facts: Facts, box: Box) -> dict[str, int]:
    readings: dict[str, int] = {}
    for seen in facts.fields:
        for number, name in enumerate(seen.reported):
            reading = _reading(facts, box, seen, number)
            if reading is not None:
                readings[name] = reading & WORD_MASK
    return readings


def _reading(facts: Facts, box: Box, seen: FieldSeen, number: int) -> int | None:
    """Return the raw value of what is read only; of outputs only if it is not 0."""
    if not is_known(seen):
        return None
    value = facts.value(f"{seen.reported[number]}?")
    if seen.kind in {"bit_out", "pos_out"}:
        return int(value or 0) or None
    behaviour = box.blocks[seen.block].fields[seen.name].behaviour
    if not isinstance(behaviour, ReadField):
        return None
    raw = facts.value(f"{seen.reported[number]}.RAW?")
    if raw is not None:
        return int(raw, 0)
    if value is None and seen.subtype == "enum":
        return unlabelled(numbers_of(facts, seen))
    return None if value is None else behaviour.parse(number, value)


def _reading_queries(facts: Facts) -> set[str]:
    """Return the queries whose answers change by themselves."""
    names = {n for seen in facts.fields if seen.kind in _READINGS for n in seen.reported}
    tables = {n for seen in facts.fields if seen.kind == "table" for n in seen.reported}
    return (
        {f"{name}{part}?" for name in names for part in ("", ".RAW", ".SCALED")}
        | {f"{name}.QUEUED_LINES?" for name in tables}
        | {"*CHANGES.READ?"}
    )
