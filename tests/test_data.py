"""The data grammar: acquisitions come out the same however the bytes are cut."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd import data
from panda_ophyd.data import (
    CapturedField,
    CaptureEnd,
    CaptureStart,
    DataProtocol,
    Payload,
)
from panda_ophyd.errors import CommandError, FieldValueError, ProtocolError

TRANSCRIPTS = Path(__file__).parent / "transcripts"
RAW = "XML FRAMED RAW"
SCALED = "XML FRAMED SCALED"

FIELD = '<field name="COUNTER1.OUT" type="int32" capture="Value" scale="1" offset="0" units="" />'
HEADER = (
    '<header>\n<data missed="0" process="Raw" format="Framed" sample_bytes="4" />\n'
    f"<fields>\n{FIELD}\n</fields>\n</header>\n\n"
).encode()


@dataclass
class Frame:
    """Payloads that came together, glued at the frame's end."""

    payload: bytes


DataEvent = CaptureStart | Frame | CaptureEnd


class Fed(DataProtocol):
    """Bytes in, whole frames out, as a caller would have it who has the bytes already.

    Args:
        room: bytes that there is room for at a time.
    """

    def __init__(self, options: str = RAW, room: int = 64) -> None:
        super().__init__(options)
        self.room = memoryview(bytearray(room))
        self.frame = b""

    def receive_data(self, data: bytes | memoryview) -> list[DataEvent]:
        """Return the events that these bytes complete, oldest first; then raise the offence."""
        if self.error:
            raise self.error
        events: list[DataEvent] = []
        left = memoryview(data)
        try:
            self.take_events(events)
            while left:
                count = 0
                for buffer in self.buffers(self.room):
                    size = min(len(buffer), len(left))
                    buffer[:size] = left[:size]
                    left = left[size:]
                    count += size
                self.received(count)
                self.take_events(events)
        except (ProtocolError, CommandError):
            if not events:
                raise
        return events

    def take_events(self, events: list[DataEvent]) -> None:
        while event := self.next_event(self.room):
            if not isinstance(event, Payload):
                events.append(event)
                continue
            self.frame += bytes(self.room[: event.size])
            if not self._left:
                events.append(Frame(self.frame))
                self.frame = b""


def framed(payload: bytes) -> bytes:
    return b"BIN " + (len(payload) + 8).to_bytes(4, "little") + payload


def accepted(options: str = RAW) -> Fed:
    protocol = Fed(options)
    assert protocol.receive_data(b"OK\n") == []
    return protocol


def started(header: bytes = HEADER) -> Fed:
    protocol = accepted()
    [start] = protocol.receive_data(header)
    assert isinstance(start, CaptureStart)
    return protocol


def parsed(header: str, options: str = RAW) -> CaptureStart:
    protocol = accepted(options)
    [start] = protocol.receive_data(header.encode("utf-8", "surrogateescape"))
    assert isinstance(start, CaptureStart)
    return start


def byte_by_byte(protocol: Fed, wire: bytes) -> list[DataEvent]:
    return [event for byte in wire for event in protocol.receive_data(bytes([byte]))]


@pytest.mark.parametrize(
    ("name", "options", "columns", "sample_bytes", "frames", "end"),
    [
        ("pandabox-no-fmc.xml_framed_raw", RAW, 15, 80, [80] * 12, CaptureEnd(12, "Ok")),
        ("pandabox-no-fmc.xml_framed_scaled", SCALED, 14, 104, None, CaptureEnd(12, "Ok")),
        (
            "hardware-2x.fast_dump",
            SCALED,
            7,
            52,
            [520, 572, 520, 520, 520, 364],
            CaptureEnd(58, "Disarmed"),
        ),
        ("hardware-2x.slow_dump", SCALED, 7, 52, [52] * 5, CaptureEnd(5, "Disarmed")),
        ("hardware-2x.raw_dump_cut", RAW, 8, 44, [880, 44], CaptureEnd(21, "Disarmed")),
    ],
)
def test_recordings_are_read_whole_byte_by_byte_and_twice_in_a_row(
    name: str,
    options: str,
    columns: int,
    sample_bytes: int,
    frames: list[int] | None,
    end: CaptureEnd,
) -> None:
    wire = (TRANSCRIPTS / f"{name}.bin").read_bytes()
    events = Fed(options).receive_data(wire)
    start, *middle, last = events
    assert isinstance(start, CaptureStart)
    assert (len(start.fields), start.sample_bytes, start.missed) == (columns, sample_bytes, 0)
    sizes = [len(event.payload) for event in middle if isinstance(event, Frame)]
    assert len(sizes) == len(middle)
    assert frames is None or sizes == frames
    assert sum(sizes) == end.samples * sample_bytes
    assert last == end

    assert byte_by_byte(Fed(options), wire) == events
    protocol = Fed(options)
    again = wire.removeprefix(b"OK\n")
    assert protocol.receive_data(memoryview(wire + again)) == events * 2
    protocol.receive_eof()


def test_the_recorded_header_is_read_in_full() -> None:
    wire = (TRANSCRIPTS / "pandabox-no-fmc.xml_framed_raw.bin").read_bytes()
    start = Fed(RAW).receive_data(wire)[0]
    assert isinstance(start, CaptureStart)
    assert (start.process, start.format) == ("Raw", "Framed")
    assert start.arm_time == "2026-11-22T08:35:00.082121845Z"
    assert start.start_time == "2026-11-22T08:35:00.087153321Z"
    assert start.hw_time_offset_ns is None
    assert start.fields[0] == CapturedField(
        "PCAP.GATE_DURATION", "int32", "Value", 8e-9, 0.0, "s", scaled=True
    )
    assert start.fields[1] == CapturedField(
        "PCAP.BITS0", "uint32", "Value", 1.0, 0.0, "", scaled=False
    )
    assert start.fields[3] == CapturedField(
        "INENC1.VAL", "int32", "Value", 0.5, 10.0, "mm", scaled=True
    )
    assert start.fields[7].units == ""  # "(null)" on the wire: nobody ever set them


def test_a_2x_server_says_less_in_its_header() -> None:
    wire = (TRANSCRIPTS / "hardware-2x.slow_dump.bin").read_bytes()
    start = Fed(SCALED).receive_data(wire)[0]
    assert isinstance(start, CaptureStart)
    assert (start.arm_time, start.start_time, start.hw_time_offset_ns) == (None, None, None)


@pytest.mark.parametrize("options", [RAW, SCALED])
def test_the_option_line_is_what_the_server_wants_first(options: str) -> None:
    assert Fed(options).option_line == options.encode() + b"\n"


def test_options_of_another_grammar_are_refused() -> None:
    with pytest.raises(FieldValueError, match=r"data port options cannot be 'ASCII SCALED'"):
        Fed("ASCII SCALED")


def test_the_protocol_is_ready_after_the_server_said_ok() -> None:
    protocol = Fed()
    protocol.receive_data(b"O")
    assert not protocol.accepted()
    protocol.receive_data(b"K\n")
    assert protocol.accepted()


def test_refused_options_are_the_servers_error() -> None:
    protocol = Fed()
    with pytest.raises(CommandError, match=r"XML FRAMED RAW refused .*: Invalid data capture"):
        protocol.receive_data(b"ERR Invalid data capture option\n")
    with pytest.raises(CommandError):
        protocol.accepted()


@pytest.mark.parametrize("answer", [b"OK =1\n", b"SSH-2.0-OpenSSH\r\n", b"\n", b"x" * 1024])
def test_an_answer_that_is_neither_ok_nor_err_is_an_offence(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        Fed().receive_data(answer)


@pytest.mark.parametrize(
    ("on_wire", "units"),
    [
        ("mm", "mm"),
        ("", ""),
        ("(null)", ""),
        ("&lt;&amp;&gt;&quot;&apos;", "<&>\"'"),
        ("µm", "µm"),
        ("a\x01b\x00c\x1f", "a�b�c�"),
        ("cut \udcc2", "cut �"),
        ("￾", "�"),
    ],
)
def test_units_may_be_anything_and_never_lose_a_capture(on_wire: str, units: str) -> None:
    header = HEADER.decode().replace('units=""', f'units="{on_wire}"')
    assert parsed(header).fields[0].units == units


@pytest.mark.parametrize(
    ("text", "number"), [("nan", math.nan), ("inf", math.inf), ("-2e-3", -2e-3)]
)
def test_scale_and_offset_may_be_any_float(text: str, number: float) -> None:
    header = HEADER.decode().replace('scale="1" offset="0"', f'scale="{text}" offset="{text}"')
    [field] = parsed(header).fields
    assert (field.scale, field.offset) == pytest.approx((number, number), nan_ok=True)


def test_optional_attributes_are_read_where_they_are_and_none_where_they_are_not() -> None:
    full = HEADER.decode().replace(
        'missed="0"',
        'arm_time="A" start_time="S" hw_time_offset_ns="-99999998123456789" missed="7"',
    )
    start = parsed(full)
    assert (start.arm_time, start.start_time, start.missed) == ("A", "S", 7)
    assert start.hw_time_offset_ns == -99999998123456789
    bare = HEADER.decode().replace('missed="0" ', "").replace(' sample_bytes="4"', "")
    start = parsed(bare)
    assert (start.missed, start.sample_bytes) == (0, None)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("</fields>", "", "not XML"),
        ("<data ", "<date ", "no data element"),
        ('name="COUNTER1.OUT" ', "", "lacks the attribute 'name'"),
        ('format="Framed"', "", "lacks the attribute 'format'"),
        ('scale="1"', 'scale="one"', "malformed number"),
        ('missed="0"', 'missed="no"', "malformed number"),
        ('sample_bytes="4"', 'sample_bytes="0"', "sample_bytes is 0"),
        ('process="Raw"', 'process="Scaled"', "asked for 'XML FRAMED RAW', got Framed Scaled"),
        ('format="Framed"', 'format="ASCII"', "got ASCII Raw"),
        ("<header>\n", "<!DOCTYPE x>\n", "does not begin with an XML header"),
        ("<header>\n", "arm_time: 2026\n", "does not begin with an XML header"),
    ],
)
def test_a_broken_header_is_an_offence_that_says_what_is_wrong(
    old: str, new: str, why: str
) -> None:
    with pytest.raises(ProtocolError, match=why):
        parsed(HEADER.decode().replace(old, new))


def test_a_deeply_nested_header_is_no_way_to_break_the_parser() -> None:
    nested = "<a>" * 9_000 + "</a>" * 9_000
    with pytest.raises(ProtocolError, match=r"no data element"):
        parsed(f"<header>\n{nested}</header>\n\n")


def test_a_header_without_end_is_not_held_for_ever() -> None:
    protocol = accepted()
    with pytest.raises(ProtocolError, match=r"header has more than"):
        protocol.receive_data(b"<header>\n" + b"x" * data.MAX_HEADER)


def test_an_empty_frame_is_no_event() -> None:
    protocol = started()
    assert protocol.receive_data(framed(b"") + framed(b"1234") + framed(b"")) == [Frame(b"1234")]
    with pytest.raises(ProtocolError, match="after 3 frames with 1 samples"):
        protocol.receive_eof()


def test_the_start_of_the_latest_frame_is_known_while_it_comes() -> None:
    protocol = started()
    starts: list[int] = []
    for piece in (framed(b"12345678"), framed(b"abcd")[:-2], b"cd", framed(b""), framed(b"efgh")):
        protocol.receive_data(piece)
        starts.append(protocol.frame_start)
    assert starts == [0, 8, 8, 8, 12]
    protocol.receive_data(b"END 4 Ok\n" + HEADER)
    assert protocol.frame_start == 0


def test_samples_go_past_the_protocol_into_the_room() -> None:
    protocol = started()
    room = memoryview(bytearray(12))
    protocol.receive_data(b"BIN " + (8 + 16).to_bytes(4, "little"))
    assert protocol.next_event(room) is None
    (buffer,) = protocol.buffers(room)  # the frame's end is beyond the room's
    assert buffer.obj is room.obj
    assert len(buffer) == 12
    protocol.received(12)
    assert protocol.next_event(room) == Payload(12)
    assert protocol.next_event(room) is None
    rest, ahead = protocol.buffers(room)
    assert rest.obj is room.obj
    assert len(rest) == 4
    rest[:] = b"rest"
    ahead[:9] = b"END 4 Ok\n"
    protocol.received(4 + 9)
    assert protocol.next_event(room) == Payload(4)
    assert protocol.next_event(room) == CaptureEnd(4, "Ok")
    assert bytes(room[:4]) == b"rest"


def test_asking_whether_the_options_are_accepted_reads_no_further() -> None:
    protocol = DataProtocol()
    assert not protocol.accepted()
    wire = b"OK\n" + HEADER + b"nonsense"
    (buffer,) = protocol.buffers(memoryview(b""))
    buffer[: len(wire)] = wire
    protocol.received(len(wire))
    assert protocol.accepted()
    assert isinstance(protocol.next_event(memoryview(b"")), CaptureStart)
    with pytest.raises(ProtocolError, match="neither a frame nor END"):
        protocol.next_event(memoryview(b""))


@pytest.mark.parametrize("length", [0, 7, data.MAX_FRAME + 1, 2**32 - 1])
def test_a_frame_of_impossible_length_is_refused_at_once(length: int) -> None:
    with pytest.raises(ProtocolError, match=rf"claims {length} bytes"):
        started().receive_data(b"BIN " + length.to_bytes(4, "little"))


def test_a_frame_of_broken_samples_is_refused_before_it_has_come() -> None:
    with pytest.raises(ProtocolError, match=r"not whole samples of 4 bytes"):
        started().receive_data(b"BIN " + (8 + 6).to_bytes(4, "little"))


def test_frames_of_a_header_without_sample_bytes_are_taken_as_they_are() -> None:
    protocol = started(HEADER.replace(b' sample_bytes="4"', b""))
    assert protocol.receive_data(framed(b"123456")) == [Frame(b"123456")]


@pytest.mark.parametrize("line", [b"END \n", b"END x Ok\n", b"END 5\n", b"END -1 Ok\n"])
def test_a_malformed_end_is_an_offence(line: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"END line"):
        started().receive_data(line)


def test_an_endless_end_line_is_an_offence() -> None:
    with pytest.raises(ProtocolError, match=r"END line has more than"):
        started().receive_data(b"END " + b"1" * data.MAX_LINE)


@pytest.mark.parametrize("wire", [b"BINX", b"OK\nO", b"\n\n\n\n", HEADER])
def test_neither_frame_nor_end_is_an_offence(wire: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"neither a frame nor END"):
        started().receive_data(wire)


def test_events_before_an_offence_are_returned_and_nothing_after_it() -> None:
    protocol = started()
    assert protocol.receive_data(framed(b"1234") + b"nonsense" + framed(b"5678")) == [
        Frame(b"1234")
    ]
    assert protocol.error is not None
    with pytest.raises(ProtocolError, match=r"nonsense"):
        protocol.receive_data(b"")


@pytest.mark.parametrize(
    ("wire", "where"),
    [
        (b"", r"before 'XML FRAMED RAW' was accepted"),
        (b"OK", r"before 'XML FRAMED RAW' was accepted"),
        (b"OK\n<head", r"inside the header"),
        (b"OK\n" + HEADER[:-1], r"inside the header"),
        (b"OK\n" + HEADER, r"after 0 frames with 0 samples"),
        (b"OK\n" + HEADER + framed(b"12345678"), r"after 1 frames with 2 samples"),
        (
            b"OK\n" + HEADER + framed(b"12345678") + framed(b"1234")[:-1],
            r"after 1 frames with 2 samples and 11 bytes of the next",
        ),
        (
            b"OK\n" + HEADER.replace(b' sample_bytes="4"', b"") + framed(b"12345678"),
            r"after 1 frames with 8 bytes",
        ),
    ],
)
def test_eof_anywhere_but_between_acquisitions_says_how_far_it_got(wire: bytes, where: str) -> None:
    protocol = Fed()
    protocol.receive_data(wire)
    with pytest.raises(ProtocolError, match=where):
        protocol.receive_eof()


@pytest.mark.parametrize("wire", [b"OK\n", b"OK\n" + HEADER + b"END 0 Disarmed\n"])
def test_eof_between_acquisitions_is_within_the_grammar(wire: bytes) -> None:
    protocol = Fed()
    protocol.receive_data(wire)
    protocol.receive_eof()


ACQUISITION = st.tuples(
    st.lists(st.binary(max_size=10).map(lambda word: word * 4), max_size=5),
    st.sampled_from(["Ok", "Disarmed", "Driver data overrun"]),
)


def spoken(acquisitions: list[tuple[list[bytes], str]]) -> tuple[bytes, list[DataEvent]]:
    """What a server sends for these acquisitions, and what they must be read as."""
    [start] = accepted().receive_data(HEADER)
    wire, events = b"OK\n", []
    for payloads, reason in acquisitions:
        samples = sum(map(len, payloads)) // 4
        wire += HEADER + b"".join(map(framed, payloads)) + f"END {samples} {reason}\n".encode()
        frames = [Frame(payload) for payload in payloads if payload]
        events += [start, *frames, CaptureEnd(samples, reason)]
    return wire, events


@given(
    st.lists(ACQUISITION, max_size=3),
    st.lists(st.integers(0, 2000), max_size=8),
    st.integers(1, 100),
)
def test_acquisitions_do_not_depend_on_how_the_bytes_are_cut(
    acquisitions: list[tuple[list[bytes], str]], cuts: list[int], room: int
) -> None:
    wire, expected = spoken(acquisitions)
    protocol = Fed(room=room)
    events: list[DataEvent] = []
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    for start, stop in pairwise(edges):
        events += protocol.receive_data(wire[start:stop])
    assert events == expected
    protocol.receive_eof()


@given(st.binary(), st.sampled_from([b"OK\n", b"OK\n" + HEADER]))
def test_garbage_is_a_protocol_error_and_never_another(garbage: bytes, before: bytes) -> None:
    protocol = Fed()
    protocol.receive_data(before)
    with suppress(ProtocolError):
        protocol.receive_data(garbage)
        protocol.receive_eof()
    if protocol.error is not None:
        assert isinstance(protocol.error, ProtocolError)
        assert 0 < len(protocol.error.near) <= 64


@given(st.data())
def test_a_damaged_stream_is_a_protocol_error_or_other_data_and_never_another_error(
    draw: st.DataObject,
) -> None:
    wire = bytearray(spoken([([b"12345678", b""], "Ok")])[0])
    for _ in range(draw.draw(st.integers(1, 4))):
        wire[draw.draw(st.integers(3, len(wire) - 1))] = draw.draw(st.integers(0, 255))
    protocol = Fed()
    with suppress(ProtocolError):
        byte_by_byte(protocol, bytes(wire))
        protocol.receive_eof()
