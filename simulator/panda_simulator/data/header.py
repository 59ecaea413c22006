"""A header names the columns of an acquisition, as text or as XML.

Source: protocol.md 8.4, 8.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from panda_simulator.box.capture import CapturedColumn, CapturePlan, ColumnGroup
from panda_simulator.box.text import format_real
from panda_simulator.data.convert import sample_bytes
from panda_simulator.data.options import Format, Options, Process

_SECOND = 1_000_000_000
_MILLISECOND = 1_000_000
_HEADER_DIGITS = 12
_RAW_TYPES = {
    ColumnGroup.UNSCALED: "uint32",
    ColumnGroup.SCALED32: "int32",
    ColumnGroup.SCALED64: "int64",
    ColumnGroup.AVERAGED: "int64",
    ColumnGroup.STD_DEV: "int96",
}
_TYPES = {
    Process.RAW: _RAW_TYPES,
    Process.UNSCALED: {**_RAW_TYPES, ColumnGroup.AVERAGED: "int32"},
    Process.SCALED: {**dict.fromkeys(ColumnGroup, "double"), ColumnGroup.UNSCALED: "uint32"},
}
_ESCAPES = str.maketrans({"<": "&lt;", "&": "&amp;", ">": "&gt;", '"': "&quot;", "'": "&apos;"})


@dataclass(frozen=True, slots=True)
class Times:
    """When an acquisition was armed and started, ns since 1970."""

    armed: int
    started: int
    hardware_offset: int | None
    """System time of the start minus the hardware's own, if it has one."""


def format_time(nanoseconds: int, *, exact: bool = True) -> str:
    """Write a time as UTC, with all its digits or cut to milliseconds."""
    seconds, rest = divmod(nanoseconds, _SECOND)
    digits = f"{rest:09d}" if exact else f"{rest // _MILLISECOND:03d}"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{digits}Z"


def format_header(plan: CapturePlan, options: Options, times: Times, missed: int) -> bytes:
    """Write the header of an acquisition with the empty line after it."""
    data = list(_data(plan, options, times, missed))
    columns = list(_columns(plan, options.process))
    if options.xml:
        attributes = "".join(f' {name}="{value}"' for name, value in data)
        fields = "".join(_xml_field(column, options.process) for column in columns)
        text = f"<header>\n<data{attributes} />\n<fields>\n{fields}</fields>\n</header>\n\n"
    else:
        lines = "".join(f"{name}: {value}\n" for name, value in data)
        fields = "".join(_text_field(column, options.process) for column in columns)
        text = f"{lines}fields:\n{fields}\n"
    return text.encode("latin-1")


def _data(
    plan: CapturePlan, options: Options, times: Times, missed: int
) -> Iterator[tuple[str, str | int]]:
    features = plan.features
    if features.arm_time:
        yield "arm_time", format_time(times.armed, exact=features.nanoseconds)
    if features.start_time:
        yield "start_time", format_time(times.started, exact=features.nanoseconds)
    if times.hardware_offset is not None:
        yield "hw_time_offset_ns", times.hardware_offset
    yield "missed", missed
    yield "process", options.process.value
    yield "format", options.format.value
    if options.format is not Format.ASCII:
        yield "sample_bytes", sample_bytes(plan, options.process)


def _columns(plan: CapturePlan, process: Process) -> Iterator[CapturedColumn]:
    raw = process is Process.RAW
    if raw and plan.hidden_count is not None and plan.features.listed_sample_count:
        yield plan.hidden_count
    for column in plan.columns:
        if column.group is ColumnGroup.STD_DEV and (raw or column.with_mean):
            yield replace(column, group=ColumnGroup.AVERAGED, capture="Mean")
        yield column


def _scaling(column: CapturedColumn) -> tuple[str, str]:
    return format_real(column.scale, _HEADER_DIGITS), format_real(column.offset, _HEADER_DIGITS)


def _xml_field(column: CapturedColumn, process: Process) -> str:
    text = f'<field name="{column.name}" type="{_TYPES[process][column.group]}"'
    text += f' capture="{column.capture}"'
    if column.group is not ColumnGroup.UNSCALED:
        scale, offset = _scaling(column)
        units = column.units.translate(_ESCAPES)
        text += f' scale="{scale}" offset="{offset}" units="{units}"'
    return f"{text} />\n"


def _text_field(column: CapturedColumn, process: Process) -> str:
    text = f" {column.name} {_TYPES[process][column.group]} {column.capture}"
    if column.group is not ColumnGroup.UNSCALED:
        scale, offset = _scaling(column)
        text += f" scale: {scale} offset: {offset} units: {column.units}"
    return f"{text}\n"
