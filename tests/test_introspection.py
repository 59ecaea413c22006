"""Introspection asks little, understands every box there is, and degrades field by field."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from panda_ophyd.client import PandaClient
from panda_ophyd.errors import CommandError, ProtocolError
from panda_ophyd.fields import Access, BoxInfo, CaptureWord, MetadataInfo
from panda_ophyd.introspection import introspect, signals

TRANSCRIPTS = Path(__file__).parent / "transcripts"
ELSEWHERE = ("data.", ".label", "_dataset", "_version", "pcap.arm")
"""Children of an HDFPanda that are no fields of the box."""


def recorded():
    """Replies by question, of a PandABox without FMC; what was not recorded is refused."""
    replies: dict[str, list[str]] = {}
    question = ""
    for line in (TRANSCRIPTS / "pandabox-no-fmc.introspection.txt").read_text().splitlines():
        kind, text = line[:2], line[2:]
        if kind == "> ":
            question = text.removesuffix("?")
            replies[question] = []
        else:
            replies[question].append(text)
    return replies


def small(**changes):
    """A box of one PULSE-like block, some questions answered otherwise or not at all."""
    replies = {
        "*IDN": ["OK =PandA SW: 4.1 FPGA: 0.0.0 00000000 00000000 rootfs: Test"],
        "*CLOCK_FREQ": ["OK =125000000"],
        "*BLOCKS": ["!THING 2", "."],
        "*BITS": ["!THING1.OUT", "!THING2.OUT", "."],
        "*POSITIONS": ["."],
        "*CAPTURE.OPTIONS": ["!Value", "."],
        "*CAPTURE.ENUMS": ["!No", "!Value", "."],
        "*METADATA.*": ["."],
        "*CHANGES.METADATA": ["."],
        "THING.*": ["!OUT 1 bit_out", "!COUNT 0 param uint", "."],
        "THING1.COUNT.MAX": ["OK =63"],
    }
    for question, reply in changes.items():
        replies.pop(question, None)
        if reply is not None:
            replies[question] = reply
    return replies


class ScriptedServer:
    """A control port that answers from a table, descriptions from their question."""

    def __init__(self, replies):
        self.replies = replies
        self.asked: list[str] = []

    def reply(self, line):
        self.asked.append(line)
        if line.endswith("="):
            return ["OK"]
        question = line.removesuffix("?")
        if question.startswith("*DESC."):
            return [f"OK =About {question.removeprefix('*DESC.')}"]
        return self.replies.get(question, ["ERR Unknown command"])

    async def serve(self, reader, writer):
        try:
            while line := await reader.readline():
                for answer in self.reply(line.decode().removesuffix("\n")):
                    writer.write(answer.encode() + b"\n")
        finally:
            writer.close()

    @asynccontextmanager
    async def client(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            async with PandaClient(f"127.0.0.1:{port}") as client:
                yield client
        finally:
            server.close()
            await server.wait_closed()


async def box_of(replies):
    async with ScriptedServer(replies).client() as client:
        return await introspect(client)


def specs_of(box):
    return {
        spec.target: spec
        for specs in signals(box).values()
        for spec in specs
        if spec.access is not Access.X and not spec.name.endswith("_capture")
    }


def block_of(box, name):
    block = box.block(name)
    assert block is not None
    return block


def layout_of(box, name):
    [layout] = [field.layout for field in block_of(box, name).fields if field.name == "TABLE"]
    assert layout is not None
    return layout


async def test_a_whole_box_takes_four_round_trips():
    server = ScriptedServer(recorded())
    async with server.client() as client:
        before = client.round_trips
        await introspect(client)
        assert client.round_trips - before == 4
    assert len(server.asked) == len(set(server.asked)) + 1  # *IDN? was connect()'s already


async def test_every_child_that_hdfpanda_has_is_there_with_its_direction(caplog):
    box = await box_of(recorded())
    made = {}
    for (name, number), specs in signals(box).items():
        block = block_of(box, name)
        prefix = name.lower() if block.count == 1 else f"{name.lower()}.{number}"
        made |= {f"{prefix}.{spec.name}": spec.access for spec in specs}
    access = {"SignalR": Access.R, "SignalRW": Access.RW, "TriggerableCommand": Access.X}
    lines = (TRANSCRIPTS / "pandabox-no-fmc.hdfpanda.txt").read_text().splitlines()
    # ophyd-async adds an underscore to the names that it keeps for itself
    wanted = {child.rstrip("_"): access[cls] for child, cls in map(str.split, lines)}
    wanted = {
        child: access
        for child, access in wanted.items()
        if not child.startswith(ELSEWHERE) and not child.endswith(ELSEWHERE)
    }
    assert len(wanted) > 900
    assert {child: made.get(child) for child in wanted} == wanted
    assert caplog.records == []


async def test_a_box_is_the_same_each_time_and_differs_from_another():
    box = await box_of(recorded())
    async with ScriptedServer(recorded()).client() as client:
        assert await introspect(client) == box
        assert await introspect(client) == box
    assert BoxInfo.from_json(box.to_json()) == box
    assert await box_of(recorded() | {"SEQ1.TABLE.MAX_LENGTH": ["OK =4"]}) != box


async def test_what_the_box_says_of_itself():
    box = await box_of(recorded())
    assert (box.sw_version, box.fpga_version, box.rootfs) == (
        "4.1",
        "0.0.0 00000000 00000000",
        "Test Server",
    )
    assert box.version == (4, 1)
    assert box.clock_frequency == 125_000_000
    assert box.application == "pandabox-no-fmc"
    assert box.streams_tables
    assert box.combines_captures
    assert [block.name for block in box.blocks] == sorted(block.name for block in box.blocks)
    fields = block_of(box, "PULSE").fields
    assert [field.name for field in fields][:4] == ["ENABLE", "TRIG", "DELAY", "WIDTH"]
    assert fields[2].description == "About PULSE.DELAY"
    assert len(box.bits) == 105
    assert box.positions[-1] == "SFP3_SYNC_IN.POS4"
    assert box.capture_options[-1] == "StdDev"
    assert "Min Max Mean" in box.capture_choices
    assert box.capture_word("TTLIN1.VAL") == "PCAP.BITS0"
    assert all(box.capture_word(bit) for bit in box.bits)
    assert {item.kind for item in box.metadata} == {"string", "multiline", "constant"}


async def test_the_sequencer_table_has_its_layout_and_labels():
    box = await box_of(recorded())
    layout = layout_of(box, "SEQ")
    assert layout.row_words == 4
    assert layout.max_rows == 262144
    assert [column.name for column in layout.columns][:3] == [
        "REPEATS",
        "TRIGGER",
        "POSITION",
    ]
    assert len(layout.columns[1].labels) == 13


async def test_a_2x_server_that_does_not_know_the_newer_questions_is_understood(caplog):
    replies = recorded()
    for question in ("*BITS", "*CLOCK_FREQ", "*CAPTURE.OPTIONS", "*CAPTURE.ENUMS"):
        del replies[question]
    replies["*IDN"] = ["OK =PandA SW: 2.0.2 FPGA: 2.0.2 c3d4 0000 rootfs: PandA 1.1"]
    bits = recorded()["*BITS"][:-1]
    replies["*ENUMS.BITS.A"] = ["ERR Field is not an enumeration"]
    for question in list(replies):
        if question.endswith((".ROW_WORDS", ".MAX_DELAY")):
            del replies[question]
        if question.endswith(".TABLE.*"):
            replies[question] = ["!LENGTH", "!FIELDS", "."]
    for block, field in (("TTLOUT", "VAL"), ("OUTENC", "ENABLE"), ("INENC", "CLK")):
        replies[f"*ENUMS.{block}.{field}"] = [*bits, "!ZERO", "!ONE", "."]
    for question in ("COUNTER.OUT", "INENC.VAL", "SFP3_SYNC_IN.POS1", "FILTER.OUT"):
        replies[f"*ENUMS.{question}.CAPTURE"] = ["!No", "!Value", "!Min Max Mean", "."]
    box = await box_of(replies)
    full = await box_of(recorded())
    assert box.version == (2, 0)
    assert box.bits == full.bits
    assert box.clock_frequency == 125_000_000
    assert (full.times_samples, box.times_samples) == (True, False)
    assert not full.captures_unsigned("PCAP.GATE_DURATION")
    assert [
        f
        for f in ("PCAP.GATE_DURATION", "PCAP.BITS0", "PCAP.TS_TRIG", "COUNTER1.OUT")
        if box.captures_unsigned(f)
    ] == ["PCAP.GATE_DURATION", "PCAP.BITS0"]
    assert (box.capture_options, box.combines_captures) == ((), False)
    assert box.capture_choices == ("No", "Value", "Min Max Mean")
    assert not box.streams_tables
    assert set(specs_of(full)) - set(specs_of(box)) == {
        f"{table}.TABLE.{attribute}"
        for table in ("SEQ1", "SEQ2", "PGEN1", "PGEN2")
        for attribute in ("QUEUED_LINES", "MODE")
    }
    layout = layout_of(box, "SEQ")
    assert layout.row_words == 4
    assert caplog.records == []


async def test_a_server_that_lists_nothing_at_all_still_has_its_fields():
    box = await box_of(
        {
            "*IDN": ["OK =PandA SW: newer than this"],
            "*BLOCKS": ["!THING 1", "."],
            "THING.*": ["!IN 0 bit_mux", "!POS 1 pos_mux", "!OUT 2 pos_out", "."],
        }
    )
    assert box.sw_version == "PandA SW: newer than this"
    assert box.version is None
    assert set(specs_of(box)) >= {"THING.IN", "THING.IN.DELAY", "THING.POS", "THING.OUT.SCALE"}


ODD_FIELDS = [
    ("!COUNT 0 param colour", "THING.COUNT", "does not know the class 'param colour'"),
    ("!COUNT 0 gizmo", "THING.COUNT", "does not know the class 'gizmo'"),
    ("!COUNT 0 time odd", "THING.COUNT", "does not know the class 'time odd'"),
    ("!COUNT-ER 0 param bit", "THING.COUNT-ER", "its name is not one"),
    ("!COUNT 0 param enum", "THING.COUNT", "does not list its labels"),
    ("!COUNT 0 param scalar", "THING.COUNT", "does not say its scale"),
    ("!TABLE 0 table", "THING.TABLE", "does not list its columns"),
]


@pytest.mark.parametrize(("line", "name", "reason"), ODD_FIELDS)
async def test_a_field_that_is_not_understood_is_plain_text_and_one_warning(
    line, name, reason, caplog
):
    field = name.removeprefix("THING.")
    replies = small(**{"THING.*": ["!OUT 1 bit_out", line, "."], f"THING1.{field}": ["OK =7"]})
    box = await box_of(replies)
    [warning] = caplog.records
    assert warning.levelno == logging.WARNING
    assert name in warning.getMessage()
    assert reason in warning.getMessage()
    spec = specs_of(box)[f"THING2.{field}"]
    assert (spec.codec.datatype, spec.access, spec.readable) == (str, Access.RW, True)
    assert "THING2.OUT" in specs_of(box)


async def test_a_field_whose_details_are_refused_is_plain_text(caplog):
    box = await box_of(small(**{"THING1.COUNT.MAX": ["ERR Extension server exception"]}))
    [warning] = caplog.records
    assert "THING.COUNT is only plain text here: the server does not say its maximum" in (
        warning.getMessage()
    )
    spec = specs_of(box)["THING1.COUNT"]
    assert (spec.codec.datatype, spec.readable) == (str, False)


@pytest.mark.parametrize("columns", [["!bogus", "."], ["!64:0 X uint", "."], ["!3:0 X float", "."]])
async def test_a_table_with_impossible_columns_is_plain_text(columns, caplog):
    replies = small(**{"THING.*": ["!TABLE 0 table", "."]})
    replies |= {"THING1.TABLE.FIELDS": columns, "THING1.TABLE.ROW_WORDS": ["OK =1"]}
    box = await box_of(replies)
    assert len(caplog.records) == 1
    assert specs_of(box)["THING1.TABLE"].codec.datatype is str


async def test_an_enum_column_without_labels_holds_numbers(caplog):
    replies = small(**{"THING.*": ["!TABLE 0 table", "."]})
    replies["THING1.TABLE.FIELDS"] = ["!3:0 KIND enum", "!31:4 REST", "."]
    box = await box_of(replies)
    [warning] = caplog.records
    assert "THING.TABLE" in warning.getMessage()
    assert "KIND" in warning.getMessage()
    layout = layout_of(box, "THING")
    assert [column.subtype for column in layout.columns] == ["uint", "uint"]


@pytest.mark.parametrize(
    "line", ["!", "!COUNT", "!COUNT zero param uint", "!COUNT<B 0 param uint", "!A=B 0 param bit"]
)
async def test_a_field_line_that_makes_no_sense_is_left_out_with_one_warning(line, caplog):
    box = await box_of(small(**{"THING.*": ["!OUT 1 bit_out", line, "."]}))
    assert [field.name for field in block_of(box, "THING").fields] == ["OUT"]
    [warning] = caplog.records
    assert repr(line[1:]) in warning.getMessage()


@pytest.mark.parametrize("line", ["!", "!THING", "!THING 0", "!TH?NG 1", "!THING 99999999999"])
async def test_a_block_line_that_makes_no_sense_is_left_out_with_one_warning(line, caplog):
    box = await box_of(small(**{"*BLOCKS": [line, "."]}))
    assert box.blocks == ()
    [warning] = caplog.records
    assert repr(line[1:]) in warning.getMessage()


async def test_a_block_that_does_not_list_its_fields_is_empty(caplog):
    box = await box_of(small(**{"THING.*": ["ERR No such block"]}))
    assert block_of(box, "THING").fields == ()
    assert len(caplog.records) == 1


async def test_a_server_without_blocks_is_refused():
    with pytest.raises(CommandError, match="Unknown command"):
        await box_of(small(**{"*BLOCKS": None}))
    with pytest.raises(ProtocolError, match="no PandA"):
        await box_of(small(**{"*BLOCKS": ["OK =none"]}))


METADATA = {
    "*METADATA.*": ["!LAYOUT", "!DESIGN", "!APPNAME", "!ODD KEY", "."],
    "*METADATA.APPNAME": ["OK =an-app"],
    "*METADATA.DESIGN": ["OK ="],
    "*METADATA.LAYOUT": ["."],
}


async def test_metadata_kinds_follow_from_what_can_change():
    changes = ["!*METADATA.DESIGN=x<", "!*METADATA.LAYOUT<", "!junk", "."]
    box = await box_of(small(**METADATA, **{"*CHANGES.METADATA": changes}))
    assert box.metadata == (
        MetadataInfo("APPNAME", "constant", "an-app"),
        MetadataInfo("DESIGN", "string"),
        MetadataInfo("LAYOUT", "multiline"),
        MetadataInfo("ODD KEY", "constant"),
    )


async def test_metadata_of_a_server_that_does_not_report_it_is_taken_for_strings():
    box = await box_of(small(**METADATA, **{"*CHANGES.METADATA": None}))
    assert {item.key: item.kind for item in box.metadata} == {
        "APPNAME": "string",
        "DESIGN": "string",
        "LAYOUT": "multiline",
        "ODD KEY": "string",
    }


async def test_captured_words_say_which_bits_they_hold():
    replies = small(**{"THING.*": ["!OUT 0 bit_out", "!WORD 1 ext_out bits", "."]})
    replies["*BLOCKS"] = ["!THING 1", "."]
    replies["THING.WORD.BITS"] = ["!THING.OUT", "!", "."]
    box = await box_of(replies)
    assert box.capture_words == (CaptureWord("THING.WORD", ("THING.OUT", "")),)
    capture = next(spec for spec in signals(box)["THING", 1] if spec.name == "out_capture")
    assert capture.target == "THING.WORD.CAPTURE"
