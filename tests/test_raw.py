"""Files of integers hold what files of values hold, to the last bit."""

from __future__ import annotations

import struct

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.capture.raw import stored_dtype
from panda_ophyd.capture.rows import FileRows, Meanings
from panda_ophyd.columns import ColumnDecoder
from panda_ophyd.data import CapturedField, CaptureStart
from panda_ophyd.writers import FileOptions, Hdf5Writer, Role, read_columns

START = "2026-11-22T08:08:30.727790791Z"


def field(name, kind, capture, scale=0.5, offset=10.0, units="mm", *, scaled=True):
    return CapturedField(name, kind, capture, scale, offset, units, scaled)


COUNT = field("PCAP.GATE_DURATION", "int32", "Value", 8e-9, 0.0, "s")
BITS = field("PCAP.BITS0", "uint32", "Value", 1.0, 0.0, "", scaled=False)
VALUE = field("INENC1.VAL", "int32", "Value")
SUM = field("INENC1.VAL", "int64", "Sum")
STAMP = field("PCAP.TS_TRIG", "int64", "Value", 8e-9, 0.0, "s")
MEAN = field("COUNTER1.OUT", "int64", "Mean", -0.125, 3.0, "V")
HIDDEN = field("INENC1.VAL", "int64", "Mean")
DEVIATION = field("INENC1.VAL", "int96", "StdDev")
ALL = (COUNT, BITS, VALUE, SUM, STAMP, MEAN, HIDDEN, DEVIATION)
WANTED = {
    ("PCAP.BITS0", "Value"): "bits",
    ("INENC1.VAL", "Value"): "x",
    ("INENC1.VAL", "Sum"): "x-sum",
    ("PCAP.TS_TRIG", "Value"): "t",
    ("COUNTER1.OUT", "Mean"): "c",
    ("INENC1.VAL", "StdDev"): "x-std",
}


def begun(fields=ALL, names=None, sample_bytes=None, **options):
    names = WANTED if names is None else names
    start = CaptureStart(fields, sample_bytes, 0, "Raw", "Framed", START, START, None)
    decoder = ColumnDecoder(start, names.keys() or None)
    rows = FileRows(names, FileOptions(**options), Meanings({}, {"PCAP.BITS0": ("TTLIN1.VAL",)}))
    rows.begin(decoder, start, 0.0)
    return rows


def sample(count=4, bits=5, value=-3, total=2**40, stamp=7, mean=-10, hidden=-8, squares=50):
    low, high = squares & (2**64 - 1), squares >> 64
    return struct.pack("<iIiqqqqQI", count, bits, value, total, stamp, mean, hidden, low, high)


def of(rows, name):
    (found,) = [d for d in rows.datasets if d.name == name]
    return found


def written(path, rows, payload, **options):
    writer = Hdf5Writer(FileOptions(**options))
    writer.create(path)
    writer.open(rows.datasets, {})
    values = rows.decode(payload)
    assert list(values) == [d.name for d in rows.datasets]
    for dataset in rows.datasets:
        assert values[dataset.name].dtype == dataset.dtype, dataset.name
    writer.append(values)
    writer.close()
    return path


def test_integers_are_what_the_panda_sent():
    rows = begun(raw=True)
    values = rows.decode(sample(squares=2**95 + 2**33 + 1) + sample(count=-1))
    assert values["bits"].tolist() == [5, 5]
    assert values["x"].tolist() == [-3, -3]
    assert values["x"].dtype == np.int32
    assert values["x-sum"].tolist() == [2**40] * 2
    assert values["t"].tolist() == [7, 7]
    assert values["c"].tolist() == [-10, -10]
    assert values["x-std"].tolist() == [2**33 + 1, 50]
    assert values["x-std.high"].tolist() == [2**31, 0]
    assert values["INENC1.VAL.Mean"].tolist() == [-8, -8]
    # sent as signed, and is not
    assert values["PCAP.GATE_DURATION.Value"].tolist() == [4, 2**32 - 1]


def test_each_dataset_says_how_to_make_values_of_it():
    rows = begun(raw=True)
    x, c, std = of(rows, "x"), of(rows, "c"), of(rows, "x-std")
    assert x.attributes["formula"] == "scale * raw + offset"
    assert (x.attributes["scale"], x.attributes["offset"]) == (0.5, 10.0)
    assert (x.attributes["scale_factor"], x.attributes["add_offset"]) == (0.5, 10.0)
    assert c.attributes["formula"] == "scale * raw / n + offset"
    assert c.attributes["n"] == std.attributes["n"] == "PCAP.GATE_DURATION.Value"
    assert "scale_factor" not in c.attributes
    assert std.attributes["sum"] == "INENC1.VAL.Mean"
    assert std.attributes["high"] == "x-std.high"
    for name in ("INENC1.VAL.Mean", "PCAP.GATE_DURATION.Value"):
        assert "uninvited" in of(rows, name).attributes
        assert of(rows, name).role is Role.WORD
    assert "formula" not in of(rows, "bits").attributes


def test_what_was_asked_for_anyway_is_not_there_twice():
    names = WANTED | {
        ("PCAP.GATE_DURATION", "Value"): "gate",
        ("INENC1.VAL", "Mean"): "x-mean",
    }
    rows = begun(names=names, raw=True)
    assert of(rows, "c").attributes["n"] == "gate"
    assert of(rows, "x-std").attributes["sum"] == "x-mean"
    assert not any("uninvited" in d.attributes for d in rows.datasets)
    assert len(rows.datasets) == len(ALL) + 2  # the upper half, and the time


def test_names_that_are_taken_are_left_alone():
    names = WANTED | {("PCAP.BITS0", "Value"): "x-std.high"}
    rows = begun(names=names, raw=True)
    assert of(rows, "x-std").attributes["high"] == "x-std.high_1"
    values = rows.decode(sample())
    assert values["x-std.high"].tolist() == [5]
    assert values["x-std.high_1"].tolist() == [0]


def test_old_servers_send_the_count_without_saying_so(tmp_path):
    rows = begun((MEAN,), {("COUNTER1.OUT", "Mean"): "c"}, 12, raw=True)
    assert of(rows, "c").attributes["n"] == "PCAP.SAMPLES.Value"
    path = written(tmp_path / "raw.h5", rows, struct.pack("<Iq", 4, -10) * 2)
    assert read_columns(path)["c"].tolist() == [-10 / 4 * -0.125 + 3] * 2


def test_bits_and_times_are_derived_of_integers_too():
    rows = begun(raw=True, bits=True)
    values = rows.decode(sample())
    assert values["TTLIN1.VAL"].tolist() == [True]
    assert values["absolute_time"].dtype == np.int64


SAMPLES = st.lists(
    st.tuples(
        st.integers(0, 2**31 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(-(2**31), 2**31 - 1),
        *[st.integers(-(2**63), 2**63 - 1)] * 4,
        st.integers(0, 2**96 - 1),
    ),
    min_size=1,
)


@given(SAMPLES)
def test_values_made_of_integers_are_those_of_a_file_of_values(tmp_path_factory, samples):
    directory = tmp_path_factory.mktemp("raw")
    payload = b"".join(sample(*numbers) for numbers in samples)
    raw = written(directory / "raw.h5", begun(raw=True), payload)
    plain = written(directory / "plain.h5", begun(), payload)
    found, expected = read_columns(raw), read_columns(plain)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values, name)


def test_absolute_times_are_read_as_times(tmp_path):
    path = written(tmp_path / "plain.h5", begun(), sample(stamp=1))
    times = read_columns(path)["absolute_time"]
    assert times.tolist() == np.array(["2026-11-22T08:08:30.727790799"], "datetime64[ns]").tolist()
    assert times.dtype == np.dtype("datetime64[ns]")


@pytest.mark.parametrize("raw", [False, True])
def test_types_are_known_before_there_is_a_header(raw):
    rows = begun(raw=raw)
    for (name, capture), dataset in WANTED.items():
        expected = stored_dtype(name, capture, bits=name == "PCAP.BITS0", raw=raw)
        assert of(rows, dataset).dtype == expected, dataset
    assert stored_dtype("PCAP.GATE_DURATION", "Value", bits=False, raw=True) == np.uint32


class TestCompression:
    @pytest.mark.parametrize("compression", ["gzip", "gzip:9", "lzf"])
    @pytest.mark.parametrize("raw", [False, True])
    def test_makes_files_smaller_and_changes_nothing(self, tmp_path, compression, raw):
        payload = sample() * 20_000
        plain = written(tmp_path / "plain.h5", begun(raw=raw), payload)
        rows = begun(raw=raw, compression=compression)
        small = written(tmp_path / "small.h5", rows, payload, compression=compression)
        assert small.stat().st_size < plain.stat().st_size / 5
        found = read_columns(small)
        for name, values in read_columns(plain).items():
            np.testing.assert_array_equal(found[name], values)
        with h5py.File(small) as file:
            assert file["x"].compression == compression.partition(":")[0]

    def test_needs_a_package_for_some_and_says_so_before_anything_is_made(self, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "hdf5plugin", None)
        with pytest.raises(ValueError, match="'zstd': it needs the package hdf5plugin"):
            Hdf5Writer(FileOptions(compression="zstd"))

    @pytest.mark.parametrize("wrong", ["zip", "gzip:0", "gzip:10", "lzf:3", " gzip", "gzip\n"])
    def test_unknown_ones_are_refused(self, wrong):
        with pytest.raises(ValueError, match="known are gzip"):
            FileOptions(compression=wrong)
