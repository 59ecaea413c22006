"""The data port without sockets: what nine clients of the reference got, byte for byte."""

from __future__ import annotations

import math
import re
import struct

import numpy as np
import pytest

from panda_simulator.box import CommandError
from panda_simulator.data import Acquisition, DataConnection
from panda_simulator.data.acquisition import completion_text
from panda_simulator.data.convert import standard_deviation
from panda_simulator.data.header import format_time
from panda_simulator.data.ring import BLOCK_BYTES
from panda_simulator.hardware import Completion

from .box_files import TRANSCRIPTS, echo_box, found

RECORDINGS = {
    "ascii_raw": "RAW",
    "ascii_scaled": "",
    "bare": "BARE",
    "base64_raw": "BASE64 RAW",
    "text_framed_scaled": "FRAMED",
    "unframed": "UNFRAMED NO_STATUS ONE_SHOT",
    "xml_base64_scaled": "XML BASE64",
    "xml_framed_raw": "XML FRAMED RAW",
    "xml_framed_scaled": "XML FRAMED SCALED",
}
SETTINGS = {
    "INENC1.VAL": {
        "CAPTURE": "Value Diff Sum Min Max Mean", "SCALE": "0.5", "OFFSET": "10", "UNITS": "mm",
    },
    "COUNTER1.OUT": {"CAPTURE": "Min Max Mean"},
    "COUNTER2.OUT": {"CAPTURE": "Value"},
    "PCAP.TS_TRIG": {"CAPTURE": "Value"},
    "PCAP.TS_START": {"CAPTURE": "Value"},
    "PCAP.BITS0": {"CAPTURE": "Value"},
    "PCAP.BITS2": {"CAPTURE": "Value"},
}  # fmt: skip


class Rig:
    """An acquisition whose hardware, clock and timers are moved by hand."""

    def __init__(self, settings: dict[str, dict[str, str]]) -> None:
        self.box = echo_box()
        self.now = 0.0
        self.timers = []
        self.entries: list[int] = []
        self.disarmed = False
        self.box.hardware.arm = self.arm_hardware
        self.box.hardware.disarm = self.disarm_hardware
        self.acquisition = Acquisition(
            self.box,
            later=lambda delay, function: self.timers.append((self.now + delay, function)),
            clock=lambda: self.now,
            now_ns=lambda: 1_600_000_000_123_456_789,
        )
        self.set(settings)

    def set(self, settings: dict[str, dict[str, str]]) -> None:
        for name, attributes in settings.items():
            block, _, rest = name.partition(".")
            field = self.box.block(block.rstrip("0123456789")).field(rest)
            number = int(block[len(block.rstrip("0123456789")) :] or 1) - 1
            for key, value in attributes.items():
                field.write_attribute(field.attribute(key), number, value)

    def arm_hardware(self, entries, sink) -> None:
        self.entries = list(entries)

    def disarm_hardware(self, found: Completion = Completion.DISARMED) -> None:
        self.disarmed = True

    def connect(self, options: str) -> DataConnection:
        connection = DataConnection(self.acquisition)
        connection.receive_data(options.encode() + b"\n")
        return connection

    def counting(self, first: int, count: int) -> bytes:
        words = np.arange(len(self.entries)) + 256 * np.arange(first, first + count)[:, None]
        return words.astype("<u4").tobytes()

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        due = [timer for timer in self.timers if timer[0] <= self.now]
        self.timers = [timer for timer in self.timers if timer[0] > self.now]
        for _, function in due:
            function()


def fetch(connection: DataConnection) -> bytes:
    data = b""
    while piece := connection.data_to_send():
        data += piece
    return data


def recorded(mode: str) -> bytes:
    return (TRANSCRIPTS / f"pandabox-no-fmc.{mode}.bin").read_bytes()


def nanoseconds(stamp: bytes) -> int:
    whole, _, rest = stamp.decode().rstrip("Z").partition(".")
    return int(np.datetime64(whole, "s").astype(int)) * 10**9 + int(rest)


def test_all_recordings_are_reproduced_from_the_same_samples():
    rig = Rig(SETTINGS)
    arm_time, start_time = re.findall(rb"20\S{17}\.\d{9}Z", recorded("ascii_raw"))[:2]
    clients = {mode: rig.connect(options) for mode, options in RECORDINGS.items()}
    received = {mode: fetch(client) for mode, client in clients.items()}
    rig.acquisition._now_ns = lambda: nanoseconds(arm_time)
    rig.acquisition.arm()
    rig.acquisition.started(nanoseconds(start_time), None)
    samples = len(recorded("bare")) // (4 * len(rig.entries))
    for number in range(samples):
        rig.acquisition.samples(rig.counting(number, 1))
        for mode, client in clients.items():
            received[mode] += fetch(client)
        rig.pass_time(0.1)
    rig.acquisition.ended(Completion.OK)
    for mode, client in clients.items():
        assert received[mode] + fetch(client) == recorded(mode), mode
        assert client.closed == ("ONE_SHOT" in RECORDINGS[mode] or mode == "bare")


def test_the_option_line_is_taken_however_it_is_split():
    rig = Rig({})
    connection = DataConnection(rig.acquisition)
    for byte in b"XML FRAMED":
        connection.receive_data(bytes([byte]))
        assert connection.data_to_send() == b""
    assert rig.acquisition.status == "Idle 0 0"
    connection.receive_data(b"\nnoise\n" * 3)
    assert connection.data_to_send() == b"OK\n"
    assert rig.acquisition.status == "Idle 1 0"
    connection.close()
    assert rig.acquisition.status == "Idle 0 0"


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"UNSCALED\n", b"ERR Invalid data capture option\n"),
        (b"NO_STATUS \n", b"ERR No name found\n"),
        (b"XML\r\n", b"ERR Cannot process CR character\n"),
        (b"x" * 1023, b""),
    ],
)
def test_a_bad_option_line_ends_the_connection(line, reply):
    connection = DataConnection(Rig({}).acquisition)
    connection.receive_data(line)
    assert fetch(connection) == reply
    assert connection.closed


def test_who_leaves_before_the_option_line_gets_nothing():
    connection = DataConnection(Rig({}).acquisition)
    connection.receive_data(b"XML")
    connection.receive_eof()
    assert fetch(connection) == b""
    assert connection.closed


def test_an_acquisition_without_samples_has_header_and_end():
    rig = Rig({"PCAP.BITS0": {"CAPTURE": "Value"}})
    client = rig.connect("")
    assert fetch(client) == b"OK\n"
    rig.acquisition.arm()
    assert fetch(client) == b""
    assert rig.acquisition.status == "Busy 1 1"
    assert rig.acquisition.completion == "Busy"
    rig.acquisition.disarm()
    assert rig.disarmed
    rig.acquisition.ended(Completion.DISARMED)
    data = fetch(client)
    assert b"\nstart_time: 1970-01-01T00:00:00.000000000Z\n" in data
    assert data.endswith(b"fields:\n PCAP.BITS0 uint32 Value\n\nEND 0 Disarmed\n")
    assert rig.acquisition.status == "Idle 1 0"
    assert rig.acquisition.completion == "Disarmed"


def test_disarming_when_idle_is_not_passed_on():
    rig = Rig({})
    rig.acquisition.disarm()
    assert not rig.disarmed


def test_arming_fails_for_the_reasons_of_the_server():
    rig = Rig({})
    with pytest.raises(CommandError, match=r"^Nothing configured for capture$"):
        rig.acquisition.arm()
    rig.set({"PCAP.BITS0": {"CAPTURE": "Value"}})
    client = rig.connect("")
    fetch(client)
    rig.acquisition.arm()
    with pytest.raises(CommandError, match=r"^Data capture already in progress$"):
        rig.acquisition.arm()
    rig.acquisition.ended(Completion.OK)
    with pytest.raises(CommandError, match=r"^Unexpected error at "):
        rig.acquisition.arm()
    fetch(client)
    rig.acquisition.arm()


def test_hardware_that_cannot_be_armed_says_why():
    rig = Rig({"PCAP.BITS0": {"CAPTURE": "Value"}})

    def refuse(entries, sink):
        raise RuntimeError("this box has no PCAP")

    rig.box.hardware.arm = refuse
    with pytest.raises(CommandError, match=r"^this box has no PCAP$"):
        rig.acquisition.arm()
    assert rig.acquisition.status == "Idle 0 0"
    assert rig.acquisition.completion == "Ok"


def test_a_sample_has_63_words_at_most():
    every = "Value Diff Sum Min Max Mean"
    settings = {f"COUNTER{n}.OUT": {"CAPTURE": every} for n in range(1, 8)}
    settings["COUNTER8.OUT"] = {"CAPTURE": "Value Diff Min Max"}
    rig = Rig(settings)
    settings["COUNTER8.OUT"] = {"CAPTURE": "Sum Mean Value Diff Min Max"}
    rig.set(settings)
    with pytest.raises(CommandError, match=r"^Too many captures for PCAP$"):
        rig.acquisition.arm()
    rig.set({"COUNTER8.OUT": {"CAPTURE": "Value Diff Min Max Sum"}})
    rig.acquisition.arm()
    assert len(rig.entries) == 63


def test_the_capture_list_has_the_entries_of_the_columns_in_their_order():
    rig = Rig(
        {
            "COUNTER1.OUT": {"CAPTURE": "Value StdDev"},
            "INENC1.VAL": {"CAPTURE": "Mean Sum"},
            "PCAP.BITS0": {"CAPTURE": "Value"},
            "PCAP.TS_TRIG": {"CAPTURE": "Value"},
        }
    )
    rig.acquisition.arm()
    assert rig.entries == [
        0x260, 0x270, 0x60, 0x02, 0x03, 0x240, 0x250, 0x02, 0x03, 0x62, 0x63, 0x66, 0x67, 0x68,
    ]  # fmt: skip


def test_a_standard_deviation_brings_its_mean_when_wanted():
    rig = Rig(
        {
            "PCAP.GATE_DURATION": {"CAPTURE": "Value"},
            "INENC1.VAL": {"CAPTURE": "StdDev Mean", "SCALE": "0.5", "OFFSET": "10"},
            "INENC2.VAL": {"CAPTURE": "StdDev"},
        }
    )
    raw, text = rig.connect("RAW NO_STATUS"), rig.connect("NO_STATUS")
    fetch(raw)
    fetch(text)
    rig.acquisition.arm()
    rig.acquisition.started(0, None)
    rig.acquisition.samples(struct.pack("<11I", 4, 12, 0, 50, 0, 0, 12, 0, 50, 0, 0))
    rig.acquisition.ended(Completion.OK)
    names = re.findall(rb"^ (\S+ \S+ \S+) scale", fetch(raw), re.MULTILINE)
    assert names == [
        b"PCAP.GATE_DURATION int32 Value",
        b"INENC1.VAL int64 Mean",
        b"INENC1.VAL int96 StdDev",
        b"INENC2.VAL int64 Mean",
        b"INENC2.VAL int96 StdDev",
    ]
    assert fetch(text).endswith(b"\n 3.2e-08 11.5 0.9354143467 1.870828693\n")


def test_a_mean_of_nothing_is_no_number():
    rig = Rig({"COUNTER1.OUT": {"CAPTURE": "Mean"}})
    client = rig.connect("FRAMED NO_HEADER")
    fetch(client)
    rig.acquisition.arm()
    rig.acquisition.started(0, None)
    rig.acquisition.samples(struct.pack("<3I", 0, 5, 0))
    rig.acquisition.ended(Completion.OK)
    assert fetch(client) == b"BIN \x10\0\0\0" + bytes.fromhex("000000000000f87f") + b"END 1 Ok\n"


@pytest.mark.parametrize(
    ("count", "total", "squares", "deviation"),
    [(4, 12, 50, 1.8708286933869707), (4, -12, 50, 1.8708286933869707), (1, 7, 49, 0.0)],
)
def test_the_standard_deviation_is_that_of_the_population(count, total, squares, deviation):
    assert standard_deviation(count, total, squares) == deviation


def test_a_standard_deviation_that_cannot_be_is_no_number():
    assert math.isnan(standard_deviation(0, 1, 1))
    assert math.isnan(standard_deviation(1, 1 << 32, 1))
    assert math.isnan(standard_deviation(2, 1, 0))


def test_units_are_cut_and_escaped_in_a_header():
    rig = Rig({"INENC1.VAL": {"CAPTURE": "Value", "UNITS": "<&>\"'" + "x" * 40}})
    client = rig.connect("XML")
    fetch(client)
    rig.acquisition.arm()
    rig.acquisition.started(0, None)
    expected = b'units="&lt;&amp;&gt;&quot;&apos;' + b"x" * 26 + b'" />'
    assert expected in fetch(client)


def test_settings_changed_after_arming_do_not_matter():
    rig = Rig({"INENC1.VAL": {"CAPTURE": "Value", "SCALE": "2"}})
    client = rig.connect("")
    fetch(client)
    rig.acquisition.arm()
    rig.set({"INENC1.VAL": {"CAPTURE": "No", "SCALE": "3"}})
    rig.acquisition.started(0, None)
    assert b"INENC1.VAL double Value scale: 2 offset" in fetch(client)


def test_a_hardware_time_goes_before_the_time_of_the_system():
    rig = Rig({"INENC1.VAL": {"CAPTURE": "Value"}})
    client = rig.connect("")
    fetch(client)
    rig.acquisition.arm()
    rig.acquisition.started(1_000_000_005, 2_000_000_007)
    header = fetch(client)
    assert b"start_time: 1970-01-01T00:00:02.000000007Z\nhw_time_offset_ns: -1000000002\n" in header
    assert format_time(0) == "1970-01-01T00:00:00.000000000Z"


def test_words_go_out_every_100_ms_or_when_a_block_is_full():
    rig = Rig({"PCAP.BITS0": {"CAPTURE": "Value"}, "PCAP.BITS1": {"CAPTURE": "Value"},
               "PCAP.BITS2": {"CAPTURE": "Value"}})  # fmt: skip
    client = rig.connect("FRAMED RAW NO_HEADER")
    fetch(client)
    rig.acquisition.arm()
    rig.now = 10.0
    rig.acquisition.started(0, None)
    rig.acquisition.samples(bytes(12))
    assert fetch(client) == b"BIN \x14\0\0\0" + bytes(12)
    rig.acquisition.samples(bytes(24))
    rig.acquisition.samples(bytes(12))
    assert fetch(client) == b""
    assert rig.acquisition.captured == 1
    rig.pass_time(0.1)
    assert fetch(client) == b"BIN \x2c\0\0\0" + bytes(36)
    assert rig.acquisition.captured == 4
    rig.acquisition.samples(bytes(12 * (BLOCK_BYTES // 12 + 1)))
    frame = fetch(client)
    assert len(frame) == 8 + BLOCK_BYTES // 12 * 12
    rig.acquisition.ended(Completion.OK)
    assert fetch(client).endswith(b"END %d Ok\n" % (BLOCK_BYTES // 12 + 5))


def test_scaled_frames_have_65536_bytes_at_most():
    rig = Rig({"INENC1.VAL": {"CAPTURE": "Value"}})
    client = rig.connect("FRAMED NO_HEADER")
    fetch(client)
    rig.acquisition.arm()
    rig.acquisition.started(0, None)
    rig.acquisition.samples(bytes(4 * 10_000))
    rig.acquisition.ended(Completion.OK)
    lengths = []
    while (piece := client.data_to_send()).startswith(b"BIN "):
        lengths.append(struct.unpack("<I", piece[4:8])[0])
        assert len(piece) == lengths[-1]
    assert lengths == [65536, 14480]
    assert piece == b"END 10000 Ok\n"


def test_a_late_client_misses_whole_samples_and_starts_with_one():
    rig = Rig({"PCAP.BITS0": {"CAPTURE": "Value"}, "PCAP.BITS1": {"CAPTURE": "Value"}})
    rig.acquisition.arm()
    rig.now = 1.0
    rig.acquisition.started(0, None)
    ring = rig.acquisition.ring
    for number in range(200):
        ring.write(struct.pack("<I", number))
    client = rig.connect("RAW")
    data = fetch(client)
    rig.acquisition.ended(Completion.OK)
    data += fetch(client)
    # 105 words are lost, and the next one is half of a sample
    first = found(rb"\n\n 0x(\S+) 0x(\S+)\n", data)
    assert b"missed: 53\n" in data
    assert (int(first[1], 16), int(first[2], 16)) == (106, 107)
    assert data.endswith(b"END 47 Ok\n")


def test_a_slow_client_is_overrun_and_gets_the_next_acquisition():
    rig = Rig({"PCAP.BITS0": {"CAPTURE": "Value"}})
    client = rig.connect("RAW NO_HEADER")
    fetch(client)
    rig.acquisition.arm()
    rig.acquisition.started(0, None)
    rig.acquisition.ring.write(bytes(4))
    assert client.data_to_send() == b" 0x00000000\n"
    for _ in range(200):
        rig.acquisition.ring.write(bytes(4))
    assert fetch(client) == b"END 1 Data overrun\n"
    assert rig.acquisition.status == "Busy 1 0"
    rig.acquisition.ended(Completion.OK)
    rig.acquisition.arm()
    rig.acquisition.started(0, None)
    rig.acquisition.ended(Completion.OK)
    assert fetch(client) == b"END 0 Ok\n"


def test_a_client_that_half_closes_is_told_if_an_acquisition_runs():
    rig = Rig({"PCAP.BITS0": {"CAPTURE": "Value"}})
    client, idle = rig.connect("RAW NO_HEADER"), rig.connect("")
    fetch(client)
    fetch(idle)
    idle.receive_eof()
    assert fetch(idle) == b""
    assert idle.closed
    rig.acquisition.arm()
    rig.acquisition.started(0, None)
    assert fetch(client) == b""
    client.receive_eof()
    assert fetch(client) == b"END 0 Early disconnect\n"
    assert client.closed
    assert rig.acquisition.status == "Busy 0 0"


def test_a_client_that_comes_while_another_drains_gets_everything():
    rig = Rig({"PCAP.BITS0": {"CAPTURE": "Value"}})
    slow = rig.connect("RAW NO_HEADER")
    fetch(slow)
    rig.acquisition.arm()
    rig.acquisition.started(0, None)
    rig.acquisition.samples(struct.pack("<I", 7))
    rig.acquisition.ended(Completion.OK)
    assert rig.acquisition.status == "Busy 1 1"
    late = rig.connect("RAW NO_HEADER")
    assert fetch(late) == b"OK\n 0x00000007\nEND 1 Ok\n"
    slow.close()
    assert rig.acquisition.status == "Idle 1 0"


def test_the_worst_completion_is_reported():
    everything = Completion.DISARMED | Completion.FRAMING_ERROR | Completion.DMA_ERROR
    assert completion_text(everything) == "DMA data error"
    assert completion_text(Completion.FRAMING_ERROR | Completion.DISARMED) == "Framing error"
    assert completion_text(Completion.DRIVER_OVERRUN) == "Driver data overrun"
    assert completion_text(64) == "Unexpected completion error"
    assert completion_text(0) == "Ok"
