from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
import time

import h5py
import numpy as np
import pytest

from panda_ophyd.capture import (
    CHUNK_ROWS,
    IN_FLIGHT_BYTES,
    Capture,
    arm,
    disarm,
    patience,
    pipeline,
    readers_counted,
)
from panda_ophyd.capture.batches import BATCH_BYTES
from panda_ophyd.client import CaptureStream, PandaAddress, PandaClient
from panda_ophyd.columns import ColumnDecoder
from panda_ophyd.data import CaptureEnd, CaptureStart, Payload
from panda_ophyd.errors import (
    CaptureError,
    CommandError,
    FieldValueError,
    PandaConnectionError,
    PandaTimeoutError,
    WriterError,
)
from panda_ophyd.verdict import NO_END
from panda_ophyd.writers import DIED, Hdf5Writer, Verdict, Writer
from panda_ophyd.writers.hdf5_acquisitions import read_acquisitions
from panda_simulator import Simulator

SAMPLE = 12
FIELDS = (
    '<field name="PCAP.BITS0" type="uint32" capture="Value" />\n'
    '<field name="PCAP.TS_TRIG" type="int64" capture="Value" scale="0.5" offset="1" units="s" />\n'
)
COLUMNS = ("PCAP.BITS0.Value", "PCAP.TS_TRIG.Value")


def header(fields=FIELDS, sample_bytes=SAMPLE, missed=0):
    return (
        '<header>\n<data arm_time="2026-11-22T08:08:30.721304877Z"'
        ' start_time="2026-11-22T08:08:30.727790791Z" hw_time_offset_ns="-12"'
        f' missed="{missed}" process="Raw" format="Framed" sample_bytes="{sample_bytes}" />\n'
        f"<fields>\n{fields}</fields>\n</header>\n\n"
    ).encode()


def samples(start, stop):
    out = np.empty(stop - start, np.dtype([("bits", "<u4"), ("time", "<i8")]))
    out["bits"] = out["time"] = np.arange(start, stop)
    return out.tobytes()


def frame(start, stop):
    payload = samples(start, stop)
    return b"BIN " + struct.pack("<I", len(payload) + 8) + payload


def end(count, reason="Ok"):
    return f"END {count} {reason}\n".encode()


class ScriptedPanda:
    """Two listening sockets; what they say is up to the test."""

    def __init__(self):
        self.arm_replies = []
        self.refused = None
        self.status = ["Idle 1 0"]
        self.completion = ["Ok"]
        self.asked = []
        self.readers = asyncio.Queue()
        self._writers = []

    async def __aenter__(self):
        self.control = await asyncio.start_server(self._control, "127.0.0.1", 0)
        self.data = await asyncio.start_server(self._data, "127.0.0.1", 0)
        ports = [server.sockets[0].getsockname()[1] for server in (self.control, self.data)]
        self.address = PandaAddress("127.0.0.1", *ports)
        return self

    async def __aexit__(self, *exc):
        for server in (self.control, self.data):
            server.close()
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _data(self, reader, writer):
        self._writers.append(writer)
        assert await reader.readline() == b"XML FRAMED RAW\n"
        writer.write(b"OK\n")
        self.readers.put_nowait((reader, writer))

    async def _control(self, reader, writer):
        self._writers.append(writer)
        while line := (await reader.readline()).decode().strip():
            self.asked.append(line)
            writer.write(f"{self._answer(line)}\n".encode())

    def _answer(self, line):
        if line == self.refused:
            return "ERR No"
        if line == "*PCAP.ARM=":
            return self.arm_replies.pop(0) if self.arm_replies else "OK"
        scripts = {"*PCAP.STATUS?": self.status, "*PCAP.COMPLETION?": self.completion}
        if line in scripts:
            script = scripts[line]
            return f"OK ={script.pop(0) if len(script) > 1 else script[0]}"
        return {"*IDN?": "OK =PandA SW: 4.1 FPGA: 0.0.0 00000000 00000000 rootfs: x"}.get(
            line, "OK"
        )

    async def connection(self):
        """The data connection that was opened last: reader, writer."""
        async with asyncio.timeout(10):
            return await self.readers.get()


@pytest.fixture
async def panda():
    async with ScriptedPanda() as panda:
        yield panda


@contextlib.asynccontextmanager
async def capturing(panda, path, **options):
    """A capture that is open and closed again, and what sends to it."""
    capture = Capture(panda.address, path, **options)
    await capture.open()
    _, sender = await panda.connection()
    try:
        yield capture, sender
    finally:
        with contextlib.suppress(CaptureError, WriterError, PandaConnectionError, RuntimeError):
            await capture.close(timeout=0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scan.h5"


def holds(path, rows, names=COLUMNS):
    with h5py.File(path, swmr=True) as file:
        assert set(file) == {*names, "absolute_time", "entry"}
        np.testing.assert_array_equal(file[names[0]][:], rows)
        np.testing.assert_array_equal(file[names[1]][:], np.asarray(rows) * 0.5 + 1)
        return {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in file.attrs.items()
        }


class Recorder(Writer):
    """A writer into a list, with a gate to hold it up and an error to fail with."""

    mimetype = "application/x-list"
    suffix = ".list"

    def __init__(self):
        self.batches = []
        self.records = []
        self.unflushed = self.flushed = 0
        self.gate = threading.Event()
        self.gate.set()
        self.fails = {}
        self.verdict: Verdict | None = None
        self.threads = set()

    @property
    def rows(self):
        return self.flushed + self.unflushed

    def step(self, name):
        self.threads.add(threading.current_thread().name)
        assert self.gate.wait(20)
        if name in self.fails:
            raise self.fails[name]

    def create(self, path):
        self.step("create")

    def open(self, datasets, attributes):
        self.step("open")
        self.datasets = datasets

    def record(self, number, acquisition):
        self.step("record")
        self.records[number:] = [acquisition]

    def append(self, columns):
        self.step("append")
        assert set(columns) == {dataset.name for dataset in self.datasets}
        (length,) = {len(values) for values in columns.values()}
        self.batches.append(length)
        self.unflushed += length

    def flush(self):
        self.step("flush")
        self.flushed, self.unflushed = self.rows, 0
        return self.flushed

    def close(self, verdict=DIED):
        self.verdict = verdict
        self.step("close")


class TestAcquisitions:
    async def test_rows_arrive_in_the_file_under_their_names(self, panda, path):
        names = {("PCAP.BITS0", "Value"): "bits", ("PCAP.TS_TRIG", "Value"): "time"}
        async with capturing(panda, path, names=names) as (capture, sender):
            assert capture.status == "Waiting for an acquisition"
            sender.write(header() + frame(0, 3) + frame(3, 3) + frame(3, 5) + end(5, "Disarmed"))
            result = await capture.wait_ended()
            assert await capture.close() == result
        assert (result.rows, result.samples_sent, result.missed) == (5, 5, 0)
        assert (result.reason, result.bytes, result.first_row) == ("Disarmed", 5 * SAMPLE, 0)
        assert result.start_time == "2026-11-22T08:08:30.727790791Z"
        assert result.ended >= result.started
        assert result.rate >= 0
        assert capture.status == "Closed with 5 rows"
        attributes = holds(path, range(5), ("bits", "time"))
        made_by = {n: attributes.pop(n) for n in list(attributes) if n.startswith("writer_")}
        assert made_by.keys() == {"writer_host", "writer_pid", "writer_started"}
        assert attributes.pop("creator").startswith("panda-ophyd ")
        assert attributes.pop("file_time").endswith("+00:00")
        assert attributes == {
            "NX_class": "NXroot",
            "arm_time": "2026-11-22T08:08:30.721304877Z",
            "start_time": "2026-11-22T08:08:30.727790791Z",
            "hw_time_offset_ns": -12,
            "time_source": "start_time + hw_time_offset_ns + PCAP.TS_TRIG",
            "complete": True,
            "end_reason": "Disarmed",
            "problem": "",
            "rows": 5,
            "suspect_row": -1,
            "suspect_stop": -1,
            "samples_sent": 5,
            "samples_received": 5,
            "samples_discarded": 0,
            "samples_missed": 0,
            "default": "entry",
        }

    async def test_datasets_say_what_they_mean(self, panda, path):
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + end(0))
            await capture.wait_ended()
        with h5py.File(path) as file:
            attributes = dict(file["PCAP.TS_TRIG.Value"].attrs.items())
            assert file["PCAP.TS_TRIG.Value"].chunks == (CHUNK_ROWS,)
            assert file["PCAP.BITS0.Value"].dtype == np.uint32
        assert attributes == {
            "field": "PCAP.TS_TRIG",
            "capture": "Value",
            "units": "s",
            "scale": 0.5,
            "offset": 1,
        }

    async def test_the_file_tells_what_became_of_each_acquisition(self, panda, path):
        async with capturing(panda, path, limit=4) as (capture, sender):
            sender.write(header() + frame(0, 3) + end(3) + header() + frame(3, 6) + end(3))
            assert (await capture.wait_ended()).rows == 3
            assert (await capture.wait_ended()).rows == 1
            assert capture.verdict.complete
            await capture.close()
        verdict = capture.verdict
        assert verdict.complete
        first, second = verdict.acquisitions
        assert (first.first_row, first.rows, first.discarded) == (0, 3, 0)
        assert (second.first_row, second.rows, second.discarded) == (3, 1, 2)
        assert (second.sent, second.received, second.missed) == (3, 3, 0)
        assert second.end_reason == "Ok"
        assert second.suspect is None
        assert second.hw_time_offset_ns == -12
        # a header may come while rows before it are still written
        assert first.begun <= second.begun <= (second.ended or 0)
        assert first.begun <= (first.ended or 0) <= (second.ended or 0)
        with h5py.File(path) as file:
            assert read_acquisitions(file["entry/acquisitions"]) == verdict.acquisitions
            assert file["entry/data/absolute_time"] == file["absolute_time"]
            assert file["entry/data"].attrs["signal"] == "PCAP_BITS0_Value"

    async def test_rows_of_a_later_acquisition_are_later(self, panda, path):
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + frame(0, 3) + end(3) + header() + frame(0, 2) + end(2))
            await capture.wait_ended()
            await capture.wait_ended()
        first, second = capture.verdict.acquisitions
        assert first.time_shift_ns == 0
        assert second.time_shift_ns > 0
        assert "moved" in second.time
        with h5py.File(path) as file:
            times = file["absolute_time"][:]
        assert (np.diff(times) > 0).all()
        assert (times[3:] - second.time_shift_ns == times[:2]).all()

    async def test_an_acquisition_that_never_ends_is_put_down_as_it_is(self, panda, path):
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + frame(0, 3))
            await until(lambda: capture.rows == 3)
            with h5py.File(path, swmr=True) as file:
                (record,) = read_acquisitions(file["entry/acquisitions"])
            assert (record.rows, record.sent, record.end_reason) == (0, None, NO_END)
        (record,) = capture.verdict.acquisitions
        assert (record.rows, record.sent, record.end_reason) == (3, None, NO_END)
        assert "no END came after 3 samples" in capture.verdict.problems
        with h5py.File(path) as file:
            assert read_acquisitions(file["entry/acquisitions"]) == (record,)

    async def test_an_acquisition_without_rows_gives_empty_datasets(self, panda, path):
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + end(0))
            assert (await capture.wait_ended()).rows == 0
        assert holds(path, [])["complete"]

    async def test_a_capture_without_acquisition_leaves_the_name_free(self, panda, path):
        async with capturing(panda, path) as (capture, _):
            assert path.exists()
            assert await capture.close() is None
        assert not path.exists()

    async def test_bytes_may_come_one_by_one(self, panda, path):
        async with capturing(panda, path, flush_period=0) as (capture, sender):
            for byte in header() + frame(0, 4) + end(4):
                sender.write(bytes([byte]))
                await sender.drain()
                await asyncio.sleep(0)
            assert (await capture.wait_ended()).rows == 4
        holds(path, range(4))

    async def test_several_acquisitions_go_into_one_file(self, panda, path):
        async with capturing(panda, path) as (capture, sender):
            for first, last in ((0, 3), (3, 3), (3, CHUNK_ROWS + 9)):
                sender.write(header() + frame(first, last) + end(last - first))
                result = await capture.wait_ended()
                assert (result.first_row, result.rows) == (first, last - first)
            assert len(capture.results) == 3
        assert holds(path, range(CHUNK_ROWS + 9))["rows"] == CHUNK_ROWS + 9

    async def test_each_wait_gives_the_next_acquisition_even_if_it_is_over(self, panda, path):
        async with capturing(panda, path) as (capture, sender):
            waiting = asyncio.create_task(capture.wait_ended())
            await asyncio.sleep(0)
            waiting.cancel()
            sender.write(header() + frame(0, 1) + end(1) + header() + frame(1, 3) + end(2))
            assert [(await capture.wait_ended()).rows for _ in range(2)] == [1, 2]

    async def test_other_fields_need_another_file(self, panda, path):
        other = FIELDS.replace("TS_TRIG", "TS_END")
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + frame(0, 2) + end(2) + header(other) + frame(0, 2) + end(2))
            await capture.wait_ended()
            with pytest.raises(CaptureError, match=r"PCAP\.TS_END\.Value, PCAP\.TS_TRIG\.Value; "):
                await capture.wait_ended()
        assert not holds(path, range(2))["complete"]

    async def test_a_scale_that_is_no_number_is_the_same_each_time(self, panda, path):
        odd = FIELDS.replace('"0.5"', '"nan"')
        sent = header(odd) + frame(0, 2) + end(2)
        async with capturing(panda, path) as (capture, sender):
            sender.write(sent + sent)
            await capture.wait_ended()
            await capture.wait_ended()
            await capture.close()
        assert capture.verdict.complete
        assert capture.rows == 4

    async def test_another_order_of_columns_needs_another_file(self, panda, path):
        first, second = FIELDS.strip().split("\n")
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + end(0) + header(f"{second}\n{first}\n") + end(0))
            await capture.wait_ended()
            with pytest.raises(CaptureError, match="in the order of its columns; it needs another"):
                await capture.wait_ended()

    async def test_another_scale_needs_another_file(self, panda, path):
        other = FIELDS.replace('"0.5"', '"0.25"')
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + end(0) + header(other) + end(0))
            await capture.wait_ended()
            what = r"differs .* in PCAP\.TS_TRIG\.Value \(scale 0\.25, was 0\.5\); it needs another"
            with pytest.raises(CaptureError, match=what):
                await capture.wait_ended()

    async def test_what_was_announced_must_be_captured(self, panda, path):
        names = {("PCAP.BITS0", "Value"): "bits", ("A", "Min"): "low", ("A", "Max"): "high"}
        async with capturing(panda, path, names=names) as (capture, sender):
            sender.write(header())
            with pytest.raises(CaptureError, match=r"does not capture A Max, A Min; its settings"):
                await capture.wait_ended()

    async def test_what_the_server_adds_is_left_out_when_names_are_known(self, panda, path):
        fields = (
            '<field name="PCAP.GATE_DURATION" type="int32" capture="Value" scale="8e-09"'
            ' offset="0" units="s" />\n'
            '<field name="A" type="int64" capture="Mean" scale="1" offset="0" units="" />\n'
        )
        for names, expected in (({("A", "Mean"): "x"}, {"x"}), ({}, None)):
            here = path.with_stem(f"scan{len(names)}")
            async with capturing(panda, here, names=names) as (capture, sender):
                sender.write(header(fields) + end(0))
                await capture.wait_ended()
                await capture.close()
                found = {dataset.name for dataset in capture.datasets}
                assert found == (expected or {"PCAP.GATE_DURATION.Value", "A.Mean"})


class TestLimit:
    async def test_rows_beyond_the_limit_are_received_but_not_written(self, panda, path):
        received = []
        async with capturing(panda, path, limit=4, on_received=received.append) as (
            capture,
            sender,
        ):
            sender.write(header() + frame(0, 3) + frame(3, 6) + frame(6, 7) + end(7))
            result = await capture.wait_ended()
            assert (result.rows, result.samples_sent) == (4, 7)
            assert (capture.received, received[-1]) == (7, 7)
            sender.write(header() + frame(0, 2) + end(2))
            result = await capture.wait_ended()
            assert (result.rows, result.samples_sent) == (0, 2)
        # frames that come together are told together
        assert received == sorted(received)
        assert received[-1] == 9
        assert holds(path, range(4))["complete"]

    async def test_fewer_rows_than_the_limit_are_all_written(self, panda, path):
        async with capturing(panda, path, limit=4) as (capture, sender):
            sender.write(header() + frame(0, 3) + end(3))
            assert (await capture.wait_ended()).rows == 3


class TestInvariants:
    async def test_no_row_is_announced_that_is_not_flushed(self, panda, path):
        recorder = Recorder()
        announced = []

        def note(rows):
            announced.append(rows)
            assert rows <= recorder.flushed

        options = {"writer": lambda: recorder, "on_rows": note, "flush_period": 0}
        async with capturing(panda, path, **options) as (capture, sender):
            sender.write(header())
            for start in range(0, 100, 10):
                sender.write(frame(start, start + 10))
                await sender.drain()
                await asyncio.sleep(0.001)
            sender.write(end(100))
            assert (await capture.wait_ended()).rows == 100
        assert announced == sorted(announced)
        assert announced[-1] == 100

    async def test_at_every_flush_all_datasets_have_equal_length(self, panda, path):
        async with capturing(panda, path, flush_period=0) as (capture, sender):
            sender.write(header())
            for start in range(0, 40, 10):
                sender.write(frame(start, start + 10))
                await until(lambda rows=start + 10: capture.rows == rows)
                holds(path, range(start + 10))
            sender.write(end(40))
            await capture.wait_ended()

    @pytest.mark.parametrize("sent", [4, 6])
    async def test_rows_written_equal_the_end_count_or_capture_error(self, panda, path, sent):
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + frame(0, 5) + end(sent))
            with pytest.raises(CaptureError) as caught:
                await capture.wait_ended()
            assert (caught.value.samples_sent, caught.value.samples_written) == (sent, 5)
            assert f"after {sent} samples, 5 of them received" in str(caught.value)
            with pytest.raises(CaptureError) as again:
                await capture.close()
            assert again.value is caught.value
        attributes = holds(path, range(5))
        assert not attributes["complete"]
        # nobody knows which rows are lacking, or too many
        assert attributes["suspect_row"] == 0

    async def test_a_writer_that_loses_rows_is_found_out(self, panda, path):
        recorder = Recorder()
        recorder.flush = lambda: recorder.rows - 1
        async with capturing(panda, path, writer=lambda: recorder) as (capture, sender):
            sender.write(header() + frame(0, 5) + end(5))
            with pytest.raises(CaptureError, match="the file keeps 4 rows, those from row 0 on"):
                await capture.wait_ended()

    @pytest.mark.parametrize("step", ["open", "append", "flush", "close"])
    @pytest.mark.parametrize("kind", [WriterError, RuntimeError])
    async def test_a_writers_exception_reaches_whoever_waits(self, panda, path, step, kind):
        recorder, failures = Recorder(), []
        failure = recorder.fails[step] = kind(path, "no more room")
        options = {"writer": lambda: recorder, "on_failure": failures.append}
        async with capturing(panda, path, **options) as (capture, sender):
            sender.write(header() + frame(0, 5) + end(5))
            if step == "close":
                await capture.wait_ended()
            else:
                with pytest.raises(kind) as caught:
                    await capture.wait_ended()
                assert caught.value is failure
            for _ in range(2):
                with pytest.raises(kind) as caught:
                    await capture.close()
                assert caught.value is failure
            assert capture.status == str(failure)
        assert failures == [failure]
        assert recorder.verdict
        assert recorder.verdict.complete is (step == "close")

    async def test_a_failed_writer_lets_go_of_the_panda(self, panda, path):
        recorder = Recorder()
        recorder.fails["append"] = WriterError(path, "no more room")
        capture = Capture(panda.address, path, writer=lambda: recorder)
        await capture.open()
        reader, sender = await panda.connection()
        sender.write(header() + frame(0, CHUNK_ROWS))
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                assert not await reader.read()
        with pytest.raises(WriterError):
            await capture.close()

    async def test_at_most_so_much_is_in_flight_then_reading_stops(self, panda, path):
        recorder = Recorder()
        async with capturing(panda, path, writer=lambda: recorder) as (capture, sender):
            sender.write(header())
            await until(lambda: capture.datasets)
            recorder.gate.clear()
            rows = 2**21 // SAMPLE
            piece = frame(0, rows)
            sending = asyncio.create_task(send(sender, piece, 48))
            try:
                held, steady = -1, 0
                while steady < 5:
                    await asyncio.sleep(0.05)
                    steady = steady + 1 if held == capture.received else 0
                    held = capture.received
                assert held * SAMPLE <= IN_FLIGHT_BYTES
                assert capture.in_flight == capture.most_in_flight == held * SAMPLE
                assert not sending.done()
            finally:
                recorder.gate.set()
            await sending
            sender.write(end(48 * rows))
            assert (await capture.wait_ended()).rows == 48 * rows
            assert capture.in_flight == 0
            assert 0 < capture.most_in_flight <= IN_FLIGHT_BYTES
        assert max(recorder.batches) * SAMPLE <= BATCH_BYTES

    @pytest.mark.parametrize("reason", ["Data overrun", "Framing error", "A reason of tomorrow"])
    async def test_after_a_bad_end_the_last_frame_is_suspect(self, panda, path, reason):
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + frame(0, 2) + end(2))
            await capture.wait_ended()
            sender.write(header() + frame(2, 5) + frame(5, 9) + end(7, reason))
            with pytest.raises(CaptureError) as caught:
                await capture.wait_ended()
            assert caught.value.reason == reason
            assert (caught.value.samples_sent, caught.value.samples_written) == (7, 7)
            assert f"ended with '{reason}'" in str(caught.value)
            assert "the file keeps 9 rows, those from row 5 on are in doubt" in str(caught.value)
        attributes = holds(path, range(9))
        assert (attributes["complete"], attributes["end_reason"]) == (False, reason)
        assert (attributes["rows"], attributes["suspect_row"]) == (9, 5)

    async def test_few_rows_do_not_use_up_the_buffers_while_the_disk_is_busy(self, panda, path):
        recorder = Recorder()
        options = {"writer": lambda: recorder, "flush_period": 0}
        async with capturing(panda, path, **options) as (capture, sender):
            sender.write(header())
            await until(lambda: capture.datasets)
            recorder.gate.clear()
            for row in range(50):  # far more than there are buffers
                sender.write(frame(row, row + 1))
                await until(lambda row=row: capture.received == row + 1)
            recorder.gate.set()
            sender.write(end(50))
            assert (await capture.wait_ended()).rows == 50

    async def test_an_overrun_says_that_the_disk_was_too_slow(self, panda, path):
        recorder = Recorder()
        async with capturing(panda, path, writer=lambda: recorder) as (capture, sender):
            sender.write(header())
            await until(lambda: capture.datasets)
            recorder.gate.clear()
            rows = 2**21 // SAMPLE
            sending = asyncio.create_task(send(sender, frame(0, rows), 48))
            await until(lambda: capture.in_flight > IN_FLIGHT_BYTES - BATCH_BYTES)
            await asyncio.sleep(0.2)  # the reader waits for the disk
            recorder.gate.set()
            await sending
            sender.write(end(48 * rows, "Data overrun"))
            with pytest.raises(CaptureError, match=r"the disk was too slow \(4\d\.\d MiB waited"):
                await capture.wait_ended()

    async def test_an_overrun_says_that_it_was_not_the_disk(self, panda, path):
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + frame(0, 5) + end(5, "Data overrun"))
            with pytest.raises(CaptureError, match=r"the disk kept up .* this computer was too"):
                await capture.wait_ended()

    async def test_without_end_the_last_frame_is_suspect(self, panda, path):
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + frame(0, 2) + frame(2, 5) + frame(5, 9)[:-1])
            await until(lambda: capture.received == 8)
            sender.close()
            with pytest.raises(PandaConnectionError, match="after 2 frames with 5 samples"):
                await capture.wait_ended()
        attributes = holds(path, range(8))
        assert (attributes["complete"], attributes["suspect_row"]) == (False, 5)

    async def test_the_last_frame_is_not_held_back_until_end(self, panda, path):
        enough = asyncio.Event()
        async with capturing(panda, path, on_rows=lambda rows: rows == 5 and enough.set()) as (
            capture,
            sender,
        ):
            sender.write(header() + frame(0, 5))
            async with asyncio.timeout(10):
                await enough.wait()
            sender.write(end(5))
            await capture.wait_ended()


async def send(sender, piece, times):
    for _ in range(times):
        sender.write(piece)
        await sender.drain()


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 -- what a capture knows has no event of its own
            await asyncio.sleep(0.001)


class TestFailures:
    async def test_missed_samples_are_a_failure_at_once_and_the_rest_is_kept(self, panda, path):
        async with capturing(panda, path) as (capture, sender):
            sender.write(header(missed=7))
            with pytest.raises(CaptureError, match="7 samples were missed") as caught:
                await capture.wait_ended()
            sender.write(frame(0, 5) + end(5))
            with pytest.raises(CaptureError) as again:
                await capture.close()
            assert again.value is caught.value
        attributes = holds(path, range(5))
        assert (attributes["complete"], attributes["suspect_row"]) == (False, 0)

    async def test_a_lost_connection_is_a_failure_and_what_came_is_kept(self, panda, path):
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + frame(0, 5))
            sender.close()
            with pytest.raises(PandaConnectionError, match="after 1 frames with 5 samples"):
                await capture.wait_ended()
            with pytest.raises(PandaConnectionError):
                await capture.close()
        assert not holds(path, range(5))["complete"]

    async def test_a_connection_lost_between_acquisitions_is_a_failure_too(self, panda, path):
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + frame(0, 5) + end(5))
            await capture.wait_ended()
            sender.close()
            with pytest.raises(PandaConnectionError):
                await capture.wait_ended()

    async def test_nonsense_is_a_failure(self, panda, path):
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + frame(0, 5) + b"NONSENSE\n")
            with pytest.raises(PandaConnectionError, match="neither a frame nor END"):
                await capture.wait_ended()
            with pytest.raises(PandaConnectionError):
                await capture.close()
        holds(path, range(5))

    async def test_two_fields_cannot_have_one_name(self, panda, path):
        with pytest.raises(FieldValueError, match="two captured fields have it"):
            Capture(panda.address, path, names={("A", "Min"): "x", ("A", "Max"): "x"})

    async def test_a_file_that_cannot_be_made_fails_before_anything_is_armed(self, panda, tmp_path):
        capture = Capture(panda.address, tmp_path / "missing" / "scan.h5")
        with pytest.raises(WriterError, match="directory does not exist"):
            await capture.open()
        reader, _ = await panda.connection()
        with contextlib.suppress(ConnectionError):
            assert not await reader.read()
        assert await capture.close() is None

    async def test_a_panda_that_is_not_there_leaves_no_file(self, path):
        capture = Capture(PandaAddress("127.0.0.1", 1, 1), path)
        with pytest.raises(PandaConnectionError, match="refused"):
            await capture.open()
        assert not path.exists()

    async def test_a_callback_that_fails_is_a_failure(self, panda, path):
        def fail(rows):
            raise RuntimeError("no such signal")

        async with capturing(panda, path, on_rows=fail) as (capture, sender):
            sender.write(header() + frame(0, 5) + end(5))
            with pytest.raises(RuntimeError, match="no such signal"):
                await capture.wait_ended()

    async def test_a_capture_is_opened_once(self, panda, path):
        async with capturing(panda, path) as (capture, _):
            with pytest.raises(CaptureError, match="opened once"):
                await capture.open()
            await capture.close()
            with pytest.raises(CaptureError, match="opened once"):
                await capture.open()


class TestSettled:
    async def test_rows_that_wait_for_their_chunk_are_written_at_once(self, panda, path):
        async with capturing(panda, path, flush_period=60) as (capture, sender):
            sender.write(header() + frame(0, 5))
            await until(lambda: capture.received == 5)
            assert capture.rows == 0
            await capture.settled(5, timeout=20)
            assert capture.rows == 5
            settling = asyncio.create_task(capture.settled(9, timeout=20))
            await asyncio.sleep(0)
            sender.write(frame(5, 9))
            await settling
            assert capture.rows == 9
            sender.write(end(9))
            await capture.wait_ended()
            await capture.settled(99, timeout=20)  # no more will come
        assert holds(path, range(9))["complete"]

    async def test_rows_are_counted_when_whoever_documents_them_was_told(self, panda, path):
        told: list[int] = []
        async with capturing(panda, path, on_rows=told.append) as (capture, sender):
            sender.write(header() + frame(0, 5))
            while capture._store.rows < 5:  # the loop has no turn meanwhile
                time.sleep(0.01)  # noqa: ASYNC251
            assert (capture.rows, told) == (0, [])
            await capture.settled(5, timeout=20)
            assert (capture.rows, told) == (5, [5])
            sender.write(end(5))
            await capture.wait_ended()

    async def test_it_does_not_wait_longer_than_it_may(self, panda, path):
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + frame(0, 5))
            await until(lambda: capture.received == 5)
            await capture.settled(6, timeout=0.01)


class TestClose:
    async def test_it_waits_for_the_end_of_an_acquisition_under_way(self, panda, path):
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + frame(0, 2))
            await until(lambda: capture.status.startswith("Capturing"))
            closing = asyncio.create_task(capture.close())
            await asyncio.sleep(0)
            sender.write(frame(2, 5) + end(5, "Disarmed"))
            result = await closing
            assert result is not None
            assert result.rows == 5
        assert holds(path, range(5))["complete"]

    async def test_giving_up_while_the_first_header_is_taken_leaves_no_file(self, panda, path):
        gate, held = threading.Event(), threading.Event()

        def hold() -> None:
            held.set()
            gate.wait(10)

        async with capturing(panda, path) as (capture, sender):
            capture._store._thread.submit(hold)
            await until(held.is_set)
            sender.write(header())
            await until(capture._store._thread._work_queue.qsize)
            closing = asyncio.create_task(capture.close(timeout=0))
            await asyncio.sleep(0.05)
            gate.set()
            assert await closing is None
        assert not path.exists()

    async def test_a_bad_end_that_comes_while_closing_is_not_lost(self, panda, path):
        recorder = Recorder()
        async with capturing(panda, path, writer=lambda: recorder) as (capture, sender):
            sender.write(header())
            await until(lambda: capture.pending)  # the file has been opened
            recorder.gate.clear()
            sender.write(frame(0, 5) + end(5, "Data overrun"))
            await until(lambda: capture.received)
            closing = [asyncio.create_task(capture.close()) for _ in range(2)]
            await asyncio.sleep(0)
            recorder.gate.set()
            for task in closing:
                with pytest.raises(CaptureError, match="Data overrun"):
                    await task
        assert recorder.verdict
        assert not recorder.verdict.complete

    async def test_it_gives_up_on_an_end_that_does_not_come(self, panda, path):
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + frame(0, 5))
            await until(lambda: capture.received == 5)
            with pytest.raises(CaptureError, match=r"within 0\.01 s of closing; either PCAP was"):
                await capture.close(timeout=0.01)
        assert not holds(path, range(5))["complete"]

    async def test_a_slow_disk_is_waited_for_beyond_the_time_for_end(self, panda, path):
        recorder = Recorder()
        async with capturing(panda, path, writer=lambda: recorder) as (capture, sender):
            sender.write(header())
            await until(lambda: capture.pending and capture.datasets)
            recorder.gate.clear()
            sender.write(frame(0, 5) + end(5))
            await until(lambda: capture.received == 5)
            closing = asyncio.create_task(capture.close(timeout=0.05))
            await asyncio.sleep(0.3)
            assert not closing.done()
            recorder.gate.set()
            result = await closing
            assert result is not None
            assert result.rows == 5

    async def test_a_disk_that_takes_nothing_at_all_is_given_up(self, panda, path, monkeypatch):
        for module in (pipeline, patience):
            monkeypatch.setattr(module, "DISK_TIMEOUT", 0.2)
        recorder = Recorder()
        async with capturing(panda, path, writer=lambda: recorder) as (capture, sender):
            sender.write(header())
            await until(lambda: capture.datasets)
            recorder.gate.clear()
            sender.write(frame(0, 5) + end(5))
            await until(lambda: capture.received == 5)
            with pytest.raises(WriterError, match=r"has taken nothing for 0\.2 s; 60 bytes of"):
                await capture.close()
            assert not capture.verdict.complete
            recorder.gate.set()
            await until(lambda: recorder.verdict)  # it is closed when the disk comes back
            assert recorder.verdict
            assert not recorder.verdict.complete

    async def test_what_was_received_is_written_also_if_end_never_comes(self, panda, path):
        async with capturing(panda, path, flush_period=60) as (capture, sender):
            sender.write(header() + frame(0, 5))
            await until(lambda: capture.received == 5)
            with pytest.raises(CaptureError, match="END did not come"):
                await capture.close(timeout=0)
            assert capture.rows == 5
        assert holds(path, range(5))["suspect_row"] == 0

    async def test_whoever_waits_for_an_end_is_told_of_the_closing(self, panda, path):
        async with capturing(panda, path) as (capture, _):
            waiting = asyncio.create_task(capture.wait_ended())
            await asyncio.sleep(0)
            await capture.close()
            with pytest.raises(CaptureError, match="closed before an acquisition ended"):
                await waiting

    async def test_it_can_be_called_again_and_by_several(self, panda, path):
        async with capturing(panda, path) as (capture, sender):
            sender.write(header() + frame(0, 5) + end(5))
            result = await capture.wait_ended()
            assert await asyncio.gather(capture.close(), capture.close()) == [result, result]
            assert await capture.close() == result

    async def test_whoever_gives_up_waiting_does_not_leave_half_a_file(self, panda, path):
        recorder = Recorder()
        async with capturing(panda, path, writer=lambda: recorder) as (capture, sender):
            sender.write(header() + frame(0, 5) + end(5))
            await capture.wait_ended()
            recorder.gate.clear()
            closing = asyncio.create_task(capture.close())
            await until(lambda: recorder.verdict)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            recorder.gate.set()
            await capture.close()
        assert recorder.verdict
        assert recorder.verdict.complete

    async def test_a_capture_never_opened_can_be_closed(self, path):
        capture = Capture("localhost", path)
        assert capture.status == "Not open"
        assert await capture.close() is None

    async def test_one_thread_of_its_own_touches_the_file(self, panda, path):
        recorder = Recorder()
        async with capturing(panda, path, writer=lambda: recorder) as (capture, sender):
            sender.write(header() + frame(0, 5) + end(5))
            await capture.wait_ended()
        assert len(recorder.threads) == 1
        assert recorder.threads.pop().startswith("panda-writer")


class TestArming:
    @pytest.fixture
    async def client(self, panda):
        async with PandaClient(panda.address) as client:
            yield client

    async def test_it_arms_when_the_server_is_idle_and_not_busy(self, panda, client):
        panda.status = ["Busy 1 1", "Idle 1 0", "Idle 1 0"]
        panda.completion = ["Busy", "Busy", "Ok"]
        await arm(client)
        # One look for the readers, and then until both agree
        assert panda.asked.count("*PCAP.STATUS?") == 3
        # and a last one, whether it runs
        assert panda.asked[-2:] == ["*PCAP.ARM=", "*PCAP.COMPLETION?"]

    async def test_it_waits_until_our_data_connection_is_counted(self, panda, client):
        panda.status = ["Idle 0 0", "Idle 0 0", "Idle 1 0"]
        await arm(client, readers=1)
        assert panda.asked.count("*PCAP.ARM=") == 1

    @pytest.mark.parametrize(
        "refusal", ["Data capture already in progress", "Unexpected error at x.c:254"]
    )
    async def test_it_tries_again_what_passes(self, panda, client, refusal):
        panda.arm_replies = [f"ERR {refusal}"] * 3
        await arm(client)
        assert panda.asked.count("*PCAP.ARM=") == 4

    async def test_it_gives_up_in_the_end_with_the_servers_reason(self, panda, client):
        panda.status = ["Busy 1 1"]
        panda.arm_replies = ["ERR Data capture already in progress"] * 10
        with pytest.raises(CaptureError, match="already in progress; somebody has armed") as caught:
            await arm(client, timeout=0.05)
        assert caught.value.reason == "Data capture already in progress"
        assert str(panda.address.control_port) in str(caught.value)

    @pytest.mark.parametrize(
        ("refusal", "advice"),
        [
            ("Nothing configured for capture", r"capture; set one of the \*_capture signals"),
            ("Too many captures for PCAP", "63 words"),
            ("PCAP not supported with this configuration", "no PCAP block"),
            ("Something new", "Something new$"),
        ],
    )
    async def test_other_refusals_are_final_and_say_what_to_do(
        self, panda, client, refusal, advice
    ):
        panda.arm_replies = [f"ERR {refusal}"]
        with pytest.raises(CaptureError, match=advice):
            await arm(client)
        assert panda.asked.count("*PCAP.ARM=") == 1

    async def test_a_data_connection_that_is_not_counted_is_a_timeout(self, panda, client):
        with pytest.raises(PandaTimeoutError, match=r"does not count our 2 data connection"):
            await readers_counted(client, 2, timeout=0.03)

    async def test_a_status_that_fits_no_rule_is_an_error(self, panda, client):
        panda.status = ["Sleeping"]
        with pytest.raises(CommandError, match="'Sleeping' is neither Busy nor Idle"):
            await arm(client)

    async def test_a_status_that_is_refused_is_an_error(self, panda, client):
        panda.refused = "*PCAP.STATUS?"
        with pytest.raises(CommandError, match=r"\*PCAP\.STATUS\? refused by the PandA: No"):
            await arm(client)

    async def test_disarming_twice_is_no_error(self, panda, client):
        await disarm(client)
        await disarm(client)
        assert panda.asked.count("*PCAP.DISARM=") == 2


CAPTURED = {
    "PCAP.BITS0": "Value",
    "PCAP.TS_TRIG": "Value",
    "PCAP.GATE_DURATION": "Value",
    "COUNTER1.OUT": "Min Max Mean",
    "INENC1.VAL": "Value Diff Sum Mean StdDev",
    "COUNTER2.OUT": "StdDev",
}


def scaled_by_the_server(stream: CaptureStream):
    decoder, payload = None, bytearray()
    room = memoryview(bytearray(2**16))
    while True:
        match stream.next_event(room, 20):
            case CaptureStart() as start:
                decoder = ColumnDecoder(start)
            case Payload(size):
                payload += room[:size]
            case CaptureEnd():
                assert decoder
                return decoder.decode(bytes(payload))
            case None:
                pytest.fail("nothing came")


class TestAgainstTheSimulator:
    """The simulator is written from the same specification, but not from our code."""

    @pytest.fixture
    async def box(self):
        async with Simulator(hardware="echo") as simulator, PandaClient(simulator.address) as box:
            await box.assign("INENC1.VAL.SCALE", "0.5")
            await box.assign("INENC1.VAL.OFFSET", "-273.15")
            for field, options in CAPTURED.items():
                await box.assign(f"{field}.CAPTURE", options)
            yield box

    async def test_scaling_here_equals_scaling_there(self, box, path):
        pairs = [(field, option) for field, text in CAPTURED.items() for option in text.split()]
        names = {pair: ".".join(pair) for pair in pairs}
        rows = asyncio.Event()
        capture = Capture(box.address, path, names=names, on_rows=lambda n: n >= 10 and rows.set())
        await capture.open()
        async with CaptureStream(box.address, options="XML FRAMED SCALED") as stream:
            await arm(box, readers=2)
            async with asyncio.timeout(20):
                await rows.wait()
                await disarm(box)
                result = await capture.wait_ended()
                expected = await asyncio.to_thread(scaled_by_the_server, stream)
        await capture.close()
        assert result.rows >= 10
        assert expected
        with h5py.File(path) as file:
            assert set(file) == {*expected, "absolute_time", "entry"}
            assert set(expected) == set(names.values())
            for name, values in expected.items():
                np.testing.assert_array_equal(file[name][:], values, name)

    async def test_arming_again_and_again_works_at_once(self, box, path):
        capture = Capture(box.address, path)
        await capture.open()
        async with asyncio.timeout(20):
            for _ in range(5):
                await arm(box, readers=1)
                await disarm(box)
                await capture.wait_ended()
        result = await capture.close()
        assert result is capture.results[-1]
        assert sum(result.rows for result in capture.results) == capture.rows

    async def test_nothing_to_capture_says_what_to_do(self, box):
        await box.assign("*CAPTURE")
        with pytest.raises(CaptureError, match=r"set one of the \*_capture signals"):
            await arm(box)


def test_the_default_writer_is_hdf5():
    assert Hdf5Writer.suffix == ".h5"
