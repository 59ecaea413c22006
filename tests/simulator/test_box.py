"""Box files: what is in them, and where they are wrong."""

from __future__ import annotations

import shutil

import pytest

from panda_simulator.box import ConfigError
from panda_simulator.box.files import parse_lines

from .box_files import EVERY_CLASS, echo_box


@pytest.fixture
def files(tmp_path):
    shutil.copytree(EVERY_CLASS, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_blank_lines_and_comments_do_not_count():
    lines = parse_lines("config", ["A", "", "  # no", "\tB", "\tC", "\t    D", "E", ""])
    assert [(line.text, line.number) for line in lines] == [("A", 1), ("E", 7)]
    assert [line.text for line in lines[0].children] == ["B", "C"]
    assert [line.text for line in lines[0].children[1].children] == ["D"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (["  A"], 1),
        (["A", "    B", "  C"], 3),
        (["x" * 255], 1),
        ([" " * n + "A" for n in range(12)], 12),
    ],
)
def test_bad_indentation_is_refused_with_its_line(content, line):
    with pytest.raises(ConfigError) as refusal:
        parse_lines("config", content)
    assert refusal.value.line == line


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("config", "param uint 63 = 5", "param uint 63 = 5 ", "Unexpected character after input"),
        ("config", "param uint 63 = 5", "param sint", "unknown field type sint"),
        ("config", "PU2     param uint", "PU2     prm uint", "class prm not found"),
        ("config", "PU2     param uint", "PU      param uint", "field ALL.PU already exists"),
        ("config", "1 one", "2 one", "repeated enumeration number 2"),
        ("config", "1 one", "1 two words", 'repeated enumeration label "two words"'),
        ("config", "ONE\n", "ALL\n", "block ALL already exists"),
        ("config", "ONE\n", "ONE[2]\n", "an extension output cannot be repeated"),
        ("config", "ONE\n", "ONE[2\n", "Character ']' expected"),
        ("config", "ext_out bits 2", "ext_out byte 2", "unknown ext_out type byte"),
        ("config", "7:0   LO", "7:32  LO", "bits are in the wrong order or outside the row"),
        ("config", "7:0   LO", "40:0  LO", "bit 32 belongs to another field"),
        ("config", "A    string", "A    text", "invalid metadata type text"),
        ("config", "B    multiline", "A    multiline", "metadata key A repeated"),
        ("config", "*METADATA", "*META", "unexpected block"),
        ("registers", "VERSION = 1", "VERSION = 2", "DRIVER_COMPAT_VERSION = 2 is not supported"),
        ("registers", "_VERSION = 0", "_VERSION = 1", "BLOCKS_COMPAT_VERSION = 1 is not supported"),
        ("registers", "BLOCKS_", "DRIVER_", "DRIVER_COMPAT_VERSION = 0 is not supported"),
        ("registers", "*REG        0", "*REG 1", "*REG block must have base 0"),
        ("registers", "PCAP_ARM                13", "FPGA_BUILD 1", "register already assigned"),
        (
            "registers",
            "PCAP_ARM                13",
            "PCAP_ARM 12",
            "PCAP_ARM is not that register of *REG",
        ),
        ("registers", "ALL 2", "ALL 32", "block base too large"),
        ("registers", "ALL 2", "ALL 3", "block base 3 already assigned and not shared"),
        ("registers", "ALL 2", "OTHER 2", "no block OTHER in config"),
        ("registers", "*REG        0", "*REX 0", "invalid special block"),
        ("registers", "PU2 1", "PU2 0", "register 0 already in use"),
        ("registers", "PU2 1", "PU2 64", "register value too large"),
        ("registers", "PU2 1", "PU9 1", "No such field"),
        ("registers", "BO 100 3 64", "BO 100 3", "Whitespace expected"),
        ("registers", "BO 100 3 64", "BO 100 3 128", "bus index 128 out of range"),
        ("registers", "PO 2 0 1", "PO 2 2 1", "bus index 2 already used"),
        ("registers", "Q 5", "Q 16", "extension index 16 out of range"),
        ("registers", "N 0", "N 5", "extension index 5 already used"),
        ("registers", "TL long", "TL tall", "table type not recognised"),
        ("description", "PU  a field", "PX  a field", "No such field"),
        ("description", "HI high", "XX high", "no sub-field XX in the table"),
        ("description", "ONE one", "ALL one", "description already set"),
    ],
)
def test_a_malformed_file_is_refused_with_file_line_and_reason(files, name, old, new, reason):
    path = files / name
    text = path.read_text("utf-8")
    assert old in text
    wrong = text.replace(old, new, 1)
    path.write_text(wrong, "utf-8")
    with pytest.raises(ConfigError) as refusal:
        echo_box(files)
    assert refusal.value.reason == reason
    line, column = refusal.value.line, refusal.value.column
    assert str(refusal.value) == f"{path}, line {line}, column {column}: {reason}"
    changed = wrong.splitlines()[refusal.value.line - 1]
    assert changed.strip()


@pytest.mark.parametrize(
    ("old", "reason"),
    [
        ("    PU2 1\n", "no register for field ALL.PU2"),
        ("DRIVER_COMPAT_VERSION = 1\n", "DRIVER_COMPAT_VERSION is missing"),
        ("    NOMINAL_CLOCK           24\n", "register NOMINAL_CLOCK is not in the .REG block"),
    ],
)
def test_what_registers_leaves_out_is_missed(files, old, reason):
    path = files / "registers"
    path.write_text(path.read_text("utf-8").replace(old, "", 1), "utf-8")
    with pytest.raises(ConfigError, match=reason):
        echo_box(files)


@pytest.mark.parametrize("name", ["config", "registers", "description"])
def test_a_file_that_is_not_there_is_named(files, name):
    (files / name).unlink()
    with pytest.raises(ConfigError) as refusal:
        echo_box(files)
    assert str(refusal.value) == f"{files / name}: No such file or directory"


def test_registers_of_the_time_of_day_are_optional(files):
    path = files / "registers"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "PCAP_TS" not in line), "utf-8")
    assert echo_box(files).blocks


@pytest.mark.parametrize(
    ("version", "missing", "accepted"),
    [
        ("4.1", "TABLE_IRQ_STATUS", False),
        ("4.0", "TABLE_IRQ_STATUS", True),
        ("4.0", "NOMINAL_CLOCK", False),
        ("3.0b1", "NOMINAL_CLOCK", True),
        ("3.0b1", "FPGA_CAPABILITIES", False),
        ("3.0a1", "FPGA_CAPABILITIES", True),
        ("3.0b1", "DRIVER_COMPAT_VERSION", False),
        ("3.0a1", "DRIVER_COMPAT_VERSION", True),
        ("3.0a1", "MAC_ADDRESS_BASE", False),
    ],
)
def test_registers_that_came_later_are_not_asked_of_older_boxes(files, version, missing, accepted):
    path = files / "registers"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if missing not in line), "utf-8")
    if accepted:
        assert echo_box(files, version=version).blocks
    else:
        with pytest.raises(ConfigError, match=missing):
            echo_box(files, version=version)
