"""A box is built from its three files, line by line, each line by the row of its class.

Source: protocol.md 10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from panda_simulator.box.buses import BitOut, ExtOut, PosOut
from panda_simulator.box.errors import CommandError, ConfigError
from panda_simulator.box.field import Block, Field, FieldClass, Place
from panda_simulator.box.files import BoxFiles, LineReader, Source, load_lines
from panda_simulator.box.metadata import Metadata
from panda_simulator.box.muxes import BitMux, PosMux
from panda_simulator.box.registers import ParamField, ReadField, WriteField
from panda_simulator.box.tables import TableField
from panda_simulator.box.text import Cursor
from panda_simulator.box.timing import TimeField
from panda_simulator.box.unknown import RecordedField, UnknownField
from panda_simulator.box.wiring import BLOCK_BASE_COUNT, Wiring
from panda_simulator.versions import Features

CLASSES: dict[str, Callable[[Place, Cursor], FieldClass]] = {
    "param": ParamField,
    "read": ReadField,
    "write": WriteField,
    "time": TimeField,
    "bit_out": BitOut,
    "pos_out": PosOut,
    "ext_out": ExtOut,
    "bit_mux": BitMux,
    "pos_mux": PosMux,
    "table": TableField,
}

_CONSTANTS = {"DRIVER_COMPAT_VERSION": 1, "BLOCKS_COMPAT_VERSION": 0}
_REQUIRED_CONSTANT = "DRIVER_COMPAT_VERSION"
CONTROL_REGISTERS: dict[str, tuple[int, ...]] = {
    "FPGA_VERSION": (0,),
    "FPGA_BUILD": (1,),
    "USER_VERSION": (2,),
    "BIT_READ_RST": (3,),
    "BIT_READ_VALUE": (4,),
    "POS_READ_RST": (5,),
    "POS_READ_VALUE": (6,),
    "POS_READ_CHANGES": (7,),
    "PCAP_START_WRITE": (8,),
    "PCAP_WRITE": (9,),
    "PCAP_TS_SEC": (10,),
    "PCAP_TS_TICKS": (11,),
    "PCAP_ARM": (13,),
    "PCAP_DISARM": (14,),
    "FPGA_CAPABILITIES": (15,),
    "MAC_ADDRESS_BASE": (16, 23),
    "NOMINAL_CLOCK": (24,),
    "TABLE_IRQ_STATUS": (25,),
}
"""Register, or first and last, of the names that ``*REG`` must have, all but some.

Nothing here stands behind them, but a box without them is none to the server either.
"""

_OPTIONAL_REGISTERS = {"PCAP_TS_SEC", "PCAP_TS_TICKS"}
_CONTROL_BASE = 0

MOST_INSTANCES = 16
"""Of one block. Source: protocol.md 9."""


def _newer_registers(features: Features) -> dict[str, bool]:
    """Tell of registers that came with a feature whether this version has it."""
    return {
        "FPGA_CAPABILITIES": features.capture_lists,
        "NOMINAL_CLOCK": features.clock_command,
        "TABLE_IRQ_STATUS": features.streamed_tables,
    }


class Loader:
    """Reads the files of one box into blocks."""

    def __init__(
        self, files: BoxFiles, wiring: Wiring, unknown: Mapping[str, UnknownField]
    ) -> None:
        self._files = files
        self._unknown = unknown
        self._wiring = wiring
        self._bases: dict[int, tuple[bool, set[int]]] = {}
        self._constants = set[str]()
        self._control_registers = set[str]()
        self.blocks: dict[str, Block] = {}
        self.metadata = Metadata(wiring.changes)

    def load(self) -> None:
        """Read all texts.

        Raises:
            ConfigError: the first line that is wrong, or what no line assigned.
        """
        self._load(self._files.config, self._config_header)
        self._load(self._files.registers, self._register_header)
        self._check_control()
        self._load(self._files.description, self._description_header)
        self._check_fields()

    @staticmethod
    def _load(source: Source, reader: LineReader) -> None:
        load_lines(source.title, source.read(), reader)

    def _check_control(self) -> None:
        features = self._wiring.features
        newer = {name for name, known in _newer_registers(features).items() if not known}
        for name in CONTROL_REGISTERS:
            if name not in self._control_registers | _OPTIONAL_REGISTERS | newer:
                raise self._missing(f"register {name} is not in the *REG block")
        if features.driver_version and _REQUIRED_CONSTANT not in self._constants:
            raise self._missing(f"{_REQUIRED_CONSTANT} is missing")

    def _check_fields(self) -> None:
        for block in self.blocks.values():
            if not block.assigned:
                raise self._missing(f"no base address for block {block.name}")
            for field in block.fields.values():
                if not field.assigned:
                    raise self._missing(f"no register for field {block.name}.{field.name}")

    def _missing(self, reason: str) -> ConfigError:
        return ConfigError(self._files.registers.title, reason)

    def _config_header(self, cursor: Cursor) -> LineReader | None:
        if cursor.take("*"):
            if cursor.letters() != "METADATA":
                raise CommandError("unexpected block")
            return self.metadata.read_line
        name = cursor.block_name()
        count = 1
        if cursor.take("["):
            count = cursor.unsigned()
            cursor.expect("]")
        if name in self.blocks:
            raise CommandError(f"block {name} already exists")
        if count == 0:
            raise CommandError(f"block {name} needs at least one instance")
        if count > MOST_INSTANCES:
            raise CommandError(f"block {name} cannot have more than {MOST_INSTANCES} instances")
        block = self.blocks[name] = Block(name, count)

        def read_field(cursor: Cursor) -> LineReader | None:
            return self._config_field(block, cursor)

        return read_field

    def _config_field(self, block: Block, cursor: Cursor) -> LineReader | None:
        name = cursor.name()
        cursor.blanks()
        place = Place(block.name, name, block.count, self._wiring)
        seen = self._unknown.get(f"{block.name}.{name}")
        if seen is not None and seen.info is not None:
            cursor.rest()
            behaviour = RecordedField(place, seen)
        else:
            class_name = cursor.letters()
            if class_name not in CLASSES:
                raise CommandError(f"class {class_name} not found")
            behaviour = CLASSES[class_name](place, cursor)
        if name in block.fields:
            raise CommandError(f"field {block.name}.{name} already exists")
        field = block.fields[name] = Field(len(block.fields), behaviour)
        # nothing stands behind what is not simulated
        field.assigned = isinstance(behaviour, RecordedField)
        return behaviour.line_reader()

    def _register_header(self, cursor: Cursor) -> LineReader | None:
        if cursor.take("*"):
            return self._special_header(cursor)
        if "=" in cursor.text:
            return self._constant(cursor)
        block = self._block(cursor)
        if block.assigned:
            raise CommandError("register already assigned")
        cursor.blanks()
        if not cursor.take("X"):
            self._assign_base(block, cursor)
        if cursor.take(" "):
            cursor.utf8()
        block.assigned = True

        def read_field(cursor: Cursor) -> LineReader | None:
            field = block.field(cursor.name())
            cursor.blanks()
            if field.assigned:
                raise CommandError("register already assigned")
            field.behaviour.assign(cursor)
            field.assigned = True
            return None

        return read_field

    def _special_header(self, cursor: Cursor) -> LineReader:
        name = cursor.letters()
        cursor.blanks()
        base = cursor.unsigned()
        if name == "DRV":
            return self._special_register
        if name != "REG":
            raise CommandError("invalid special block")
        if base != _CONTROL_BASE:
            raise CommandError(f"*REG block must have base {_CONTROL_BASE}")
        return self._control_register

    def _assign_base(self, block: Block, cursor: Cursor) -> None:
        shared = cursor.take("S")
        base = cursor.unsigned()
        if base >= BLOCK_BASE_COUNT:
            raise CommandError("block base too large")
        if base in self._bases and not (shared and self._bases[base][0]):
            raise CommandError(f"block base {base} already assigned and not shared")
        used = self._bases.setdefault(base, (shared, set()))[1]
        self._wiring.registers[block.name] = used

    def _constant(self, cursor: Cursor) -> None:
        name = cursor.name()
        cursor.skip_blanks()
        cursor.expect("=")
        value = cursor.unsigned()
        if _CONSTANTS.get(name) != value:
            raise CommandError(f"{name} = {value} is not supported")
        if name in self._constants:
            raise CommandError(f"constant {name} repeated")
        self._constants.add(name)

    def _control_register(self, cursor: Cursor) -> None:
        name, registers = self._named_registers(cursor)
        if CONTROL_REGISTERS.get(name) != registers:
            raise CommandError(f"{name} is not that register of *REG")
        if name in self._control_registers:
            raise CommandError("register already assigned")
        self._control_registers.add(name)

    def _special_register(self, cursor: Cursor) -> None:
        self._named_registers(cursor)

    @staticmethod
    def _named_registers(cursor: Cursor) -> tuple[str, tuple[int, ...]]:
        name = cursor.letters()
        cursor.blanks()
        cursor.take("opt")
        first = cursor.unsigned()
        if not cursor.peek():
            return name, (first,)
        cursor.blanks()
        cursor.expect(".")
        cursor.expect(".")
        return name, (first, cursor.unsigned())

    def _description_header(self, cursor: Cursor) -> LineReader | None:
        block = self._block(cursor)
        cursor.blanks()
        text = cursor.utf8()
        if block.description is not None:
            raise CommandError("description already set")
        block.description = text

        def read_field(cursor: Cursor) -> LineReader | None:
            field = block.field(cursor.name())
            cursor.blanks()
            text = cursor.utf8()
            if field.description is not None:
                raise CommandError("description already set")
            field.description = text
            return field.behaviour.description_reader()

        return read_field

    def _block(self, cursor: Cursor) -> Block:
        name = cursor.block_name()
        if name not in self.blocks:
            raise CommandError(f"no block {name} in config")
        return self.blocks[name]
