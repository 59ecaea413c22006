"""Blocks, fields and attributes: how they are named, and which mistake is found first.

Source: protocol.md 3.
"""

from __future__ import annotations

import pytest

from .survey import Survey, readable


@pytest.fixture
def several(box: Survey) -> str:
    """Return a block with more than one instance."""
    return box.block(several=True)


@pytest.fixture
def single(box: Survey) -> str:
    return box.block(several=False)


def first_field(box: Survey, block: str) -> str:
    return next(field.name for field in box.fields if field.block == block)


def test_a_block_alone_is_no_target(control, several):
    for target in (several, f"{several}1"):
        assert control.error(f"{target}?") == "Missing field name"
        assert control.error(f"{target}=1") == "Missing field name"
        assert control.table(target, "", "1") == "ERR Missing field name"


def test_lists_can_be_read_only(control, box, several):
    field = first_field(box, several)
    for target in (
        f"{several}.*",
        f"{several}1.*",
        f"{several}.{field}.*",
        f"{several}1.{field}.*",
    ):
        assert control.lines(target)
        assert control.error(f"{target}=1") == "Field not writeable"
        assert control.table(target, "", "1") == "ERR Field not a table"


def test_field_lists_have_each_position_once(control, box: Survey):
    for block in box.counts:
        numbers = [field.seq for field in box.fields if field.block == block]
        assert sorted(numbers) == list(range(len(numbers)))


def test_numbers_are_needed_where_there_are_several(control, box, several):
    field = first_field(box, several)
    count = box.counts[several]
    assert control.error(f"{several}.{field}?") == "Missing block number"
    assert control.error(f"{several}.{field}=1") == "Missing block number"
    assert control.table(f"{several}.{field}", "", "1") == "ERR Missing block number"
    for number in ("0", f"{count + 1}", "00", "99999"):
        assert control.error(f"{several}{number}.{field}?") == "Invalid block number"
    assert control.error(f"{several}{count + 1}.*?") == "Invalid block number"


def test_numbers_are_read_as_c_does(control, box, several):
    field = first_field(box, several)
    assert control.ask(f"{several}01.{field}.INFO?") == control.ask(f"{several}1.{field}.INFO?")
    assert control.error(f"{several}08.{field}?") == "Invalid block number"
    assert control.error(f"{several}{10**20}.{field}?") == (
        "Error converting number: (34) Numerical result out of range"
    )
    ten = [block for block, count in box.counts.items() if count in {8, 9, 10, 11}]
    for block in ten:
        field = first_field(box, block)
        assert control.ask(f"{block}010.{field}.INFO?").startswith("OK =")


@pytest.mark.parametrize("byte", [0xB2, 0xB9, 0xA0, 0x85])
def test_a_number_has_digits_of_ascii_only(control, several, byte):
    """Bytes that are digits or blanks in some character set are nothing special."""
    byte = bytes([byte]).decode("utf-8", "surrogateescape")
    for target in (f"{several}{byte}.*", f"{several}1{byte}.*", f"*DESC.{several}{byte}"):
        assert control.error(f"{target}?") == "Unexpected character after input"


def test_the_number_of_the_only_instance_may_be_left_out(control, box, single):
    field = first_field(box, single)
    assert control.ask(f"{single}.{field}.INFO?") == control.ask(f"{single}1.{field}.INFO?")
    assert control.error(f"{single}2.{field}?") == "Invalid block number"


def test_values_follow_the_reported_form(control, box: Survey, keep):
    mux = box.one("bit_mux")
    singles = [bit for bit in box.bits if not bit.partition(".")[0][-1].isdigit()]
    if not singles:
        pytest.skip("this box has no bit of a block with one instance")
    keep(mux)
    block, _, field = singles[0].partition(".")
    assert control.error(f"{mux}={block}1.{field}") == "Invalid bit bus selection"
    control.ok(f"{mux}={singles[0]}")
    assert control.value(mux) == singles[0]


def test_the_first_mistake_in_the_order_of_checks_is_reported(control, box: Survey, several):
    field = first_field(box, several)
    n, beyond = f"{several}1", f"{several}{box.counts[several] + 1}"
    ladder = [
        (f"1{several}.NO_SUCH?x", "Unexpected text after command"),
        (f"1{several}.NO_SUCH?", "No name found"),
        ("NO_SUCH9.1?", "No such block"),
        (f"{'A' * 32}.X?", "Name too long"),
        (f"{beyond}.1?", "Invalid block number"),
        (f"{n}.1?", "No name found"),
        (f"{n}.?", "No name found"),
        (f"{n}.{'A' * 32}?", "Name too long"),
        (f"{several}.NO_SUCH.1?", "No such field"),
        (f"{several}.{field}.1?", "Missing block number"),
        (f"{n}.{field}.1?", "No name found"),
        (f"{n}.{field}.{'A' * 32}?", "Name too long"),
        (f"{n}.{field}.NO_SUCH ?", "No such attribute"),
        (f"{n}.{field}.INFO ?", "Unexpected character after input"),
        (f"{n}.{field}.INFO.INFO?", "Unexpected character after input"),
        (f"{n}.{field} ?", "Unexpected character after input"),
        (f"{n}.*X?", "Unexpected character after input"),
        (f"{n}.{field}.*.*?", "Unexpected character after input"),
        (f"{n} .{field}?", "Unexpected character after input"),
        (f"{n}.{field}.INFO=1", "Attribute not writeable"),
    ]
    for command, text in ladder:
        assert control.error(command) == text, command


def test_modifiers_are_checked_before_names(control):
    for modifiers in ("X", "|", "|B", "<|B|", "b", "BB", "< B", "<<", "<B|", " ", "<B "):
        reply = control.table("NO_SUCH.X", modifiers, "1")
        assert reply == "ERR Unexpected character after input", modifiers


def test_attributes_are_no_tables(control, box: Survey):
    target = box.fields[0].instances[0]
    assert control.table(f"{target}.INFO", "", "1") == "ERR Field not a table"


def test_only_tables_are_tables(control, box: Survey):
    for info in ("param", "read", "write", "time", "bit_out", "pos_out", "bit_mux", "pos_mux"):
        for field in box.of(info)[:1]:
            assert control.table(field.instances[0], "", "1") == "ERR Field is not a table"


@pytest.mark.parametrize(
    ("info", "command", "text"),
    [
        ("ext_out", "?", "Field not readable"),
        ("ext_out", "=1", "Field not writeable"),
        ("write", "?", "Field not readable"),
        ("read", "=1", "Field not writeable"),
        ("bit_out", "=1", "Field not writeable"),
        ("pos_out", "=1", "Field not writeable"),
        ("table", "=1", "Field not writeable"),
    ],
)
def test_what_a_class_cannot_do(control, box: Survey, info, command, text):
    fields = [field for field in box.of(info) if "action" not in field.subtype]
    if not fields:
        pytest.skip(f"this box has no {info}")
    for field in fields:
        assert control.error(field.instances[-1] + command) == text


def test_info_is_the_class(control, box: Survey):
    for field in box.fields:
        info = field.info
        assert control.value(f"{field.instances[-1]}.INFO") == info


def test_every_readable_attribute_reads(control, box: Survey):
    for field in box.fields:
        target = field.instances[-1]
        names = control.lines(f"{field.bare}.*")
        for name, reply in zip(
            names, control.ask_all(f"{target}.{name}?" for name in names), strict=True
        ):
            if field.cls == "write" and name == "RAW":
                assert reply == "ERR Register cannot be read"
            elif isinstance(reply, str) and not readable(control, target):
                assert reply.startswith(("OK =", "ERR "))
            else:
                assert isinstance(reply, list) or reply.startswith("OK ="), f"{target}.{name}"
