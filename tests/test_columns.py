from __future__ import annotations

import math
import struct
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.columns import ColumnDecoder, standard_deviation
from panda_ophyd.data import CapturedField, CaptureStart
from panda_ophyd.errors import ProtocolError

SIZES = {"uint32": 4, "int32": 4, "int64": 8, "int96": 12, "double": 8}


def field(name, kind, capture="Value", scale=1.0, offset=0.0, units="", *, scaled=True):
    return CapturedField(name, kind, capture, scale, offset, units, scaled)


def bits(name="PCAP.BITS0"):
    return field(name, "uint32", scaled=False)


def count(name="PCAP.GATE_DURATION", kind="int32", scale=8e-9, **more):
    return field(name, kind, scale=scale, units="s", **more)


def header(*fields, process="Raw", sample_bytes: int | None = 0):
    if sample_bytes == 0:
        sample_bytes = sum(SIZES.get(f.type, 0) for f in fields)
    return CaptureStart(fields, sample_bytes, 0, process, "Framed", None, None, None)


def names(decoder):
    return [column.name for column in decoder.columns]


def decode(start, payload, captured=None):
    return ColumnDecoder(start, captured).decode(payload)


MEAN = (count(), bits(), field("C.OUT", "int32", "Min"), field("C.OUT", "int64", "Mean"))


class TestScaling:
    def test_thirty_two_bit_values_are_signed_scaled_and_shifted(self):
        start = header(field("A", "int32", scale=0.5, offset=10))
        out = decode(start, struct.pack("<3i", -3, 0, 7))
        assert out["A.Value"].dtype == np.float64
        assert out["A.Value"].tolist() == [8.5, 10.0, 13.5]

    def test_sixty_four_bit_values_become_doubles_before_they_are_scaled(self):
        start = header(field("A", "int64", "Sum", scale=8e-9))
        value = 2**62 + 1
        assert decode(start, struct.pack("<q", value))["A.Sum"].tolist() == [8e-9 * value]

    def test_the_offset_is_added_to_diff_and_sum_too(self):
        start = header(
            field("A", "int32", "Diff", offset=10), field("A", "int64", "Sum", offset=10)
        )
        out = decode(start, struct.pack("<iq", 1, 2))
        assert [out["A.Diff"][0], out["A.Sum"][0]] == [11, 12]

    def test_bits_stay_unsigned_integers(self):
        out = decode(header(bits()), struct.pack("<I", 0xFFFFFFFF))
        assert out["PCAP.BITS0.Value"].dtype == np.uint32
        assert out["PCAP.BITS0.Value"].tolist() == [0xFFFFFFFF]

    def test_columns_are_packed_without_alignment(self):
        start = header(bits(), field("A", "int64", "Sum"), field("B", "int64", "Sum"))
        out = decode(start, struct.pack("<IqqIqq", 1, 2, 3, 4, 5, 6))
        assert [list(column) for column in out.values()] == [[1, 4], [2, 5], [3, 6]]

    def test_columns_come_in_header_order(self):
        assert names(ColumnDecoder(header(bits(), field("B", "int32"), field("A", "int32")))) == [
            "PCAP.BITS0.Value",
            "B.Value",
            "A.Value",
        ]

    def test_columns_say_what_they_mean(self):
        decoder = ColumnDecoder(header(field("A", "int32", "Max", 0.5, 10, "mm"), bits()))
        first, second = decoder.columns
        assert (first.field, first.capture, first.scale, first.offset) == ("A", "Max", 0.5, 10)
        assert (first.units, first.dtype, first.scaled) == ("mm", np.float64, True)
        assert (second.dtype, second.scaled) == (np.uint32, False)

    def test_an_infinite_scale_gives_nan_without_a_warning(self):
        start = header(field("A", "int32", scale=math.inf), field("B", "int32", scale=math.nan))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            out = decode(start, struct.pack("<2i", 0, 1))
        assert np.isnan(out["A.Value"][0])
        assert np.isnan(out["B.Value"][0])

    def test_no_samples_give_empty_columns(self):
        out = decode(header(*MEAN), b"")
        assert {len(column) for column in out.values()} == {0}

    def test_the_result_does_not_refer_to_the_payload(self):
        payload = bytearray(struct.pack("<i", 5))
        out = decode(header(field("A", "int32")), memoryview(payload))
        payload[:] = bytes(4)
        assert out["A.Value"].tolist() == [5]

    @given(st.lists(st.integers(-(2**31), 2**31 - 1)), st.integers(0, 20))
    def test_any_cut_between_samples_decodes_the_same(self, values, cut):
        decoder = ColumnDecoder(header(field("A", "int32", scale=0.1, offset=-3)))
        payload = struct.pack(f"<{len(values)}i", *values)
        parts = [decoder.decode(p)["A.Value"] for p in (payload[: 4 * cut], payload[4 * cut :])]
        whole = decoder.decode(payload)["A.Value"]
        assert np.concatenate(parts).tolist() == whole.tolist()
        assert whole.tolist() == [0.1 * value + -3 for value in values]


class TestMean:
    def test_the_sum_is_divided_by_the_count_of_its_row(self):
        start = header(count(), field("A", "int64", "Mean", 0.5, 10))
        out = decode(start, struct.pack("<iqiq", 4, 10, 3, -9))
        assert out["A.Mean"].tolist() == [0.5 * 10 / 4 + 10, 0.5 * -9 / 3 + 10]

    def test_the_count_is_unsigned_whatever_the_header_says(self):
        start = header(count(), field("A", "int64", "Mean"))
        out = decode(start, struct.pack("<Iq", 0x80000000, 2**33))
        assert out["A.Mean"].tolist() == [4.0]

    def test_a_row_without_gated_samples_is_nan(self):
        start = header(count(), field("A", "int64", "Mean", offset=1))
        out = decode(start, struct.pack("<iqiq", 0, 0, 2, 2))
        assert np.isnan(out["A.Mean"][0])
        assert out["A.Mean"][1] == 2

    def test_the_count_column_itself_is_signed_and_scaled(self):
        start = header(bits(), count(), field("A", "int64", "Mean"))
        out = decode(start, struct.pack("<IIq", 0, 0xFFFFFFFF, 0))
        assert out["PCAP.GATE_DURATION.Value"].tolist() == [-8e-9]

    def test_the_count_of_old_designs_is_found_by_its_old_name(self):
        start = header(count("PCAP.SAMPLES", "uint32", 1.0), field("A", "int64", "Mean"))
        assert decode(start, struct.pack("<Iq", 2, 8))["A.Mean"].tolist() == [4]

    def test_a_mean_without_a_count_is_refused(self):
        with pytest.raises(ProtocolError, match="no sample count"):
            ColumnDecoder(header(field("A", "int64", "Mean")))


class TestHiddenColumns:
    @pytest.mark.parametrize(
        "fields",
        [
            MEAN,
            (bits(), count(), field("A", "int64", "Mean")),
            (count(), field("A", "int64", "Mean")),
            (count(kind="uint32", scale=1.0), field("A", "int64", "Mean")),
        ],
    )
    def test_a_listed_count_is_kept_if_nobody_says_what_was_captured(self, fields):
        assert "PCAP.GATE_DURATION.Value" in names(ColumnDecoder(header(*fields)))

    def test_whoever_knows_the_capture_set_settles_the_doubt(self):
        start = header(count(), field("A", "int64", "Mean"))
        asked = {("A", "Mean")}
        assert names(ColumnDecoder(start, asked)) == ["A.Mean"]
        both = asked | {("PCAP.GATE_DURATION", "Value")}
        assert names(ColumnDecoder(start, both)) == ["PCAP.GATE_DURATION.Value", "A.Mean"]

    def test_a_mean_that_only_accompanies_its_deviation_is_left_out_if_known(self):
        start = header(count(), field("A", "int64", "Mean"), field("A", "int96", "StdDev"))
        assert names(ColumnDecoder(start, {("A", "StdDev")})) == ["A.StdDev"]
        assert "A.Mean" in names(ColumnDecoder(start))

    def test_an_unlisted_count_is_told_by_the_sample_size(self):
        start = header(bits(), field("A", "int64", "Mean"), sample_bytes=16)
        decoder = ColumnDecoder(start)
        assert names(decoder) == ["PCAP.BITS0.Value", "A.Mean"]
        assert decoder.decode(struct.pack("<IIq", 4, 1, 10))["A.Mean"].tolist() == [2.5]

    def test_an_unscaled_count_in_front_was_captured(self):
        start = header(
            field("PCAP.SAMPLES", "uint32", scaled=False), bits(), field("A", "int64", "Mean")
        )
        assert "PCAP.SAMPLES.Value" in names(ColumnDecoder(start))

    @pytest.mark.parametrize(
        "captured", [None, {("PCAP.GATE_DURATION", "Value"), ("A", "Mean")}], ids=["doubt", "known"]
    )
    def test_of_two_counts_the_first_is_hidden(self, captured):
        start = header(count(), count(scale=2.0), field("A", "int64", "Mean"))
        out = decode(start, struct.pack("<iiq", 4, 4, 8), captured)
        assert {name: list(values) for name, values in out.items()} == {
            "PCAP.GATE_DURATION.Value": [8.0],
            "A.Mean": [2.0],
        }

    def test_without_means_a_count_was_captured(self):
        assert names(ColumnDecoder(header(count()), captured=())) == ["PCAP.GATE_DURATION.Value"]


class TestScaledByTheServer:
    def test_doubles_and_bits_are_taken_as_they_are(self):
        start = header(
            bits(),
            field("A", "double", "Mean", 0.5, 10),
            field("A", "double", "StdDev", 0.5, 10),
            process="Scaled",
        )
        out = decode(start, struct.pack("<Idd", 7, 1.5, 2.5))
        assert [list(column) for column in out.values()] == [[7], [1.5], [2.5]]
        assert out["PCAP.BITS0.Value"].dtype == np.uint32


class TestStandardDeviation:
    def deviation(self, n, total, squares):
        words = [squares >> shift & 0xFFFFFFFF for shift in (0, 32, 64)]
        return standard_deviation(
            np.array([n], np.uint32), np.array([total], np.int64), np.array([words], np.uint32)
        )[0]

    def test_the_example_of_the_specification(self):
        start = header(
            count(),
            field("A", "int64", "Mean", 0.5, 10),
            field("A", "int96", "StdDev", 0.5, 10),
        )
        out = decode(start, struct.pack("<iqIII", 4, 12, 50, 0, 0))
        assert f"{out['A.StdDev'][0]:.10g}" == "0.9354143467"
        assert out["A.Mean"].tolist() == [11.5]

    def test_it_keeps_the_sign_of_the_scale_and_has_no_offset(self):
        decoder = ColumnDecoder(
            header(
                count(), field("A", "int64", "Mean", -2, 9), field("A", "int96", "StdDev", -2, 9)
            )
        )
        out = decoder.decode(struct.pack("<iqIII", 2, 4, 10, 0, 0))
        assert out["A.StdDev"].tolist() == [-2.0]
        assert decoder.columns[-1].offset == 0

    def test_no_values_have_none(self):
        assert np.isnan(self.deviation(0, 0, 0))

    def test_a_mean_beyond_thirty_two_bits_is_impossible(self):
        assert np.isnan(self.deviation(1, 2**32, 2**64))

    def test_squares_that_are_too_few_are_impossible(self):
        assert np.isnan(self.deviation(2, 4, 7))
        assert np.isnan(self.deviation(2, 3, 4))

    def test_far_from_zero_no_digit_is_lost(self):
        values = [2**31 - 1, 2**31 - 2] * 1000
        squares = sum(value * value for value in values)
        assert self.deviation(2000, sum(values), squares) == 0.5

    def test_the_most_negative_sum_is_taken_at_its_magnitude(self):
        assert self.deviation(2**32 - 1, -(2**31) * (2**32 - 1), 2**62 * (2**32 - 1)) == 0

    @given(
        st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=30),
        st.integers(1, 2**20),
    )
    def test_it_agrees_with_exact_arithmetic(self, values, repeat):
        n, total = len(values) * repeat, sum(values) * repeat
        squares = sum(value * value for value in values) * repeat
        variance = Fraction(squares, n) - Fraction(total, n) ** 2
        assert self.deviation(n, total, squares) == pytest.approx(
            math.sqrt(variance), rel=1e-14, abs=0
        )

    def test_a_deviation_without_its_sum_is_refused(self):
        with pytest.raises(ProtocolError, match="no sum in front of A StdDev"):
            ColumnDecoder(header(count(), field("A", "int96", "StdDev")))
        with pytest.raises(ProtocolError, match="no sum in front of A StdDev"):
            ColumnDecoder(header(field("A", "int96", "StdDev"), field("PCAP.SAMPLES", "int32")))


class TestRefusals:
    def test_a_payload_of_half_a_sample(self):
        with pytest.raises(ProtocolError, match="7 bytes of data are no whole number of 4-byte"):
            decode(header(bits()), bytes(7))

    def test_a_header_whose_columns_do_not_add_up(self):
        with pytest.raises(ProtocolError, match="says 9 bytes per sample, but its fields need 4"):
            ColumnDecoder(header(bits(), sample_bytes=9))

    def test_four_bytes_too_many_in_scaled_data(self):
        with pytest.raises(ProtocolError, match="says 8 bytes"):
            ColumnDecoder(header(bits(), sample_bytes=8, process="Scaled"))

    def test_a_header_without_columns_is_refused(self):
        with pytest.raises(ProtocolError, match="lists no columns"):
            ColumnDecoder(header(sample_bytes=4))

    def test_a_header_without_sample_bytes_is_believed(self):
        assert ColumnDecoder(header(bits(), sample_bytes=None)).sample_bytes == 4

    def test_an_unknown_type(self):
        with pytest.raises(ProtocolError, match=r"gives PCAP\.X unknown type 'int128'"):
            ColumnDecoder(header(field("PCAP.X", "int128"), sample_bytes=16))

    def test_ninety_six_bits_that_are_no_deviation(self):
        with pytest.raises(ProtocolError, match="gives A Sum type 'int96'"):
            ColumnDecoder(header(field("A", "int96", "Sum")))

    def test_an_unknown_process(self):
        with pytest.raises(ProtocolError, match="unknown process 'Unscaled'"):
            ColumnDecoder(header(bits(), process="Unscaled"))

    def test_the_same_column_twice(self):
        with pytest.raises(ProtocolError, match=r"lists PCAP\.BITS0\.Value twice"):
            ColumnDecoder(header(bits(), bits()))

    def test_a_header_without_fields(self):
        with pytest.raises(ProtocolError, match="no fields"):
            ColumnDecoder(header(sample_bytes=None))
