"""Acquisitions as data clients see them: headers, samples in every form, ends.

Source: protocol.md 8.3 to 8.9, appendix C.
"""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from .columns import (
    SIZES,
    foretold,
    has_hidden,
    rows,
    scaled_values,
    wanted,
)
from .forms import body, captures, started
from .rig import ENDINGS, Rig, wait_until
from .wire import Control, Header

TRANSPORTS = {"ASCII": "ASCII", "BASE64": "Base64", "FRAMED": "Framed", "UNFRAMED": "Unframed"}
PROCESSES = {"RAW": "Raw", "SCALED": "Scaled"}


def check_header(rig: Rig, header: Header, options: str, fields) -> None:
    raw = "RAW" in options
    transport = next(t for t in TRANSPORTS if t in options.split())
    process = next(p for p in PROCESSES if p in options.split())
    expected = foretold(rig.box, fields, raw=raw)
    assert [(c.name, c.type, c.capture) for c in header.columns] == expected
    keys = ["arm_time", "start_time", "missed", "process", "format", "sample_bytes"]
    if "hw_time_offset_ns" in header.attributes:
        keys.insert(2, "hw_time_offset_ns")
    if transport == "ASCII":
        keys.remove("sample_bytes")
    else:
        total = sum(SIZES[kind] for _, kind, _ in expected)
        assert header.attributes["sample_bytes"] == str(total)
    assert list(header.attributes) == keys
    assert header.attributes["missed"] == "0"
    assert header.attributes["process"] == PROCESSES[process]
    assert header.attributes["format"] == TRANSPORTS[transport]
    assert header.raw.startswith(b"<header>\n") == ("XML" in options)
    for column in header.columns:
        if column.type == "uint32":
            assert (column.scale, column.units) == ("", "")
        elif column.name in rig.box.positions:
            values = [rig.control.value(f"{column.name}.{k}") for k in ("SCALE", "OFFSET")]
            assert [f"{float(v):.10g}" for v in (column.scale, column.offset)] == values
            check_units(
                column.units, rig.control.value(f"{column.name}.UNITS"), xml="XML" in options
            )
        else:
            assert column.scale == f"{1 / rig.box.clock:.12g}"
            assert (column.offset, column.units) == ("0", "s")


def check_units(shown: str, units: str, *, xml: bool) -> None:
    cut = units.encode()[:31].decode(errors="surrogateescape")
    if xml:
        for character, escape in zip("&<>\"'", ("amp", "lt", "gt", "quot", "apos"), strict=True):
            cut = cut.replace(character, f"&{escape};")
    # units that were never set read as nothing
    assert shown == cut or (units == "" and shown == "(null)")


def same_values(a: np.ndarray, b: np.ndarray, *, digits: bool) -> None:
    """Compare numbers, of which one may have ten digits only."""
    if a.dtype.kind == "f":
        assert np.allclose(a, b, rtol=1e-9 if digits else 1e-15, atol=0, equal_nan=True)
    else:
        assert np.array_equal(a, b)


@pytest.mark.parametrize("seed", range(4))
def test_all_clients_get_the_same_samples_each_in_its_form(rig: Rig, open_data, seed):
    rig.trigger(0.003)
    captured = captures(rig, seed)
    fields = wanted(rig.box, captured)
    forms = [
        " ".join(words) for words in itertools.product(("XML", "DEFAULT"), TRANSPORTS, PROCESSES)
    ]
    clients = {options: started(open_data, options) for options in forms}
    rig.acquire(len(clients), samples=3)
    samples: dict[str, np.ndarray] = {}
    ends: set[str] = set()
    times: set[tuple[str, str]] = set()
    for options, client in clients.items():
        header = client.header()
        check_header(rig, header, options, fields)
        times.add((header.attributes["arm_time"], header.attributes["start_time"]))
        data, end = body(client, header, options)
        samples[options] = rows(header.columns, data)
        ends.add(end)
    assert len(times) == 1
    assert len(ends) == 1
    count = len(samples["XML FRAMED RAW"])
    reason = ends.pop().removeprefix(f"END {count} ")
    assert reason in ENDINGS
    assert count == rig.captured
    check_samples(rig, samples, fields)


def check_samples(rig: Rig, samples: dict[str, np.ndarray], fields) -> None:
    raw, scaled = samples["XML FRAMED RAW"], samples["XML FRAMED SCALED"]
    for options, found in samples.items():
        assert found.dtype == (raw if "RAW" in options else scaled).dtype
        if "RAW" in options:
            assert found.tobytes() == raw.tobytes(), options
        else:
            for name in scaled.dtype.names or ():
                same_values(found[name], scaled[name], digits="ASCII" in options)
    factors = rig.factors([field.name for field in fields])
    for column in foretold(rig.box, fields, raw=False):
        expected = np.array(scaled_values(rig.box, raw, column, factors))
        found = scaled[f"{column[0]} {column[2]}"].astype(float)
        assert np.allclose(found, expected, rtol=1e-12, atol=0, equal_nan=True), column


def test_times_of_a_header(rig: Rig, open_data):
    rig.trigger()
    rig.capture(**{rig.box.positions[0]: "Value"})
    client = started(open_data, "")
    rig.acquire(1)
    header = client.header()
    form = "%Y-%m-%dT%H:%M:%S.%f"
    arm, start = (
        datetime.strptime(header.attributes[key][:26], form).replace(tzinfo=UTC)
        for key in ("arm_time", "start_time")
    )
    for key in ("arm_time", "start_time"):
        assert re.fullmatch(r"[-\dT:]{19}\.\d{9}Z", header.attributes[key])
    if "hw_time_offset_ns" not in header.attributes:
        assert timedelta() <= start - arm < timedelta(seconds=5)


def test_forms_without_header_or_status(rig: Rig, open_data, control):
    rig.trigger()
    rig.capture(**{rig.box.positions[0]: "Value Min", rig.box.positions[1]: "Sum"})
    everything = started(open_data, "XML FRAMED RAW")
    text = started(open_data, "NO_HEADER")
    bare = started(open_data, "BARE")
    headed = started(open_data, "UNFRAMED RAW NO_STATUS ONE_SHOT")
    framed = started(open_data, "FRAMED RAW NO_HEADER NO_STATUS ONE_SHOT")
    unframed = started(open_data, "UNFRAMED RAW NO_HEADER ONE_SHOT")
    rig.acquire(6, samples=2)
    everything.header()
    frames, end = everything.frames()
    data = b"".join(frames)
    assert bare.rest() == data
    headed.header()
    assert headed.rest() == data
    assert unframed.rest() == data + end.encode() + b"\n"
    rest = framed.rest()
    while rest:
        length = int.from_bytes(rest[4:8], "little")
        assert rest[:4] == b"BIN "
        assert data.startswith(rest[8:length])
        data, rest = data[length - 8 :], rest[length:]
    assert data == b""
    lines, line = text.text()
    assert line == end
    assert len(lines) == int(end.split(" ")[1])


def test_an_acquisition_without_triggers_has_header_and_end(rig: Rig, open_data):
    rig.trigger(None)
    rig.capture(**{rig.box.positions[0]: "Value"})
    client = started(open_data, "XML FRAMED RAW")
    rig.arm(1)
    rig.disarm()
    client.header()
    frames, end = client.frames()
    match = re.fullmatch(r"END (\d+) (Ok|Disarmed)", end)
    assert match
    # hardware that only counts may have sent one
    assert len(b"".join(frames)) == 4 * int(match[1])
    assert int(match[1]) <= 2


def test_the_header_comes_with_the_start_not_with_the_samples(rig: Rig, open_data):
    rig.trigger(None)
    rig.capture(**{rig.box.positions[0]: "Value"})
    client = started(open_data, "XML FRAMED RAW")
    rig.arm(1)
    client.header()
    assert rig.control.value("*PCAP.COMPLETION") == "Busy"
    rig.disarm()


def test_scaling_changed_after_arming_does_not_matter(rig: Rig, open_data, control: Control):
    name = next(iter(rig.scalable()), None)
    if name is None:
        pytest.skip("no scaling of this box can be put back")
    rig.trigger()
    rig.scale(name, 0.25, 3.0, "mm")
    rig.capture(**{name: "Value"})
    client = started(open_data, "")
    rig.arm(1)
    rig.scale(name, 2.0, 0.0, "inch")
    rig.disarm()
    (column,) = client.header().columns
    assert (column.scale, column.offset, column.units) == ("0.25", "3", "mm")


def test_a_scale_has_twelve_digits_in_a_header(rig: Rig, open_data):
    name = next(iter(rig.scalable()), None)
    if name is None:
        pytest.skip("no scaling of this box can be put back")
    rig.trigger()
    rig.scale(name, 0.123456789012345, -1e-7, "")
    rig.capture(**{name: "Value"})
    client = started(open_data, "XML")
    rig.arm(1)
    rig.disarm()
    (column,) = client.header().columns
    assert (column.scale, column.offset, column.units) == ("0.123456789012", "-1e-07", "")


def test_hidden_counts_appear_in_raw_data_only_when_needed(rig: Rig, open_data):
    samples = rig.box.of("ext_out samples")
    if not samples:
        pytest.skip("this box counts no samples")
    counter = samples[0].instances[0]
    position = rig.box.positions[0]
    rig.trigger()
    for captured, first in (
        ({position: "Mean"}, counter),
        ({position: "Value"}, position),
        ({position: "Value Mean", counter: "Value"}, None),
    ):
        rig.control.ok("*CAPTURE=")
        rig.capture(**captured)
        raw, scaled = started(open_data, "RAW"), started(open_data, "")
        rig.arm(2)
        rig.disarm()
        names = [column.name for column in raw.header().columns]
        assert has_hidden(wanted(rig.box, captured)) == (first == counter)
        assert names.count(counter) <= 1
        if first:
            assert names[0] == first
        assert (counter in [c.name for c in scaled.header().columns]) == (counter in captured)
        raw.close()
        scaled.close()
        wait_until(lambda: rig.readers == rig.strangers, "no data clients")
