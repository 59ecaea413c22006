"""A recording plays the box that it is of; the box here answers in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from panda_simulator.box import Box
from panda_simulator.box.boxfile import BoxFile, read_box_file
from panda_simulator.builtin import box_directory, box_names
from panda_simulator.echo import EchoHardware
from panda_simulator.original import make_box
from panda_simulator.record import Exchanges, RecordError, record
from panda_simulator.state import asker, replay, state_lines

from .box_files import EVERY_CLASS, TRANSCRIPTS, echo_box

SETTINGS = TRANSCRIPTS / "pandabox-no-fmc.state"


class Asked:
    """Answers of a box, some of them replaced."""

    title = "box"

    def __init__(self, box: Box, replaced: Mapping[str, Sequence[str] | None] = {}) -> None:
        self._ask = asker(box, "Test")
        self._replaced = replaced
        self.queries: list[str] = []

    def ask(self, queries: Sequence[str]) -> list[tuple[str, ...] | None]:
        self.queries += queries
        return [self._reply(query) for query in queries]

    def _reply(self, query: str) -> tuple[str, ...] | None:
        if query in self._replaced:
            reply = self._replaced[query]
            return None if reply is None else tuple(reply)
        return self._ask(query)


def play(file: BoxFile) -> Box:
    def hardware(layout):
        echo = EchoHardware()
        echo.hold(layout.readings, layout.bit_index, layout.position_index)
        return echo

    return make_box(file, hardware, file.identity)


def recorded(box: Box, replaced: Mapping[str, Sequence[str] | None] = {}) -> BoxFile:
    """Record a box, and prove that playing it gives the same recording again."""
    recording = record(Asked(box, replaced))
    assert [*recording.refused, *recording.different, *recording.moving] == []
    again = record(Asked(play(recording.file)))
    assert again.file == recording.file
    return recording.file


def lines(box: Box, query: str) -> list[str]:
    return list(asker(box)(query))


@pytest.mark.parametrize("directory", [EVERY_CLASS, *map(box_directory, box_names())])
def test_every_answer_of_a_recorded_box_is_the_same(directory):
    file = recorded(echo_box(directory))
    # the order of fields and attributes follows from the texts; of the rest it may not
    assert (file.orders.fields, file.orders.attributes, file.unknown) == ({}, {}, {})


@pytest.mark.parametrize("version", ["2.0", "2.1", "3.0a1", "3.0a2", "3.0b1", "3.0", "4.0"])
def test_servers_that_say_less_are_recorded_too(version):
    assert recorded(echo_box(EVERY_CLASS, version=version)).identity.software == version


def test_nothing_is_written_to_the_box():
    asked = Asked(echo_box())
    record(asked)
    assert all(query.endswith("?") for query in asked.queries)
    assert len(set(asked.queries)) == len(asked.queries)


def test_settings_are_recorded():
    box = echo_box()
    failures = [line for _, line, _ in replay(box, SETTINGS.read_bytes())]
    assert failures == []
    assert asker(box)("PULSE2.WIDTH.RAW=123456789012345") == ("OK",)
    file = recorded(box)
    assert "PULSE2.WIDTH.RAW=123456789012345" in file.state
    assert file.state.index("PULSE1.DELAY.UNITS=ms") < file.state.index("PULSE1.DELAY=12.5")
    ask = asker(play(file))
    assert ask("LUT1.FUNC?") == ("OK =A&B|~C",)
    assert ask("SEQ1.TABLE.LENGTH?") == ("OK =16",)
    assert ask("*METADATA.LAYOUT?") == ("!line 1", '!  <xml a="b"/>', ".")


def test_a_box_at_power_up_has_no_settings():
    assert recorded(echo_box()).state == []


def test_labels_of_known_blocks_have_the_numbers_that_our_blocks_tick_with():
    box = play(recorded(echo_box()))
    ask = asker(box)
    assert ask("PCAP.TRIG_EDGE=Either") == ("OK",)
    assert box.hardware.read_register("PCAP", 1, "TRIG_EDGE") == 2
    # a label without a neighbour: SEQ tables are read by the same numbers
    assert "   12 POSC<=POSITION" in recorded(echo_box()).config


def test_an_order_that_no_hash_explains_is_kept():
    box = echo_box(EVERY_CLASS)
    replaced = {
        query: [*reversed(lines(box, query)[:-1]), "."]
        for query in ("*BLOCKS?", "ALL.*?", "ALL.PS.*?", "*METADATA.*?", "*CHANGES.METADATA?")
    }
    file = recorded(box, replaced)
    assert file.orders.blocks == [line[1:].split()[0] for line in replaced["*BLOCKS?"][:-1]]
    assert list(file.orders.fields) == ["ALL"]
    assert list(file.orders.attributes) == ["ALL.PS"]
    assert file.orders.metadata == [line[1:] for line in replaced["*METADATA.*?"][:-1]]
    box = play(file)
    assert asker(box)("*METADATA.*?") == tuple(replaced["*METADATA.*?"])


def test_readings_and_refusals_are_recorded():
    box = echo_box()
    box.hardware.write_register("SYSTEM", 1, "TEMP_PSU", 0xFFFFFFF6)
    box.hardware.write_register("PCOMP", 2, "STATE", 3)
    file = recorded(box)
    assert file.readings["SYSTEM.TEMP_PSU"] == 0xFFFFFFF6
    assert file.errors["SYSTEM.TEMP_ZYNQ"] == "Extension server exception"
    ask = asker(play(file))
    assert ask("SYSTEM.TEMP_PSU?") == ("OK =-10",)
    assert ask("PCOMP2.STATE?") == asker(box)("PCOMP2.STATE?")
    assert ask("SYSTEM.TEMP_ZYNQ?") == ("ERR Extension server exception",)
    assert "!SYSTEM.TEMP_ZYNQ (error)" in ask("*CHANGES.READ?")


def test_readings_that_change_meanwhile_are_told_apart():
    replaced = {"INENC1.VAL?": ["OK =100"], "INENC1.VAL.SCALED?": ["OK =101"]}
    recording = record(Asked(echo_box(), replaced))
    assert recording.file.readings["INENC1.VAL"] == 100
    assert (recording.different, recording.moving) == ([], ["INENC1.VAL.SCALED?"])


def test_a_value_without_a_label_has_none_in_the_recording():
    box = echo_box()
    box.hardware.write_register("PCOMP", 1, "STATE", 99)
    ask = asker(play(recorded(box)))
    assert ask("PCOMP1.STATE?") == ("ERR No label for value",)
    assert ask("PCOMP2.STATE?") == ("OK =WAIT_ENABLE",)


def test_fields_of_an_unknown_kind_survive_as_they_were_seen():
    box = echo_box()
    kind = lines(box, "PULSE.*?")
    kind[kind.index("!PULSES 4 param uint")] = "!PULSES 4 quantum entangled very"
    subtype = [line.replace("param lut", "param magic") for line in lines(box, "LUT.*?")]
    replaced: dict[str, Sequence[str] | None] = {
        "PULSE.*?": kind,
        "LUT.*?": subtype,
        "PULSE1.PULSES.INFO?": ["OK =quantum entangled very"],
        "PULSE2.PULSES?": ["OK =up and down"],
        "PULSE3.PULSES?": ["!up", "!down", "."],
        "PULSE4.PULSES?": ["ERR Decohered"],
        "*ENUMS.PULSE.PULSES?": ["!up", "!down", "."],
        "*DESC.PULSE.PULSES?": ["OK =A cat"],
    }
    for number in range(1, 5):
        replaced[f"PULSE{number}.PULSES.INFO?"] = ["OK =quantum entangled very"]
    for number in range(1, 9):
        replaced[f"LUT{number}.FUNC.INFO?"] = ["OK =param magic"]
    replaced["*CHANGES.CONFIG?"] = ["!LUT1.FUNC=0x00000000", "."]
    replaced["*CHANGES.READ?"] = ["!PULSE1.PULSES=0", "."]
    replaced["*CHANGES.ATTR?"] = None
    recording = record(Asked(box, replaced))
    assert set(recording.different) == {"*CHANGES.CONFIG?"}
    assert not recording.refused
    ask = asker(play(recording.file))
    assert "!PULSES 4 quantum entangled very" in ask("PULSE.*?")
    assert ask("PULSE1.PULSES?") == ("OK =0",)
    assert ask("PULSE2.PULSES?") == ("OK =up and down",)
    assert ask("PULSE3.PULSES?") == ("!up", "!down", ".")
    assert ask("PULSE4.PULSES?") == ("ERR Decohered",)
    assert ask("PULSE1.PULSES=5") == ("ERR Field not writeable",)
    assert ask("*DESC.PULSE.PULSES?") == ("OK =A cat",)
    assert ask("LUT1.FUNC?") == ("OK =0x00000000",)
    ask("*CHANGES.CONFIG=")
    assert ask("LUT1.FUNC=abracadabra") == ("OK",)
    assert ask("LUT1.FUNC?") == ("OK =abracadabra",)
    assert ask("LUT2.FUNC?") == ("OK =0x00000000",)
    assert ask("*CHANGES.CONFIG?") == ("!LUT1.FUNC=abracadabra", ".")
    assert {"!PULSE2.PULSES=up and down", "!PULSE4.PULSES (error)"} <= set(ask("*CHANGES.READ?"))


def test_what_is_written_to_a_field_of_an_unknown_kind_is_kept_in_a_state_file():
    box = echo_box()
    replaced: dict[str, Sequence[str] | None] = {
        "LUT.*?": [line.replace("param lut", "param magic") for line in lines(box, "LUT.*?")],
        **{f"LUT{number}.FUNC.INFO?": ["OK =param magic"] for number in range(1, 9)},
    }
    file = record(Asked(box, replaced)).file
    before, after = play(file), play(file)
    asker(before)("LUT3.FUNC=abracadabra")
    saved = "".join(f"{line}\n" for line in state_lines(before)).encode("latin-1")
    assert [*replay(after, saved)] == []
    assert asker(after)("LUT3.FUNC?") == ("OK =abracadabra",)
    assert asker(play(file))("LUT3.FUNC?") == ("OK =0x00000000",)


def test_attributes_that_are_unknown_or_missing_are_as_they_were_seen():
    box = echo_box()
    replaced: dict[str, Sequence[str] | None] = {
        "TTLIN.TERM.*?": ["!INFO", "!COLOUR", "!HISTORY", "."],
        "TTLIN.VAL.*?": ["!OFFSET", "!INFO", "."],
        "*DESC.TTLIN.TERM.COLOUR?": ["OK =What it looks like"],
        "*ENUMS.TTLIN.TERM.COLOUR?": ["!red", "!blue", "."],
        "*DESC.TTLIN.TERM.HISTORY?": ["OK =What it looked like"],
        "*ENUMS.TTLIN.TERM.HISTORY?": ["ERR Attribute is not an enumeration"],
        "*CHANGES.CONFIG?": None,
        "*CHANGES.READ?": None,
        "*CHANGES.ATTR?": [*(f"!TTLIN{n}.TERM.COLOUR=red" for n in range(1, 7)), "."],
    }
    for number in range(1, 7):
        replaced[f"TTLIN{number}.TERM.COLOUR?"] = ["OK =red"]
        replaced[f"TTLIN{number}.TERM.HISTORY?"] = ["!was blue", "."]
    recording = record(Asked(box, replaced))
    assert set(recording.different) <= {"*CHANGES.ATTR?"}
    ask = asker(play(recording.file))
    assert ask("TTLIN.TERM.*?") == ("!INFO", "!COLOUR", "!HISTORY", ".")
    assert ask("TTLIN.VAL.*?") == ("!OFFSET", "!INFO", ".")
    assert ask("TTLIN3.TERM.COLOUR?") == ("OK =red",)
    assert ask("TTLIN3.TERM.HISTORY?") == ("!was blue", ".")
    assert "!TTLIN3.TERM.COLOUR=red" in ask("*CHANGES.ATTR?")
    assert ask("TTLIN3.TERM.HISTORY=none") == ("ERR Attribute not writeable",)
    assert ask("TTLIN3.TERM.COLOUR=green") == ("ERR Invalid enumeration value",)
    assert ask("TTLIN3.TERM.COLOUR=blue") == ("OK",)
    assert ask("TTLIN3.TERM.COLOUR?") == ("OK =blue",)
    assert ask("*CHANGES.ATTR?") == ("!TTLIN3.TERM.COLOUR=blue", ".")
    assert ask("TTLIN1.VAL.CAPTURE_WORD?") == ("ERR No such attribute",)


def test_identity_and_clock_are_recorded():
    replaced = {
        "*IDN?": ["OK =PandA SW: 4.0-3-gdeadbee FPGA: 4.1.7C2 86e5f0a2 07d202f8 rootfs: Panda 1"],
        "*CLOCK_FREQ?": ["OK =100000000"],
    }
    file = record(Asked(echo_box(version="4.0"), replaced)).file
    assert file.identity == ("4.0-3-gdeadbee", (0x02040107, 0x86E5F0A2, 0x07D202F8), "Panda 1")
    ask = asker(play(file), "Panda 1")
    assert ask("*IDN?") == tuple(replaced["*IDN?"])
    assert ask("*CLOCK_FREQ?") == tuple(replaced["*CLOCK_FREQ?"])


@pytest.mark.parametrize(
    ("query", "reply", "reason"),
    [
        ("*IDN?", ["OK =Toaster"], "box: cannot be played: no PandA calls itself 'Toaster'"),
        ("*IDN?", None, "no PandA calls itself 'nothing'"),
        ("*BLOCKS?", ["ERR Unknown command"], r"\*BLOCKS\? was answered by 'ERR Unknown command'"),
        ("*BLOCKS?", ["!TTLIN", "."], r"\*BLOCKS\? was answered by '!TTLIN .'"),
        ("*BLOCKS?", ["!TTLIN many", "."], r"\*BLOCKS\? was answered by"),
        ("TTLIN.*?", ["!VAL", "."], r"TTLIN\.\*\? was answered by '!VAL .'"),
        ("TTLIN.*?", None, r"TTLIN\.\*\? was answered by 'nothing'"),
        ("TTLIN.VAL.*?", ["OK =x"], r"TTLIN\.VAL\.\*\? was answered by 'OK =x'"),
        ("SEQ1.TABLE.FIELDS?", ["!x", "."], r"SEQ1\.TABLE\.FIELDS\? was answered by '!x .'"),
        ("INENC1.VAL?", ["OK =far"], "cannot be played: invalid literal"),
        ("PCAP.BITS0.BITS?", ["!PCAP.ACTIVE", "!PCAP.ACTIVE", "."], "lists of the bit bus"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(query, reply, reason):
    with pytest.raises(RecordError, match=reason) as refusal:
        record(Asked(echo_box(), {query: reply}))
    assert "\n" not in str(refusal.value)


def test_a_server_that_is_too_old_to_be_simulated_is_refused():
    reply = ["OK =PandA SW: 1.0 FPGA: 0.0.0 00000000 00000000 rootfs: x"]
    with pytest.raises(RecordError, match=r"server version 1\.0 is not simulated"):
        record(Asked(echo_box(), {"*IDN?": reply}))


@pytest.fixture
def exchanges(tmp_path):
    """Write what a box answers as a file of exchanges, asked for first instances only."""
    box = echo_box()
    asker(box)("SFP3_SYNC_IN.POS2.UNITS=" + "µm".encode().decode("latin-1"))
    asker(box)("PULSE3.WIDTH=1.5")
    asked = Asked(box)
    record(asked)
    first = [query for query in asked.queries if query[-1] == "?" and not _later(query)]
    content = [
        {
            "sent": [query.replace("PCAP.", "PCAP1.") if query[0] != "*" else query],
            "received": [line.encode("latin-1").decode() for line in asker(box)(query)],
        }
        for query in [*first, "*CHANGES?"]
    ]
    path = tmp_path / "exchanges.json"
    path.write_text(json.dumps(content), "utf-8")
    return path


def _later(query: str) -> bool:
    return query[0] != "*" and query.partition(".")[0][-1] in "234567890"


def test_a_file_of_exchanges_answers_as_far_as_it_goes(exchanges):
    recording = record(Exchanges(exchanges))
    whole = echo_box()
    asker(whole)("SFP3_SYNC_IN.POS2.UNITS=" + "µm".encode().decode("latin-1"))
    asker(whole)("PULSE3.WIDTH=1.5")
    complete = record(Asked(whole)).file
    assert replace(recording.file, identity=complete.identity) == complete
    assert not [*recording.different, *recording.moving]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        ("[{]", "line 1: is not JSON"),
        ("{}", "is no list of exchanges"),
        ('[{"sent": ["*IDN?"]}]', r"\[0\]: is no object with lines sent and received"),
        ('[{"sent": ["*IDN?"], "received": [1]}]', r"\[0\]: is no object"),
        ("[]", r"\*BLOCKS\? was answered by 'nothing'"),
    ],
)
def test_a_malformed_file_of_exchanges_is_one_line(tmp_path, content, reason):
    path = tmp_path / "exchanges.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RecordError, match=reason) as refusal:
        record(Exchanges(path))
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


def test_a_box_file_is_read_as_it_was_written(tmp_path):
    box = echo_box(EVERY_CLASS)
    asker(box)("*METADATA.A=" + "grün".encode().decode("latin-1"))
    file = recorded(box)
    file = replace(file, description=[*file.description, "# \xff\xfe"])
    path = tmp_path / "box.json"
    path.write_text(file.dumps(), "utf-8")
    assert read_box_file(path) == file
    assert "grün" in path.read_text("utf-8")
