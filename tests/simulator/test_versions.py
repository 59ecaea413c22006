"""Server versions: which features each has, and that box, both ports and CLI follow.

What old servers do was recorded from them (transcripts/README.md).
"""

from __future__ import annotations

import json
import re
import shutil
import struct
from dataclasses import asdict

import pytest

from panda_simulator import cli
from panda_simulator.box import Box
from panda_simulator.builtin import box_directory
from panda_simulator.control import ControlConnection, Facilities
from panda_simulator.data import Acquisition, DataConnection
from panda_simulator.echo import EchoHardware
from panda_simulator.hardware import Completion
from panda_simulator.simulator import Simulator
from panda_simulator.versions import FIRST_VERSIONS, NEWEST, Features, features_of

from .box_files import EVERY_CLASS, TRANSCRIPTS, exchanges, found

NOW_NS = 1_600_000_000_123_456_789


class Rig:
    """A box of some version on hardware that is moved by hand, with both its ports."""

    def __init__(self, version, directory=None, *, hardware_time=None) -> None:
        hardware = EchoHardware()
        hardware.arm = self.arm_hardware
        hardware.disarm = lambda found=Completion.DISARMED: None
        directory = directory or box_directory("pandabox-no-fmc")
        self.box = Box(directory, lambda _: hardware, version=version)
        self.hardware = hardware
        self.hardware_time = hardware_time
        self.entries: list[int] = []
        self.acquisition = Acquisition(
            self.box, later=lambda *_: None, clock=lambda: 0.0, now_ns=lambda: NOW_NS
        )
        self.facilities = Facilities(self.box, self.acquisition, list)
        self.control = self.connect_control()

    def connect_control(self) -> ControlConnection:
        return ControlConnection(self.facilities)

    def arm_hardware(self, entries, sink) -> None:
        self.entries = list(entries)
        sink.started(NOW_NS + 5, self.hardware_time)

    def ask(self, *lines: str) -> list[str]:
        return ask(self.control, *lines)

    def connect(self, options: str) -> DataConnection:
        connection = DataConnection(self.acquisition)
        connection.receive_data(options.encode() + b"\n")
        return connection


def ask(connection: ControlConnection, *lines: str) -> list[str]:
    data = "".join(f"{line}\n" for line in lines).encode("latin-1")
    return connection.receive_data(data).decode("latin-1").split("\n")[:-1]


def fetch(connection: DataConnection) -> bytes:
    data = b""
    while piece := connection.data_to_send():
        data += piece
    return data


def without_times(data: bytes) -> bytes:
    return re.sub(
        rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.](\d+)Z",
        lambda match: b"time with %d digits" % len(match[1]),
        data,
    )


def old_files(directory, *, minimum: bool):
    """Return the box with every class as files of old: no buffers, and maybe a minimum time."""
    shutil.copytree(EVERY_CLASS, directory, dirs_exist_ok=True)
    registers = directory / "registers"
    text = re.sub(r"(long 2\^\d+) \d+( \d+ \d+)\n", r"\1\2\n", registers.read_text())
    if minimum:
        text = text.replace("    T 31 32\n", "    T 31 32 > 1000\n")
    registers.write_text(text)
    return directory


def test_the_newest_version_has_every_feature():
    assert features_of(NEWEST) == Features()
    assert all(asdict(Features()).values())


def test_the_oldest_version_has_none():
    assert not any(asdict(features_of("2.0")).values())


@pytest.mark.parametrize(("name", "first"), FIRST_VERSIONS.items())
def test_a_feature_is_there_from_its_first_version_on(name, first):
    assert getattr(features_of(first), name)
    order = [
        "2.0",
        "2.0.2",
        "2.1",
        "3.0a1",
        "3.0a2",
        "3.0b1",
        "3.0b2",
        "3.0",
        "3.1b1",
        "4.0",
        "4.1",
    ]
    known = [getattr(features_of(version), name) for version in order]
    assert known == sorted(known)


@pytest.mark.parametrize(
    ("version", "like"),
    [
        ("2.0.1", "2.0"),
        ("2.9", "2.1"),
        ("3.0a3", "3.0a2"),
        ("3.0b2", "3.0"),
        ("3.1", "4.0"),
        ("4.0-12-gabc1234-dirty", "4.0"),
        ("4.1-dirty", "4.1"),
        ("10.0", "4.1"),
    ],
)
def test_a_version_between_behaves_like_the_features_it_has(version, like):
    assert features_of(version) == features_of(like)


def test_versions_that_follow_each_other_differ():
    versions = ["2.0", "2.1", "3.0a1", "3.0a2", "3.0b1", "3.0", "3.1b1", "4.1"]
    assert len({features_of(version) for version in versions}) == len(versions)


@pytest.mark.parametrize("version", ["1.1", "2.0a1", "2.0b1", "0.4"])
def test_an_older_version_is_refused_in_one_line(version):
    with pytest.raises(ValueError, match=r"is not simulated: 2\.0 is the oldest") as error:
        Simulator(server_version=version)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "version", ["", "4", "v4.1", "4.1 ", "4.1\n", "four", "4.1c1", "\u0664.1", "4.-1"]
)
def test_a_malformed_version_is_refused_in_one_line(version):
    with pytest.raises(ValueError, match="is malformed: give one like") as error:
        Simulator(server_version=version)
    assert "\n" not in str(error.value)


def test_the_command_line_refuses_a_version_in_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.app(["serve", "--server-version", "1.1"])
    assert stopped.value.code == 1
    assert capsys.readouterr().err == (
        "panda-simulator: server version 1.1 is not simulated: 2.0 is the oldest\n"
    )


@pytest.mark.parametrize("version", ["2.1", "3.0a2", "4.0-12-gabc1234-dirty", "5.0"])
def test_the_version_is_what_the_server_calls_itself(version):
    assert Rig(version).ask("*IDN?")[0].startswith(f"OK =PandA SW: {version} FPGA: ")


@pytest.mark.parametrize("version", ["2.1", "3.0", "4.0"])
def test_a_random_session_goes_like_that_server(version, tmp_path):
    rig = Rig(version, old_files(tmp_path, minimum=version != "4.0"))
    connections = [rig.connect_control() for _ in range(3)]
    count = 0
    for who, sent, received in exchanges(f"server-{version}.session.txt"):
        lines = [json.loads(f'"{line}"') for line in sent]
        answer = ask(connections[int(who)], *lines)
        assert answer == [json.loads(f'"{line}"') for line in received], lines
        count += 1
    assert count > 800


def recorded(version):
    captures = json.loads((TRANSCRIPTS / f"server-{version}.data.json").read_text())
    assert len(captures) == 2
    return captures


@pytest.mark.parametrize("version", ["2.0", "2.1", "3.0", "4.0"])
@pytest.mark.parametrize("which", [0, 1], ids=["hidden count", "captured count"])
def test_every_data_client_gets_what_that_server_sent(version, which):
    recording = recorded(version)[which]
    rig = Rig(version)
    for line in recording["settings"]:
        assert rig.ask(line) == ["OK"]
    clients = {options: rig.connect(options) for options in recording["clients"]}
    got = {options: fetch(client) for options, client in clients.items()}
    assert rig.ask("*PCAP.ARM=") == ["OK"]
    assert rig.entries == recording["entries"]
    got = {options: got[options] + fetch(client) for options, client in clients.items()}
    # whether the header came at once: it has as many bytes as then
    assert {options: len(data) for options, data in got.items()} == recording["before_data"]
    words = len(rig.entries)
    samples = [[k + 256 * n for k in range(words)] for n in range(3)]
    samples.append([0xFFFFFFFF - k for k in range(words)])
    rig.acquisition.samples(b"".join(struct.pack(f"<{words}I", *row) for row in samples))
    rig.acquisition.ended(Completion.OK)
    for options, client in clients.items():
        data = without_times(got[options] + fetch(client))
        assert data == without_times(recording["clients"][options].encode("latin-1")), options


def test_a_2_0_server_cuts_raw_blocks_into_frames_as_a_real_box_did():
    rig = Rig("2.0")
    for line in (
        "PCAP.BITS2.CAPTURE=Value", "PCAP.TS_START.CAPTURE=Value", "COUNTER3.OUT.CAPTURE=Value",
        "COUNTER1.OUT.CAPTURE=Min Max Mean", "COUNTER2.OUT.CAPTURE=Mean",
        *(f"COUNTER{number}.OUT.UNITS=" for number in (1, 2, 3)),
    ):  # fmt: skip
        assert rig.ask(line) == ["OK"]
    client = rig.connect("XML FRAMED RAW")
    fetch(client)
    assert rig.ask("*PCAP.ARM=") == ["OK"]
    assert fetch(client).decode() == (
        "<header>\n"
        '<data missed="0" process="Raw" format="Framed" sample_bytes="44" />\n'
        "<fields>\n"
        '<field name="PCAP.BITS2" type="uint32" capture="Value" />\n'
        '<field name="COUNTER1.OUT" type="int32" capture="Min" scale="1" offset="0" units="" />\n'
        '<field name="COUNTER1.OUT" type="int32" capture="Max" scale="1" offset="0" units="" />\n'
        '<field name="COUNTER3.OUT" type="int32" capture="Value" scale="1" offset="0" units=""'
        " />\n"
        '<field name="PCAP.TS_START" type="int64" capture="Value" scale="8e-09" offset="0"'
        ' units="s" />\n'
        '<field name="COUNTER1.OUT" type="int64" capture="Mean" scale="1" offset="0" units="" />\n'
        '<field name="COUNTER2.OUT" type="int64" capture="Mean" scale="1" offset="0" units="" />\n'
        "</fields>\n"
        "</header>\n\n"
    )
    rig.acquisition.samples(bytes(44 * 10_000))
    rig.acquisition.ended(Completion.DISARMED)
    data = fetch(client)
    frames = list[int]()
    while data.startswith(b"BIN "):
        frames.append(struct.unpack("<I", data[4:8])[0])
        data = data[frames[-1] :]
    assert frames == [65524, 65524, 65524, 65524, 52, 65524, 65524, 46868]
    assert data == b"END 10000 Disarmed\n"


def header_of(version, *, hardware_time=None):
    rig = Rig(version, hardware_time=hardware_time)
    rig.ask("COUNTER1.OUT.CAPTURE=Value")
    client = rig.connect("")
    fetch(client)
    rig.ask("*PCAP.ARM=")
    rig.acquisition.samples(bytes(4))
    return fetch(client).decode()


def test_times_in_a_header_are_none_then_of_milliseconds_then_of_nanoseconds():
    def times(version):
        return re.findall(r"(\w+_time): \S+[.](\d+)Z", header_of(version))

    assert times("2.1") == []
    assert times("3.0a1") == [("arm_time", "123")]
    assert times("3.0") == [("arm_time", "123"), ("start_time", "123")]
    assert times("4.0") == [("arm_time", "123456789"), ("start_time", "123456794")]


@pytest.mark.parametrize(
    ("version", "start", "offset"),
    [("3.0", "123", None), ("4.0", "123457789", "-995"), ("4.1", "123457789", "-995")],
)
def test_the_hardware_s_own_time_is_used_since_3_1(version, start, offset):
    header = header_of(version, hardware_time=NOW_NS + 1000)
    match = re.search("start_time: .*[.](.*)Z\n(?:hw_time_offset_ns: (.*)\n)?missed", header)
    assert match
    assert match.groups() == (start, offset)


def test_an_acquisition_without_a_start_shows_1970_in_3_0_and_the_last_start_since():
    def start_time(version):
        rig = Rig(version)
        rig.ask("COUNTER1.OUT.CAPTURE=Value", "*PCAP.ARM=")
        rig.acquisition.ended(Completion.OK)
        rig.hardware.arm = lambda entries, sink: None
        client = rig.connect("")
        fetch(client)
        rig.ask("*PCAP.ARM=")
        rig.acquisition.ended(Completion.DISARMED)
        data = fetch(client).decode()
        assert data.endswith("END 0 Disarmed\n")
        return found(r"start_time: (\d+)", data)[1]

    assert start_time("3.0") == "1970"
    assert start_time("4.1") == "2020"


@pytest.mark.parametrize(("version", "size"), [("2.0", 1 << 18), ("2.1", 1 << 21)])
def test_a_block_of_the_ring_grew_in_2_1(version, size):
    rig = Rig(version)
    rig.ask("COUNTER1.OUT.CAPTURE=Value", "*PCAP.ARM=")
    rig.acquisition.samples(bytes(2 * size))
    ring = rig.acquisition.ring
    assert [len(ring.block(number)[1]) for number in range(ring.written)] == [size, size]


def test_defaults_reach_the_hardware_of_a_2_0_server_only():
    def register(version):
        return Rig(version, EVERY_CLASS).hardware.read_register("ALL", 2, "PU")

    assert (register("2.0"), register("2.1"), register("4.1")) == (5, 0, 0)


def test_a_failed_extension_reads_as_0_on_a_2_0_server():
    assert Rig("2.0", EVERY_CLASS).ask("NOHW.E1?") == ["OK =0"]
    assert Rig("2.1", EVERY_CLASS).ask("NOHW.E1?") == ["ERR Extension server exception"]


def test_an_extension_that_refuses_a_value_is_not_noticed_on_a_2_0_server(tmp_path):
    shutil.copytree(EVERY_CLASS, tmp_path, dirs_exist_ok=True)
    registers = tmp_path / "registers"
    registers.write_text(registers.read_text().replace("    E2 5\n", "    E2 X in_temp0\n"))
    lines = ("NOHW.E2=3", "NOHW.E2?")
    assert Rig("2.0", tmp_path).ask(*lines) == ["OK", "OK =3"]
    assert Rig("2.1", tmp_path).ask(*lines) == ["ERR Extension server exception", "OK =0"]


def test_a_scalar_below_zero_is_misread_before_3_0():
    def reading(version):
        rig = Rig(version, EVERY_CLASS)
        rig.hardware.write_register("ALL", 1, "RS", 0xFFFFFFFF)
        return rig.ask("ALL1.RS?", "ALL1.RS.RAW?")

    assert reading("3.0a3") == ["OK =8589934591", "OK =-1"]
    assert reading("3.0b1") == ["OK =-1", "OK =-1"]


def test_times_have_a_minimum_up_to_3_0(tmp_path):
    files = old_files(tmp_path, minimum=True)
    lines = ("ALL1.T.MIN?", "ALL1.T=8e-6", "ALL1.T.RAW=1000", "ALL1.T.RAW=1001", "ALL1.T=0")
    refused = "ERR Value too small"
    assert Rig("3.0", files).ask(*lines) == ["OK =8.008e-06", refused, refused, "OK", "OK"]
    assert Rig("4.0", files).ask(*lines) == ["ERR No such attribute", "OK", "OK", "OK", "OK"]
    assert Rig("3.0", EVERY_CLASS).ask(*lines) == ["OK =8e-09", "OK", "OK", "OK", "OK"]


def test_half_a_tick_was_rounded_otherwise_when_the_clock_was_a_constant():
    lines = ("PULSE1.DELAY.UNITS=us", "PULSE1.DELAY=0.092", "PULSE1.DELAY.RAW?")
    assert Rig("3.0b1").ask(*lines)[-1] == "OK =12"
    assert Rig("3.0").ask(*lines)[-1] == "OK =11"


def test_two_angles_append_to_a_table_before_4_1():
    rig = Rig("4.0")
    append = ("SEQ1.TABLE<<", "1 2 3 4", "")
    for length in ("4", "8"):
        assert rig.ask(*append) == ["OK"]
        assert rig.ask("SEQ1.TABLE.LENGTH?") == [f"OK ={length}"]
    assert rig.ask("SEQ1.TABLE?") == ["!1", "!2", "!3", "!4"] * 2 + ["."]
    assert rig.ask("SEQ1.TABLE<<", "1 2 3", "") == ["ERR Table write is not a whole number of rows"]
    assert rig.ask("SEQ1.TABLE<<", "") == ["OK"]
    assert rig.ask("SEQ1.TABLE.LENGTH?", "SEQ1.TABLE.MODE?") == ["OK =8", "ERR No such attribute"]
    assert rig.ask("SEQ1.TABLE<", "9 9 9 9", "") == ["OK"]
    assert rig.ask("SEQ1.TABLE.LENGTH?") == ["OK =4"]


def test_appending_beyond_the_capacity_changes_nothing():
    rig = Rig("4.0", EVERY_CLASS)
    lines = [" ".join("1" for _ in range(12)), ""]
    assert rig.ask("ALL1.TS<<", *lines) == ["OK"]
    assert rig.ask("ALL1.TS<<", *lines) == ["ERR Too many points for table"]
    assert rig.ask("ALL1.TS<<B", "AAAA" * 8, "") == ["ERR Input string too long for output buffer"]
    assert rig.ask("ALL1.TS.LENGTH?") == ["OK =12"]


def test_bare_was_unscaled():
    bare = "COUNTER1.OUT.CAPTURE=Mean"

    def sent(version):
        rig = Rig(version)
        rig.ask(bare)
        client = rig.connect("BARE")
        fetch(client)
        rig.ask("*PCAP.ARM=")
        rig.acquisition.samples(struct.pack("<Iq", 4, -10))
        return fetch(client)

    assert sent("3.0a1") == struct.pack("<i", -2)
    assert sent("3.0a2") == struct.pack("<Iq", 4, -10)


@pytest.mark.parametrize("option", ["Value Diff", "StdDev", "", "Min  Max"])
def test_capture_was_one_of_nine_choices(option):
    line = f"COUNTER1.OUT.CAPTURE={option}"
    assert Rig("3.0a1").ask(line) == ["ERR Invalid capture option"]
    assert Rig("3.0a2").ask(line) == ["OK"]


def test_as_many_words_as_one_likes_could_be_captured():
    def answer(version):
        rig = Rig(version)
        names = [name[1:] for name in rig.ask("*POSITIONS?")[:-1]]
        for name in names[:17]:
            rig.ask(f"{name}.CAPTURE=Min Max Mean")
        return rig.ask("*PCAP.ARM=")

    assert answer("2.1") == ["OK"]
    assert answer("3.0a2") == ["ERR Too many captures for PCAP"]
