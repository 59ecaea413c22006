"""System commands but those of changes, metadata and capture.

Source: protocol.md 2.3, 4.11.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import pytest

from .survey import Survey
from .wire import Control, Data

COMMANDS = {
    # name: may be queried, assigned, and opened as a table; takes an argument
    "IDN": "?", "ECHO": "?.", "WHO": "?", "BLOCKS": "?", "DESC": "?.", "ENUMS": "?.",
    "CHANGES": "?=.", "CAPTURE": "?=.", "POSITIONS": "?", "BITS": "?", "PCAP": "?=.",
    "METADATA": "?=<.", "VERBOSE": "=", "SAVESTATE": "=", "CLOCK_FREQ": "?",
}  # fmt: skip
ATTRIBUTES = {
    "INFO": "Class information for field",
    "MAX": "Maximum valid value for this field",
    "param scalar RAW": "Underlying integer value",
    "read scalar RAW": "Underlying integer value",
    "param scalar UNITS": "Units associated with value",
    "read scalar UNITS": "Units associated with value",
    "param scalar OFFSET": "Offset from scaled data to value",
    "read scalar OFFSET": "Offset from scaled data to value",
    "param scalar SCALE": "Scaling from raw data to value",
    "read scalar SCALE": "Scaling from raw data to value",
    "param lut RAW": "Bit pattern written to register",
    "time UNITS": "Units of time setting",
    "time RAW": "Time in ticks",
    "param time UNITS": "Units of time setting",
    "param time RAW": "Time in ticks",
    "bit_out CAPTURE_WORD": "Name of field containing this bit",
    "bit_out OFFSET": "Position of this bit in captured word",
    "bit_mux DELAY": "Clock delay on input",
    "bit_mux MAX_DELAY": "Maximum valid input delay",
    "pos_out UNITS": "Units string",
    "pos_out SCALED": "Value with scaling applied",
    "pos_out OFFSET": "Offset",
    "pos_out SCALE": "Scale factor",
    "pos_out CAPTURE": "Capture options",
    "ext_out bits BITS": "Enumerate bits captured in this word",
    "ext_out bits CAPTURE": "Capture options",
    "ext_out timestamp CAPTURE": "Capture options",
    "ext_out samples CAPTURE": "Capture options",
    "table MAX_LENGTH": "Maximum number of entries in table",
    "table B": "Table in base-64 representation",
    "table ROW_WORDS": "Number of words per table row",
    "table LENGTH": "Number of entries in table",
    "table FIELDS": "List of sub-fields for this table",
    "table QUEUED_LINES": "Number of lines scheduled",
    "table MODE": "Current table mode",
}


def test_identification(control):
    assert re.fullmatch(
        r"PandA SW: \S+ FPGA: \d+\.\d+\.\d+(C\d+)? [0-9a-f]{8} [0-9a-f]{8} rootfs: .+",
        control.value("*IDN"),
    )


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("*ECHO hello world?", "OK =hello world"),
        ("*ECHO ?", "OK ="),
        ("*ECHO  two ?", "OK = two "),
        ("*ECHO?", "ERR Character ' ' expected"),
        ("*ECHOX?", "ERR Unknown command"),
        ("*ECHO.X?", "ERR Character ' ' expected"),
        ("*ECHO a?b?", "ERR Unexpected text after command"),
        ("*ECHO a=b?", "ERR Command not writeable"),
        ("*ECHO ÄÖ?", "OK =ÄÖ"),
    ],
)
def test_echo(control, command, reply):
    assert control.ask(command) == reply


def test_every_command_knows_its_forms(control):
    for name, forms in COMMANDS.items():
        if "?" not in forms:
            assert control.error(f"*{name}?") == "Command not readable", name
        if "=" not in forms:
            assert control.error(f"*{name}=") == "Command not writeable", name
        if "<" not in forms:
            assert control.table(f"*{name}", "", "1") == "ERR Not a table", name
        if "." not in forms:
            separator = "?" if "?" in forms else "="
            for extra in (".X", " ", "1", ".", ".*"):
                assert control.error(f"*{name}{extra}{separator}") == (
                    "Unexpected character after input"
                ), name


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("*NOSUCH?", "Unknown command"),
        ("*NOSUCH=", "Unknown command"),
        ("*IDNX?", "Unknown command"),
        ("*1?", "No name found"),
        ("*.?", "No name found"),
        ("* ?", "No name found"),
        ("*_?", "Unknown command"),
        ("*" + "A" * 31 + "?", "Unknown command"),
        ("*" + "A" * 32 + "?", "Name too long"),
        ("*VERBOSE=", "Number missing"),
        ("*VERBOSE=x", "Number missing"),
        ("*VERBOSE=1 ", "Unexpected character after input"),
        ("*SAVESTATE=x", "Unexpected character after input"),
        ("*DESC?", "Character '.' expected"),
        ("*ENUMS?", "Character '.' expected"),
        ("*DESC.?", "No name found"),
        ("*DESC.*?", "No name found"),
        ("*ENUMS.*?", "No name found"),
        ("*DESC.NOSUCH?", "No such block"),
        ("*BLOCKS=x", "Command not writeable"),
        ("*POSITIONS.X?", "Unexpected character after input"),
    ],
)
def test_errors_of_system_commands(control, command, text):
    assert control.error(command) == text


def test_a_table_of_an_unknown_system_command_is_refused(control):
    assert control.table("*NOSUCH", "", "1") == "ERR Unknown command"
    assert control.table("*NOSUCH", "X", "1") == "ERR Unexpected character after input"
    assert control.table("*IDN", "<|B", "1") == "ERR Not a table"


def test_verbose_takes_a_number(control, keep):
    keep.irreversible("*VERBOSE")
    for value in ("1", "-1", " 0x0", "010", "0"):
        control.ok(f"*VERBOSE={value}")


def test_the_clock_is_a_number(control):
    assert int(control.value("*CLOCK_FREQ")) > 0


def test_state_cannot_be_saved_where_no_file_is_configured(control, keep):
    keep.irreversible("what *SAVESTATE writes")
    assert control.ask("*SAVESTATE=") in {"OK", "ERR No persistence state configured"}


def test_who_lists_connections_oldest_first(control, connect, open_data):
    second: Control = connect()
    second.ask("*ECHO here?")
    data: Data = open_data()
    deadline = time.monotonic() + 5
    lines = control.lines("*WHO")
    while not any(f" data {data.local} " in line for line in lines):
        assert time.monotonic() < deadline
        lines = control.lines("*WHO")
    when = [line.split(" ")[0] for line in lines]
    for line, stamp in zip(lines, when, strict=True):
        assert re.fullmatch(r"\S+ (config|data) [\d.]+:\d+ ", line)
        datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        assert len(stamp) == len("2026-11-22T08:04:09.600Z")
    assert when == sorted(when)
    peers = [line.split(" ")[1:3] for line in lines]
    mine = [["config", control.local], ["config", second.local], ["data", data.local]]
    assert [peer for peer in peers if peer in mine] == mine


def test_who_forgets_a_closed_connection(control, connect):
    other: Control = connect()
    other.ask("*ECHO here?")
    name = other.local
    assert any(name in line for line in control.lines("*WHO"))
    other.close()
    deadline = time.monotonic() + 5
    while any(f" {name} " in line for line in control.lines("*WHO")):
        assert time.monotonic() < deadline


def test_blocks_have_a_name_and_a_count(control):
    for line in control.lines("*BLOCKS"):
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*[A-Za-z_] [1-9]\d*|[A-Za-z_] [1-9]\d*", line)


def test_bits_and_positions_are_those_of_their_classes(control, box: Survey):
    bits = [name for field in box.of("bit_out") for name in field.instances]
    positions = [name for field in box.of("pos_out") for name in field.instances]
    assert sorted(box.bits) == sorted(bits)
    assert sorted(box.positions) == sorted(positions)
    # bits come by their index on the bus, as the words that capture them have them
    words = [field.instances[0] for field in box.of("ext_out bits")]
    for word in words:
        captured = [bit for bit in control.lines(f"{word}.BITS") if bit]
        assert [bit for bit in box.bits if bit in captured] == captured


def test_descriptions_of_attributes_are_fixed(control, box: Survey):
    for field in box.fields:
        (names,) = control.ask_all([f"{field.bare}.*?"])
        texts = control.ask_all(f"*DESC.{field.bare}.{name}?" for name in names)
        for name, text in zip(names, texts, strict=True):
            expected = ATTRIBUTES.get(f"{field.info} {name}") or ATTRIBUTES.get(name)
            if expected is None and field.cls in {"write", "read"}:
                expected = ATTRIBUTES[f"param {field.subtype} {name}"]
            assert text == f"OK ={expected}", f"{field.bare}.{name}"


def test_blocks_and_fields_have_a_description_or_say_that_they_have_none(control, box: Survey):
    for block in box.counts:
        reply = control.ask(f"*DESC.{block}?")
        assert reply.startswith("OK =") or reply == "ERR No description set for block"
    for field in box.fields:
        reply = control.ask(f"*DESC.{field.bare}?")
        assert reply.startswith("OK =") or reply == "ERR No description set for field"
        assert control.ask(f"*DESC.{field.block}1.{field.name}?") == reply


def test_the_number_of_a_description_is_optional_but_checked(control, box: Survey):
    block = box.block(several=True)
    assert control.ask(f"*DESC.{block}{box.counts[block]}?") == control.ask(f"*DESC.{block}?")
    assert control.error(f"*DESC.{block}{box.counts[block] + 1}?") == "Invalid block number"
    assert control.error(f"*DESC.{block}0?") == "Invalid block number"
    assert control.error(f"*DESC.{block}.NO_SUCH?") == "No such field"
    assert control.error(f"*DESC.{block}.*?") == "No name found"
    field = next(field for field in box.fields if field.block == block)
    assert control.error(f"*DESC.{field.bare}.NO_SUCH?") == "No such attribute"
    assert control.error(f"*DESC.{field.bare}.*?") == "No name found"
    assert control.error(f"*DESC.{field.bare}.INFO.X?") == "Unexpected character after input"
    assert control.error(f"*DESC.{field.bare}?x") == "Unexpected text after command"


def test_descriptions_and_enumerations_of_columns(control, box: Survey):
    tables = box.of("table")
    if not tables:
        pytest.skip("this box has no table")
    for table in tables:
        for line in control.lines(f"{table.instances[0]}.FIELDS"):
            _, name, subtype = line.split(" ")
            text = control.ask(f"*DESC.{table.bare}[].{name}?")
            assert text.startswith("OK =") or text == "ERR No description for table sub-field"
            labels = control.ask(f"*ENUMS.{table.bare}[].{name}?")
            if subtype == "enum":
                assert len(labels) > 1
            else:
                assert labels == "ERR Table sub-field is not an enumeration"
    name = tables[0].bare
    for command in ("DESC", "ENUMS"):
        assert control.error(f"*{command}.{name}[].NO_SUCH?") == "Table sub-field not found"
        assert control.error(f"*{command}.{name}[?") == "Character ']' expected"
        assert control.error(f"*{command}.{name}[]?") == "Character '.' expected"
        assert control.error(f"*{command}.{name}[1].X?") == "Character ']' expected"
        assert control.error(f"*{command}.{name}[].?") == "No name found"


def test_brackets_are_for_tables_only(control, box: Survey):
    field = next(field for field in box.fields if field.cls != "table")
    assert control.error(f"*DESC.{field.bare}[].X?") == "Field is not a table"
    assert control.error(f"*ENUMS.{field.bare}[].X?") == "Field is not a table"


def test_enumerations_of_fields(control, box: Survey):
    for field in box.fields:
        reply = control.ask(f"*ENUMS.{field.bare}?")
        if field.subtype == "enum":
            assert len(reply) >= 1
        elif field.cls == "bit_mux":
            assert reply == [*box.bits, "ZERO", "ONE"]
        elif field.cls == "pos_mux":
            assert isinstance(reply, list)
            assert sorted(reply[:-1]) == sorted(box.positions)
            assert reply[-1] == "ZERO"
        else:
            assert reply == "ERR Field is not an enumeration", field


def test_enumerations_of_attributes(control, box: Survey):
    for info in ("time", "param time"):
        for target in box.targets(info)[:1]:
            assert control.lines(f"*ENUMS.{target}.UNITS") == ["min", "s", "ms", "us"]
            assert control.error(f"*ENUMS.{target}.RAW?") == "Attribute is not an enumeration"
    position = box.one("pos_out")
    assert control.lines(f"*ENUMS.{position}.CAPTURE") == control.lines("*CAPTURE.ENUMS")
    assert control.error(f"*ENUMS.{position}.UNITS?") == "Attribute is not an enumeration"
    assert control.error(f"*ENUMS.{position}.INFO?") == "Attribute is not an enumeration"
    block = box.fields[0].block
    assert control.error(f"*ENUMS.{block}?") == "Missing field name"
    assert control.error(f"*ENUMS.{block}.NO_SUCH?") == "No such field"


def test_enumerations_of_external_captures(control, box: Survey):
    target = box.one("ext_out")
    reply = control.ask(f"*ENUMS.{target}.CAPTURE?")
    assert reply == ["No", "Value"]
