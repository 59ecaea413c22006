"""A box is what the server knows of a PandA: blocks, fields, values and their changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from panda_simulator.box.arrangement import arrange, rearrange
from panda_simulator.box.boxfile import BoxFile
from panda_simulator.box.buses import BitOut, ExtOut, PosOut
from panda_simulator.box.capture import CapturedColumn, CapturePlan, plan_capture
from panda_simulator.box.errors import CommandError, ConfigError
from panda_simulator.box.extension import Extension, NoExtension
from panda_simulator.box.field import Attribute, Block, Field, Reading
from panda_simulator.box.files import directory_files
from panda_simulator.box.loading import Loader
from panda_simulator.box.stamps import Cursors, Group
from panda_simulator.box.text import RESULT_LIMIT
from panda_simulator.box.wiring import Wiring
from panda_simulator.hardware import Hardware
from panda_simulator.versions import NEWEST, features_of

__all__ = ["Box", "BoxFile", "CommandError", "ConfigError", "Cursors", "Group", "Layout"]


@dataclass(frozen=True, slots=True)
class Layout:
    """What hardware must know of a box: its blocks, and where their outputs are.

    Outputs are addressed by block, number (from 1) and field.
    """

    blocks: dict[str, int]
    bit_index: dict[tuple[str, int, str], int]
    position_index: dict[tuple[str, int, str], int]
    readings: dict[tuple[str, int, str], int]
    """What was read from a box that was recorded, raw."""


class Box:
    """All blocks of one PandA, in the order of its lists."""

    def __init__(
        self,
        files: BoxFile | Path,
        hardware: Callable[[Layout], Hardware],
        extension: Extension | None = None,
        *,
        version: str = NEWEST,
    ) -> None:
        """Read ``config``, ``registers`` and ``description``, and set muxes.

        Args:
            files: a recorded box, or the folder where the three files are.
            hardware: makes the hardware of such a box.
            extension: stands behind extension fields; without one all of them fail.
            version: of the server.

        Raises:
            ConfigError: a text is malformed.
            ValueError: the version is malformed or too old.
        """
        recorded = files if isinstance(files, BoxFile) else None
        texts = files.files() if isinstance(files, BoxFile) else directory_files(files)
        self.version = version
        self.wiring = Wiring(extension or NoExtension(), features_of(version))
        loader = Loader(texts, self.wiring, recorded.unknown if recorded else {})
        loader.load()
        self.metadata = loader.metadata
        self.blocks = arrange(loader.blocks)
        if recorded:
            self.blocks = rearrange(self.blocks, self.metadata, recorded)
        self._fields = [field for block in self.blocks.values() for field in block.fields.values()]
        self.hardware = self.wiring.hardware = hardware(
            self._layout(recorded.readings if recorded else {})
        )
        for field in self._fields:
            field.behaviour.initialise()

    def _layout(self, readings: Mapping[str, int]) -> Layout:
        bits = dict[tuple[str, int, str], int]()
        positions = dict[tuple[str, int, str], int]()
        for field in self._fields:
            behaviour = field.behaviour
            if isinstance(behaviour, BitOut | PosOut):
                known = bits if isinstance(behaviour, BitOut) else positions
                for number, index in enumerate(behaviour.indices, start=1):
                    known[behaviour.place.block, number, field.name] = index
        known = {
            (place.block, number + 1, place.name): readings[place.reported(number)]
            for place in (field.behaviour.place for field in self._fields)
            for number in range(place.count)
            if place.reported(number) in readings
        }
        counts = {block.name: block.count for block in self.blocks.values()}
        return Layout(counts, bits, positions, known)

    def block(self, name: str) -> Block:
        """Find a block type."""
        try:
            return self.blocks[name]
        except KeyError:
            raise CommandError("No such block") from None

    def changes(self, cursors: Cursors, groups: Iterable[Group]) -> list[str]:
        """Report what changed in some groups, and move their cursors."""
        return list(self._reports(self.skip_changes(cursors, groups)))

    def has_changes(self, cursors: Cursors, groups: Iterable[Group]) -> bool:
        """Tell whether something in some groups changed, and move their cursors.

        It looks no further than the first change, as the server: what is polled
        behind it is not polled this time.
        """
        return any(True for _ in self._reports(self.skip_changes(cursors, groups)))

    def _reports(self, since: dict[Group, int]) -> Iterator[str]:
        attributes_since = since.get(Group.ATTR)
        for field in self._fields:
            group = field.behaviour.group
            if group is not None and group in since:
                yield from _value_reports(field, since[group])
            if attributes_since is not None:
                for attribute in field.reported_attributes:
                    yield from _attribute_reports(field, attribute, attributes_since)
        if Group.METADATA in since:
            yield from self.metadata.changes(since[Group.METADATA])

    def skip_changes(self, cursors: Cursors, groups: Iterable[Group]) -> dict[Group, int]:
        """Move the cursors of some groups to now, and return where they were."""
        now = self.wiring.changes.tick()
        since = cursors.advance(groups, now)
        if Group.BITS in since:
            self.wiring.bits.refresh(now)
        if Group.POSN in since:
            self.wiring.positions.refresh(now)
        return since

    def clear_capture(self) -> None:
        """Switch off the capture of everything."""
        for output in self.wiring.outputs:
            output.source.clear_capture(output.number)

    def plan_capture(self) -> CapturePlan:
        """Freeze what is captured now.

        Raises:
            CommandError: it cannot be captured; protocol.md 7.2.
        """
        columns = list[list[CapturedColumn]]()
        sample_count: CapturedColumn | None = None
        for output in self.wiring.outputs:
            source = output.source
            if isinstance(source, ExtOut) and source.is_sample_count:
                sample_count = source.column()
            if isinstance(source, PosOut | ExtOut):
                columns.append(source.columns(output.number))
        return plan_capture(columns, sample_count, self.wiring.features)

    def supports_capture(self) -> bool:
        """Tell whether there is a count of samples, which every capture needs."""
        sources = (output.source for output in self.wiring.outputs)
        return any(isinstance(s, ExtOut) and s.is_sample_count for s in sources)


def _value_reports(field: Field, since: int) -> list[str]:
    behaviour = field.behaviour
    place = behaviour.place
    changed = behaviour.changed(since)
    if behaviour.group is Group.TABLE:
        return [f"{place.reported(number)}<" for number in changed]
    return [_report(place.reported(number), behaviour.value, number) for number in changed]


def _attribute_reports(field: Field, attribute: Attribute, since: int) -> list[str]:
    if attribute.polled:
        _poll(attribute, since)
    return [
        _report(f"{field.behaviour.place.reported(number)}.{attribute.name}", attribute.get, number)
        for number, stamp in enumerate(attribute.stamps)
        if stamp > since
    ]


def _poll(attribute: Attribute, since: int) -> None:
    for number, last in enumerate(attribute.last):
        text = str(attribute.get(number))
        if text != last:
            attribute.last[number] = text
            attribute.stamps[number] = since + 1


def _report(name: str, get: Callable[[int], Reading], number: int) -> str:
    try:
        line = f"{name}={get(number)}"
    except CommandError:
        return f"{name} (error)"
    return line if len(line) <= RESULT_LIMIT else f"{name} (error)"
