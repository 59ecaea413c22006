"""What a PandA consists of, as plain values that compare and serialise.

Two `BoxInfo` are equal exactly when the same signals can be made from them. Filled in by
`panda_ophyd.introspection`.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, TypeAlias, cast

from panda_ophyd.errors import FieldValueError
from panda_ophyd.tables import TableColumn, TableLayout

MetadataKind: TypeAlias = Literal["string", "multiline", "constant"]

DEFAULT_CLOCK_FREQUENCY = 125_000_000
"""Hz, of every box whose server does not know ``*CLOCK_FREQ``."""
TIME_UNITS = ("min", "s", "ms", "us")

_SCHEMA = 1
_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """One field of a block, the same for each of its instances.

    Attributes:
        name: on the wire, ``TRIG_EDGE``.
        cls: class, ``param``; what the server calls it, also if this driver does not know it.
        subtype: ``enum``; empty for the classes that have none.
        seq: position in the block's configuration.
        description: the server's own words, empty if it has none.
        problem: why this field can only be plain text, empty if nothing is wrong.
        readable: whether the server answered a query of a field with a problem.
        labels: of an enum.
        maximum: of a uint.
        units, scale, offset: of a scalar.
        maximum_delay: of a bit_mux, clock ticks.
        layout: of a table.
        has_mode: a table that says its MODE and QUEUED_LINES (server 4.1 and later).
    """

    name: str
    cls: str
    subtype: str
    seq: int
    description: str = ""
    problem: str = ""
    readable: bool = True
    labels: tuple[str, ...] = ()
    maximum: int | None = None
    units: str = ""
    scale: float | None = None
    offset: float | None = None
    maximum_delay: int | None = None
    layout: TableLayout | None = None
    has_mode: bool = False


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """One block type and how many of it there are; `fields` in configuration order."""

    name: str
    count: int
    description: str
    fields: tuple[FieldInfo, ...]

    def reported(self, number: int) -> str:
        """Return the name of an instance as the server reports it: numbered only among several.

        Args:
            number: from 1.
        """
        return self.name if self.count == 1 else f"{self.name}{number}"


@dataclass(frozen=True, slots=True)
class CaptureWord:
    """A captured word of 32 bits: ``PCAP.BITS0`` and the bit_out in each bit from the lowest.

    An unused bit is the empty string.
    """

    name: str
    bits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MetadataInfo:
    """A metadata key; `value` of a constant, empty for the other kinds."""

    key: str
    kind: MetadataKind
    value: str = ""


@dataclass(frozen=True, slots=True)
class BoxInfo:
    """Everything that does not change while a PandA's application runs.

    Attributes:
        sw_version: of the server, as git describes it.
        fpga_version: version, build and user words.
        rootfs: version text, empty if the server does not say.
        clock_frequency: Hz.
        blocks: sorted by name.
        bits: names on the bit bus by index, without ZERO and ONE.
        positions: names of the position bus in capture order, without ZERO.
        capture_words: what each captured word of bits holds.
        capture_options: which may be combined; empty on a server before 3.0.
        capture_choices: the combinations that the server suggests (before 3.0: all).
        time_units: ``min s ms us``.
        metadata: sorted by key.
        times_samples: whether the count of gated samples is captured as seconds; before
            3.0 it was ticks, without a scale.
    """

    sw_version: str
    fpga_version: str = ""
    rootfs: str = ""
    clock_frequency: int = DEFAULT_CLOCK_FREQUENCY
    blocks: tuple[BlockInfo, ...] = ()
    bits: tuple[str, ...] = ()
    positions: tuple[str, ...] = ()
    capture_words: tuple[CaptureWord, ...] = ()
    capture_options: tuple[str, ...] = ()
    capture_choices: tuple[str, ...] = ()
    time_units: tuple[str, ...] = TIME_UNITS
    metadata: tuple[MetadataInfo, ...] = ()
    times_samples: bool = True
    _words: dict[str, str] = field(
        default_factory=dict[str, str], init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        self._words.update(
            {bit: word.name for word in self.capture_words for bit in word.bits if bit}
        )

    @property
    def version(self) -> tuple[int, int] | None:
        """Major and minor version of the server, None if its text holds none.

        To show, not to compare: what a server can do has a property of its own.
        """
        match = _VERSION.match(self.sw_version)
        return (int(match[1]), int(match[2])) if match else None

    @property
    def streams_tables(self) -> bool:
        """Whether ``<<`` streams a table; before server 4.1 it appended to it."""
        return any(field.has_mode for block in self.blocks for field in block.fields)

    @property
    def combines_captures(self) -> bool:
        """Whether CAPTURE takes any combination of `capture_options`; before 3.0 one choice."""
        return bool(self.capture_options)

    @property
    def application(self) -> str:
        """Name of the FPGA application, empty if the box does not say."""
        return next((item.value for item in self.metadata if item.key == "APPNAME"), "")

    def block(self, name: str) -> BlockInfo | None:
        """Return the block of that name, None if the box has none."""
        return next((block for block in self.blocks if block.name == name), None)

    def captures_unsigned(self, field: str) -> bool:
        """Tell whether a captured field has no scale, and is kept as uint32."""
        if field in {word.name for word in self.capture_words}:
            return True
        name, _, part = field.partition(".")
        block = self.block(name)
        kinds = {item.name: (item.cls, item.subtype) for item in block.fields} if block else {}
        return not self.times_samples and kinds.get(part) == ("ext_out", "samples")

    def capture_word(self, bit: str) -> str | None:
        """Return the captured word that holds a bit, None if none does: ``PCAP.BITS0``."""
        return self._words.get(bit)

    def to_json(self) -> str:
        """Return the box as JSON text, for `from_json`."""
        content = asdict(self)
        del content["_words"]
        return json.dumps({"schema": _SCHEMA, **content}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Make the box again that `to_json` wrote.

        Raises:
            FieldValueError: the text is not from this version's `to_json`.
        """
        try:
            content = json.loads(text)
            if content.pop("schema") != _SCHEMA:
                raise FieldValueError("box description", text[:64], "it is of another version")
            return cls(**_box_arguments(content))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, FieldValueError):
                raise
            raise FieldValueError("box description", text[:64], repr(error)) from error


def _box_arguments(content: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "blocks": tuple(_block(block) for block in content.pop("blocks")),
        "capture_words": tuple(
            CaptureWord(word["name"], tuple(word["bits"])) for word in content.pop("capture_words")
        ),
        "metadata": tuple(MetadataInfo(**item) for item in content.pop("metadata")),
    }
    return made | {key: _tuples(value) for key, value in content.items()}


def _block(content: dict[str, Any]) -> BlockInfo:
    fields = tuple(_field(field) for field in content.pop("fields"))
    return BlockInfo(**content, fields=fields)


def _field(content: dict[str, Any]) -> FieldInfo:
    layout = content.pop("layout")
    plain = {key: _tuples(value) for key, value in content.items()}
    return FieldInfo(**plain, layout=None if layout is None else _layout(layout))


def _layout(content: dict[str, Any]) -> TableLayout:
    columns = tuple(
        TableColumn(**{key: _tuples(value) for key, value in column.items()})
        for column in content["columns"]
    )
    return TableLayout(content["row_words"], columns, content["max_words"])


def _tuples(value: Any) -> Any:
    return tuple(cast("list[Any]", value)) if isinstance(value, list) else value
